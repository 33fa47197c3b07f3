"""The lives of causes: what the history says of each, against nights whose content is known."""

from __future__ import annotations

import math
import sqlite3
from dataclasses import replace

import pytest
from made_nights import DAYS, NEW, OLD, at, common, compared, name, nights, write
from runs_of_rows import clean, fault, run_of

from opfuzz.core.common_cause import WorstFigures
from opfuzz.core.comparison import CauseChange, Remark
from opfuzz.core.errors import OpfuzzError
from opfuzz.report.causes import describe
from opfuzz.store.history import NAME, add, rebuild, trends
from opfuzz.store.lives import past
from opfuzz.store.write import write_run


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return write(tmp_path_factory.mktemp("nights") / NAME)


def spans(life):
    return [(span.first, span.origin, span.last, span.end) for span in life.spans]


def lives(folder, *runs, **asked):
    """Of each cause, by its id, in a history of these runs."""
    for run in runs:
        add(folder / NAME, run)
    return {life.common.id: life for life in past(folder / NAME, **asked).lives}


def night(day, *causes, before=None, changes=(), **fields):
    """A run with these causes, held against the run of another day, if there was one."""
    run = run_of(fault(), name=name(day), causes=causes, **fields)
    return run if before is None else compared(run, name(before) if before else "", *changes)


def test_each_cause_goes_from_first_seen_to_fixed(path):
    found = past(path)
    assert [n.at for n in found.nights] == [at(day) for day in DAYS]
    assert [n.interrupted for n in found.nights] == [place == 3 for place in range(1, 11)]
    old, new = found.lives
    assert (old.common.id, old.met, old.state) == (OLD, (name(1), name(2), name(4)), "unmet")
    assert spans(old) == [(name(1), "first", None, "")]
    assert (new.common.id, new.met, new.state) == (NEW, (name(8),), "fixed")
    assert spans(new) == [(name(8), "regression", name(9), "fixed")]
    assert new.said[name(8)].remark == Remark("same-case")


def test_what_is_told_of_the_newest_runs_rests_on_all(path):
    found = past(path, limit=4)
    assert [n.run for n in found.nights] == [name(day) for day in DAYS[-4:]]
    assert [life.common.id for life in found.lives] == [NEW]
    assert found.unmet == 1, "the other is known, and none of these runs met it"
    assert past(path, limit=2).lives == ()
    (old, _) = past(path, limit=8).lives
    assert (old.first, old.met) == (name(1), (name(1), name(2), name(4)))


@pytest.mark.parametrize(
    ("asked", "ids"),
    [
        ({"op": "gelu"}, [NEW]), ({"op": "exp"}, [OLD]), ({"op": "relu"}, []),
        ({"subjects": ("torch:cpu",)}, [OLD, NEW]),
        ({"subjects": ("mlx:cpu",)}, []), ({"formats": ("float32",)}, [OLD, NEW]), ({"formats": ("float16",)}, []),
    ],
)  # fmt: skip
def test_only_the_causes_that_are_asked_for(path, asked, ids):
    assert [life.common.id for life in past(path, **asked).lives] == ids


def test_the_core_comes_back(path):
    gelu = next(trend for trend in trends(path) if trend.op == "gelu")
    assert [(p.core.ulp, p.core.verdict, len(p.core.numbers)) for p in gelu.points] == [
        (100.0, "wrong", 2) if place == 7 else (0.5, "exact", 1 if place == 3 else 2) for place in range(1, 11)
    ]
    exp = next(trend for trend in trends(path) if trend.op == "exp")
    assert [math.isnan(p.core.ulp) for p in exp.points] == [place == 4 for place in range(1, 11)]


def test_rebuilding_makes_the_same_from_the_runs(path, tmp_path):
    for run in nights():
        (tmp_path / run.run).mkdir()
        write_run(run, tmp_path / run.run, describe)
    assert rebuild(tmp_path / NAME) == (10, [])
    assert past(tmp_path / NAME) == past(path)


