"""News is about causes and about software: what it brought, what was there all along, what is fixed."""

from __future__ import annotations

from dataclasses import replace

import pytest
from runs_of_rows import MACHINE, VERSIONS, clean, fault, run_of

from opfuzz.core.cause import Cause
from opfuzz.core.comparison import Remark
from opfuzz.core.findings import Standing
from opfuzz.core.run import Run
from opfuzz.judge.gather import gather
from opfuzz.report.causes import describe
from opfuzz.report.run.news import news, news_cells, news_lines
from opfuzz.store.baseline import counting, with_comparison
from opfuzz.store.cause_changes import state
from opfuzz.store.compare import KnownBefore, compare
from opfuzz.store.read import read_run
from opfuzz.store.write import write_run

EPS = {"cause": Cause("is-variant", "eps-1e-3")}
BEYOND = {"number": 20}  # a case beyond those that every run makes
NEW_TORCH = {"versions": {**VERSIONS, "torch": "2.13"}}


def night(*results, name: str = "20260131-142530-s0", **fields) -> Run:
    run = run_of(*results, name=name, **fields)
    return replace(run, causes=gather(run.findings))


def changed(before: Run | None, after: Run, **fields) -> list[tuple[str, tuple[str, ...], str]]:
    return [(each.status, each.common.ops, each.remark.kind) for each in compare(before, after, **fields).causes]


FIRST = night(fault(op="layer_norm", **EPS), clean(op="rms_norm"), clean(op="exp"))


def second(*results, seed: int = 1, **fields) -> Run:
    return night(*results, name="later", seed=seed, **fields)


def test_the_same_is_no_news():
    comparison = compare(FIRST, second(fault(op="layer_norm", **EPS), clean(op="rms_norm"), clean(op="exp")))
    assert (comparison.causes, comparison.rows, comparison.known, comparison.core) == ((), (), 1, 3)


def test_what_the_same_software_shows_on_other_cases_was_there_all_along():
    met = second(fault(op="layer_norm", **EPS), fault(op="exp", **BEYOND))
    assert changed(FIRST, met) == [("discovered", ("exp",), "same-software")]
    run = with_comparison(met, FIRST)
    assert news(run) == [
        f"Since {FIRST.run}: 1 cause discovered; 1 cause of faults as before.",
        "The cases are not the same (seed 0 then, 1 now); rows are compared on 1 case that both made.",
    ]
    assert news_lines(run) == ["discovered: torch exp: reason 20; it was there all along: the software is the same"]


def test_a_case_that_was_right_is_a_regression_whatever_the_seed():
    worse = second(fault(op="layer_norm", **EPS), fault(op="exp"))
    assert changed(FIRST, worse) == [("regression", ("exp",), "same-case")]
    run = with_comparison(worse, FIRST)
    assert news(run)[0] == f"Since {FIRST.run}: 1 regression; 1 cause of faults as before."
    assert news_lines(run) == ["regression: torch exp: reason 0; right in the earlier run, on a case that both made"]
    assert [cells[0] for cells in news_cells(run)] == ["regression"], "which says that the row is worse"


def test_a_known_cause_in_another_op_is_a_regression_where_a_case_was_right():
    wider = second(fault(op="layer_norm", **EPS), fault(op="rms_norm", **EPS))
    assert changed(FIRST, wider) == [("regression", ("layer_norm", "rms_norm"), "same-case")]
    (line,) = news_lines(with_comparison(wider, FIRST))
    assert line.startswith(
        "regression: torch layer_norm, rms_norm: behaves as the variant 'eps-1e-3'; now in rms_norm;"
    )


def test_a_known_cause_in_more_places_on_other_cases():
    wider = second(
        fault(op="layer_norm", **EPS),
        *(fault(op="rms_norm", format=fmt, **EPS, **BEYOND) for fmt in ("float32", "float16")),
    )
    assert changed(FIRST, wider) == [("wider", ("layer_norm", "rms_norm"), "")]
    run = with_comparison(wider, FIRST)
    assert "1 known cause in more places" in news(run)[0]
    assert news_lines(run) == [
        "known, now in more places: torch layer_norm, rms_norm: behaves as the variant 'eps-1e-3'; now in rms_norm and "
        "in float16"
    ]


MET = (fault(op="layer_norm", **EPS), fault(op="exp", **BEYOND))
ANSWERS = [
    (Remark("right-then", "torch 2.12"), "regression"),
    (Remark("wrong-then", "torch 2.12"), "discovered"),
    (Remark("not-told", "no NumPy"), "undecided"),
    (Remark("not-asked"), "undecided"),
]


@pytest.mark.parametrize(("answer", "status"), ANSWERS)
def test_the_software_of_then_is_asked_where_it_is_another(answer, status):
    asked = []

    def elder(common):
        asked.append(common.ops)
        return answer

    met = second(*MET, **NEW_TORCH)
    assert changed(FIRST, met, elder=elder) == [(status, ("exp",), answer.kind)]
    assert asked == [("exp",)]
    (line,) = news_lines(with_comparison(met, FIRST, elder=elder))
    assert answer.about in line
    assert ("torch 2.12 then, 2.13 now" in line) == (status == "undecided")
    assert changed(FIRST, second(*MET), elder=elder) == [("discovered", ("exp",), "same-software")]
    assert len(asked) == 2, "the same software need not be asked"


