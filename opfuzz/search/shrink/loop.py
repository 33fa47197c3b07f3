"""The passes in their order, until none of them helps."""

from __future__ import annotations

from collections.abc import Callable

from opfuzz.core.call import Call, Element
from opfuzz.search.shrink.attempts import Attempts, Enough, Pass, Search
from opfuzz.search.shrink.fewer import fewer_elements
from opfuzz.search.shrink.layouts import simple_layouts
from opfuzz.search.shrink.params import enabling_params, simple_params
from opfuzz.search.shrink.sizes import (
    each_dim,
    first_values,
    large_values,
    outweighing_values,
    slices,
    tied_dims,
    traded_dims,
)
from opfuzz.search.shrink.values import simple_fills, simple_values
from opfuzz.spec import OpSpec

# What saves most comes first: a large call costs more to try than many small ones.
PASSES: tuple[Callable[[Search], Pass], ...] = (
    slices,
    simple_fills,
    each_dim,
    simple_params,
    enabling_params,
    tied_dims,
    traded_dims,
    simple_layouts,
    simple_values,
    first_values,
    large_values,
    outweighing_values,
    fewer_elements,
)


def shrink(spec: OpSpec, call: Call, place: Element | None = None) -> Attempts:
    """Yields calls that are valid and come before the smallest so far in the order of `Call.sort_key`.

    Each is answered by whether it still shows the fault, as `call` is known to; none is asked about twice. `place` is
    the element of the outputs that decides, None where it is not known. Returns the smallest call that shows the fault
    when no pass finds another, or when `Enough` is thrown.
    """
    search = Search(spec, call, place)
    try:
        while True:
            best = search.best
            for step in PASSES:
                yield from step(search)
            if search.best is best:
                return best
    except Enough:
        return search.best


def drive(attempts: Attempts, is_interesting: Callable[[Call], bool], limit: int) -> tuple[Call, int]:
    """The smallest call that is interesting, and how many were tried for it; at most `limit`."""
    count = 0
    try:
        candidate = next(attempts)
        while count < limit:
            count += 1
            candidate = attempts.send(is_interesting(candidate))
        attempts.throw(Enough())
    except StopIteration as stop:
        return stop.value, count
    raise RuntimeError("the attempts went on after the last")
