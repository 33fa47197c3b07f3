"""The two sides of a sweep, the spec's reference and the subject, as functions of flat arrays."""

from __future__ import annotations

import time
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from opfuzz.backends import Backend, Subject, perform, resolve, same_bits
from opfuzz.core.call import Call
from opfuzz.core.errors import OpfuzzError
from opfuzz.core.floats import FORMATS, Format
from opfuzz.core.results import Outcome
from opfuzz.engine.drivers.sweep_file import Chunk, pieces
from opfuzz.engine.plan import calls_of
from opfuzz.report.causes import word_cause
from opfuzz.search.sweep.chunk import patterns, sweep_chunk
from opfuzz.search.sweep.reference import ROW, FlatReference, Shapes
from opfuzz.search.sweep.sample import sweep_sample
from opfuzz.spec import OpSpec, Value
from opfuzz.spec.expression.program import Program

LONG = 128  # elements that fill vector registers, as those of a whole chunk do
SHORT_CALLS = 8  # in a chunk, to see that a short array gives the bits of the body or of the tail


@dataclass(frozen=True, slots=True)
class Sweep:
    """All bit patterns in [low, high) of one op, subject and format, or a sample of them."""

    spec: OpSpec
    subject: str  # with its implementation
    format: str
    params: Mapping[str, Value]
    low: int
    high: int
    sample: int = 0  # inputs that are spread evenly, and others are looked into; 0 for all

    def chunks(self) -> list[tuple[int, int]]:
        """The pieces in which it is done; a sample is one."""
        return pieces(FORMATS[self.format], self.low, self.high, self.sample)

    def size(self, place: int) -> int:
        """About how many inputs a piece has."""
        start, stop = self.chunks()[place]
        return self.sample or stop - start


class UnsupportedError(Exception):
    """The subject has no kernel for this op and format."""


class FailedError(Exception):
    """The subject raised, or returned another shape or type."""


class Called:
    """The subject of a sweep."""

    def __init__(self, sweep: Sweep, subject: Subject, backend: Backend, program: Program) -> None:
        self.spec, self.format, self.params = sweep.spec, sweep.format, sweep.params
        self.subject, self.backend, self.program = subject, backend, program
        self.shapes = Shapes(sweep.spec, sweep.params)
        self.seconds = 0.0

    def body(self, inputs: NDArray[Any]) -> NDArray[Any]:
        """See sweep.Subject."""
        return self._call(inputs, 1, inputs.size, "contiguous")

    def tail(self, inputs: NDArray[Any]) -> NDArray[Any]:
        """See sweep.Subject: rows of ROW elements with gaps between them, which no kernel can join to longer ones."""
        rows = -(-inputs.size // ROW)
        padded = np.resize(inputs, rows * ROW)
        return self._call(padded, rows, ROW, self._gaps)[: inputs.size]

    def on_one_number(self, number: NDArray[Any]) -> tuple[Call, ...]:
        """Calls on one number, in an array of one element: by itself, as in the body, and as in the tail."""
        rows = np.repeat(number, ROW * ROW)
        return (
            self._laid(number, 1, 1, "contiguous"),
            self._laid(np.repeat(number, LONG), 1, LONG, "contiguous"),
            self._laid(rows, ROW, ROW, self._gaps),
        )

    def perform(self, call: Call) -> Outcome:
        """What the subject makes of a call."""
        outputs = self.spec.output_shapes(call.dims, call.params)
        return perform(self.backend, self.subject, self.program, call, outputs)

    @property
    def _gaps(self) -> str:
        """The layout of rows that no kernel can join."""
        return "narrowed" if len(self.spec.inputs[0].shape) > 1 else "stepped"

    def _laid(self, inputs: NDArray[Any], rows: int, columns: int, layout: str) -> Call:
        dims = self.shapes.dims(rows, columns)
        name = self.spec.inputs[0].name
        shape = self.spec.shapes(dims, self.params)[name]
        return Call(self.format, dims, self.params, {name: inputs.reshape(shape)}, {name: layout})

    def _call(self, inputs: NDArray[Any], rows: int, columns: int, layout: str) -> NDArray[Any]:
        started = time.process_time()
        outcome = self.perform(self._laid(inputs, rows, columns, layout))
        self.seconds += time.process_time() - started
        if outcome.status == "unsupported":
            raise UnsupportedError(word_cause(outcome.cause))
        if outcome.outputs is None:
            raise FailedError(word_cause(outcome.cause))
        return outcome.outputs[0].ravel()

    def strays(self, start: int, stop: int, fmt: Format) -> int:
        """Of some elements called by ones and threes, how many have neither the body's bits nor the tail's."""
        strays = 0
        for turn in range(SHORT_CALLS):
            first = start + (stop - start) * turn // SHORT_CALLS
            inputs = patterns(first, min(stop, first + (1, 3)[turn % 2]), fmt)
            given = self._call(inputs, 1, inputs.size, "contiguous")
            long = self.body(np.resize(inputs, LONG))[: inputs.size], self.tail(inputs)
            for place, own in enumerate(np.split(given, inputs.size)):
                strays += not any(same_bits(own, way[place : place + 1]) for way in long)
        return strays


def prepare(sweep: Sweep, backends: Mapping[str, Backend]) -> tuple[FlatReference, Called]:
    """Oracle and subject of a sweep. Raises OpfuzzError if the spec has no call for the subject."""
    return FlatReference(sweep.spec, sweep.format, sweep.params), called(sweep, backends)


def called(sweep: Sweep, backends: Mapping[str, Backend]) -> Called:
    """The subject of a sweep, with one thread. Raises OpfuzzError if the spec has no call for it."""
    subject, backend = resolve(sweep.subject, backends)
    backend.limit_threads(1)
    program = calls_of(sweep.spec, subject, backend).get(subject.implementation)
    if program is None:
        raise OpfuzzError(f"{sweep.spec.path}: '{sweep.spec.op}' has no call for {sweep.subject}")
    return Called(sweep, subject, backend, program)


def measure(sweep: Sweep, place: int, oracle: FlatReference, subject: Called) -> Chunk | str:
    """One chunk; the reason in words where the subject has no kernel for it, or fails."""
    fmt = FORMATS[sweep.format]
    start, stop = sweep.chunks()[place]
    oracle.seconds = subject.seconds = 0.0
    started = time.process_time()
    try:
        with np.errstate(all="ignore"), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what a framework has to say about extreme inputs
            if sweep.sample:
                body, tail, differing = sweep_sample(start, stop, sweep.sample, subject, oracle, fmt)
            else:
                body, tail, differing = sweep_chunk(start, stop, subject, oracle, fmt, start == sweep.low)
            called = subject.seconds
            strays = subject.strays(start, stop, fmt)
    except (UnsupportedError, FailedError) as error:
        return str(error)
    total = time.process_time() - started
    return Chunk(place, body, tail, differing, strays, total, called, oracle.seconds)
