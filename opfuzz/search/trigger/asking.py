"""Asking whether a changed call fails: one question may take several probes, since values can hide a fault."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from math import prod
from typing import Any

from opfuzz.core.call import Call, Element
from opfuzz.core.layout import applicable
from opfuzz.search.trigger.fills import CYCLE, LAST, MADE, ORDINARY, remade
from opfuzz.spec import OpSpec, Value

PROBES = 400  # of one trigger, at most
SEARCH = 320  # of these, before the rest is kept for checking what was found
# Elements of one probe, unless the minimal call has more; the exact values of float64 results cost far more.
ELEMENTS = {"float64": 2**13}
MOST_ELEMENTS = 2**18
GROWTH = 4  # then times those of the minimal call
DOUBTS = (*MADE, "uniform", "integers", "thirds")  # fills that show what the others may hide


class Shown(Enum):
    """What a call shows: no fault, nothing that can be told, or a fault, with another symptom or with the same."""

    NOTHING = "nothing"
    UNCLEAR = "unclear"
    ANOTHER = "another"
    SAME = "same"


IS_FAULT = (Shown.ANOTHER, Shown.SAME)
Asking = Generator[Call, Shown, bool]


class Spent(Exception):  # noqa: N818 - not an error
    """No more probes: thrown into a generator of probes, it ends with what is known."""


@dataclass(frozen=True, slots=True)
class Settings:
    """All of a call but its values."""

    dims: Mapping[str, int]
    params: Mapping[str, Value]
    format: str
    layouts: Mapping[str, str]

    def key(self) -> tuple[Any, ...]:
        """Equal for equal settings; 1, 1.0 and True are different params."""
        params = tuple((name, type(value), value) for name, value in self.params.items())
        return tuple(self.dims.items()), params, self.format, tuple(self.layouts.items())


def is_distinct(layout: str, shape: Sequence[int]) -> bool:
    """Whether an array of this shape lies otherwise in memory than in all simpler layouts.

    An axis of one element may stand anywhere: a transposed row is contiguous, and a narrowed one has an offset only.
    """
    if not applicable(layout, shape):
        return False
    match layout:
        case "transposed":
            return min(shape[-2:]) > 1
        case "permuted":
            return prod(shape[:-2]) > 1 and sum(size > 1 for size in shape) > 1
        case "narrowed":
            return prod(shape[:-1]) > 1
        case "stepped":
            return prod(shape) > 1
        case _:
            return True


class Prober:
    """The minimal call, what was asked about it, and the answers. Holds state: one of these makes one trigger."""

    def __init__(self, spec: OpSpec, call: Call, place: Element | None) -> None:
        self.spec, self.call = spec, call
        self.probes = 0
        self.fills: Sequence[str] = (LAST, CYCLE) if place and any(place.index) else (CYCLE, LAST)
        self.start = Settings(dict(call.dims), dict(call.params), call.format, dict(call.layouts))
        own = spec.elements(call.dims, call.params)
        most = ELEMENTS.get(call.format, MOST_ELEMENTS)
        self._most = most if own <= most else GROWTH * own
        self._answers: dict[tuple[Any, ...], bool] = {self.start.key(): True}
        self._unclear = set[tuple[Any, ...]]()
        self._tried: dict[tuple[Any, ...], set[int]] = {}  # hashes of the values

    def settings(
        self,
        dims: Mapping[str, int] | None = None,
        params: Mapping[str, Value] | None = None,
        format: str | None = None,
        layouts: Mapping[str, str] | None = None,
        base: Settings | None = None,
    ) -> Settings:
        """The settings of the minimal call, or `base`, with some replaced."""
        base = base or self.start
        return Settings(
            {**base.dims, **(dims or {})},
            {**base.params, **(params or {})},
            format or base.format,
            {**base.layouts, **(layouts or {})},
        )

    def allows(self, settings: Settings) -> bool:
        """Whether the op is defined there, within the limit of elements, in layouts that mean something.

        Nothing is empty that is not so in the minimal call: where there is no element, no fault can show.
        """
        if (
            not self.spec.allows(settings.dims, settings.params)
            or self.spec.elements(settings.dims, settings.params) > self._most
        ):
            return False
        shapes = self.spec.shapes(settings.dims, settings.params)
        for name, shape in shapes.items():
            layout, array = settings.layouts[name], self.call.arrays[name]
            is_own = layout == self.call.layouts[name] and not is_distinct(layout, array.shape)
            if layout != "contiguous" and not (is_distinct(layout, shape) or (is_own and applicable(layout, shape))):
                return False
        pairs = zip(settings.dims.values(), self.call.dims.values(), strict=True)
        if any(size == 0 < own for size, own in pairs):
            return False
        outputs, were = (self.spec.output_shapes(of.dims, of.params).values() for of in (settings, self.call))
        emptied = any(not prod(shape) and self.call.arrays[name].size for name, shape in shapes.items())
        return not emptied and all(prod(shape) or not prod(was) for shape, was in zip(outputs, were, strict=True))

    def knows(self, settings: Settings) -> bool:
        """Whether this was asked already."""
        return settings.key() in self._answers

    def fails(self, settings: Settings) -> Asking:
        """Whether the fault shows with these settings, for any of the fills that show it in the minimal call."""
        key = settings.key()
        if key not in self._answers:
            failed = False
            for call in self._calls(settings, self.fills):
                shown = yield from self._look(call)
                if shown is Shown.UNCLEAR:
                    self._unclear.add(key)
                failed = shown in IS_FAULT
                if failed:
                    break
            self._answers[key] = failed
        return self._answers[key]

    def is_unclear(self, settings: Settings) -> bool:
        """Whether no fault was seen there, and it cannot be said that there is none."""
        key = settings.key()
        return key in self._unclear and not self._answers[key]

    def _calls(self, settings: Settings, fills: Sequence[str]) -> Iterator[Call]:
        """Calls with these settings and fills, none of them twice."""
        tried = self._tried.setdefault(settings.key(), set())
        for fill in fills:
            call = self.remade(settings, fill)
            content = tuple(array.tobytes() for array in call.arrays.values())
            if (digest := hash(content)) not in tried:
                tried.add(digest)
                yield call

    def remade(self, settings: Settings, fill: str) -> Call:
        """The call with these settings and values."""
        return remade(
            self.spec,
            self.call,
            fill,
            dims=settings.dims,
            params=settings.params,
            format=settings.format,
            layouts=settings.layouts,
        )

    def ask(self, call: Call) -> Asking:
        """Whether this very call fails in the same way. Raises Spent where the limit is reached."""
        return (yield from self._look(call)) is Shown.SAME

    def _look(self, call: Call) -> Generator[Call, Shown, Shown]:
        if self.probes >= PROBES:
            raise Spent
        self.probes += 1
        return (yield call)

    @property
    def is_searching(self) -> bool:
        """Whether there are probes left beside those kept for the check."""
        return self.probes < SEARCH

    def choose_fills(self) -> Generator[Call, Shown, set[str]]:
        """Tries other values in the minimal call; the first that show a fault are tried from then on.

        Those of ORDINARY that fail in the same way. An overflow may hide what ordinary values show at any size, so
        another symptom is as good for asking about sizes.
        """
        shown: dict[str, Shown] = {}
        for fill in (*ORDINARY, *MADE):
            if fill in ORDINARY or not any(shown[name] is Shown.SAME for name in shown if name != "zeros"):
                shown[fill] = yield from self._look(self.remade(self.start, fill))
        general = [fill for fill in shown if shown[fill] in IS_FAULT and fill != "zeros"]
        general.sort(key=lambda fill: shown[fill] is Shown.ANOTHER)
        self.fills = (*general[:1], *self.fills)
        return {fill for fill in ORDINARY if shown[fill] is Shown.SAME}

    def doubt(self, settings: Settings) -> Asking:
        """Whether a call that does not fail does so with values not tried yet, which are tried from then on."""
        for fill in (*self.fills, *(fill for fill in DOUBTS if fill not in self.fills)):
            for call in self._calls(settings, [fill]):
                if (yield from self._look(call)) in IS_FAULT:
                    self.fills = (fill, *(other for other in self.fills if other != fill))
                    self._answers[settings.key()] = True
                    return True
        return False
