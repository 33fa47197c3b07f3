"""The end of a campaign: what was found becomes a run on disk."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path

from opfuzz.backends import Backend, Subject, discover
from opfuzz.core.call import Recipe
from opfuzz.core.common_cause import CommonCause
from opfuzz.core.errors import OpfuzzError
from opfuzz.core.files.whole_file import write_text
from opfuzz.core.findings import Finding, Standing
from opfuzz.core.run import Run
from opfuzz.engine.calls import follow
from opfuzz.engine.executors import LOCAL, Executor
from opfuzz.engine.machines import LIBRARIES, Machines, here, machine, versions
from opfuzz.engine.plan import Plan
from opfuzz.engine.progress import Progress
from opfuzz.engine.triage.causes import causes_behind
from opfuzz.engine.triage.graphs import with_graphs
from opfuzz.engine.triage.investigation import Investigation
from opfuzz.engine.triage.minimize import Watch
from opfuzz.engine.triage.publish import publish
from opfuzz.engine.triage.resume import Remembered
from opfuzz.report.causes import describe
from opfuzz.report.run import markdown
from opfuzz.spec import OpSpec
from opfuzz.spec.lines import call_lines
from opfuzz.store.journal import Journal
from opfuzz.store.software import plugin_versions, profile_version
from opfuzz.store.write import to_json, write_run


@dataclass(frozen=True, slots=True)
class Occasion:
    """What a run is beside its plan and what came of it: where it lies, when it began, what it is held against.

    `held_against` adds what is known of earlier runs before anything is written.
    """

    folder: Path
    started: datetime
    command: Sequence[str] = ()
    sort: str = "ulp"
    standings: Sequence[Standing] = ()
    held_against: Callable[[Run], Run] = lambda run: run
    machines: Machines | None = None  # None: this one
    recorded: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


def conclude(
    plan: Plan,
    progress: Progress,
    backends: Mapping[str, Backend],
    occasion: Occasion,
    shrink_seconds: float = 0.0,
    watch: Watch = lambda done, total: None,
    journal: Journal | None = None,
    executor: Executor = LOCAL,
) -> Run:
    """Write run.json, report.md and a folder for each finding; the run as it was written.

    As long as `shrink_seconds` last, findings are made smaller, first one of every cause; `watch` is told how far that
    is. What the journal holds of findings is not looked for again.
    """
    # Of a run that was interrupted, the cases that are still to come may make other findings.
    known = Remembered(None if progress.interrupted else journal)
    investigation = Investigation(plan, known, shrink_seconds, watch, executor)
    findings, was_stopped = investigation.look_into(progress.ranking.findings(), progress.ranking.others)
    if not was_stopped:
        findings, was_stopped = with_graphs(plan, findings, executor)
    specs = {spec.op: spec for spec in plan.specs}
    there = occasion.machines or here(backends)

    def write(was_stopped: bool) -> Run:
        for finding in findings:
            place = occasion.folder / "findings" / finding.id
            write_finding(finding, specs[finding.op], backends, place, there.versions)
        causes = causes_behind(findings, plan, backends)
        interrupted = progress.interrupted or was_stopped
        return write_campaign(plan, progress, findings, causes, occasion, there, interrupted)

    try:
        return write(was_stopped)
    except KeyboardInterrupt:  # what was found is written all the same; it takes seconds
        return write(was_stopped=True)


def write_campaign(
    plan: Plan,
    progress: Progress,
    findings: Sequence[Finding],
    causes: Sequence[CommonCause],
    occasion: Occasion,
    there: Machines,
    interrupted: bool,
) -> Run:
    """Write run.json and report.md of what came of a plan; the run as it was written."""
    ranking = progress.ranking
    profiled = profile_version(plan.profile, plan.profile.name) if plan.profile else {}
    run = Run(
        run=occasion.folder.name,
        started=occasion.started.astimezone().isoformat(timespec="seconds"),
        command=tuple(occasion.command),
        seed=plan.seed,
        subjects=plan.subjects,
        absent=there.absent,
        versions={**there.versions, **plugin_versions(plan.plugins), **profiled},
        machine=machine(),
        cases=progress.cases,
        elements=sum(tally.elements for tally in ranking.tallies.values()),
        seconds=round(progress.seconds, 3),
        interrupted=interrupted,
        ranking=tuple(ranking.rows(occasion.sort)),
        findings=tuple(findings),
        distances=tuple(
            {"op": op, "format": fmt, "a": a, "b": b, "max_ulp_distance": distance}
            for (op, fmt, a, b), distance in sorted(ranking.distances.items())
        ),
        profile=plan.profile.name if plan.profile else None,
        replayed=tuple(occasion.standings),
        lost=tuple(progress.lost),
        planned=plan.cases,
        specs={spec.op: spec.digest for spec in plan.specs},
        recorded=occasion.recorded,
        without_gradient=dict(plan.without_gradient),
        causes=tuple(causes),
        places=dict(_places(plan, findings)),
    )
    run = occasion.held_against(run)
    write_run(run, occasion.folder, describe)
    write_text(occasion.folder / "report.md", markdown.render(run))
    return run


def _places(plan: Plan, findings: Sequence[Finding]) -> Iterator[tuple[str, tuple[str, int]]]:
    """The spec and the line of the call of each finding, where that is known."""
    backends, specs = discover(plan.plugins), {spec.op: spec for spec in plan.specs}
    lines = {path: call_lines(Path(path)) for path in {specs[finding.op].path for finding in findings}}
    for finding in findings:
        spec = specs[finding.op]
        try:
            subject = Subject.parse(finding.subject)
        except OpfuzzError:  # a program that opfuzz has no backend for, nor the spec a call
            continue
        backend = backends.get(subject.backend)  # none of what was recorded elsewhere
        dialect = subject.backend if backend is None else backend.dialect_in(spec.calls)
        known = lines[spec.path]
        line = known.get(f"{dialect}/{subject.implementation}") or known.get(dialect)
        if line is not None:
            path = Path(spec.path).absolute()
            yield finding.id, (str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path), line)


def write_finding(
    finding: Finding,
    spec: OpSpec,
    backends: Mapping[str, Backend],
    place: Path,
    known: Mapping[str, str] | None = None,
) -> None:
    """The folder of a finding, `place`, with all that shows it; `known`: versions of the machines that found it.

    Raises OpfuzzError if the disk refuses.
    """
    backend = Subject.parse(finding.subject).backend
    if known is None:
        known = versions({backend: backends[backend]})
    told = {name: known[name] for name in (backend, *LIBRARIES) if name in known}
    document = {**to_json(finding), **describe(finding)}
    publish(place, document, spec, _shown(finding, spec), backends, told, machine())


def _shown(finding: Finding, spec: OpSpec) -> Recipe:
    """The call that a finding is shown by, the smallest that is known, and where its element is in it."""
    minimal, recipe = finding.minimal, finding.recipe
    if minimal is None or not minimal.is_shown:
        return replace(recipe, call=follow(recipe, spec))
    element = finding.witness.mark.element if finding.witness else None
    return replace(recipe, call=minimal.call, switch=minimal.switch).about(element)
