"""One run against an earlier one: which findings are new, fixed or gone, and which rows are worse on the same cases."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from results import result
from runs_of_rows import MACHINE, VERSIONS, clean, fault, run_of

from opfuzz.core.cause import Cause
from opfuzz.core.findings import Apart, Standing, finding_id
from opfuzz.core.relation import Relation
from opfuzz.report.run.changes import word_remark, word_shift
from opfuzz.store.compare import NEWS, SLIGHT, KnownBefore, compare

LATER = "20260201-142530-s0"
SIGNATURE = ("gelu", "torch:cpu", "float32", "wrong", "reference")
ID = finding_id(SIGNATURE)
OTHER_SEED = {"seed": 1}


def later(*results, **fields):
    return run_of(*results, name=LATER, **fields)


def told(comparison):
    """Status and op of all that changed."""
    return [(c.status, c.op) for c in comparison.findings], [(s.status, s.op) for s in comparison.rows]


def remarks(comparison):
    return [(c.status, c.remark.kind) for c in comparison.findings]


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
    assert (change.id, word_remark(change.remark)) == (ID, "right in the earlier run, on a case that both made")
    (shift,) = comparison.rows
    assert (shift.verdicts, word_shift(shift), shift.is_news) == (("exact", "wrong"), "exact then, wrong now", True)


def test_a_machine_and_a_plugin_are_versions():
    comparison = compare(run_of(clean()), later(clean(), machine={**MACHINE, "processor": "y"}))
    assert dict(comparison.versions) == {"processor": ("x", "y")}
    comparison = compare(run_of(clean()), later(clean(), versions={**VERSIONS, "plugin mine.py": "ab"}))
    assert dict(comparison.versions) == {"plugin mine.py": ("none", "ab")}


def test_what_is_right_on_one_processor_and_not_on_another_is_no_matter_of_software():
    comparison = compare(run_of(clean()), later(fault(), machine={**MACHINE, "processor": "y"}))
    assert [word_remark(c.remark) for c in comparison.findings] == ["on another machine: processor x then, y now"]


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
@pytest.mark.parametrize("fields", [{}, OTHER_SEED])
def test_on_the_same_cases_a_changed_figure_is_a_changed_library(factor, status, figure, fields):
    figures = {"ulp": 100.0, "excess": 50.0}
    now = later(fault(**figures | {figure: figures[figure] * factor}), **fields)
    comparison = compare(run_of(fault(**figures)), now)
    assert [shift.status for shift in comparison.rows] == ([] if status is None else [status])
    assert comparison.worse() == (), "less than other honest rounding may make is no news"


@pytest.mark.parametrize(("factor", "is_news"), [(NEWS * 0.99, False), (NEWS * 1.01, True)])
def test_only_a_fault_that_is_much_larger_is_news(factor, is_news):
    (shift,) = compare(run_of(fault(excess=50.0)), later(fault(excess=50.0 * factor))).rows
    assert (shift.status, shift.is_news) == ("worse", is_news)
    (shift,) = compare(run_of(clean(0.5, 0.1)), later(clean(0.5, 0.1 * factor))).rows
    assert not shift.is_news, "honest rounding is no fault"


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
def test_on_other_cases_what_was_not_met_is_no_news(fields, words):
    before = run_of(clean(number=20), fault(op="erf", number=20), specs={"gelu": "a", "erf": "c"})
    comparison = compare(before, later(fault(number=20), clean(op="erf", number=20), **fields))
    assert comparison.differ == words
    (new,) = comparison.findings
    assert (new.status, new.op) == ("new", "gelu")
    assert new.remark.kind == ("other-judge" if set(fields) & {"profile", "specs", "versions"} else "")
    assert comparison.rows == ()


@pytest.mark.parametrize("number", [0, 7])
def test_a_case_of_the_core_is_the_same_whatever_the_seed(number):
    now = later(fault(number=number), clean(op="relu"), **OTHER_SEED)
    comparison = compare(run_of(clean(number=number), clean(op="relu")), now)
    assert remarks(comparison) == [("new", "same-case")]
    assert (told(comparison)[1], comparison.core) == ([("worse", "gelu")], 2)
    assert (
        compare(run_of(clean(number=number)), later(fault(number=number), **OTHER_SEED, versions={"opfuzz": "9"})).rows
        == ()
    )


def test_a_case_that_turns_is_news_though_others_were_at_fault():
    """A fault on one size becomes one on all: row, verdict and largest error stay as they are."""
    before = run_of(fault(number=1), clean(number=2), clean(number=3))
    for fields in ({}, OTHER_SEED):
        (shift,) = compare(before, later(fault(number=1), fault(number=2), clean(number=3), **fields)).rows
        assert (shift.status, shift.figure, shift.is_news) == ("worse", "cases", True)
    assert compare(before, later(fault(number=1), clean(0.6, 0.5, number=2), clean(number=3))).rows == ()


def test_a_verdict_that_moves_among_faults_was_not_right_before():
    before = run_of(result(0, "wrong", 1e7, excess=1e6))
    better = compare(before, later(result(0, "imprecise", 1e5, excess=1e4)))
    assert ("new", "") in remarks(better)
    assert [(row.status, row.is_news) for row in better.rows] == [("better", True)]


def test_a_fault_near_the_limit_is_another_order_of_a_sum():
    before = run_of(result(0, "normwise", 9.0, excess=2.9))
    comparison = compare(before, later(result(0, "imprecise", 9.5, excess=3.1), **OTHER_SEED))
    assert remarks(comparison) == [("new", "")]


def test_another_processor_is_no_news_of_a_row():
    comparison = compare(run_of(clean()), later(fault(), machine={**MACHINE, "processor": "y"}))
    assert [row.is_news for row in comparison.rows] == [False]


def test_an_edited_profile_is_another():
    profiled = {"profile": "decoder", "versions": {**VERSIONS, "profile decoder": "a"}}
    before = run_of(clean(), **profiled)
    comparison = compare(before, later(fault(), **{**profiled, "versions": {**VERSIONS, "profile decoder": "b"}}))
    assert (comparison.differ, comparison.rows) == ("the profile decoder changed", ())
    assert remarks(comparison) == [("new", "other-judge")]


def test_a_case_that_only_one_run_made_says_nothing_of_the_core():
    before = run_of(clean(number=0))
    comparison = compare(before, later(clean(number=0), fault(number=1), **OTHER_SEED))
    assert remarks(comparison) == [("new", "")]
    assert comparison.rows == ()


def test_a_call_that_was_made_again_is_certain_on_other_cases():
    place = SIGNATURE[:4]
    fixed = Standing(ID, *place, "exact", "fixed", is_new=True)
    comparison = compare(run_of(fault(number=20)), later(clean(number=21), **OTHER_SEED, replayed=(fixed,)))
    assert remarks(comparison) == [("fixed", "made-again")]
    lost = Standing(ID, *place, "", "not replayed", why="gelu.yaml has changed since")
    comparison = compare(run_of(fault(number=20)), later(clean(number=21), **OTHER_SEED, replayed=(lost,)))
    assert comparison.findings == ()


@pytest.mark.parametrize(("status", "found"), [("back", ("new", "back")), ("open", ("still", "known-elsewhere"))])
def test_a_new_finding_that_the_corpus_knew(status, found):
    known = Standing(ID, *SIGNATURE[:4], "wrong", status)
    assert remarks(compare(run_of(clean()), later(fault(), replayed=(known,)))) == [found]


def test_a_call_of_the_corpus_is_no_case_that_both_made():
    """A run of the same cases, whose corpus has a fault that another seed met."""
    assert remarks(compare(run_of(clean()), later(clean(), fault(number=-1)))) == [("new", "")]
    assert compare(run_of(clean()), later(clean(), fault(number=-1))).rows == ()


def test_another_promise_is_another_finding_on_the_same_cases_only():
    before, now = run_of(fault()), later(fault(relation=Relation("rows", "batch")))
    assert told(compare(before, now))[0] == [("new", "gelu"), ("fixed", "gelu")]
    loose = compare(before, later(fault(relation=Relation("rows", "batch")), **OTHER_SEED))
    assert [(c.status, word_remark(c.remark)) for c in loose.findings] == [("still", "now shown by: rows of batch")]


def test_what_comes_and_goes_is_neither_fixed_nor_brought_by_software():
    assert compare(run_of(result(0, "unstable", 1.0)), later(clean())).findings == ()
    assert remarks(compare(run_of(clean()), later(result(0, "timeout")))) == [("new", "")]
    for fields in ({}, OTHER_SEED):
        assert compare(run_of(clean()), later(result(0, "timeout"), **fields)).rows == ()


def test_an_op_that_was_not_tried_before():
    comparison = compare(run_of(clean(op="relu")), later(fault(), clean(op="relu")))
    assert remarks(comparison) == [("new", "not-tried")]
    known = KnownBefore({SIGNATURE[:4]: "monday"})
    comparison = compare(run_of(clean(op="relu")), later(fault(), clean(op="relu")), known)
    assert [word_remark(c.remark) for c in comparison.findings] == ["not in the earlier run; monday has it"]


@pytest.mark.parametrize(("then", "now", "changes"), [(50.0, math.nan, ["worse"]), (math.nan, math.inf, [])])
def test_an_error_without_a_size_is_the_largest(then, now, changes):
    before, after = run_of(fault(excess=then)), later(fault(excess=now))
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


def test_what_was_not_tried_before_explains_itself():
    before = run_of(clean(op="relu"))
    assert not compare(before, later(fault(), clean(op="relu"))).is_unexplained
    assert compare(run_of(clean()), later(fault())).is_unexplained
    assert not compare(run_of(fault(), clean(op="relu")), later(clean(op="relu"))).is_unexplained, "gone"
    assert before.run == compare(before, before).before


def test_the_worst_of_some_cases():
    core = run_of(clean(), fault(excess=math.nan, number=1), result(2, "normwise", 9.0)).ranking[0].core
    assert (core.numbers, core.verdict, core.ulp) == ((0, 1, 2), "wrong", 100.0)
    assert math.isnan(core.excess)
    assert core.of({0, 2}).verdict == "normwise"
    assert (core.of(()).verdict, core.of(()).excess) == ("exact", 0.0)
    assert replace(core, numbers=()).of({1}).numbers == ()


TANH, MISREAD = Cause("is-variant", "tanh"), Cause("reads-as-contiguous", "x")


def two(run, first=TANH, second=MISREAD):
    """A run whose finding has two causes, the second a finding of its own."""
    (found,) = run.findings
    found = replace(found, causes=(first,))
    other = replace(found, causes=(second,), apart=Apart(second, first))
    return replace(run, findings=(found, replace(other, id=finding_id(other.signature))))


def statuses(before, after):
    return [(c.status, c.id == ID) for c in compare(before, after).findings]


def test_a_second_cause_is_known_by_that_cause():
    before, after = two(run_of(fault())), two(later(fault(), **OTHER_SEED))
    assert statuses(before, after) == [("still", True), ("still", False)]
    swapped = two(later(fault(), **OTHER_SEED), MISREAD, TANH)
    assert statuses(before, swapped) == [("still", True), ("still", False)], "which is first is a matter of the cases"


def test_a_second_cause_that_no_run_told_is_new_though_its_verdict_is_known():
    before, after = run_of(fault()), two(later(fault(), **OTHER_SEED))
    assert statuses(before, after) == [("new", False), ("still", True)]


@pytest.mark.parametrize("fields", [{}, OTHER_SEED])
def test_a_second_cause_that_is_not_told_again_is_not_fixed(fields):
    assert statuses(two(run_of(fault())), later(fault(), **fields)) == [("still", True)]


def test_a_second_cause_whose_call_is_right_now_is_fixed():
    before = two(run_of(fault()))
    (_, second) = before.findings
    standing = Standing(second.id, *second.signature[:4], "exact", "fixed")
    after = later(fault(), replayed=(standing,))
    assert statuses(before, after) == [("fixed", False), ("still", True)]


def raising(words, name="RuntimeError", number=0):
    return result(
        number, "crash", elements=0, cause=Cause("raises", name, figures={"words": f"raised {name}: {words}"})
    )


@pytest.mark.parametrize("fields", [{}, OTHER_SEED])
def test_another_exception_of_one_class_is_new(fields):
    before = run_of(raising("alpha at 3"))
    after = later(raising("alpha at 5"), raising("beta", number=1), **fields)
    assert sorted(change.status for change in compare(before, after).findings) == ["new", "still"]
