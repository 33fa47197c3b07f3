"""The bounds of the elementary functions, against Arb and against NumPy's validation sets."""

import csv
from pathlib import Path

import numpy as np
import pytest

from opfuzz.core.floats import FLOAT32, from_bits, round_to, to_bits, ulp
from opfuzz.oracle import balls, exact, graph, models
from opfuzz.oracle.elementary import ELEMENTARY
from opfuzz.oracle.functions.record import FLOOR, enclosed
from opfuzz.oracle.interval import between
from opfuzz.oracle.operations import REFERENCE_FUNCTIONS

MARGIN = 4  # a tested bound is at least four times what a sweep measures
# Rows of NumPy's sets that are not correctly rounded: log(1 - 2^-23) by 4e-8 ulp, the other by 0.014 ulp.
MISROUNDED = {("log", 0x3F7FFFFE), ("log", 0x3F4B0569)}
VALIDATION = Path(np.__file__).parent / "_core" / "tests" / "data"


def arguments(name: str) -> np.ndarray:
    """Arguments in the domain: of every size, of ordinary size, and near whole numbers, where many functions turn."""
    rng = np.random.default_rng(20240607)
    share, sign = rng.random(1500), rng.choice([-1.0, 1.0], 1500)
    spread = [sign * 2.0 ** rng.uniform(-40, 9, 1500), rng.normal(size=1500), sign * share * 30, sign * share]
    x = np.concatenate([*spread, *(near + sign * 2.0 ** rng.uniform(-50, -1, 1500) for near in (-1, 1, 2, *MORE))])
    match name:
        case "sin" | "cos" | "tan" | "sinpi":
            multiples = np.round(share * 1e6) * np.pi / 2
            x = np.concatenate([x, sign * 2.0 ** rng.uniform(10, 60, 1500), multiples, HARD])
        case "log" | "log2" | "log10" | "cbrt" | "asinh" | "acosh" | "erfcx" | "i0e" | "i1e":
            x = np.concatenate([x, sign * 2.0 ** rng.uniform(-300, 300, 1500)])
        case "lgamma" | "digamma":
            x = np.concatenate([x, np.round(sign * share * 30) + sign * 2.0 ** rng.uniform(-40, -1, 1500)])
    low, high = ELEMENTARY[name].domain
    return x[(x >= low) & (x <= high)]


# Floats that are next to a multiple of pi/2, from the continued fractions of 2^e / (pi/2).
HARD = (
    6.004779142530142e29,
    5.828466862870158e282,
    1.2492703716550282e123,
    3.021355196045776e43,
    8.676341128915087e210,
)
MORE = (-26, 26, 1.4616321449683623, -2.4570247382208006)  # erfc at its smallest, zeros of digamma and lgamma


@pytest.mark.parametrize("name", ELEMENTARY)
def test_bound_is_four_times_what_a_sweep_against_arb_measures(name):
    x, function = arguments(name), ELEMENTARY[name]
    with np.errstate(all="ignore"):
        y = function.value(x)
        size = np.abs(y) if function.scale is None else function.scale(x, y)
    root = graph.unary(name, graph.leaf(x))
    settled = exact.settle(root, np.arange(x.size), lambda hi: np.abs(hi) * 2.0**-70)
    normal = np.isfinite(y) & (np.abs(settled.hi) > 2.0**-1000) & np.isfinite(settled.hi)
    error = np.abs((y - settled.hi) - settled.lo)[normal] / np.spacing(size[normal])
    assert normal.sum() > 2000
    assert MARGIN * error.max() <= function.tested, x[normal][error.argmax()]


