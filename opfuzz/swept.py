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
from opfuzz.errors import OpfuzzError
from opfuzz.expr import Program
from opfuzz.floats import FORMATS, Format
from opfuzz.oracle import balls, models
from opfuzz.oracle.interval import between
from opfuzz.oracle.meaning import graph_of, operands
from opfuzz.oracle.reference import Reference, wide_format
from opfuzz.plan import calls_of
from opfuzz.search.sweep import chunks, patterns, sweep_chunk
from opfuzz.search.sweep_score import Enclosed
from opfuzz.spec import OpSpec, Value
from opfuzz.sweep_file import Chunk

ROW = 4  # elements that fill no vector register of any processor in two registers at a time, as torch's loops take them
SHORT_CALLS = 8  # in a chunk, to see that a short array gives the bits of the body or of the tail


@dataclass(frozen=True, slots=True)
class Sweep:
    """All bit patterns in [low, high) of one op, subject and format."""

    spec: OpSpec
    subject: str  # with its implementation
    format: str
    params: Mapping[str, Value]
    low: int
    high: int

    def chunks(self) -> list[tuple[int, int]]:
        """The pieces in which it is done."""
        return list(chunks(FORMATS[self.format], self.low, self.high))


class NotUnaryError(OpfuzzError):
    """The op cannot be swept: its elements depend on more than one number."""


class UnsupportedError(Exception):
    """The subject has no kernel for this op and format."""


class FailedError(Exception):
    """The subject raised, or returned another shape or type."""


@dataclass(frozen=True, slots=True)
class Shapes:
    """How an op takes `count` elements: the dims for one row of them, and for rows of ROW."""

    spec: OpSpec
    params: Mapping[str, Value]

    def dims(self, rows: int, columns: int) -> dict[str, int]:
        """Dims so that the last axis has `columns` elements, the first `rows`, and every other 1."""
        axes = [axis.text.strip() for axis in self.spec.inputs[0].shape]
        dims = {dim.name: max(1, dim.low) for dim in self.spec.dims}
        if len(axes) > 1:
            dims[axes[0]] = rows
            dims[axes[-1]] = columns
        else:
            dims[axes[0]] = rows * columns
        return dims

    def check(self) -> None:
        """Raises NotUnaryError if the op cannot take any number of elements in this way."""
        spec = self.spec
        for rows, columns in ((1, 12), (3, ROW)):
            try:
                shape = spec.shapes(self.dims(rows, columns), self.params)[spec.inputs[0].name]
                good = spec.allows(self.dims(rows, columns), self.params) and int(np.prod(shape)) == rows * columns
            except (KeyError, ArithmeticError, OpfuzzError):
                good = False
            if not good:
                raise NotUnaryError(
                    f"{spec.path}: '{spec.op}' cannot be swept: its input has to take any number of elements; "
                    "write its shape as two dims of any size, such as [batch, n]"
                )


def check_unary(spec: OpSpec, format: str, params: Mapping[str, Value]) -> None:
    """Raises NotUnaryError, with the remedy, if an element of the result depends on more than one number."""
    remedy = "; `opfuzz run` and `opfuzz climb` search ops of several numbers"
    if not spec.single_input:
        raise NotUnaryError(
            f"{spec.path}: '{spec.op}' cannot be swept: it does not take one float array of any shape{remedy}"
        )
    shapes = Shapes(spec, params)
    shapes.check()
    inputs = np.ones(shapes.spec.shapes(dims := shapes.dims(1, 8), params)[spec.inputs[0].name], FORMATS[format].dtype)
    if not Reference(spec, FORMATS[format], dims, params, {spec.inputs[0].name: inputs}).is_unary:
        raise NotUnaryError(
            f"{spec.path}: '{spec.op}' cannot be swept: an element of its result depends on several numbers{remedy}"
        )


