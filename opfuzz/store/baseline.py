"""The run that another is held against, what runs before that know, and what makes a run fail."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path

from opfuzz.core.comparison import ACCEPTED, DISCOVERED, NEW, REGRESSION, UNDECIDED, Accepted
from opfuzz.core.errors import OpfuzzError
from opfuzz.core.findings import Finding
from opfuzz.core.run import Row, Run
from opfuzz.core.verdicts import FAULT
from opfuzz.store.accepted import considered
from opfuzz.store.cause_changes import Elder, is_not_asked, is_turned
from opfuzz.store.compare import NOTHING_KNOWN, KnownBefore, compare
from opfuzz.store.history import remembered
from opfuzz.store.read import LATEST, dated_folders, find_run, read_run

BACK = 20  # runs that are looked at for one that tried all that is tried now
ALARMS = (REGRESSION, UNDECIDED)

Place = tuple[str, str, str]


@dataclass(frozen=True, slots=True)
class Earlier:
    """The run that a later one is held against."""

    place: Path | None = None  # its folder or file; None: there is none
    run: Run | None = None
    known: KnownBefore = NOTHING_KNOWN
    complaints: tuple[str, ...] = ()  # a line for each newer run that cannot be read

    @property
    def folder(self) -> Path | None:
        """Where its findings are."""
        return self.place.parent if self.place is not None and self.place.is_file() else self.place


def with_accepted(run: Run, entries: Sequence[Accepted], today: date) -> Run:
    """The run with those of the accepted findings that it can say something about."""
    return replace(run, accepted=considered(entries, run, today))


def with_comparison(
    run: Run, before: Run | None, known: KnownBefore = NOTHING_KNOWN, elder: Elder = is_not_asked
) -> Run:
    """The run with what changed since an earlier one; see compare."""
    return replace(run, comparison=compare(before, run, known, elder))


def counting(run: Run, failing: Collection[str] = ()) -> list[str]:
    """Ids of the findings that make a run fail: faults, or those of `failing` verdicts, that nobody accepted.

    Of a run that was held against an earlier one only those that the software brought, or may have brought: of
    regressions, of causes of which that is not known, and of rows that are worse on the same cases; with `discovered`
    among the words also those that were there all along.
    """
    excused = {entry.id for entry in run.accepted if entry.status == ACCEPTED}
    verdicts = {word for word in failing if word != DISCOVERED}
    found = [(finding.id, finding.verdict, finding.severity) for finding in run.findings]
    if run.comparison is not None and run.comparison.before:
        alarms = {*ALARMS, *({DISCOVERED} if DISCOVERED in failing else ())}
        told = {id for change in run.comparison.causes if change.status in alarms for id in change.findings}
        told |= {c.id for c in run.comparison.findings if c.status == NEW and c.severity != FAULT and is_turned(c)}
        found = [each for each in found if each[0] in told]
        shifts = run.comparison.worse(excused)
        found += [(shift.finding or "", shift.verdicts[1], shift.severity) for shift in shifts]
    counted = [
        id
        for id, verdict, severity in found
        if (verdict in verdicts if verdicts else severity == FAULT) and id not in excused
    ]
    return list(dict.fromkeys(counted))


def earlier_run(
    named: str | None,
    subjects: Iterable[str],
    pairs: Iterable[tuple[str, str]],
    profile: str | None,
    reports: Path,
    before: str = "",
) -> Earlier:
    """The run that --baseline names; an empty one if it names none, or there is no latest one like this.

    `before`: the name of the run that it is for, which is not held against itself or a later one.
    Raises OpfuzzError if there is no such run, or it cannot be read.
    """
    if named is None:
        return Earlier()
    if named == LATEST:
        return latest_like(subjects, pairs, profile, reports, before)
    place = find_run(named, reports)
    return Earlier(place, read_run(place))


def with_history(earlier: Earlier, path: Path, before: str = "") -> Earlier:
    """The same with what the history knows of runs `before` another; one that cannot be read is complained of."""
    try:
        found = remembered(path, before)
    except OpfuzzError as error:
        return replace(earlier, complaints=(*earlier.complaints, str(error)))
    known = replace(earlier.known, causes=found.causes, software=found.software)
    return replace(earlier, known=known)


def latest_like(
    subjects: Iterable[str],
    pairs: Iterable[tuple[str, str]],
    profile: str | None,
    reports: Path,
    before: str = "",
) -> Earlier:
    """The newest finished run of just these subjects and this profile that tried all these ops in these formats.

    Only runs whose names, which begin with the time, come `before` another's, if that is given.

    If none of the last BACK did, the one that tried most of them, and what the others know of the rest.
    """
    wanted, asked = set(subjects), set(pairs)
    complaints: list[str] = []
    like: list[tuple[Path, Run]] = []  # the newest first
    for folder in reversed(dated_folders(reports)):
        if before and folder.name >= before:
            continue
        try:
            run = read_run(folder)
        except OpfuzzError as error:
            complaints.append(str(error))
            continue
        if set(run.subjects) != wanted or run.profile != profile or run.interrupted:
            continue
        if asked <= _tried(run):
            return Earlier(folder, run, complaints=tuple(complaints))
        like.append((folder, run))
        if len(like) == BACK:
            break
    if not like:
        return Earlier(complaints=tuple(complaints))
    folder, run = max(like, key=lambda item: len(asked & _tried(item[1])))  # of equals the newest
    return Earlier(folder, run, KnownBefore(_known(run, [other for _, other in like])), tuple(complaints))


def _place(item: Row | Finding) -> Place:
    return item.op, item.subject, item.format


def _tried(run: Run) -> set[tuple[str, str]]:
    return {(row.op, row.format) for row in run.ranking}


def _known(run: Run, others: Iterable[Run]) -> dict[tuple[str, ...], str]:
    """Findings of the rows that a run has not: each row as the first of the others that has it says."""
    seen = {_place(row) for row in run.ranking}
    known: dict[tuple[str, ...], str] = {}
    for other in others:
        known |= {f.signature[:4]: other.run for f in other.findings if _place(f) not in seen}
        seen |= {_place(row) for row in other.ranking}
    return known
