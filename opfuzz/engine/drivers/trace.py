"""What a trace needs of other rooms to name a cause: the bundled specs, and what their variants give."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from opfuzz.backends import discover
from opfuzz.core.shipped import shipped
from opfuzz.engine.drivers.pipeline_bench import meaning
from opfuzz.engine.plan import load_specs
from opfuzz.network.trace.causes import Knowledge
from opfuzz.oracle import balls
from opfuzz.oracle.gradients.cuts import cut_at, steps_of
from opfuzz.oracle.graph import Node
from opfuzz.oracle.meaning import FAILURES, operands, variant_graphs
from opfuzz.spec import OpSpec, Value
from opfuzz.spec.gradient import differentiated, gradient_of

Array = NDArray[Any]


def knowledge() -> Knowledge:
    """The bundled specs. Raises SpecError if one of them is broken."""
    return Knowledge(
        {spec.op: spec for spec in load_specs((shipped("specs"),), discover(()), dialects=("torch",))},
        meaning,
        gradients=gradient_readings,
    )


def gradient_readings(
    spec: OpSpec, dims: Mapping[str, int], params: Mapping[str, Value], arrays: Mapping[str, Array], cotangent: Array
) -> Iterator[tuple[str, Mapping[str, Array]]]:
    """The gradients of an op as its variants have them, and with nothing handed back through one step of its formula.

    By name of the input, with whose they are, in words. Nothing for an op of several outputs.
    """
    meant = gradient_of(spec)
    names = differentiated(spec)
    if meant.gradient is None or len(meant.gradient.cotangents) != 1 or not names:
        return
    (given,) = meant.gradient.cotangents
    shape = meant.shapes(dims, params)[given]
    if cotangent.size != np.prod(shape, dtype=int):
        return
    tensors = operands(meant, {**arrays, given: cotangent.reshape(shape)})

    def told(roots: tuple[Node, ...]) -> dict[str, Array]:
        return {name: balls.evaluate(root, []).mid for name, root in zip(names, roots, strict=True)}

    with np.errstate(all="ignore"):
        for name, variant in meant.variants.items():
            try:
                made = told(variant_graphs(meant, name, dims, params, tensors))
            except FAILURES:
                continue  # as for this size it has no meaning
            yield f"the gradient of {name}" + (f": {variant.note}" if variant.note else ""), made
        try:
            steps = steps_of(meant, dims, params, tensors)
            for number, (step, kind) in enumerate(steps, 1):
                yield (
                    f"no gradient through {kind} (step {number} of {len(steps)})",
                    told(cut_at(meant, dims, params, tensors, step)),
                )
        except FAILURES:
            return
