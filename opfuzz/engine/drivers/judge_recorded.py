"""Recorded outputs judged: each program is a subject like any other, but that nothing can be asked of it again."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from opfuzz.backends import Backend, Subject
from opfuzz.core.call import Call, Recipe
from opfuzz.core.errors import OpfuzzError
from opfuzz.core.findings import Finding
from opfuzz.core.results import Judged, Result
from opfuzz.core.run import Run
from opfuzz.core.verdicts import FAULT, SEVERITY
from opfuzz.engine.evaluate import judge_with_witnesses, make_result, unknown_truth
from opfuzz.engine.executors import LOCAL, Casualty, Task, drive
from opfuzz.engine.finish import Occasion, write_campaign
from opfuzz.engine.machines import Machines, versions
from opfuzz.engine.plan import CASE_SECONDS, Plan
from opfuzz.engine.progress import Progress
from opfuzz.engine.triage.diagnose import SECONDS as DIAGNOSIS_SECONDS
from opfuzz.engine.triage.diagnose import Diagnosis, Exact, decided_in, diagnose_each, lost, score_of
from opfuzz.engine.triage.publish import publish_recorded
from opfuzz.judge.diagnose import Evidence, diagnose
from opfuzz.judge.gather import gather
from opfuzz.judge.outputs import score_outputs
from opfuzz.oracle.reference import references_of
from opfuzz.report.causes import describe
from opfuzz.report.finding.next_steps import Origin
from opfuzz.store.exchange import Export, ExportedCase, Recorded, arrays_of
from opfuzz.store.exchange.outputs import RecordedAnswer, missing, outcome
from opfuzz.store.write import to_json

BATCH = 16


@dataclass(frozen=True, slots=True)
class Ballot:
    """One case, and what there is of it by subject, with its implementation: all that a worker needs of it."""

    entry: ExportedCase
    told: Mapping[str, RecordedAnswer]


@dataclass(frozen=True, slots=True)
class Jury:
    """What is judged: outputs of some programs for the cases of a folder."""

    export: Export
    recorded: tuple[Recorded, ...]
    jobs: int

    @property
    def plan(self) -> Plan:
        """The run that this is one half of."""
        export = self.export
        formats = tuple(dict.fromkeys(entry.case.format for entry in export.entries))
        subjects = tuple(each.subject for each in self.recorded)
        specs = tuple(export.specs.values())
        return Plan(specs, subjects, export.seed, self.jobs, formats, cases=export.each)

    def ballots(self) -> list[Ballot]:
        """Every case of which there is anything."""
        found = [Ballot(entry, self._told(entry.case.id)) for entry in self.export.entries]
        return [ballot for ballot in found if ballot.told]

    def _told(self, case: str) -> dict[str, RecordedAnswer]:
        return {
            each.name(implementation): told
            for each in self.recorded
            for implementation, told in sorted(each.told.get(case, {}).items())
        }

    def source(self, subject: str) -> Recorded:
        """The program that a subject, maybe with its implementation, stands for."""
        return next(e for e in self.recorded if subject == e.subject or subject.startswith(f"{e.subject}/"))


def judge(jury: Jury, watch: Callable[[Progress], None] = lambda progress: None) -> Progress:
    """Score all that was recorded, in isolated processes; `watch` is called after every batch. Ctrl-C and SIGTERM
    end it early.

    Raises OpfuzzError for files that were damaged meanwhile and for a spec whose reference fails, RuntimeError for an
    error of opfuzz itself.
    """
    ballots = jury.ballots()
    batches = [ballots[first : first + BATCH] for first in range(0, len(ballots), BATCH)]
    progress = Progress({})

    def take(number: int, batch: Sequence[tuple[Ballot, Result | Casualty]]) -> None:
        for ballot, found in batch:
            progress.count(_unjudged(jury, ballot, found) if isinstance(found, Casualty) else found)
        watch(progress)

    try:
        progress.interrupted = drive(LOCAL, JudgeTask(replace(jury.export, entries=())), batches, take, jobs=jury.jobs)
    finally:
        progress.close()
    return progress


def conclude_recorded(
    jury: Jury,
    progress: Progress,
    backends: Mapping[str, Backend],
    occasion: Occasion,
) -> Run:
    """Write run.json, report.md and a folder for each finding; the run as it was written."""
    findings = progress.ranking.findings()
    wanted = {finding.case for finding in findings}
    ballots = {ballot.entry.case.id: ballot for ballot in jury.ballots() if ballot.entry.case.id in wanted}
    known = {finding.id: lost(score_of(finding), ballots[finding.case].entry.case) for finding in findings}
    task = DiagnoseRecordedTask(replace(jury.export, entries=()), ballots)
    diagnosed, was_interrupted = diagnose_each(findings, known, task, jury.jobs)
    for finding in diagnosed:
        _publish(jury, finding, ballots[finding.case], backends, occasion.folder / "findings" / finding.id)
    occasion = replace(occasion, recorded={each.subject: missing(jury.export, each) for each in jury.recorded})
    there = Machines({**versions({}), **_versions(jury)}, (), {})
    causes = gather(diagnosed)  # nothing here can write their calls
    was_interrupted |= progress.interrupted
    return write_campaign(jury.plan, progress, diagnosed, causes, occasion, there, was_interrupted)


def _versions(jury: Jury) -> dict[str, str]:
    """Versions and machines of the programs, each under the name of its subject."""
    return {
        f"{each.subject} {name}": text
        for each in jury.recorded
        for name, text in {**each.versions, **each.machine}.items()
    }


def _publish(jury: Jury, finding: Finding, ballot: Ballot, backends: Mapping[str, Backend], place: Path) -> None:
    entry, recorded, export = ballot.entry, jury.source(finding.subject), jury.export
    try:
        is_callable = Subject.parse(recorded.subject).backend in backends
    except OpfuzzError:  # a program that opfuzz has no backend for
        is_callable = False
    origin = Origin(
        recorded.subject if is_callable else "",
        entry.file,
        entry.number,
        export.seed,
        export.profile is not None,
        recorded.versions,
        recorded.machine,
    )
    spec = export.specs[entry.case.op]
    outputs = outcome(spec, entry, finding.subject, ballot.told[finding.subject]).outputs
    document = {**to_json(finding), **describe(finding)}
    publish_recorded(place, document, spec, entry.case, _call(export, entry), outputs, origin)


def _call(export: Export, entry: ExportedCase) -> Call:
    return Call.of(entry.case, arrays_of(export, entry))


def _unjudged(jury: Jury, ballot: Ballot, casualty: Casualty) -> Result:
    """The result of a case whose exact result cannot be had, for which no subject is to blame."""
    entry = ballot.entry
    unknown = unknown_truth(f"the exact result is not known: {casualty.message}")
    judged = [Judged(subject, unknown, None, None, Recipe(entry.case)) for subject in ballot.told]
    return make_result(jury.export.specs[entry.case.op], entry.case, entry.number, judged, {})


@dataclass(frozen=True, slots=True)
class JudgeTask(Task[None, Ballot, Result]):
    """Scores of what was recorded of an export, whose entries come one by one."""

    export: Export

    @property
    def timeout(self) -> float:
        """See Task."""
        return CASE_SECONDS

    def describe(self, item: Ballot) -> str:
        """See Task."""
        return str(item.entry)

    def set_up(self) -> None:
        """See Task."""

    def work(self, state: None, item: Ballot) -> Result:
        """The case on all subjects of which there is anything."""
        entry = item.entry
        case, spec = entry.case, self.export.specs[entry.case.op]
        references = references_of(spec, _call(self.export, entry))
        outcomes = [outcome(spec, entry, subject, told) for subject, told in item.told.items()]
        judged = [
            judge_with_witnesses(each.subject, score_outputs(each, references), Recipe(case), references)
            for each in outcomes
        ]
        names = [output.name for output in spec.outputs]
        outputs = {
            each.subject: dict(zip(names, each.outputs, strict=True)) for each in outcomes if each.outputs is not None
        }
        return make_result(spec, case, entry.number, judged, outputs)


@dataclass(frozen=True, slots=True)
class DiagnoseRecordedTask(Task[None, Finding, Diagnosis]):
    """What outputs alone say of findings, as no other call can be made."""

    export: Export
    ballots: Mapping[str, Ballot]  # of the cases that show findings

    @property
    def timeout(self) -> float:
        """See Task."""
        return DIAGNOSIS_SECONDS

    def describe(self, item: Finding) -> str:
        """See Task."""
        return f"the diagnosis of {item.id}"

    def set_up(self) -> None:
        """See Task."""

    def work(self, state: None, item: Finding) -> Diagnosis:
        """The diagnosis of a finding, or what is known of it."""
        ballot, spec, own = self.ballots[item.case], self.export.specs[item.op], score_of(item)
        outputs = outcome(spec, ballot.entry, item.subject, ballot.told[item.subject]).outputs
        if outputs is None or item.verdict == "unstable":
            return lost(own, ballot.entry.case)
        call, place = _call(self.export, ballot.entry), decided_in(own, spec)
        evidence = Evidence(spec, own, call, outputs[place], _not_made, Exact(spec, place))
        return diagnose(evidence) if _is_shown(evidence) else lost(own, ballot.entry.case)


def _is_shown(evidence: Evidence) -> bool:
    """Whether the words of a diagnosis hold: those on a call that is right when it is made again do not."""
    return SEVERITY[evidence.score.verdict] != FAULT or bool(evidence.is_wrong.any())


def _not_made(call: Call) -> NDArray[np.generic] | None:
    return None