class Function:
    """The oracle of a sweep: the spec's reference on flat arrays."""

    def __init__(self, sweep: Sweep) -> None:
        self.spec, self.params, self.fmt = sweep.spec, sweep.params, FORMATS[sweep.format]
        self.name = sweep.spec.inputs[0].name
        self.shapes = Shapes(sweep.spec, sweep.params)
        self._wide = models.working("wide", wide_format(self.fmt))
        self.seconds = 0.0

    def enclose(self, inputs: NDArray[Any]) -> Enclosed:
        """See Oracle. Infinite inputs have the limit as Reference has it."""
        started = time.perf_counter()
        spec, dims, given = self.spec, *self._given(inputs)
        tensors = operands(spec, given)
        root = graph_of(spec.reference, dims, self.params, tensors)
        if spec.natural is None:
            ball = balls.evaluate(root, [models.TRUTH, self._wide])
            wide = ball.radii[1]
        else:
            ball = balls.evaluate(root, [models.TRUTH])
            wide = balls.evaluate(graph_of(spec.natural, dims, self.params, tensors), [self._wide]).radii[0]
        hi, radius, allowance = (
            np.zeros(inputs.size) if part is None else np.broadcast_to(part, ball.mid.shape).reshape(-1)
            for part in (ball.mid, ball.radii[0], wide)
        )
        if not np.isfinite(hi.max() - hi.min()) or not np.isfinite(inputs[[0, -1]]).all():
            hi, radius = hi.copy(), radius.copy()
            hi[(radius != 0) & ~np.isfinite(hi)] = np.nan
            infinite = np.flatnonzero(np.isinf(inputs))
            if len(infinite):
                hi[infinite] = np.ravel(self.exact(inputs[infinite]).truth.hi)
                radius[infinite] = 0.0
        self.seconds += time.perf_counter() - started
        return Enclosed(hi, radius, allowance)

    def exact(self, inputs: NDArray[Any]) -> Reference:
        """See Oracle."""
        dims, given = self._given(inputs)
        return Reference(self.spec, self.fmt, dims, self.params, given)

    def between(self, low: float, high: float) -> tuple[float, float]:
        """See Oracle."""
        dims, given = self._given(np.ones(1, self.fmt.dtype))
        return between(graph_of(self.spec.reference, dims, self.params, operands(self.spec, given)), low, high)

    def _given(self, inputs: NDArray[Any]) -> tuple[dict[str, int], dict[str, NDArray[Any]]]:
        dims = self.shapes.dims(1, inputs.size)
        return dims, {self.name: inputs.reshape(self.spec.shapes(dims, self.params)[self.name])}


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
        layout = "narrowed" if len(self.spec.inputs[0].shape) > 1 else "stepped"
        return self._call(padded, rows, ROW, layout)[: inputs.size]

    def _call(self, inputs: NDArray[Any], rows: int, columns: int, layout: str) -> NDArray[Any]:
        started = time.perf_counter()
        dims = self.shapes.dims(rows, columns)
        name = self.spec.inputs[0].name
        shape = self.spec.shapes(dims, self.params)[name]
        names = {**dims, **self.params}
        given = ({name: inputs.reshape(shape)}, {name: layout}, names, self.format)
        outcome = perform(self.backend, self.subject, self.program, *given, shape, repeat=False)
        self.seconds += time.perf_counter() - started
        if outcome.status == "unsupported":
            raise UnsupportedError(outcome.message)
        if outcome.output is None:
            raise FailedError(outcome.message)
        return outcome.output.ravel()

    def strays(self, start: int, stop: int, fmt: Format) -> int:
        """Of some elements called by ones and threes, how many have neither the body's bits nor the tail's."""
        strays = 0
        for turn in range(SHORT_CALLS):
            first = start + (stop - start) * turn // SHORT_CALLS
            inputs = patterns(first, min(stop, first + (1, 3)[turn % 2]), fmt)
            given = self._call(inputs, 1, inputs.size, "contiguous")
            long = self.body(np.resize(inputs, 128))[: inputs.size], self.tail(inputs)
            for place, own in enumerate(np.split(given, inputs.size)):
                strays += not any(same_bits(own, way[place : place + 1]) for way in long)
        return strays


def prepared(sweep: Sweep, backends: Mapping[str, Backend]) -> tuple[Function, Called]:
    """Oracle and subject of a sweep. Raises OpfuzzError if the spec has no call for the subject."""
    subject, backend = resolve(sweep.subject, backends)
    backend.limit_threads(1)
    program = calls_of(sweep.spec, subject, backend).get(subject.implementation)
    if program is None:
        raise OpfuzzError(f"{sweep.spec.path}: '{sweep.spec.op}' has no call for {sweep.subject}")
    return Function(sweep), Called(sweep, subject, backend, program)


def measure(sweep: Sweep, place: int, oracle: Function, subject: Called) -> Chunk | str:
    """One chunk; the reason in words where the subject has no kernel for it, or fails."""
    fmt = FORMATS[sweep.format]
    start, stop = sweep.chunks()[place]
    oracle.seconds = subject.seconds = 0.0
    started = time.perf_counter()
    try:
        with np.errstate(all="ignore"), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what a framework has to say about extreme inputs
            body, tail, differing = sweep_chunk(start, stop, subject, oracle, fmt, start == sweep.low)
            called = subject.seconds
            strays = subject.strays(start, stop, fmt)
    except (UnsupportedError, FailedError) as error:
        return str(error)
    total = time.perf_counter() - started
    return Chunk(place, body, tail, differing, strays, total, called, oracle.seconds)
