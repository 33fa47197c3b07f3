"""Gradients of a formula through one step of which nothing is handed back, as if that step were constant."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from opfuzz.oracle import graph
from opfuzz.oracle.gradients.reverse import ordered
from opfuzz.oracle.graph import Node
from opfuzz.oracle.meaning import graphs_of
from opfuzz.spec import OpSpec
from opfuzz.spec.expression.program import Gradient, Program

MOVING = frozenset({"gather", "reshape", "input", "leaf", "number", "neg"})  # through which everything goes, or nothing
Names = Mapping[str, object]


def steps_of(spec: OpSpec, dims: Mapping[str, int], params: Names, tensors: Names) -> list[tuple[int, str]]:
    """The steps of a formula whose gradient is meant, by which some but not all of it goes: places and kinds."""
    program, gradient = _usual(spec)
    roots = graphs_of(replace(program, gradient=None), dims, params, tensors)
    whole, active = ordered(roots, [graph.as_node(tensors[name]) for name in gradient.inputs])
    last = {id(root) for root in roots}
    return [
        (place, node.op)
        for place, node in enumerate(whole)
        if id(node) in active and id(node) not in last and node.op not in MOVING
    ]


def cut_at(spec: OpSpec, dims: Mapping[str, int], params: Names, tensors: Names, step: int) -> tuple[Node, ...]:
    """The gradients with nothing handed back through the step at a place."""
    program, gradient = _usual(spec)
    return graphs_of(replace(program, gradient=replace(gradient, cut=step)), dims, params, tensors)


def _usual(spec: OpSpec) -> tuple[Program, Gradient]:
    """The reference, as libraries compute its gradient."""
    program = spec.also or spec.natural or spec.reference
    assert program.gradient is not None
    return program, program.gradient
