"""The lives of causes: from the run that met each first to the one that found it fixed, as the history tells them."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from math import inf, isnan
from pathlib import Path

from opfuzz.core.common_cause import CommonCause, WorstFigures
from opfuzz.core.comparison import DISCOVERED, FIXED, REGRESSION, UNDECIDED, CauseChange
from opfuzz.store.database import reading
from opfuzz.store.history import names, newest_with, texts
from opfuzz.store.read import cause_change, common_cause

# How a cause came: as its run says; met again after it was fixed; what shows it was told by another name before; it is
# in a run that had no earlier one; or nobody says.
BACK, RENAMED, FIRST, UNTOLD = "back", "renamed", "first", "untold"
ORIGINS = (REGRESSION, UNDECIDED, DISCOVERED, BACK, RENAMED, FIRST, UNTOLD)
YEAR_10000 = 253402300800.0  # in seconds since 1970: no date is later
THERE, UNMET = "there", "unmet"  # besides FIXED and RENAMED: what the newest run of its framework says of it


@dataclass(frozen=True, slots=True)
class Night:
    """One run on the axis of time."""

    run: str
    at: float  # seconds since 1970
    started: str
    seed: int
    interrupted: bool
    subjects: tuple[str, ...]
    versions: Mapping[str, str]
    machine: Mapping[str, str]
    compared: str | None  # the earlier run that it was held against; "": there was none; None: it was not, or not told


@dataclass(frozen=True, slots=True)
class Span:
    """A cause from the run that met it to the one that ended it; it is known in between, whether it is met or not."""

    first: str
    origin: str  # of ORIGINS
    change: CauseChange | None  # what the run said that it rests on
    last: str | None = None  # None: it goes on
    end: str = ""  # FIXED or RENAMED
    now: str = ""  # id of the cause that has its findings, of one that is told by another name


@dataclass(frozen=True, slots=True)
class Life:
    """A cause of faults over all runs; ops, subjects, formats and the worst figures are those of all of them."""

    common: CommonCause  # else as the newest run that has it tells it
    met: tuple[str, ...]  # runs that have it, the oldest first
    said: Mapping[str, CauseChange]  # what runs said of it, by their names
    spans: tuple[Span, ...]
    state: str  # THERE, UNMET, FIXED, RENAMED

    @property
    def first(self) -> str:
        """The first run that had it."""
        return self.met[0]


@dataclass(frozen=True, slots=True)
class Past:
    """Runs, and the causes that any of them met or spoke of, by when they were first seen."""

    nights: tuple[Night, ...]  # the oldest first
    lives: tuple[Life, ...]
    at: Mapping[str, float]  # when each run was that any of these speaks of
    unmet: int = 0  # causes that are known and not fixed, and of which none of the runs speaks


def past(
    path: Path, op: str | None = None, subjects: Sequence[str] = (), formats: Sequence[str] = (), limit: int = 20
) -> Past:
    """The newest `limit` runs that tried what is asked for, and its causes; what is told of these rests on all runs.

    Raises OpfuzzError if there is no history, or none that can be read.
    """
    newest, values = newest_with(op, subjects, formats, limit)
    with reading(path) as db:
        everything = [_night(row) for row in db.execute("select * from runs order by at, run")]
        within = {run for (run,) in db.execute(f"{newest} select run from newest", values)}
        lives = _lives(everything, _causes(db), _changes(db))
    asked = [
        life
        for life in lives
        if (op is None or op in life.common.ops)
        and (not subjects or not {*subjects}.isdisjoint(life.common.subjects))
        and (not formats or not {*formats}.isdisjoint(life.common.formats))
    ]
    shown = [life for life in asked if within & {*life.met, *life.said, *(span.last for span in life.spans)}]
    unmet = sum(life.state in (THERE, UNMET) for life in asked) - sum(life.state in (THERE, UNMET) for life in shown)
    nights = tuple(night for night in everything if night.run in within)
    return Past(nights, tuple(shown), {night.run: night.at for night in everything}, unmet)


def _night(row: sqlite3.Row) -> Night:
    if not 0 <= float(row["at"]) < YEAR_10000:
        raise ValueError(f"a run at {row['at']} s, no time since 1970")
    return Night(
        run=row["run"],
        at=float(row["at"]),
        started=row["started"],
        seed=int(row["seed"]),
        interrupted=bool(row["interrupted"]),
        subjects=names(row["subjects"]),
        versions=texts(row["versions"]),
        machine=texts(row["machine"]),
        compared=row["compared"],
    )


def _causes(db: sqlite3.Connection) -> dict[str, dict[str, CommonCause]]:
    """By run and id."""
    found: dict[str, dict[str, CommonCause]] = {}
    for row in db.execute("select run, id, record from causes"):
        told = common_cause(json.loads(row["record"]), f"causes.{row['id']:.40}")
        found.setdefault(row["run"], {})[row["id"]] = told
    return found


def _changes(db: sqlite3.Connection) -> dict[str, dict[str, CauseChange]]:
    """By run and id."""
    found: dict[str, dict[str, CauseChange]] = {}
    for row in db.execute("select run, id, record from changes"):
        told = cause_change(json.loads(row["record"]), f"changes.{row['id']:.40}")
        found.setdefault(row["run"], {})[row["id"]] = told
    return found


def _among(common: CommonCause, subjects: Collection[str]) -> set[str]:
    """Those of some subjects that have a cause, maybe by an implementation: torch:cpu, as torch:cpu/fused."""
    named = ((subject, subject.rpartition("/")[0]) for subject in common.subjects)
    return {each for pair in named for each in pair if each in subjects}


def _lives(
    nights: Sequence[Night],
    causes: Mapping[str, Mapping[str, CommonCause]],
    changes: Mapping[str, Mapping[str, CauseChange]],
) -> list[Life]:
    """The life of each cause that any run has, by when it was first seen."""
    told = _Telling()
    for night in nights:
        told.take(night, causes.get(night.run, {}), changes.get(night.run, {}))
    newest = {subject: night.run for night in nights for subject in night.subjects}
    order = {night.run: place for place, night in enumerate(nights)}
    lives = []
    for id, records in told.records.items():
        common = _over_all(list(records.values()))
        last = max(
            (newest[subject] for subject in _among(common, newest)), key=order.__getitem__, default=list(records)[-1]
        )
        spans = told.spans[id]
        state = spans[-1].end or (THERE if last in records else UNMET)
        lives.append(Life(common, tuple(records), told.said.get(id, {}), tuple(spans), state))
    return lives


class _Telling:
    """The lives of causes, run by run, the oldest first."""

    def __init__(self) -> None:
        self.records: dict[str, dict[str, CommonCause]] = {}  # by id and run, in the order of time
        self.said: dict[str, dict[str, CauseChange]] = {}  # by id and run
        self.spans: dict[str, list[Span]] = {}  # by id
        self.subjects: dict[str, set[str]] = {}  # that met the cause since it came
        self.findings: set[str] = set()  # of causes of all runs so far

    def take(self, night: Night, here: Mapping[str, CommonCause], changes: Mapping[str, CauseChange]) -> None:
        """Add what one run met and said."""
        for id, change in changes.items():
            self.said.setdefault(id, {})[night.run] = change
        for id, common in here.items():
            spans = self.spans.setdefault(id, [])
            if not spans or spans[-1].last is not None:
                spans.append(self._come(night, common, changes.get(id), is_back=bool(spans)))
                self.subjects[id] = set()
            self.subjects[id] |= _among(common, night.subjects)
            self.records.setdefault(id, {})[night.run] = common
        for id, spans in self.spans.items():
            if id not in here and spans[-1].last is None:
                spans[-1] = self._gone(id, spans[-1], night, here, changes.get(id))
        self.findings |= {finding for common in here.values() for finding in common.findings}

    def _come(self, night: Night, common: CommonCause, change: CauseChange | None, is_back: bool) -> Span:
        if change is not None and change.status in ORIGINS:
            return Span(night.run, change.status, change)
        if is_back:
            return Span(night.run, BACK, change)
        if not self.findings.isdisjoint(common.findings):
            return Span(night.run, RENAMED, change)
        return Span(night.run, FIRST if night.compared == "" else UNTOLD, change)

    def _gone(
        self, id: str, span: Span, night: Night, here: Mapping[str, CommonCause], change: CauseChange | None
    ) -> Span:
        """One that a run does not have: fixed if it says so, and tried all subjects that had it."""
        if change is not None and change.status == FIXED and self.subjects[id] <= {*night.subjects}:
            return replace(span, last=night.run, end=FIXED)
        findings = {*[*self.records[id].values()][-1].findings}
        sharing = {other: findings & {*common.findings} for other, common in here.items()}
        if findings and set().union(*sharing.values()) == findings:
            return replace(span, last=night.run, end=RENAMED, now=max(sharing, key=lambda other: len(sharing[other])))
        return span


def _over_all(records: Sequence[CommonCause]) -> CommonCause:
    """The newest of these, with the ops, subjects, formats and largest figures of all."""
    newest = records[-1]
    older = [newest, *reversed(records[:-1])]
    worst = WorstFigures(
        max((each.worst.ulp for each in older), key=_size), max((each.worst.excess for each in older), key=_size)
    )
    return replace(
        newest,
        ops=tuple(dict.fromkeys(op for each in older for op in each.ops)),
        subjects=tuple(dict.fromkeys(subject for each in older for subject in each.subjects)),
        formats=tuple(dict.fromkeys(fmt for each in older for fmt in each.formats)),
        worst=worst,
    )


def _size(figure: float) -> float:
    return inf if isnan(figure) else figure
