"""One run against an earlier one: what is new, worse, better, fixed or gone, and what only seems so."""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import date

import pytest
from results import result
from runs_of_rows import MACHINE, VERSIONS, clean, fault, run_of

from opfuzz.core.comparison import Accepted
from opfuzz.core.findings import Standing, finding_id
from opfuzz.core.relation import Relation
from opfuzz.report.causes import describe
from opfuzz.report.run.changes import word_remark, word_shift
from opfuzz.store.baseline import (
    CHANCE,
    SLIGHT,
    Earlier,
    compare,
    counting,
    latest_like,
    with_accepted,
    with_comparison,
)
from opfuzz.store.write import write_run

LATER = "20260201-142530-s0"
SIGNATURE = ("gelu", "torch:cpu", "float32", "wrong", "reference")
ID = finding_id(SIGNATURE)


def later(*results, **fields):
    return run_of(*results, name=LATER, **fields)


def told(comparison):
    """Status and op of all that changed."""
    return [(c.status, c.op) for c in comparison.findings], [(s.status, s.op) for s in comparison.rows]


def test_equal_runs_differ_in_nothing():
    comparison = compare(run_of(fault(), clean(op="relu")), later(fault(), clean(op="relu")))
    assert told(comparison) == ([("still", "gelu")], [])
    assert (comparison.before, comparison.after, comparison.same) == ("20260131-142530-s0", LATER, 2)
    assert (comparison.differ, dict(comparison.versions)) == ("", {})


def test_a_fault_that_came_with_a_version():
    now = later(fault(), versions={**VERSIONS, "torch": "2.13", "mlx": "1"}, machine={**MACHINE, "cores": "8"})
    comparison = compare(run_of(clean()), now)
    assert told(comparison) == ([("new", "gelu")], [("worse", "gelu")])
    assert dict(comparison.versions) == {"torch": ("2.12", "2.13")}
    (change,) = comparison.findings
    assert (change.id, word_remark(change.remark)) == (ID, "")
    (shift,) = comparison.rows
    assert (shift.verdicts, word_shift(shift)) == (("exact", "wrong"), "exact then, wrong now")
    assert comparison.worse() == (), "the new finding says it already"


def test_a_machine_is_a_version():
    comparison = compare(run_of(clean()), later(clean(), machine={**MACHINE, "processor": "y"}))
    assert dict(comparison.versions) == {"processor": ("x", "y")}


def test_a_fault_that_went():
    comparison = compare(run_of(fault()), later(clean()))
    assert told(comparison) == ([("fixed", "gelu")], [("better", "gelu")])


def test_what_is_not_tried_is_gone_not_fixed():
    comparison = compare(run_of(fault(), fault(op="erf")), later(clean(op="relu"), result(0, "unsupported", op="erf")))
    assert told(comparison)[0] == [("gone", "erf"), ("gone", "gelu")]
    assert [word_remark(c.remark) for c in comparison.findings] == [
        "not supported any more: reason 0",
        "not tried any more",
    ]


@pytest.mark.parametrize(
    ("factor", "status"), [(1.0, None), (SLIGHT * 0.99, None), (SLIGHT * 1.01, "worse"), (0.5, "better")]
)
@pytest.mark.parametrize("figure", ["ulp", "excess"])
def test_on_the_same_cases_a_changed_figure_is_a_changed_library(factor, status, figure):
    figures = {"ulp": 100.0, "excess": 50.0}
    comparison = compare(run_of(fault(**figures)), later(fault(**figures | {figure: figures[figure] * factor})))
    assert [shift.status for shift in comparison.rows] == ([] if status is None else [status])
    assert comparison.worse() == (comparison.rows if status == "worse" else ())


DIFFERENT = [
    ({"seed": 1}, "seed 0 then, 1 now"),
    ({"planned": 7}, "6 of each op then, 7 now"),
    ({"planned": None}, "as many as time allowed; --cases makes them the same"),
    ({"profile": "decoder"}, "profile none then, decoder now"),
    ({"specs": {"gelu": "b", "erf": "c", "sum": "d"}}, "the spec of gelu changed"),
    ({"interrupted": True}, "the later run was interrupted"),
    ({"versions": {**VERSIONS, "opfuzz": "0.2"}}, "opfuzz itself changed"),
]


