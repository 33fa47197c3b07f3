"""Guided search for the worst call: by number for a function of one number, by call for everything else."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from opfuzz.core.call import Call
from opfuzz.core.floats import FORMATS, FloatArray
from opfuzz.core.layout import applicable
from opfuzz.search.climb.evolve import evolve
from opfuzz.search.climb.zoom import zoom

if TYPE_CHECKING:
    from opfuzz.spec import OpSpec, Value

Array = NDArray[Any]

NUMBERS = 3 * 1365  # of one call, which takes 0.1 ms, and judging it 0.5 ms
TAIL = 15  # more, so that a vector body is followed by a scalar tail: the worst numbers so far
_COLUMNS = 3  # rows shorter than any vector
_COMPARED = 3  # calls after which a way that gives the same errors is given up
_SHARES = 2  # of the calls are for the plain way, for each one for another


@dataclass(frozen=True, slots=True, eq=False)
class Seen:
    """What became of a call: how wrong it is under the goal, and how wrong each element is."""

    worst: float  # higher is worse; 0 where nothing can be said
    errors: FloatArray  # of the shape of the output


Climb = Generator[Call, Seen, None]


def climb(spec: OpSpec, format: str, seed: int, is_elementwise: bool) -> Climb:
    """Yields calls and is sent what was seen: the caller chooses the goal, keeps the best, and ends it.

    Of an elementwise op of one input, one call holds many numbers. Ends by itself where all inputs of a half format
    were tried, or where nothing can be drawn.
    """
    ways = _ways(spec) if is_elementwise else []
    if ways:
        yield from _by_number(spec, format, seed, ways)
        return
    evolution = evolve(spec, format, seed, _random(spec, format, seed))
    try:
        call = next(evolution)
        while True:
            seen = yield call
            call = evolution.send(seen.worst)
    except StopIteration:
        return


@dataclass(frozen=True, slots=True)
class Way:
    """How many numbers are handed over in one call: sizes, params and layout."""

    dims: Mapping[str, int]
    params: Mapping[str, Value]
    layout: str
    tail: int = 0

    def call(self, spec: OpSpec, format: str, numbers: Array) -> Call:
        """A call with these numbers; as many as the sizes say."""
        name = spec.inputs[0].name
        shape = spec.shapes(self.dims, self.params)[name]
        return Call(format, self.dims, self.params, {name: numbers.reshape(shape)}, {name: self.layout})


def _ways(spec: OpSpec) -> list[Way]:
    """The plain way; short rows and every second element, which no vector holds; and other params."""
    if spec.inputs[0].regimes is not None:  # not every number is meant to be an input
        return []
    usual = {param.name: param.default for param in spec.params}
    found = [
        _way(spec, 1, NUMBERS + TAIL, usual, "contiguous", TAIL),
        _way(spec, NUMBERS // _COLUMNS, _COLUMNS, usual, "narrowed"),
        _way(spec, 1, NUMBERS, usual, "stepped"),
    ]
    for param in spec.params:
        others = (param.values or range(param.low or 0, (param.high or 0) + 1))[1:]
        found += [_way(spec, 1, NUMBERS, {**usual, param.name: value}, "contiguous") for value in others]
    return [] if found[0] is None else [way for way in found if way is not None]


def alone(spec: OpSpec, params: Mapping[str, Value]) -> Way | None:
    """The way of a single number; None if the sizes allow none."""
    return _way(spec, 1, 1, params, "contiguous")


def _way(spec: OpSpec, rows: int, columns: int, params: Mapping[str, Value], layout: str, tail: int = 0) -> Way | None:
    named = [axis.text for axis in spec.inputs[0].shape if axis.text in {dim.name for dim in spec.dims}]
    sizes = dict(zip(reversed(named), (columns, rows), strict=False))
    dims = {dim.name: sizes.get(dim.name, 1) for dim in spec.dims}
    if not spec.allows(dims, params):
        return None
    shape = spec.shapes(dims, params)[spec.inputs[0].name]
    return Way(dims, params, layout, tail) if prod(shape) == rows * columns and applicable(layout, shape) else None


def _by_number(spec: OpSpec, format: str, seed: int, ways: list[Way]) -> Climb:
    """A search for each way, in turn; all begin alike, and those that give what the plain way gives are given up."""
    searches = [_search(spec, format, seed, way) for way in ways]
    waiting = [next(search) for search in searches]
    begun: list[list[bytes]] = [[] for _ in ways]
    active = list(range(len(ways)))
    turn = 0
    while active:
        for place in [*active[:1] * (_SHARES - 1 if turn >= _COMPARED else 0), *active]:
            if place not in active:
                continue
            seen = yield waiting[place]
            if turn < _COMPARED:
                begun[place].append(seen.errors.ravel()[:NUMBERS].tobytes())
            try:
                waiting[place] = searches[place].send(seen)
            except StopIteration:
                active.remove(place)
        turn += 1
        if turn == _COMPARED:
            active = [p for p in active if p == 0 or begun[p] != begun[0]]


def _search(spec: OpSpec, format: str, seed: int, way: Way) -> Climb:
    fmt = FORMATS[format]
    body = prod(spec.shapes(way.dims, way.params)[spec.inputs[0].name]) - way.tail
    numbers = zoom(fmt, body, _random(spec, format, seed))
    worst = np.zeros(way.tail, fmt.dtype)
    values = next(numbers)
    while True:
        seen = yield way.call(spec, format, np.concatenate([values, worst]))
        errors = seen.errors.ravel()
        if way.tail:
            both = np.concatenate([values, worst])
            worst = both[np.argpartition(errors, -way.tail)[-way.tail :]]
        try:
            values = numbers.send(errors[:body])
        except StopIteration:
            return


def _random(spec: OpSpec, format: str, seed: int) -> np.random.Generator:
    return np.random.Generator(np.random.Philox(key=np.array([seed, int(spec.digest, 16)], np.uint64)))
