"""Passes over params: to their defaults, towards them, alone and in pairs, and to values that allow smaller sizes."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations, product

from opfuzz.search.shrink.attempts import Pass, Question, Search
from opfuzz.search.shrink.resize import KEEPS, Keep, resized
from opfuzz.search.shrink.sizes import smallest_size
from opfuzz.spec import Param, Value

NEAREST = 2  # values of each of two params that are tried together
FEW = 4  # values of a param that may leave fewer elements


def simple_params(search: Search) -> Pass:
    """All to their defaults, then one by one, and two at once, to the simplest with which the fault stays.

    Where a kernel lies on its input is left as it is by less padding and less dilation together.
    """
    yield from _ask(search, {param.name: param.default for param in search.spec.params})
    for param in search.spec.params:
        for value in _simpler(param, search.best.params[param.name]):
            if (yield from _ask(search, {param.name: value})):
                break
    for pair in combinations(search.spec.params, 2):
        names = [param.name for param in pair]
        simpler = [list(_simpler(param, search.best.params[param.name]))[-NEAREST:] for param in pair]
        for values in product(*simpler):
            if (yield from _ask(search, dict(zip(names, values, strict=True)))):
                break


def enabling_params(search: Search) -> Pass:
    """Another value of a param where it allows a dim to be smaller, or leaves less: one group, or a stride."""
    for param in search.spec.params:
        for value in first_values(param, FEW):
            elements = search.key(search.best.dims, {**search.best.params, param.name: value}, search.best.layouts)[0]
            if elements < search.elements:
                yield from _ask(search, {param.name: value})
        for value in param.values or ():
            settings = {**search.best.params, param.name: value}
            for dim in search.spec.dims:
                least = smallest_size(search, dim.name, settings)
                own = smallest_size(search, dim.name, search.best.params)
                if least is not None and (own is None or least < own):
                    yield from _first_of(search, {param.name: value}, dim.name, least)


def _first_of(search: Search, params: dict[str, Value], dim: str, least: int) -> Pass:
    """The first size of a dim from the least up to the half, whatever values are kept, with other params."""
    for size in dict.fromkeys((least, search.best.dims[dim] // 2)):
        for keep in KEEPS:
            if (yield from _ask(search, params, {dim: size}, keep)):
                return


def first_values(param: Param, count: int) -> list[Value]:
    """So many values of a param, the default first if it has a list of them."""
    return list(param.values or range(param.low or 0, (param.high or 0) + 1))[:count]


def _simpler(param: Param, value: Value) -> Iterator[Value]:
    """Values nearer to the default than this one, the nearest to it first."""
    if param.values is not None:
        for simpler in param.values:
            if simpler == value and type(simpler) is type(value):
                return
            yield simpler
    elif isinstance(value, int) and param.low is not None:
        yield from dict.fromkeys(param.low + step for step in (0, 1, 2, (value - param.low) // 2, value - param.low - 1)
                                 if 0 <= step < value - param.low)  # fmt: skip


def _ask(
    search: Search, params: dict[str, Value], sizes: dict[str, int] | None = None, keep: Keep = "place"
) -> Question:
    settings = {**search.best.params, **params}
    dims = {**search.best.dims, **(sizes or {})}
    if not search.is_smaller(dims, settings):
        return False
    call, place = resized(search.spec, search.best, search.place, dims, settings, keep)
    return (yield from search.attempt(call, place))
