"""A sample of the inputs of an elementwise function: evenly spread, around hard places, and around the worst of these.

The largest error that it finds is one that there is, so it bounds the largest of all from below.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from opfuzz.core.floats import Format, from_bits, round_to, to_bits
from opfuzz.search.climb.seeds import seeds
from opfuzz.search.sweep.chunk import SweptSubject, sweep_inputs
from opfuzz.search.sweep.reference import FlatReference
from opfuzz.search.sweep.scorer import BUCKET_BITS, Scorer, nothing_about
from opfuzz.search.sweep.totals import Totals, merge

NEAR = 8  # floats on either side of a hard place that are tried
ROUNDS = (12, 16, 20)  # leading bits that the inputs of a cell share
CELLS = 128  # the worst of a round, which the next one looks into
SHARE = 128  # of the spread inputs, one in so many in each cell; of 2^19, the last and smallest cells are tried whole
COARSE = 16  # one in so many of the spread inputs is asked for the kind of its exact result
EDGES = 256  # changes of that kind at most: a sine has more than can be tried
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)  # 2^64 over the golden ratio: its multiples lie evenly in any range

Patterns = NDArray[np.uint64]  # in their order, each once


def sweep_sample(
    low: int, high: int, count: int, subject: SweptSubject, oracle: FlatReference, fmt: Format
) -> tuple[Totals, Totals, int]:
    """What `sweep_chunk` gives, of `count` patterns in [low, high) spread evenly, and of those that are looked into.

    For formats of at most 32 bits, and count <= high - low.
    """
    sample = _Sample(low, high, subject, oracle, fmt)
    spread_ones = spread(low, high, count)
    hard = np.concatenate([to_bits(round_to(seeds(fmt), fmt)).astype(np.uint64), _edges(spread_ones, oracle, fmt)])
    sample.take(np.concatenate([spread_ones, _around(hard, low, high)]), ROUNDS[0])
    for bits, finer in zip(ROUNDS, (*ROUNDS[1:], BUCKET_BITS), strict=True):
        cells = sample.worst_cells(*sample.last, bits, CELLS)
        sample.take(np.concatenate([spread(a, b, min(b - a, -(-count // SHARE))) for a, b in cells]), finer)
    # Where one run of inputs has the largest errors, the largest of all is found for certain.
    cells = sample.worst_cells(*sample.totals(), BUCKET_BITS, 1)
    sample.take(np.concatenate([np.arange(a, b, dtype=np.uint64) for a, b in cells]), BUCKET_BITS)
    return *sample.totals(), sample.differing


@dataclass
class _Sample:
    """What was tried so far, and what was found."""

    low: int
    high: int
    subject: SweptSubject
    oracle: FlatReference
    fmt: Format
    tried: Patterns = field(default_factory=lambda: np.zeros(0, np.uint64))
    last: tuple[Totals, Totals] = (nothing_about(0).totals,) * 2  # of the last step, in the cells of that step
    found: list[tuple[Totals, Totals]] = field(default_factory=list)  # of all steps, in the cells of the picture
    differing: int = 0

    def take(self, patterns: Patterns, bits: int) -> None:
        """Try those that were not tried yet; errors are kept for cells that share so many bits."""
        todo = _without(_each_once(patterns), self.tried)
        if not todo.size:
            self.last = (nothing_about(0).totals,) * 2
            return
        self.tried = _each_once(np.concatenate([self.tried, todo]))
        floats = from_bits(todo.astype(self.fmt.bits_dtype), self.fmt)
        scorer = Scorer(self.oracle, self.fmt, bits, has_neighbours=False)
        body, tail, differing = sweep_inputs(floats, self.subject, scorer)
        self.last = body, tail
        self.found.append((_coarse(body, bits), _coarse(tail, bits)))
        self.differing += differing

    def totals(self) -> tuple[Totals, Totals]:
        """Of the vector body and of the scalar tail."""
        return merge(body for body, _ in self.found), merge(tail for _, tail in self.found)

    def worst_cells(self, body: Totals, tail: Totals, bits: int, count: int) -> list[tuple[int, int]]:
        """The cells with the largest errors, as ranges of patterns; one at least."""
        cells = {*body.buckets, *tail.buckets}
        errors = {cell: max(body.buckets.get(cell, 0.0), tail.buckets.get(cell, 0.0)) for cell in cells}
        chosen = sorted(sorted(errors, key=lambda cell: (-errors[cell], cell))[:count])
        width = self.fmt.bits - bits
        ranges = [(max(self.low, cell << width), min(self.high, (cell + 1) << width)) for cell in chosen]
        return ranges or [(self.low, self.low + 1)]


def spread(low: int, high: int, count: int) -> Patterns:
    """One of each of `count` runs of neighbours in [low, high), at another place in each: no two have equal bits."""
    numbers = np.arange(count + 1, dtype=np.uint64)
    ends = numbers * np.uint64(high - low) // np.uint64(count)
    return np.asarray(np.uint64(low) + ends[:-1] + ((numbers[:-1] * _GOLDEN) >> np.uint64(32)) % np.diff(ends))


def _coarse(totals: Totals, bits: int) -> Totals:
    """The same with the cells of the picture."""
    buckets: dict[int, float] = {}
    for cell, value in totals.buckets.items():
        place = cell >> (bits - BUCKET_BITS)
        buckets[place] = max(value, buckets.get(place, 0.0))
    return replace(totals, buckets=buckets)


def _around(places: Patterns, low: int, high: int) -> Patterns:
    near = places.astype(np.int64)[:, None] + np.arange(-NEAR, NEAR + 1)
    return np.asarray(near[(near >= low) & (near < high)], np.uint64)


# By sorting: np.unique hashes, and takes minutes for a million evenly spread numbers, whose hashes collide.


def _each_once(patterns: Patterns) -> Patterns:
    patterns = np.sort(patterns)
    is_first = np.ones(patterns.size, np.bool_)
    is_first[1:] = patterns[1:] != patterns[:-1]
    return patterns[is_first]


def _without(patterns: Patterns, others: Patterns) -> Patterns:
    if not others.size:
        return patterns
    place = np.minimum(np.searchsorted(others, patterns), others.size - 1)
    return np.asarray(patterns[others[place] != patterns])


def _edges(spread: Patterns, oracle: FlatReference, fmt: Format) -> Patterns:
    """Where the exact result changes its sign, or becomes subnormal, too large, or no number: found by halving."""

    def kinds(patterns: Patterns) -> NDArray[np.int64]:
        hi = oracle.enclose(from_bits(patterns.astype(fmt.bits_dtype), fmt)).truth.hi
        size = np.abs(hi)
        kind = np.digitize(size, [fmt.smallest_subnormal / 2, fmt.smallest_normal, fmt.largest], right=False)
        return np.where(np.isnan(hi), 0, np.where(hi < 0, -1 - kind, 1 + kind))

    coarse = spread[::COARSE]
    found = kinds(coarse)
    changes = np.flatnonzero(found[1:] != found[:-1])
    if len(changes) > EDGES:
        changes = changes[np.linspace(0, len(changes) - 1, EDGES).astype(np.int64)]
    below, above, kind = coarse[changes], coarse[changes + 1], found[changes]
    while (above - below > 1).any():
        middle = below + (above - below) // np.uint64(2)
        is_same = kinds(middle) == kind
        below, above = np.where(is_same, middle, below), np.where(is_same, above, middle)
    return below
