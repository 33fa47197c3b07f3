"""Diagnoses at the end of a run: each finding's call is made again, and others like it, in isolated processes."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import TypeVar

import numpy as np

from opfuzz.backends import Backend, Subject, discover
from opfuzz.core.call import Call, Recipe
from opfuzz.core.case import Case
from opfuzz.core.cause import Cause
from opfuzz.core.findings import Apart, Finding
from opfuzz.core.layout import LAYOUTS
from opfuzz.core.results import Score
from opfuzz.core.shipped import shipped
from opfuzz.engine.calls import asker, follow, outcome_of
from opfuzz.engine.evaluate import looked_at, without
from opfuzz.engine.executors import LOCAL, RAISED, Casualty, Executor, Task, drive
from opfuzz.engine.executors.task import Answer, Item
from opfuzz.engine.plan import Plan, dialects_of, vocabulary
from opfuzz.engine.roster import Roster, SubjectTask
from opfuzz.judge.diagnose import Evidence, diagnose, of_record
from opfuzz.judge.diagnose.apart import rest_of
from opfuzz.judge.diagnose.evidence import Array
from opfuzz.oracle.meaning import meaning_of
from opfuzz.oracle.primitive import Primitive, primitives_of
from opfuzz.oracle.reference import Reference
from opfuzz.spec import OpSpec, load_all

State = TypeVar("State")

SECONDS = 30.0  # for one finding; what takes longer is told from the record
GRADIENT_SECONDS = 90.0  # the same of gradients, whose exact results cost three times as much
BATCH = 4
KEPT = 2**18  # elements in the inputs of the calls whose exact results are kept
Diagnosis = tuple[Cause, ...]
LOST = frozenset({"crash", "timeout", "out-of-memory"})  # verdicts of calls that are not made again


@dataclass(frozen=True, slots=True)
class CausesTask(SubjectTask[Item, Answer]):
    """Work that asks subjects why they are at fault: what is known of their ops, and how long one call may take."""

    specs: Mapping[str, OpSpec]
    primitives: tuple[Primitive, ...]  # that subjects may have inside their ops
    call_seconds: float  # after which a call hangs

    @property
    def call_timeout(self) -> float:
        """See Task."""
        return self.call_seconds


@dataclass(frozen=True, slots=True)
class DiagnoseTask(CausesTask[Finding, Diagnosis]):
    """Diagnoses of findings of a plan."""

    @property
    def timeout(self) -> float:
        """See Task."""
        return seconds_for(self.specs.values())

    def needs(self, item: Finding) -> frozenset[str]:
        """See Task."""
        return self.roster.needs([item.subject])

    def describe(self, item: Finding) -> str:
        """See Task."""
        return f"the diagnosis of {item.id}"

    def work(self, state: Mapping[str, Backend], item: Finding) -> Diagnosis:
        """See `diagnose_score`."""
        subject, smallest = Subject.parse(item.subject), smallest_of(item)
        spec, backend = self.specs[item.op], state[subject.backend]
        score = score_of(item)
        return diagnose_score(score, spec, item.recipe, subject, backend, smallest, self.primitives, item.apart)


def seconds_for(specs: Iterable[OpSpec]) -> float:
    """For a diagnosis of a finding of any of these ops."""
    return GRADIENT_SECONDS if any(spec.gradient is not None for spec in specs) else SECONDS


def known_primitives(plan: Plan) -> tuple[Primitive, ...]:
    """Those that a plan's subjects may have: what one's own exp does is asked for also where nobody tests it."""
    dialects = dialects_of(plan.subjects, discover(plan.plugins))
    known = {spec.op: spec for spec in (*_shipped_primitives(plan.plugins, dialects), *plan.specs)}
    return primitives_of(known.values())


@lru_cache(maxsize=8)
def _shipped_primitives(plugins: tuple[Path, ...], dialects: frozenset[str]) -> tuple[OpSpec, ...]:
    """The primitives among the specs that come with opfuzz: reading all of these takes seconds."""
    specs = load_all((shipped("specs"),), vocabulary(discover(plugins), dialects))
    return tuple(primitive.spec for primitive in primitives_of(specs))


def diagnose_findings(
    plan: Plan,
    findings: Sequence[Finding],
    executor: Executor = LOCAL,
) -> tuple[tuple[Finding, ...], bool]:
    """The findings, in their order, each with its diagnosis; and whether it was interrupted."""
    if not findings:
        return (), False
    specs = {spec.op: spec for spec in plan.specs}
    backends = discover(plan.plugins)
    task = DiagnoseTask(Roster.of(plan.subjects, plan.plugins, backends), specs, known_primitives(plan), plan.timeout)
    known = {finding.id: _record(finding, specs[finding.op]) for finding in findings}
    return diagnose_each(findings, known, task, plan.jobs, executor)


def diagnose_each(
    findings: Sequence[Finding],
    known: Mapping[str, Diagnosis],
    task: Task[State, Finding, Diagnosis],
    jobs: int,
    executor: Executor = LOCAL,
) -> tuple[tuple[Finding, ...], bool]:
    """The findings, in their order, each with what the task says of it; else with what is `known`, by id.

    Also whether Ctrl-C or SIGTERM ended it; then the rest has what is known.
    """
    said = dict(known)
    open_ones = [finding for finding in findings if finding.verdict not in LOST]
    open_ones.sort(key=lambda finding: sorted(task.needs(finding)))  # a batch goes to one machine
    batches = [open_ones[first : first + BATCH] for first in range(0, len(open_ones), BATCH)]

    def take(number: int, batch: Sequence[tuple[Finding, Diagnosis | Casualty]]) -> None:
        for finding, causes in batch:
            if not isinstance(causes, Casualty):
                said[finding.id] = causes
            elif causes.kind in RAISED:
                words = causes.message.strip().splitlines()[-1]
                said[finding.id] = undiagnosed(finding, said[finding.id], words)

    # A run is not lost for what is said of one of its findings.
    was_interrupted = drive(executor, task, batches, take, jobs=jobs, borne=RAISED)
    return tuple(replace(finding, causes=said[finding.id]) for finding in findings), was_interrupted


def diagnose_score(
    score: Score,
    spec: OpSpec,
    recipe: Recipe,
    subject: Subject,
    backend: Backend,
    smallest: Call | None = None,
    primitives: tuple[Primitive, ...] = (),
    apart: Apart | None = None,
) -> Diagnosis:
    """The diagnosis of a score on the call that shows it, made in this process: calls that may harm it are made.

    Where a smaller call shows it, that is what is looked at; the larger one is asked where few elements hide the cause.
    Of a second cause only what the first does not explain.
    """
    call, spec = follow(recipe, spec), looked_at(without(spec, recipe.lacking), recipe.relation)
    if score.verdict in LOST:
        return lost(score, smallest or call)
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        lab = Lab(spec, subject, backend, primitives)
        evidence = lab.look(score, call, apart=apart)
        if smallest is not None:
            evidence = lab.look(score, smallest, evidence, apart) or evidence
        return lost(score, smallest or call) if evidence is None else diagnose(evidence)


@dataclass(frozen=True, slots=True)
class Lab:
    """A subject in this process, and an op that is called on it."""

    spec: OpSpec
    subject: Subject
    backend: Backend
    primitives: tuple[Primitive, ...]

    def look(
        self, score: Score, call: Call, wider: Evidence | None = None, apart: Apart | None = None
    ) -> Evidence | None:
        """What there is to see of a call that shows what is scored; None where it returns nothing.

        Of a second cause, all that the first does not explain; None where there is nothing of that.
        """
        place, inside = decided_in(score, self.spec), asker(self.subject, self.backend, self.primitives)

        def run(call: Call) -> Array | None:
            outputs = outcome_of(self.spec, self.subject, self.backend, call).outputs
            return None if outputs is None else outputs[place]

        output, exact = run(call), Exact(self.spec, place)
        if output is None:
            return None
        evidence = Evidence(self.spec, score, call, output, run, exact, wider, self.primitives, inside.ask)
        return evidence if apart is None else rest_of(evidence, apart)


def decided_in(score: Score, spec: OpSpec) -> int:
    """Which of the outputs decided; the first where no element did."""
    return spec.place_of(score.deciding.output) if score.deciding else 0


class Exact:
    """The exact results of one output of calls of an op; the latest are kept, since stages ask about the same calls."""

    def __init__(self, spec: OpSpec, place: int) -> None:
        self.spec, self.place = spec, place
        self._kept: dict[str, Reference] = {}  # the latest last
        self._elements = 0

    def __call__(self, call: Call) -> Reference:
        """The exact result of a call, however its inputs lie in memory. Raises what `meaning_of` does."""
        name = replace(call, layouts={}).id(self.spec.op)
        found = self._kept.pop(name, None)
        if found is None:
            found = Reference(meaning_of(self.spec, call), self.place)
            self._elements += _elements(found)
        self._kept[name] = found
        while self._elements > KEPT and len(self._kept) > 1:
            self._elements -= _elements(self._kept.pop(next(iter(self._kept))))
        return found


def _elements(reference: Reference) -> int:
    return sum(array.size for array in reference.arrays.values())


def lost(score: Score, call: Call | Case) -> Diagnosis:
    """What is known of a call that is not made again."""
    views = tuple((name, layout) for name, layout in call.layouts.items() if layout != LAYOUTS[0])
    return of_record(score, (*call.dims.items(), *call.params.items()), views)


def score_of(finding: Finding) -> Score:
    """What is known of the case that a finding shows."""
    mark = finding.witness.mark if finding.witness else None
    return Score(finding.verdict, finding.cause, deciding=mark)


def smallest_of(finding: Finding) -> Call | None:
    """The smallest call that shows a finding; None if nothing smaller than its own does."""
    minimal = finding.minimal
    return minimal.call if minimal is not None and minimal.is_shown else None


def undiagnosed(finding: Finding, known: Diagnosis, words: str) -> Diagnosis:
    """What is said where a diagnosis fails: of a wrong number not what the judge saw first, which nobody refuted."""
    first, *beside = known
    return (*seen_of(finding.verdict, first), Cause("undiagnosed", figures={"words": words}), *beside)


def seen_of(verdict: str, cause: Cause) -> Diagnosis:
    """What judging saw of a fault, without what it took first for the reason; of a wrong number that is nothing."""
    return () if verdict in ("wrong", "imprecise") else (cause,)


def _record(finding: Finding, spec: OpSpec) -> Diagnosis:
    call = smallest_of(finding) or finding.recipe.case or follow(finding.recipe, spec)
    return lost(score_of(finding), call)
