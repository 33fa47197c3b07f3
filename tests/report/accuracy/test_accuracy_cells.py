"""Cells of the table: errors are rounded upwards, never down."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from swept_documents import document

from opfuzz.report.accuracy.cells import HALVES_BELOW, Wrong, rounded_up, table_of


@given(st.floats(0, HALVES_BELOW, exclude_max=True))
def test_small_errors_are_rounded_upwards_to_halves(ulp):
    shown = float(rounded_up(ulp))
    assert ulp <= shown <= ulp + 0.5
    assert (2 * shown).is_integer()


@given(st.floats(HALVES_BELOW, 1e300))
def test_large_errors_are_rounded_upwards_to_three_digits(ulp):
    shown = float(rounded_up(ulp))
    assert ulp <= shown <= 1.0101 * ulp
    assert float(f"{shown:.2e}") == shown


@pytest.mark.parametrize(
    ("ulp", "shown"),
    [(0.0, "0"), (0.5, "0.5"), (0.5000000000000001, "1"), (2.18855, "2.5"), (16777161.0, "1.68e7"), (9999.0, "1e4")],
)
def test_rounded_errors_in_words(ulp, shown):
    assert rounded_up(ulp) == shown


def test_a_cell_is_of_the_worse_side_and_of_all_wrong_classes():
    wrong = {**document()["mismatches"], "nan": 3}
    tail = {"max_ulp": 2.5, "max_ulp_at_most": 2.5, "at_hex": "0x4200", "mismatches": wrong}
    tail |= {"examples": {"nan": "0x7c00", "flushed": "0x1"}}
    (cell,) = table_of([document(tail=tail)], "").cells
    assert (cell.max_ulp, cell.at_hex, cell.flushed) == (2.5, "0x4200", 5)
    assert cell.wrong == (Wrong("nan", 3, "0x7c00"), Wrong("flushed", 5, "0x1"))
    assert cell.is_whole


def test_what_is_known_less_certainly_counts_with_its_bound():
    doubtful, sure = (
        table_of([document(max_ulp_at_most=most, tail={"max_ulp_at_most": most})], "").cells[0]
        for most in (1.6, 1.49034896 + 1e-4)
    )
    assert (doubtful.most, sure.most) == ("2", "1.5")
    assert (doubtful.told, sure.told) == (1.6, 1.49034896)


def test_a_climbed_cell_is_not_whole():
    (cell,) = table_of([document(format="float32", range=["0x0", "0x100000000"], sample=4096)], "").cells
    assert not cell.is_whole
    assert (cell.inputs, cell.possible) == (65536, 2**32)
