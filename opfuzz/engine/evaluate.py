"""One case on every subject: drawn, run, judged against the exact result, and tried in another way."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from opfuzz.backends import Backend, Subject, discover, not_spoken, perform, resolve, same_outputs, unsupported
from opfuzz.core.call import Call, Recipe
from opfuzz.core.case import Case
from opfuzz.core.cause import Cause, words_of
from opfuzz.core.errors import OpfuzzError
from opfuzz.core.floats import hexes_of
from opfuzz.core.layout import LAYOUTS, layout_class
from opfuzz.core.metrics.distance import largest_distance
from opfuzz.core.relation import ALONE, CONTIGUOUS, EAGER, VIEW, Relation
from opfuzz.core.results import Judged, Mark, Outcome, Result, Score, Witness
from opfuzz.core.verdicts import CLEAN, SEVERITY
from opfuzz.engine.executors import Casualty, note
from opfuzz.engine.plan import Plan, calls_of
from opfuzz.engine.probe.bars import Bars
from opfuzz.generate import inputs
from opfuzz.judge import metamorphic
from opfuzz.judge.outputs import score_outputs
from opfuzz.oracle.reference import Reference, references_of
from opfuzz.report.causes import word_relation
from opfuzz.spec import OpSpec
from opfuzz.spec.expression.program import Program
from opfuzz.spec.gradient import asked_alone, asked_by
from opfuzz.spec.order import case_key

REPEAT_EVERY = 8  # one case in so many is called twice
RELATE_EVERY = 2  # one in so many is tried in another way as well
WITNESS_VALUES = 8  # of each input that a witness shows

NO_LAYOUTS: Mapping[str, str] = MappingProxyType({})

Named = Mapping[str, NDArray[Any]]  # the outputs of a subject, by their names


@dataclass(frozen=True, slots=True)
class CaseItem:
    """One case to examine, named by its place in the stream of its op and format."""

    op: str
    format: str
    number: int
    spared: frozenset[str] = frozenset()  # subjects that need not do it
    subjects: tuple[str, ...] = ()  # of the plan, that are tried; (): all of them


@dataclass(frozen=True, slots=True)
class Callee:
    """One implementation of an op by a subject."""

    text: str
    subject: Subject
    backend: Backend
    program: Program | None  # how it calls the op; None: the spec does not say


class Bench:
    """A worker's tools: specs, subjects and their backends, made once."""

    def __init__(self, plan: Plan, backends: Mapping[str, Backend] | None = None) -> None:
        self.plan = plan
        self.backends = discover(plan.plugins) if backends is None else backends
        self.specs = {spec.op: spec for spec in plan.specs}
        self._found: dict[str, tuple[Subject, Backend]] = {}
        self._callees: dict[tuple[str, tuple[str, ...]], tuple[Callee, ...]] = {}  # by op and subjects
        self._lacking: dict[tuple[str, str, str], tuple[str, ...]] = {}  # by op, subject and format
        self._bars = Bars(plan.barred)

    def subject(self, text: str) -> tuple[Subject, Backend]:
        """The subject of this name and its backend, ready to be called. Raises OpfuzzError if it is not here."""
        if text not in self._found:
            subject, backend = resolve(text, self.backends)
            backend.limit_threads(1)
            self._found[text] = subject, backend
        return self._found[text]

    def is_barred(self, op: str, format: str, subject: str, layouts: Mapping[str, str] = NO_LAYOUTS) -> bool:
        """Whether a subject is not tried on an op in a format with its inputs in these layouts, or in any."""
        return self._bars.against(self.specs[op], Subject.parse(subject), format, layouts) is not None

    def examine(self, item: CaseItem) -> Result:
        """The case that an item names, on every subject that has a call for it."""
        spec = self.specs[item.op]
        near = self.plan.near(spec, item.format, item.number)
        case = near or self.plan.drawn(spec, item.format, item.number)
        return self.judge(case, item.number, item.subjects, item.spared, is_near=near is not None)

    def judge(
        self,
        case: Case,
        number: int,
        subjects: tuple[str, ...] = (),
        spared: frozenset[str] = frozenset(),
        *,
        is_near: bool = False,
    ) -> Result:
        """One case on these subjects of the plan, or on all; `number` says if it is called twice, and in which way."""
        spec = self.specs[case.op]
        call = Call.of(case, inputs(spec, case))
        references = references_of(spec, call)
        repeat = number % REPEAT_EVERY == 0
        judged: list[Judged] = []
        outputs: dict[str, Named] = {}
        for callee in self._callees_of(spec, subjects or self.plan.subjects):
            text, subject, backend, program = callee.text, callee.subject, callee.backend, callee.program
            if text in spared:
                continue
            if (reason := self._bars.against(spec, subject, case.format, case.layouts)) is not None:
                judged.append(Judged(text, Score("unsupported", unsupported(reason)), None, None))
                continue
            note(text)
            own, exact = spec, references
            if lacking := self.lacking(spec, call, subject, backend):
                own = without(spec, lacking)
                program, exact = calls_of(own, subject, backend)[subject.implementation], references_of(own, call)
            outcome = perform_call(own, call, subject, backend, program, repeat)
            note("")  # what kills the worker from here on is no fault of the subject
            found = score_outputs(outcome, exact)
            recipe = own_recipe(found, case)
            if outcome.outputs is not None:
                names = (output.name for output in own.outputs)
                outputs[outcome.subject] = dict(zip(names, outcome.outputs, strict=True))
                if number % RELATE_EVERY == 0 and program is not None:
                    turn = number // RELATE_EVERY
                    found, recipe = self._relate(found, outcome, case, exact, (subject, backend), turn)
            if lacking:
                recipe = replace(recipe, lacking=lacking)
            judged.append(judge_with_witnesses(outcome.subject, found, recipe, exact))
        return make_result(spec, case, number, judged, outputs, is_near=is_near)

    def _callees_of(self, spec: OpSpec, subjects: tuple[str, ...]) -> tuple[Callee, ...]:
        """The implementations of an op by these subjects; the same for all its cases."""
        key = (spec.op, subjects)
        if key not in self._callees:
            made = []
            for subject, backend in map(self.subject, subjects):
                for implementation, program in calls_of(spec, subject, backend).items():
                    precise = replace(subject, implementation=implementation)
                    made.append(Callee(str(precise), precise, backend, program))
            self._callees[key] = tuple(made)
        return self._callees[key]

    def lacking(self, spec: OpSpec, call: Call, subject: Subject, backend: Backend) -> tuple[str, ...]:
        """The inputs of an op by which a subject gives no gradient; none where it gives that by no input.

        It is asked with the first call of a format that it answers, by each input alone where it refuses all.
        """
        inputs = () if spec.gradient is None else spec.gradient.inputs
        key = (spec.op, str(subject), call.format)
        if len(inputs) < 2 or key in self._lacking:
            return self._lacking.get(key, ())
        if (found := lacking_by(spec, call, subject, backend)) is not None:
            self._lacking[key] = found
        return found or ()

    def _relate(
        self,
        own: Score,
        made: Outcome,
        case: Case,
        references: Sequence[Reference],
        callee: tuple[Subject, Backend],
        turn: int,
    ) -> tuple[Score, Recipe]:
        """The score of a case after another way to the same result was tried too, and the call that shows it."""
        spec, arrays, (subject, backend) = references[0].spec, references[0].arrays, callee
        is_unary = spec.single_input and all(reference.is_unary for reference in references)
        mode = "" if backend.compiles else subject.mode  # without a mode it is not eager
        way = metamorphic.choose_way(spec, case, arrays, is_unary, mode, turn)
        if way.relation.kind in (CONTIGUOUS, VIEW) and not backend.layouts - {LAYOUTS[0]}:
            # Its tensors lie in one way only; the next relation stands where that of the layout was.
            way = metamorphic.choose_way(spec, case, arrays, is_unary, mode, turn + 1)
        assert made.outputs is not None
        if any(self._bars.against(spec, subject, case.format, piece.call(case).layouts) for piece in way.pieces):
            return own, own_recipe(own, case)

        def call(piece: metamorphic.Piece) -> Outcome:
            doer = replace(subject, mode="") if way.relation.kind == EAGER else subject
            asked = looked_at(spec, way.relation)
            own = calls_of(asked, subject, backend)[subject.implementation]
            assert own is not None
            return perform(backend, doer, own, piece.call(case), asked.output_shapes(piece.dims, case.params))

        note(_label(subject, way.relation))
        outcome, last = metamorphic.assemble(way, made.outputs, call)
        note("")
        same = same_outputs(outcome.outputs, made.outputs) if outcome.outputs is not None else (False,)
        other = own if all(same) else score_outputs(outcome, references)
        decided = metamorphic.decide(own, other, way.relation, all(same))
        if decided is own or decided.cause.relation is None:
            return decided, own_recipe(decided, case)
        if decided is not own and way.relation.is_repeat and outcome.outputs is not None:
            # The element that decides is in an output that has other bits.
            decided = replace(score_outputs(replace(made, repeated=same), references), cause=decided.cause)
        self._check_promise(way, case, references)
        return decided, write_recipe(decided, way, case, spec, last)

    def _check_promise(self, way: metamorphic.OtherWay, case: Case, references: Sequence[Reference]) -> None:
        """Raises OpfuzzError where the other way is another function by the spec's own reference."""
        spec = references[0].spec
        for piece in way.pieces:
            if not piece.is_seen:
                continue
            if piece.alone:  # the same formulas
                continue
            for part, other, own in zip(piece.parts, references_of(spec, piece.call(case)), references, strict=True):
                if part is not None and not other.truth[part.taken].may_equal(own.truth[part.put]):
                    raise OpfuzzError(
                        f"{spec.path}: the reference of '{case.op}' itself gives other values "
                        f"{word_relation(way.relation)}{f', in the output {own.output}' if own.output else ''}: "
                        f"take the size out of 'batch'"
                    )


