"""That an intermediate overflows in a half format is told where nothing else is lost, and what was lost comes back."""

from __future__ import annotations

import numpy as np
import pytest
from diagnosed_arrays import diagnosis

from opfuzz.report.causes.kinds import WORDS

OVERFLOWS = ("overflows-inside", "float16")
ROW = np.array([[40000.0, 40000.0, -30000.0, 1.0]])
SAME = np.full((1, 64), 2000.0)
ALTERNATING = np.tile([40000.0, -40000.0], (1, 64))


def told(function, x, op="mean"):
    return diagnosis(op, lambda x, layouts: function(x), {"x": x}, "float16", batch=len(x), n=x.shape[1])


def test_squares_that_are_beyond_the_format():
    def norm(x):
        return np.sqrt((x * x).astype(np.float16).astype(np.float32).sum(-1))

    assert OVERFLOWS in told(norm, np.array([[300.0, 1.0, -2.0, 0.0]]), "norm")


def test_zeros_that_an_overflow_inside_leaves_are_told_as_that():
    """x over the root of an infinity: no note of roundings, nor of where eps is added."""

    def of_half_squares(x, weight, layouts, eps):
        squares = (x * x).astype(np.float16).astype(np.float32)
        return x / np.sqrt(squares.mean(-1, keepdims=True) + eps) * weight

    arrays = {"x": np.array([[300.0, 1.0, -2.0, 0.5], [1.0, 400.0, 2.0, -2.0]]), "weight": np.ones(4)}
    said = diagnosis("rms_norm", of_half_squares, arrays, "float16", batch=2, d=4)
    assert said[0] == OVERFLOWS, said


def test_a_wrong_number_that_no_overflow_leaves_is_none():
    """x / (1 + exp(-x)) overflows in float16 below -11.1, and leaves zeros, not twice the right number."""

    def doubled(x, layouts):
        x = x.astype(np.float64)
        return x / (1 + np.exp(-x)) * np.where(x < -11.2, 2, 1)

    said = diagnosis("silu", doubled, {"x": np.array([[-12.0, -11.5, 1.0, 2.0]])}, "float16", batch=1, n=4)
    assert OVERFLOWS not in said


def test_a_running_product_that_comes_back_to_zero():
    product = np.array([[300.0, 300.0, 0.0]])
    said = told(lambda x: np.multiply.accumulate(x.astype(np.float16), axis=-1), product, "cumprod")
    assert OVERFLOWS in said


@pytest.mark.parametrize(
    ("limit", "row"),
    [
        (1000.0, ROW / 8),
        (30000.0, np.array([[40000.0, 10000.0, -30000.0, 1.0]])),
        (39000.0, ALTERNATING),
        (1500.0, SAME),
    ],
)
def test_a_bound_on_values_is_no_overflow(limit, row):
    """NaN where all sizes add up to less than the format holds is not; nor numbers where they are far beyond it."""
    assert OVERFLOWS not in told(lambda x: np.where(np.abs(x).max(-1) > limit, np.nan, x.mean(-1)), row)


def test_a_function_that_is_lost_far_beyond_where_exp_overflows():
    """exp(x) is beyond float16 from 11.1 on."""
    said = told(lambda x: np.where(x > 88, np.nan, 1 / (1 + np.exp(-x))), np.array([[100.0, 200.0, 1.0]]), "sigmoid")
    assert "overflows-inside" not in {kind for kind, _ in said}


@pytest.mark.parametrize("limit", [500.0, 2000.0, 8000.0])
def test_a_bound_far_beyond_where_a_square_overflows_is_no_overflow(limit):
    def norm(x):
        return np.where(np.abs(x).max(-1) > limit, np.nan, np.sqrt((x * x).sum(-1)))

    assert OVERFLOWS not in told(norm, np.array([[0.3, -0.7, 0.2, 1.1]]) * limit, "norm")


def test_one_element_that_is_lost_by_chance_is_no_overflow():
    def first_lost(x):
        means = x.mean(-1)
        means[0] = np.inf
        return means

    assert OVERFLOWS not in told(first_lost, np.concatenate([ROW, ROW / 64]))


@pytest.mark.parametrize(
    ("bound", "is_exp"), [(np.log(3.4028235e38), True), (88.4, False), (88.77, False), (89.0, False)]
)
def test_a_function_that_is_infinite_wherever_exp_is(bound, is_exp):
    def cosh(x, layouts):
        return np.where(np.abs(x) > bound, np.inf, np.cosh(x.astype(np.float64)))

    said = diagnosis("cosh", cosh, {"x": np.array([[89.2]])}, batch=1, n=1)
    steps = [cause.figures.get("step") for cause in said.causes if cause.kind == "overflows-inside"]
    assert steps == (["exp(x)"] if is_exp else [])
    assert not any("infinite" in WORDS[cause.kind](cause) for cause in said.causes)  # what overflows may end as NaN


@pytest.mark.parametrize("bound", [88.4, 88.65, 88.77, 89.0])
def test_what_is_infinite_from_elsewhere_is_not_written_by_exp(bound):
    def cosh(x, layouts):
        return np.where(np.abs(x) > bound, np.inf, np.cosh(x.astype(np.float64)))

    def sinh(x, layouts):
        return np.where(np.abs(x) > np.log(3.4028235e38), np.inf, np.sinh(x.astype(np.float64)))  # of either sign

    for op, function in (("cosh", cosh), ("sinh", sinh)):
        said = diagnosis(op, function, {"x": np.array([[89.2]])}, batch=1, n=1)
        assert not [cause for cause in said.causes if cause.kind == "formula"], op


def test_what_vectors_alone_lose_is_told_where_other_code_computes_the_rest():
    def cosh(x, layouts):
        x, vectors = x.astype(np.float64), x.size // 16 * 16
        is_lost = (np.abs(x) > np.log(3.4028235e38)) & (np.arange(x.size).reshape(x.shape) < vectors)
        return np.where(is_lost, np.inf, np.cosh(x))

    said = diagnosis("cosh", cosh, {"x": np.full((1, 16), 89.2)}, batch=1, n=16)
    assert "exp(x)" in [cause.figures.get("step") for cause in said.causes]


def test_a_running_logarithm_that_rounds_each_step_accumulates_in_the_format():
    def running(x, layouts):
        rows = x.astype(np.float16)
        for i in range(1, rows.shape[1]):
            largest, least = np.maximum(rows[:, i - 1], rows[:, i]), np.minimum(rows[:, i - 1], rows[:, i])
            rows[:, i] = largest + np.log1p(np.exp(least - largest))
        return rows

    x = np.array([[-0.75, -0.5, *[0.0] * 8]])
    assert diagnosis("logcumsumexp", running, {"x": x}, "float16", batch=1, n=10)[0] == ("accumulates-in", "float16")


def test_an_infinity_times_a_weight_of_zero_is_no_eps_that_is_left_out():
    """x / sqrt(0 + 1e-5) is beyond float16 from 207 on."""

    def scaled(x, mean_, variance, weight, bias, layouts, eps):
        scale = (1 / np.sqrt(variance + eps)).astype(np.float16)
        normal = ((x - mean_[:, None]).astype(np.float16) * scale[:, None]).astype(np.float32)
        return normal * weight[:, None] + bias[:, None]

    zeros = {name: np.zeros(1) for name in ("mean_", "variance", "weight", "bias")}
    said = diagnosis("batch_norm", scaled, {"x": np.full((1, 1, 1), 16384.0), **zeros}, "float16", n=1, c=1, length=1)
    assert OVERFLOWS in said
