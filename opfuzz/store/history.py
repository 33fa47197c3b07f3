"""The history: a row for each run, op, subject and format in SQLite. What run.json files say; it can be made again."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import datetime
from math import isnan
from pathlib import Path

from opfuzz.core.common_cause import CommonCause
from opfuzz.core.errors import OpfuzzError
from opfuzz.core.run import Row, Run
from opfuzz.core.verdicts import FAULT
from opfuzz.store.read import FILE, common_cause, dated_folders, read_run
from opfuzz.store.write import to_json

NAME = "history.sqlite"
SCHEMA = 1  # PRAGMA user_version
SECONDS = 30.0  # that a run waits for another one to write

_TABLES = """
create table if not exists runs (
    run text primary key,
    at real not null,  -- seconds since 1970
    started text not null,
    seed text not null,  -- up to 2^64, which no integer of SQLite holds
    command text not null,  -- JSON, as are all that follow up to machine
    subjects text not null,
    versions text not null,
    machine text not null,
    profile text,
    planned integer,
    cases integer not null,
    elements integer not null,
    seconds real not null,
    interrupted integer not null
);
create table if not exists rows (
    run text not null references runs,
    op text not null,
    subject text not null,
    format text not null,
    cases integer not null,
    elements integer not null,
    max_ulp real,  -- null: NaN, an error that has no size
    p99_ulp real,
    mean_ulp real,
    excess real,
    conditioned real,
    bits real,
    verdict text not null,
    severity text not null,
    finding text,
    primary key (op, subject, format, run)
) without rowid;
create table if not exists causes (
    run text not null references runs,
    id text not null,
    record text not null,  -- JSON of a CommonCause, of faults
    primary key (id, run)
) without rowid;
"""
_COLUMNS = (
    "op, subject, format, cases, elements, max_ulp, p99_ulp, mean_ulp, excess, conditioned, bits, verdict, severity, "
    "finding"
)


@dataclass(frozen=True, slots=True)
class Point:
    """One row of one run."""

    run: str
    started: str
    seed: int
    interrupted: bool
    versions: dict[str, str]
    cases: int
    max_ulp: float
    excess: float
    verdict: str
    severity: str


@dataclass(frozen=True, slots=True)
class Trend:
    """One op on one subject in one format, over runs: the oldest first."""

    op: str
    subject: str
    format: str
    points: tuple[Point, ...]


@dataclass(frozen=True, slots=True)
class KnownCause:
    """A cause of faults over runs."""

    common: CommonCause  # as the newest run that has it tells it
    first: str  # the runs that were the first and the last to have it
    last: str
    runs: int  # that have it
    is_there: bool  # whether the newest run of all has it


def add(path: Path, run: Run) -> None:
    """Take in a finished run, in place of what was known of it. Raises OpfuzzError if it cannot be written."""
    with _opened(path) as db:
        _insert(db, run)


def rebuild(path: Path) -> tuple[int, list[str]]:
    """Make the history anew from the runs in its folder: how many there are, and a line for each that cannot be read.

    Raises OpfuzzError if it cannot be written.
    """
    draft = path.with_name(f"{path.name}.new")
    _remove(draft)
    try:
        folders = dated_folders(path.parent)
        count, complaints = _take_in(draft, folders)
        _remove(path)  # a log that it left behind would be taken for one of the new file
        draft.replace(path)
    except OSError as error:
        raise OpfuzzError(f"{path}: cannot be replaced: {error.strerror}") from None
    finally:
        _remove(draft)
    # Runs that ended in the meantime are in the file that was replaced.
    late = [folder for folder in dated_folders(path.parent) if folder not in folders]
    late_count, late_complaints = _take_in(path, late) if late else (0, [])
    return count + late_count, complaints + late_complaints


def _take_in(path: Path, folders: Sequence[Path]) -> tuple[int, list[str]]:
    """How many runs could be read, and a line for each that could not."""
    count, complaints = 0, []
    with _opened(path) as db:
        for folder in folders:
            try:
                run = read_run(folder)
            except OpfuzzError as error:
                complaints.append(str(error))
                continue
            try:
                _insert(db, run)
                count += 1
            except sqlite3.IntegrityError as error:  # such as a row that it has twice
                _delete(db, run.run)
                complaints.append(f"{folder / FILE}: no run for a history: {error}")
    return count, complaints


def _remove(path: Path) -> None:
    """Take away a database, and what SQLite keeps beside it, if it is there."""
    try:
        for name in (path.name, f"{path.name}-wal", f"{path.name}-shm"):
            path.with_name(name).unlink(missing_ok=True)
    except OSError as error:
        raise OpfuzzError(f"{path}: cannot be replaced: {error.strerror}") from None


@contextmanager
def _opened(path: Path) -> Iterator[sqlite3.Connection]:
    """The database in one transaction that writes. Raises OpfuzzError for all that SQLite refuses."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with closing(sqlite3.connect(path, timeout=SECONDS, isolation_level=None)) as db:
            db.execute("pragma journal_mode = wal")  # so that readers never wait
            db.execute("begin immediate")
            try:
                _check(db, path)
                for statement in _TABLES.split(";\n"):
                    db.execute(statement)
                db.execute(f"pragma user_version = {SCHEMA}")
                yield db
            except BaseException:
                db.execute("rollback")
                raise
            db.execute("commit")
    except (sqlite3.Error, OSError) as error:
        raise _refused(path, error) from None


def _check(db: sqlite3.Connection, path: Path) -> None:
    (version,) = db.execute("pragma user_version").fetchone()
    if version not in (0, SCHEMA):
        raise OpfuzzError(
            f"{path}: history of schema {version}, this opfuzz has {SCHEMA}; opfuzz history rebuild makes it anew"
        )


