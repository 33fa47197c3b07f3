"""The worst call of any op: a population of calls, one for each order of size, that are changed and crossed."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from opfuzz.core.call import Call
from opfuzz.generate import draw, inputs
from opfuzz.search.climb.mutate import MUTATIONS, Resize, cross, is_small, resized

if TYPE_CHECKING:
    from opfuzz.spec import OpSpec

_DRAWN = 32  # calls to begin with
_FRESH, _CROSSED = 8, 8  # one call in so many is drawn anew, or made of two
_MEMBERS = 24  # of the population
_HALVING = 4.0  # members, from the worst down, after which one is half as likely to be changed
_DRAWS = 64  # until nothing that is drawn is taken for small enough


@dataclass(frozen=True, slots=True, eq=False)
class _Member:
    call: Call
    error: float


def evolve(spec: OpSpec, format: str, seed: int, random: np.random.Generator) -> Generator[Call, float, None]:
    """Yields calls and is sent the error of each: higher is worse. Goes on for ever; ends where nothing can be drawn.

    Calls without elements have no error and are left out. Where a larger or smaller size has raised the error, it is
    made larger or smaller again.
    """
    population: dict[tuple[int, ...], _Member] = {}
    drawn = _Drawn(spec, format, seed)
    again: tuple[_Member, Resize] | None = None
    for number in range(1 << 62):
        parent, step, call = None, None, None
        if again is not None:
            (parent, step), again = again, None
            call = resized(spec, parent.call, step)
        elif number >= _DRAWN and population and random.integers(_FRESH):
            members = sorted(population.values(), key=lambda m: -m.error)
            parent = _one_of(members, random)
            if random.integers(_CROSSED) == 0:
                call = cross(parent.call, _one_of(members, random).call, random)
            else:
                mutation = MUTATIONS[random.integers(len(MUTATIONS))]
                call, step = mutation(spec, parent.call, random)
        else:
            call = drawn.next()
            if call is None:
                return
        if call is None:
            continue
        error = yield call
        member = _Member(call, error)
        if step is not None and parent is not None and error > parent.error:
            again = member, step
        _keep(population, member)


def _one_of(members: list[_Member], random: np.random.Generator) -> _Member:
    return members[min(int(random.exponential(_HALVING / np.log(2))), len(members) - 1)]


def _keep(population: dict[tuple[int, ...], _Member], member: _Member) -> None:
    """The worst of each order of size, and the worst of them, so that one shape does not drive out the others."""
    niche = tuple(size.bit_length() for size in member.call.dims.values())
    if niche not in population or member.error > population[niche].error:
        population[niche] = member
    if len(population) > _MEMBERS:
        del population[min(population, key=lambda n: population[n].error)]


class _Drawn:
    """The calls of cases that the generator draws, small ones only."""

    def __init__(self, spec: OpSpec, format: str, seed: int) -> None:
        self.spec, self.format, self.seed, self.number = spec, format, seed, 0

    def next(self) -> Call | None:
        for _ in range(_DRAWS):
            case = draw(self.spec, self.format, self.seed, self.number)
            self.number += 1
            if "specials" in case.regimes.values():  # NaN hides errors
                continue
            if not is_small(self.spec, case.format, case.dims, case.params):
                continue
            return Call(case.format, case.dims, case.params, inputs(self.spec, case), case.layouts)
        return None
