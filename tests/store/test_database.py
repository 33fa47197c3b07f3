"""A history that an older opfuzz wrote: read as it is, brought up to date when a run is added, and none of it lost."""

from __future__ import annotations

import json
import sqlite3

import pytest
from made_nights import name
from runs_of_rows import fault, run_of

from opfuzz.store.history import NAME, add, ops, remembered, trends
from opfuzz.store.lives import past

# Schema 1 as it was, and a run in it.
FIRST = """
create table runs (
    run text primary key, at real not null, started text not null, seed text not null, command text not null,
    subjects text not null, versions text not null, machine text not null, profile text, planned integer,
    cases integer not null, elements integer not null, seconds real not null, interrupted integer not null
);
create table rows (
    run text not null references runs, op text not null, subject text not null, format text not null,
    cases integer not null, elements integer not null, max_ulp real, p99_ulp real, mean_ulp real, excess real,
    conditioned real, bits real, verdict text not null, severity text not null, finding text,
    primary key (op, subject, format, run)
) without rowid;
insert into runs values ('20251231-021700-s0', 1767147420.0, '2025-12-31T02:17:00+00:00', '0', '["opfuzz", "run"]',
    '["torch:cpu"]', '{"opfuzz": "0.1", "torch": "2.11"}', '{"python": "3.11"}', null, 6, 6, 600, 1.5, 0);
insert into rows values ('20251231-021700-s0', 'gelu', 'torch:cpu', 'float32', 6, 600, 3.5, 2.0, 1.0, 0.5, 1.0, 23.0,
    'stable', 'clean', null);
pragma user_version = 1;
"""
OLDEST = "20251231-021700-s0"


@pytest.fixture
def path(tmp_path):
    with sqlite3.connect(tmp_path / NAME) as db:
        db.executescript(FIRST)
    db.close()
    return tmp_path / NAME


def version(path):
    with sqlite3.connect(path) as db:
        (found,) = db.execute("pragma user_version").fetchone()
    db.close()
    return found


def test_it_is_read_as_it_is(path):
    before = path.read_bytes()
    (trend,) = trends(path)
    assert [(p.run, p.max_ulp, p.core.numbers) for p in trend.points] == [(OLDEST, 3.5, ())]
    assert ops(path) == ["gelu"]
    assert dict(remembered(path).causes) == {}
    (night,) = past(path).nights
    assert (night.run, night.at, night.compared) == (OLDEST, 1767147420.0, None)
    assert path.read_bytes() == before, "a reader writes nothing"


def test_it_is_brought_up_to_date_when_a_run_is_added(path):
    add(path, run_of(fault(), name=name(1), specs={"gelu": "1"}))
    assert version(path) == 2
    (trend,) = trends(path)
    assert [(p.run, p.max_ulp, p.core.numbers) for p in trend.points] == [(OLDEST, 3.5, ()), (name(1), 100.0, (0,))]
    with sqlite3.connect(path) as db:
        (told,) = db.execute("select core from rows where run = ?", (name(1),)).fetchone()
    db.close()
    assert json.loads(told) == {"numbers": [0], "verdicts": ["wrong"], "ulps": [100.0], "excesses": [50.0]}
