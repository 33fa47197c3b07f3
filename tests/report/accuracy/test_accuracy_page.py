"""The page of accuracies, from what sweeps found."""

from __future__ import annotations

from swept_documents import NONE, document

from opfuzz.report.accuracy.cells import table_of
from opfuzz.report.accuracy.markdown import render


def page_of(documents, command="", **more):
    return render(table_of(documents, command, **more))


def rows(page, heading):
    """The cells of each row of the first table below a heading."""
    section = page.split(heading, 1)[1].split("\n\n")
    table = next(part for part in section if part.startswith("|"))
    return [line[2:-2].split(" | ") for line in table.splitlines()[2:]]


def test_a_cell_has_the_largest_error_of_body_and_tail_and_its_input():
    worse = {"max_ulp": 2.25, "max_ulp_at_most": 2.25, "at": 3.0, "at_hex": "0x4200"}
    page = page_of([document(tail=worse), document("mlx:cpu")], "opfuzz accuracy -o p.md")
    assert rows(page, "## float16") == [["`rsqrt`", "2.5 at 0x4200<br>flushed 5", "1.5 at 0x3c00<br>flushed 5"]]
    assert "of torch 2.13.0, on X1 with AVX2." in page
    assert "`opfuzz accuracy -o p.md`\nwrites this page" in page
    assert "All 65536 inputs." in page


def test_params_are_named_and_what_was_not_swept_is_an_empty_cell():
    found = [document(op="elu", params={"alpha": 1.0}), document("mlx:cpu", op="exp", **NONE)]
    named, other = rows(page_of(found), "## float16")
    assert named == ["`elu` (alpha=1.0)", "1.5 at 0x3c00<br>flushed 5", ""]
    assert other == ["`exp`", "", "0<br>flushed 5"]
    assert "## Not measured\n\n* exp torch:cpu float16: crash" in page_of(
        found, missing=["exp torch:cpu float16: crash"]
    )


def test_answers_of_the_wrong_class_are_counted_with_their_first_input():
    none = document()["mismatches"]
    wrong = {"mismatches": {**none, "nan": 2}, "examples": {"nan": "0x7c00", "inf": "0x1234", "flushed": "0x1"}}
    more = {**wrong, "mismatches": {**none, "nan": 2, "inf": 7}, "flushed": 0}
    page = page_of([document(**wrong, flushed=0, tail=more)])
    assert rows(page, "## float16")[0][1] == "1.5 at 0x3c00<br>NaN 2<br>inf 7"
    told = rows(page, "## Answers of the wrong class")
    assert [row[-2:] for row in told] == [["2", "0x7c00"], ["7", "0x1234"]]
    clean = document(flushed=0, tail={"flushed": 0})
    assert page_of([clean]).rstrip().endswith("None.")


def test_what_is_climbed_is_said_to_be_and_ops_are_counted_by_their_error():
    whole = {"format": "float32", "range": ["0x0", "0x100000000"], "sample": 4096}
    found = [document(op=f"op{i}", **whole, **of(error)) for i, error in enumerate((0.25, 0.75, 3.0, 80.0))]
    page = page_of(found)
    assert "**Climbed**, not whole: 4096 of the 4294967296 inputs," in page
    assert rows(page, "# How accurate") == [["float32", "torch:cpu", "4", "1", "2", "3", "1", "4"]]


def of(error):
    figures = {"max_ulp": error, "max_ulp_at_most": error}
    return {**figures, "tail": figures}
