"""The history: a row for each run, op, subject and format, written by several runs at once, made again at will."""

from __future__ import annotations

import json
import math
import sqlite3
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from runs_of_rows import VERSIONS, clean, fault, run_of

from opfuzz.core.errors import OpfuzzError
from opfuzz.report.causes import describe
from opfuzz.store import history
from opfuzz.store.history import NAME, add, ops, rebuild, trends
from opfuzz.store.read import read_run
from opfuzz.store.write import write_run

ROOT = Path(__file__).parents[2]


def day(number, *results, **fields):
    return run_of(*results, name=f"202601{number:02}-000000-s0", **fields)


def rows(path):
    """All that the database holds, by another reader than the history's own."""
    with sqlite3.connect(path) as db:
        found = [
            db.execute(f"select * from {table} order by 1, 2, 3, 4").fetchall() for table in ("runs", "rows", "changes")
        ]
    db.close()
    return found


@pytest.fixture
def reports(tmp_path):
    """Three finished runs, on disk and in the history."""
    for number, results in enumerate(((fault(),), (clean(), clean(op="relu")), (fault(math.inf), clean(op="relu"))), 1):
        run = day(number, *results, seed=2**64 - number)
        (tmp_path / run.run).mkdir()
        write_run(run, tmp_path / run.run, describe)
        add(tmp_path / NAME, run)
    return tmp_path


def test_a_trend_is_what_the_runs_say(reports):
    gelu, relu = trends(reports / NAME)
    assert (gelu.op, gelu.subject, gelu.format) == ("gelu", "torch:cpu", "float32")
    assert [(p.run[6:8], p.verdict, p.max_ulp, p.excess, p.cases, p.severity) for p in gelu.points] == [
        ("01", "wrong", 100.0, 50.0, 1, "fault"),
        ("02", "exact", 0.5, 0.4, 1, "clean"),
        ("03", "wrong", math.inf, 50.0, 1, "fault"),
    ]
    assert gelu.points[0].seed == 2**64 - 1
    assert gelu.points[0].versions == VERSIONS
    assert [p.run[6:8] for p in relu.points] == ["02", "03"]
    assert ops(reports / NAME) == ["gelu", "relu"]


def test_only_what_is_asked_for(reports):
    path = reports / NAME
    add(path, day(4, clean(subject="mlx:cpu", format="float16", op="relu")))
    assert [(t.op, t.subject) for t in trends(path, "relu")] == [("relu", "mlx:cpu"), ("relu", "torch:cpu")]
    assert [t.op for t in trends(path, subjects=("torch:cpu",))] == ["gelu", "relu"]
    assert [t.subject for t in trends(path, formats=("float16", "bfloat16"))] == ["mlx:cpu"]
    assert [len(t.points) for t in trends(path, "gelu", limit=2)] == [2], "of the runs that have the op"
    assert trends(path, "no'; drop table rows; --") == []


def test_runs_are_in_the_order_of_time_wherever_they_were(tmp_path):
    path = tmp_path / NAME
    add(path, run_of(clean(), name="20260101-120000-s0", started="2026-01-01T12:00:00+05:00"))
    add(path, run_of(fault(), name="20260101-090000-s0", started="2026-01-01T09:00:00+00:00"))
    (trend,) = trends(path)
    assert [p.verdict for p in trend.points] == ["exact", "wrong"]


def test_a_run_is_taken_in_once(reports):
    before = rows(reports / NAME)
    add(reports / NAME, day(3, fault(math.inf), clean(op="relu"), seed=2**64 - 3))
    assert rows(reports / NAME) == before


def test_rebuilding_gives_the_same(reports):
    before = rows(reports / NAME)
    (reports / NAME).unlink()
    assert rebuild(reports / NAME) == (3, [])
    assert rows(reports / NAME) == before
    add(reports / NAME, day(9, fault()))  # of which there is no folder
    assert rebuild(reports / NAME) == (3, [])
    assert rows(reports / NAME) == before


def test_rebuilding_names_and_leaves_out_what_is_damaged(reports):
    (reports / "20260102-000000-s0" / "run.json").write_text("{}")
    count, (line,) = rebuild(reports / NAME)
    assert count == 2
    assert line.startswith(f"{reports / '20260102-000000-s0' / 'run.json'}: no run that this opfuzz can read")
    assert [len(t.points) for t in trends(reports / NAME)] == [2, 1]


def test_rebuilding_takes_only_what_a_run_named(reports):
    (reports / "example").mkdir()
    write_run(run_of(fault(op="erf"), name="20260104-000000-s0"), reports / "example", describe)
    assert rebuild(reports / NAME) == (3, [])
    assert ops(reports / NAME) == ["gelu", "relu"]


@pytest.mark.parametrize("statement", ["drop table rows; create table rows (other)", "create table runs_2 (run)"])
def test_rebuilding_replaces_whatever_tables_there_are(statement, reports):
    before = rows(reports / NAME)
    with sqlite3.connect(reports / NAME) as db:
        db.executescript(statement)
    db.close()
    assert rebuild(reports / NAME) == (3, [])
    assert rows(reports / NAME) == before
    with sqlite3.connect(reports / NAME) as db:
        assert db.execute("select name from sqlite_master where type = 'table' order by 1").fetchall() == [
            ("causes",), ("changes",), ("rows",), ("runs",),
        ]  # fmt: skip
    db.close()
    assert sorted(path.name for path in reports.iterdir() if path.is_file()) == [NAME]


