"""The end of a campaign: what was found becomes a run on disk."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from types import MappingProxyType

from opfuzz.backends import Backend, Subject
from opfuzz.diagnosis import diagnosed
from opfuzz.execute import LOCAL, Executor
from opfuzz.intake import Progress
from opfuzz.journal import Journal
from opfuzz.known import Known
from opfuzz.machines import LIBRARIES, Machines, here, machine, versions
from opfuzz.minimise import Watch, minimised
from opfuzz.plan import Plan
from opfuzz.publish import publish
from opfuzz.rank import Finding
from opfuzz.records import Index, Standing
from opfuzz.report import markdown
from opfuzz.rerun import Asked, asked_of
from opfuzz.spec import OpSpec
from opfuzz.store import Run, to_json, write_run, write_text


def conclude(
    plan: Plan,
    progress: Progress,
    backends: Mapping[str, Backend],
    folder: Path,
    started: datetime,
    command: Sequence[str],
    sort: str,
    standings: Sequence[Standing] = (),
    shrink_seconds: float = 0.0,
    watch: Watch = lambda done, total: None,
    held_against: Callable[[Run], Run] = lambda run: run,
    journal: Journal | None = None,
    executor: Executor = LOCAL,
    machines: Machines | None = None,
) -> Run:
    """Write run.json, report.md and a folder for each finding; the run as it was written.

    Findings are made smaller, worst first, as long as `shrink_seconds` last; `watch` is told how far that is.
    `held_against` adds what is known of earlier runs before anything is written. What the journal holds of findings is
    not looked for again.
    """
    interrupted = progress.interrupted
    # Of a run that was interrupted, the cases that are still to come may make other findings.
    known = Known(None if interrupted else journal)
    found = progress.ranking.findings()
    findings, was_stopped = known.diagnosed(found, lambda findings: diagnosed(plan, findings, executor))
    if shrink_seconds and not was_stopped:
        findings, was_stopped = minimised(plan, findings, shrink_seconds, watch, known.smaller, known.keep, executor)
    interrupted |= was_stopped
    specs = {spec.op: spec for spec in plan.specs}
    there = machines or here(backends)
    for finding in findings:
        place = folder / "findings" / finding.id
        write_finding(finding, specs[finding.op], plan, backends, place, there.versions)
    return written(
        plan,
        progress,
        findings,
        folder,
        started,
        command,
        sort,
        absent=there.absent,
        versions=there.versions,
        standings=standings,
        interrupted=interrupted,
        held_against=held_against,
    )


def written(
    plan: Plan,
    progress: Progress,
    findings: Sequence[Finding],
    folder: Path,
    started: datetime,
    command: Sequence[str],
    sort: str,
    *,
    absent: Mapping[str, str],
    versions: Mapping[str, str],
    standings: Sequence[Standing] = (),
    interrupted: bool = False,
    held_against: Callable[[Run], Run] = lambda run: run,
    recorded: Mapping[str, tuple[str, ...]] = MappingProxyType({}),
) -> Run:
    """Write run.json and report.md of what came of a plan; the run as it was written."""
    ranking = progress.ranking
    run = Run(
        run=folder.name,
        started=started.astimezone().isoformat(timespec="seconds"),
        command=tuple(command),
        seed=plan.seed,
        subjects=plan.subjects,
        absent=absent,
        versions=versions,
        machine=machine(),
        cases=progress.cases,
        elements=sum(tally.elements for tally in ranking.tallies.values()),
        seconds=round(progress.seconds, 3),
        interrupted=interrupted,
        ranking=tuple(ranking.rows(sort)),
        findings=tuple(findings),
        distances=tuple(
            {"op": op, "format": fmt, "a": a, "b": b, "max_ulp_distance": distance}
            for (op, fmt, a, b), distance in sorted(ranking.distances.items())
        ),
        profile=plan.profile.name if plan.profile else None,
        replayed=tuple(standings),
        lost=tuple(progress.lost),
        planned=plan.cases,
        specs={spec.op: spec.digest for spec in plan.specs},
        recorded=recorded,
    )
    run = held_against(run)
    write_run(run, folder)
    write_text(folder / "report.md", markdown.render(run))
    return run


def write_finding(
    finding: Finding,
    spec: OpSpec,
    plan: Plan,
    backends: Mapping[str, Backend],
    place: Path,
    known: Mapping[str, str] | None = None,
) -> None:
    """The folder of a finding, `place`, with all that shows it; `known`: versions of the machines that found it.

    Raises OpfuzzError if the disk refuses.
    """
    case = None if finding.call is not None else plan.case(finding.op, finding.format, finding.number)
    asked, index = _asked(finding, spec, plan)
    backend = Subject.parse(finding.subject).backend
    if known is None:
        known = versions({backend: backends[backend]})
    told = {name: known[name] for name in (backend, *LIBRARIES) if name in known}
    publish(place, to_json(finding), spec, case, asked, index, backends, told, machine())


def _asked(finding: Finding, spec: OpSpec, plan: Plan) -> tuple[Asked, Index | None]:
    """The call that a finding is shown by, the smallest that is known, and where its element is in it."""
    minimal = finding.minimal
    if minimal is None or not minimal.is_shown:
        return asked_of(finding, spec, plan)
    mark = finding.witness.mark if finding.witness else None
    return Asked(minimal.call, finding.relation, minimal.switch), mark.index if mark else None
