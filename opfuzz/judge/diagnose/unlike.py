"""Calls unlike the one that shows a fault, which may speak against what is said of that: other params, other sizes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import lru_cache

from opfuzz.core.call import Call
from opfuzz.judge.diagnose.evidence import Evidence, ordinary
from opfuzz.judge.limits import BEYOND_TILES, FEW_DIMS, MOST_CHOICES, ORDINARY_SIZE


@lru_cache(maxsize=2)  # each of many meanings is held against them
def unlike(evidence: Evidence) -> tuple[Evidence, ...]:
    """Ordinary values on which the subject is at fault, at another value of a param, and at other sizes.

    On the call itself dims may agree, and a param have the one value, for which two meanings are the same.
    """
    calls = [
        ordinary(other) or ordinary(other, dims=evidence.call.dims)
        for other in (replace(evidence, call=call) for call in other_params(evidence))
    ]
    names = list(evidence.call.dims)
    whole = {name: max(size, ORDINARY_SIZE) for name, size in evidence.call.dims.items()}
    apart = [{name: whole[name] + order.index(name) for name in names} for order in (names, names[::-1])]
    own, few = evidence.call.dims, dict.fromkeys(names, FEW_DIMS)
    calls += [_sized(evidence, dims) for dims in (*apart, few)]
    for name in names:  # alone: all of them may be too many together
        if own[name] < BEYOND_TILES:
            beyond = ({**sizes, name: BEYOND_TILES} for sizes in (own, few))
            calls.append(next((call for dims in beyond if (call := _sized(evidence, dims)) is not None), None))
    found = []
    for call in calls:
        if call is None or not evidence.spec.allows(call.dims, call.params):
            continue
        output = evidence.run(call)
        if output is None or not output.size:
            continue
        other = replace(evidence.numeric, call=call, output=output, wider=None)
        if other.is_at_fault:
            found.append(other)
    return tuple(found)


def _sized(evidence: Evidence, dims: dict[str, int]) -> Call | None:
    call = ordinary(evidence, dims=dims)
    return call if call is not None and call.dims == dims else None


def other_params(evidence: Evidence) -> Iterator[Call]:
    """The call with another value of one param each, of those that the spec lists, its arrays as they are."""
    call = evidence.call
    for param in evidence.spec.params:
        choices = param.values if param.values is not None else range(param.low or 0, (param.high or 0) + 1)
        for value in choices[:MOST_CHOICES]:
            if value != call.params[param.name]:
                yield replace(call, params={**call.params, param.name: value})
