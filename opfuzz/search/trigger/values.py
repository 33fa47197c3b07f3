"""The values at which a fault shows: any, special ones, large or tiny ones, or those with a large mean."""

from __future__ import annotations

from collections.abc import Generator
from math import ceil, floor, log2

import numpy as np

from opfuzz.core.call import Call
from opfuzz.core.floats import FloatArray, format_of, round_to
from opfuzz.core.layout import constant_along_broadcast
from opfuzz.core.trigger import Condition
from opfuzz.search.trigger.asking import Asking, Prober, Settings, Shown
from opfuzz.search.trigger.fills import ORDINARY

ALIKE = "only values like those of the minimal input"
AGAINST = "only zeros against infinities"
CLOSE = 1 / 700  # a binary logarithm is bisected so far: 0.1 % of the number
BAND = 4 * CLOSE  # what is narrower is one value
FAR = 20  # binary orders of magnitude in which nothing of the size that matters is left
Found = Generator[Call, Shown, Condition | None]


def values(prober: Prober, base: Settings, ordinary: set[str]) -> Generator[Call, Shown, list[Condition]]:
    """A condition for each input whose values matter; `ordinary` are the fills that failed in the minimal call."""
    witness = yield from _witness(prober, base)
    names = [given.name for given in prober.spec.inputs if given.kind == "float" and witness.arrays[given.name].size]
    if ordinary - {"zeros", "ones"}:
        signs = yield from _signs(prober, base)
        if signs is not None:
            return [signs] if signs.text else []
    found: list[Condition] = []
    for name in names:
        one = _Input(prober, witness, name, len(names) > 1)
        normal = yield from one.fails(one.ordinary("normal"))
        if not (normal and (yield from one.fails(one.ordinary("negated")))):
            condition = yield from one.infer()
            if condition.text not in [each.text for each in found]:
                found.append(condition)
    return found


def _witness(prober: Prober, base: Settings) -> Generator[Call, Shown, Call]:
    """A call with these settings that fails; the minimal one if none does."""
    if base.key() != prober.start.key():
        for fill in prober.fills:
            call = prober.remade(base, fill)
            if fill not in ORDINARY and (yield from prober.ask(call)):
                return call
    return prober.call


def _signs(prober: Prober, base: Settings) -> Found:
    """What ordinary numbers of either sign do: a condition without text if both fail, None if neither does."""
    normal = prober.remade(base, "normal")
    failing = []
    for sign in (1, -1):
        arrays = {
            given.name: ((1 if given.is_never_negative else sign) * abs(array)).astype(array.dtype)
            for given, array in ((given, normal.arrays[given.name]) for given in prober.spec.inputs)
            if given.kind == "float"
        }
        if (yield from prober.ask(normal.with_arrays(arrays))):
            failing.append(sign)
    if len(failing) == 1:
        word = "positive" if failing == [1] else "negative"
        return Condition("values", f"only {word} values", {"relation": word})
    if failing or (yield from prober.ask(normal)):
        return Condition("values", "", {})
    return None