def _refused(path: Path, error: Exception) -> OpfuzzError:
    if isinstance(error, sqlite3.DatabaseError) and not isinstance(error, sqlite3.OperationalError):
        return OpfuzzError(f"{path}: damaged: {error}; opfuzz history rebuild makes it anew from the runs")
    return OpfuzzError(f"{path}: the history cannot be used: {error}")


def _delete(db: sqlite3.Connection, name: str) -> None:
    db.execute("delete from rows where run = ?", (name,))
    db.execute("delete from causes where run = ?", (name,))
    db.execute("delete from runs where run = ?", (name,))


def _insert(db: sqlite3.Connection, run: Run) -> None:
    _delete(db, run.run)
    values = (
        run.run,
        datetime.fromisoformat(run.started).timestamp(),
        run.started,
        str(run.seed),
        *(json.dumps(each) for each in (run.command, run.subjects, dict(run.versions), dict(run.machine))),
        run.profile,
        run.planned,
        run.cases,
        run.elements,
        float(run.seconds),
        run.interrupted,
    )
    db.execute(f"insert into runs values ({', '.join('?' * len(values))})", values)
    db.executemany(
        f"insert into rows (run, {_COLUMNS}) values ({', '.join('?' * 15)})",
        ((run.run, *_row(row)) for row in run.ranking),
    )
    faults = [common for common in run.causes if common.severity == FAULT]
    db.executemany(
        "insert into causes values (?, ?, ?)",
        ((run.run, common.id, json.dumps(to_json(common), allow_nan=False)) for common in faults),
    )


def _row(row: Row) -> tuple[object, ...]:
    figures = (row.max_ulp, row.p99_ulp, row.mean_ulp, row.excess, row.conditioned, row.effective_bits)
    return (
        row.op,
        row.subject,
        row.format,
        row.cases,
        row.elements,
        *(None if isnan(figure) else float(figure) for figure in figures),
        row.verdict,
        row.severity,
        row.finding,
    )


def trends(
    path: Path, op: str | None = None, subjects: Sequence[str] = (), formats: Sequence[str] = (), limit: int = 20
) -> list[Trend]:
    """Rows over the newest `limit` runs, by op, subject and format; only those named, if any are.

    Raises OpfuzzError if there is no history, or none that can be read.
    """
    asked: list[str] = ["1"]
    values: list[str | int] = []
    for name, wanted in (("op", [op] if op else []), ("subject", subjects), ("format", formats)):
        if wanted:
            asked.append(f"{name} in ({', '.join('?' * len(wanted))})")
            values += wanted
    query = f"""
        with asked as (select * from rows where {" and ".join(asked)}),
            newest as (select * from runs where run in (select run from asked) order by at desc, run desc limit ?)
        select op, subject, format, run, started, seed, interrupted, versions, asked.cases, max_ulp, excess, verdict,
            severity
        from asked join newest using (run) order by op, subject, format, at, run"""
    found: dict[tuple[str, str, str], list[Point]] = {}
    try:
        with _reading(path) as db:
            for row in db.execute(query, (*values, limit)):
                found.setdefault((row["op"], row["subject"], row["format"]), []).append(_point(row))
    except ValueError as error:
        raise _refused(path, error) from None
    return [Trend(*place, tuple(points)) for place, points in found.items()]


def causes(path: Path, limit: int = 20) -> list[KnownCause]:
    """The causes of faults of the newest `limit` runs: those of the newest run first, then by when they were last seen.

    Raises OpfuzzError if there is no history, or none that can be read.
    """
    query = """
        with newest as (select run, at from runs order by at desc, run desc limit ?)
        select id, record, run from causes join newest using (run) order by at, run"""
    found: dict[str, KnownCause] = {}
    try:
        with _reading(path) as db:
            if not db.execute("select 1 from sqlite_master where name = 'causes'").fetchone():
                return []  # no run has written any yet
            order = [run for (run,) in db.execute("select run from runs order by at, run")]
            for row in db.execute(query, (limit,)):
                common = common_cause(json.loads(row["record"]), f"causes.{row['id']:.40}")
                known = found.get(row["id"])
                first, count = (known.first, known.runs) if known else (row["run"], 0)
                found[row["id"]] = KnownCause(common, first, row["run"], count + 1, row["run"] == order[-1])
    except ValueError as error:
        raise _refused(path, error) from None
    places = {run: place for place, run in enumerate(order)}
    return sorted(found.values(), key=lambda known: (-places[known.last], known.common.framework, known.common.ops))


def _point(row: sqlite3.Row) -> Point:
    return Point(
        run=row["run"],
        started=row["started"],
        seed=int(row["seed"]),
        interrupted=bool(row["interrupted"]),
        versions=json.loads(row["versions"]),
        cases=row["cases"],
        max_ulp=float("nan") if row["max_ulp"] is None else row["max_ulp"],
        excess=float("nan") if row["excess"] is None else row["excess"],
        verdict=row["verdict"],
        severity=row["severity"],
    )


def ops(path: Path) -> list[str]:
    """All that the history knows. Raises OpfuzzError if there is none, or none that can be read."""
    with _reading(path) as db:
        return [op for (op,) in db.execute("select distinct op from rows order by op")]


@contextmanager
def _reading(path: Path) -> Iterator[sqlite3.Connection]:
    if not path.is_file():
        raise OpfuzzError(f"{path}: no history here; opfuzz run writes one, opfuzz history rebuild makes it from runs")
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=SECONDS)) as db:
            db.row_factory = sqlite3.Row
            _check(db, path)
            yield db
    except sqlite3.Error as error:
        raise _refused(path, error) from None
