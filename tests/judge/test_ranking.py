"""Ranking and findings: from results in any order the same rows, worst first."""

from __future__ import annotations

import random
from dataclasses import replace

import numpy as np
import pytest
from error_totals import histogram
from hypothesis import given
from hypothesis import strategies as st
from results import result

from opfuzz.core.cause import UNEXPLAINED, Cause
from opfuzz.core.floats import FLOAT32
from opfuzz.core.relation import Relation
from opfuzz.core.results import Mark
from opfuzz.core.verdicts import SEVERITIES, SEVERITY, VERDICTS
from opfuzz.judge.gather import gather
from opfuzz.judge.ranking import MOST_ASKED, MOST_ENDS, Ranking
from opfuzz.report.causes import word_cause, word_reason, word_row


def ranked(results):
    ranking = Ranking()
    for item in results:
        ranking.add(item)
    return ranking


results = st.builds(
    result,
    number=st.integers(0, 50),
    verdict=st.sampled_from(VERDICTS),
    ulp=st.floats(0, 2.0**60),
    op=st.sampled_from(("gelu", "erf")),
    subject=st.sampled_from(("torch:cpu", "mlx:cpu/fast")),
    conditioned=st.floats(0, 1e6),
    ulp_total=st.floats(0, 1e30),
    histogram=st.dictionaries(st.integers(0, 700), st.integers(1, 9), max_size=4),
    unjudged=st.integers(0, 100),
    unresolved=st.integers(0, 100),
)


@given(st.lists(results, max_size=30, unique_by=lambda r: (r.op, r.judged[0].subject, r.number)), st.randoms())
def test_any_order_gives_equal_rows_and_findings(items, chance: random.Random):
    shuffled = list(items)
    chance.shuffle(shuffled)
    first, second = ranked(items), ranked(shuffled)
    assert first.rows() == second.rows()
    assert first.findings() == second.findings()
    assert first.faults == sum(finding.severity == "fault" for finding in first.findings())
    for finding in first.findings():
        others = [sample.place for sample in first.others(finding)]
        assert others == [sample.place for sample in second.others(finding)]
        assert len(others) <= MOST_ASKED


def test_every_verdict_has_a_severity_and_faults_come_first():
    levels = [SEVERITIES.index(SEVERITY[verdict]) for verdict in VERDICTS]
    assert levels == sorted(levels)


def test_fault_before_note_before_clean_before_the_size_of_the_error():
    ranking = ranked(
        [
            result(0, "stable", 1e9, op="a"),
            result(0, "normwise", 1e6, op="b"),
            result(0, "unsupported", op="c", elements=0),
            result(0, "wrong", 4.0, op="d"),
            result(0, "crash", op="e", elements=0),
            result(0, "exact", 0.5, op="f"),
        ]
    )
    assert [row.op for row in ranking.rows()] == ["d", "e", "b", "c", "a", "f"]


@pytest.mark.parametrize(("sort", "order"), [("ulp", "abc"), ("excess", "bca"), ("conditioned", "cab")])
def test_sort_keys(sort, order):
    ranking = ranked(
        [
            result(0, "wrong", 30.0, op="a", excess=10.0, conditioned=20.0),
            result(0, "wrong", 20.0, op="b", excess=30.0, conditioned=10.0),
            result(0, "wrong", 10.0, op="c", excess=20.0, conditioned=30.0),
        ]
    )
    assert "".join(row.op for row in ranking.rows(sort)) == order


def near(number, op, rms_ulp, **fields):
    """A case near an operating point."""
    return replace(result(number, "wrong", op=op, rms_ulp=rms_ulp, **fields), near=True)


def test_drift_is_gain_times_the_rms_of_the_errors_near_the_pipeline():
    ranking = Ranking({"a": 3e-7})
    cases = [near(0, "a", 1.0), near(1, "a", 7.0), result(2, "wrong", op="a", rms_ulp=1e6), near(3, "a", None)]
    cases += [near(4, "b", 5.0)]
    for case in cases:
        ranking.add(case)
    a, b = sorted(ranking.rows(), key=lambda row: row.op)
    assert a.drift == pytest.approx(3e-7 * 5), "the rms of 1 and 7; other cases say nothing about the pipeline"
    assert b.drift is None, "an op without a gain"


@pytest.mark.parametrize(("format", "factor"), [("float16", 2**13), ("bfloat16", 2**16), ("float64", 2.0**-29)])
def test_the_ulp_of_another_format_is_larger(format, factor):
    ranking = Ranking({"a": 1e-7})
    ranking.add(near(0, "a", 2.0, format=format))
    assert ranking.rows()[0].drift == pytest.approx(2e-7 * factor)


def test_errors_beyond_every_number_drift_without_end():
    ranking = Ranking({"a": 1e-7})
    for number in range(2):
        ranking.add(near(number, "a", 1e200))
    assert ranking.rows()[0].drift == float("inf")