class _Input:
    """One input of a call that fails, whose values are replaced."""

    def __init__(self, prober: Prober, witness: Call, name: str, is_named: bool) -> None:
        self.prober, self.witness, self.name = prober, witness, name
        self.x: FloatArray = witness.arrays[name].astype(np.float64)
        self.format = format_of(witness.arrays[name])
        self.place = f" in {name}" if is_named else ""
        self.never_negative = any(given.name == name and given.is_never_negative for given in prober.spec.inputs)

    def ordinary(self, fill: str) -> FloatArray:
        """Values of a kind, in the shape of the input."""
        place = [given.name for given in self.prober.spec.inputs].index(self.name)
        return ORDINARY[fill](self.x.shape, place)

    def fails(self, values: FloatArray) -> Asking:
        """Whether the call with these values, rounded to its format, fails."""
        values = np.abs(values) if self.never_negative else values
        array = constant_along_broadcast(round_to(values, self.format), self.witness.layouts[self.name])
        return (yield from self.prober.ask(self.witness.with_arrays({self.name: array})))

    def infer(self) -> Generator[Call, Shown, Condition]:
        """The first reading that its probes confirm."""
        for reading in (self._special, self._zeros, self._magnitude, self._offset):
            found = yield from reading()
            if found is not None:
                return found
        return Condition("values", ALIKE, {"input": self.name, "relation": "like"})

    def _said(self, text: str, relation: str, value: float | None = None) -> Condition:
        return Condition("values", text, {"input": self.name, "relation": relation, "value": value})

    def _special(self) -> Found:
        """NaN or infinities: somewhere among ordinary numbers, or throughout."""
        x = self.x
        for is_special, word in ((np.isnan(x), "NaN"), (np.isinf(x), "infinities")):
            if not is_special.any() or (yield from self.fails(np.where(is_special, 1.0, x))):
                continue
            if word == "infinities" and (yield from self._meets_zeros()):
                return self._said(AGAINST, "zeros against infinities")
            value = x[is_special][0]
            first = np.unravel_index(int(np.argmax(is_special)), x.shape)
            one = self.ordinary("normal")
            one[first] = value
            throughout = x.size > 1 and not (yield from self.fails(one))
            if throughout and not (yield from self.fails(np.full(x.shape, value))):
                return None
            if word == "infinities":
                other = np.full(x.shape, -value)
                if not throughout:
                    other = one.copy()
                    other[first] = -value
                if not (yield from self.fails(other)):
                    word = "-inf" if value < 0 else "+inf"
            text = f"only {word}{' throughout' if throughout else ''}{self.place}"
            return self._said(text, f"{word}{' throughout' if throughout else ''}")
        return None

    def _meets_zeros(self) -> Asking:
        """Whether zeros of another input are needed, too."""
        for given in self.prober.spec.inputs:
            other = self.witness.arrays[given.name]
            if given.kind == "float" and given.name != self.name and (is_zero := other == 0).any():
                filled = np.where(is_zero, np.ones_like(other), other)
                if not (yield from self.prober.ask(self.witness.with_arrays({given.name: filled}))):
                    return True
        return False

    def _zeros(self) -> Found:
        """One number throughout, zero or any, zeros with a sign, or zeros that meet the infinities of another input."""
        x = self.x
        if not (x == 0).any():
            return None
        for given in self.prober.spec.inputs:
            other = self.witness.arrays[given.name]
            if given.kind == "float" and given.name != self.name and (is_infinite := np.isinf(other)).any():
                finite = np.where(is_infinite, np.ones_like(other), other)
                call = self.witness.with_arrays({given.name: finite})
                if not (yield from self.prober.ask(call)) and not (yield from self.fails(np.where(x == 0, 1.0, x))):
                    return self._said(AGAINST, "zeros against infinities")
        if (yield from self.fails(np.zeros(x.shape))):
            if x.size > 1 and (yield from self.fails(np.full(x.shape, 3.0))):
                return self._said(f"only equal values{self.place}", "equal")
            tiny = np.full(x.shape, self.format.smallest_normal)
            if (yield from self.fails(tiny)):
                self.x = tiny
                return (yield from self._magnitude())
            return self._said(f"only zeros{self.place}", "zeros")
        if (np.signbit(x) & (x == 0)).any() and not (yield from self.fails(np.where(x == 0, 0.0, x))):
            return self._said(f"only -0{self.place}", "-0")
        return None

    def _magnitude(self) -> Found:
        """Values beyond a size: the input is scaled until the fault is gone, and the size bisected."""
        finite = self.x[np.isfinite(self.x) & (self.x != 0)]
        if not finite.size:
            return None
        largest, least = float(abs(finite).max()), float(abs(finite).min())
        room = min(FAR, self.format.emax - ceil(log2(largest)) - 1)
        for order in dict.fromkeys((-floor(log2(largest)), -FAR, room)):
            if order == 0 or (yield from self.fails(self._scaled(order))):
                continue
            failing, passing = yield from self._edge(float(order))
            back = -1.0 if order > 0 else float(min(room, 1))
            beyond = 0.0  # how far the fault goes on to the other side; 0: without an end
            if round_to(self._scaled(back), self.format).any() and not (yield from self.fails(self._scaled(back))):
                beyond, _ = yield from self._edge(back)
                if order > 0 or beyond - failing < BAND:
                    return None
            if order > 0:
                bound = float(_scaled(least, passing))
                return self._said(f"min |{self.name}| < {bound:.2g}", "min <", bound)
            high = float(_scaled(largest, beyond)) if beyond else None
            return (yield from self._large(float(_scaled(largest, failing)), high))
        return None

    def _edge(self, passing: float) -> Generator[Call, Shown, tuple[float, float]]:
        """The orders by which the input is scaled between which the fault goes, on the way to `passing`."""
        failing = 0.0
        while abs(passing - failing) > CLOSE:
            middle = (failing + passing) / 2
            if (yield from self.fails(self._scaled(middle))):
                failing = middle
            else:
                passing = middle
        return failing, passing

    def _large(self, low: float, high: float | None) -> Found:
        """Which sign the large values must have, in words with the bounds of the largest."""
        finite = self.x[np.isfinite(self.x)]
        what, name = "max abs", f"max |{self.name}|"
        if not (yield from self.fails(-self.x)):
            is_positive = finite[np.argmax(abs(finite))] > 0
            what, name = ("max", f"max {self.name}") if is_positive else ("max of -x", f"max -{self.name}")
        text = f"{name} >= {low:.3g}" if high is None else f"{low:.3g} <= {name} <= {high:.3g}"
        if what == "max of -x" and high is None:
            text = f"min {self.name} <= {-low:.3g}"
        return Condition("values", text, {"input": self.name, "relation": what, "low": low, "high": high})

    def _scaled(self, order: float) -> FloatArray:
        return _scaled(self.x, order)

    def _offset(self) -> Found:
        """A mean far beyond the spread, which cancels: ones and minus ones, shifted by powers of two."""
        if not self.x.ndim or self.x.shape[-1] < 2:
            return None

        def shifted(power: int) -> FloatArray:
            signs = np.broadcast_to(1.0 - 2 * (np.arange(self.x.shape[-1]) % 2), self.x.shape)
            return np.asarray(signs + 2.0**power * (1 + 1 / 64))  # beyond the power, for `>` as for `>=`

        passing, failing = -1, min(self.format.precision - 2, self.format.emax - 2)
        if not (yield from self.fails(shifted(failing))):
            return None
        while failing - passing > 1:
            middle = (failing + passing) // 2
            if (yield from self.fails(shifted(middle))):
                failing = middle
            else:
                passing = middle
        return self._said(f"mean / sd of {self.name} >= 2^{failing}", "mean / sd >=", 2.0**failing)


def _scaled(x: float | FloatArray, order: float) -> FloatArray:
    """x * 2^order; the power may be beyond float64, as between its subnormals and 1, and infinities are no overflow."""
    whole = floor(order)
    with np.errstate(over="ignore", invalid="ignore"):
        return np.asarray(np.ldexp(x * 2.0 ** (order - whole), whole))
