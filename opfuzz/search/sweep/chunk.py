"""Every input of an elementwise function, a chunk at a time: bit patterns in, totals out."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from opfuzz.core.floats import Format, from_bits
from opfuzz.search.sweep.reference import FlatReference
from opfuzz.search.sweep.scorer import Edge, Part, Scorer, nothing_about
from opfuzz.search.sweep.totals import Totals

BLOCK = 2**16  # inputs scored at once: half of it costs more in calls than its arrays gain in the cache
CHUNK_BITS = 22  # inputs of a chunk, the step of progress: a third of a second of work


class SweptSubject(Protocol):
    """The function under test, on flat arrays of the format, in two ways."""

    def body(self, inputs: NDArray[Any]) -> NDArray[Any]:
        """One contiguous call on all of them."""

    def tail(self, inputs: NDArray[Any]) -> NDArray[Any]:
        """The same elements where no vector register can be filled."""


@dataclass(frozen=True, slots=True)
class Before:
    """The input before a block, and what it gives in the body and in the tail; arrays of one element."""

    input: NDArray[Any]
    results: tuple[NDArray[Any], NDArray[Any]]


def chunks(fmt: Format, low: int, high: int) -> Iterator[tuple[int, int]]:
    """[low, high) in pieces, cut at multiples of the chunk, so that each is the same piece in every sweep."""
    size = 2 ** min(CHUNK_BITS, fmt.bits)
    for start in range(low - low % size, high, size):
        yield max(low, start), min(high, start + size)


def patterns(start: int, stop: int, fmt: Format) -> NDArray[Any]:
    """The floats with the bit patterns [start, stop)."""
    return from_bits(np.arange(stop - start, dtype=fmt.bits_dtype) + fmt.bits_dtype.type(start), fmt)


def sweep_chunk(
    start: int, stop: int, subject: SweptSubject, oracle: FlatReference, fmt: Format, is_first: bool
) -> tuple[Totals, Totals, int]:
    """Totals of [start, stop) in the vector body and in the scalar tail, and how many results differ in bits.

    Unless it `is_first` of a range, the input before it is looked at too, for a fall between the two.
    """
    before: Before | None = None
    if not is_first:
        inputs = np.repeat(patterns(start - 1, start, fmt), 128)
        before = Before(inputs[:1], (subject.body(inputs)[:1], subject.tail(inputs)[:1]))
    return sweep_inputs(patterns(start, stop, fmt), subject, Scorer(oracle, fmt), before)


def sweep_inputs(
    floats: NDArray[Any], subject: SweptSubject, scorer: Scorer, before: Before | None = None
) -> tuple[Totals, Totals, int]:
    """The same of any inputs in the order of their patterns."""
    oracle, fmt = scorer.oracle, scorer.fmt
    only = scorer.only_answer(floats[[0, -1]])
    parts: tuple[list[Part], list[Part]] = [], []
    differing = 0
    for first in range(0, floats.size, BLOCK):
        inputs = floats[first : first + BLOCK]
        results = subject.body(inputs), subject.tail(inputs)
        last, before = before, Before(inputs[-1:], (results[0][-1:], results[1][-1:]))
        unlike = _unlike(*results, fmt)
        differing += unlike
        if only is not None and all(_is_all(result, only) for result in results):
            nothing = nothing_about(inputs.size)
            parts[0].append(nothing)
            parts[1].append(nothing)
            continue
        enclosed = oracle.enclose(inputs)
        edges: list[Edge | None] = [None, None]
        if last is not None:
            exact = oracle.enclose(last.input)
            edges = [Edge(last.input.view(fmt.bits_dtype), result, exact) for result in last.results]
        body = scorer.part(inputs, results[0], enclosed, edges[0])
        is_same = not unlike and (last is None or not _unlike(*last.results, fmt))
        parts[0].append(body)
        parts[1].append(body if is_same else scorer.part(inputs, results[1], enclosed, edges[1]))
    vector = scorer.settled(parts[0])
    if all(a is b for a, b in zip(*parts, strict=True)):
        return vector, vector, differing
    return vector, scorer.settled(parts[1]), differing


def _is_all(results: NDArray[Any], answer: float) -> bool:
    """Whether all results are this NaN, infinity or signed zero."""
    if np.isnan(answer):
        return bool(np.isnan(results).all())
    return bool((results == answer).all() and (np.signbit(results) == np.signbit(answer)).all())


def _unlike(a: NDArray[Any], b: NDArray[Any], fmt: Format) -> int:
    """How many results differ in bits; all NaN count as one."""
    differ = a.view(fmt.bits_dtype) != b.view(fmt.bits_dtype)
    if not differ.any():
        return 0
    return int(np.count_nonzero(differ & ~(np.isnan(a) & np.isnan(b))))
