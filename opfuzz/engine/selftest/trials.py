"""A worker of the self-test: one case on a mutant, and on the unmodified backend where the mutant shows a fault."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from opfuzz.backends import Backend, Subject, derive, discover
from opfuzz.core.cause import Cause
from opfuzz.core.findings import Finding
from opfuzz.core.results import Judged, Result
from opfuzz.core.verdicts import FAULT, SEVERITY
from opfuzz.engine.evaluate import Bench, CaseItem, unknown_truth
from opfuzz.engine.executors.task import Answer, Item, Task
from opfuzz.engine.plan import CASE_SECONDS, Plan
from opfuzz.engine.selftest.mutant import Mutant, read_mutants
from opfuzz.engine.selftest.planting import plant
from opfuzz.engine.triage import minimize
from opfuzz.engine.triage.diagnose import diagnose_score, score_of, seconds_for, smallest_of
from opfuzz.oracle.primitive import primitives_of
from opfuzz.spec import OpSpec

PARENT, DEVICE = "torch", "cpu"
Place = tuple[int, int]  # of a mutant: its file's, and its own in that file


@dataclass(frozen=True, slots=True)
class Trial:
    """One case of one mutant."""

    mutant: Place | None  # None is the unmodified backend
    item: CaseItem
    starts: bool  # a batch: nothing of earlier ones may be remembered, whichever worker ran them


@dataclass(frozen=True, slots=True)
class Reply:
    """What came of a trial."""

    result: Result
    fault: str  # the verdict, if it is a fault that the unmodified backend does not show on this case
    is_known: bool  # whether it is one that it does show
    seconds: float


@dataclass(frozen=True, slots=True)
class CauseQuestion:
    """A finding whose cause is asked for."""

    mutant: Place
    finding: Finding


def subject(mutant: Mutant | None) -> str:
    """How a mutant is named in results."""
    return f"{PARENT if mutant is None else mutant.name}:{DEVICE}"


class Workbench:
    """A worker's tools: a bench for the unmodified backend, and one for the mutant that is at work."""

    def __init__(self, plan: Plan, files: Sequence[Path]) -> None:
        self.plan = plan
        self.files = files
        self.parent: Backend = derive(PARENT, PARENT, {})
        self.base = Bench(replace(plan, subjects=(subject(None),)), {PARENT: self.parent})
        self.known: dict[CaseItem, Result] = {}
        self.mutant: Place | None = None
        self.bench = self.base

    def examine(self, trial: Trial) -> Reply:
        """The verdict on one case, and whether the unmodified backend gets the same."""
        if trial.starts or trial.mutant != self.mutant:
            self.mutant = trial.mutant
            self.bench = self.base if trial.mutant is None else self._bench(trial.mutant)
        started = time.monotonic()
        result = self.bench.examine(trial.item)
        faults = [judged.score.verdict for judged in result.judged if SEVERITY[judged.score.verdict] == FAULT]
        known: list[str] = []
        if faults and trial.mutant is not None:
            if trial.item not in self.known:
                self.known[trial.item] = self.base.examine(trial.item)
            known = [judged.score.verdict for judged in self.known[trial.item].judged]
        fault = next((verdict for verdict in faults if verdict not in known), "")
        return Reply(result, fault, bool(faults) and not fault, time.monotonic() - started)

    def diagnose(self, question: CauseQuestion) -> tuple[Cause, ...]:
        """The diagnosis of a finding, as a run would say it."""
        _, specs, backend = self._planted(question.mutant)
        finding, primitives = question.finding, primitives_of(self.plan.specs)
        spec = next(spec for spec in specs if spec.op == finding.op)
        subject, smallest = Subject.parse(finding.subject), smallest_of(finding)
        return diagnose_score(score_of(finding), spec, finding.recipe, subject, backend, smallest, primitives)

    def again(self, question: minimize.Question) -> Judged:
        """One call made again on a mutant, planted anew: what it remembers must not depend on who asked before."""
        place = question.key
        assert isinstance(place, tuple)
        mutant, specs, backend = self._planted(place)
        spec = next(spec for spec in specs if spec.op == question.op)
        made = minimize.judge_or_leave(spec, Subject.parse(subject(mutant)), backend, question.asked)
        if SEVERITY[made.score.verdict] == FAULT:
            base = minimize.judge_or_leave(
                self.base.specs[spec.op], Subject.parse(subject(None)), self.parent, question.asked
            )
            if base.score.verdict == made.score.verdict:
                return replace(made, score=unknown_truth("the unmodified backend shows it too"))
        return made

    def _planted(self, place: Place) -> tuple[Mutant, tuple[OpSpec, ...], Backend]:
        file, number = place
        mutant = read_mutants(self.files[file])[number]
        return mutant, *plant(mutant, self.plan.specs, self.parent)

    def _bench(self, place: Place) -> Bench:
        mutant, specs, backend = self._planted(place)
        return Bench(replace(self.plan, specs=specs, subjects=(subject(mutant),)), {mutant.name: backend})


@dataclass(frozen=True, slots=True)
class _MutantTask(Task[Workbench, Item, Answer]):
    """Work on the mutants of some files: what the tasks below have in common."""

    plan: Plan
    files: tuple[Path, ...]

    @property
    def timeout(self) -> float:
        """See Task."""
        return CASE_SECONDS

    @property
    def modules(self) -> tuple[str, ...]:
        """See Task."""
        return discover()[PARENT].modules

    def set_up(self) -> Workbench:
        """See Task."""
        return Workbench(self.plan, self.files)


@dataclass(frozen=True, slots=True)
class TrialTask(_MutantTask[Trial, Reply]):
    """Cases tried on mutants."""

    def describe(self, item: Trial) -> str:
        """See Task."""
        return f"case {item.item.number} of {item.item.op} in {item.item.format}"

    def work(self, state: Workbench, item: Trial) -> Reply:
        """See Workbench."""
        return state.examine(item)


@dataclass(frozen=True, slots=True)
class AgainTask(_MutantTask[minimize.Question, Judged]):
    """Calls made again on mutants."""

    def describe(self, item: minimize.Question) -> str:
        """See Task."""
        return f"{item.op} on mutant {item.key}"

    def work(self, state: Workbench, item: minimize.Question) -> Judged:
        """See Workbench."""
        return state.again(item)


@dataclass(frozen=True, slots=True)
class CauseTask(_MutantTask[CauseQuestion, tuple[Cause, ...]]):
    """Diagnoses of what mutants do."""

    @property
    def timeout(self) -> float:
        """See Task."""
        return seconds_for(self.plan.specs)

    def describe(self, item: CauseQuestion) -> str:
        """See Task."""
        return f"the diagnosis of {item.finding.op} on mutant {item.mutant}"

    def work(self, state: Workbench, item: CauseQuestion) -> tuple[Cause, ...]:
        """See Workbench."""
        return state.diagnose(item)
