"""The end of a campaign: what was found becomes a run on disk."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from importlib import metadata
from pathlib import Path

from opfuzz.backends import Backend, Subject
from opfuzz.campaign import Progress
from opfuzz.case import Case
from opfuzz.diagnosis import diagnosed
from opfuzz.diagnosis import shown as shown_call
from opfuzz.expr import Program
from opfuzz.generate import inputs
from opfuzz.layout import View, memory
from opfuzz.plan import Plan
from opfuzz.rank import Finding
from opfuzz.relations import AFTER_OTHER_WORK, Piece
from opfuzz.report import markdown
from opfuzz.reproducer import Subject as Reproduced
from opfuzz.reproducer import reproducer
from opfuzz.spec import OpSpec
from opfuzz.store import Run, write_finding, write_run, write_text

LIBRARIES = ("opfuzz", "numpy", "scipy", "ml_dtypes", "python-flint")


def conclude(
    plan: Plan,
    progress: Progress,
    backends: Mapping[str, Backend],
    folder: Path,
    started: datetime,
    command: Sequence[str],
    sort: str,
) -> Run:
    """Write run.json, report.md and a folder for each finding; the run as it was written."""
    ranking = progress.ranking
    findings = diagnosed(plan, ranking.findings())
    specs = {spec.op: spec for spec in plan.specs}
    for finding in findings:
        _write(finding, specs[finding.op], plan, backends, folder)
    run = Run(
        run=folder.name,
        started=started.astimezone().isoformat(timespec="seconds"),
        command=tuple(command),
        seed=plan.seed,
        subjects=plan.subjects,
        absent=absences(backends),
        versions=versions(backends),
        machine=machine(),
        cases=progress.cases,
        elements=sum(tally.elements for tally in ranking.tallies.values()),
        seconds=round(progress.seconds, 3),
        interrupted=progress.interrupted,
        ranking=tuple(ranking.rows(sort)),
        findings=findings,
        distances=tuple(
            {"op": op, "format": fmt, "a": a, "b": b, "max_ulp_distance": distance}
            for (op, fmt, a, b), distance in sorted(ranking.distances.items())
        ),
        profile=plan.profile.name if plan.profile else None,
    )
    write_run(run, folder)
    write_text(folder / "report.md", markdown.render(run))
    return run


def _write(finding: Finding, spec: OpSpec, plan: Plan, backends: Mapping[str, Backend], folder: Path) -> None:
    case = plan.case(finding.op, finding.format, finding.number)
    mark = finding.witness.mark if finding.witness else None
    place = mark.index if mark else None
    shown = shown_call(finding.relation, finding.reason, place, spec, case, inputs(spec, case))
    buffers, views = {}, {}
    for name, array in shown.arrays.items():
        buffers[name], views[name] = memory(array, shown.layouts[name])
    text = _reproducer(finding, spec, case, shown, backends, views)
    write_finding(finding, case, buffers, text, folder)


def _reproducer(
    finding: Finding,
    spec: OpSpec,
    case: Case,
    shown: Piece,
    backends: Mapping[str, Backend],
    views: Mapping[str, tuple[View, ...]],
) -> str:
    subject = Subject.parse(finding.subject)
    backend = backends[subject.backend]
    program: Program = spec.calls[backend.dialect][subject.implementation]
    functions = backend.functions()
    shape = spec.output_shape(shown.dims, case.params)
    mark = finding.witness.mark if finding.witness else None
    if mark is not None:
        index = shown.locate(mark.index, spec.output_shape(case.dims, case.params), shape)
        mark = replace(mark, index=mark.index if index is None else index)
    return reproducer(
        title=f"{finding.op} on {finding.subject} in {finding.format}: {finding.verdict}, {finding.reason}",
        subject=Reproduced(
            backend.name,
            backend.recipe,
            subject.device,
            subject.mode,
            {name: functions[name] for name in sorted(program.functions)},
            backend.replaced,
        ),
        call=program.text,
        format=finding.format,
        shape=shape,
        numbers={**shown.dims, **case.params},
        views=views,
        mark=mark,
        repeated=finding.verdict == "unstable",
        hangs=finding.verdict == "timeout",
        disturbed=finding.relation == AFTER_OTHER_WORK,
    )


def absences(backends: Mapping[str, Backend]) -> dict[str, str]:
    """Backends and devices that are not here, and why."""
    missing = {}
    for name, backend in backends.items():
        if reason := backend.absent():
            missing[name] = reason
            continue
        missing |= {f"{name}:{device}": why for device, why in backend.devices().items() if why}
    return missing


def versions(backends: Mapping[str, Backend]) -> dict[str, str]:
    """Versions of the backends that are here, and of what judges them."""
    found = {name: backend.version() for name, backend in backends.items() if not backend.absent()}
    for library in LIBRARIES:
        try:
            found[library] = metadata.version(library)
        except metadata.PackageNotFoundError:  # run from a source tree that is not installed
            found[library] = "not installed"
    return found


def machine() -> dict[str, str]:
    """What the figures depend on besides versions."""
    return {
        "python": platform.python_version(),
        "system": platform.platform(),
        "processor": _processor(),
        "cores": str(os.cpu_count()),
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.machine())
