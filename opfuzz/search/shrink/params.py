"""Passes over params: to their defaults, towards them, and to values that allow smaller sizes."""

from __future__ import annotations

from collections.abc import Iterator

from opfuzz.search.shrink.attempts import Pass, Question, Search
from opfuzz.search.shrink.resize import KEEPS, Keep, resized
from opfuzz.search.shrink.sizes import smallest_size
from opfuzz.spec import Param, Value


def simple_params(search: Search) -> Pass:
    """All to their defaults, then one by one to the simplest with which the fault stays."""
    yield from _ask(search, {param.name: param.default for param in search.spec.params})
    for param in search.spec.params:
        for value in _simpler(param, search.best.params[param.name]):
            if (yield from _ask(search, {param.name: value})):
                break


def enabling_params(search: Search) -> Pass:
    """Another value of a param where it allows a dim to be smaller: one group for one channel."""
    for param in search.spec.params:
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