def test_rows_are_sorted_by_drift_and_those_without_come_last():
    ranking = Ranking({"a": 1e-7, "b": 1e-9, "c": 1e-3})
    for number, (op, rms_ulp) in enumerate([("d", 1e9), ("b", 1.0), ("c", 1.0), ("a", 100.0)]):
        ranking.add(near(number, op, rms_ulp))
    assert [row.op for row in ranking.rows("drift")] == ["c", "a", "b", "d"]


def test_equal_errors_stand_in_the_order_of_their_names():
    items = [result(0, "exact", op=op, subject=subject) for op in "ba" for subject in ("torch:cpu", "mlx:cpu")]
    names = [("a", "mlx:cpu"), ("a", "torch:cpu"), ("b", "mlx:cpu"), ("b", "torch:cpu")]
    assert [(row.op, row.subject) for row in ranked(items).rows()] == names


def test_a_finding_keeps_the_simplest_case_and_counts_all():
    ranking = ranked(
        [
            result(0, "wrong", 900.0, sort_key=(50, "x"), reason="eps"),
            result(1, "wrong", 3.0, sort_key=(2, "y"), reason="eps"),
            result(2, "wrong", 4.0, sort_key=(3, "z"), reason="eps"),
            result(3, "exact", 0.1, sort_key=(1, "w")),
        ]
    )
    (finding,) = ranking.findings()
    assert (finding.case, finding.number, finding.cases, word_reason(finding)) == ("c1", 1, 3, "eps")
    assert finding.witness is not None
    assert finding.witness.case == "c1"
    (row,) = ranking.rows()
    assert (row.verdict, row.finding, row.cases, row.verdicts) == ("wrong", finding.id, 4, {"wrong": 3, "exact": 1})
    assert row.witness is not None
    assert (row.max_ulp, row.witness.case) == (900.0, "c0"), "the row shows the largest error"


def test_a_finding_tells_the_commonest_cause_and_shows_its_simplest_case():
    unexplained = [result(n, "wrong", sort_key=(n, ""), cause=UNEXPLAINED) for n in range(2)]
    named = [result(n, "wrong", sort_key=(n, ""), reason="causal") for n in range(2, 5)]
    rare = [result(5, "wrong", sort_key=(0, ""), reason="flipped")]
    (finding,) = ranked([*unexplained, *named, *rare]).findings()
    assert (word_reason(finding), finding.case, finding.cases) == ("causal (3 of 6 cases)", "c2", 6)


def test_a_rare_name_does_not_speak_for_what_nothing_explains():
    unexplained = [result(n, "wrong", sort_key=(n, ""), cause=UNEXPLAINED) for n in range(9)]
    (finding,) = ranked([*unexplained, result(9, "wrong", sort_key=(0, ""), reason="flipped")]).findings()
    assert word_reason(finding) == f"{word_cause(UNEXPLAINED)} (9 of 10 cases)"


def test_cases_that_may_have_another_cause_are_those_that_differ_and_the_simplest_of_these():
    def case(number, layout="contiguous", size=10, **fields):
        return replace(result(number, "wrong", sort_key=(size, number), cause=UNEXPLAINED, **fields), layout=layout)

    alike = [case(n) for n in range(9)]
    views = [case(n, "stepped", 20) for n in (21, 20)]
    large = [case(n, size=9000) for n in (31, 30)]
    named = replace(result(40, "wrong", sort_key=(50, 40), reason="flipped"), layout="contiguous")
    ranking = ranked([*alike, *views, *large, named])
    (finding,) = ranking.findings()
    assert finding.case == "c0"
    assert [sample.case for sample in ranking.others(finding)] == ["c40", "c20", "c30"]


def test_verdicts_of_one_row_are_findings_of_their_own():
    items = [result(0, "wrong"), result(1, "special"), result(2, "normwise"), result(3, "unsupported", elements=0)]
    ranking = ranked(items)
    assert [finding.verdict for finding in ranking.findings()] == ["special", "wrong", "normwise"]
    assert len({finding.id for finding in ranking.findings()}) == 3
    assert ranking.faults == 2
    assert ranking.rows()[0].verdict == "special"


def raised(number, words, name="ValueError", relation=None):
    return result(
        number, "crash", elements=0, cause=Cause("raises", name, relation, {"words": f"raised {name}: {words}"})
    )


def test_exceptions_that_say_something_else_are_findings_of_their_own():
    sizes = [raised(n, f"no kernel for {n} rows at 0x7f{n:02x}ab") for n in range(5)]
    others = [raised(7, "the bias is missing"), raised(8, "no kernel for 8 rows at 0x0", "TypeError")]
    ranking = ranked([*others, *sizes])
    findings = ranking.findings()
    assert sorted((each.cause.name, each.alike, each.cases) for each in findings) == [
        *(("TypeError", 1, 7), ("ValueError", 1, 7), ("ValueError", 5, 7)),
    ]
    assert len({each.id for each in findings}) == ranking.faults == 3
    assert len(gather(findings)) == 3
    assert ranked(sizes[:1]).findings()[0].id == next(each.id for each in findings if each.alike == 5)


