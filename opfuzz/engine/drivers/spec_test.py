"""The spec of one op on some subjects, as a test asks for it: what came of each subject and format, and its faults."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from opfuzz.backends import Backend, Subject, discover, resolve
from opfuzz.core.errors import OpfuzzError, did_you_mean
from opfuzz.core.findings import Finding
from opfuzz.core.verdicts import FAULT
from opfuzz.engine.campaign import run
from opfuzz.engine.finish import write_finding
from opfuzz.engine.gradients import gradients_of
from opfuzz.engine.plan import Plan, calls_of, dialects_of, load_specs, vocabulary
from opfuzz.engine.triage.diagnose import diagnose_findings
from opfuzz.engine.triage.minimize import minimize_findings
from opfuzz.report.causes import word_finding, word_row
from opfuzz.report.text import plain, shown
from opfuzz.spec import OpSpec, load
from opfuzz.spec.gradient import differentiated, gradient_of

SHRINK_SECONDS = 20.0  # for all faults of one spec

Place = tuple[str, str, str]  # op, subject with its implementation, format


@dataclass(frozen=True, slots=True)
class SpecTest:
    """What to examine: the spec in a file, on subjects as they are written; formats that it does not have are none."""

    path: Path
    subjects: tuple[str, ...]
    formats: tuple[str, ...]
    cases: int
    seed: int
    plugins: tuple[Path, ...] = ()
    has_gradients: bool = False  # beside the op its gradient is examined

    @property
    def id(self) -> str:
        """A name for its folder: the same settings give the same."""
        words = [str(self.path.absolute()), *self.subjects, *self.formats, self.cases, self.seed, *self.plugins]
        words += ["gradients"] * self.has_gradients
        return f"{self.path.stem}-{hashlib.blake2b(repr(words).encode(), digest_size=4).hexdigest()}"


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault, in words, and the folder that shows it."""

    id: str
    verdict: str
    diagnosis: str
    trigger: str  # "": not known
    witness: str
    folder: str

    def __str__(self) -> str:
        lines = [f"{self.verdict}: {self.diagnosis}", self.trigger, self.witness and f"witness {self.witness}"]
        lines.append(f"reproduce with: python {os.path.join(self.folder, 'repro.py')}")
        return "\n  ".join(plain(line) for line in lines if line)


@dataclass(frozen=True, slots=True)
class SpecTestResult:
    """What came of one op on one subject in one format; the figures are those of a ranking's row."""

    op: str
    subject: str
    format: str
    absent: str = ""  # why it was not examined
    verdict: str = ""
    cases: int = 0
    max_ulp: float = 0.0
    excess: float = 0.0
    effective_bits: float = 0.0
    faults: tuple[Fault, ...] = ()

    @property
    def place(self) -> Place:
        """What it is about."""
        return self.op, self.subject, self.format

    def __str__(self) -> str:
        return "\n".join([f"{self.op} on {self.subject} in {self.format}", *map(str, self.faults)])

    def to_json(self) -> dict[str, Any]:
        """All fields, as what JSON can hold."""
        return asdict(self)

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> SpecTestResult:
        """What `to_json` wrote."""
        return cls(**{**document, "faults": tuple(Fault(**fault) for fault in document["faults"])})


def places(examination: SpecTest) -> list[Place]:
    """All that will be examined, from the spec alone: no framework is imported, calls are checked for their form only.

    Raises SpecError for what is wrong in the file, OpfuzzError for an unknown backend.
    """
    backends = discover(examination.plugins)
    spec = load(examination.path, vocabulary(backends, dialects=()))
    subjects = [_expanded(text, spec, backends) for text in examination.subjects]
    ops = [spec.op, *([gradient_of(spec).op] if examination.has_gradients and differentiated(spec) else [])]
    return [
        (op, subject, name)
        for op in ops
        for group in subjects
        for subject in group
        for name in spec.formats
        if name in examination.formats
    ]


