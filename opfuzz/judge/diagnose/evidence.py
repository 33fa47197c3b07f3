"""What a diagnosis rests on: the call that shows a fault, its output, and ways to run and judge other calls."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property, partial
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from opfuzz.core.call import Call
from opfuzz.core.cause import UNEXPLAINED
from opfuzz.core.floats import FORMATS, FloatArray, Format, round_to, ulp
from opfuzz.core.layout import LAYOUTS, constant_along_broadcast
from opfuzz.core.metrics.conditioned import relative_to
from opfuzz.core.results import Score
from opfuzz.core.verdicts import FAULT, SEVERITY
from opfuzz.judge.limits import (
    APART,
    EXCESS_LIMIT,
    FLOAT64_APART,
    HALF_VARIANT_ELEMENTS,
    HALF_VARIANT_EXCESS,
    ILL_CONDITIONED,
    MASKED_SHARE,
    ORDINARY_ELEMENTS,
    ORDINARY_SIZE,
    ORDINARY_WORK,
)
from opfuzz.judge.measure import Measured
from opfuzz.judge.settle import examine
from opfuzz.judge.verdict import decide_verdict
from opfuzz.oracle.primitive import Primitive
from opfuzz.oracle.reference import Reference
from opfuzz.spec import Input, OpSpec
from opfuzz.spec.expression.program import Program, evaluate

Array = NDArray[Any]
Mask = NDArray[np.bool_]


def _unanswered(primitive: Primitive, call: Call) -> None:
    return None


@dataclass(frozen=True, slots=True)
class Fit:
    """How well other values explain an output: on how many elements, and within which share of their allowance."""

    elements: int
    excess: float


@dataclass(frozen=True, eq=False)
class Evidence:
    """One fault of one output, that which decided. `run` gives None where a call has no output."""

    spec: OpSpec
    score: Score  # verdict, cause and the element that decided
    call: Call
    output: Array
    run: Callable[[Call], Array | None]
    refer: Callable[[Call], Reference]  # the exact result of a call
    wider: Evidence | None = None  # the same fault on a larger call, for what a few elements hide
    primitives: tuple[Primitive, ...] = ()  # that the subject may have inside
    ask: Callable[[Primitive, Call], Array | None] = _unanswered  # its call of one of them
    is_rest: bool = False  # another cause is taken for granted, which ordinary values may show again
    is_lenient: bool = False  # the next lower precision inside is taken for granted: what is wrong beyond that

    @cached_property
    def reference(self) -> Reference:
        """The exact result, and what may be asked of it."""
        return self.refer(self.call)

    @cached_property
    def judged(self) -> Measured:
        """The output against the exact result."""
        return examine(self.output, self.reference)

    @property
    def axes(self) -> tuple[Program, ...]:
        """The sizes of the output, as the spec has them."""
        return self.spec.outputs[self.reference.place].shape

    @property
    def fmt(self) -> Format:
        """The format of the output."""
        return FORMATS[self.call.format]

    @cached_property
    def _excused(self) -> Mask:
        """Where an intermediate overflows in the usual formula as well: nobody is accused of that."""
        excess = self._beyond
        is_clean = excess.max(initial=0.0) <= EXCESS_LIMIT and not self.judged.is_special_wrong.any()
        if is_clean or self.score.verdict == "normwise":
            return np.zeros(excess.shape, np.bool_)
        return np.asarray(self.reference.overflows)

    @cached_property
    def excess(self) -> FloatArray:
        """Of every element, 0 where nothing is judged, or excused."""
        return np.where(self._excused, 0.0, self._beyond)

    @cached_property
    def _beyond(self) -> FloatArray:
        return self.judged.excess(self.reference.narrow) if self.is_lenient else self.judged.wide_excess

    def allowance_of(self, reference: Reference) -> FloatArray:
        """What honest arithmetic may be off on some call, as it is taken here."""
        return reference.narrow if self.is_lenient else reference.wide

    def variant(self, name: str) -> tuple[FloatArray, FloatArray] | None:
        """Values and allowance of another meaning; None where it has none."""
        return self.reference.variant(name, self.is_lenient)

    @cached_property
    def is_special(self) -> Mask:
        """Elements of the wrong class, such as NaN for a number."""
        return np.asarray(self.judged.is_special_wrong & ~self._excused)

    @cached_property
    def is_wrong(self) -> Mask:
        """Elements that are off by more than honest arithmetic is, or of the wrong class."""
        return np.asarray((self.excess > EXCESS_LIMIT) | self.is_special)

    @cached_property
    def is_at_fault(self) -> bool:
        """Whether the call shows what the verdict is about; not what a half format inside does, which is a note."""
        if self.score.verdict == "special" or self.fmt.bits != 16:
            return bool((self.is_special if self.score.verdict == "special" else self.excess > EXCESS_LIMIT).any())
        is_off = bool((self.excess > EXCESS_LIMIT).any())
        return is_off and SEVERITY[self.verdict_on(self.output, self.call)] == FAULT

    @cached_property
    def others(self) -> tuple[Evidence, ...]:
        """The same subject on other values: the larger call, values like those of the call twice, ordinary ones.

        Each without small dims and contiguous, since few causes need them; or nearer to the call, where only that shows
        the fault.
        """
        found = [] if self.wider is None else [self.wider]
        for make in (partial(alike, self, seed=0), partial(alike, self, seed=1), partial(ordinary, self)):
            made = list(self._made(make))
            if self.score.verdict == "special":  # where nothing is, what else is wrong tells as much
                made += [each.numeric for each in made]
            if made:
                found.append(next((other for other in made if other.is_at_fault), made[0]))
        return tuple(found)

    @cached_property
    def telling(self) -> tuple[Evidence, ...]:
        """Calls on ordinary values, with sizes that are all different; else another call that is wrong, if any.

        What hangs on the values of one, such as how often an index occurs, is another thing in the next. Where they are
        right the fault is one of sizes or of values.
        """
        numeric, found = replace(self.numeric, wider=None), list[Evidence]()
        for seed, sizes in enumerate(APART):
            small = {**self.call.dims, **dict(zip(self.call.dims, sizes, strict=False))}
            large = {name: max(size, self.call.dims[name]) for name, size in small.items()}
            make = partial(ordinary, numeric, seed=seed + 1, is_anew=True)
            call = make(dims=large) or make(dims=small)
            for layouts in (dict.fromkeys(self.call.layouts, LAYOUTS[0]), self.call.layouts):
                made = None if call is None else replace(call, layouts=layouts)
                output = None if made is None else self.run(made)
                if made is not None and output is not None and output.size:
                    found[seed:] = [replace(numeric, call=made, output=output)]
                    if found[-1].is_at_fault:
                        break
        others = [each for each in self.others if each is not self.wider and each.is_wrong.any()]
        return tuple(found or others[-1:])

    @property
    def numeric(self) -> Evidence:
        """The same call, asked about its numbers, whatever the verdict is about."""
        return self._with(score=Score("wrong", UNEXPLAINED))

    def lenient(self) -> Evidence:
        """The same, with the next lower precision inside taken for granted."""
        wider = self.wider and self.wider._with(is_lenient=True)
        made = self._with(is_lenient=True, wider=wider)
        if self.score.verdict == "special":  # of which class a result is no precision changes
            others = (each._with(is_lenient=True) for each in self.others if each is not self.wider)
            vars(made)["others"] = (*([] if wider is None else [wider]), *others)
        return made

    def _with(self, **changes: Any) -> Evidence:
        """The same call, seen another way: what is known of its result holds."""
        made = replace(self, **changes)
        vars(made).update({name: vars(self)[name] for name in ("reference", "judged") if name in vars(self)})
        return made

    def on_ordinary(self) -> Evidence | None:
        """Ordinary values, with as little of the call as makes numbers wrong there; None where it makes none."""
        numeric = replace(self.numeric, wider=None)
        made = [each for each in numeric._made(partial(ordinary, numeric)) if each.is_at_fault]
        return made[-1] if made else None

    def _made(self, make: Callable[..., Call | None]) -> Iterator[Evidence]:
        """Calls, from the one that has least of the call, up to the first that is at fault."""
        own, plain = self.call.dims, dict.fromkeys(self.call.layouts, LAYOUTS[0])
        full = {name: max(size, ORDINARY_SIZE) for name, size in own.items()}
        # Not every op may have all of its dims large, as a kernel that must fit into the row.
        grown = [{**full, name: size} for name, size in own.items()] + [{**own, name: full[name]} for name in own]
        seen: list[tuple[Mapping[str, int], Mapping[str, str]]] = []
        for layouts in (plain, self.call.layouts):
            for dims in (None, *grown, own):
                call = make(dims=dims)
                if call is None or (call.dims, layouts) in seen or (call.dims == own and dims is not own):
                    continue
                seen.append((call.dims, layouts))
                call = replace(call, layouts=layouts)
                output = self.run(call)
                if output is None or not output.size:
                    continue
                other = replace(self, call=call, output=output, wider=None)
                yield other
                if other.is_at_fault:
                    return

    @property
    def takes_numbers(self) -> bool:
        """Whether every input holds numbers: indices and masks that are drawn anew may miss a fault."""
        return all(item.kind == "float" for item in self.spec.inputs)

    @property
    def floats(self) -> list[str]:
        """Names of the inputs that hold numbers."""
        return [item.name for item in self.spec.inputs if item.kind == "float" and self.call.arrays[item.name].size]

    def again(self, **arrays: Array) -> Array | None:
        """The subject's output with some inputs replaced."""
        return self.run(self.call.with_arrays(arrays))

    def fails(self, call: Call) -> bool:
        """Whether the subject is at fault on another call."""
        output = self.run(call)
        return output is not None and SEVERITY[self.verdict_on(output, call)] == FAULT

    def verdict_on(self, output: Array, call: Call) -> str:
        """The verdict on what some call returned."""
        reference = self.refer(call)
        return decide_verdict(examine(output, reference), reference).word

    def excess_against(self, values: FloatArray, allowance: FloatArray) -> FloatArray:
        """Errors in units of another meaning's allowance; infinite where its class, such as NaN, is another.

        0 where the allowance is infinite: nobody can tell what comes out.
        """
        computed, fmt = self.judged.computed, self.fmt
        with np.errstate(invalid="ignore", over="ignore"):
            rounded = round_to(values, fmt).astype(np.float64)
            same = (np.isnan(computed) & np.isnan(values)) | (computed == rounded)
            finite = np.isfinite(computed) & np.isfinite(values)
            spacing = ulp(np.where(finite, np.clip(values, -fmt.largest, fmt.largest), 0.0), fmt)
            off = relative_to(np.abs(computed - values), spacing, allowance)
        return np.where(same | np.isinf(allowance), 0.0, np.where(finite, off, np.inf))

    def fit(self, values: FloatArray, allowance: FloatArray) -> Fit | None:
        """How well another meaning explains the output, faulty elements included; None where it does not."""
        reference, fmt = self.reference, self.fmt
        largest, counted = self._largest_against(values, allowance)
        is_half = fmt.bits == 16
        if largest > (HALF_VARIANT_EXCESS if is_half else EXCESS_LIMIT):
            return None
        with np.errstate(invalid="ignore", over="ignore"):
            # Of what is chosen and not computed, such as a zero of the padding, there is no error to allow.
            seen = counted & np.isfinite(values) & ((allowance < np.abs(values)) | (allowance == 0))
            distance = relative_to(
                np.abs(values - self.judged.truth.hi), self.judged.spacing, self.allowance_of(reference)
            )
            # The right answer is an infinity, or NaN, and this meaning has a number.
            other = seen & (
                (distance > (FLOAT64_APART if fmt.bits == 64 and not self.is_lenient else 1.0))
                | ~np.isfinite(round_to(self.judged.truth.hi, fmt).astype(np.float64))
            )
            other &= np.isfinite(self.judged.computed)  # whatever is large enough overflows
        needed = HALF_VARIANT_ELEMENTS if is_half else 1
        if (
            np.count_nonzero(other) < needed
            or not (other & self.is_wrong).any()
            or seen.sum() < (1 - ILL_CONDITIONED) * counted.sum()
        ):
            return None
        return Fit(int(np.count_nonzero(counted)), largest)

    def _largest_against(self, values: FloatArray, allowance: FloatArray) -> tuple[float, Mask]:
        """The largest excess against another meaning, and the elements that count."""
        off = self.excess_against(values, allowance)
        # What a flushed result, or one that nobody can judge, is said to be proves nothing.
        counted = self.judged.is_judged | self.judged.is_special_wrong | ~np.isfinite(values)
        return float(np.where(counted, off, 0.0).max(initial=0.0)), np.asarray(counted)

    def fits(self, call: Call) -> Fit | None:
        """How well the exact result of another call explains this output, which may be a first part of that result."""
        meant = self._meant(call)
        return meant and self.fit(*meant)

    def agrees(self, call: Call) -> bool:
        """Whether nothing in the output speaks against its being that of another call; in few elements, little can."""
        meant = self._meant(call)
        return meant is not None and self._largest_against(*meant)[0] <= EXCESS_LIMIT

    def heard(self, call: Call) -> tuple[Fit | None, bool]:
        """`fits` and `agrees` together, for one exact result."""
        meant = self._meant(call)
        if meant is None:
            return None, False
        return self.fit(*meant), self._largest_against(*meant)[0] <= EXCESS_LIMIT

    def _meant(self, call: Call) -> tuple[FloatArray, FloatArray] | None:
        """Exact result and allowance of another call, as far as the output goes; None where it goes further."""
        shape = self.spec.output_shapes(call.dims, call.params)[self.reference.output]
        if len(shape) != self.output.ndim or any(a < b for a, b in zip(shape, self.output.shape, strict=True)):
            return None
        exact, part = self.refer(call), tuple(map(slice, self.output.shape))
        values = np.where(np.isfinite(exact.truth.radius), exact.truth.hi, np.nan)
        allowance = self.allowance_of(exact)
        if not np.isfinite(self.judged.computed).all():
            allowance = np.where(exact.overflows, np.inf, allowance)
        return values[part], allowance[part]


