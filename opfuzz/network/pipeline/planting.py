"""What can be planted: a variant changes one thing of a pipeline, and what comes out shows what that would do."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from numpy.typing import NDArray

from opfuzz.network.pipeline.dispatch import Array, Asks, Compute, Dispatcher, OpCall, Reuse, asks_always
from opfuzz.spec import OpSpec

Tensors = Mapping[str, NDArray[Any]]
Pipeline = Callable[[Dispatcher, Tensors, Tensors], Array]  # run, weights, inputs -> output
Meaning = Callable[[OpCall, str], Array | None]  # a call under the variant of this name; None where it has none

EVERYWHERE = "everywhere"
TIERS = 2  # of one kind of reading: in many places, and in a single one


@dataclass(frozen=True, slots=True)
class Setup:
    """All that decides what comes out: the pipeline, its weights and inputs, and who computes its calls."""

    pipeline: Pipeline
    weights: Tensors
    inputs: Tensors
    compute: Compute
    reuse: Reuse = field(default_factory=Reuse)

    def computing(self, compute: Compute, asks: Asks = asks_always) -> Setup:
        """With another `compute`, which has to be asked for these calls and for those of the one before."""
        before = self.reuse.asks
        both: Asks = lambda op, role, at: asks(op, role, at) or before(op, role, at)  # noqa: E731
        return replace(self, compute=compute, reuse=replace(self.reuse, asks=both))

    def run(self, specs: Mapping[str, OpSpec]) -> tuple[Array, dict[str, Array]]:
        """Output, and everything recorded on the way."""
        dispatcher = Dispatcher(specs, self.compute, self.reuse)
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
    first: int = 0  # number of the first call of an op that it may change: those before give what they gave without it
    tier: int = 0  # of likelihood: those of tier 1, in a single place, are tried after those of 0; then unlikely ones

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


class UnfitError(Exception):
    """A pipeline cannot be computed with what is planted in it: a reading that this pipeline admits nowhere."""


def of_ops(calls: Sequence[OpCall], meaning: Meaning, owners: Mapping[str, str] | None = None) -> list[Variant]:
    """Every variant of every op among `calls`: in all calls of the op, and in those of each role by itself.

    `owners` say which class of a model makes the calls of a place: then they are also planted in all calls of a class,
    and in each place alone, and other eps are tried than the variants say.
    Left out is what the pipeline computes anyway, such as eps 1e-5 where eps is 1e-5, and what fits no call, such as
    a transposed weight that is not square.
    """
    found = []
    for op in dict.fromkeys(call.op for call in calls):
        own = [call for call in calls if call.op == op]
        spec = own[0].spec
        readings: dict[str, tuple[str, Change]] = {
            name: (variant.note or f"{name} instead of {op}", _of_spec(name, meaning))
            for name, variant in spec.variants.items()
        }
        if owners is not None and any(param.name == EPS for param in spec.params):
            said = {variant.params.get(EPS) for variant in spec.variants.values()}
            readings |= {f"eps-{eps:g}": (f"eps is {eps:g}", _of_eps(eps)) for eps in EPSILONS if eps not in said}
        for name, (note, change) in readings.items():
            fitting = _fitting(own, name, meaning)
            for group in groups_of([call for call in own if call.role in fitting], own, owners or {}):
                plant = _planter(op, group, change)
                first = min(call.number for call in own if group.has(call.role, call.at))
                found.append(Variant(f"{op}: {name}", group.place, note, plant, op, first, group.tier))
    return found


Change = Callable[[OpCall, Compute], Array | None]  # what a call gives instead; None where that means nothing
EPS = "eps"
EPSILONS = (1e-2, 1e-3, 1e-4, 1e-5, 1e-6, 1e-8, 1e-12)


@dataclass(frozen=True, slots=True)
class Group:
    """Calls in which something is planted at once: those of a role, or at these places; all, if neither is given."""

    place: str
    role: str | None = None
    ats: frozenset[str] | None = None
    tier: int = 0

    def has(self, role: str, at: str) -> bool:
        """Whether a call of this role and place is one of them."""
        return self.role in (None, role) and (self.ats is None or at in self.ats)


class Placed(Protocol):
    """A call at a place of a pipeline."""

    @property
    def role(self) -> str: ...
    @property
    def at(self) -> str: ...


def groups_of(calls: Sequence[Placed], own: Sequence[Placed], owners: Mapping[str, str]) -> list[Group]:
    """Everywhere, each class, each role, and each place alone: of `calls`, among all `own` calls of the op."""
    roles = list(dict.fromkeys(call.role for call in calls))
    found = [Group(EVERYWHERE)] if len(roles) > 1 else []
    classes: dict[str, set[str]] = {}
    for call in calls:
        if owners.get(call.at):
            classes.setdefault(owners[call.at], set()).add(call.at)
    everything = {call.at for call in calls}
    for name, ats in classes.items():
        of_roles = {call.role for call in calls if call.at in ats}
        if len(of_roles) > 1 and ats != everything:
            found.append(Group(f"every {name}", ats=frozenset(ats)))
    found += [Group(role, role=role) for role in roles]
    for at, role in {call.at: call.role for call in calls if owners}.items():
        if any(call.at != at and call.role == role for call in own):
            found.append(Group(at, ats=frozenset({at}), tier=1))
    return found


def _of_spec(name: str, meaning: Meaning) -> Change:
    def change(call: OpCall, compute: Compute) -> Array | None:
        return meaning(call, name)

    return change


def _of_eps(eps: float) -> Change:
    def change(call: OpCall, compute: Compute) -> Array | None:
        return compute(replace(call, params={**call.params, EPS: eps}))

    return change


def _fitting(own: Sequence[OpCall], name: str, meaning: Meaning) -> set[str]:
    """The roles in which a reading says something else than the spec about any shape that their calls have."""
    found: dict[str, bool] = {}
    seen: dict[object, bool] = {}
    for call in own:
        kind = (tuple(call.dims.items()), tuple(call.params.items()))
        if kind not in seen:
            seen[kind] = _is_other(call, name, meaning)
        found[call.role] = found.get(call.role, False) or seen[kind]
    return {role for role, fits in found.items() if fits}


def _is_other(call: OpCall, name: str, meaning: Meaning) -> bool:
    variant = call.spec.variants.get(name)
    if variant is None:  # another eps
        return name != f"eps-{call.params[EPS]:g}"
    is_other = variant.reference is not None or {**call.params, **variant.params} != call.params
    return is_other and meaning(call, name) is not None


def _planter(op: str, group: Group, change: Change) -> Callable[[Setup], Setup]:
    def plant(setup: Setup) -> Setup:
        def compute(call: OpCall) -> Array:
            if call.op == op and group.has(call.role, call.at):
                other = change(call, setup.compute)
                if other is not None:
                    return other
            return setup.compute(call)

        return setup.computing(compute, lambda of, role, at: of == op and group.has(role, at))

    return plant