@pytest.mark.parametrize("name", ELEMENTARY)
def test_spread_covers_the_function_at_the_ends_of_an_interval(name):
    function, m = ELEMENTARY[name], inside(name, 2000)
    r = np.maximum(np.abs(m), 0.01) * 2.0 ** np.random.default_rng(5).uniform(-30, -1, 2000)
    with np.errstate(all="ignore"):
        y = function.value(m)
        spread = function.spread(m, y, r)
        rounded = r + np.spacing(np.abs(m))  # m + r is
        room = function.spread(m, y, rounded) * (1 + 1e-9) + np.abs(y) * 1e-13 + 1e-15
        for part in (-1, -0.5, 0.25, 1):
            moved = np.abs(function.value(m + part * r) - y)
            assert (~(moved > room)).all()
            assert (np.isfinite(moved) | np.isinf(spread)).all()
    is_known = np.isfinite(spread)
    assert is_known.mean() > 0.5
    # A bound that is far from what it bounds would excuse anything: at small radii it is the slope.
    tight = is_known & (r < np.abs(m) * 1e-4) & (np.abs(m) > 0.1) & (spread > np.abs(y) * 1e-6)
    with np.errstate(all="ignore"):
        most = np.fmax(np.abs(function.value(m + r) - y), np.abs(function.value(m - r) - y))
    assert np.median(spread[tight] / most[tight]) < 1.5
    assert not np.any(function.spread(m, y, np.zeros(2000)))


def test_a_sine_of_pi_times_infinity_is_no_number():
    assert np.isnan(ELEMENTARY["sinpi"].value(np.array([np.inf, -np.inf]))).all()


def validation_rows(name: str) -> tuple[np.ndarray, np.ndarray]:
    with (VALIDATION / f"umath-validation-set-{NUMPYS.get(name, name)}.csv").open() as file:
        rows = [row for row in csv.reader(file) if row and row[0] == "np.float32"]
    bits = np.array([[int(row[1], 16), int(row[2], 16)] for row in rows], np.uint32)
    return from_bits(bits[:, 0], FLOAT32), from_bits(bits[:, 1], FLOAT32)


NUMPYS = {f"a{name}": f"arc{name}" for name in ("sin", "cos", "tan", "sinh", "cosh", "tanh")}
HYPERBOLIC = ("sinh", "cosh", "tanh", "asinh", "acosh", "atanh")
EXPONENTIAL = ("exp", "exp2", "expm1", "log", "log2", "log10", "log1p", "cbrt")


@pytest.mark.parametrize("name", [*EXPONENTIAL, "sin", "cos", "tan", "asin", "acos", "atan", *HYPERBOLIC])
def test_agrees_with_numpys_validation_set_after_correct_rounding(name):
    x, right = validation_rows(name)
    assert len(x) > 100
    root = graph.unary(name, graph.leaf(x))
    ball = balls.evaluate(root, [models.TRUTH])
    # Where the ball straddles the middle of two floats, Arb decides.
    low, high = (round_to(ball.mid + sign * ball.radii[0], FLOAT32) for sign in (-1, 1))
    value = np.array(ball.mid)
    open_places = np.flatnonzero(np.isfinite(value) & (low != high))
    value[open_places] = exact.settle(root, open_places, lambda hi: np.abs(hi) * 2.0**-80).hi
    rounded = round_to(value, FLOAT32)
    differs = (rounded != right) & ~(np.isnan(rounded) & np.isnan(right))
    assert {(name, int(bits)) for bits in to_bits(x[differs])} <= MISROUNDED


@pytest.mark.parametrize(("name", "bits"), sorted(MISROUNDED))
def test_the_rows_that_numpy_rounds_wrongly_are_more_than_half_an_ulp_off(name, bits):
    x, right = validation_rows(name)
    place = int(np.flatnonzero(to_bits(x) == bits)[0])
    settled = exact.settle(graph.unary(name, graph.leaf(x)), np.array([place]), lambda hi: np.abs(hi) * 2.0**-80)
    assert abs(float(right[place]) - settled.hi[0]) > ulp(settled.hi, FLOAT32)[0] / 2


# Every row is complete: what a new function needs is in its row, and is tried here by nothing but the row.


def inside(name: str, count: int) -> np.ndarray:
    """Random arguments inside the domain, of ordinary size."""
    rng = np.random.default_rng(8)
    low, high = np.clip(ELEMENTARY[name].domain, -20, 20)
    return rng.uniform(low, high, count)


@pytest.mark.parametrize("name", ELEMENTARY)
def test_a_reference_may_call_it_by_the_key_of_its_row(name):
    node = REFERENCE_FUNCTIONS[name](graph.leaf(np.ones(3), "input"))
    assert (node.op, node.shape) == (name, (3,))