@pytest.mark.parametrize(
    ("name", "value"), [("cases", 2**63), ("started", "0001-01-01T00:00:00+00:00"), ("profile", "\ud800")]
)
def test_rebuilding_is_not_blocked_by_what_no_database_holds(name, value, reports):
    place = reports / "20260102-000000-s0" / "run.json"
    place.write_text(json.dumps({**json.loads(place.read_text()), name: value}))
    count, (line,) = rebuild(reports / NAME)
    assert count == 2
    assert line.startswith(f"{place}: no run that this opfuzz can read")


def test_rebuilding_is_not_blocked_by_a_row_that_is_there_twice(reports):
    place = reports / "20260102-000000-s0" / "run.json"
    document = json.loads(place.read_text())
    place.write_text(json.dumps({**document, "ranking": document["ranking"] * 2}))
    count, (line,) = rebuild(reports / NAME)
    assert count == 2
    assert line.startswith(f"{place}: no run for a history: UNIQUE constraint failed")
    assert [[p.run[6:8] for p in trend.points] for trend in trends(reports / NAME)] == [["01", "03"], ["03"]]


def test_a_run_that_ends_while_others_are_read_is_not_lost(reports, monkeypatch):
    late = day(4, fault(op="erf"))

    def slowly(folder):
        if not (reports / late.run).exists():
            (reports / late.run).mkdir()
            write_run(late, reports / late.run, describe)
            add(reports / NAME, late)
        return read_run(folder)

    monkeypatch.setattr(history, "read_run", slowly)
    assert rebuild(reports / NAME) == (4, [])
    assert ops(reports / NAME) == ["erf", "gelu", "relu"]


def test_errors_without_a_size_come_back(tmp_path):
    run = day(1, fault())
    run = replace(run, ranking=tuple(replace(row, max_ulp=math.nan) for row in run.ranking))
    add(tmp_path / NAME, run)
    assert math.isnan(trends(tmp_path / NAME)[0].points[0].max_ulp)


@pytest.mark.parametrize(
    "contents", [b"no database, and longer than a hundred bytes" * 9, b"SQLite format 3\0" + b"\xff" * 4096]
)
def test_a_damaged_history_is_one_line_and_can_be_made_anew(contents, reports):
    path = reports / NAME
    path.write_bytes(contents)
    for use in (lambda: add(path, day(5, fault())), lambda: trends(path)):
        with pytest.raises(
            OpfuzzError, match=r"history\.sqlite: damaged: .*; opfuzz history rebuild makes it anew"
        ) as e:
            use()
        assert "\n" not in str(e.value)
    assert path.read_bytes() == contents
    assert rebuild(path) == (3, [])
    assert path.with_name(f"{NAME}.unread").read_bytes() == contents, "it may know what no folder has any more"
    assert [len(t.points) for t in trends(path)] == [3, 2]


def test_a_history_of_another_opfuzz_is_not_written_to(reports):
    path = reports / NAME
    with sqlite3.connect(path) as db:
        db.execute("pragma user_version = 7")
    db.close()
    before = rows(path)
    for use in (lambda: add(path, day(5, fault())), lambda: trends(path)):
        with pytest.raises(OpfuzzError, match=r"history of schema 7, this opfuzz has 2; opfuzz history rebuild"):
            use()
    assert rows(path) == before
    assert rebuild(path)[0] == 3


def test_a_disk_that_refuses_is_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OpfuzzError, match="the history cannot be used: "):
        add(tmp_path / "file" / NAME, day(1, fault()))
    with pytest.raises(OpfuzzError, match="no history here; opfuzz run writes one"):
        trends(tmp_path / NAME)


WRITER = """
import sys
sys.path.insert(0, "tests")
from pathlib import Path
from results import result
from runs_of_rows import run_of
from opfuzz.store.history import add
for number in range(10):
    ops = [result(0, "exact", 0.5, op=f"op{n}") for n in range(50)]
    add(Path(sys.argv[1]), run_of(*ops, name=f"202601{number + 1:02}-000000-s{sys.argv[2]}"))
"""


def test_runs_that_end_at_once_are_all_taken_in(tmp_path):
    path = tmp_path / NAME
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", WRITER, str(path), str(seed)], cwd=ROOT, stderr=subprocess.PIPE, text=True
        )
        for seed in range(4)
    ]
    assert [(writer.communicate()[1], writer.returncode) for writer in writers] == [("", 0)] * 4
    found = trends(path, limit=1000)
    assert [len(trend.points) for trend in found] == [40] * 50
    with sqlite3.connect(path) as db:
        assert db.execute("pragma journal_mode").fetchone() == ("wal",)
        assert db.execute("pragma integrity_check").fetchone() == ("ok",)
    db.close()
