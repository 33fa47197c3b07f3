"""Between which two versions of a package a finding came, or went: binary search over environments made for it."""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from packaging.version import Version

from opfuzz.core.errors import DiskError, OpfuzzError
from opfuzz.core.files import plain_file
from opfuzz.core.files.cache import cache_folder
from opfuzz.core.files.whole_file import write_text
from opfuzz.core.retrial import ABSENT, ANSWERS, THERE, UNTOLD, Bisection, Retrial, TriedVersion
from opfuzz.engine.drivers.bisect_question import Inquiry
from opfuzz.engine.drivers.elsewhere import make_again, reproducer_of, versions_there
from opfuzz.engine.drivers.environments import Installer, NotInstalledError, Wanted, prepare
from opfuzz.engine.process import finish
from opfuzz.store.bundle import INPUTS
from opfuzz.store.bundle.files import LIMITS, damaged

FOLDER = "bisections"
RECORD_LIMIT = 16 * 2**20  # bytes
SKIP = 125  # exit status of a check that cannot tell, as for git bisect
NOT_RUN = (126, 127)  # of a shell that cannot run the command


class Onlooker(Protocol):
    """Is told of every version."""

    def begin(self, version: str) -> None: ...
    def end(self, trial: TriedVersion, is_known: bool) -> None: ...


class Record:
    """What was tried for a question, in a file of the cache: each version once."""

    def __init__(self, question: Inquiry, is_anew: bool) -> None:
        self.path = cache_folder(FOLDER) / f"{_digest(question)}.json"
        self.trials: dict[str, TriedVersion] = {}
        if not is_anew and self.path.exists():
            found = plain_file.document(self.path, RECORD_LIMIT, self._damaged)
            try:
                self.trials = {version: _trial(version, each) for version, each in found.items()}
            except (KeyError, TypeError, ValueError, AttributeError):
                raise self._damaged("no record of trials") from None

    def _damaged(self, what: str) -> OpfuzzError:
        return OpfuzzError(f"{self.path}: {what}; remove it, or begin anew with --again")

    def keep(self, trial: TriedVersion) -> None:
        """Write down one more. Raises DiskError if the disk refuses."""
        self.trials[trial.version] = trial
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise DiskError(f"{self.path.parent}: cannot be written: {error.strerror}") from error
        write_text(self.path, json.dumps({version: asdict(each) for version, each in self.trials.items()}))


def _trial(version: str, found: Mapping[str, Any]) -> TriedVersion:
    retrial = Retrial(**found["retrial"])
    if retrial.answer not in ANSWERS:
        raise ValueError(retrial.answer)
    return TriedVersion(
        version, Retrial(retrial.answer, str(retrial.words), dict(retrial.versions)), float(found["seconds"])
    )


def _digest(question: Inquiry) -> str:
    """What names the question: the call and all that has a part in the answer, wherever the folder lies."""
    words = [
        question.package,
        str(question.python.path),
        question.python.version,
        question.requirement,
        question.beside,
        question.check,
    ]
    parts = [json.dumps([*words, question.seconds]).encode()]
    if question.check is None:
        parts += [reproducer_of(question.place)]
        with plain_file.opened(question.place / INPUTS, LIMITS[INPUTS], partial(damaged, question.place, INPUTS)) as (
            file,
            size,
        ):
            parts += [file.read(size)]
    else:
        parts += [str(question.place.resolve()).encode()]
    return hashlib.blake2b(b"\0".join(parts), digest_size=12).hexdigest()


def bisect(
    question: Inquiry,
    versions: Sequence[str],
    installer: Installer,
    record: Record,
    onlooker: Onlooker,
) -> Bisection:
    """Search among versions, oldest first.

    Raises OpfuzzError if no two of them answer otherwise; KeyboardInterrupt if Ctrl-C or SIGTERM ended it.
    """
    asked: dict[int, TriedVersion] = {}

    def ask(number: int) -> str:
        version = versions[number]
        if number not in asked:
            onlooker.begin(version)
            known = record.trials.get(version)
            asked[number] = known or _try(question, version, installer, record)
            onlooker.end(asked[number], known is not None)
        return asked[number].retrial.answer

    low, high = boundary(len(versions), ask)
    trials = tuple(asked[number] for number in sorted(asked))
    if low is None or high is None:
        raise OpfuzzError(_untold(question.package, trials))
    if asked[low].retrial.answer == asked[high].retrial.answer:
        raise OpfuzzError(_alike(question, asked[low], asked[high]))
    between = tuple(asked[number] for number in range(low + 1, high))
    return Bisection(question.package, asked[low], asked[high], between, trials, len(versions), question.check)


