"""Totals of a sweep: what one chunk found, and how chunks add up to the same figures in whatever order they ended."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

LIMITS = (0.5, 1.0, 16.0)  # ulp: above these, results are counted
CLASSES = ("nan", "inf", "zero", "finite", "sign")


@dataclass(frozen=True, slots=True)
class Worst:
    """The input with the largest of some figure; the smallest bit pattern among equals."""

    value: float
    bits: int
    computed: float
    exact: float


@dataclass(frozen=True, slots=True)
class Totals:
    """What was measured over some inputs.

    ulp figures are over the `normal` ones, whose exact result is a normal number and whose result is finite.
    `ceiling` bounds the largest ulp error from above; it exceeds `largest` only where too many inputs came too close
    to it for all to be settled. `mismatches` counts results of the wrong class, by what was returned:

        nan     NaN where a number or an infinity is right       inf    an infinity where it is not right
        zero    0 where a normal number is right                 finite a number where NaN or an infinity is right
        sign    a zero of the wrong sign

    `flushed` are zeros in place of subnormal numbers, `falls` neighbours whose results go against the exact ones.
    """

    inputs: int
    normal: int
    ulp_sum: float
    above: tuple[int, ...]  # by LIMITS
    largest: Worst | None
    ceiling: float
    excess: Worst | None
    mismatches: Mapping[str, int]
    examples: Mapping[str, int]  # class, `flushed` or `falls` -> smallest bit pattern
    flushed: int
    falls: int
    unresolved: int
    buckets: Mapping[int, float]  # bucket -> largest ulp error in it

    @property
    def mean(self) -> float:
        """Mean ulp error."""
        return self.ulp_sum / self.normal if self.normal else 0.0

    def plain(self) -> dict[str, Any]:
        """As JSON has it; `totals_from` reads it back to the last bit."""
        # `asdict` copies every number of the buckets, 20 ms a chunk.
        made = {each.name: getattr(self, each.name) for each in fields(self)}
        return made | {name: made[name] and asdict(made[name]) for name in ("largest", "excess")}


def totals_from(data: Mapping[str, Any]) -> Totals:
    """What `plain` gave, after its way through JSON.

    Raises KeyError, TypeError or ValueError if it is something else.
    """
    return Totals(
        inputs=int(data["inputs"]),
        normal=int(data["normal"]),
        ulp_sum=float(data["ulp_sum"]),
        above=tuple(int(count) for count in data["above"]),
        largest=None if data["largest"] is None else Worst(**data["largest"]),
        ceiling=float(data["ceiling"]),
        excess=None if data["excess"] is None else Worst(**data["excess"]),
        mismatches={name: int(data["mismatches"][name]) for name in CLASSES},
        examples={str(name): int(bits) for name, bits in data["examples"].items()},
        flushed=int(data["flushed"]),
        falls=int(data["falls"]),
        unresolved=int(data["unresolved"]),
        buckets={int(bucket): float(value) for bucket, value in data["buckets"].items()},
    )


def merge(parts: Iterable[Totals]) -> Totals:
    """The totals of all parts together: the same to the last bit in any order of the parts."""
    parts = list(parts)
    buckets: dict[int, float] = {}
    examples: dict[str, int] = {}
    for part in parts:
        for bucket, value in part.buckets.items():
            buckets[bucket] = max(value, buckets.get(bucket, 0.0))
        for name, bits in part.examples.items():
            examples[name] = min(bits, examples.get(name, bits))
    return Totals(
        inputs=sum(part.inputs for part in parts),
        normal=sum(part.normal for part in parts),
        ulp_sum=math.fsum(part.ulp_sum for part in parts),
        above=tuple(sum(part.above[i] for part in parts) for i in range(len(LIMITS))),
        largest=worst(part.largest for part in parts),
        ceiling=max((part.ceiling for part in parts), default=0.0),
        excess=worst(part.excess for part in parts),
        mismatches={name: sum(part.mismatches[name] for part in parts) for name in CLASSES},
        examples=dict(sorted(examples.items())),
        flushed=sum(part.flushed for part in parts),
        falls=sum(part.falls for part in parts),
        unresolved=sum(part.unresolved for part in parts),
        buckets=dict(sorted(buckets.items())),
    )


def worst(found: Iterable[Worst | None]) -> Worst | None:
    """The largest; among equals the one with the smallest bit pattern."""
    return max((w for w in found if w is not None), key=lambda w: (w.value, -w.bits), default=None)