@pytest.mark.parametrize("name", ELEMENTARY)
def test_its_rule_for_arb_is_its_value_to_the_tested_bound(name):
    x, function = inside(name, 500), ELEMENTARY[name]
    settled = exact.settle(graph.unary(name, graph.leaf(x)), np.arange(x.size), lambda hi: np.abs(hi) * 2.0**-70)
    assert np.isfinite(settled.hi).all()
    y = function.value(x)
    size = np.abs(settled.hi) if function.scale is None else function.scale(x, y)
    error = np.abs((y - settled.hi) - settled.lo)
    assert (error <= function.tested * np.spacing(size) + FLOOR).all()


@pytest.mark.parametrize("name", ELEMENTARY)
def test_its_bounds_over_a_range_hold_what_arb_says_inside(name):
    root = graph.unary(name, graph.leaf(np.ones((1, 1)), "input"))
    for ends in inside(name, 200).reshape(-1, 2):
        low, high = np.sort(ends)
        least, greatest = between(root, low, high)
        assert np.isfinite([least, greatest]).all() or ELEMENTARY[name].bounds is enclosed
        x = np.concatenate([[low, high], np.random.default_rng(1).uniform(low, high, 20)])
        settled = exact.settle(graph.unary(name, graph.leaf(x)), np.arange(x.size), lambda hi: np.abs(hi) * 2.0**-70)
        assert (least <= settled.hi).all()
        assert (settled.hi <= greatest).all()


@pytest.mark.parametrize("name", ELEMENTARY)
def test_it_is_infinite_at_its_poles_and_no_number_outside_its_domain(name):
    function = ELEMENTARY[name]
    outside = [place + sign for place, sign in zip(function.domain, (-0.5, 0.5), strict=True) if np.isfinite(place)]
    x = np.array([*function.poles, *outside])
    root = graph.unary(name, graph.leaf(x, "input"))
    ball = balls.evaluate(root, [models.TRUTH])
    settled = exact.settle(root, np.arange(x.size), lambda hi: np.abs(hi) * 2.0**-70)
    poles = len(function.poles)
    for found in (ball.mid, settled.hi):
        assert np.isinf(found[:poles]).all()
        assert np.isnan(found[poles:]).all()
    np.testing.assert_array_equal(ball.mid, settled.hi)
    if x.size:
        assert not ball.radii[0].any()
    assert not settled.radius.any()
    for place in outside:
        assert np.isnan(between(graph.unary(name, graph.leaf(np.ones(1), "input")), place, place)).all()


@pytest.mark.parametrize("name", ELEMENTARY)
def test_what_is_finite_at_the_ends_of_its_domain_has_no_pole_there(name):
    function = ELEMENTARY[name]
    ends = np.array([place for place in function.domain if np.isfinite(place)])
    with np.errstate(divide="ignore"):
        infinite = ends[np.isinf(function.value(ends))]
    assert set(infinite.tolist()) <= set(function.poles)


# What mathematics says of 0, -1, -2, ...: the gamma function has a pole in each, its logarithm and derivative too.


@pytest.mark.parametrize(
    ("name", "at_zeros", "left"), [("lgamma", [np.inf, np.inf], np.inf), ("digamma", [-np.inf, np.inf], np.nan)]
)
def test_the_gamma_function_has_poles_at_zero_and_left_of_it(name, at_zeros, left):
    x = np.array([0.0, -0.0, -1.0, -2.0, -170.0, -(2.0**53), -1.5])
    root = graph.unary(name, graph.leaf(x, "input"))
    ball = balls.evaluate(root, [models.TRUTH])
    settled = exact.settle(root, np.arange(x.size), lambda hi: np.abs(hi) * 2.0**-70)
    np.testing.assert_array_equal(ball.mid[:-1], [*at_zeros, *[left] * 4])
    np.testing.assert_array_equal(settled.hi[1:-1] ** 2, ball.mid[1:-1] ** 2)  # Arb has one zero
    assert not ball.radii[0][:-1].any()
    assert abs(ball.mid[-1] - settled.hi[-1]) <= ball.radii[0][-1] < 1e-13


@pytest.mark.parametrize("name", [name for name in ELEMENTARY if ELEMENTARY[name].value(np.array(0.0)) == 0])
def test_an_odd_function_keeps_the_sign_of_zero(name):
    assert np.signbit(ELEMENTARY[name].value(np.array([0.0, -0.0]))).tolist() == [False, True]
