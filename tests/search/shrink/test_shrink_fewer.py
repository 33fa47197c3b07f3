"""Fewer elements than the values at hand show: with other params, and with other values."""

from __future__ import annotations

import numpy as np
import pytest
from bundled_ops import BUNDLED_OPS
from shrunk_calls import call_of, shrunk
from toy_specs import LOOKUP, NORM, UNARY


def sizes(expression):
    """A fault that is there where the expression over dims and params is true."""
    return lambda call: bool(eval(expression, {}, {**call.dims, **call.params}))


@pytest.mark.parametrize(
    ("condition", "params"),
    [
        ("k >= 2 and n > 0", {}),
        ("k >= 2 and n > 0", {"padding": 2}),
        ("k >= 2 and dilation >= 2 and n > 0", {"dilation": 2}),
    ],
)
def test_padding_makes_an_input_shorter_than_its_kernel(condition, params):
    op = BUNDLED_OPS["conv1d"]
    dims = {"n": 2, "c_in": 4, "c_out": 4, "length": 30, "k": 5}
    found, count = shrunk(op, call_of(op, dims, params), sizes(condition))
    assert op.elements(found.dims, found.params) == 4  # one of the input, two of the kernel, one result
    assert count <= 150


def row(call):
    return call.arrays["x"].astype(np.float64).reshape(-1)


@pytest.mark.parametrize(
    "fails",
    [
        lambda x: (x.size >= 3 and (x == 1).any()) or (x <= -2).any(),  # a tail in which the error is larger
        lambda x: (x.size >= 7 and (abs(x) > 0.5).any()) or (abs(x) > 3).any(),
        lambda x: np.isnan(x).any() and (x.size > 4 or np.isnan(x[-1])),
    ],
)
def test_other_values_show_it_with_one_element(fails):
    x = np.random.default_rng(0).normal(size=40).astype(np.float32)
    x[7], x[30] = np.nan, 1.0
    found, count = shrunk(UNARY, call_of(UNARY, {"n": 40}, x=x), lambda call: bool(fails(row(call))))
    assert found.dims == {"n": 1}
    assert count <= 150


def test_what_a_sum_leaves_out_is_made_to_matter():
    """Beyond 1024 elements the rest is left out, which shows when it is a fifth of all."""

    def fails(call):
        weights = np.exp(row(call))
        return call.dims["batch"] == 1 and weights[1024:].sum() > 0.2 * weights.sum()

    found, count = shrunk(NORM, call_of(NORM, {"batch": 1, "d": 1500}, x=np.zeros((1, 1500), np.float32)), fails)
    assert found.dims == {"batch": 1, "d": 1025}
    assert count <= 120


def test_a_sum_that_overflows_on_the_way():
    def fails(call):
        with np.errstate(over="ignore"):
            narrow = np.cumsum(call.arrays["x"].reshape(-1), dtype=np.float16)
        is_lost = np.isinf(narrow) & (abs(np.cumsum(row(call))) < 65504)
        return call.dims["batch"] == 1 and bool(is_lost.any())

    x = np.array([[20000.0] * 4 + [-20000.0] * 2], np.float16)
    found, count = shrunk(NORM, call_of(NORM, {"batch": 1, "d": 6}, format="float16", x=x), fails)
    assert found.dims == {"batch": 1, "d": 3}
    assert count <= 250


def test_a_row_of_another_infinity_beside_the_first():
    def fails(call):
        if not call.arrays["index"].size:
            return False
        row = int(call.arrays["index"].flat[0])
        table = call.arrays["table"].astype(np.float64)
        return bool(np.isinf(table[row]).any() and (table[row] != table[(row + 1) % len(table)]).any())

    table = np.zeros((12, 4), np.float32)
    table[10], table[11] = np.inf, -np.inf
    dims = {"rows": 1, "columns": 1, "vocab": 12, "d": 4}
    found, count = shrunk(LOOKUP, call_of(LOOKUP, dims, index=np.array([[10]]), table=table), fails)
    assert found.dims["vocab"] == 2
    assert count <= 250


def test_another_view_shows_it_at_a_smaller_size():
    """The last row is read from another place where rows do not follow one another."""

    def fails(call):
        is_apart = call.layouts["table"] in ("narrowed", "stepped")
        return is_apart and call.dims["rows"] > 0 and (call.dims["d"] > 4 or bool(call.arrays["index"].any()))

    dims = {"rows": 1, "columns": 1, "vocab": 3, "d": 32}
    start = call_of(LOOKUP, dims, layouts={"table": "narrowed"}, index=np.zeros((1, 1), np.int64))
    found, count = shrunk(LOOKUP, start, fails)
    assert (found.dims["vocab"], found.dims["d"]) == (2, 4)
    assert count <= 250
