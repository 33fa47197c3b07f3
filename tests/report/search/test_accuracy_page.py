"""The page of accuracies, from what sweeps found."""

from __future__ import annotations

from test_sweep_reports import FIGURES, made

from opfuzz.report.search.accuracy_page import accuracy_page

WHOLE = {
    "range": ["0x0", "0x10000"],
    "params": {},
    "versions": {"torch": "2.13.0"},
    "environment": {},
    "processor": "X1",
}


def document(subject="torch:cpu", format="float16", op="rsqrt", tail=None, **figures):
    seen = {"examples": {"flushed": "0x1"}}
    own = {**WHOLE, **seen, **figures, "subject": subject, "format": format, "op": op}
    return {**made(**{**seen, **(tail or {})}), **own}


def rows(page, heading):
    """The cells of each row of the first table below a heading."""
    section = page.split(heading, 1)[1].split("\n\n")
    table = next(part for part in section if part.startswith("|"))
    return [line[2:-2].split(" | ") for line in table.splitlines()[2:]]


def test_a_cell_has_the_largest_error_of_body_and_tail_and_its_input():
    page = accuracy_page(
        [document(tail={"max_ulp": 2.5, "at": 3.0, "at_hex": "0x4200"}), document("mlx:cpu")],
        "opfuzz sweep --page p",
        "AVX2",
    )
    assert rows(page, "## float16") == [
        ["`rsqrt`", "2.5 at 3 (0x4200)<br>flushed 5", "1.49035 at 1 (0x3c00)<br>flushed 5"]
    ]
    assert "of torch 2.13.0, on X1 with AVX2." in page
    assert "`opfuzz sweep --page p`\nwrites this page" in page
    assert "All 65536 inputs." in page
    assert "All 256 inputs from 0x100 to 0x1ff." in accuracy_page([document(range=["0x100", "0x200"])], "", "")


def test_params_are_named_and_what_was_not_swept_is_an_empty_cell():
    found = [
        document(op="elu", params={"alpha": 1.0}),
        document("mlx:cpu", op="exp", max_ulp=0.0, tail={"max_ulp": 0.0}),
    ]
    named, other = rows(accuracy_page(found, "", ""), "## float16")
    assert named == ["`elu` (alpha=1.0)", "1.49035 at 1 (0x3c00)<br>flushed 5", ""]
    assert other == ["`exp`", "", "0<br>flushed 5"]


def test_answers_of_the_wrong_class_are_counted_with_their_first_input():
    none = FIGURES["mismatches"]
    wrong = {"mismatches": {**none, "nan": 2}, "examples": {"nan": "0x7c00", "inf": "0x1234", "flushed": "0x1"}}
    more = {**wrong, "mismatches": {**none, "nan": 2, "inf": 7}, "flushed": 0}
    page = accuracy_page([document(**wrong, flushed=0, tail=more)], "", "")
    assert rows(page, "## float16")[0][1] == "1.49035 at 1 (0x3c00)<br>NaN 2<br>inf 7"
    told = rows(page, "## Answers of the wrong class")
    assert [row[-2:] for row in told] == [["2", "0x7c00"], ["7", "0x1234"]]
    clean = document(flushed=0, tail={"flushed": 0})
    assert accuracy_page([clean], "", "").rstrip().endswith("None.")


def test_a_sample_is_said_to_be_one_and_ops_are_counted_by_their_error():
    figures = [0.25, 0.75, 3.0, 80.0]
    found = [
        document(
            format="float32", op=f"op{i}", range=["0x0", "0x100000000"], max_ulp=e, sample=4096, tail={"max_ulp": e}
        )
        for i, e in enumerate(figures)
    ]
    page = accuracy_page(found, "", "")
    assert "A **sample**: 4096 of the 4294967296 inputs," in page
    assert rows(page, "# How accurate") == [["float32", "torch:cpu", "4", "1", "2", "3", "1", "4"]]
