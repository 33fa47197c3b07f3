"""Second causes: cases of a finding that its cause does not explain, asked for in isolated processes."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from opfuzz.backends import Backend, Subject, discover
from opfuzz.core.call import Recipe
from opfuzz.core.cause import UNEXPLAINED, Cause
from opfuzz.core.findings import Apart, Finding, finding_id
from opfuzz.core.results import Judged, Score
from opfuzz.core.verdicts import FAULT, SEVERITY
from opfuzz.engine.calls import NOT_DRAWN, Asked, follow, judge
from opfuzz.engine.evaluate import without
from opfuzz.engine.executors import LOCAL, RAISED, Casualty, Executor, drive
from opfuzz.engine.plan import Plan
from opfuzz.engine.roster import Roster
from opfuzz.engine.triage.diagnose import LOST, SECONDS, CausesTask, Lab, known_primitives, score_of, smallest_of
from opfuzz.judge.diagnose import Evidence
from opfuzz.judge.diagnose.apart import explains, tell_apart
from opfuzz.judge.gather import explanation, explanation_in
from opfuzz.judge.ranking import Sample
from opfuzz.search.trigger.fills import remade
from opfuzz.spec import OpSpec

Others = Callable[[Finding], Sequence[Sample]]
# A case, what is said of it, how it is judged, the first cause as far as that says something of other calls, and
# whether the smallest call of the finding shows another one.
Answer = tuple[Sample, tuple[Cause, ...], Judged, Cause, bool] | None
ANEW = "-anew"  # behind the id of a first finding that is made smaller once more
UNSTEADY = frozenset({"unstable", *LOST})  # verdicts of calls that are not made again, or not with the same result


@dataclass(frozen=True, slots=True)
class Doubt:
    """A finding, and cases with its verdict that may have another cause."""

    finding: Finding
    samples: tuple[Sample, ...]


@dataclass(frozen=True, slots=True)
class ApartTask(CausesTask[Doubt, Answer]):
    """Cases of a plan that are told apart by cause."""

    @property
    def timeout(self) -> float:
        """See Task."""
        return SECONDS

    def needs(self, item: Doubt) -> frozenset[str]:
        """See Task."""
        return self.roster.needs([item.finding.subject])

    def describe(self, item: Doubt) -> str:
        """See Task."""
        return f"whether {item.finding.id} has two causes"

    def work(self, state: Mapping[str, Backend], item: Doubt) -> Answer:
        """The first case with a cause that has a name, else the first that has none."""
        subject = Subject.parse(item.finding.subject)
        spec = without(self.specs[item.finding.op], item.finding.recipe.lacking)
        lab = Lab(spec, subject, state[subject.backend], self.primitives)
        with np.errstate(all="ignore"), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            score, cause = score_of(item.finding), explanation(item.finding)
            own, smallest = follow(item.finding.recipe, spec), smallest_of(item.finding)
            leaders = [look for call in (smallest, own) if call is not None and (look := lab.look(score, call))]
            if not leaders:
                return None
            # Of two causes the smallest call may show the other one.
            place = next((place for place, each in enumerate(leaders) if explains(cause, each)), 0)
            return _ask(lab, item, leaders[place], is_astray=place > 0)


def _ask(lab: Lab, item: Doubt, leader: Evidence, is_astray: bool) -> Answer:
    finding, cause, nameless = item.finding, explanation(item.finding), None
    has_sums = leader.reference.has_sums
    beside = cause if explains(cause, leader) else UNEXPLAINED  # what explains not even that says nothing of others
    ways = (each for drawn in item.samples for each in (drawn, *([_peaked(drawn, lab.spec)] if has_sums else [])))
    for sample in ways:
        mark = sample.witness.mark if sample.witness is not None else None
        call = follow(sample.recipe, lab.spec)
        seen = lab.look(Score(finding.verdict, sample.cause, deciding=mark), call)
        if seen is None or (said := tell_apart(leader, cause, seen)) is None:
            continue
        asked = Asked(call, is_detailed=True, apart=Apart(explanation_in(said), beside))
        judged = judge(lab.spec, lab.subject, lab.backend, asked, lab.primitives)
        if SEVERITY[judged.score.verdict] != FAULT:
            continue
        found = sample, said, judged, beside, is_astray
        if explanation_in(said).kind != "unexplained":
            return found
        nameless = nameless or found
    return nameless


def _peaked(sample: Sample, spec: OpSpec) -> Sample:
    """The call of a case with zeros but for the last element, of which no precision makes another number.

    In a sum of many numbers what a narrow format loses hides that some are left out.
    """
    call = follow(sample.recipe, spec)
    made = remade(spec, call, "peaked", dims=call.dims, params=call.params, format=call.format, layouts=call.layouts)
    return replace(
        sample,
        number=NOT_DRAWN,
        case=made.id(spec.op),
        witness=None,
        recipe=Recipe(call=made, lacking=sample.recipe.lacking),
    )


def doubts(findings: Sequence[Finding], others: Others) -> Iterator[Doubt]:
    """The faults of which the call itself was judged, each with cases that may have another cause."""
    for finding in findings:
        if finding.severity != FAULT or finding.verdict in UNSTEADY or explanation(finding).relation is not None:
            continue
        samples = tuple(sample for sample in others(finding) if sample.recipe.relation is None)
        if samples:
            yield Doubt(finding, samples)


def second_findings(
    plan: Plan,
    asked: Sequence[Doubt],
    seconds: float,
    executor: Executor = LOCAL,
) -> tuple[tuple[Finding, ...], bool]:
    """A finding for each second cause, with its diagnosis; and whether it was interrupted.

    Behind it the first, where that must be made smaller anew, see `renewed`. They are asked in their order as long as
    `seconds` last.
    """
    if not asked or seconds <= 0:
        return (), False
    deadline = time.monotonic() + seconds
    roster = Roster.of(plan.subjects, plan.plugins, discover(plan.plugins))
    task = ApartTask(roster, {spec.op: spec for spec in plan.specs}, known_primitives(plan), plan.timeout)
    found: dict[int, tuple[Finding, ...]] = {}

    def batches() -> Iterator[list[Doubt]]:
        for doubt in asked:
            if time.monotonic() > deadline:
                return
            yield [doubt]

    def take(number: int, batch: Sequence[tuple[Doubt, Answer | Casualty]]) -> None:
        for doubt, answer in batch:
            if answer is None or isinstance(answer, Casualty):
                continue
            sample, said, judged, beside, is_astray = answer
            second = _second(doubt.finding, sample, said, judged, beside)
            found[number] = (second, _anew(doubt.finding, second)) if is_astray else (second,)

    was_interrupted = drive(executor, task, batches(), take, jobs=plan.jobs, borne=RAISED)
    known_ones = {_told(doubt.finding) for doubt in asked}
    fresh = (found[number] for number in sorted(found) if _told(found[number][0]) not in known_ones)
    return tuple({each.id: each for pair in fresh for each in pair}.values()), was_interrupted


def _anew(leader: Finding, second: Finding) -> Finding:
    """A first finding, to be made smaller by calls that its own cause explains."""
    assert second.apart is not None
    apart = Apart(second.apart.beside, second.apart.cause)
    return replace(leader, id=leader.id + ANEW, minimal=None, apart=apart)


def renewed(finding: Finding) -> Finding:
    """A finding as it stands in a run, however it was made smaller."""
    return replace(finding, id=finding.id.removesuffix(ANEW), apart=None) if finding.id.endswith(ANEW) else finding


def _told(finding: Finding) -> tuple[str, ...]:
    own = explanation(finding)
    return *finding.signature[:4], own.kind, own.name


def _second(leader: Finding, sample: Sample, said: tuple[Cause, ...], judged: Judged, beside: Cause) -> Finding:
    """The finding of a second cause: its id is made of that cause, and is the same in every run."""
    score, own = judged.score, explanation_in(said)
    witness = judged.deciding and replace(judged.deciding, case=sample.case)
    made = replace(
        leader,
        verdict=score.verdict,
        cause=score.cause if score.cause.kind == "special-at" else own,
        cases=1,
        alike=1,
        number=sample.number,
        case=sample.case,
        witness=witness,
        recipe=sample.recipe.about(witness.mark.element if witness else None),
        ulp=score.ulp,
        excess=score.excess,
        causes=said,
        minimal=None,
        apart=Apart(own, beside),
    )
    return replace(made, id=finding_id(made.signature))


def stands(finding: Finding) -> bool:
    """Whether a second cause is the one that it was told apart by, on the smallest call as well."""
    if finding.apart is None:
        return True
    own, known = explanation(finding), finding.apart.cause
    return (own.kind, own.name) == (known.kind, known.name)