def looked_at(spec: OpSpec, relation: Relation | None) -> OpSpec:
    """The op that a relation is about: the same, or the gradient by one input alone."""
    return asked_alone(spec, relation.name) if relation is not None and relation.kind == ALONE else spec


def lacking_by(spec: OpSpec, call: Call, subject: Subject, backend: Backend) -> tuple[str, ...] | None:
    """The inputs by which a subject refuses the gradient of a call; none where it refuses that by all, or by none.

    None where the call fails otherwise, which says nothing.
    """
    assert spec.gradient is not None
    inputs, name = spec.gradient.inputs, subject.implementation

    def status(asked: OpSpec) -> str:
        return perform_call(asked, call, subject, backend, calls_of(asked, subject, backend)[name], False).status

    whole = status(spec)
    if whole not in ("ok", "unsupported"):
        return None
    refused = [each for each in inputs if whole != "ok" and status(asked_alone(spec, each)) == "unsupported"]
    return tuple(refused) if len(refused) < len(inputs) else ()


def without(spec: OpSpec, lacking: Sequence[str]) -> OpSpec:
    """The gradient of an op by all its inputs but some; the op itself where there are none of these."""
    if not lacking or spec.gradient is None:
        return spec
    return asked_by(spec, tuple(name for name in spec.gradient.inputs if name not in lacking))


