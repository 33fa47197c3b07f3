"""The exact result of each output of a call, and what may be asked of it: truth, allowances, variants, the appeal."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from math import log2

import numpy as np
from numpy.typing import NDArray

from opfuzz.core.call import Call
from opfuzz.core.floats import FLOAT32, FORMATS, FloatArray, ulp
from opfuzz.core.metrics.totals import ErrorTotals, total_up
from opfuzz.core.metrics.ulp import NOTHING
from opfuzz.core.rounding import round_to_bits
from opfuzz.oracle import balls, exact, graph, limits, models, working
from opfuzz.oracle.allowances import Allowances, Alternatives
from opfuzz.oracle.altered import evaluate_halved, evaluate_with, largest_factor
from opfuzz.oracle.dependencies import dependencies, spread_from, undefined
from opfuzz.oracle.elementary import ELEMENTARY
from opfuzz.oracle.forms import lossy_forms
from opfuzz.oracle.gradients.steep import formulas_by_powers, lost_of_slopes, steep_places
from opfuzz.oracle.graph import Node
from opfuzz.oracle.meaning import FAILURES, Meaning, graphs_of, meaning_of, operands, variant_graphs, without_subnormals
from opfuzz.oracle.models import usual_arithmetic, wide_format
from opfuzz.oracle.truth import Truth, inside, tolerance
from opfuzz.spec import OpSpec

# Elements of all steps of a variant: one over heads times heads takes gigabytes where the op takes none.
MOST_OF_A_VARIANT = 2**24
ADDS = frozenset({"sum", "dot", "cumsum", "softmax", "logcumsumexp", "dft"})


def references_of(spec: OpSpec, call: Call) -> tuple[Reference, ...]:
    """The exact result of a call, one reference an output. Raises what `meaning_of` does."""
    meaning = meaning_of(spec, call)
    return tuple(Reference(meaning, place) for place in range(len(meaning.roots)))


class Reference:
    """The exact result of the output at a place. Everything is computed when asked for."""

    def __init__(self, meaning: Meaning, place: int) -> None:
        spec, call, fmt = meaning.spec, meaning.call, FORMATS[meaning.call.format]
        self.spec, self.fmt, self.dims, self.params, self.arrays = spec, fmt, call.dims, call.params, call.arrays
        self.place, self.output, self.meaning = place, spec.outputs[place].name, meaning
        self.root, self.natural, self.tensors = meaning.roots[place], meaning.naturals[place], meaning.tensors
        self.usual = (self.natural, *(others[place] for others in [meaning.others] if others))
        self.is_unary = len(spec.inputs) == 1 and graph.is_unary(self.root, set(ELEMENTARY))
        self._emulated: dict[tuple[int, bool], working.Emulated] = {}
        self._halved: dict[str, FloatArray | None] = {}
        self._sources: dict[tuple[int, ...], dict[str, NDArray[np.int64]]] = {}

    @cached_property
    def _ball(self) -> balls.Ball:
        """The exact values, what one rounding of the inputs does, and where that is one formula `wide`."""
        usual = [usual_arithmetic(self.fmt)] if self.natural is self.root else []
        asked, together = [models.TRUTH, models.conditioning(self.fmt), *usual], self.meaning.together
        return together[0].ball(self.place, asked) if together else balls.evaluate(self.root, asked)

    @cached_property
    def truth(self) -> Truth:
        """The exact values with float64's bounds."""
        hi, radius = self._ball.mid, models.filled(self._ball.radii[0], self._ball.mid)
        if not (is_number := np.isfinite(hi)).all():
            hi = np.where((radius != 0) & ~is_number, np.nan, hi)
        if self.is_unary and limits.has_limits(self.root):
            hi, radius = self._with_limits(hi, radius)
        return Truth(hi, np.broadcast_to(0.0, hi.shape), radius, self.fmt, self._signed_zeros(hi, radius))

    @cached_property
    def _drawn(self) -> list[FloatArray]:
        return [self._exactly(item.name) for item in self.spec.inputs if item.kind == "float"]

    def _exactly(self, name: str) -> FloatArray:
        """The values of an input of floats."""
        return np.asarray(graph.as_node(self.tensors[name]).detail)

    @cached_property
    def has_special_inputs(self) -> bool:
        """Whether any drawn input holds NaN or an infinity."""
        return not all(np.isfinite(array).all() for array in self._drawn)

    @cached_property
    def depends_on_special(self) -> NDArray[np.bool_]:
        """Elements that a NaN or infinity among the drawn inputs can reach."""
        return self._reached(lambda values: np.asarray(~np.isfinite(values)))

    def _reached(self, starts: Callable[[FloatArray], NDArray[np.bool_]]) -> NDArray[np.bool_]:
        def is_start(node: Node) -> NDArray[np.bool_]:
            return starts(node.detail) if node.op == "input" else np.zeros(node.shape, np.bool_)

        return spread_from(self.root, is_start)

    @cached_property
    def has_sums(self) -> bool:
        """Whether the usual formula adds up more than two terms somewhere."""
        return any(node.op in ADDS for node in graph.topological(self.natural))

    @cached_property
    def has_kinks(self) -> bool:
        """Whether more than one value may be right somewhere, as for a gradient where two arguments tie."""
        return any(node.op in graph.KINKS for node in graph.topological(self.root))

    @property
    def variants(self) -> dict[str, str]:
        """Names and notes of the other meanings."""
        return {name: variant.note for name, variant in self.spec.variants.items()}

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of its output."""
        return self.root.shape

    @cached_property
    def conditioning(self) -> FloatArray:
        """What one rounding of the inputs may do to each element."""
        return models.filled(self._ball.radii[1], self._ball.mid)

    @cached_property
    def wide(self) -> FloatArray:
        """The allowance of an honest implementation, on the usual formula."""
        if self.natural is self.root:
            return models.filled(self._ball.radii[2], self._ball.mid)
        return self.allowance(usual_arithmetic(self.fmt))

    @cached_property
    def narrow(self) -> FloatArray:
        """The allowance of the next lower precision: a half format in itself, float32 in float64; else `wide`."""
        return self.wide if self.fmt is FLOAT32 else self.allowance(self.lower_precisions()[0])

    @cached_property
    def unerring(self) -> ErrorTotals:
        """What the errors of an output add up to that has none."""
        return total_up(NOTHING, self.truth.hi, self.truth.spacing, self.wide, self.fmt)

    @cached_property
    def allowances(self) -> Allowances:
        """Those around any truth of this reference."""
        return Allowances(self.wide, self.conditioning)

    @cached_property
    def alternatives(self) -> Alternatives | None:
        """What else is right where the class of a result is not that of the exact one; None: nothing."""
        is_half, is_special = self.fmt.bits == 16, self.has_special_inputs and not self.is_unary
        # NaN is no less right of a gradient at infinity, or where it is itself beyond all that is computed with.
        is_none = np.isnan if self.spec.gradient is None else lambda values: ~np.isfinite(values)
        nan = None if self.spec.gradient is None else self.truth.is_number_beyond(wide_format(self.fmt))
        if any(is_none(array).any() for array in self._drawn):
            nan = self._reached(is_none) if nan is None else nan | self._reached(is_none)
        if not is_half and not is_special and nan is None:
            return None
        overflow = self.narrow if is_half else None
        if not is_special:
            return Alternatives(overflow, (), None, nan)
        # Underflow counts as well, so 0 * inf may be NaN.
        emulated = (self.emulated(1), self.emulated(1, narrow=True))
        values = (self.natural_values, *(each.values.astype(np.float64) for each in emulated), *self._limits())
        anything = undefined(self.root)
        if self.spec.gradient is not None:  # an infinite slope times zero
            is_steep = self.steep & self.depends_on_special
            anything = is_steep if anything is None else anything | is_steep
        return Alternatives(overflow, values, self.depends_on_special, nan, anything)

    @cached_property
    def flushing(self) -> FloatArray:
        """The allowance of one that flushes subnormal numbers to zero, or loses bits among them, as honest ones may."""
        model = models.flushing(fmt := wide_format(self.fmt))
        # A flushed factor may stand before a sum, which hides it from the last operation; its size is known.
        small = np.where(np.abs(self._ball.mid) < 4 * fmt.smallest_normal, fmt.smallest_normal, 0.0)
        # What flushing adds alone: in its model errors add up linearly, which roundings do not.
        pairs = self._radii([model, replace(model, underflow=0.0, flush=0.0)], self.by_powers)
        with np.errstate(invalid="ignore"):
            lost: FloatArray = np.fmax.reduce([flushed - plain for flushed, plain in pairs])
        # Factors multiplied in another order, as weight * (1 / deviation) before x: what is small is then raised again.
        return self.wide + np.fmax(lost, 0.0) + small + fmt.smallest_subnormal * largest_factor(self.natural)

    @cached_property
    def flushed(self) -> FloatArray | None:
        """What IEEE arithmetic makes of the usual formula where subnormal inputs are zeros; None: there are none."""
        arrays = without_subnormals(self.spec, self.arrays, self.fmt)
        return None if arrays is None else self._usual_values(arrays)

    def _limits(self) -> Iterator[FloatArray]:
        """Of an elementwise formula, as x * sigmoid(x), what comes of numbers far out for one input's infinities."""
        if graph.is_elementwise(self.root, set(ELEMENTARY)):
            for item in self.spec.inputs:
                array = self.arrays[item.name].astype(np.float64)
                if item.kind == "float" and np.isinf(array).any():
                    yield limits.back(self._usual_values({**self.arrays, item.name: limits.far_out(array)}))

    def _usual_values(self, arrays: Mapping[str, NDArray[np.generic]]) -> FloatArray:
        """What IEEE arithmetic makes of the usual formula on other inputs."""
        program = self.spec.natural or self.spec.reference
        roots = graphs_of(program, self.dims, self.params, operands(self.spec, arrays))
        return balls.evaluate(roots[self.place], []).mid

    def allowance(self, model: models.Arithmetic) -> FloatArray:
        """The radius of the usual formula under a model of arithmetic; of a gradient the largest of all of them."""
        found = [radius for (radius,) in self._radii([model])]
        if self.spec.gradient is not None and model.name == "narrow":
            found.append(found[0] + lost_of_slopes(self.spec, self.arrays, self.fmt))
        return np.maximum.reduce(found) if len(found) > 1 else found[0]

    def _radii(self, asked: Sequence[models.Arithmetic], more: Iterable[Node] = ()) -> list[list[FloatArray]]:
        """The radii of each usual formula, and of `more`, under each model of arithmetic."""
        if self.spec.gradient is not None and self.fmt.bits == 16:
            asked = [replace(model, saved=self.fmt.unit_roundoff) for model in asked]
        made = [each.ball(self.place, asked) for each in self.meaning.together[1:]]
        made = [*(made or [balls.evaluate(self.natural, asked)]), *(balls.evaluate(each, asked) for each in more)]
        return [[models.filled(radius, ball.mid) for radius in ball.radii] for ball in made]

    @cached_property
    def natural_values(self) -> FloatArray:
        """What IEEE arithmetic makes of the usual formula, in float64: the other right answer for special values."""
        return balls.evaluate(self.natural, []).mid

    def has_certain_zero(self, hi: FloatArray) -> NDArray[np.bool_]:
        """Where the sign of a zero in `hi` is part of the answer: elementwise references, not max(-0, 0).

        Nor where the usual formula has a zero of the other sign.
        """
        x = self._exactly(self.spec.inputs[0].name).reshape(self.shape)
        is_certain = limits.has_certain_sign(self.root, x)
        if self.natural is not self.root or np.isinf(x).any():  # the one formula has another sign at most at a limit
            usual = self.natural_values
            is_certain &= ~((usual == 0) & (np.signbit(usual) != np.signbit(hi)))
        return is_certain

    def _signed_zeros(self, hi: FloatArray, radius: FloatArray) -> NDArray[np.bool_] | None:
        zeros = (hi == 0) & (radius == 0)
        return np.asarray(zeros & self.has_certain_zero(hi)) if self.is_unary and zeros.any() else None

    def lower_precisions(self) -> list[models.Arithmetic]:
        """See models.lower_than."""
        has_products = any(node.op == "dot" for node in graph.topological(self.natural))
        return models.lower_than(wide_format(self.fmt), self.fmt, has_products)

    def variant(self, name: str, is_narrow: bool = False) -> tuple[FloatArray, FloatArray] | None:
        """Values and allowance, `wide` or `narrow`, of another meaning.

        None if it has another shape, no value, or too much in it.
        """
        try:
            return self.meant(self.variant_graph(name), is_narrow)
        except FAILURES:
            return None  # the variant has no meaning for this case, such as an unbiased variance of one element

    def with_param(self, name: str, value: float) -> tuple[FloatArray, FloatArray] | None:
        """Values and wide allowance with another value of a param; None as for a variant."""
        try:
            return self.meant(self._root_with(name, value), is_narrow=False)
        except FAILURES:
            return None

    def values_with(self, name: str, value: float) -> FloatArray:
        """The values of `with_param` alone. Raises one of FAILURES where the formula has no such param."""
        return balls.evaluate(self._root_with(name, value), []).mid

    def _root_with(self, name: str, value: float) -> Node:
        program = self.spec.natural or self.spec.reference
        return graphs_of(program, self.dims, {**self.params, name: value}, self.tensors)[self.place]

    def meant(self, root: Node, is_narrow: bool = False) -> tuple[FloatArray, FloatArray] | None:
        """Values and allowance of another graph of this output; None if it has another shape, or too much in it."""
        if root.shape != self.shape or sum(node.size for node in graph.topological(root)) > MOST_OF_A_VARIANT:
            return None
        is_lower = is_narrow and self.fmt is not FLOAT32
        ball = balls.evaluate(root, [self.lower_precisions()[0] if is_lower else usual_arithmetic(self.fmt)])
        return ball.mid, models.filled(ball.radii[0], ball.mid)

    def emulated(self, lanes: int, narrow: bool = False) -> working.Emulated:
        """The usual formula run in the wide format; or with every intermediate in the format itself.

        Then counts, and tables that no input has a part in, are in the wide format until they meet an input.
        """
        is_narrow = narrow and self.fmt.bits == 16
        key = (lanes, is_narrow)
        if key not in self._emulated:
            self._emulated[key] = self._emulate(self.natural, lanes, is_narrow)
        return self._emulated[key]

    def emulations(self, lanes: int, narrow: bool = False) -> Iterator[working.Emulated]:
        """Each of the usual formulas run in the wide format, or with every intermediate in the half format itself."""
        yield self.emulated(lanes, narrow)
        yield from (self._emulate(other, lanes, narrow) for other in (*self.usual[1:], *self.by_powers))

    @cached_property
    def by_powers(self) -> tuple[Node, ...]:
        """Of a gradient, the usual formulas with the powers of what divides; see there."""
        return formulas_by_powers(self.spec, self.dims, self.params, self.tensors, self.place)

    def _emulate(self, formula: Node, lanes: int, is_narrow: bool = False) -> working.Emulated:
        wide, storage = wide_format(self.fmt), None if self.spec.gradient is None else self.fmt
        return working.emulate(formula, self.fmt if is_narrow else wide, lanes, wide if is_narrow else None, storage)

    @cached_property
    def steep(self) -> NDArray[np.bool_]:
        """Of a gradient, where honest arithmetic may overflow; see there."""
        return steep_places(self.spec, self.dims, self.params, self.arrays, self.place, wide_format(self.fmt), self.fmt)

    @cached_property
    def overflows(self) -> NDArray[np.bool_]:
        """Where an intermediate of the usual formula overflows in the wide format, for which nobody is accused.

        Where the right answer is no number and that formula gives it, such as log(0), nothing did; but finite terms
        beside an infinity may overflow to the other one in some order of summation.
        """
        emulated, exact = self.emulated(1), self.truth.hi
        values = emulated.values.astype(np.float64)
        is_right = self.truth.is_special & ((values == exact) | (np.isnan(values) & np.isnan(exact)))
        found = emulated.overflowed & ~is_right
        if self.spec.gradient is not None:
            found = found | self.steep
        return np.asarray(found if emulated.unordered is None else found | emulated.unordered)

    @cached_property
    def is_table(self) -> bool:
        """Whether no input has a part in it at all, as in a schedule."""
        return id(self.natural) in graph.tables_of(self.natural)

    def halved(self, what: str) -> FloatArray | None:
        """The usual formula exactly, but for its counts, angles, tables or sums, see there; None: it has none."""
        if what not in self._halved:
            self._halved[what] = evaluate_halved(self.natural, self.fmt, what)
        return self._halved[what]

    def lowered(self, model: models.Arithmetic) -> FloatArray:
        """What the usual formula gives in a lower precision, sums rounded once; or with the factors of products so."""
        if model.factors:
            bits = -round(log2(model.factors))

            def change(node: Node, args: list[FloatArray]) -> FloatArray | None:
                return np.matmul(*(round_to_bits(arg, bits) for arg in args)) if node.op == "dot" else None

            return evaluate_with(self.natural, change)
        assert model.format is not None
        return working.emulate(self.natural, model.format, 0).values.astype(np.float64)

    def variant_emulated(self, name: str) -> working.Emulated:
        """A variant that has a graph here, run in the wide format with sums one by one."""
        return working.emulate(self.variant_graph(name), wide_format(self.fmt), 1)

    def narrowed(self, variant: str, lanes: int) -> working.Emulated:
        """The usual formula, or that of a variant, with every intermediate in the half format itself; see `emulated`.

        Raises one of FAILURES where the variant has no meaning for this call.
        """
        if not variant:
            return self.emulated(lanes, narrow=True)
        return working.emulate(self.variant_graph(variant), self.fmt, lanes, wide_format(self.fmt))

    def sources(self, index: tuple[int, ...]) -> dict[str, NDArray[np.int64]]:
        """Flat places of each input that one element of the output depends on."""
        if index not in self._sources:  # often one is the worst of several subjects, or in several ways
            place = int(np.ravel_multi_index(index, self.shape)) if index else 0
            if self.is_unary:
                self._sources[index] = {self.spec.inputs[0].name: np.array([place])}
            else:
                found = dependencies(self.root, place)
                named = self.tensors.items()
                self._sources[index] = {name: found[id(node)] for name, node in named if id(node) in found}
        return self._sources[index]

    @cached_property
    def _told(self) -> tuple[NDArray[np.bool_], FloatArray]:
        """Places that Arb was asked about, and what it said."""
        return np.zeros(self.root.size, np.bool_), np.empty((3, self.root.size))

    def settle(self, places: NDArray[np.int64]) -> Truth:
        """The truth with Arb's values at flat `places`, as exact as the format needs. `truth` stays as it is.

        What Arb says of a place does not depend on what else was asked.
        """
        known, said = self._told
        new = places[~known[places]]
        if len(new):
            settled = exact.settle(self.root, new, self.tolerance)
            said[:, new] = settled.hi, settled.lo, settled.radius
            known[new] = True
        hi, lo, radius = np.array(self.truth.hi).ravel(), np.zeros(known.size), np.array(self.truth.radius).ravel()
        hi[places], lo[places], radius[places] = limits.with_signs(said[:, places], hi[places], radius[places])
        shape, ranges = self.shape, None
        zeros = self._signed_zeros(hi.reshape(shape), radius.reshape(shape))
        if self.has_kinks:
            ranges = np.zeros(hi.size, np.bool_)
            with np.errstate(invalid="ignore"):
                ranges[places] = np.isfinite(radius[places]) & (radius[places] > self.tolerance(hi[places]))
            ranges = ranges.reshape(shape)
        return Truth(hi.reshape(shape), lo.reshape(shape), radius.reshape(shape), self.fmt, zeros, ranges)

    def tolerance(self, values: FloatArray) -> FloatArray:
        """Largest radius with which an exact value near each of `values` is certain enough for any error."""
        return tolerance(values, ulp(inside(values, self.fmt), self.fmt), self.fmt)

    def written_otherwise(self) -> Iterator[tuple[str, str, FloatArray]]:
        """A function in the formula, how it may be written with a loss, and what comes of that in the wide format."""
        for kind, text, root in lossy_forms(self.natural):
            yield kind, text, working.emulate(root, wide_format(self.fmt), 1).values.astype(np.float64)

    def variant_graph(self, name: str) -> Node:
        """The graph of another meaning. Raises one of FAILURES, such as ValueError, where it has none for this call."""
        roots = variant_graphs(self.spec, name, self.dims, self.params, self.tensors)
        if len(roots) != len(self.spec.outputs):
            raise ValueError(f"variant '{name}' gives {len(roots)} results, not {len(self.spec.outputs)}")
        return roots[self.place]

    def _with_limits(self, hi: FloatArray, radius: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Unary ops: the limit at the infinities, not -inf * 0; where none is seen, what IEEE arithmetic has there."""
        spec, name = self.spec, self.spec.inputs[0].name
        sizes = {name: size for name, size in self.dims.items() if name in spec.reference.names}
        key = (spec.digest, self.place, repr(sorted({**sizes, **self.params}.items())))

        def rebuild(values: FloatArray) -> Node:
            return graphs_of(spec.reference, self.dims, self.params, {name: graph.leaf(values, "input")})[self.place]

        return limits.put_in(key, rebuild, self._exactly(name), hi, radius)
