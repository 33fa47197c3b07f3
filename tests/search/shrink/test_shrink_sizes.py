"""Faults at a size whose fewest elements are known."""

from __future__ import annotations

import numpy as np
import pytest
from bundled_ops import BUNDLED_OPS
from several_outputs import SPLIT, TOTAL, of
from several_outputs import call_of as call_of_rows
from shrunk_calls import call_of, shrunk
from toy_specs import CONVOLUTION, LOOKUP, NORM, PRODUCT, UNARY

from opfuzz.core.call import Element
from opfuzz.search.shrink.resize import resized


def sizes(expression):
    """A fault that is there where the expression over dims and params is true."""
    return lambda call: bool(eval(expression, {}, {**call.dims, **call.params}))


@pytest.mark.parametrize(
    ("condition", "start", "least", "attempts"),
    [
        ("n >= 1025", 70000, 1025, 60),
        ("n >= 65537", 70000, 65537, 80),
        ("n == 128", 128, 128, 40),
        ("n in (128, 4096)", 4096, 128, 40),
        ("n % 32 != 0", 913, 1, 10),
        ("n % 32 != 0 and n > 32", 913, 33, 40),
        ("n % 8 != 0 and n > 8", 70001, 9, 60),
        ("n % 32 == 0 and n > 0", 4096, 32, 60),
        ("n % 7 == 0 and n > 0", 700, 7, 90),
        ("n % 2 == 1 and n >= 41", 913, 41, 50),
        ("n >= 0", 70000, 0, 10),
    ],
)
def test_one_dim(condition, start, least, attempts):
    found, count = shrunk(UNARY, call_of(UNARY, {"n": start}), sizes(condition))
    assert found.dims["n"] == least
    assert not found.arrays["x"].any()
    assert count <= attempts


@pytest.mark.parametrize(
    ("condition", "start", "least", "attempts"),
    [
        ("m >= 2 and n >= 2", (17, 65, 33), (2, 0, 2), 40),
        ("m >= 2 and n >= 2 and k > 0", (17, 65, 33), (2, 1, 2), 80),
        ("m * n > 0 and k > 32766", (3, 40000, 2), (1, 32767, 1), 110),
        ("m == n > 1 and k > 0", (17, 5, 17), (2, 1, 2), 100),
        ("m == n >= 9 and k > 0", (17, 5, 17), (9, 1, 9), 100),
        ("m == n == k >= 9", (17, 17, 17), (9, 9, 9), 200),
        ("m >= 16 and n >= 16 and k >= 67", (17, 90, 16), (16, 67, 16), 140),
    ],
)
def test_conditions_over_several_dims(condition, start, least, attempts):
    found, count = shrunk(PRODUCT, call_of(PRODUCT, dict(zip("mkn", start, strict=True))), sizes(condition))
    assert tuple(found.dims.values()) == least
    assert count <= attempts


@pytest.mark.parametrize("start", [(8, 100), (8, 10), (7, 5), (100, 3), (4, 9), (33, 1), (1, 40)])
def test_one_dim_is_traded_for_another(start):
    op = BUNDLED_OPS["softmax"]
    found, count = shrunk(op, call_of(op, dict(zip(("batch", "n"), start, strict=True))), sizes("batch * n >= 33"))
    assert found.dims == {"batch": 1, "n": 33}
    assert count <= 60


def test_one_position_and_several_batches():
    op = BUNDLED_OPS["attention"]
    start = call_of(op, {"batch": 5, "heads": 3, "queries": 1, "keys": 30, "d": 64})
    found, count = shrunk(op, start, sizes("queries == 1 and batch > 1"), (3, 2, 0, 5))
    assert found.dims == {"batch": 2, "heads": 1, "queries": 1, "keys": 1, "d": 1}
    assert count <= 40


def test_channels_beyond_65536():
    dims = {"n": 2, "c_in": 2, "c_out": 65538, "length": 3, "k": 2}
    start = call_of(CONVOLUTION, dims, {"groups": 2, "padding": 1})
    found, count = shrunk(CONVOLUTION, start, sizes("c_out > 65536 and n > 0"), (1, 65537, 0))
    assert found.dims == {"n": 1, "c_in": 1, "c_out": 65537, "length": 1, "k": 1}
    assert found.params == {param.name: param.default for param in CONVOLUTION.params}
    assert count <= 120


def test_a_param_gives_way_where_it_forbids_small_sizes():
    op = BUNDLED_OPS["group_norm"]  # whose default is 8 groups
    found, count = shrunk(op, call_of(op, {"n": 3, "c": 16, "length": 9}), sizes("n > 0"))
    assert found.params["groups"] == 1
    assert found.dims["c"] * found.dims["length"] == 2
    assert count <= 60