def boundary(count: int, ask: Callable[[int], str]) -> tuple[int | None, int | None]:
    """Two numbers below `count` with different answers, of which those between tell nothing.

    The ends are asked first, or where these tell nothing those next to them; None where there are no two that tell.
    With the same answer at both ends, these.
    """
    low = next((number for number in range(count) if ask(number) != UNTOLD), None)
    if low is None:
        return None, None
    high = next((number for number in range(count - 1, low, -1) if ask(number) != UNTOLD), None)
    if high is None or ask(low) == ask(high):
        return low, high
    untold: set[int] = set()
    while left := [number for number in range(low + 1, high) if number not in untold]:
        centre = (low + high) / 2
        middle = min(left, key=lambda number: abs(number - centre))
        answer = ask(middle)
        if answer == UNTOLD:
            untold.add(middle)
        elif answer == ask(low):
            low = middle
        else:
            high = middle
    return low, high


def _untold(package: str, trials: Sequence[TriedVersion]) -> str:
    told = next((trial for trial in trials if trial.retrial.answer != UNTOLD), None)
    why = "; ".join(f"{trial.version}: {trial.retrial.words}" for trial in trials if trial is not told)
    if told is None:
        return f"no version of {package} could be tried: {why}"
    return f"{package} {told.version} is the only version that could be tried: {why}"


def _alike(question: Inquiry, low: TriedVersion, high: TriedVersion) -> str:
    package = question.package
    ends = f"both {package} {low.version} and {high.version}"
    if question.check is not None:
        told = "passes" if low.retrial.answer == ABSENT else "fails"
        return f"the check {told} with {ends}; give ends of which one passes and one fails"
    if low.retrial.answer == THERE:
        return f"the fault is there with {ends}; give an earlier --from, or a later --to if it is fixed"
    neither = f"neither {package} {low.version} nor {high.version}"
    return f"the fault is there with {neither}; give ends of which one shows it"


def _try(question: Inquiry, version: str, installer: Installer, record: Record) -> TriedVersion:
    """One version, and what it comes to is kept: but not that it cannot be installed, which may be otherwise later."""
    started = time.monotonic()
    wanted = Wanted(question.python, question.package, version, question.requirement, question.beside)
    try:
        python = prepare(wanted, installer)
    except NotInstalledError as error:
        return TriedVersion(version, Retrial(UNTOLD, f"cannot be installed: {error}", {}), time.monotonic() - started)
    if question.check is not None:
        retrial = _checked(question, python)
    else:
        retrial = make_again(question.place, python, question.seconds, [question.package])
    trial = TriedVersion(version, _of_version(version, question.package, retrial), time.monotonic() - started)
    record.keep(trial)
    return trial


def _checked(question: Inquiry, python: Path) -> Retrial:
    """What the user's own command says, with the environment's programs first on the PATH."""
    assert question.check is not None
    search = f"{python.parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}"
    environment = {**os.environ, "PATH": search, "VIRTUAL_ENV": str(python.parents[1])}
    done = finish(["sh", "-c", question.check], question.seconds, None, environment)
    versions = versions_there(python, [question.package])
    said = done.last_words
    if done.code is None:
        return Retrial(UNTOLD, f"no end after {question.seconds:g} s", versions)
    if done.code in (SKIP, *NOT_RUN):
        return Retrial(UNTOLD, f"exit status {done.code}{f': {said}' if said else ''}", versions)
    return Retrial(ABSENT if done.code == 0 else THERE, said or f"exit status {done.code}", versions)


def _of_version(version: str, package: str, retrial: Retrial) -> Retrial:
    """What came of it, unless the environment has another version than was asked for."""
    there = retrial.versions.get(package)
    if there is None or Version(there).public == Version(version).public:
        return retrial
    return Retrial(UNTOLD, f"the environment has {package} {there}", retrial.versions)