def test_exceptions_in_ever_other_words_are_few_findings():
    findings = ranked([raised(n, f"strange {'x' * n}") for n in range(30)]).findings()
    assert len(findings) == MOST_ENDS


def test_an_exception_of_another_way_to_the_result_is_a_finding_of_its_own():
    ours, of_view = raised(0, "no"), raised(1, "no", relation=Relation("view", "x", "stepped"))
    findings = ranked([ours, of_view]).findings()
    assert len({each.id for each in findings}) == 2


def test_ids_depend_on_the_signature_only():
    small = ranked([result(0, "wrong", 3.0)]).findings()[0]
    large = ranked([result(7, "wrong", 1e9), result(9, "wrong", 1e3)]).findings()[0]
    other = ranked([result(0, "wrong", 3.0, format="float16")]).findings()[0]
    assert small.id == large.id == "d84f5e298052"
    assert small.signature == ("gelu", "torch:cpu", "float32", "wrong", "reference")
    assert other.id != small.id


def test_a_row_of_which_nothing_ran_is_unsupported_and_no_finding():
    ranking = ranked([result(1, "unsupported", elements=0), result(0, "unsupported", elements=0)])
    (row,) = ranking.rows()
    assert (row.verdict, row.severity, word_row(row), row.finding) == ("unsupported", "note", "reason 0", None)
    assert ranking.findings() == []


@pytest.mark.parametrize(
    ("counts", "verdict"),
    [
        ({"unresolved": 1}, "unresolved"),
        ({"unjudged": 96}, "ill-conditioned"),
        ({"unjudged": 95}, "stable"),
        ({}, "stable"),
    ],
)
def test_shares_of_elements_decide_over_clean_cases(counts, verdict):
    (row,) = ranked([result(0, "stable", **counts)]).rows()
    assert row.verdict == verdict


def test_shares_of_elements_do_not_hide_a_fault():
    assert ranked([result(0, "wrong", unresolved=100)]).rows()[0].verdict == "wrong"


def test_percentile_of_many_cases_is_that_of_all_elements():
    source = np.random.default_rng(5)
    parts = [np.exp(source.normal(size=500) * 3) for _ in range(8)]
    items = [
        result(n, "stable", float(part.max()), elements=500, histogram=histogram(part), ulp_total=float(part.sum()))
        for n, part in enumerate(parts)
    ]
    (row,) = ranked(items).rows()
    whole = np.concatenate(parts)
    right = np.percentile(whole, 99, method="inverted_cdf")
    assert right <= row.p99_ulp <= 1.0906 * right
    assert row.mean_ulp == pytest.approx(whole.mean(), rel=1e-12)


def test_the_percentile_is_never_beyond_the_largest():
    errors = np.array([0.4, 0.41])
    (row,) = ranked([result(0, "exact", 0.41, histogram=histogram(errors))]).rows()
    assert row.p99_ulp == row.max_ulp == 0.41


def test_effective_bits():
    (row,) = ranked([result(0, "imprecise", 8192.0, conditioned=2.0**13)]).rows()
    assert row.effective_bits == FLOAT32.precision - 13


def test_cases_are_counted_by_layout_and_size():
    def placed(number, verdict, layout, elements):
        return replace(result(number, verdict, sort_key=(elements,)), layout=layout)

    (row,) = ranked(
        [
            placed(0, "exact", "contiguous", 1),
            placed(1, "wrong", "contiguous", 3),
            placed(2, "exact", "contiguous", 4),
            placed(3, "special", "broadcast", 1024),
            placed(4, "normwise", "transposed", 0),
            placed(5, "unsupported", "transposed", 7),
            result(6, "wrong"),  # of which no layout is known
        ]
    ).rows()
    assert row.layouts == {
        "contiguous": ((1, 2, 1), (2, 1, 0)),
        "transposed": ((0, 1, 0),),
        "broadcast": ((6, 1, 1),),
    }
    assert list(row.layouts) == ["contiguous", "transposed", "broadcast"]


def test_errors_by_magnitude_add_up():
    found = [result(0, "exact", by_magnitude={0: 5, 62: 1}), result(1, "wrong", by_magnitude={62: 2, 64: 3})]
    (row,) = ranked(found).rows()
    assert row.by_magnitude == ((0, 0, 5), (1, 0, 3, 2, 3))


def test_the_same_cause_in_another_output_is_another():
    outputs = ["y", "mean", "mean", "mean"]
    marks = [Mark((0,), 1.5, "", 1.25, 1.0, 0.0, output) for output in outputs]
    ranking = ranked(
        result(number, "wrong", cause=Cause("is-variant", "total"), deciding=mark) for number, mark in enumerate(marks)
    )
    (finding,) = ranking.findings()
    assert (finding.number, finding.alike, finding.cases) == (1, 3, 4)