def perform_call(
    spec: OpSpec, call: Call, subject: Subject, backend: Backend, program: Program | None, repeat: bool
) -> Outcome:
    """What a subject makes of a call; `program` is how it makes it, None where the spec does not say."""
    if program is None:
        return Outcome(str(subject), "unsupported", cause=not_spoken(backend, subject.implementation))
    return perform(backend, subject, program, call, spec.output_shapes(call.dims, call.params), repeat=repeat)


def own_recipe(found: Score, case: Case) -> Recipe:
    """The case's own call, made twice where that is what shows the fault."""
    recipe, relation = Recipe(case), found.cause.relation
    if relation is None or not relation.is_repeat:
        return recipe
    return replace(recipe, relation=relation).about(found.deciding.element if found.deciding else None)


def write_recipe(found: Score, way: metamorphic.OtherWay, case: Case, spec: OpSpec, last: int = 0) -> Recipe:
    """Which call shows what another way to the same result did: the case's own, or the one that made the element.

    `last` is the place of the last call that was made, which raised if there is no element.
    """
    relation = way.relation
    element = found.deciding.element if found.deciding is not None else None
    only = found.cause.figures.get("only")
    other = way.pieces[0]
    switch: Mapping[str, str] | None = None
    if only is not None and other.dims == case.dims and other.layouts != case.layouts:
        switch = case.layouts if only else other.layouts
    recipe = Recipe(case, relation=relation, switch=switch)
    if relation.is_repeat or only is False:  # a fault of the case's own call
        return recipe.about(element)
    if element is None:
        return replace(recipe, piece=last)
    for number, piece in enumerate(way.pieces):
        if (place := piece.locate(element, spec, case)) is not None:
            return replace(recipe, piece=number).about(place)
    return recipe.about(element)


