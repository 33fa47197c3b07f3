"""One case on every subject: drawn, run, judged against the exact result, and tried in another way."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from opfuzz import relations
from opfuzz.backends import Backend, Subject, discover, perform, resolve, same_bits
from opfuzz.case import Case
from opfuzz.errors import OpfuzzError
from opfuzz.execute import Casualty, note
from opfuzz.expr import Program
from opfuzz.floats import hexes_of
from opfuzz.generate import draw, inputs
from opfuzz.layout import layout_class
from opfuzz.metrics.distance import largest_distance
from opfuzz.oracle.reference import Reference, reference_of
from opfuzz.plan import Plan, calls_of
from opfuzz.records import Judged, Mark, Outcome, Result, Score, Witness
from opfuzz.score import score
from opfuzz.spec import OpSpec

REPEAT_EVERY = 8  # one case in so many is called twice
RELATE_EVERY = 2  # one in so many is tried in another way as well
WITNESS_VALUES = 8  # of each input that a witness shows


@dataclass(frozen=True, slots=True)
class Item:
    """One case to examine, named by its place in the stream of its op and format."""

    op: str
    format: str
    number: int
    spared: frozenset[str] = frozenset()  # subjects that need not do it
    subjects: tuple[str, ...] = ()  # of the plan, that are tried; (): all of them


class Bench:
    """A worker's tools: specs, subjects and their backends, made once."""

    def __init__(self, plan: Plan, backends: Mapping[str, Backend] | None = None) -> None:
        self.plan = plan
        self.backends = discover(plan.plugins) if backends is None else backends
        self.specs = {spec.op: spec for spec in plan.specs}
        self._found: dict[str, tuple[Subject, Backend]] = {}

    def subject(self, text: str) -> tuple[Subject, Backend]:
        """The subject of this name and its backend, ready to be called. Raises OpfuzzError if it is not here."""
        if text not in self._found:
            subject, backend = resolve(text, self.backends)
            backend.limit_threads(1)
            self._found[text] = subject, backend
        return self._found[text]

    def examine(self, item: Item) -> Result:
        """The case that an item names, on every subject that has a call for it."""
        spec = self.specs[item.op]
        near = self.plan.near(spec, item.format, item.number)
        case = near or draw(spec, item.format, self.plan.seed, item.number)
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
        arrays = inputs(spec, case)
        reference = reference_of(spec, case, arrays)
        repeat = number % REPEAT_EVERY == 0
        judged: list[Judged] = []
        outputs: dict[str, NDArray[Any]] = {}
        for subject, backend in map(self.subject, subjects or self.plan.subjects):
            for implementation, program in calls_of(spec, subject, backend).items():
                precise = replace(subject, implementation=implementation)
                if str(precise) in spared:
                    continue
                note(str(precise))
                outcome = performed(spec, case, arrays, precise, backend, program, repeat)
                note("")  # what kills the worker from here on is no fault of the subject
                verdict = score(outcome, reference)
                if outcome.output is not None:
                    outputs[outcome.subject] = outcome.output
                    if number % RELATE_EVERY == 0 and program is not None:
                        turn = number // RELATE_EVERY
                        verdict = self._related(verdict, outcome.output, case, reference, precise, backend, turn)
                judged.append(judged_of(outcome.subject, verdict, case, reference))
        return case_result(spec, case, number, judged, outputs, is_near=is_near)

    def _related(
        self,
        own: Score,
        output: NDArray[Any],
        case: Case,
        reference: Reference,
        subject: Subject,
        backend: Backend,
        turn: int,
    ) -> Score:
        """The score of a case after another way to the same result was tried too."""
        spec = reference.spec
        relation = relations.chosen(spec, case, reference.arrays, reference.is_unary, subject.mode, turn)
        program = calls_of(spec, subject, backend)[subject.implementation]
        assert program is not None

        def call(piece: relations.Piece) -> Outcome:
            names, shape = {**piece.dims, **case.params}, spec.output_shape(piece.dims, case.params)
            given = (piece.arrays, piece.layouts, names, case.format, shape)
            way = replace(subject, mode="") if relation.is_eager else subject
            return perform(backend, way, program, *given, repeat=False)

        note(_at_work(subject, relation))
        outcome = relations.assemble(relation, output, call)
        note("")
        is_same = outcome.output is not None and same_bits(outcome.output, output)
        other = own if is_same else score(outcome, reference)
        decided = relations.decide(own, other, relation, is_same)
        if decided.relation:
            self._check_promise(relation, case, reference)
        return decided

    def _check_promise(self, relation: relations.Relation, case: Case, reference: Reference) -> None:
        """Raises OpfuzzError where the other way is another function by the spec's own reference."""
        for piece in relation.pieces:
            if piece.put is None:
                continue
            other = Reference(reference.spec, reference.fmt, piece.dims, case.params, piece.arrays).truth
            if not other[piece.taken].may_equal(reference.truth[piece.put]):
                raise OpfuzzError(
                    f"{reference.spec.path}: the reference of '{case.op}' itself gives other values {relation.words}: "
                    f"take the size out of 'batch'"
                )