def ordinary(
    evidence: Evidence,
    scale: float = 1.0,
    dims: Mapping[str, int] | None = None,
    seed: int = 0,
    *,
    is_anew: bool = False,
) -> Call | None:
    """A call on normally distributed numbers around 1.5, times a power of two in the first input, with no small dim.

    What is no number stays, or is drawn where it does not fit the sizes, or with `is_anew`. None where they are too
    many, or the op has no such call.
    """
    spec, call = evidence.spec, evidence.call
    if dims is None:
        dims = {name: max(size, ORDINARY_SIZE) for name, size in call.dims.items()}
    if not spec.allows(dims, call.params):
        dims = call.dims
    if not spec.allows(dims, call.params):
        return None  # its params are not those of the case
    shapes = spec.shapes(dims, call.params)
    if spec.elements(dims, call.params) > ORDINARY_ELEMENTS or prod(dims.values()) > ORDINARY_WORK:
        return None
    chance = np.random.default_rng(seed)
    arrays = {}
    for item, (name, shape) in zip(spec.inputs, shapes.items(), strict=True):
        if item.kind != "float":
            names = {**dims, **call.params}
            same = call.arrays[name].shape == shape and not is_anew and _fits(item, call.arrays[name], names)
            arrays[name] = call.arrays[name] if same else _drawn(item, shape, names, chance)
            continue
        factor = scale if item is spec.inputs[0] else 1.0
        values = ((1.5 + chance.standard_normal(shape)) * factor).astype(call.arrays[name].dtype)
        values = np.abs(values) if item.is_never_negative else values
        arrays[name] = constant_along_broadcast(values, call.layouts[name])
    return replace(call, dims=dims, arrays=arrays)


