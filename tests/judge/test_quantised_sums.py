"""Products of quantised weights in half formats: sums in the format have their name, and nothing else is told."""

from __future__ import annotations

import numpy as np
import pytest
from bundled_ops import BUNDLED_OPS
from diagnoses import told

from opfuzz.core.call import Call
from opfuzz.judge.diagnose.meanings import readings
from opfuzz.judge.score import score
from opfuzz.oracle.reference import references_of

SIZES = {"m": 2, "n": 32, "k": 2048}


def sequential(x, weight, group):
    """Sums in float16, one by one, of each group and then of all groups."""
    x, weight = x.astype(np.float16), weight.astype(np.float16)
    total = np.zeros((x.shape[0], weight.shape[1]), np.float16)
    for start in range(0, x.shape[1], group):
        part = np.zeros_like(total)
        for k in range(start, min(start + group, x.shape[1])):
            part = part + x[:, k, None] * weight[k]
        total = total + part
    return total


def lanes(x, weight, count):
    parts = [sequential(x[:, i::count], weight[i::count], 2**20) for i in range(count)]
    return sum(parts[1:], parts[0])


def say(op, function, x, codes):
    regimes = {"x": x, "codes": codes, "scales": "middle_index"}
    return told(op, {"np.matmul": function}, "float16", regimes=regimes, **SIZES)


IN_GROUPS = ("quantized_matmul_mxfp4", "quantized_matmul_mxfp8")
WHOLE = ("quantized_matmul_untransposed_mxfp4",)


@pytest.mark.parametrize(
    ("op", "function", "x", "words"),
    [
        *((op, lambda x, w: sequential(x, w, 32), "unit", "sums strictly sequentially") for op in IN_GROUPS),
        *((op, lambda x, w: sequential(x, w, x.shape[1]), "unit", "sums strictly sequentially") for op in WHOLE),
        *((op, lambda x, w: lanes(x, w, 8), "ones", "sums in 8 lanes") for op in WHOLE),
    ],
)
def test_sums_in_a_half_format_are_told(op, function, x, words):
    found = say(op, function, x, "equal_index")
    assert f"{words} in float16" in found
    assert "factors of 8 bits" not in found


@pytest.mark.parametrize(
    "function",
    [
        lambda x, w: np.matmul(x.astype(np.float32), w),
        lambda x, w: np.matmul(x.astype(np.float64), w.astype(np.float16)),
        lambda x, w: 1.25 * np.matmul(x, w),
    ],
)
@pytest.mark.parametrize("op", [IN_GROUPS[0], *WHOLE])
def test_other_products_are_not_taken_for_them(op, function):
    found = say(op, function, "unit", "equal_index")
    assert "sums" not in found
    assert "factors" not in found


@pytest.mark.parametrize("layout", ["stepped", "narrowed", "offset", "transposed"])
def test_what_lies_between_indices_is_no_place(layout):
    """It is far beyond every axis, and nothing is called with it."""
    codes = np.arange(24).reshape(4, 6)
    for kind, wrongly in readings(codes, layout):
        assert set(wrongly.ravel().tolist()) <= set(range(24)), kind


def test_a_tie_that_is_rounded_away_from_zero_is_wrong_where_nothing_else_is_rounded():
    x = np.array([[1.0625, 1.1875, 17, 19, 1.0]], np.float32)
    (reference,) = references_of(
        BUNDLED_OPS["to_float8_e4m3fn"], Call("float32", {"batch": 1, "d": 5}, {}, {"x": x}, {})
    )
    away = score(np.array([[1.125, 1.25, 18, 20, 1.0]], np.float32), reference)
    assert (away.verdict, away.cause.kind) == ("wrong", "unexplained")
    assert score(np.array([[1.0, 1.25, 16, 20, 1.0]], np.float32), reference).verdict == "exact"