def test_one_that_comes_back_has_two_lines(tmp_path):
    one = common(OLD)
    found = lives(
        tmp_path, night(1, one, before=0), night(2, before=1, changes=[CauseChange("fixed", one)]),
        night(3, one, before=2), night(4, one, before=3, changes=[CauseChange("wider", one, ("erf",))]),
    )[OLD]  # fmt: skip
    assert spans(found) == [(name(1), "first", name(2), "fixed"), (name(3), "back", None, "")]
    assert found.state == "there"
    assert found.said[name(4)].ops == ("erf",)


def test_one_that_is_told_by_another_name_goes_on_there(tmp_path):
    found = lives(tmp_path, night(1, common(OLD), before=0), night(2, replace(common(OLD), id=NEW), before=1))
    assert spans(found[OLD]) == [(name(1), "first", name(2), "renamed")]
    assert found[OLD].spans[0].now == NEW
    assert spans(found[NEW]) == [(name(2), "renamed", None, "")]


def test_a_fix_on_one_device_says_nothing_of_the_other(tmp_path):
    both = common(OLD, subjects=("torch:cpu", "torch:mps"))
    fixed = CauseChange("fixed", both)
    two = ("torch:cpu", "torch:mps")
    found = lives(tmp_path, night(1, both, before=0, subjects=two), night(2, before=1, changes=[fixed]))[OLD]
    assert (found.spans[0].end, found.state) == ("", "unmet")
    assert lives(tmp_path, night(3, before=1, changes=[fixed], subjects=two))[OLD].spans[0].last == name(3)


def test_a_run_of_another_framework_leaves_a_cause_where_it_is(tmp_path):
    found = lives(tmp_path, night(1, common(OLD)), night(2, subjects=("mlx:cpu",)))[OLD]
    assert (found.state, found.spans[0].origin) == ("there", "untold"), "it was held against nothing"


def test_the_worst_is_that_of_all_runs(tmp_path):
    figures = (WorstFigures(3.0, 2.0), WorstFigures(math.nan, 9.0), WorstFigures(1.0, 1.0))
    made = (
        night(day, common(OLD, worst=worst, ops=(f"op{day}",), formats=(f"float{day}",)))
        for day, worst in enumerate(figures, 1)
    )
    found = lives(tmp_path, *made)[OLD]
    assert (math.isnan(found.common.worst.ulp), found.common.worst.excess) == (True, 9.0)
    assert found.common.ops == ("op3", "op2", "op1"), "those of the newest first"


@pytest.mark.parametrize(
    "statement",
    [
        "update runs set subjects = '5'", "update runs set at = 1e300",
        "update runs set versions = '[]'", "update causes set record = '{'",
        "update causes set record = '[1]'", "update changes set record = '{}'", "update rows set core = '{}'",
        """update rows set core = '{"numbers": [0], "verdicts": ["no"], "ulps": [1], "excesses": [1]}'""",
    ],
)  # fmt: skip
def test_a_damaged_record_is_one_line_and_nothing_is_written(statement, tmp_path):
    for run in (r for r in nights() if r.run in (name(7), name(8))):
        add(tmp_path / NAME, run)
    with sqlite3.connect(tmp_path / NAME) as db:
        db.execute(statement)
    db.close()
    before = (tmp_path / NAME).read_bytes()
    with pytest.raises(
        OpfuzzError, match=r"^[^\n]*history\.sqlite: damaged: [^\n]*; opfuzz history rebuild makes it anew"
    ):
        trends(tmp_path / NAME), past(tmp_path / NAME)
    assert (tmp_path / NAME).read_bytes() == before


def test_a_history_of_one_clean_run_knows_no_cause(tmp_path):
    add(tmp_path / NAME, run_of(clean(), name=name(1)))
    found = past(tmp_path / NAME)
    assert (len(found.nights), found.lives, found.unmet) == (1, (), 0)
