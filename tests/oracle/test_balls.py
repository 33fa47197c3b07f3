"""Balls: the radius of truth is a proof, the allowance covers honest arithmetic, specials are IEEE's."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from opfuzz.core.floats import BFLOAT16, FLOAT16, FLOAT32, FLOAT64
from opfuzz.oracle import balls, exact, graph, models
from opfuzz.oracle.operations import REFERENCE_FUNCTIONS as F

RNG = np.random.default_rng(3)


def x_of(array):
    return graph.leaf(np.asarray(array, np.float32).astype(np.float64), "input")


NO_TABLES = frozenset()
EXPRESSIONS = {
    "softmax": lambda x: F["softmax"](x),
    "layer_norm": lambda x: (x - F["mean"](x, -1)) / F["sqrt"](F["mean"]((x - F["mean"](x, -1)) ** 2, -1) + 1e-5),
    "gelu": lambda x: x / 2 * F["erfc"](-x / F["sqrt"](2)),
    "matmul": lambda x: x @ F["swapaxes"](x, -1, -2),
    "quotient": lambda x: (x * x - 1) / (F["abs"](x) + F["exp"](-x)),
    "choice": lambda x: F["where"](F["sin"](x) > 0.5, F["cos"](x), F["tanh"](x) * 3),
    "cumsum": lambda x: F["cumsum"](x * 0.1),
    "extremes": lambda x: F["maximum"](F["log1p"](F["exp"](x)), x) - F["minimum"](F["expm1"](x), 2),
}


@pytest.mark.parametrize("name", EXPRESSIONS)
@pytest.mark.parametrize("scale", [1e-3, 1.0, 30.0])
@pytest.mark.parametrize("offset", [0.0, 1000.0])
def test_truth_holds_what_arb_says(name, scale, offset):
    root = EXPRESSIONS[name](x_of(RNG.normal(size=(3, 17)) * scale + offset))
    ball = balls.evaluate(root, [models.TRUTH])
    settled = exact.settle(root, np.arange(root.size), lambda hi: np.abs(hi) * 2.0**-90 + 2.0**-1000)
    known = np.isfinite(ball.radii[0].ravel())
    error = np.abs((ball.mid.ravel() - settled.hi) - settled.lo)[known]
    assert (error <= ball.radii[0].ravel()[known] + settled.radius[known]).all()


finite = st.floats(-(2.0**99), 2.0**99, width=32)


@given(finite, finite, finite)
def test_arithmetic_holds_exact_fractions(a, b, c):
    from fractions import Fraction

    x, y, z = (x_of(v) for v in (a, b, c))
    root = x * y + z - x / 3
    ball = balls.evaluate(root, [models.TRUTH])
    right = Fraction(a) * Fraction(b) + Fraction(c) - Fraction(a) / 3
    assert abs(Fraction(float(ball.mid)) - right) <= Fraction(float(ball.radii[0]))


def test_exact_zeros_stay_exact():
    x = x_of([1.5, -2.0])
    ball = balls.evaluate(x - x, [models.TRUTH])
    assert (ball.mid == 0).all()
    assert ball.radii[0] is None or (ball.radii[0] == 0).all()


@pytest.mark.parametrize(
    ("node", "right"),
    [
        (F["exp"](x_of(-np.inf)), 0.0),
        (F["softmax"](x_of([np.inf, 0.0])), [np.nan, np.nan]),
        (F["softmax"](x_of([-np.inf, 0.0])), [0.0, 1.0]),
        (F["logsumexp"](x_of([np.inf, 0.0]), keepdims=False), np.inf),
        (F["logsumexp"](x_of([-np.inf, -np.inf]), keepdims=False), -np.inf),
        (1 / x_of(0.0), np.inf),
        (F["log"](x_of(0.0)), -np.inf),
        (F["log"](x_of(-1.0)), np.nan),
        (F["sqrt"](x_of(-1.0)), np.nan),
        (F["maximum"](x_of(np.nan), 0), np.nan),
        (x_of([[np.inf, 1.0]]) @ x_of([[0.0], [1.0]]), [[np.nan]]),
        (F["sum"](x_of([np.inf, -np.inf]), keepdims=False), np.nan),
    ],
)
def test_specials_are_ieee_and_certain(node, right):
    ball = balls.evaluate(node, [models.TRUTH])
    np.testing.assert_array_equal(ball.mid, right)
    special = ~np.isfinite(ball.mid)
    assert (np.broadcast_to(0.0 if ball.radii[0] is None else ball.radii[0], ball.mid.shape)[special] == 0).all()


def test_overflow_of_float64_is_unknown_here_and_known_to_arb():
    x = x_of([-1000.0])
    root = x / (1 + F["exp"](-x))
    ball = balls.evaluate(root, [models.TRUTH])
    assert ball.radii[0][0] == np.inf
    settled = exact.settle(root, np.array([0]), lambda hi: np.abs(hi) * 2.0**-60 + 2.0**-1074)
    assert settled.hi[0] == 0
    assert settled.radius[0] <= 2.0**-1073


def test_conditioning_of_a_sum_is_one_rounding_of_each_term():
    x = np.array([[1.0, -2.0, 4.0]])
    ball = balls.evaluate(F["sum"](x_of(x)), [models.conditioning(FLOAT16)])
    assert ball.radii[0].item() == 7 * FLOAT16.unit_roundoff


def test_allowance_of_a_sum_grows_as_the_root():
    for n in (16, 4096):
        ball = balls.evaluate(F["sum"](x_of(np.ones((1, n)))), [models.working("wide", FLOAT32)])
        assert ball.radii[0].item() == pytest.approx((math.sqrt(n) + 2) * n * 2.0**-24)


def test_tf32_factors_widen_a_product_by_their_rounding():
    a = x_of(np.full((1, 4), 3.0))
    plain, rounded = (
        balls.evaluate(a @ F["swapaxes"](a, 0, 1), [models.working("m", FLOAT32, factors)]).radii[0].item()
        for factors in (0.0, 2.0**-11)
    )
    assert rounded - plain == pytest.approx(2.0**-11 * math.sqrt(2 * 4 * 81), rel=1e-3)


@pytest.mark.parametrize("fmt", [FLOAT64, FLOAT32, FLOAT16, BFLOAT16])
def test_constants_are_rounded_only_where_they_must_be(fmt):
    model = models.working("wide", fmt)
    exact_constant = balls.evaluate(graph.number(0.5), [model]).radii[0]
    assert exact_constant is None
    tenth = balls.evaluate(graph.number(0.1), [model]).radii[0]
    if fmt is FLOAT64:
        assert tenth is None  # the float64 nearest to 0.1 is what the call receives
    else:
        assert tenth == pytest.approx(0.1 * fmt.unit_roundoff)


@pytest.mark.parametrize("name", EXPRESSIONS)
@given(
    values=st.lists(
        st.floats(-1e4, 1e4, width=32) | st.sampled_from([0.0, 1e-40, 1e30, -3e38]), min_size=1, max_size=40
    )
)
def test_numbers_have_the_same_balls_when_nothing_special_is_looked_for(name, values):
    root = EXPRESSIONS[name](x_of(np.array([values])))
    asked = [models.TRUTH, models.conditioning(FLOAT32), models.working("wide", FLOAT32), models.flushing(FLOAT32)]
    with np.errstate(all="ignore"):
        quick, walked = balls._numbers(root, asked, NO_TABLES), balls._walked(root, asked, NO_TABLES)
    if quick is not None:
        assert np.array_equal(quick.mid, walked.mid)
        assert all(map(np.array_equal, quick.radii, walked.radii))


@pytest.mark.parametrize("name", EXPRESSIONS)
def test_plain_numbers_need_no_search(name):
    assert balls._numbers(EXPRESSIONS[name](x_of([[0.5, 1.0, 2.0]])), [models.TRUTH], NO_TABLES) is not None


@pytest.mark.parametrize("special", [np.nan, np.inf, -np.inf])
def test_what_is_no_number_is_left_to_the_walk_that_looks_for_it(special):
    with np.errstate(all="ignore"):
        assert balls._numbers(EXPRESSIONS["choice"](x_of([[1.0, special]])), [models.TRUTH], NO_TABLES) is None


def test_counters_are_exact_and_so_is_what_they_choose():
    """At k = 8 the product is 0 in any arithmetic: a radius there would leave both branches open."""
    k = F["arange"](9)
    chosen = F["where"](k * (8 - k) > 0, 2, 1)
    for model in (models.TRUTH, models.working("wide", FLOAT32), models.rounded(BFLOAT16, FLOAT32)):
        ball = balls.evaluate(chosen, [model])
        assert ball.mid.tolist() == [1.0, *[2.0] * 7, 1.0]
        assert ball.radii[0] is None or not ball.radii[0].any(), model.name


def test_a_sum_that_is_whole_by_rounding_is_not_exact():
    parts = graph.leaf(np.array([0.1])), graph.leaf(np.array([0.9]))  # which add up to 1 - 2^-55 or so
    ball = balls.evaluate(parts[0] + parts[1], [models.TRUTH])
    assert ball.radii[0] is not None
    assert ball.radii[0].all()