def _fits(item: Input, array: Array, names: Mapping[str, object]) -> bool:
    """Whether all places are there."""
    return item.below is None or not array.size or bool(array.max() < evaluate(item.below, names, {}))


def _drawn(item: Input, shape: tuple[int, ...], names: Mapping[str, object], chance: np.random.Generator) -> Array:
    """Places, or a mask of which most takes part, but no row as a whole."""
    if item.below is not None:
        below = evaluate(item.below, names, {})
        assert isinstance(below, int)
        return chance.integers(0, max(below, 1), shape)
    takes_part = chance.random(shape) < MASKED_SHARE
    takes_part[..., :1] = True
    takes_part[..., 1:][..., -1:] = False  # nor all of a row: the inverted mask would leave nothing
    return takes_part if item.kind == "mask" else np.where(takes_part, 0.0, -np.inf)


def alike(evidence: Evidence, dims: Mapping[str, int] | None = None, seed: int = 0) -> Call | None:
    """A call on values like those of the call, each times a number between 1/2 and 2, with no small dim.

    None where there are no values, or too many.
    """
    call = ordinary(evidence, dims=dims)
    if call is None or not all(array.size for array in evidence.call.arrays.values()):
        return None
    chance = np.random.default_rng(seed)
    arrays = {}
    for name in evidence.floats:
        array = call.arrays[name]
        values = chance.choice(evidence.call.arrays[name].astype(np.float64).ravel(), array.shape)
        with np.errstate(over="ignore"):
            values = (values * np.exp2(chance.uniform(-1, 1, array.shape))).astype(array.dtype)
        arrays[name] = constant_along_broadcast(values, call.layouts[name])
    return call.with_arrays(arrays)


def same_values(a: Array, b: Array) -> bool:
    """Whether two outputs, of any formats, hold the same numbers; all NaN count as one."""
    x, y = a.astype(np.float64), b.astype(np.float64)
    return bool(a.shape == b.shape and np.array_equal(x, y, equal_nan=True))