def test_params_that_matter_stay():
    start = call_of(
        CONVOLUTION,
        {"n": 3, "c_in": 8, "c_out": 12, "length": 20, "k": 3},
        {"groups": 4, "stride": 2, "dilation": 2, "padding": 3},
    )
    found, count = shrunk(CONVOLUTION, start, sizes("groups > 1 and dilation > 1 and k > 1 and n > 0"))
    assert found.params == {"groups": 2, "stride": 1, "dilation": 2, "padding": 1}  # which needs a shorter input
    assert (found.dims["k"], found.dims["length"]) == (2, 1)
    assert (found.dims["c_in"], found.dims["c_out"]) == (2, 2)
    assert count <= 220


def test_what_lies_along_one_dim_is_laid_along_another():
    """One number behind the first 2048 of a group: channels of one position, or positions of one channel."""
    op = BUNDLED_OPS["group_norm"]
    start = call_of(op, {"n": 1, "c": 3000, "length": 1}, {"groups": 1})

    def fails(call):
        size = call.dims["c"] // call.params["groups"] * call.dims["length"]
        return call.arrays["x"].reshape(-1, size)[:, 2048:].any() and call.arrays["weight"].any()

    found, count = shrunk(op, start, fails)
    assert (found.dims["c"], found.dims["length"]) == (1, 2049)
    assert count <= 160


def test_two_params_that_hold_each_other_give_way_together():
    start = call_of(
        CONVOLUTION, {"n": 1, "c_in": 1, "c_out": 1, "length": 1, "k": 2}, {"padding": 2, "dilation": 2, "stride": 3}
    )
    found, _ = shrunk(CONVOLUTION, start, sizes("k == 2 and padding == dilation and n == 1"))
    assert (found.params["padding"], found.params["dilation"]) == (1, 1)


def test_a_stride_may_leave_fewer_elements():
    start = call_of(CONVOLUTION, {"n": 1, "c_in": 1, "c_out": 1, "length": 1, "k": 2}, {"padding": 1})
    found, _ = shrunk(CONVOLUTION, start, sizes("k == 2 and padding == 1 and length == 1 and n == 1"))
    assert found.params == {"stride": 2, "padding": 1, "dilation": 1, "groups": 1}


def test_an_index_keeps_its_table_large():
    start = call_of(LOOKUP, {"rows": 20, "columns": 9, "vocab": 70000, "d": 32})
    found, count = shrunk(LOOKUP, start, lambda call: bool((call.arrays["index"] >= 32768).any()), (3, 3, 1))
    assert found.dims == {"rows": 1, "columns": 1, "vocab": 32769, "d": 4}
    assert found.arrays["index"].tolist() == [[32768]]
    assert count <= 120


def test_the_slice_that_matters_is_cut_out_first():
    x = np.random.default_rng(0).normal(size=(400, 300)).astype(np.float32)
    x[333, 222] = np.nan
    start = call_of(NORM, {"batch": 400, "d": 300}, x=x)
    asked = []

    def has_nan(call):
        asked.append(call.dims)
        return bool(np.isnan(call.arrays["x"]).any())

    found, count = shrunk(NORM, start, has_nan, (333, 222))
    assert asked[1] == {"batch": 1, "d": 300}
    assert found.dims == {"batch": 1, "d": 1}
    assert count <= 15
    nowhere, more = shrunk(NORM, start, has_nan)
    assert nowhere.dims == {"batch": 1, "d": 1}
    assert more <= 80


@pytest.mark.parametrize(("output", "index"), [("y", (4, 30)), ("mean", (4,))])
def test_the_place_is_followed_in_its_own_output(output, index):
    call = of(SPLIT, call_of_rows(np.arange(240).reshape(6, 40)))
    made, place = resized(SPLIT, call, Element(output, index), {"batch": 1, "d": 5}, {})
    assert place == Element(output, (0, 2) if output == "y" else (0,))
    assert made.arrays["x"][0, 0] == 4 * 40 + (28 if output == "y" else 0)
    assert resized(SPLIT, call, Element(output, index), {"batch": 0, "d": 5}, {})[1] is None


def test_a_place_without_axes_stays():
    call = of(TOTAL, call_of_rows(np.arange(240).reshape(6, 40)))
    made, place = resized(TOTAL, call, Element("", ()), {"n": 2, "d": 5}, {})
    assert (place, made.arrays["x"].shape) == (Element("", ()), (2, 5))
