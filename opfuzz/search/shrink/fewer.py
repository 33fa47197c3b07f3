"""The pass over all calls of fewer elements, where those are few: none of them may show the fault."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import islice, product
from math import prod

import numpy as np
from numpy.typing import NDArray

from opfuzz.core.call import Call
from opfuzz.core.layout import LAYOUTS
from opfuzz.search.shrink.attempts import Key, Pass, Search, below
from opfuzz.search.shrink.params import first_values
from opfuzz.search.shrink.resize import resized
from opfuzz.spec import Dim, Value

MOST = 64  # elements of the best call; below larger ones there are too many
STEPS = 3  # of all dims together, above their smallest sizes
VALUES = 3  # of each param, the default first
SETTINGS = 24  # that are tried after one another
Shape = tuple[int, ...]
Values = NDArray[np.float64]
Fill = Callable[[Values, Shape], Values]  # of what the search began with, and the shape wanted
Settings = tuple[dict[str, int], dict[str, Value]]


def fewer_elements(search: Search) -> Pass:
    """Dims and params together, fewest elements first: an output may be shorter only with padding and a stride.

    Each is tried with several values, since those of the best are simple already, perhaps too simple for fewer.
    """
    for dims, params in list(islice(_settings(search), SETTINGS)) if search.elements <= MOST else ():
        call, place = resized(search.spec, search.start, search.start_place, dims, params)
        for candidate in (call, *_others(search, call)) if call is not None else ():
            if (yield from search.attempt(candidate, place)):
                return


def _settings(search: Search) -> Iterator[Settings]:
    """All that have fewer elements than the best and are not empty, in their order."""
    spec = search.spec
    names = [dim.name for dim in spec.dims]
    found: list[tuple[Key, int, Settings]] = []
    for steps in product(range(STEPS + 1), repeat=len(names)):
        if sum(steps) > STEPS:
            continue
        sizes = [_size(dim, step) for dim, step in zip(spec.dims, steps, strict=True)]
        for values in product(*(first_values(param, VALUES) for param in spec.params)):
            dims = {name: size for name, size in zip(names, sizes, strict=True) if size is not None}
            params = dict(zip((param.name for param in spec.params), values, strict=True))
            if len(dims) == len(names) and search.is_smaller(dims, params):
                key = search.key(dims, params, search.best.layouts)
                if key[0] < search.elements:
                    found.append((key, len(found), (dims, params)))
    yield from (settings for _, _, settings in sorted(found))


def _size(dim: Dim, step: int) -> int | None:
    """The size some steps above the smallest that is not 0; None if there is none."""
    sizes = sorted(dim.choices) if dim.choices else range(max(dim.low, 1), (dim.high or dim.low + STEPS + 1) + 1)
    return sizes[step] if step < len(sizes) else None


def _others(search: Search, call: Call) -> Iterator[Call]:
    """The call with every view stepped, which is a view of any shape, at its last index; and with other values."""
    stepped = {name: layout if layout == LAYOUTS[0] else "stepped" for name, layout in call.layouts.items()}
    if any(layout != LAYOUTS[0] for layout in call.layouts.values()):
        last = {
            item.name: np.full_like(call.arrays[item.name], below(search.spec, item.name, call.dims, call.params) - 1)
            for item in search.spec.inputs
            if item.kind == "index"
        }
        for given in (call, _filled(search, call, _counting)):  # the start may hold one number twice
            yield replace(given.with_arrays(last), layouts=stepped)
    with np.errstate(over="ignore"):
        yield call.with_arrays(
            {n: (2 * a).astype(a.dtype) for n, a in call.arrays.items() if a.dtype.kind not in "biu"}
        )
    has_special = any(not np.isfinite(search.start.arrays[item.name].astype(np.float64)).all()
                      for item in search.spec.inputs if item.kind == "float")  # fmt: skip
    for fill in (*FILLS, *SPECIAL) if has_special else FILLS:
        yield _filled(search, call, fill)


def _filled(search: Search, call: Call, fill: Fill) -> Call:
    """The call with each input of numbers filled anew; indices are 0, which is below any limit."""
    arrays = {}
    with np.errstate(all="ignore"):
        for item in search.spec.inputs:
            array = call.arrays[item.name]
            if item.kind == "float":
                arrays[item.name] = fill(search.start.arrays[item.name].astype(np.float64), array.shape).astype(
                    array.dtype
                )
            elif item.kind == "index":
                arrays[item.name] = np.zeros_like(array)
    return call.with_arrays(arrays)


def _counting(start: Values, shape: Shape) -> Values:
    return np.asarray(np.arange(prod(shape)).reshape(shape) % 7 + 1, np.float64)


def _signed(start: Values, shape: Shape) -> Values:
    values = _counting(start, shape)
    return np.where(values % 2 == 0, -values, values)


def _alike(start: Values, shape: Shape) -> Values:
    """With mean and spread of what the search began with."""
    finite = start[np.isfinite(start)]
    mean, spread = (float(finite.mean()), float(finite.std())) if finite.size else (0.0, 1.0)
    return mean + spread * (1 - _signed(start, shape) / 3)


def _special(at: int) -> Fill:
    """Ones, and the first NaN or infinity of the start in one place."""

    def fill(start: Values, shape: Shape) -> Values:
        special = start[~np.isfinite(start)]
        values = np.ones(shape)
        if special.size and values.size:
            values.flat[at] = special[0]
        return values

    return fill


def _specials(start: Values, shape: Shape) -> Values:
    """Each NaN and infinity of the start in turn; ones where it has none."""
    special = np.unique(start[~np.isfinite(start)])
    return np.resize(special, shape) if special.size else np.ones(shape)


FILLS: tuple[Fill, ...] = (
    _counting,
    _signed,
    lambda start, shape: -_signed(start, shape),
    lambda start, shape: _signed(start, shape) / 128,
    lambda start, shape: _signed(start, shape) / 3,  # which no format holds: what is rounded shows
    _alike,
)
SPECIAL = (_special(0), _special(-1), _specials)
