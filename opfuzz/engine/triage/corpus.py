"""The corpus: faults of earlier runs, each with its smallest call, which the next run makes again first."""

from __future__ import annotations

import fcntl
import json
import shutil
import tempfile
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from math import inf
from pathlib import Path

from opfuzz.backends import Backend
from opfuzz.core.errors import OpfuzzError
from opfuzz.core.files.whole_file import write_text
from opfuzz.core.findings import Standing
from opfuzz.core.results import Result
from opfuzz.core.run import Run
from opfuzz.core.verdicts import FAULT
from opfuzz.engine.calls import make_call_result
from opfuzz.engine.executors import LOCAL, Executor
from opfuzz.engine.plan import Plan, dialects_of, implementations, vocabulary
from opfuzz.engine.triage.replay import Replayed, replay
from opfuzz.spec import Vocabulary
from opfuzz.store.bundle import FINDING, Bundle, read_bundle
from opfuzz.store.bundle.files import FOR_PEOPLE, NEEDED

STATUS = "status.json"  # of a fault in the corpus: whether it is fixed, and since which run
OWN = frozenset({STATUS, *NEEDED, *FOR_PEOPLE})  # what opfuzz writes into a folder of a fault
KEY = ("cause", "op", "subject", "format")  # in it: what one call is kept for
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
        found.append(KnownFault(place, bundle if is_same else None, _status(place).get("status") == "fixed", why))
    return found


def read_faults(
    run: Path, but: Collection[KnownFault], plan: Plan, backends: Mapping[str, Backend]
) -> list[KnownFault]:
    """The faults of one run whose calls can be made again, `but` for those whose very call is made already."""
    known = {(each.place.name, _call_id(each)) for each in but}
    found = read_corpus(run / "findings", plan, backends)
    return [
        each
        for each in found
        if each.bundle is not None
        and each.bundle.finding["severity"] == FAULT
        and (each.place.name, _call_id(each)) not in known
    ]


def _call_id(known: KnownFault) -> str:
    return "" if known.bundle is None else known.bundle.call.id(known.bundle.spec.op)


def _status(place: Path) -> Mapping[str, object]:
    """What is known of a fault; nothing where it cannot be read."""
    try:
        found = json.loads((place / STATUS).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


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


def update(folder: Path, run: Run, place: Path, words: Vocabulary) -> None:
    """Take in the faults of a finished run, whose folder is `place`, and what was replayed.

    Of a cause one call is kept for each op, subject and format, the smallest that is known. What cannot be made again,
    since it is damaged or of another spec, gives way to any call of this run; two runs at once wait for each other.
    Raises OpfuzzError if the disk refuses.
    """
    faults = [finding for finding in run.findings if finding.severity == FAULT]
    if not faults and not run.replayed:
        return
    replaced: set[str] = set()  # whose call is another now than was made again
    behind = {id: common.id for common in run.causes for id in common.findings}
    with _alone(folder):
        kept = _kept(folder)
        for finding in faults:
            minimal = finding.minimal
            if minimal is None or not minimal.is_shown:
                continue
            key = (behind.get(finding.id, finding.id), finding.op, finding.subject, finding.format)
            source = place / "findings" / finding.id
            digest = read_bundle(source, words).spec.digest
            others = kept.get(key, set()) - {finding.id}
            is_own_open = _status(folder / finding.id).get("status", "open") == "open"  # else it is right now
            sizes = [_size(folder / id, digest, words) for id in (*others, *([finding.id] if is_own_open else []))]
            if min(sizes, default=inf) <= minimal.elements:
                continue
            _replace(folder / finding.id, source)
            _write_status(folder / finding.id, "open", run.run, key)
            replaced.add(finding.id)
            for id in others:
                if not _foreign(folder / id):
                    shutil.rmtree(folder / id, ignore_errors=True)
            kept[key] = {finding.id}
        for outcome in run.replayed:
            is_there = (folder / outcome.id).is_dir() and outcome.id not in replaced  # else of a run's own findings
            if outcome.status != "not replayed" and is_there:
                status = "open" if outcome.status in ("open", "back") else "fixed"
                known = (behind.get(outcome.id, ""), outcome.op, outcome.subject, outcome.format)
                _write_status(folder / outcome.id, status, run.run, known)


Key = tuple[str, str, str, str]  # cause, op, subject, format


def _kept(folder: Path) -> dict[Key, set[str]]:
    """The open faults of a corpus whose cause is known, by what one call is kept for."""
    found: dict[Key, set[str]] = {}
    for entry in sorted(folder.iterdir()):
        told = _status(entry)
        key = tuple(str(told.get(name, "")) for name in KEY)
        if told.get("status") == "open" and key[0]:
            found.setdefault((key[0], key[1], key[2], key[3]), set()).add(entry.name)
    return found


def _write_status(place: Path, status: str, run: str, key: Key) -> None:
    """What became of a fault; its cause is as it was where this run does not tell one."""
    cause = key[0] or str(_status(place).get("cause", ""))
    document = {"status": status, "run": run, **dict(zip(KEY, (cause, *key[1:]), strict=True))}
    write_text(place / STATUS, json.dumps(document) + "\n")


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


def _foreign(place: Path) -> list[Path]:
    """What is in a folder that opfuzz did not put there."""
    return [entry for entry in place.iterdir() if entry.name not in OWN] if place.is_dir() else []


def _replace(place: Path, source: Path) -> None:
    """A copy of the whole folder in place of what is there; a reader sees the old or the new one, or none.

    What somebody else put into the old one is kept.
    """
    try:
        with tempfile.TemporaryDirectory(dir=place.parent, prefix=".") as draft:
            shutil.copytree(source, Path(draft) / "new")
            for entry in _foreign(place):
                (shutil.copytree if entry.is_dir() else shutil.copy2)(entry, Path(draft) / "new" / entry.name)
            if place.exists():
                place.rename(Path(draft) / "old")
            (Path(draft) / "new").rename(place)
    except OSError as error:
        raise OpfuzzError(f"{place}: cannot be written: {error.strerror}") from error