def _expanded(text: str, spec: OpSpec, backends: Mapping[str, Backend]) -> list[str]:
    subject = Subject.parse(text)
    if subject.backend not in backends:
        known = did_you_mean(subject.backend, backends) or f"; known: {', '.join(backends)}"
        raise OpfuzzError(f"subject '{text}': unknown backend '{subject.backend}'{known}")
    names = calls_of(spec, subject, backends[subject.backend])
    return [str(replace(subject, implementation=name)) for name in names]


def examine(examination: SpecTest, folder: Path, jobs: int) -> dict[Place, SpecTestResult]:
    """Run the cases in isolated processes; each fault is diagnosed, made smaller, and shown in a folder of its own.

    What `folder` holds of an earlier examination is replaced.
    Raises OpfuzzError for a mistake in the spec or an unknown subject, KeyboardInterrupt if that ended the run.
    """
    backends = discover(examination.plugins)
    reasons = {text: absence(text, backends) for text in examination.subjects}
    (spec,) = load_specs([examination.path], backends, dialects=dialects_of(reasons, backends))
    made, without = gradients_of([spec]) if examination.has_gradients else ((), {})
    lacking = {text: reason or without.get(spec.op, "") for text, reason in reasons.items()}
    found = {
        (op, subject, name): SpecTestResult(op, subject, name, absent=reason)
        for op, known in ((spec.op, reasons), (gradient_of(spec).op, lacking))
        for text, reason in known.items()
        if reason
        for subject in _expanded(text, spec, backends)
        for name in spec.formats
    }
    plan = Plan(
        specs=(spec, *made),
        subjects=tuple(text for text, reason in reasons.items() if not reason),
        seed=examination.seed,
        jobs=jobs,
        formats=examination.formats,
        plugins=examination.plugins,
        cases=examination.cases,
    )
    if not plan.subjects or not plan.pairs():
        return found
    progress = run(plan)
    if progress.interrupted:
        raise KeyboardInterrupt
    faults = _faults(plan, [f for f in progress.ranking.findings() if f.severity == FAULT], backends, folder)
    for row in progress.ranking.rows():
        place = (row.op, row.subject, row.format)
        is_compared = row.verdict != "unsupported"
        found[place] = SpecTestResult(
            *place,
            absent="" if is_compared else plain(word_row(row)),
            verdict=row.verdict,
            cases=row.cases,
            max_ulp=row.max_ulp,
            excess=row.excess,
            effective_bits=row.effective_bits,
            faults=faults.get(place, ()),
        )
    return found


def absence(text: str, backends: Mapping[str, Backend]) -> str:
    """Why a subject is not on this machine, "" if it is. Raises OpfuzzError if there is no such subject anywhere."""
    subject = Subject.parse(text)
    backend = backends.get(subject.backend)
    if backend is not None:
        if reason := backend.absent():
            return reason
        if reason := backend.devices().get(subject.device):
            return f"{backend.name}: no {subject.device} on this machine: {reason}"
    resolve(text, backends)
    return ""


def _faults(
    plan: Plan, findings: Sequence[Finding], backends: Mapping[str, Backend], folder: Path
) -> dict[Place, tuple[Fault, ...]]:
    shutil.rmtree(folder / "findings", ignore_errors=True)
    if not findings:
        return {}
    told: dict[Place, tuple[Fault, ...]] = {}
    smaller, was_interrupted = minimize_findings(plan, findings, SHRINK_SECONDS)
    if not was_interrupted:
        smaller, was_interrupted = diagnose_findings(plan, smaller)
    if was_interrupted:
        raise KeyboardInterrupt
    for finding in smaller:
        place = folder / "findings" / finding.id
        write_finding(finding, next(spec for spec in plan.specs if spec.op == finding.op), backends, place)
        trigger = finding.minimal and finding.minimal.trigger
        fault = Fault(
            finding.id,
            finding.verdict,
            word_finding(finding),
            trigger.words if trigger else "",
            shown(finding.witness),
            str(place),
        )
        where = (finding.op, finding.subject, finding.format)
        told[where] = (*told.get(where, ()), fault)
    return told
