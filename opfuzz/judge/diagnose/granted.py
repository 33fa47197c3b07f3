"""A cause taken for granted: what is right where it alone is at work, so that what is wrong beyond it shows."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from copy import copy
from dataclasses import dataclass, replace

import numpy as np

from opfuzz.core.call import Call
from opfuzz.core.cause import Cause
from opfuzz.core.errors import OpfuzzError
from opfuzz.core.findings import Apart
from opfuzz.core.floats import FORMATS, FloatArray, Format, round_to
from opfuzz.core.layout import LAYOUTS
from opfuzz.core.results import Index
from opfuzz.core.rounding import QUANTISERS
from opfuzz.core.verdicts import FAULT, SEVERITY
from opfuzz.judge.diagnose.evidence import Array, Evidence
from opfuzz.judge.diagnose.inherited import Asker, forms_of, tries
from opfuzz.judge.diagnose.meanings import other_settings, readings
from opfuzz.judge.limits import ALIKE, EXCESS_LIMIT, LANES, REFUTED, ROUNDINGS
from opfuzz.judge.measure import Measured, place_of
from opfuzz.judge.settle import examine
from opfuzz.judge.verdict import decide_verdict
from opfuzz.oracle.gradients.steep import largest_cotangent
from opfuzz.oracle.meaning import FAILURES
from opfuzz.oracle.models import Arithmetic, wide_format, working
from opfuzz.oracle.primitive import Primitive
from opfuzz.oracle.reference import Reference, references_of
from opfuzz.oracle.working import Emulated, emulate
from opfuzz.spec import OpSpec


@dataclass(frozen=True, slots=True)
class Inside:
    """What a subject may have inside an op, and its own call of that."""

    primitives: tuple[Primitive, ...]
    ask: Callable[[Primitive, Call], Array | None]


@dataclass(frozen=True, slots=True)
class World:
    """What a cause is about: one output of an op, and what the subject has inside."""

    spec: OpSpec
    place: int  # of the output
    inside: Inside

    @classmethod
    def of(cls, reference: Reference, inside: Inside) -> World:
        """That of a call with this exact result."""
        return cls(reference.spec, reference.place, inside)

    def refer(self, spec: OpSpec, call: Call) -> Reference:
        """The exact result of a call, of this op with another meaning, or the same. Raises as `references_of` does."""
        return references_of(spec, call)[self.place]


def world_of(evidence: Evidence) -> World:
    """What a cause of a call is about."""
    return World.of(evidence.reference, Inside(evidence.primitives, evidence.ask))


Right = Callable[[Call], Reference]
Grant = Callable[[Cause, World], Right | None]


def granted(cause: Cause, world: World) -> Right | None:
    """What is right for a call where a cause is at work; None where the cause does not say that of other calls.

    Another meaning gives other values. What loses accuracy gives a larger allowance, an upper bound of what it loses:
    whatever is beyond has another cause.
    """
    grant = GRANTS.get(cause.kind)
    return None if grant is None or cause.relation is not None else grant(cause, world)


def shows_second(output: Array, plain: Reference, call: Call, apart: Apart, inside: Inside) -> Index | None:
    """The element by which a call that is wrong shows a second cause; None where it does not.

    That is what the first leaves unexplained; where that says nothing of other calls, what the second explains whole.
    """
    world = World.of(plain, inside)
    if (right := granted(apart.beside, world)) is not None:
        furthest = beyond(output, plain, right(call))
        return None if furthest is None else furthest[0]
    own = granted(apart.cause, world)
    is_explained = own is not None and beyond(output, plain, own(call)) is None
    return decide_verdict(examine(output, plain), plain).place if is_explained else None


def beyond(output: Array, plain: Reference, right: Reference) -> tuple[Index, float] | None:
    """The element that is furthest from what is `right`, where it is wrong by itself as well, and its excess.

    None where nothing is wrong but what the cause explains, or by so little that this may be doubted.
    """
    both = [(examine(output, each), each) for each in (plain, right)]
    if any(SEVERITY[decide_verdict(measured, each).word] != FAULT for measured, each in both):
        return None
    excess = _unexplained(*both)
    place = place_of(excess)
    if place is None or excess[place] <= REFUTED * EXCESS_LIMIT:
        return None
    return place, float(excess[place])


def leaves_some(output: Array, plain: Reference, right: Reference) -> bool:
    """Whether an element is wrong that is wrong where a cause is at work as well, be it by little."""
    both = [(examine(output, each), each) for each in (plain, right)]
    return bool((_unexplained(*both) > EXCESS_LIMIT).any())


def _unexplained(plain: tuple[Measured, Reference], right: tuple[Measured, Reference]) -> FloatArray:
    """By how much each element that is wrong exceeds what is allowed where a cause is at work; 0 for the others."""
    plainly, rightly = (
        np.where(measured.is_special_wrong, np.inf, measured.wide_excess) for measured, _ in (plain, right)
    )
    return np.where(plain[1].overflows | right[1].overflows | (plainly <= EXCESS_LIMIT), 0.0, rightly)


def _elsewhere(world: World, change: Callable[[Call], Call]) -> Right:
    """What is right for another call, where there is one with outputs of the same shapes."""

    def right(call: Call) -> Reference:
        spec, other = world.spec, change(call)
        shapes = spec.shapes(other.dims, other.params) if spec.allows(other.dims, other.params) else {}
        is_whole = bool(shapes) and all(other.arrays[name].shape == shape for name, shape in shapes.items())
        same = is_whole and spec.output_shapes(other.dims, other.params) == spec.output_shapes(call.dims, call.params)
        return world.refer(spec, other if same else call)

    return right


def _variant(cause: Cause, world: World) -> Right | None:
    variant, spec = world.spec.variants.get(cause.name), world.spec
    if variant is None:
        return None
    program, natural = (variant.reference, None) if variant.reference else (spec.reference, spec.natural)
    meant = replace(spec, digest=f"{spec.digest}/{variant.name}", reference=program, natural=natural)

    def right(call: Call) -> Reference:
        other = replace(call, params={**call.params, **variant.params})
        if spec.output_shapes(call.dims, call.params) != spec.output_shapes(other.dims, other.params):
            return world.refer(spec, call)
        try:
            return world.refer(meant, other)
        except OpfuzzError:  # it has no meaning for this call
            return world.refer(spec, call)

    return right


def _setting(cause: Cause, world: World) -> Right | None:
    how, name = cause.figures.get("how"), cause.name
    if not isinstance(how, tuple) or not how or how[0] == "times":
        return None
    value = how[1] if len(how) > 1 else None

    def change(call: Call) -> Call:
        own = call.params.get(name)
        if type(own) is float:
            if how[0] == "rounded to":
                taken = float(round_to(np.asarray(own), FORMATS[str(value)]))
            else:
                taken = float(value) if isinstance(value, float | int) else own
            return replace(call, params={**call.params, name: taken})
        found = other_settings(world.spec, call)
        return next((other for given, taken, other in found if (given, taken) == (name, how)), call)

    return _elsewhere(world, change)


def _inputs(world: World) -> frozenset[str]:
    return frozenset(item.name for item in world.spec.inputs)


def _misread(cause: Cause, world: World) -> Right | None:
    if cause.name not in _inputs(world):
        return None

    def change(call: Call) -> Call:
        wrongly = dict(readings(call.arrays[cause.name], call.layouts[cause.name])).get(cause.kind)
        if call.layouts[cause.name] == LAYOUTS[0] or wrongly is None:
            return call
        return replace(call.with_arrays({cause.name: wrongly}), layouts=dict.fromkeys(call.layouts, LAYOUTS[0]))

    return _elsewhere(world, change)


def _quantised(cause: Cause, world: World) -> Right | None:
    quantise, bits = dict(QUANTISERS).get(str(cause.figures.get("grid"))), cause.figures.get("bits")
    names = cause.name.split(" and ") if cause.name else []
    if quantise is None or not names or not isinstance(bits, int) or not _inputs(world).issuperset(names):
        return None

    def change(call: Call) -> Call:
        coarse = {name: quantise(call.arrays[name], bits) for name in names}
        return call.with_arrays({name: array for name, array in coarse.items() if array is not None})

    return _elsewhere(world, change)


def _through(fmt: Format, are_inputs: bool, world: World) -> Right:
    """Inputs that pass through a format, or are right; and results that do."""

    def change(call: Call) -> Call:
        with np.errstate(over="ignore"):
            kept = {
                item.name: round_to(array.astype(np.float64), fmt).astype(array.dtype)
                for item in world.spec.inputs
                if item.kind == "float" and (array := call.arrays[item.name]).size
            }
        return call.with_arrays(kept) if are_inputs else call

    def loss(reference: Reference) -> FloatArray:
        size = reference.truth.size
        return np.where(size > fmt.largest, np.inf, fmt.unit_roundoff * size)

    return _allowing(world, loss, _elsewhere(world, change))


def _allowing(world: World, loss: Callable[[Reference], FloatArray], base: Right | None = None) -> Right:
    """The same values, or those that are right by `base`, with a larger allowance."""

    def right(call: Call) -> Reference:
        reference = base(call) if base else world.refer(world.spec, call)
        made = copy(reference)
        for derived in ("allowances", "narrow"):
            made.__dict__.pop(derived, None)
        with np.errstate(all="ignore"):
            more = loss(reference)
        made.wide = reference.wide + np.where(np.isnan(more), np.inf, more)
        return made

    return right


def _linear(model: Arithmetic) -> Arithmetic:
    """A model whose roundings all err to one side: nothing that it is the model of errs more."""
    return replace(model, independent=False, quadrature=False)


def _narrower(cause: Cause, world: World) -> Right | None:
    """Everything in a format, and the result rounded to it; or only what passes through it."""
    fmt = FORMATS.get(cause.name)
    if fmt is None:
        return None
    if isinstance(through := cause.figures.get("through"), tuple):
        return _through(fmt, "inputs" in through, world)
    model = _linear(working("granted", fmt))

    def loss(reference: Reference) -> FloatArray:
        exact, last = reference.truth.hi, fmt.unit_roundoff * reference.truth.size
        made = [emulate(reference.natural, fmt, lanes) for lanes in LANES]
        # Nothing is lost in any order where all partial sums are numbers of the format, such as those of zeros.
        keeps_all = np.logical_and.reduce([each.values.astype(np.float64) == exact for each in made])
        lost = np.where(keeps_all, last, last + reference.allowance(model))
        return np.where(made[0].overflowed, np.inf, lost)

    return _allowing(world, loss)


def _behaves(cause: Cause, world: World) -> Right:
    def loss(reference: Reference) -> FloatArray:
        known = (model for model in reference.lower_precisions() if model.name == cause.name)
        model = next(known, None)
        return np.zeros(reference.shape) if model is None else reference.allowance(_linear(model))

    return _allowing(world, loss)


def _coarse_inputs(cause: Cause, world: World) -> Right | None:
    bits = cause.figures.get("bits")
    if not isinstance(bits, int):
        return None

    def loss(reference: Reference) -> FloatArray:
        wide = working("granted", wide_format(reference.fmt))
        return reference.allowance(_linear(replace(wide, inputs=2.0 ** (1 - bits))))

    return _allowing(world, loss)


def _rounded_counts(cause: Cause, world: World) -> Right:
    """What the usual formula loses by counts in the format, and by nothing else."""

    def loss(reference: Reference) -> FloatArray:
        values = reference.halved("counts")
        return np.zeros(reference.shape) if values is None else ALIKE * _by_row(np.abs(values - reference.truth.hi))

    return _allowing(world, loss)


def _inherited(cause: Cause, world: World) -> Right | None:
    """Errors as large as those of a primitive of the subject's own, in whatever form of the formula."""
    primitive = next((each for each in world.inside.primitives if each.spec.op == cause.name), None)
    if primitive is None:
        return None

    def loss(reference: Reference) -> FloatArray:
        total = np.zeros(reference.shape)
        for number, fmt in tries(reference, primitive):
            made = Asker(primitive, fmt, world.inside.ask).values(forms_of(reference)[number])
            if made is not None:
                total = np.maximum(total, np.abs(made[0] - reference.truth.hi))
        return ALIKE * _by_row(total)

    return _allowing(world, loss)


