"""The corpus: faults of earlier runs, each with its smallest call, which the next run makes again first."""

from __future__ import annotations

import fcntl
import json
import shutil
import tempfile
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from opfuzz.backends import Backend
from opfuzz.core.errors import OpfuzzError
from opfuzz.core.files.whole_file import write_text
from opfuzz.core.findings import Finding, Standing
from opfuzz.core.results import Result
from opfuzz.core.verdicts import FAULT
from opfuzz.engine.calls import make_call_result
from opfuzz.engine.executors import LOCAL, Executor
from opfuzz.engine.plan import Plan, dialects_of, implementations, vocabulary
from opfuzz.engine.triage.replay import Replayed, replay
from opfuzz.spec import Vocabulary
from opfuzz.store.bundle import FINDING, Bundle, read_bundle

STATUS = "status.json"  # of a fault in the corpus: whether it is fixed, and since which run
LOCK = ".lock"  # of a run that writes


@dataclass(frozen=True, slots=True)
class KnownFault:
    """A fault of the corpus."""

    place: Path
    bundle: Bundle | None  # None: it cannot be made again
    is_fixed: bool
    why: str = ""  # it cannot


def read_corpus(folder: Path, plan: Plan, backends: Mapping[str, Backend]) -> list[KnownFault]:
    """The faults in a folder that are of the plan's ops, subjects and formats.

    A damaged one is kept, with the reason why it is not made again; a folder that is not there is an empty corpus.
    Raises OpfuzzError if the path is no folder, or one that cannot be read.
    """
    try:
        places = sorted(entry for entry in folder.iterdir() if entry.is_dir() and not entry.name.startswith("."))
    except FileNotFoundError:
        return []
    except OSError as error:
        raise OpfuzzError(f"{folder}: {error.strerror}; known faults lie in a folder, name one with --corpus") from None
    specs = {spec.op: spec for spec in plan.specs}
    subjects = {op: set(implementations(spec, plan.subjects, backends)) for op, spec in specs.items()}
    words, found = vocabulary(backends, dialects_of(plan.subjects, backends)), []
    for place in places:
        try:
            bundle = read_bundle(place, words)
        except OpfuzzError as error:
            found.append(KnownFault(place, None, False, str(error)))
            continue
        spec = specs.get(bundle.spec.op)
        if spec is None or bundle.subject not in subjects[spec.op] or bundle.call.format not in plan.formats:
            continue
        is_same = bundle.spec.digest == spec.digest
        why = "" if is_same else f"{spec.path} has changed since; the fault is looked for anew"
        found.append(KnownFault(place, bundle if is_same else None, _is_fixed(place), why))
    return found


def read_faults(run: Path, but: Collection[str], plan: Plan, backends: Mapping[str, Backend]) -> list[KnownFault]:
    """The faults of one run, `but` for some ids, whose calls can be made again."""
    found = read_corpus(run / "findings", plan, backends)
    return [
        known
        for known in found
        if known.bundle is not None and known.bundle.finding["severity"] == FAULT and known.place.name not in but
    ]


def _is_fixed(place: Path) -> bool:
    try:
        return bool(json.loads((place / STATUS).read_text(encoding="utf-8")).get("status") == "fixed")
    except (OSError, ValueError, AttributeError):
        return False


def revisit(
    corpus: Sequence[KnownFault], plan: Plan, backends: Mapping[str, Backend], executor: Executor = LOCAL
) -> tuple[list[Standing], list[Result]]:
    """What became of each fault of a corpus, and the results of the calls that are at fault still."""
    open_ones = [(known.bundle, known.bundle.subject) for known in corpus if known.bundle is not None]
    told: list[Replayed | OpfuzzError] = []
    if open_ones:
        replay(open_ones, told.append, plan.plugins, backends, plan.jobs, executor)
    answers = iter(told)
    standings, results = [], []
    for known in corpus:
        answer = next(answers) if known.bundle is not None else OpfuzzError(known.why)
        standings.append(_standing(known, answer))
        if known.bundle is not None and isinstance(answer, Replayed) and answer.is_there:
            results.append(make_call_result(known.bundle.spec, known.bundle.call, answer.judged))
    return standings, results


def _standing(known: KnownFault, answer: Replayed | OpfuzzError) -> Standing:
    told = _finding(known.place) if known.bundle is None else known.bundle.finding
    op, subject, format, verdict = (str(told.get(name) or "") for name in ("op", "subject", "format", "verdict"))
    place = (known.place.name, op, subject, format, verdict)
    if known.bundle is None or isinstance(answer, OpfuzzError):
        return Standing(*place, "", "not replayed", why=str(answer))
    score = answer.judged.score
    if answer.is_there:
        status = "back" if known.is_fixed else "open"
        return Standing(*place, score.verdict, status, score.cause, is_new=known.is_fixed)
    return Standing(*place, score.verdict, "fixed", is_new=not known.is_fixed)


def _finding(place: Path) -> Mapping[str, object]:
    """What a damaged bundle says of its finding; nothing where it cannot be read."""
    try:
        found = json.loads((place / FINDING).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return {name: word for name, word in found.items() if isinstance(word, str)} if isinstance(found, dict) else {}


def update(
    folder: Path, run: Path, findings: Sequence[Finding], outcomes: Sequence[Standing], words: Vocabulary
) -> None:
    """Take in the faults of a finished run, the smaller call of each where two are known, and what was replayed.

    What cannot be made again, since it is damaged or of another spec, gives way to any call of this run; two runs at
    once wait for each other. Raises OpfuzzError if the disk refuses.
    """
    faults = [finding for finding in findings if finding.severity == FAULT]
    seen = {finding.id for finding in faults}
    if not faults and not outcomes:
        return
    with _alone(folder):
        for finding in faults:
            minimal = finding.minimal
            if minimal is not None and minimal.is_shown:
                place, source = folder / finding.id, run / "findings" / finding.id
                if _size(place, read_bundle(source, words).spec.digest, words) > minimal.elements:
                    _replace(place, source)
        for outcome in outcomes:
            if outcome.status != "not replayed" and (folder / outcome.id).is_dir():  # else of a run's own findings
                status = "open" if outcome.status in ("open", "back") or outcome.id in seen else "fixed"
                write_text(folder / outcome.id / STATUS, json.dumps({"status": status, "run": run.name}) + "\n")


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """One run at a time; the system takes the lock back from a process that dies."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = (folder / LOCK).open("w")
    except OSError as error:
        raise OpfuzzError(f"{folder}: cannot be written: {error.strerror}") from error
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX)
        except OSError as error:
            raise OpfuzzError(f"{folder / LOCK}: cannot be locked: {error.strerror}") from error
        yield


def _size(place: Path, digest: str, words: Vocabulary) -> float:
    """Elements of the smallest call that is known; infinite where there is none of this spec that can be read."""
    try:
        bundle = read_bundle(place, words)
        return float(bundle.finding["minimal"]["elements"]) if bundle.spec.digest == digest else float("inf")
    except (OpfuzzError, ValueError, LookupError, TypeError):
        return float("inf")


def _replace(place: Path, source: Path) -> None:
    """A copy of the whole folder in place of what is there; a reader sees the old or the new one, or none."""
    try:
        with tempfile.TemporaryDirectory(dir=place.parent, prefix=".") as draft:
            shutil.copytree(source, Path(draft) / "new")
            if place.exists():
                place.rename(Path(draft) / "old")
            (Path(draft) / "new").rename(place)
    except OSError as error:
        raise OpfuzzError(f"{place}: cannot be written: {error.strerror}") from error
