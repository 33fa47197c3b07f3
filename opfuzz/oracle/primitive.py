"""Ops that are one operation of a graph and nothing else, such as exp or a matrix product, and how to ask them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import prod

import numpy as np

from opfuzz.core.call import Call
from opfuzz.core.floats import FloatArray, Format, round_to
from opfuzz.core.layout import LAYOUTS
from opfuzz.oracle.elementary import ELEMENTARY
from opfuzz.oracle.forms import FORMS
from opfuzz.oracle.graph import Node
from opfuzz.oracle.meaning import FAILURES, graphs_of, operands
from opfuzz.spec import OpSpec

ROWS = frozenset({"sum", "cumsum", "softmax"})  # along one axis, which an op has last


@dataclass(frozen=True, slots=True)
class Primitive:
    """An op that computes one operation of its inputs, or its reciprocal."""

    spec: OpSpec
    operation: str
    is_reciprocal: bool = False  # which of one operation only is an op: 1/sqrt(x)

    def arrange(self, node: Node, args: list[FloatArray]) -> tuple[dict[str, int], dict[str, FloatArray]]:
        """Dims and inputs of the call that computes a node of this operation from these arguments."""
        if node.op == "dot":
            batch = node.shape[:-2]
            wide = [np.broadcast_to(arg, (*batch, *arg.shape[-2:])) for arg in args]
            shaped = [arg.reshape(prod(batch), *arg.shape[-2:]) for arg in wide]
        elif node.op in ROWS:
            axes = _axes(node)
            rows = np.moveaxis(args[0], axes, range(-len(axes), 0))
            # Of an empty batch a gradient by a weight is a sum of nothing.
            kept = rows.shape[: rows.ndim - len(axes)]
            shaped = [rows.reshape(prod(kept), prod(rows.shape[len(kept) :]))]
        else:
            shaped = [args[0].reshape(1, -1)]
        dims: dict[str, int] = {dim.name: 1 for dim in self.spec.dims}
        for given, array in zip(self.spec.inputs, shaped, strict=True):
            named = zip(reversed(given.shape), reversed(array.shape), strict=False)
            dims |= {size.text: count for size, count in named}
        shapes = self.spec.shapes(dims, {param.name: param.default for param in self.spec.params})
        return dims, {name: array.reshape(shape) for (name, shape), array in zip(shapes.items(), shaped, strict=True)}

    def call(self, dims: Mapping[str, int], arrays: Mapping[str, FloatArray], fmt: Format) -> Call:
        """The call with these inputs, rounded to a format."""
        params = {param.name: param.default for param in self.spec.params}
        rounded = {name: round_to(array, fmt) for name, array in arrays.items()}
        return Call(fmt.name, dims, params, rounded, dict.fromkeys(rounded, LAYOUTS[0]))

    def call_of_row(self, x: FloatArray, fmt: Format) -> Call:
        """The call of an elementwise function on numbers that stand in one row."""
        (given,) = self.spec.inputs
        dims = {**{dim.name: 1 for dim in self.spec.dims}, given.shape[-1].text: len(x)}
        return self.call(dims, {given.name: x.reshape((1,) * (len(given.shape) - 1) + (len(x),))}, fmt)

    def read(self, node: Node, args: list[FloatArray], made: FloatArray) -> FloatArray:
        """The values of the node, from what the call returned."""
        if node.op in ("cumsum", "softmax"):
            (axis,) = _axes(node)
            moved = np.moveaxis(args[0], axis, -1).shape
            return np.moveaxis(made.reshape(moved), -1, axis)
        return (1 / made if self.is_reciprocal else made).reshape(node.shape)


def primitives_of(specs: Iterable[OpSpec]) -> tuple[Primitive, ...]:
    """The specs that are one operation each; what is never made of others first, then by name."""
    found = [primitive for spec in specs if (primitive := _primitive(spec))]
    return tuple(sorted(found, key=lambda each: (each.operation in FORMS, each.spec.op)))


def _primitive(spec: OpSpec) -> Primitive | None:
    """A spec that computes one operation of its inputs as they are; None where that is more than one, or is none."""
    dims = {dim.name: dim.choices[0] if dim.choices else max(dim.low, 2 + i) for i, dim in enumerate(spec.dims)}
    params = {param.name: param.default for param in spec.params}
    if (
        len(spec.outputs) != 1
        or any(given.kind != "float" or given.dtype for given in spec.inputs)
        or not spec.allows(dims, params)
    ):
        return None
    axes = [[size.text for size in given.shape] for given in spec.inputs]
    if any(not each or len(set(each)) < len(each) or set(each) - dims.keys() for each in axes):
        return None  # no call can be made of an array of any size
    arrays = {name: np.full(shape, 0.5) for name, shape in spec.shapes(dims, params).items()}
    try:
        (node,) = graphs_of(spec.reference, dims, params, operands(spec, arrays))
    except FAILURES:
        return None
    while node.op == "reshape":
        (node,) = node.args
    is_reciprocal = node.op == "div" and node.args[0].op == "number" and node.args[0].detail == 1
    if is_reciprocal and node.args[1].op == "sqrt":
        node = node.args[1]
    if [arg.op for arg in node.args] != ["input"] * len(spec.inputs):
        return None
    is_primitive = node.op in ELEMENTARY or node.op in ("sqrt", "dot")
    if node.op in ROWS:
        is_primitive = len(axes[0]) == 2 and _axes(node) == (1,)
    return Primitive(spec, node.op, is_reciprocal) if is_primitive else None


def _axes(node: Node) -> tuple[int, ...]:
    """Those along which a row runs."""
    if node.op == "sum":
        axes: tuple[int, ...] = node.detail
        return axes
    return (node.detail[0] if node.op == "softmax" else node.detail,)
