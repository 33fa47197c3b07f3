"""The summary for CI: what changed comes first, it is never too long, and nothing in it does anything."""

from __future__ import annotations

import dataclasses
import re

from results import result, told, witness
from test_text_reports import HARMED, HOSTILE, run_of

from opfuzz.core.comparison import Accepted, Comparison
from opfuzz.core.run import Run
from opfuzz.report.run.cause_lines import causes_of
from opfuzz.report.run.news import news
from opfuzz.report.run.summary import SIZE_LIMIT, TOP, render
from opfuzz.store.baseline import compare


def against(before: Run, after: Run, **fields) -> Run:
    """`after`, compared with `before`."""
    before, after = (dataclasses.replace(run, causes=causes_of(run)) for run in (before, after))
    return dataclasses.replace(after, comparison=compare(before, after), **fields)


def night(name: str, *results, **fields) -> Run:
    return run_of(*results, run=name, planned=10, versions={"torch": "2.13"}, command=("opfuzz", "run"), **fields)


BEFORE = night(
    "monday", result(0, "wrong"), result(1, "special", op="exp"), result(0, "normwise", op="sum", excess=2.0)
)
AFTER = night("tuesday", result(0, "wrong"), result(0, "exact", op="exp"), result(0, "wrong", op="sum", excess=50.0))


def sections(text: str) -> list[str]:
    return re.findall(r"^#+ (.*)$", text, re.MULTILINE)


def test_without_an_earlier_run_it_begins_with_what_was_found():
    text = render(night("monday", result(0, "wrong")))
    assert text.split("\n")[:3] == [
        "## opfuzz run monday",
        "",
        "**1 cause behind 1 fault in 1 op (torch:cpu; float32); none touch ordinary values, of 1 it is not known.**",
    ]
    assert sections(text) == ["opfuzz run monday", "Causes", "Ranking", "Faults", "Environment"]


def test_the_headline_says_what_changed():
    run = against(BEFORE, AFTER)
    assert news(run) == ["Since monday: 1 regression, 1 cause fixed; 1 cause of faults as before."]
    text = render(run)
    assert text.split("\n")[2] == f"**{news(run)[0]}**"
    assert sections(text)[:3] == ["opfuzz run tuesday", "What changed", "Causes"]
    changes = [line.split(" | ") for line in text.split("### What changed")[1].split("###")[0].splitlines()[4:] if line]
    assert [(cells[0], cells[1].split(":")[0]) for cells in changes] == [
        ("| regression", "torch sum"),
        ("| fixed", "torch exp"),
    ]


def test_a_row_that_is_worse_is_told_with_its_figures():
    worse = night("tuesday", result(0, "wrong", 900.0, excess=90.0))
    run = against(night("monday", result(0, "wrong", 9.0, excess=9.0)), worse)
    assert news(run) == ["Since monday: 1 row worse; 1 cause of faults as before."]
    assert "excess 9 then, 90 now; max ulp 9 then, 900 now" in render(run)


def test_nothing_changed_is_said():
    assert news(against(BEFORE, BEFORE)) == ["Since monday: nothing changed; 2 causes of faults as before."]


def test_what_else_changed_is_said():
    after = dataclasses.replace(AFTER, seed=1, versions={"torch": "2.14"})
    told = news(against(BEFORE, after))
    assert told[1] == "What changed besides: torch 2.13 then, 2.14 now."
    assert "seed 0 then, 1 now" in told[2]


def test_the_first_run_has_nothing_to_be_compared_with():
    run = dataclasses.replace(AFTER, comparison=compare(None, AFTER))
    assert news(run) == ["There is no earlier run to compare with, so everything is new."]
    assert "What changed" not in render(run)
    assert "2 faults" in render(run).split("\n")[2]


def test_an_accepted_finding_is_not_news():
    (new,) = (f for f in AFTER.findings if f.op == "sum")
    known = Accepted(new.id, new.op, new.subject, new.format, new.verdict, new.relation, "known", "2026-01-31")
    run = against(BEFORE, AFTER, accepted=(known,))
    assert news(run)[0].startswith("Since monday: 1 accepted cause, ")
    assert "; accepted" in render(run)
    expired = against(BEFORE, AFTER, accepted=(dataclasses.replace(known, status="expired"),))
    assert news(expired)[0].startswith("Since monday: 1 regression, ")


def test_it_is_never_too_long_and_says_what_is_left_out():
    long = "€" * 5000
    run = run_of(*(result(0, "wrong", op=f"op{n}", reason=long) for n in range(400)), command=("opfuzz",), versions={})
    monday = night("monday", *(result(0, "exact", op=f"op{n}") for n in range(400)))
    text = render(against(monday, run))
    assert SIZE_LIMIT - 5_000 < len(text.encode()) <= SIZE_LIMIT
    left = re.search(r"Left out, .*: (\d+) changes, (\d+) causes, (\d+) ranked rows, (\d+) faults", text)
    assert int(left[1]) == 400 - text.count("| not known which |")
    assert (int(left[3]), int(left[4])) == (TOP, 400)


def test_only_the_top_of_the_ranking_is_shown():
    run = night("monday", *(result(0, "exact", op=f"op{n}") for n in range(TOP + 5)))
    text = render(run)
    assert f"### Ranking, the first {TOP} of {TOP + 5} rows" in text
    assert text.count("| exact |") == TOP


def test_a_huge_environment_is_left_out_too():
    run = run_of(result(0, "exact"), absent={f"backend{n}": "@" * 10_000 for n in range(1000)})
    text = render(run)
    assert len(text.encode()) <= SIZE_LIMIT
    assert re.search(r"Left out, .* \d+ environment lines", text)


def test_nothing_hostile_comes_through():
    ask = HOSTILE + " @maintainer closes #12 http://evil.example www.evil.example"
    changed = Comparison(HOSTILE, HOSTILE, ask, {ask: (ask, ask)})
    run = dataclasses.replace(HARMED, comparison=changed, run=ask, lost=(ask,))
    harmed = run_of(
        result(0, "wrong", op=ask, reason=ask, subject=ask),
        subjects=(ask,),
        findings=tuple(
            dataclasses.replace(f, causes=(told(ask),), witness=witness(inputs={ask: (1.0,)})) for f in HARMED.findings
        ),
    )
    for text in (render(run), render(harmed)):
        assert all(c.isprintable() or c == "\n" for c in text)
        assert not re.search(r"<(?!!-- -->)", text)
        assert "![" not in text
        for found in ("@maintainer", "#12", "http://", "www.evil"):
            assert found not in text
        for line in text.split("\n"):
            if line.startswith("|"):
                assert len(re.findall(r"(?<!\\)\|", line)) in (8, 10, 11)