@pytest.mark.parametrize(("fields", "words"), DIFFERENT)
def test_on_other_cases_nothing_is_certain(fields, words):
    before = run_of(clean(), fault(op="erf"), specs={"gelu": "a", "erf": "c"})
    comparison = compare(before, later(fault(), clean(op="erf"), **fields))
    assert comparison.differ == words
    new, unseen = comparison.findings
    assert (new.status, word_remark(new.remark)) == ("new", f"not tried before, or new: the cases differ ({words})")
    assert unseen.status == "unseen"
    assert word_remark(unseen.remark) == (
        f"fixed, or not tried: the cases differ ({words}), and its call was not made again"
    )


def test_on_other_cases_figures_differ_by_chance():
    before = run_of(fault(excess=50.0), clean(op="relu"))
    by_chance = later(fault(ulp=1e9, excess=50.0 * CHANCE * 0.99), clean(0.9, 0.9, op="relu"), seed=1)
    assert told(compare(before, by_chance)) == ([("still", "gelu")], [])
    beyond = later(fault(excess=50.0 * CHANCE * 1.01), clean(op="relu"), seed=1)
    assert told(compare(before, beyond)) == ([("still", "gelu")], [("worse", "gelu")])


def test_on_other_cases_a_row_is_not_better_because_nothing_was_seen():
    notes = result(0, "normwise", 9.0, op="sum")
    before = run_of(fault(), notes, clean(op="dot"))
    now = later(clean(), clean(op="sum"), result(0, "normwise", 9.0, op="dot"), seed=1)
    assert compare(before, now).rows == ()
    fixed = Standing(ID, *SIGNATURE[:4], "exact", "fixed", is_new=True)
    assert told(compare(before, replace(now, replayed=(fixed,))))[1] == [("better", "gelu")]


def test_a_call_that_was_made_again_is_certain_on_other_cases():
    place = SIGNATURE[:4]
    fixed = Standing(ID, *place, "exact", "fixed", is_new=True)
    comparison = compare(run_of(fault()), later(clean(), seed=1, replayed=(fixed,)))
    assert [(c.status, word_remark(c.remark)) for c in comparison.findings] == [("fixed", "its call was made again")]
    lost = Standing(ID, *place, "", "not replayed", why="gelu.yaml has changed since")
    comparison = compare(run_of(fault()), later(clean(), seed=1, replayed=(lost,)))
    (change,) = comparison.findings
    assert change.status == "unseen"
    assert word_remark(change.remark).endswith("and its call was not made again: gelu.yaml has changed since")


@pytest.mark.parametrize(
    ("status", "words"),
    [
        ("back", "back again: it was fixed, and a run before that had it"),
        ("open", "not in the earlier run, but a known fault of another"),
    ],
)
def test_a_new_finding_that_another_run_knew(status, words):
    known = Standing(ID, *SIGNATURE[:4], "wrong", status)
    comparison = compare(run_of(clean()), later(fault(), replayed=(known,)))
    assert [(c.status, word_remark(c.remark)) for c in comparison.findings] == [("new", words)]


def test_another_promise_is_another_finding_on_the_same_cases_only():
    before, now = run_of(fault()), later(fault(relation=Relation("rows", "batch")))
    assert told(compare(before, now))[0] == [("new", "gelu"), ("fixed", "gelu")]
    loose = compare(before, later(fault(relation=Relation("rows", "batch")), seed=1))
    assert [(c.status, word_remark(c.remark)) for c in loose.findings] == [("still", "now shown by: rows of batch")]


def test_what_comes_and_goes_is_not_fixed():
    comparison = compare(run_of(result(0, "unstable", 1.0)), later(clean()))
    assert [c.status for c in comparison.findings] == ["unseen"]


