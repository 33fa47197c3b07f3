"""What can be planted: a variant changes one thing of a pipeline, and what comes out shows what that would do."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from numpy.typing import NDArray

from opfuzz.network.pipeline.dispatch import Array, Compute, Dispatcher, OpCall
from opfuzz.spec import OpSpec

Tensors = Mapping[str, NDArray[Any]]
Pipeline = Callable[[Dispatcher, Tensors, Tensors], Array]  # run, weights, inputs -> output
Meaning = Callable[[OpCall, str], Array | None]  # a call under the variant of this name; None where it has none

EVERYWHERE = "everywhere"


@dataclass(frozen=True, slots=True)
class Setup:
    """All that decides what comes out: the pipeline, its weights and inputs, and who computes its calls."""

    pipeline: Pipeline
    weights: Tensors
    inputs: Tensors
    compute: Compute

    def run(self, specs: Mapping[str, OpSpec]) -> tuple[Array, dict[str, Array]]:
        """Output, and everything recorded on the way."""
        dispatcher = Dispatcher(specs, self.compute)
        output = self.pipeline(dispatcher, self.weights, self.inputs)
        return output, dispatcher.recorded


@dataclass(frozen=True, slots=True)
class Variant:
    """One wrong reading of a pipeline. `place` is where it is planted, `note` what it is."""

    name: str
    place: str
    note: str
    plant: Callable[[Setup], Setup]
    op: str = ""  # whose reading it is; none for those of the wiring, the weights and the precision

    def excludes(self, other: Variant) -> bool:
        """Whether both read the same calls, or the same place of the network, so that they cannot stand together."""
        is_same_place = self.place == other.place
        if self.op:
            return self.op == other.op and (is_same_place or EVERYWHERE in (self.place, other.place))
        return is_same_place and not other.op

    @property
    def title(self) -> str:
        """Unique among the variants of a pipeline."""
        return f"{self.name} ({self.place})"


def of_ops(calls: Sequence[OpCall], meaning: Meaning) -> list[Variant]:
    """Every variant of every op among `calls`: in all calls of the op, and in those of each role by itself.

    Left out is what the pipeline computes anyway, such as eps 1e-5 where eps is 1e-5, and what fits no call, such as
    a transposed weight that is not square.
    """
    found = []
    for op in dict.fromkeys(call.op for call in calls):
        own = [call for call in calls if call.op == op]
        roles = list(dict.fromkeys(call.role for call in own))
        for name, variant in own[0].spec.variants.items():
            fitting = [role for role in roles if _fits((c for c in own if c.role == role), name, meaning)]
            note = variant.note or f"{name} instead of {op}"
            if len(fitting) > 1:
                found.append(Variant(f"{op}: {name}", EVERYWHERE, note, _planter(op, None, name, meaning), op))
            found += [Variant(f"{op}: {name}", role, note, _planter(op, role, name, meaning), op) for role in fitting]
    return found


def _fits(calls: Iterable[OpCall], name: str, meaning: Meaning) -> bool:
    """Whether the variant says something else than the spec about any shape that these calls have."""
    kinds = {(tuple(call.dims.items()), tuple(call.params.items())): call for call in calls}
    for call in kinds.values():
        variant = call.spec.variants[name]
        is_other = variant.reference is not None or {**call.params, **variant.params} != call.params
        if is_other and meaning(call, name) is not None:
            return True
    return False


def _planter(op: str, role: str | None, name: str, meaning: Meaning) -> Callable[[Setup], Setup]:
    def plant(setup: Setup) -> Setup:
        def compute(call: OpCall) -> Array:
            if call.op == op and role in (None, call.role):
                other = meaning(call, name)
                if other is not None:
                    return other
            return setup.compute(call)

        return replace(setup, compute=compute)

    return plant
