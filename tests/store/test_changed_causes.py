"""News is about causes: a new one, one that is seen in more places, one that is fixed."""

from __future__ import annotations

from dataclasses import replace

from runs_of_rows import clean, fault, run_of

from opfuzz.core.cause import Cause
from opfuzz.core.run import Run
from opfuzz.judge.gather import gather
from opfuzz.report.causes import alike, describe
from opfuzz.report.run.news import cause_news, news
from opfuzz.store.baseline import compare, with_comparison
from opfuzz.store.read import read_run
from opfuzz.store.write import write_run

EPS = {"cause": Cause("is-variant", "eps-1e-3")}


def night(*results, name: str = "20260131-142530-s0", **fields) -> Run:
    run = run_of(*results, name=name, **fields)
    return replace(run, causes=gather(run.findings, alike))


def changed(before: Run | None, after: Run) -> list[tuple[str, tuple[str, ...], tuple[str, ...], tuple[str, ...]]]:
    found = compare(before, after).causes
    return [(each.status, each.common.ops, each.ops, each.formats) for each in found]


FIRST = night(fault(op="layer_norm", **EPS), clean(op="rms_norm"), clean(op="exp"))
SAME = night(fault(op="layer_norm", **EPS), clean(op="rms_norm"), clean(op="exp"), name="later")


def test_the_same_is_no_news():
    assert changed(FIRST, SAME) == []


def test_a_new_cause():
    other = night(fault(op="layer_norm", **EPS), clean(op="rms_norm"), fault(op="exp"), name="later")
    assert changed(FIRST, other) == [("new", ("exp",), (), ())]
    run = with_comparison(other, FIRST)
    assert news(run)[0] == f"Since {FIRST.run}: 1 new cause, 1 new fault; 1 finding as before."
    assert cause_news(run) == ["a new cause: torch exp: reason 0"]
    assert changed(None, other) == [("new", ops, (), ()) for ops in (("exp",), ("layer_norm",))]


def test_a_cause_in_more_places():
    wider = night(
        *(fault(op=op, format=fmt, **EPS) for op in ("layer_norm", "rms_norm") for fmt in ("float32", "float16")),
        clean(op="exp"),
        name="later",
    )
    assert changed(FIRST, wider) == [("wider", ("layer_norm", "rms_norm"), ("rms_norm",), ("float16",))]
    run = with_comparison(wider, FIRST)
    assert "1 cause seen in more places" in news(run)[0]
    assert cause_news(run) == [
        "a cause that is now also seen in rms_norm and in float16: torch layer_norm, rms_norm: behaves as the variant "
        "'eps-1e-3'"
    ]


def test_a_cause_that_is_fixed_or_not_seen():
    mended = night(clean(op="layer_norm"), clean(op="rms_norm"), clean(op="exp"), name="later")
    assert changed(FIRST, mended) == [("fixed", ("layer_norm",), (), ())]
    assert cause_news(with_comparison(mended, FIRST)) == [
        "a cause that is fixed: torch layer_norm: behaves as the variant 'eps-1e-3'"
    ]
    assert changed(FIRST, replace(mended, seed=7)) == [("unseen", ("layer_norm",), (), ())]


def test_another_name_of_what_was_there_is_no_new_cause():
    renamed = night(fault(op="layer_norm"), clean(op="rms_norm"), clean(op="exp"), name="later")
    assert changed(FIRST, renamed) == []


def test_a_run_without_causes_is_held_against_by_its_findings_alone():
    assert changed(replace(FIRST, causes=()), night(fault(op="exp"), name="later")) == []


def test_causes_are_read_as_they_were_written(tmp_path):
    run = with_comparison(night(fault(op="exp"), fault(op="layer_norm", **EPS), name="20260201-142530-s0"), FIRST)
    write_run(run, tmp_path, describe)
    again = read_run(tmp_path)
    assert again.causes == run.causes
    assert again.comparison.causes == run.comparison.causes
