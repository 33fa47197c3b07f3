"""The file of the history: its tables, one transaction that writes, and an older schema brought up to date."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from opfuzz.core.errors import OpfuzzError

NAME = "history.sqlite"
SCHEMA = 2  # PRAGMA user_version
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
    interrupted integer not null,
    compared text  -- the earlier run that it was held against, '' where there was none; null: not told
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
    spec text,  -- digest of the op's
    core text,  -- JSON of a Core; null: an older opfuzz wrote none
    primary key (op, subject, format, run)
) without rowid;
create table if not exists causes (
    run text not null references runs,
    id text not null,
    record text not null,  -- JSON of a CommonCause, of faults
    primary key (id, run)
) without rowid;
create table if not exists changes (
    run text not null references runs,
    id text not null,  -- of a cause
    status text not null,
    record text not null,  -- JSON of the CauseChange: what the run said of it
    primary key (id, run)
) without rowid;
"""
_SINCE_1 = (
    "alter table runs add column compared text",
    "alter table rows add column spec text",
    "alter table rows add column core text",
)


@contextmanager
def writing(path: Path) -> Iterator[sqlite3.Connection]:
    """The database in one transaction that writes. Raises OpfuzzError for all that SQLite refuses."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with closing(sqlite3.connect(path, timeout=SECONDS, isolation_level=None)) as db:
            db.execute("pragma journal_mode = wal")  # so that readers never wait
            db.execute("begin immediate")
            try:
                _bring_up_to_date(db, _version(db, path))
                yield db
            except BaseException:
                db.execute("rollback")
                raise
            db.execute("commit")
    except (sqlite3.Error, OSError) as error:
        raise refused(path, error) from None


@contextmanager
def reading(path: Path) -> Iterator[sqlite3.Connection]:
    """The database, which is not written to: one of an older schema is brought up to date in memory.

    Raises OpfuzzError if there is none, and for all that SQLite or a record in it refuses.
    """
    if not path.is_file():
        raise OpfuzzError(f"{path}: no history here; opfuzz run writes one, opfuzz history rebuild makes it from runs")
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=SECONDS)) as db:
            version = _version(db, path)
            if version == SCHEMA:
                db.row_factory = sqlite3.Row
                yield db
                return
            with closing(sqlite3.connect(":memory:", isolation_level=None)) as copy:
                db.backup(copy)
                _bring_up_to_date(copy, version)
                copy.row_factory = sqlite3.Row
                yield copy
    except (sqlite3.Error, ValueError, TypeError, AttributeError) as error:
        raise refused(path, error) from None


def refused(path: Path, error: Exception) -> OpfuzzError:
    """One line on a history that cannot be used, with the remedy where there is one."""
    is_missing = str(error).startswith(("no such table", "no such column"))
    if isinstance(error, sqlite3.OperationalError | OSError) and not is_missing:
        return OpfuzzError(f"{path}: the history cannot be used: {error}")
    return OpfuzzError(f"{path}: damaged: {error}; opfuzz history rebuild makes it anew from the runs")


def _version(db: sqlite3.Connection, path: Path) -> int:
    (version,) = db.execute("pragma user_version").fetchone()
    if version not in range(SCHEMA + 1):
        raise OpfuzzError(
            f"{path}: history of schema {version}, this opfuzz has {SCHEMA}; opfuzz history rebuild makes it anew"
        )
    return int(version)


def _bring_up_to_date(db: sqlite3.Connection, version: int) -> None:
    """Tables that are not there, and the columns that an older schema lacks: null, for nobody told."""
    for statement in (*(_SINCE_1 if version == 1 else ()), *_TABLES.split(";\n"), f"pragma user_version = {SCHEMA}"):
        db.execute(statement)