def judge_with_witnesses(subject: str, found: Score, recipe: Recipe, references: Sequence[Reference]) -> Judged:
    """The score of a case with the elements that show it, and the call that shows them."""
    case = recipe.case.id if recipe.case is not None else ""

    def witness(mark: Mark | None) -> Witness | None:
        return None if mark is None else witness_of(mark, case, references)

    largest = witness(found.largest)
    deciding = largest if found.deciding == found.largest else witness(found.deciding)
    lacking = recipe.lacking
    if SEVERITY[found.verdict] == CLEAN:
        return Judged(subject, found, largest, deciding, None, lacking)
    if recipe.relation is None and found.deciding is not None:
        recipe = recipe.about(found.deciding.element)
    return Judged(subject, found, largest, deciding, recipe, lacking)


def make_result(
    spec: OpSpec,
    case: Case,
    number: int,
    judged: Sequence[Judged],
    outputs: Mapping[str, Named],
    is_near: bool = False,
) -> Result:
    """A case on all its subjects, as a ranking takes it in; `outputs` by subject, where there are any."""
    pairs = ((a, b, outputs[a].keys() & outputs[b].keys()) for a, b in combinations(outputs, 2))
    distances = {
        (a, b): max(largest_distance(outputs[a][name], outputs[b][name]) for name in both)
        for a, b, both in pairs
        if both
    }
    return Result(
        case.op,
        case.format,
        number,
        case.id,
        case_key(spec, case),
        tuple(judged),
        distances,
        near=is_near,
        layout=layout_class(case.layouts),
        regimes=tuple(sorted(set(case.regimes.values()))),
    )


def witness_of(mark: Mark, case: str, references: Sequence[Reference]) -> Witness:
    """An element with the values of the inputs that it depends on."""
    reference = references[references[0].spec.place_of(mark.output)]
    hexes: dict[str, tuple[str, ...]] = {}
    values: dict[str, tuple[float, ...]] = {}
    for name, places in reference.sources(mark.index).items():
        shown = reference.arrays[name].ravel()[places[:WITNESS_VALUES]]
        values[name] = tuple(shown.astype(np.float64).tolist())
        if shown.dtype.kind not in "biu":
            hexes[name] = hexes_of(shown)
    return Witness(case, mark, hexes, values)


def _label(subject: Subject, relation: Relation) -> str:
    """What a worker notes before it tries another way."""
    return "\n".join((str(subject), relation.kind, relation.name, relation.layout, str(relation.by)))


def unknown_truth(words: str) -> Score:
    """The score where the exact result cannot be had."""
    return Score("unresolved", Cause("unknown-truth", figures={"words": words}))


DEATHS = {"crash": "dies", "timeout": "hangs", "out-of-memory": "out-of-memory"}


def blame(casualty: Casualty) -> tuple[str, Score]:
    """The subject that was at work, '' if none was, and the score of a case that ended its worker."""
    subject, *told = casualty.label.split("\n")
    relation = None
    if told:
        kind, name, layout, by = told
        relation = Relation(kind, name, layout, int(by))
    death = "raises" if casualty.raised else DEATHS.get(casualty.kind, "raises")
    return subject, Score(casualty.kind, Cause(death, casualty.raised, relation, {"words": words_of(casualty.message)}))
