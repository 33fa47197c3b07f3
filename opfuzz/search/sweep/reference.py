"""The spec's reference as a function of flat arrays: what a sweep holds its subject against."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from opfuzz.core.call import Call
from opfuzz.core.errors import OpfuzzError
from opfuzz.core.floats import FORMATS, FloatArray
from opfuzz.oracle import balls, models
from opfuzz.oracle.interval import between
from opfuzz.oracle.meaning import graphs_of, operands
from opfuzz.oracle.models import wide_format
from opfuzz.oracle.reference import Reference, references_of
from opfuzz.oracle.truth import Truth
from opfuzz.spec import OpSpec, Value

ROW = 4  # elements that fill no vector register of any processor in two registers at a time, as torch's loops take them


class NotUnaryError(OpfuzzError):
    """The op cannot be swept: its elements depend on more than one number."""


@dataclass(frozen=True, slots=True)
class Enclosed:
    """Flat arrays: exact values as float64 balls, and `wide`, what an honest implementation may be off by.

    An infinite radius means that nothing is known.
    """

    truth: Truth
    wide: FloatArray

    def __getitem__(self, place: Any) -> Enclosed:
        """A part of them."""
        return Enclosed(self.truth[place], self.wide[place])


@dataclass(frozen=True, slots=True)
class Shapes:
    """How an op takes `count` elements: the dims for one row of them, and for rows of ROW."""

    spec: OpSpec
    params: Mapping[str, Value]

    def dims(self, rows: int, columns: int) -> dict[str, int]:
        """Dims so that the last axis has `columns` elements, the first `rows`, and every other 1; an axis that is made
        of dims, as 2 * half, has what it has."""
        axes = [axis.text.strip() for axis in self.spec.inputs[0].shape] or [""]
        ends = {axes[0]: rows, axes[-1]: columns} if len(axes) > 1 else {axes[0]: rows * columns}
        return {dim.name: ends.get(dim.name, max(1, dim.low)) for dim in self.spec.dims}

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
    if len(spec.outputs) > 1:
        raise NotUnaryError(
            f"{spec.path}: '{spec.op}' cannot be swept: it has the outputs "
            f"{', '.join(output.name for output in spec.outputs)}, and a sweep is of one{remedy}"
        )
    if not spec.single_input:
        raise NotUnaryError(
            f"{spec.path}: '{spec.op}' cannot be swept: it does not take one float array of any shape{remedy}"
        )
    shapes = Shapes(spec, params)
    shapes.check()
    inputs = np.ones(shapes.spec.shapes(dims := shapes.dims(1, 8), params)[spec.inputs[0].name], FORMATS[format].dtype)
    (reference,) = references_of(spec, Call(format, dims, params, {spec.inputs[0].name: inputs}, {}))
    if not reference.is_unary:
        raise NotUnaryError(
            f"{spec.path}: '{spec.op}' cannot be swept: an element of its result depends on several numbers{remedy}"
        )


class FlatReference:
    """The reference of an elementwise op on flat arrays of the format. `seconds`: of the processor, in `enclose`."""

    def __init__(self, spec: OpSpec, format: str, params: Mapping[str, Value]) -> None:
        self.spec, self.params, self.fmt = spec, params, FORMATS[format]
        self.name = spec.inputs[0].name
        self.shapes = Shapes(spec, params)
        self._wide = models.working("wide", wide_format(self.fmt))
        self.seconds = 0.0

    def enclose(self, inputs: NDArray[Any]) -> Enclosed:
        """The exact values as float64 balls. Infinite inputs have the limit as Reference has it."""
        started = time.process_time()
        spec, dims, given = self.spec, *self._given(inputs)
        tensors = operands(spec, given)
        (root,) = graphs_of(spec.reference, dims, self.params, tensors)
        if spec.natural is None:
            ball = balls.evaluate(root, [models.TRUTH, self._wide])
            wide = ball.radii[1]
        else:
            ball = balls.evaluate(root, [models.TRUTH])
            (natural,) = graphs_of(spec.natural, dims, self.params, tensors)
            wide = balls.evaluate(natural, [self._wide]).radii[0]
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
        self.seconds += time.process_time() - started
        return Enclosed(Truth(hi, np.broadcast_to(0.0, hi.shape), radius, self.fmt), allowance)

    def exact(self, inputs: NDArray[Any]) -> Reference:
        """The same, with all that judging may ask."""
        dims, given = self._given(inputs)
        (reference,) = references_of(self.spec, Call(self.fmt.name, dims, self.params, given, {}))
        return reference

    def between(self, low: float, high: float) -> tuple[float, float]:
        """Bounds of the function over a whole range."""
        dims, given = self._given(np.ones(1, self.fmt.dtype))
        (root,) = graphs_of(self.spec.reference, dims, self.params, operands(self.spec, given))
        return between(root, low, high)

    def _given(self, inputs: NDArray[Any]) -> tuple[dict[str, int], dict[str, NDArray[Any]]]:
        dims = self.shapes.dims(1, inputs.size)
        return dims, {self.name: inputs.reshape(self.spec.shapes(dims, self.params)[self.name])}
