"""Reports show what was found, and nothing that a framework says can steer the reader's screen."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import pytest
from results import result, told, witness

from opfuzz.core.findings import Standing
from opfuzz.core.run import Run
from opfuzz.judge.ranking import Ranking
from opfuzz.report.run import markdown, terminal
from opfuzz.report.run.cause_lines import headline
from opfuzz.report.run.markdown import inert
from opfuzz.report.text import changes, effort, missing_lines, plain, quantity, shown

HOSTILE = "\x1b[31mred\x07\r\nnew | line `code` <script>alert(1)</script> ![x](http://y) \u202e # *bold* \x9b1m"


def run_of(*results, **fields) -> Run:
    ranking = Ranking()
    for item in results:
        ranking.add(item)
    run = Run(
        run="20260131-142530-s0",
        started="2026-01-31T14:25:30+01:00",
        command=("opfuzz", "run", "--op", HOSTILE),
        seed=0,
        subjects=("torch:cpu",),
        absent={"mlx:gpu": HOSTILE},
        versions={"torch": HOSTILE},
        machine={"processor": HOSTILE},
        cases=len(results),
        elements=200,
        seconds=1.5,
        interrupted=False,
        ranking=tuple(ranking.rows()),
        findings=tuple(ranking.findings()),
        distances=(),
    )
    return dataclasses.replace(run, **fields)


HARMED = run_of(
    result(0, "crash", reason=HOSTILE),
    result(0, "unsupported", op="relu", reason=HOSTILE, elements=0),
    result(0, "exact", op="tanh"),
)


def test_nothing_hostile_reaches_the_terminal():
    text = terminal.render(HARMED, Path("reports/r"), colour=False)
    assert all(c.isprintable() or c == "\n" for c in text)
    assert "\x1b" in terminal.render(HARMED, Path("reports/r"), colour=True)


def test_colour_adds_nothing_but_colour():
    coloured = terminal.render(HARMED, Path("r"), colour=True)
    assert re.sub(r"\x1b\[\d+m", "", coloured) == terminal.render(HARMED, Path("r"), colour=False)
    assert set(re.findall(r"\x1b\[\d+m", coloured)) == {"\x1b[31m", "\x1b[0m"}
    noted = terminal.render(run_of(result(0, "normwise")), Path("r"), colour=True)
    assert set(re.findall(r"\x1b\[\d+m", noted)) == {"\x1b[33m", "\x1b[0m"}


def test_nothing_hostile_reaches_markdown():
    text = markdown.render(HARMED)
    assert all(c.isprintable() or c == "\n" for c in text)
    assert "<script" not in text
    assert "![x]" not in text
    assert not re.search(r"(?<!\\)`", text.split("## Environment")[1])
    tables = [line for line in text.split("\n") if line.startswith("|")]
    widths = {len(re.findall(r"(?<!\\)\|", line)) for line in tables}
    assert widths == {10, 11, 8}, "nine columns of the causes, ten of the ranking, seven of the findings"


@pytest.mark.parametrize(
    ("text", "safe"),
    [
        ("a|b", r"a\|b"),
        ("<b>&amp;", "&lt;b&gt;&amp;amp;"),
        ("*x* _y_ `z` # ~q~", r"\*x\* \_y\_ \`z\` \# \~q\~"),
        ("@me #1 http://a www.b", r"@<!-- -->me \#<!-- -->1 http:<!-- -->//a www<!-- -->.b"),
        ("[t](u)", r"\[t\](u)"),
        ("back\\|slash", r"back\\\|slash"),
        ("line\nbreak\x1b[2J", "line\N{REPLACEMENT CHARACTER}break\N{REPLACEMENT CHARACTER}\\[2J"),
    ],
)
def test_inert(text, safe):
    assert inert(text) == safe


def test_plain_keeps_letters_of_every_script():
    assert plain("größe λ 値") == "größe λ 値"
    assert plain("\x00\x7f\x9b\u200b\u202e\ud800") == "\N{REPLACEMENT CHARACTER}" * 6


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0"),
        (0.5, "0.5"),
        (12345.6, "1.235e+04"),
        (1.67e7, "1.67e7"),
        (1e-9, "1e-9"),
        (6.2e40, "6.2e40"),
        (float("inf"), "inf"),
        (float("nan"), "nan"),
    ],
)
def test_quantity(value, text):
    assert quantity(value) == text


def test_a_witness_in_words():
    assert shown(None) == ""
    assert shown(witness()) == "x = 1 (0x3f800000): 1.5, exact 1.25"
    many = witness(inputs={"x": (1.0, 2.0), "w": (3.0,)}, inputs_hex={"x": ("0x1", "0x2"), "w": ("0x3",)})
    assert shown(many) == "[0, 2]: 1.5, exact 1.25"


def test_headline_counts_and_says_what_is_odd():
    run = run_of(result(0, "wrong"), result(1, "normwise"), result(0, "exact", op="tanh"))
    where = "in 2 ops (torch:cpu; float32)"
    assert headline(run) == f"1 cause behind 1 fault {where}; none touch ordinary values, of 1 it is not known"
    assert effort(run) == "3 cases, 200 elements, 2 s, seed 0; 1 note in the report"
    assert headline(dataclasses.replace(run, interrupted=True)).startswith("interrupted, ")
    nothing = run_of(result(0, "unsupported", elements=0))
    assert headline(nothing) == "no fault in 1 op (torch:cpu; float32)"
    assert effort(nothing).startswith("every case is unsupported")


def test_the_terminal_says_what_is_absent_and_where_the_rest_lies():
    run = run_of(result(0, "exact"), absent={"mlx:gpu": "no GPU"})
    lines = terminal.render(run, Path("reports/r"), colour=False).rstrip("\n").split("\n")
    assert lines[-1] == "reports/r/report.md"
    assert "absent: mlx:gpu: no GPU" in lines
    assert "Findings" not in "\n".join(lines)


def every_row(run, width=None):
    """The ranking in full, under its headline and its causes."""
    sections = terminal.render(run, Path("r"), colour=False, width=width, rows="all").split("\n\n")
    return next(each for each in sections if each.startswith("op "))


def test_without_a_width_no_row_is_cut():
    assert "…" not in every_row(HARMED)
    assert "# *bold* \N{REPLACEMENT CHARACTER}1m" in every_row(HARMED)


def test_columns_of_the_ranking():
    ranking = every_row(HARMED)
    names = ["op", "subject", "format", "verdict", "max ulp", "p99 ulp", "conditioned", "excess", "bits", "witness"]
    assert re.split(r" {2,}", ranking.split("\n")[0].strip()) == names
    for line, row in zip(ranking.split("\n")[2:], HARMED.ranking, strict=True):
        assert line.split()[:4] == [row.op, row.subject, row.format, row.verdict]


def test_drift_is_shown_where_a_profile_was_given():
    ranking = Ranking({"gelu": 3.1e-7})
    for case in (result(0, "exact", rms_ulp=2.0), result(0, "exact", rms_ulp=2.0, op="tanh")):
        ranking.add(dataclasses.replace(case, near=True))
    run = dataclasses.replace(run_of(), ranking=tuple(ranking.rows()), profile="my_<decoder>")
    head, _, *rows = every_row(run).split("\n")
    place = head.index("drift")
    assert head.index("excess") < place < head.index("bits")
    assert [row[place : place + 9].strip() for row in rows] == ["6.2e-7", ""]
    text = markdown.render(run)
    assert "| drift " in text
    assert "**drift**: what the errors of this op alone do to the output of the pipeline my\\_&lt;decoder&gt;" in text
    assert "drift" not in markdown.render(dataclasses.replace(run, profile=None))


@pytest.mark.parametrize(("width", "kept"), [(None, True), (110, True), (109, False)])
def test_a_narrow_terminal_has_fewer_columns(width, kept):
    header = every_row(run_of(result(0, "exact")), width).split("\n")[0]
    assert [name in header for name in ("p99 ulp", "conditioned", "bits")] == [kept] * 3
    assert "max ulp" in header
    assert "excess" in header


def test_lines_fit_a_narrow_terminal():
    for rows in ("ops", "all"):
        lines = terminal.render(HARMED, Path("r"), colour=False, width=60, rows=rows).split("\n")
        assert max(map(len, lines)) == 60


def test_flushing_is_said_once_a_subject():
    run = run_of(result(0, "exact", flushed=2), result(0, "exact", op="tanh", flushed=3))
    assert "torch:cpu returned zero for 5 subnormal results" in markdown.render(run)


def test_the_same_run_gives_the_same_text():
    assert markdown.render(HARMED) == markdown.render(HARMED)


def test_a_fault_is_shown_with_its_diagnosis():
    finding = dataclasses.replace(HARMED.findings[0], causes=(told("it rounds a to 8 bits; " + HOSTILE),))
    run = dataclasses.replace(HARMED, findings=(finding, *HARMED.findings[1:]))
    lines = terminal.render(run, Path("r"), colour=False).split("\n")
    place = next(i for i, line in enumerate(lines) if finding.id in line)
    assert lines[place - 1].startswith("torch gelu: it rounds a to 8 bits; ")
    assert lines[place].endswith(f"findings/{finding.id}/repro.py")
    assert "it rounds a to 8 bits" in markdown.render(run)


def test_what_was_not_made_again_is_said_with_what_is_known_of_it():
    known = Standing("4d0e", "gelu", "torch:cpu", "float32", "wrong", "", "not replayed", why="changed")
    damaged = Standing("51c3", "", "", "", "", "", "not replayed", why="call.json: missing")
    still = Standing("77aa", "gelu", "torch:cpu", "float32", "wrong", "wrong", "open")
    assert changes(run_of(replayed=(known, damaged, still))) == [
        "not made again: gelu on torch:cpu in float32, wrong (4d0e): changed",
        "not made again: 51c3: call.json: missing",
        "of 3 faults of earlier runs 1 are still there, 2 not made again",
    ]
    assert changes(run_of(replayed=(still,))) == ["of 1 fault of earlier runs 1 are still there"]


def test_missing_outputs_are_counted_and_the_first_are_named():
    lacking = tuple(f"case {number} of gelu in float32 (c{number})" for number in range(6))
    run = run_of(result(0, "exact", subject="swift"), recorded={"swift": lacking, "c": ()})
    (line,) = missing_lines(run)
    assert line == (
        "missing: swift has neither an output nor a word for 6 cases: "
        + "; ".join(lacking[:4])
        + "; and 2 more, all in run.json"
    )
    assert "(6 more are missing)" in effort(run)
    assert line[:99] in terminal.render(run, Path("reports/r"), colour=False)
    assert "## Missing outputs" in markdown.render(run)
    whole = run_of(result(0, "exact", subject="swift"), recorded={"swift": ()})
    assert missing_lines(whole) == []
    assert "missing" not in markdown.render(whole).lower()


def test_findings_of_recorded_outputs_lead_to_their_next_steps():
    both = run_of(result(0, "wrong"), result(1, "wrong", subject="swift/fast"), recorded={"swift": ()})
    assert [both.is_recorded(name) for name in ("swift", "swift/fast", "swift:gpu", "torch:cpu")] == [
        True, True, False, False,
    ]  # fmt: skip
    words = "`findings/<id>/repro.py` shows it without opfuzz, and of recorded outputs `findings/<id>/next.md` says"
    assert words in markdown.render(both)
    alone = markdown.render(run_of(result(1, "wrong", subject="swift"), recorded={"swift": ()}))
    assert "repro.py" not in alone
    assert "next.md" in alone
