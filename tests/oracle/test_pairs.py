"""The elementary functions of two arguments, against Arb, exact fractions and what IEEE 754 says of special values."""

from fractions import Fraction
from itertools import product
from math import atan2, floor, fmod, inf, nan, pi

import numpy as np
import pytest
from bundled_ops import BUNDLED_OPS

from opfuzz.core.call import Call
from opfuzz.core.floats import FORMATS, round_to
from opfuzz.oracle import balls, exact, graph, models
from opfuzz.oracle.functions.pairs import PAIRS
from opfuzz.oracle.operations import REFERENCE_FUNCTIONS
from opfuzz.oracle.reference import references_of
from opfuzz.oracle.working import emulate

MARGIN = 4
COUNT = 1500


def arguments(name: str) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(3)
    a, b = rng.choice([-1.0, 1.0], (2, 3 * COUNT)) * 2.0 ** rng.uniform(-30, 30, (2, 3 * COUNT))
    a[:COUNT], b[:COUNT] = rng.normal(size=(2, COUNT)) * 4
    if name == "pow":
        b[COUNT:] = np.round(rng.normal(size=2 * COUNT) * 20)
        a[:COUNT] = np.abs(a[:COUNT])
        b[-COUNT:] = rng.uniform(-20, 20, COUNT)
        a[-COUNT:] = 1 + rng.uniform(-1, 1, COUNT) * 2.0 ** rng.uniform(-30, -1, COUNT)
    return a, b


def node_of(name: str, a: np.ndarray, b: np.ndarray) -> graph.Node:
    return REFERENCE_FUNCTIONS[name](graph.leaf(a, "input"), graph.leaf(b, "input"))


@pytest.mark.parametrize("name", PAIRS)
def test_its_bound_is_four_times_what_arb_measures(name):
    a, b = arguments(name)
    value = PAIRS[name].value(a, b)
    settled = exact.settle(node_of(name, a, b), np.arange(a.size), lambda hi: np.abs(hi) * 2.0**-70)
    normal = np.isfinite(value) & (np.abs(settled.hi) > 2.0**-1000)
    assert normal.mean() > 0.9
    error = np.abs((value - settled.hi) - settled.lo)[normal] / np.spacing(np.abs(settled.hi[normal]))
    assert error.max() <= 0.5 or MARGIN * error.max() <= PAIRS[name].tested


@pytest.mark.parametrize("name", PAIRS)
def test_its_spread_covers_the_function_in_a_box(name):
    a, b = arguments(name)
    rng = np.random.default_rng(4)
    ra, rb = np.abs([a, b]) * 2.0 ** rng.uniform(-30, -1, (2, a.size)) * (rng.random((2, a.size)) < 0.7)
    function = PAIRS[name]
    with np.errstate(all="ignore"):
        y = function.value(a, b)
        spread = function.spread(a, b, y, ra + np.spacing(np.abs(a)), rb + np.spacing(np.abs(b)))
        for across, along in product((-1, -0.3, 0, 1), repeat=2):
            moved = np.abs(function.value(a + across * ra, b + along * rb) - y)
            assert not (moved > spread * (1 + 1e-9) + np.abs(y) * 1e-13).any()
            assert (np.isfinite(moved) | np.isinf(spread) | ~np.isfinite(y)).all()
        none = function.spread(a, b, y, 0 * ra, 0 * rb)
    assert not none.any()
    assert np.isfinite(spread).mean() > 0.4