def _formula(cause: Cause, world: World) -> Right | None:
    if cause.figures.get("fails"):
        return None

    def run(reference: Reference) -> Emulated:
        is_half = cause.figures.get("inside") == reference.fmt.name and reference.fmt.bits == 16
        return reference.narrowed(cause.name, 1) if is_half else reference.variant_emulated(cause.name)

    def loss(reference: Reference) -> FloatArray:
        if cause.name in reference.variants:
            try:
                values = run(reference).values.astype(np.float64)
            except FAILURES:
                return np.zeros(reference.shape)
        else:
            written = (values for _, text, values in reference.written_otherwise() if text == cause.name)
            values = next(written, reference.truth.hi)
        return ALIKE * _by_row(np.abs(values - reference.truth.hi))

    return _allowing(world, loss)


def _by_row(errors: FloatArray) -> FloatArray:
    """The largest along the last axis: one is small by chance where its neighbour is not."""
    return np.broadcast_to(errors.max(axis=-1, keepdims=True, initial=0.0), errors.shape) if errors.ndim else errors


def _absolute(cause: Cause, world: World) -> Right | None:
    absolute = cause.figures.get("absolute")
    if not isinstance(absolute, float):
        return None

    def allowed(reference: Reference) -> FloatArray:
        size = 1.0 if reference.spec.gradient is None else largest_cotangent(reference.spec, reference.arrays)
        return np.full(reference.shape, ALIKE * absolute * size)

    return _allowing(world, allowed)


def _argument(cause: Cause, world: World) -> Right:
    return _allowing(world, lambda reference: ALIKE * ROUNDINGS * reference.conditioning)


GRANTS: Mapping[str, Grant] = {
    "is-variant": _variant,
    "is-setting": _setting,
    "reads-as-contiguous": _misread,
    "ignores-offset": _misread,
    "ignores-gaps": _misread,
    "quantises": _quantised,
    "computes-in": _narrower,
    "accumulates-in": _narrower,
    "rounds-counts": _rounded_counts,
    "rounds-tables": _narrower,
    "keeps-in": _narrower,
    "results-in": _narrower,
    "behaves-like": _behaves,
    "rounds-inputs": _coarse_inputs,
    "rounds-argument": _argument,
    "inherits": _inherited,
    "formula": _formula,
    "cancels": _absolute,
}
