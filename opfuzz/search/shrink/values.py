"""Passes over values: whole inputs, blocks of them, single elements; each by something that is easier to read."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from opfuzz.core.call import Array
from opfuzz.search.shrink.attempts import Pass, Question, Search
from opfuzz.spec.order import complexity

Values = NDArray[np.float64]
Fill = Callable[[Values], Values]

FEW = 64  # elements of an input that are looked at one by one
BLOCKS = 8  # of a larger input
BITS = (1, 2, 3, 4, 5, 6, 8, 10, 12, 16, 20)


def simple_fills(search: Search) -> Pass:
    """Zeros or ones in all float inputs, or in each: without noise, a boundary of sizes is where it seems to be."""
    floats = [item.name for item in search.spec.inputs if item.kind == "float"]
    for names in (floats, *([name] for name in floats)):
        for fill in (np.zeros_like, np.ones_like):
            if (yield from _ask(search, names, fill)):
                break


def simple_values(search: Search) -> Pass:
    """The simplest values with which the fault stays: of all inputs, of each, of parts of it, of its elements."""
    names = list(search.best.arrays)
    best = None
    while best is not search.best:  # sizes are tried again with what is left, which costs more than values
        best = search.best
        yield from _each_kind(search, names)


def _each_kind(search: Search, names: list[str]) -> Pass:
    for fill in FILLS[:-1]:
        if len(names) > 1:
            yield from _ask(search, names, fill)
    for name in names:
        yield from _whole(search, name)
        for target in (0.0, 1.0):
            yield from _blocks(search, name, target)
        if search.best.arrays[name].size <= FEW:
            yield from _elements(search, name)


def _ask(search: Search, names: list[str], fill: Fill) -> Question:
    """Asks about the best with some inputs filled anew."""
    arrays = {name: _stored(search, name, fill) for name in names}
    changed = {name: array for name, array in arrays.items() if array is not None}
    return (yield from search.attempt(search.best.with_arrays(changed), search.place)) if changed else False


def _stored(search: Search, name: str, fill: Fill) -> Array | None:
    """An input filled anew, in its dtype and with values that its kind allows; None if it has no others."""
    old = search.best.arrays[name]
    item = next(item for item in search.spec.inputs if item.name == name)
    with np.errstate(all="ignore"):
        values = fill(old.astype(np.float64))
        if item.kind == "additive_mask":
            values = np.where(values == 0, 0.0, -np.inf)
        elif item.kind == "index":  # nothing above what is there, so nothing above its limit
            values = np.clip(np.nan_to_num(values), 0, old.max(initial=0))
        new = values.astype(old.dtype).reshape(old.shape)
    return None if new.tobytes() == old.tobytes() else new


def _alternating(x: Values) -> Values:
    return np.asarray(np.arange(x.size).reshape(x.shape) % 2, np.float64)


def _counting(x: Values) -> Values:
    return np.asarray(np.arange(x.size).reshape(x.shape) % 8, np.float64)


def _steps_on_the_mean(x: Values) -> Values:
    """0 and 1 in turn, on the power of two next to the mean: much mean and little spread."""
    mean = np.mean(x[np.isfinite(x)]) if np.isfinite(x).any() else 0.0
    return _alternating(x) + np.copysign(np.exp2(np.floor(np.log2(np.abs(mean)))), mean) if mean else x


def _largest(x: Values) -> Values:
    """The largest finite number everywhere, or what stands first if there is none."""
    finite = x[np.isfinite(x)]
    return np.full_like(x, finite[np.argmax(np.abs(finite))] if finite.size else x.flat[0]) if x.size else x


def _first(x: Values) -> Values:
    return np.full_like(x, x.flat[0]) if x.size else x


def _special(x: Values) -> Values:
    """The first NaN or infinity everywhere."""
    special = x[~np.isfinite(x)]
    return np.full_like(x, special[0]) if special.size else x


def _near_one(x: Values) -> Values:
    """Scaled by a power of two so that the largest is in [1, 2)."""
    top = np.max(np.abs(x), initial=0.0, where=np.isfinite(x))
    return np.ldexp(x, 1 - int(np.frexp(top)[1]))


def finite_part(fill: Fill) -> Fill:
    """The fill for finite elements; NaN and infinities stay."""
    return lambda x: np.where(np.isfinite(x), fill(np.where(np.isfinite(x), x, 0.0)), x)


FILLS: tuple[Fill, ...] = (
    np.zeros_like,
    np.ones_like,
    finite_part(np.zeros_like),
    finite_part(np.ones_like),
    _alternating,
    _counting,
    _special,
    _first,
    _largest,
    _steps_on_the_mean,
    finite_part(np.rint),
    np.abs,
    _near_one,
)


def rounded(x: Values, bits: int, towards: Callable[[Values], Values]) -> Values:
    """Each finite number with so many significant bits; `towards` is rint, floor or ceil of its magnitude."""
    mantissa, exponent = np.frexp(np.abs(x))
    with np.errstate(over="ignore"):  # upwards from the largest number is infinity
        shorter = np.ldexp(towards(np.ldexp(mantissa, bits)), exponent - bits)
    return np.where(np.isfinite(x), np.copysign(shorter, x), x)


def _whole(search: Search, name: str) -> Pass:
    for fill in FILLS:
        if (yield from _ask(search, [name], fill)):
            break
    for bits in BITS:
        for towards in (np.rint, np.ceil):
            if (yield from _ask(search, [name], lambda x, b=bits, t=towards: rounded(x, b, t))):  # type: ignore[misc]
                return


def _blocks(search: Search, name: str, target: float) -> Pass:
    """Halves, quarters and smaller parts of an input to one number, as long as the fault stays."""
    size = search.best.arrays[name].size
    least = 1 if size <= FEW else -(-size // BLOCKS)
    width = -(-size // 2)
    while size > 1:
        for start in range(0, size, width):
            yield from _ask(search, [name], _setting(start, start + width, target))
        if width <= least:
            return
        width = -(-width // 2)


def _elements(search: Search, name: str) -> Pass:
    for place in range(search.best.arrays[name].size):
        value = float(search.best.arrays[name].flat[place])
        for simpler in _simpler(value):
            if (yield from _ask(search, [name], _setting(place, place + 1, simpler))):
                break


def _setting(start: int, stop: int, value: float) -> Fill:
    def fill(x: Values) -> Values:
        x = x.copy()
        x.reshape(-1)[start:stop] = value
        return x

    return fill


def _simpler(value: float) -> Iterator[float]:
    """Numbers that are easier to read than this one, the easiest first: small integers, and it with fewer bits."""
    x = np.array(value)
    found = [0.0, 1.0, -1.0, 2.0]
    if np.isfinite(value):
        found += [float(f(x)) for f in (np.rint, np.floor, np.ceil)]
        found += [float(rounded(x, bits, f)) for bits in BITS for f in (np.rint, np.ceil)]
    sizes = complexity(np.array(found))
    limit = float(complexity(x))
    order = sorted(dict.fromkeys(zip(sizes.tolist(), found, strict=True)), key=lambda pair: pair[0])
    yield from (number for size, number in order if size < limit and np.isfinite(number))
