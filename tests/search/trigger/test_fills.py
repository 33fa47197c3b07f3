"""Values at other sizes: repeated, cut, and still what the spec allows."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from minimal_calls import minimal
from toy_specs import LOOKUP, PRODUCT

from opfuzz.core.floats import BFLOAT16
from opfuzz.search.trigger.fills import CYCLE, LAST, MADE, ORDINARY, converted, remade, stretched

ROW = np.array([1, 2, 3])


@pytest.mark.parametrize(
    ("size", "fill", "values"),
    [
        (2, CYCLE, [1, 2]),
        (2, LAST, [2, 3]),
        (7, CYCLE, [1, 2, 3, 1, 2, 3, 1]),
        (7, LAST, [3, 1, 2, 3, 1, 2, 3]),
        (0, LAST, []),
    ],
)
def test_a_row_is_repeated_and_cut(size, fill, values):
    assert stretched(ROW, (size,), fill).tolist() == values
    assert stretched(np.tile(ROW, (2, 1)), (3, size), fill).tolist() == [values] * 3


def test_nothing_is_repeated_before_all_is_cut():
    tracemalloc.start()
    try:
        assert stretched(np.zeros((16, 32767), np.float32), (32767, 16), LAST).shape == (32767, 16)
        assert tracemalloc.get_traced_memory()[1] < 2**24
    finally:
        tracemalloc.stop()


def test_a_format_is_rounded_to_once():
    array = np.array([1 / 3], np.float32)
    assert converted(array, BFLOAT16).dtype == BFLOAT16.dtype
    assert converted(array, BFLOAT16)[0] == BFLOAT16.dtype.type(1 / 3)


@pytest.mark.parametrize("fill", [CYCLE, LAST, *ORDINARY, *MADE])
def test_indices_stay_below_and_rows_of_a_mask_keep_an_element(fill):
    call = minimal(LOOKUP, {"rows": 1, "columns": 2, "vocab": 9, "d": 4})
    call = call.with_arrays({"index": np.array([[8, 7]]), "keep": np.array([[True, False]])})
    made = remade(
        LOOKUP,
        call,
        fill,
        dims={"rows": 3, "columns": 1, "vocab": 5, "d": 8},
        params={},
        format="float16",
        layouts=dict.fromkeys(call.arrays, "broadcast"),
    )
    assert made.arrays["index"].shape == (3, 1)
    assert made.arrays["index"].max() < 5
    assert made.arrays["keep"].any(axis=-1).all()
    assert made.arrays["table"].dtype == np.float16
    assert (made.arrays["table"] == made.arrays["table"][:1]).all()


def filled(fill, **sizes):
    """The inputs of a product of matrices, filled anew."""
    call = minimal(PRODUCT, {"m": 1, "k": 2, "n": 1}, a=[[1000, 1002]], b=[[3], [3]])
    settings = {"params": call.params, "format": call.format, "layouts": call.layouts}
    return remade(PRODUCT, call, fill, dims={**call.dims, **sizes}, **settings).arrays


def test_no_input_is_like_another():
    for fill in ("normal", "negated", "uniform", "integers", "counts"):
        made = filled(fill, m=1, k=9, n=1)
        assert (made["a"].ravel() != made["b"].ravel()).any()
    rows = filled("thirds", m=2, k=5)["a"]
    assert (rows[1] == 2 * rows[0]).all()


def test_made_fills():
    alike = filled("alike", k=4000)
    assert abs(alike["a"].mean() - 1001) < 0.1
    assert abs(alike["a"].std() - 1) < 0.1
    assert alike["b"].std() > 0
    assert filled("peaked", k=4)["a"].tolist() == [[0, 0, 0, 8]]
    assert filled("padded", k=4)["a"].tolist() == [[1000, 1002, 0, 0]]
    assert filled("padded", k=1)["a"].tolist() == [[1000]]