def performed(
    spec: OpSpec,
    case: Case,
    arrays: Mapping[str, NDArray[Any]],
    subject: Subject,
    backend: Backend,
    program: Program | None,
    repeat: bool,
) -> Outcome:
    """What a subject makes of a case; `program` is its call, None where the spec has none."""
    if program is None:
        missing = f"no call '{subject.implementation}'" if subject.implementation else "no call"
        return Outcome(str(subject), "unsupported", message=f"the spec has {missing} for the dialect {backend.dialect}")
    names = {**case.dims, **case.params}
    shape = spec.output_shape(case.dims, case.params)
    return perform(backend, subject, program, arrays, case.layouts, names, case.format, shape, repeat=repeat)


def judged_of(subject: str, verdict: Score, case: Case, reference: Reference) -> Judged:
    """The score of a case with the elements that show it."""

    def witness(mark: Mark | None) -> Witness | None:
        return None if mark is None else witness_of(mark, case.id, reference)

    largest = witness(verdict.largest)
    return Judged(
        subject, verdict, largest, largest if verdict.deciding == verdict.largest else witness(verdict.deciding)
    )


def case_result(
    spec: OpSpec,
    case: Case,
    number: int,
    judged: Sequence[Judged],
    outputs: Mapping[str, NDArray[Any]],
    is_near: bool = False,
) -> Result:
    """A case on all its subjects, as a ranking takes it in; `outputs` by subject, where there is one."""
    distances = {(a, b): largest_distance(outputs[a], outputs[b]) for a, b in combinations(outputs, 2)}
    return Result(
        case.op,
        case.format,
        number,
        case.id,
        case.sort_key(spec),
        tuple(judged),
        distances,
        near=is_near,
        layout=layout_class(case.layouts),
    )


def witness_of(mark: Mark, case: str, reference: Reference) -> Witness:
    """An element with the values of the inputs that it depends on."""
    hexes: dict[str, tuple[str, ...]] = {}
    values: dict[str, tuple[float, ...]] = {}
    for name, places in reference.sources(mark.index).items():
        shown = reference.arrays[name].ravel()[places[:WITNESS_VALUES]]
        values[name] = tuple(shown.astype(np.float64).tolist())
        if shown.dtype.kind not in "biu":
            hexes[name] = hexes_of(shown)
    return Witness(case, mark, hexes, values)


def _at_work(subject: Subject, relation: relations.Relation) -> str:
    """What a worker notes before it tries another way."""
    return "\n".join((str(subject), relation.name, relation.words))


def blamed(casualty: Casualty) -> tuple[str, Score]:
    """The subject that was at work, '' if none was, and the score of a case that ended its worker."""
    subject, relation, words = (*casualty.label.split("\n"), "", "")[:3]
    reason = f"{words}: {casualty.message}" if words else casualty.message
    return subject, Score(casualty.kind, reason, relation)
