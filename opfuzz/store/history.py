"""The history: a row for each run, op, subject and format in SQLite. What run.json files say; it can be made again."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from math import isnan
from pathlib import Path

from opfuzz.core.comparison import FIXED, REGRESSION
from opfuzz.core.errors import OpfuzzError
from opfuzz.core.files.strict_json import number
from opfuzz.core.run import Core, Row, Run
from opfuzz.core.verdicts import FAULT, SEVERITY
from opfuzz.store.cause_changes import State, state
from opfuzz.store.compare import KnownBefore
from opfuzz.store.database import NAME, reading, writing
from opfuzz.store.read import FILE, dated_folders, read_run
from opfuzz.store.write import to_json

__all__ = ["NAME", "Point", "Trend", "add", "ops", "rebuild", "remembered", "trends"]

_COLUMNS = (
    "op, subject, format, cases, elements, max_ulp, p99_ulp, mean_ulp, excess, conditioned, bits, verdict, severity, "
    "finding, spec, core"
)


@dataclass(frozen=True, slots=True)
class Point:
    """One row of one run."""

    run: str
    started: str
    seed: int
    interrupted: bool
    versions: Mapping[str, str]
    cases: int
    max_ulp: float
    excess: float
    verdict: str
    severity: str
    core: Core  # what came of the cases that every run makes; empty: an older opfuzz did not tell, or none was made
    judge: tuple[str, str, str]  # digest of the spec, profile, version of opfuzz: equal numbers are equal cases

    def common(self, later: Point) -> tuple[Core, Core] | None:
        """What came, here and later, of the cases that both runs made; None where it is not known of any."""
        numbers = {*self.core.numbers} & {*later.core.numbers} if self.judge == later.judge else set()
        return (self.core.of(numbers), later.core.of(numbers)) if numbers else None


@dataclass(frozen=True, slots=True)
class Trend:
    """One op on one subject in one format, over runs: the oldest first."""

    op: str
    subject: str
    format: str
    points: tuple[Point, ...]


def add(path: Path, run: Run) -> None:
    """Take in a finished run, in place of what was known of it. Raises OpfuzzError if it cannot be written."""
    with writing(path) as db:
        _insert(db, run)


def rebuild(path: Path) -> tuple[int, list[str]]:
    """Make the history anew from the runs in its folder: how many there are, and a line for each that cannot be read.

    One that could not be read is kept beside it, for it may know runs of which there is no folder any more.

    Raises OpfuzzError if it cannot be written.
    """
    draft = path.with_name(f"{path.name}.new")
    _remove(draft)
    try:
        folders = dated_folders(path.parent)
        count, complaints = _take_in(draft, folders)
        _set_aside(path)
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


def _set_aside(path: Path) -> None:
    """Give a history that cannot be read another name."""
    try:
        with reading(path) as db:
            db.execute("select run from runs").fetchall()
    except OpfuzzError:
        if path.is_file():
            path.replace(path.with_name(f"{path.name}.unread"))


def _take_in(path: Path, folders: Sequence[Path]) -> tuple[int, list[str]]:
    """How many runs could be read, and a line for each that could not."""
    count, complaints = 0, []
    with writing(path) as db:
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


def _delete(db: sqlite3.Connection, name: str) -> None:
    for table in ("rows", "causes", "changes", "runs"):
        db.execute(f"delete from {table} where run = ?", (name,))


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
        None if run.comparison is None else run.comparison.before,
    )
    db.execute(f"insert into runs values ({', '.join('?' * len(values))})", values)
    db.executemany(
        f"insert into rows (run, {_COLUMNS}) values ({', '.join('?' * 17)})",
        ((run.run, *_row(row), run.specs.get(row.op), _json(row.core)) for row in run.ranking),
    )
    faults = [common for common in run.causes if common.severity == FAULT]
    db.executemany(
        "insert into causes values (?, ?, ?)",
        ((run.run, common.id, _json(common)) for common in faults),
    )
    said = run.comparison.causes if run.comparison is not None else ()
    db.executemany(
        "insert into changes values (?, ?, ?, ?)",
        ((run.run, change.common.id, change.status, _json(change)) for change in said),
    )


def _json(record: object) -> str:
    return json.dumps(to_json(record), allow_nan=False)


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
    newest, values = newest_with(op, subjects, formats, limit)
    query = f"""{newest}
        select op, subject, format, run, started, seed, interrupted, versions, profile, asked.cases, max_ulp, excess,
            verdict, severity, spec, core
        from asked join newest using (run) order by op, subject, format, at, run"""
    found: dict[tuple[str, str, str], list[Point]] = {}
    with reading(path) as db:
        for row in db.execute(query, values):
            place = (row["op"], row["subject"], row["format"])
            if not all(isinstance(each, str) for each in place):
                raise ValueError(f"{place!r:.60} is no row of a ranking")
            found.setdefault(place, []).append(_point(row))
    return [Trend(*place, tuple(points)) for place, points in found.items()]


def newest_with(
    op: str | None, subjects: Sequence[str], formats: Sequence[str], limit: int
) -> tuple[str, tuple[str | int, ...]]:
    """The beginning of a query, with its values: the rows that are `asked` for, and the `newest` runs that have any."""
    asked: list[str] = ["1"]
    values: list[str | int] = []
    for name, wanted in (("op", [op] if op else []), ("subject", subjects), ("format", formats)):
        if wanted:
            asked.append(f"{name} in ({', '.join('?' * len(wanted))})")
            values += wanted
    query = f"""
        with asked as (select * from rows where {" and ".join(asked)}),
            newest as (select * from runs where run in (select run from asked) order by at desc, run desc limit ?)"""
    return query, (*values, limit)


def texts(text: str) -> Mapping[str, str]:
    """The object of texts that JSON holds. Raises ValueError if it is none."""
    found = json.loads(text)
    if not isinstance(found, dict) or not all(isinstance(each, str) for each in found.values()):
        raise ValueError(f"{text:.40} is no object of texts")
    return found


def names(text: str) -> tuple[str, ...]:
    """The list of texts that JSON holds. Raises ValueError if it is none."""
    found = json.loads(text)
    if not isinstance(found, list) or not all(isinstance(each, str) for each in found):
        raise ValueError(f"{text:.40} is no list of texts")
    return tuple(found)


def remembered(path: Path, before: str = "", limit: int = 100) -> KnownBefore:
    """What the newest `limit` finished runs know: causes that are not fixed, and what was tried with which software.

    Only of runs whose names, which begin with the time, come `before` another's, if that is given. Nothing, where there
    is no history. Raises OpfuzzError for one that cannot be read.
    """
    if not path.is_file():
        return KnownBefore()
    tried, causes = dict[State, dict[tuple[str, str], str]](), dict[str, str]()
    finished = "select run, subjects, versions from runs where not interrupted and (? = '' or run < ?)"
    with reading(path) as db:
        newest = [*db.execute(f"{finished} order by at desc, run desc limit ?", (before, before, limit))]
        for run, subjects, versions in reversed(newest):
            told = texts(versions)
            own: dict[str, list[tuple[str, str]]] = {text.partition(":")[0]: [] for text in names(subjects)}
            for op, subject, format in db.execute("select op, subject, format from rows where run = ?", (run,)):
                own.get(subject.partition(":")[0], []).append((op, format))
            # Software that brought something worse vouches for nothing.
            is_bad = db.execute("select 1 from changes where run = ? and status = ?", (run, REGRESSION)).fetchone()
            for framework, pairs in () if is_bad else own.items():
                tried.setdefault(state(told, framework), {}).update(dict.fromkeys(pairs, run))
            for (id,) in db.execute("select id from causes where run = ?", (run,)):
                causes.setdefault(id, run)
            for (id,) in db.execute("select id from changes where run = ? and status = ?", (run, FIXED)):
                causes.pop(id, None)
    return KnownBefore(causes=causes, software=tried)


def _point(row: sqlite3.Row) -> Point:
    versions = texts(row["versions"])
    return Point(
        run=row["run"],
        started=row["started"],
        seed=int(row["seed"]),
        interrupted=bool(row["interrupted"]),
        versions=versions,
        cases=row["cases"],
        max_ulp=_figure(row["max_ulp"]),
        excess=_figure(row["excess"]),
        verdict=row["verdict"],
        severity=row["severity"],
        core=Core() if row["core"] is None else _core(row["core"]),
        judge=(row["spec"] or "", row["profile"] or "", versions.get("opfuzz", "")),
    )


def _figure(value: object) -> float:
    """A figure; null is NaN. Raises ValueError if it is none."""
    if value is None:
        return float("nan")
    if not isinstance(value, int | float):
        raise ValueError(f"{value!r:.40} is no figure")
    return float(value)


def _core(text: str) -> Core:
    """The core that JSON holds, read by hand: there are thousands. Raises ValueError if it is none."""
    found = json.loads(text)
    try:
        numbers, verdicts = tuple(found["numbers"]), tuple(found["verdicts"])
        figures = [tuple(map(number, found[name])) for name in ("ulps", "excesses")]
    except (KeyError, TypeError) as error:
        raise ValueError(f"{text:.40} is no core: {error!r}") from None
    if {len(numbers)} != {len(each) for each in (verdicts, *figures)} or not SEVERITY.keys() >= {*verdicts}:
        raise ValueError(f"{text:.40} is no core")
    return Core(numbers, verdicts, *figures)


def ops(path: Path) -> list[str]:
    """All that the history knows. Raises OpfuzzError if there is none, or none that can be read."""
    with reading(path) as db:
        return [op for (op,) in db.execute("select distinct op from rows order by op")]
