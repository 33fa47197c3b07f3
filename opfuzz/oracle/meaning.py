"""What a formula of a spec says about given inputs, as a graph, and its values in float64 without any bound."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from math import isfinite
from typing import Any

import numpy as np
from numpy.typing import NDArray

from opfuzz.core.call import Call
from opfuzz.core.errors import OpfuzzError
from opfuzz.core.floats import FORMATS, FloatArray, Format
from opfuzz.oracle import balls, graph
from opfuzz.oracle.gradients.reverse import gradients
from opfuzz.oracle.gradients.together import Together
from opfuzz.oracle.graph import PI, Node
from opfuzz.oracle.operations import REFERENCE_FUNCTIONS
from opfuzz.spec import OpSpec, Value
from opfuzz.spec.expression.program import ExpressionError, Program, evaluate

Names = Mapping[str, object]
# Of a formula that does not fit its inputs.
FAILURES = (ValueError, TypeError, ZeroDivisionError, OverflowError, MemoryError, ExpressionError)


@dataclass(frozen=True, slots=True, eq=False)
class Meaning:
    """What a spec says of a call: the graphs of its formulas, one an output."""

    spec: OpSpec
    call: Call
    tensors: Names  # the inputs as formulas take them
    roots: tuple[Node, ...]
    naturals: tuple[Node, ...]  # of the formula as it is usually computed
    others: tuple[Node, ...]  # of another formula that is usual as well; (): there is none
    together: tuple[Together, ...]  # the outputs of each of these formulas, where they share most; (): they do not


def meaning_of(spec: OpSpec, call: Call) -> Meaning:
    """The graphs of a call.

    Raises OpfuzzError if the formulas do not give the outputs of the spec, in their number and shapes.
    """
    dims, params, tensors = call.dims, call.params, operands(spec, call.arrays)
    try:
        roots = graphs_of(spec.reference, dims, params, tensors)
        naturals = roots if spec.natural is None else graphs_of(spec.natural, dims, params, tensors)
        others = () if spec.also is None else graphs_of(spec.also, dims, params, tensors)
    except FAILURES as error:
        raise OpfuzzError(
            f"{spec.path}: the reference of '{spec.op}' fails at {_settings(dims, params)}: {error}"
        ) from error
    expected = spec.output_shapes(dims, params)
    for what, nodes in (("reference", roots), ("natural formula", naturals), ("other formula", others or roots)):
        if len(nodes) != len(expected):
            raise OpfuzzError(f"{spec.path}: the {what} of '{spec.op}' gives {len(nodes)} results, not {len(expected)}")
        for node, (output, shape) in zip(nodes, expected.items(), strict=True):
            if node.shape != shape:
                raise OpfuzzError(
                    f"{spec.path}: the {what} of '{spec.op}' has the shape {list(node.shape)}, "
                    f"the output{f' {output}' if output else ''} says {list(shape)} at {_settings(dims, params)}"
                )
    formulas = [roots, naturals, *([others] if others else [])]
    together = () if spec.gradient is None else tuple(map(Together, formulas))
    return Meaning(spec, call, tensors, roots, naturals, others, together)


def operands(spec: OpSpec, arrays: Mapping[str, NDArray[Any]]) -> dict[str, object]:
    """The inputs as formulas take them: exact values, indices and masks as they are."""
    return {item.name: _operand(arrays[item.name], item.kind, item.dtype) for item in spec.inputs}


def without_subnormals(spec: OpSpec, arrays: Mapping[str, NDArray[Any]], fmt: Format) -> dict[str, NDArray[Any]] | None:
    """Inputs with zeros of their sign in place of what is subnormal in `fmt`; None: nothing is."""
    found: dict[str, NDArray[Any]] = {}
    for item in spec.inputs:
        array = arrays[item.name].astype(np.float64)
        is_subnormal = (array != 0) & (np.abs(array) < fmt.smallest_normal)
        if item.kind == "float" and is_subnormal.any():
            found[item.name] = np.where(is_subnormal, np.copysign(0.0, array), array)
    return {**arrays, **found} if found else None


def graphs_of(program: Program, dims: Mapping[str, int], params: Names, tensors: Names) -> tuple[Node, ...]:
    """The graphs of a formula, one for each of its results: of a tuple in its order, or of one value alone.

    Where its gradient is meant they are those of the gradients.
    Raises one of FAILURES where the formula does not fit its inputs.
    """
    exact = {name: _literal(value) if isinstance(value, float) else value for name, value in params.items()}
    names: dict[str, object] = {"pi": PI, "inf": np.inf, **dims, **exact, **tensors}
    found = evaluate(
        program, names, REFERENCE_FUNCTIONS, literal=_literal, divide=_divide, equal=_equal, unequal=_unequal
    )
    roots = tuple(map(graph.as_node, found if isinstance(found, tuple) else (found,)))
    if program.gradient is None:
        return roots
    meant = program.gradient
    asked, given = ([graph.as_node(tensors[name]) for name in names] for names in (meant.inputs, meant.cotangents))
    given = given or [graph.number(1)] * len(roots)
    return gradients(roots, given, asked, is_usual=meant.is_usual, by_powers=meant.by_powers, cut=meant.cut)


def rough_values(spec: OpSpec, call: Call, place: int) -> FloatArray:
    """An output in float64, of whose error nothing is known. Raises one of FAILURES."""
    return balls.evaluate(graphs_of(spec.reference, call.dims, call.params, operands(spec, call.arrays))[place], []).mid


def variant_graphs(spec: OpSpec, name: str, dims: Mapping[str, int], params: Names, tensors: Names) -> tuple[Node, ...]:
    """The graphs of a variant: its formula, or the usual one, with its params."""
    variant = spec.variants[name]
    program = variant.reference or spec.natural or spec.reference
    return graphs_of(program, dims, {**params, **variant.params}, tensors)


def variant_values(
    spec: OpSpec,
    name: str,
    dims: Mapping[str, int],
    params: Mapping[str, Value],
    arrays: Mapping[str, NDArray[Any]],
) -> tuple[FloatArray, ...] | None:
    """A variant's outputs; None where it has no meaning for these inputs, or other shapes."""
    try:
        roots = variant_graphs(spec, name, dims, params, operands(spec, arrays))
    except FAILURES:
        return None
    if [root.shape for root in roots] != [*spec.output_shapes(dims, params).values()]:
        return None
    return tuple(balls.evaluate(root, []).mid for root in roots)


def _operand(array: NDArray[Any], kind: str, dtype: str | None = None) -> object:
    if kind in ("index", "mask"):
        return array.view(graph.Whole)
    return graph.leaf(
        array.astype(np.float64), "input" if kind == "float" else "leaf", None if dtype is None else FORMATS[dtype]
    )


@lru_cache(maxsize=1024)  # every case of a spec has the same few
def _literal(value: float) -> object:
    return Fraction(value) if isfinite(value) else value


def _equal(a: object, b: object) -> object:
    # A node is equal to itself alone, as a key is; of its values only `where` can ask.
    return graph.equal(a, b) if isinstance(a, Node) or isinstance(b, Node) else a == b


def _unequal(a: object, b: object) -> object:
    return graph.equal(a, b, is_inverted=True) if isinstance(a, Node) or isinstance(b, Node) else a != b


def _divide(a: object, b: object) -> object:
    return graph.binary("div", a, b)


def _settings(dims: Mapping[str, int], params: Names) -> str:
    return ", ".join(f"{name} = {value}" for name, value in {**dims, **params}.items()) or "any size"
