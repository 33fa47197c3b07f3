"""Where honest arithmetic may overflow on the way to a gradient, for which nobody is accused."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from opfuzz.core.floats import Format
from opfuzz.oracle.graph import Node
from opfuzz.oracle.meaning import graphs_of, operands
from opfuzz.oracle.working import Counting, emulate
from opfuzz.spec import OpSpec
from opfuzz.spec.expression.program import Program

ORDERS = 8.0  # times larger is what comes of a few factors such as 2 or 3 in another order
IN_PLACE_OF_ZERO = 0.125  # none of the numbers at which functions have poles
Names = Mapping[str, Any]
Arrays = Mapping[str, NDArray[Any]]


# A slope beyond the format times a cotangent of zero is NaN in honest arithmetic, and so is an intermediate that meets
# the largest cotangent before what makes it small again.


def steep_places(
    spec: OpSpec,
    dims: Mapping[str, int],
    params: Mapping[str, Any],
    arrays: Arrays,
    place: int,
    fmt: Format,
    storage: Format,
) -> NDArray[np.bool_]:
    """Elements of the gradient at a place for which a usual formula may overflow in `fmt` in some order of its factors.

    It has then no number for cotangents of at least 1, or something inside is nearly as large as the largest number
    divided by the largest cotangent. Results are kept in `storage`.
    """
    most = fmt.largest / ORDERS / max(1.0, largest_cotangent(spec, arrays))
    found = np.zeros((), np.bool_)
    for formula in _formulas(spec, dims, params, arrays, place):
        emulated = emulate(formula, fmt, 1, storage=storage, counting=Counting(most))
        found = found | emulated.overflowed | ~np.isfinite(emulated.values.astype(np.float64))
    return np.asarray(found)


def largest_cotangent(spec: OpSpec, arrays: Arrays) -> float:
    """The largest size of an element of a cotangent."""
    assert spec.gradient is not None
    sizes = (np.abs(arrays[name].astype(np.float64)) for name in spec.gradient.cotangents)
    return max((float(size.max(initial=0.0)) for size in sizes), default=1.0)


def lost_of_slopes(spec: OpSpec, arrays: Arrays, fmt: Format) -> float:
    """What a slope loses that is rounded among the subnormals of a format before it meets the cotangent."""
    return fmt.smallest_subnormal * largest_cotangent(spec, arrays)


# PyTorch and MLX have -y^3/2 as the slope of 1 / sqrt(x), also inside of their norms, and MLX and JAX -a / b^2 as that
# of a / b: powers that leave the range long before the slope does.


def formulas_by_powers(spec: OpSpec, dims: Names, params: Names, tensors: Names, place: int) -> tuple[Node, ...]:
    """The usual formulas of a gradient with the powers that quotients are often derived with; none of an op."""
    programs = [] if spec.gradient is None else [each for each in (spec.natural, spec.also) if each is not None]
    return tuple(graphs_of(_by_powers(each), dims, params, tensors)[place] for each in programs)


def _by_powers(program: Program) -> Program:
    assert program.gradient is not None
    return replace(program, gradient=replace(program.gradient, by_powers=True))


def _formulas(spec: OpSpec, dims: Names, params: Names, arrays: Arrays, place: int) -> Iterator[Node]:
    """The usual formulas for cotangents that are nowhere below 1, but 1 there; and without zeros among the inputs."""
    for given in _without_zeros(spec, arrays):
        tensors = operands(spec, given)
        for program in (spec.natural, spec.also):
            if program is not None:
                yield graphs_of(program, dims, params, tensors)[place]
        yield from formulas_by_powers(spec, dims, params, tensors, place)


# An adjoint that is zero for what stands in the inputs, as that of scores is where all values of an attention are zero,
# meets an infinity in honest arithmetic; one that is zero as a side is not taken does not.


def _without_zeros(spec: OpSpec, arrays: Arrays) -> Iterator[Arrays]:
    assert spec.gradient is not None
    ones = {name: np.where(np.abs(arrays[name]) < 1, 1.0, arrays[name]) for name in spec.gradient.cotangents}
    given = {**arrays, **ones}
    yield given
    floats = {item.name for item in spec.inputs if item.kind == "float" and (given[item.name] == 0).any()}
    if floats:
        yield {**given, **{name: np.where(given[name] == 0, IN_PLACE_OF_ZERO, given[name]) for name in floats}}
