"""ulp errors by magnitude: against a count one by one."""

from __future__ import annotations

import math
from collections import Counter

import numpy as np
import pytest
from error_totals import totals
from hypothesis import given
from hypothesis import strategies as st

from opfuzz.core.floats import FLOAT32, FORMATS
from opfuzz.core.metrics.magnitude import (
    BANDS,
    CLASS_BAND,
    COLUMNS,
    LARGEST_BAND,
    binades,
    exponent,
    last_column,
    packed,
    unpacked,
)


def cell(exact: float, error: float, wrong: bool, fmt) -> tuple[int, int]:
    """By the definitions, with logarithms and loops."""
    band = 0
    while error > 2.0 ** (band - 1) and band < LARGEST_BAND:
        band += 1
    if wrong:
        band = CLASS_BAND
    if exact == 0:
        return 0, band
    power = math.frexp(exact)[1] - 1
    column = 1
    while column < last_column(fmt) and exponent(column + 1, fmt) <= power:
        column += 1
    return column, band


elements = st.tuples(
    st.floats(allow_nan=False, allow_infinity=False)
    | st.sampled_from([0.0, -0.0, 5e-324, 2.0**-149, 2.0**-126, 1.0, 65504.0]),
    st.floats(0, allow_infinity=False) | st.sampled_from([0.0, 0.5, np.nextafter(0.5, 1), 1.0, 2.0, 2.0**58, 2.0**59]),
    st.booleans(),
)


@given(st.lists(elements, max_size=50), st.sampled_from(sorted(FORMATS)))
def test_every_element_is_in_the_cell_of_its_size_and_error(found, name):
    fmt = FORMATS[name]
    exact, errors, wrong = (np.array([each[at] for each in found]) for at in range(3))
    cells = totals(errors, exact.astype(float), fmt=fmt, wrong=wrong.astype(bool)).by_magnitude
    assert dict(cells) == Counter(column * BANDS + band for column, band in (cell(*each, fmt) for each in found))
    assert list(unpacked(packed(cells))) == [(*divmod(place, BANDS), cells[place]) for place in sorted(cells)]


def test_an_error_without_a_size_is_not_looked_at():
    cells = totals([np.nan, 0.25], fmt=FLOAT32, wrong=np.array([True, False])).by_magnitude
    assert sorted(place % BANDS for place in cells) == [0, CLASS_BAND]


@pytest.mark.parametrize("name", FORMATS)
def test_columns_reach_from_the_smallest_to_the_largest_number(name):
    fmt = FORMATS[name]
    assert 2.0 ** exponent(1, fmt) == fmt.smallest_subnormal
    assert exponent(last_column(fmt), fmt) <= fmt.emax < exponent(last_column(fmt), fmt) + binades(fmt)
    assert last_column(fmt) <= COLUMNS
    with pytest.raises(ValueError, match="zero has no exponent"):
        exponent(0, fmt)


def test_an_error_beyond_float64_is_of_the_last_band_with_a_size():
    cells = totals([np.inf], fmt=FLOAT32).by_magnitude
    assert [place % BANDS for place in cells] == [LARGEST_BAND]