def test_an_op_that_was_not_tried_before():
    comparison = compare(run_of(clean(op="relu")), later(fault(), clean(op="relu")))
    assert [(c.status, word_remark(c.remark)) for c in comparison.findings] == [
        ("new", "not tried before: the earlier run has no such row")
    ]


@pytest.mark.parametrize(("then", "now", "changes"), [(50.0, math.nan, ["worse"]), (math.nan, math.inf, [])])
def test_an_error_without_a_size_is_the_largest(then, now, changes):
    before, after = run_of(fault()), later(fault())
    before = replace(before, ranking=tuple(replace(row, excess=then) for row in before.ranking))
    after = replace(after, ranking=tuple(replace(row, excess=now) for row in after.ranking))
    assert [shift.status for shift in compare(before, after).rows] == changes


def test_without_an_earlier_run_all_is_new():
    comparison = compare(None, later(fault()))
    assert (comparison.before, told(comparison)) == ("", ([("new", "gelu")], []))


def test_the_most_important_comes_first():
    notes = result(0, "normwise", 1.0, op="sum"), result(0, "crash", op="zeta")
    comparison = compare(run_of(fault(op="erf")), later(fault(), *notes, clean(op="erf")))
    assert [(c.status, c.op) for c in comparison.findings] == [
        ("new", "zeta"), ("new", "gelu"), ("new", "sum"), ("fixed", "erf"),
    ]  # fmt: skip


def entry(**fields):
    return Accepted(**dict(zip(("op", "subject", "format", "verdict", "relation"), SIGNATURE, strict=True)) | {
        "id": ID, "reason": "known", "date": "2026-01-01", **fields,
    })  # fmt: skip


TODAY = date(2026, 2, 1)


def test_a_new_note_or_accepted_fault_does_not_hide_a_worse_row():
    note = result(1, "normwise", 9.0)
    comparison = compare(run_of(fault()), later(fault(excess=500.0), note))
    assert told(comparison)[0] == [("new", "gelu"), ("still", "gelu")]
    assert comparison.worse() == comparison.rows != ()
    assert counting(replace(later(fault(excess=500.0), note), comparison=comparison)) == [ID]
    other = result(1, "unstable", 9.0)
    comparison = compare(run_of(fault()), later(fault(excess=500.0), other))
    (new,) = [change for change in comparison.findings if change.status == "new"]
    assert (new.severity, comparison.worse()) == ("fault", ())
    assert comparison.worse({new.id}) == comparison.rows != ()


def test_what_was_not_tried_before_explains_itself():
    before, not_tried = run_of(clean(op="relu")), compare(run_of(clean(op="relu")), later(fault(), clean(op="relu")))
    assert not not_tried.is_unexplained
    assert compare(run_of(clean()), later(fault())).is_unexplained
    assert not compare(run_of(fault(), clean(op="relu")), later(clean(op="relu"))).is_unexplained, "gone"
    assert counting(with_comparison(later(fault(), clean(op="relu")), before)) == [ID], "no earlier run has it"


# before, after, failing verdicts, accepted, what counts
COUNTED = [
    ((clean(),), (fault(),), (), (), [ID]),
    ((fault(),), (fault(),), (), (), []),
    ((fault(),), (fault(excess=500.0),), (), (), [ID]),
    ((fault(),), (clean(),), (), (), []),
    ((clean(),), (result(0, "normwise", 9.0),), (), (), []),
    ((clean(),), (clean(9.0, 2.0),), (), (), []),
    ((clean(),), (fault(),), ("special",), (), []),
    ((clean(),), (fault(),), (), (entry(),), []),
    ((fault(),), (fault(excess=500.0),), (), (entry(),), []),
    ((clean(),), (fault(),), (), (entry(until="2026-02-01"),), []),
    ((clean(),), (fault(),), (), (entry(until="2026-01-31"),), [ID]),
    (None, (fault(),), (), (), [ID]),
]  # fmt: skip


