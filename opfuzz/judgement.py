"""Recorded outputs judged: each program is a subject like any other, but that nothing can be asked of it again."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from opfuzz.backends import Backend, Subject
from opfuzz.bench import case_result, judged_of
from opfuzz.call import Call
from opfuzz.campaign import Progress
from opfuzz.cases import Entry, Export, Recorded, arrays_of
from opfuzz.cases.outputs import missing, outcome
from opfuzz.conclude import versions, written
from opfuzz.diagnose import Evidence, diagnose
from opfuzz.diagnosis import lost, score_of, told
from opfuzz.errors import OpfuzzError
from opfuzz.execute import Casualty, pool
from opfuzz.oracle.reference import reference_of
from opfuzz.plan import CASE_SECONDS, WORKER_BYTES, Plan, preload
from opfuzz.publish import publish_recorded
from opfuzz.rank import Finding, Ranking
from opfuzz.records import Judged, Outcome, Result, Score
from opfuzz.report.next_steps import Origin
from opfuzz.rerun import exact_of
from opfuzz.score import Judge, score
from opfuzz.store import Run, to_json

BATCH = 16


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


def judge(jury: Jury, watch: Callable[[Progress], None] = lambda progress: None) -> Progress:
    """Score all that was recorded, in isolated processes; `watch` is called after every batch. Ctrl-C ends it early.

    Raises OpfuzzError for files that were damaged meanwhile and for a spec whose reference fails, RuntimeError for an
    error of opfuzz itself.
    """
    entries = [entry for entry in jury.export.entries if any(entry.case.id in each.told for each in jury.recorded)]
    batches = [entries[first : first + BATCH] for first in range(0, len(entries), BATCH)]
    progress = Progress(Ranking(), time.monotonic())
    results = pool.run(
        iter(batches),
        _work,
        jobs=jury.jobs,
        timeout=CASE_SECONDS,
        memory=WORKER_BYTES,
        preload=preload("opfuzz.judgement", (), {}),
        initialise=partial(_set_up, jury),
    )
    try:
        for number, batch in results:
            for entry, found in zip(batches[number], batch, strict=True):
                if isinstance(found, OpfuzzError):
                    raise found
                progress.take(_unjudged(jury, entry, found) if isinstance(found, Casualty) else found)
            watch(progress)
    except KeyboardInterrupt:
        progress.interrupted = True
    finally:
        results.close()
        progress.ended = time.monotonic()
    return progress


def concluded(
    jury: Jury,
    progress: Progress,
    backends: Mapping[str, Backend],
    folder: Path,
    started: datetime,
    command: Sequence[str],
    sort: str,
    held_against: Callable[[Run], Run] = lambda run: run,
) -> Run:
    """Write run.json, report.md and a folder for each finding; the run as it was written."""
    findings = progress.ranking.findings()
    known = {finding.id: lost(score_of(finding), _entry(jury, finding).case) for finding in findings}
    preloaded = preload("opfuzz.judgement", (), {})
    findings = list(told(findings, known, _diagnosed, jury.jobs, partial(_set_up, jury), preloaded))
    for finding in findings:
        _publish(jury, finding, backends, folder / "findings" / finding.id)
    return written(
        jury.plan,
        progress,
        findings,
        folder,
        started,
        command,
        sort,
        absent={},
        versions={**versions({}), **_versions(jury)},
        interrupted=progress.interrupted,
        held_against=held_against,
        recorded={each.subject: missing(jury.export, each) for each in jury.recorded},
    )


def _versions(jury: Jury) -> dict[str, str]:
    """Versions and machines of the programs, each under the name of its subject."""
    return {
        f"{each.subject} {name}": text
        for each in jury.recorded
        for name, text in {**each.versions, **each.machine}.items()
    }


def _publish(jury: Jury, finding: Finding, backends: Mapping[str, Backend], place: Path) -> None:
    entry, (recorded, implementation) = _entry(jury, finding), _source(jury, finding.subject)
    case, spec = entry.case, jury.export.specs[entry.case.op]
    try:
        is_callable = Subject.parse(recorded.subject).backend in backends
    except OpfuzzError:  # a program that opfuzz has no backend for
        is_callable = False
    origin = Origin(
        recorded.subject if is_callable else "",
        entry.file,
        entry.number,
        jury.export.seed,
        jury.export.profile is not None,
        recorded.versions,
        recorded.machine,
    )
    output = outcome(jury.export, recorded, entry, implementation).output
    publish_recorded(place, to_json(finding), spec, case, _call(jury, entry), output, origin)


def _call(jury: Jury, entry: Entry) -> Call:
    case = entry.case
    return Call(case.format, case.dims, case.params, arrays_of(jury.export, entry), case.layouts)


def _entry(jury: Jury, finding: Finding) -> Entry:
    return next(entry for entry in jury.export.entries if entry.case.id == finding.case)


def _source(jury: Jury, subject: str) -> tuple[Recorded, str]:
    """Whose output it is, and the implementation."""
    return next(
        (each, subject[len(each.subject) + 1 :])
        for each in jury.recorded
        if subject == each.subject or subject.startswith(f"{each.subject}/")
    )


def _unjudged(jury: Jury, entry: Entry, casualty: Casualty) -> Result:
    """The result of a case whose exact result cannot be had, for which no subject is to blame."""
    if casualty.kind == "internal":
        raise RuntimeError(f"{entry}: {casualty.message}")
    unknown = Score("unresolved", f"the exact result is not known: {casualty.message}")
    judged = [
        Judged(each.name(implementation), unknown, None, None)
        for each in jury.recorded
        for implementation in each.told.get(entry.case.id, ())
    ]
    return case_result(jury.export.specs[entry.case.op], entry.case, entry.number, judged, {})


_jury: Jury | None = None


def _set_up(jury: Jury) -> None:
    global _jury
    _jury = jury


def _outcomes(jury: Jury, entry: Entry) -> Iterator[Outcome]:
    for each in jury.recorded:
        for implementation in sorted(each.told.get(entry.case.id, ())):
            yield outcome(jury.export, each, entry, implementation)


def _work(entry: Entry) -> Result | OpfuzzError:
    assert _jury is not None
    case, spec = entry.case, _jury.export.specs[entry.case.op]
    try:
        with np.errstate(all="ignore"), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            reference = reference_of(spec, case, arrays_of(_jury.export, entry))
            outcomes = list(_outcomes(_jury, entry))
            judged = [judged_of(each.subject, score(each, reference), case, reference) for each in outcomes]
    except OpfuzzError as error:  # it travels as a value
        return OpfuzzError(f"{error} ({entry})")
    outputs = {each.subject: each.output for each in outcomes if each.output is not None}
    return case_result(spec, case, entry.number, judged, outputs)


def _diagnosed(finding: Finding) -> str:
    """What the output alone says of a finding: no other call can be made."""
    assert _jury is not None
    entry, (recorded, implementation) = _entry(_jury, finding), _source(_jury, finding.subject)
    output = outcome(_jury.export, recorded, entry, implementation).output
    own, spec = score_of(finding), _jury.export.specs[finding.op]
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if output is None or finding.verdict == "unstable":
            return lost(own, entry.case)
        evidence = Evidence(
            spec, own, _call(_jury, entry), output, _not_made, lambda made, call: Judge(made, exact_of(spec, call)),
            partial(exact_of, spec),
        )  # fmt: skip
        return diagnose(evidence) if evidence.is_wrong.any() else lost(own, entry.case)


def _not_made(call: Call) -> NDArray[np.generic] | None:
    return None
