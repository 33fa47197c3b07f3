"""Which ops have gradients to try, and why the others have none."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from opfuzz.generate import draw, inputs
from opfuzz.oracle import graph
from opfuzz.oracle.gradients.rules import NoDerivativeError
from opfuzz.oracle.meaning import graphs_of, operands
from opfuzz.spec import OpSpec
from opfuzz.spec.gradient import differentiated, gradient_of

ALSO, ONLY = "also", "only"  # beside the ops themselves, or in their place
DRAWN, DRAWN_OF_PARAMS = 2, 8  # cases that are looked at; with other values of a parameter it may be another formula


def gradients_of(specs: Iterable[OpSpec]) -> tuple[tuple[OpSpec, ...], dict[str, str]]:
    """The gradients of ops as ops of their own, and of each op that has none the reason."""
    made, without = [], {}
    for spec in specs:
        reason = reason_against(spec)
        if reason is None:
            made.append(gradient_of(spec))
        else:
            without[spec.op] = reason
    return tuple(made), without


def reason_against(spec: OpSpec) -> str | None:
    """Why an op has no gradient; None if it has."""
    if not differentiated(spec):
        return "it has no input of floats"
    meant, is_behind = gradient_of(spec), False
    assert meant.gradient is not None
    for number in range(DRAWN_OF_PARAMS if spec.params else DRAWN):
        case = draw(spec, spec.formats[0], 0, number)
        shapes = meant.shapes(case.dims, case.params)
        tensors = operands(spec, inputs(spec, case))
        given = {name: graph.leaf(np.ones(shapes[name]), "input") for name in meant.gradient.cotangents}
        try:
            roots = graphs_of(meant.reference, case.dims, case.params, {**tensors, **given})
        except NoDerivativeError as error:
            return str(error)
        ids = set(map(id, given.values()))
        is_behind = is_behind or any(id(node) in ids for root in roots for node in graph.topological(root))
    return None if is_behind else "what it gives changes by jumps alone"