def test_a_remainder_is_that_of_whole_numbers():
    rng = np.random.default_rng(6)
    a = rng.integers(-(2**40), 2**40, 400).astype(float) / 2.0 ** rng.integers(0, 30, 400)
    b = rng.integers(1, 2**20, 400) * rng.choice([-1.0, 1.0], 400) / 2.0 ** rng.integers(0, 40, 400)
    settled = exact.settle(node_of("remainder", a, b), np.arange(400), lambda hi: np.abs(hi) * 2.0**-90)
    for x, y, hi, lo in zip(a.tolist(), b.tolist(), settled.hi.tolist(), settled.lo.tolist(), strict=True):
        right = Fraction(x) - Fraction(y) * floor(Fraction(x) / Fraction(y))
        assert abs(Fraction(hi) + Fraction(lo) - right) <= abs(right) * Fraction(2) ** -90
        assert float(right) == hi
        assert (fmod(x, y) == hi) == (x * y > 0 or fmod(x, y) == 0)


SPECIAL = (0.0, -0.0, 1.0, -1.0, 2.0, -3.0, 0.5, inf, -inf, nan)


@pytest.mark.parametrize(("name", "ieee"), [("pow", np.power), ("atan2", np.arctan2), ("remainder", np.remainder)])
def test_special_values_are_those_of_ieee_arithmetic_and_certain(name, ieee):
    a, b = np.array(list(product(SPECIAL, repeat=2))).T
    with np.errstate(all="ignore"):
        right = ieee(a, b)
    ball = balls.evaluate(node_of(name, a, b), [models.TRUTH])
    np.testing.assert_array_equal(ball.mid, right)
    assert (np.signbit(ball.mid) == np.signbit(right))[right == 0].all()
    assert not np.any(ball.radii[0][~np.isfinite(right)])
    settled = exact.settle(node_of(name, a, b), np.arange(a.size), lambda hi: np.abs(hi) * 2.0**-60)
    has_zero = (a == 0) | (b == 0)  # of which Arb has one
    np.testing.assert_allclose(settled.hi[~has_zero], right[~has_zero], rtol=1e-15)
    is_told = np.isfinite(right) & ~((a == 0) & (b == 0) & (name == "atan2"))
    assert (settled.radius <= np.abs(settled.hi) * 2.0**-60)[is_told].all()


def test_what_is_uncertain_has_no_certain_pole():
    a = graph.leaf(np.array([[-2.0, -0.0]]), "input")
    half = graph.number(1) / 3 + graph.number(1) / 6 * graph.unary("exp", graph.leaf(np.zeros((1, 2)), "input"))
    ball = balls.evaluate(REFERENCE_FUNCTIONS["pow"](a, half - 1), [models.TRUTH])
    assert np.isinf(ball.radii[0]).all()


def test_the_angle_of_a_negative_zero_stays_negative_when_it_is_settled():
    y, x = np.array([[-0.0, 0.0, -0.0, -1.0, 0.0, -0.0]]), np.array([[-1.0, -1.0, 1.0, -1e-300, -0.0, 0.0]])
    call = Call("float64", {"batch": 1, "n": 6}, {}, {"x": x, "y": y}, {})
    (reference,) = references_of(BUNDLED_OPS["atan2"], call)
    truth = reference.settle(np.arange(6))
    assert truth.hi.ravel().tolist() == [-pi, pi, -0.0, atan2(-1.0, -1e-300), pi, -0.0]
    assert np.signbit(truth.hi).ravel().tolist() == [True, False, True, True, False, True]
    assert truth.lo.ravel()[:2].tolist() == pytest.approx([-1.2246467991473532e-16, 1.2246467991473532e-16], rel=1e-14)
    assert (truth.radius.ravel()[[0, 1, 2, 3, 5]] < 1e-30).all()
    assert truth.radius[0, 4] < 1e-14  # Arb says nothing of two zeros


@pytest.mark.parametrize("name", PAIRS)
def test_a_working_format_rounds_its_value_once(name):
    fmt = FORMATS["float16"]
    a, b = (round_to(np.linspace(low, high, 40), fmt).astype(float) for low, high in ((0.5, 9), (1, 3)))
    np.testing.assert_array_equal(emulate(node_of(name, a, b), fmt, 1).values, round_to(PAIRS[name].value(a, b), fmt))
