"""A finding and a cause in the terminal: where they err, in 80 columns, whatever a framework wrote."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pages import full_run

from opfuzz.core.floats import FORMATS
from opfuzz.core.metrics.magnitude import BANDS as BANDS_OF_A_COLUMN
from opfuzz.core.metrics.magnitude import CLASS_BAND, LARGEST_BAND, exponent, last_column, packed
from opfuzz.report.finding.error_plot import LABEL, error_plot
from opfuzz.report.finding.shown import show_cause, show_finding
from opfuzz.report.run.cause_lines import faulty, with_causes
from opfuzz.report.run.next_commands import next_commands


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("run")


@pytest.fixture(scope="module")
def run(folder):
    return with_causes(full_run(folder))


def row_of(run, fmt, cells):
    """A row with so many elements in each column and band."""
    counts = packed({column * BANDS_OF_A_COLUMN + band: count for (column, band), count in cells.items()})
    return replace(run.ranking[0], format=fmt, by_magnitude=counts)


def test_an_error_stands_above_the_size_of_its_result(run):
    one = next(column for column in range(1, 70) if exponent(column + 1, FORMATS["float16"]) > 0)
    last = last_column(FORMATS["float16"])
    row = row_of(run, "float16", {(one, 0): 950, (one, 5): 50, (0, 0): 7, (last, CLASS_BAND): 1})
    lines = error_plot(row, 1.0)
    marks = {line[:LABEL].strip(): line[LABEL + 1 :] for line in lines if "|" in line}
    assert list(marks) == ["NaN, inf", "16", "8", "4", "2", "1", "0.5"]
    assert marks["16"] == " " * one + "+"  # 5 %, above 8 ulp and up to 16
    assert marks["0.5"] == "#" + " " * (one - 1) + "#"
    assert marks["NaN, inf"] == " " * last + "#"
    axis, pointed = lines[-3], lines[-2]
    assert axis[LABEL + 1 + one] == "1"
    assert pointed.index("^") == LABEL + 1 + one
    assert axis.split() == ["0", "2^-24", "1", "2^15"]


CELLS = st.dictionaries(
    st.tuples(st.integers(0, 20), st.one_of(st.integers(0, LARGEST_BAND), st.just(CLASS_BAND))),
    st.integers(1, 10**6),
    min_size=1,
    max_size=30,
)


@pytest.fixture(scope="module")
def plot(run):
    """A function, whose words in a report of a failure are few."""
    return lambda fmt, cells, exact: error_plot(row_of(run, fmt, cells), exact)


@given(cells=CELLS, fmt=st.sampled_from([*FORMATS]), exact=st.floats(allow_nan=True, allow_infinity=True))
def test_it_is_never_wider_than_a_terminal_and_shows_every_cell(plot, cells, fmt, exact):
    lines = plot(fmt, cells, exact)
    assert max(map(len, lines)) <= 80
    assert len(lines) <= 16
    marks = [line[LABEL + 1 :] for line in lines if line[LABEL : LABEL + 1] == "|"]
    assert {at for line in marks for at, mark in enumerate(line) if mark != " "} == {column for column, _ in cells}


def test_a_row_without_counts_has_no_picture(run):
    assert error_plot(replace(run.ranking[0], by_magnitude=()), 1.0) == []
    assert error_plot(replace(run.ranking[0], format="float8"), 1.0) == []


def test_every_finding_and_cause_fits_and_is_inert(run, folder):
    for finding in run.findings:
        text = show_finding(finding, run, folder, colour=False)
        assert text.startswith(f"{finding.op} on {finding.subject} in {finding.format}: {finding.verdict}"[:70])
        assert finding.id in text
        told = [
            line for line in text.splitlines() if not line.startswith(("  program", "  report", "  again", "  next"))
        ]
        assert max(map(len, told)) <= 80
        assert text.replace("\n", "").isprintable()
    for common in faulty(run):
        text = show_cause(common, run, folder, colour=False)
        assert common.id in text
        assert common.findings[0] in text
        assert text.replace("\n", "").isprintable()


def test_colour_only_where_it_is_wanted(run, folder):
    fault = next(finding for finding in run.findings if finding.severity == "fault")
    assert show_finding(fault, run, folder, colour=True).startswith("\x1b[1m\x1b[31m")
    assert "\x1b" not in show_finding(fault, run, folder, colour=False)


def test_three_commands_for_the_worst_cause(run, folder):
    common = faulty(run)[0]
    place = folder / common.path
    place.mkdir(parents=True, exist_ok=True)
    for name in ("repro.py", "upstream.md"):
        (place / name).write_text("x")
    lines = next_commands(run, folder)
    assert lines[0] == "next, for the worst cause:"
    assert [line.split("  ")[1] for line in lines[1:4]] == [
        f"opfuzz show {common.id} --reports {folder.parent}",
        f"python {place / 'repro.py'}",
        f"opfuzz accept {common.id} --reason ... --reports {folder.parent}",
    ]
    assert lines[4] == f"  {place / 'upstream.md'}"
    assert next_commands(replace(run, findings=(), causes=()), folder) == []