def test_software_that_was_tried_before_brought_nothing():
    met = second(*MET, **NEW_TORCH)
    now = state(NEW_TORCH["versions"], "torch")
    known = KnownBefore(software={now: {("exp", "float32"): "sunday"}})
    assert changed(FIRST, met, known=known) == [("discovered", ("exp",), "tried-before")]
    elsewhere = KnownBefore(software={now: {("exp", "float16"): "sunday", ("cos", "float32"): "sunday"}})
    assert changed(FIRST, met, known=elsewhere) == [("undecided", ("exp",), "not-asked")], "it tried something else"


def test_software_that_is_taken_back_brings_back_what_it_had():
    worse = second(fault(op="layer_norm", **EPS), fault(op="exp"), **NEW_TORCH)
    known = KnownBefore(software={state(NEW_TORCH["versions"], "torch"): {("exp", "float32"): "sunday"}})
    run = with_comparison(worse, FIRST, known)
    assert [(c.status, c.remark.kind) for c in run.comparison.causes] == [("discovered", "tried-before")]
    assert (run.comparison.worse(), counting(run)) == ((), [])


@pytest.mark.parametrize(
    "fields",
    [
        {"versions": {**VERSIONS, "mlx": "1", "numpy": "9"}},
        {"machine": {**MACHINE, "processor": "y", "python": "3.12"}},
        {"versions": {**VERSIONS, "opfuzz": "9"}},
    ],
)
def test_what_a_framework_does_not_compute_with_brings_it_nothing(fields):
    ((status, *_),) = changed(FIRST, second(*MET, **fields))
    assert status == "discovered"


def test_a_plugin_is_software():
    assert changed(FIRST, second(*MET, versions={**VERSIONS, "plugin mine.py": "ab"})) == [
        ("undecided", ("exp",), "not-told")
    ], "its reproducer would call the plugin of today"


def test_another_processor_is_no_regression():
    worse = second(fault(op="layer_norm", **EPS), fault(op="exp"), machine={**MACHINE, "processor": "y"})
    assert changed(FIRST, worse) == [("discovered", ("exp",), "other-machine")]


def test_what_is_fixed_was_made_again_and_is_right():
    mended = second(clean(op="layer_norm", **BEYOND), clean(op="rms_norm"))
    assert changed(FIRST, mended) == [], "not met is no news"
    (finding,) = FIRST.findings
    right = Standing(finding.id, *finding.signature[:4], "exact", "fixed", is_new=True)
    run = with_comparison(replace(mended, replayed=(right,)), FIRST)
    assert news(run)[0] == f"Since {FIRST.run}: 1 cause fixed; 0 causes of faults as before."
    assert news_lines(run) == [
        "fixed: torch layer_norm: behaves as the variant 'eps-1e-3'; its smallest call is right now, though no version "
        "changed"
    ]
    assert changed(FIRST, night(clean(op="layer_norm"))) == [("fixed", ("layer_norm",), "same-software")], (
        "all cases are the same"
    )
    newer = with_comparison(replace(mended, replayed=(right,), versions={**VERSIONS, "torch": "9.9"}), FIRST)
    assert news_lines(newer)[0].endswith("its smallest call is right now")


def test_a_finding_that_another_known_cause_shows_as_well_does_not_keep_one_from_being_fixed():
    def variant(op: str, name: str):
        return fault(op=op, cause=Cause("is-variant", name))

    before = second(variant("layer_norm", "a"), variant("rms_norm", "a"), variant("exp", "b"))
    ids = {finding.op: finding for finding in before.findings}

    told = {"layer_norm": "open", "rms_norm": "fixed", "exp": "open"}
    made_again = tuple(Standing(ids[op].id, *ids[op].signature[:4], "", status) for op, status in told.items())
    after = second(variant("layer_norm", "b"), clean(op="rms_norm"), variant("exp", "b"), seed=2, replayed=made_again)
    assert [(c.status, c.common.name) for c in compare(before, after).causes if c.status == "fixed"] == [("fixed", "a")]
    renamed = second(variant("layer_norm", "c"), clean(op="rms_norm"), variant("exp", "b"), seed=2, replayed=made_again)
    assert "fixed" not in {c.status for c in compare(before, renamed).causes}, "it may have another name"


def test_another_name_of_what_was_there_is_no_new_cause():
    assert changed(FIRST, second(fault(op="layer_norm"), clean(op="rms_norm"))) == []


def test_what_a_run_before_knows_is_not_discovered_again():
    met = second(*MET)
    known = KnownBefore(causes={common.id: "sunday" for common in met.causes})
    comparison = compare(FIRST, met, known)
    assert (comparison.causes, comparison.known) == ((), 2)


def test_a_run_without_causes_is_held_against_by_its_findings_alone():
    assert changed(replace(FIRST, causes=()), second(fault(op="exp"))) == [("regression", ("exp",), "same-case")]
    assert changed(replace(FIRST, causes=()), second(fault(op="layer_norm", **EPS))) == []


def test_causes_are_read_as_they_were_written(tmp_path):
    run = with_comparison(night(fault(op="exp"), fault(op="layer_norm", **EPS), name="20260201-142530-s0"), FIRST)
    write_run(run, tmp_path, describe)
    again = read_run(tmp_path)
    assert again.causes == run.causes
    assert again.comparison.causes == run.comparison.causes != ()
    assert [row.core for row in again.ranking] == [row.core for row in run.ranking]