@pytest.mark.parametrize(("before", "after", "failing", "entries", "counted"), COUNTED)
def test_what_makes_a_run_fail(before, after, failing, entries, counted):
    run = with_accepted(later(*after), entries, TODAY)
    assert counting(with_comparison(run, None if before is None else run_of(*before)), failing) == counted


def test_without_a_comparison_every_fault_counts():
    run = later(fault(), fault(op="erf"), result(0, "normwise", 9.0, op="sum"))
    assert len(counting(run)) == 2
    assert counting(with_accepted(run, [entry()], TODAY)) == [f.id for f in run.findings if f.op == "erf"]
    assert len(counting(run, ("normwise",))) == 1


def test_the_latest_run_of_the_same_subjects(tmp_path):
    both = ("torch:cpu", "mlx:cpu")
    for name, fields in (
        ("20260101-000000-s0", {"subjects": both}),
        ("20260102-000000-s0", {"subjects": both[::-1]}),
        ("20260103-000000-s0", {"subjects": both, "interrupted": True}),
        ("20260104-000000-s0", {}),
        ("20260105-000000-s0", None),
        ("example", {"subjects": both}),
    ):
        (tmp_path / name).mkdir()
        if fields is None:
            (tmp_path / name / "run.json").write_text("{")
        else:
            write_run(run_of(fault(), name=name, **fields), tmp_path / name, describe)
    pairs = [("gelu", "float32")]
    earlier = latest_like(both, pairs, None, tmp_path)
    assert (earlier.place, earlier.run.run) == (tmp_path / "20260102-000000-s0", "20260102-000000-s0")
    (line,) = earlier.complaints
    assert "20260105-000000-s0/run.json: no run that this opfuzz can read" in line
    assert latest_like(("numpy:cpu",), pairs, None, tmp_path).place is None
    assert latest_like(both, pairs, "decoder", tmp_path).run is None
    assert latest_like(both, pairs, None, tmp_path / "none") == Earlier()


@pytest.fixture
def nights(tmp_path):
    """Three runs that tried ever less."""
    for day, results in enumerate(
        ((fault(), clean(op="relu"), fault(op="erf")), (clean(), clean(op="relu")), (clean(format="float16"),)), 1
    ):
        name = f"2026010{day}-000000-s0"
        (tmp_path / name).mkdir()
        write_run(run_of(*results, name=name), tmp_path / name, describe)
    return tmp_path


@pytest.mark.parametrize(
    ("pairs", "day"),
    [
        ([("gelu", "float16")], 3),
        ([("gelu", "float32")], 2),
        ([("gelu", "float32"), ("relu", "float32")], 2),
        ([("gelu", "float32"), ("erf", "float32")], 1),
        ([("gelu", "float32"), ("erf", "float32"), ("tanh", "float32")], 1),  # which no run tried; most of them
    ],
)
def test_the_latest_run_tried_the_same_ops_and_formats(pairs, day, nights):
    assert latest_like(("torch:cpu",), pairs, None, nights).place == nights / f"2026010{day}-000000-s0"


def test_what_another_run_before_knows_is_not_new(nights):
    name = "20260104-000000-s0"
    (nights / name).mkdir()
    write_run(run_of(*(clean(op=op) for op in ("gelu", "relu", "tanh")), name=name), nights / name, describe)
    asked = [(op, "float32") for op in ("gelu", "relu", "erf", "tanh", "sin")]
    earlier = latest_like(("torch:cpu",), asked, None, nights)
    assert (earlier.place, dict(earlier.known)) == (
        nights / name,
        {("erf", "torch:cpu", "float32", "wrong"): "20260101-000000-s0"},
    )
    now = later(*(fault(op=op) for op in ("gelu", "erf", "sin")))
    run = with_comparison(now, earlier.run, earlier.known)
    assert [(c.status, c.op, word_remark(c.remark)) for c in run.comparison.findings] == [
        ("new", "gelu", ""),
        ("new", "sin", "not tried before: the earlier run has no such row"),
        ("still", "erf", "not tried in the earlier run, and found by 20260101-000000-s0"),
    ]
    assert counting(run) == [c.id for c in run.comparison.findings[:2]]
