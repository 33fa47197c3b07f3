"""One run against an earlier one: which findings are new, which rows are worse, and what that can be put down to."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from math import isnan
from pathlib import Path
from types import MappingProxyType

from opfuzz.core.comparison import (
    ACCEPTED,
    BETTER,
    FIXED,
    GONE,
    NEW,
    STATUSES,
    STILL,
    UNSEEN,
    WIDER,
    WORSE,
    Accepted,
    CauseChange,
    Change,
    Comparison,
    Remark,
    Shift,
)
from opfuzz.core.errors import OpfuzzError
from opfuzz.core.findings import Finding
from opfuzz.core.run import Row, Run
from opfuzz.core.verdicts import FAULT, NOTE, SEVERITIES, VERDICTS
from opfuzz.store.accepted import considered
from opfuzz.store.read import LATEST, dated_folders, find_run, read_run

# Subjects are deterministic, so on the same cases a figure that changed is a library that changed; a change of less
# than SLIGHT is not worth a word. On other cases figures differ by chance: over 86 rows with a fault, each from two of
# three seeds, the excess by up to 1.4, and the largest ulp error, which any cancellation raises, by up to 1000.
SLIGHT = 1.05
CHANCE = 4.0  # of the excess
FLICKERING = frozenset({"unstable", "timeout", "out-of-memory"})  # verdicts that come and go
MACHINE = ("python", "system", "processor")  # what figures depend on besides versions
BACK = 20  # runs that are looked at for one that tried all that is tried now

Place = tuple[str, str, str]


@dataclass(frozen=True, slots=True)
class Earlier:
    """The run that a later one is held against."""

    place: Path | None = None  # its folder or file; None: there is none
    run: Run | None = None
    known: Mapping[tuple[str, ...], str] = field(default_factory=dict)  # see compare
    complaints: tuple[str, ...] = ()  # a line for each newer run that cannot be read

    @property
    def folder(self) -> Path | None:
        """Where its findings are."""
        return self.place.parent if self.place is not None and self.place.is_file() else self.place


def compare(before: Run | None, after: Run, known: Mapping[tuple[str, ...], str] = MappingProxyType({})) -> Comparison:
    """What changed from one run to a later one; without an earlier one, all is new.

    `known`: the run that has a finding of a row that the earlier run has not, by op, subject, format and verdict.
    """
    if before is None:
        new = [_change(NEW, finding) for finding in after.findings]
        causes = tuple(CauseChange(NEW, common) for common in after.causes if common.severity == FAULT)
        return Comparison("", after.run, "", {}, tuple(_sorted(new)), causes=causes)
    differ = _difference(before, after)
    changes = _sorted(_changes(before, after, differ, known))
    rows = {_place(row): row for row in before.ranking}
    fixed = {_place(change) for change in changes if change.status == FIXED}
    pairs = [(rows[_place(row)], row) for row in after.ranking if _place(row) in rows]
    shifts = [
        _by_chance(then, now, _place(now) in fixed) if differ else _shift(then, now, SLIGHT) for then, now in pairs
    ]
    moved = [shift for shift in shifts if shift is not None]
    return Comparison(
        before.run,
        after.run,
        differ,
        _versions(before, after),
        tuple(changes),
        tuple(sorted(moved, key=lambda s: (STATUSES.index(s.status), SEVERITIES.index(s.severity), _place(s)))),
        len(shifts) - len(moved),
        tuple(_cause_changes(before, after, {change.id: change.status for change in changes})),
    )


def _cause_changes(before: Run, after: Run, statuses: Mapping[str, str]) -> Iterable[CauseChange]:
    """Causes that are new, seen in more places, fixed or not seen again; `statuses` are those of the findings.

    A cause that goes by another name now, with findings that were there before, is not new.
    """
    earlier = {common.id: common for common in before.causes if common.severity == FAULT}
    later = {common.id: common for common in after.causes if common.severity == FAULT}
    if before.findings and not before.causes:  # written before there were causes
        return
    places = {finding.id: finding for finding in after.findings}
    for id, common in later.items():
        fresh = [places[each] for each in common.findings if statuses.get(each) == NEW and each in places]
        known = earlier.get(id)
        if known is None and len(fresh) == len(common.findings):
            yield CauseChange(NEW, common)
        elif fresh:
            ops, formats = (known.ops, known.formats) if known is not None else ((), ())
            more = dict.fromkeys(each.op for each in fresh if each.op not in ops)
            others = dict.fromkeys(each.format for each in fresh if each.format not in formats)
            if more or others:
                yield CauseChange(WIDER, common, tuple(more), tuple(others))
    for id, common in earlier.items():
        became = {statuses.get(each) for each in common.findings}
        if id not in later and became in ({FIXED}, {UNSEEN}):
            yield CauseChange(str(*became), common)


def _place(item: Row | Finding | Shift | Change) -> Place:
    return item.op, item.subject, item.format


def _sorted(changes: Iterable[Change]) -> list[Change]:
    return sorted(
        changes,
        key=lambda c: (STATUSES.index(c.status), SEVERITIES.index(c.severity), VERDICTS.index(c.verdict), _place(c)),
    )


def _difference(before: Run, after: Run) -> str:
    """Why two runs did not try the same cases; "" if they did."""
    if before.seed != after.seed:
        return f"seed {before.seed} then, {after.seed} now"
    if before.profile != after.profile:
        return f"profile {before.profile or 'none'} then, {after.profile or 'none'} now"
    if before.interrupted or after.interrupted:
        return f"the {'earlier' if before.interrupted else 'later'} run was interrupted"
    if before.planned is None or after.planned is None:
        return "as many as time allowed; --cases makes them the same"
    if before.planned != after.planned:
        return f"{before.planned} of each op then, {after.planned} now"
    if changed := sorted(op for op in before.specs.keys() & after.specs.keys() if before.specs[op] != after.specs[op]):
        return f"the {'spec' if len(changed) == 1 else 'specs'} of {', '.join(changed)} changed"
    if before.versions.get("opfuzz") != after.versions.get("opfuzz"):
        return "opfuzz itself changed"
    return ""


def _versions(before: Run, after: Run) -> dict[str, tuple[str, str]]:
    """What changed that figures depend on. A backend that only one of the runs has changed no figure of both."""
    told = [(before.versions, after.versions, before.versions.keys() & after.versions.keys())]
    told.append((before.machine, after.machine, before.machine.keys() & after.machine.keys() & set(MACHINE)))
    return {
        name: (then[name], now[name]) for then, now, names in told for name in sorted(names) if then[name] != now[name]
    }


def _changes(before: Run, after: Run, differ: str, known: Mapping[tuple[str, ...], str]) -> list[Change]:
    earlier = {finding.signature: finding for finding in before.findings}
    later = {finding.signature: finding for finding in after.findings}
    # A verdict is one finding of its row, told by the simplest case that has it. On other cases that is another one,
    # which may break another promise.
    loose_earlier = {signature[:4] for signature in earlier} if differ else set()
    loose_later = {signature[:4] for signature in later} if differ else set()
    changes = []
    for signature, finding in later.items():
        if signature in earlier:
            changes.append(_change(STILL, finding))
        elif signature[:4] in loose_earlier:
            changes.append(_change(STILL, finding, Remark("other-relation", finding.relation)))
        elif signature[:4] in known:
            changes.append(_change(STILL, finding, Remark("known-elsewhere", known[signature[:4]])))
        else:
            changes.append(_change(NEW, finding, _doubt(finding, before, after, differ)))
    for signature, finding in earlier.items():
        if signature not in later and signature[:4] not in loose_later:
            changes.append(_ended(finding, after, differ))
    return changes


def _doubt(finding: Finding, before: Run, after: Run, differ: str) -> Remark:
    """What may make a finding new besides a fault that is."""
    if _place(finding) not in {_place(row) for row in before.ranking}:
        return Remark("not-tried")
    known = {standing.id: standing.status for standing in after.replayed}
    if known.get(finding.id) == "back":
        return Remark("back")
    if known.get(finding.id) == "open":
        return Remark("known-open")
    if differ:
        return Remark("cases-differ", differ)
    return Remark()


def _ended(finding: Finding, after: Run, differ: str) -> Change:
    """A finding that the later run does not have."""
    rows = {_place(row): row for row in after.ranking}
    row = rows.get(_place(finding))
    if row is None or row.verdict == "unsupported":
        remark = Remark("not-tried-any-more") if row is None else Remark("not-supported", cause=row.cause)
        return _change(GONE, finding, remark)
    if finding.severity == NOTE and row.severity == FAULT:
        return _change(UNSEEN, finding, Remark("row-is-fault", row.verdict))
    standing = next((s for s in after.replayed if s.id == finding.id), None)
    if standing is not None and standing.status == "fixed":
        return _change(FIXED, finding, Remark("made-again"))
    if differ:
        cause, why = (standing.cause, standing.why) if standing else (None, "")
        return _change(UNSEEN, finding, Remark("not-made-again", differ, cause, why))
    if finding.verdict in FLICKERING:
        return _change(UNSEEN, finding, Remark("flickers"))
    return _change(FIXED, finding)


def _change(status: str, finding: Finding, remark: Remark | None = None) -> Change:
    return Change(status, finding.id, *_place(finding), finding.verdict, finding.severity, remark or Remark())


def _by_chance(before: Row, after: Row, is_fixed: bool) -> Shift | None:
    """Whether a row is worse or better, where the cases are others and only what they can bear out counts."""
    was, now = before.severity == FAULT, after.severity == FAULT
    if was != now:  # a fault that is not seen may be there; one that is seen need not be new, and its finding says so
        return _shift(before, after, CHANCE) if now or is_fixed else None
    if not now:
        return None  # how far honest arithmetic is off depends on the cases above all
    # Of several faults of a row, another one may be the first; the excess is not by chance so much larger.
    alike = replace(before, verdict=after.verdict, max_ulp=after.max_ulp)
    found = _shift(alike, after, CHANCE)
    return found and replace(found, verdicts=(before.verdict, after.verdict), max_ulp=(before.max_ulp, after.max_ulp))


def _shift(before: Row, after: Row, factor: float) -> Shift | None:
    """Whether a row is worse or better: by its verdict, else by a figure that changed by more than a factor."""
    ranks = [VERDICTS.index(row.verdict) for row in (before, after)]
    if ranks[0] != ranks[1]:
        status, figure = WORSE if ranks[1] < ranks[0] else BETTER, "verdict"
    else:
        by_excess = _step(before.excess, after.excess, factor)
        found = by_excess or _step(before.max_ulp, after.max_ulp, factor)
        if not found:
            return None
        status = WORSE if found > 0 else BETTER
        figure = "excess" if by_excess else "max_ulp"
    return Shift(
        status,
        *_place(after),
        verdicts=(before.verdict, after.verdict),
        severity=after.severity,
        max_ulp=(before.max_ulp, after.max_ulp),
        excess=(before.excess, after.excess),
        finding=after.finding,
        figure=figure,
    )


def _step(before: float, after: float, factor: float) -> int:
    """1 if a figure rose by more than a factor, -1 if it fell so, else 0. NaN, an error without a size, is largest."""
    then, now = (float("inf") if isnan(value) else value for value in (before, after))
    if now > then * factor:
        return 1
    return -1 if then > now * factor else 0


def with_accepted(run: Run, entries: Sequence[Accepted], today: date) -> Run:
    """The run with those of the accepted findings that it can say something about."""
    return replace(run, accepted=considered(entries, run, today))


def with_comparison(run: Run, before: Run | None, known: Mapping[tuple[str, ...], str] = MappingProxyType({})) -> Run:
    """The run with what changed since an earlier one; `known`: see compare."""
    return replace(run, comparison=compare(before, run, known))


def counting(run: Run, failing: Collection[str] = ()) -> list[str]:
    """Ids of the findings that make a run fail: faults, or those of `failing` verdicts, that nobody accepted.

    Of a run that was compared with another, only those that are new or worse. A fault of a row that the other one has
    not is new, unless a run before that has it.
    """
    excused = {entry.id for entry in run.accepted if entry.status == ACCEPTED}
    found = [(finding.id, finding.verdict, finding.severity) for finding in run.findings]
    if run.comparison is not None:
        changes, shifts = run.comparison.findings, run.comparison.worse(excused)
        found = [(change.id, change.verdict, change.severity) for change in changes if change.status == NEW]
        found += [(shift.finding or "", shift.verdicts[1], shift.severity) for shift in shifts]
    counted = [
        id
        for id, verdict, severity in found
        if (verdict in failing if failing else severity == FAULT) and id not in excused
    ]
    return list(dict.fromkeys(counted))  # a note is told twice: it is new, and its row is worse


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
    return Earlier(folder, run, _known(run, [other for _, other in like]), tuple(complaints))


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
