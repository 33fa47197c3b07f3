"""The bounds of the elementary functions, against Arb and against NumPy's validation sets."""

import csv
from pathlib import Path

import numpy as np
import pytest

from opfuzz.core.floats import FLOAT32, from_bits, round_to, to_bits, ulp
from opfuzz.oracle import balls, exact, graph, models
from opfuzz.oracle.elementary import ELEMENTARY, FLOOR
from opfuzz.oracle.interval import between
from opfuzz.oracle.operations import REFERENCE_FUNCTIONS

MARGIN = 4  # a tested bound is at least four times what a sweep measures
# Rows of NumPy's sets that are not correctly rounded: log(1 - 2^-23) by 4e-8 ulp, the other by 0.014 ulp.
MISROUNDED = {("log", 0x3F7FFFFE), ("log", 0x3F4B0569)}
VALIDATION = Path(np.__file__).parent / "_core" / "tests" / "data"


def arguments(name: str) -> np.ndarray:
    rng = np.random.default_rng(20240607)
    share, sign = rng.random(3000), rng.choice([-1.0, 1.0], 3000)
    x = np.concatenate([sign * 2.0 ** rng.uniform(-40, 9, 3000), rng.normal(size=3000), sign * share * 30])
    match name:
        case "sin" | "cos":
            multiples = np.round(share * 1e6) * np.pi / 2
            return np.concatenate([x, sign * 2.0 ** rng.uniform(10, 60, 3000), multiples])
        case "log":
            return np.concatenate([np.abs(x), 1 + rng.normal(size=3000) * 1e-3, 2.0 ** rng.uniform(-300, 300, 3000)])
        case "log1p":
            return np.concatenate([np.abs(x), -share])
        case "erfc":
            return np.concatenate([x, share * 27])
    return x


@pytest.mark.parametrize("name", ELEMENTARY)
def test_bound_is_four_times_what_a_sweep_against_arb_measures(name):
    x = arguments(name)
    with np.errstate(over="ignore"):
        y = ELEMENTARY[name].value(x)
    root = graph.unary(name, graph.leaf(x))
    settled = exact.settle(root, np.arange(x.size), lambda hi: np.abs(hi) * 2.0**-70)
    normal = np.isfinite(y) & (np.abs(settled.hi) > 2.0**-1000) & np.isfinite(settled.hi)
    error = np.abs((y - settled.hi) - settled.lo)[normal] / np.spacing(np.abs(settled.hi[normal]))
    assert normal.sum() > 2000
    assert MARGIN * error.max() <= ELEMENTARY[name].tested, x[normal][error.argmax()]


@pytest.mark.parametrize("name", ELEMENTARY)
def test_spread_covers_the_function_at_the_ends_of_an_interval(name):
    rng = np.random.default_rng(5)
    m = np.abs(rng.normal(size=2000)) * 3 if name == "log" else rng.normal(size=2000) * 3
    if name == "log1p":
        m = np.abs(m)
    r = np.abs(m) * 2.0 ** rng.uniform(-30, -1, 2000)
    function = ELEMENTARY[name]
    y = function.value(m)
    spread = function.spread(m, y, r)
    for end in (m - r, m + r):
        assert (np.abs(function.value(end) - y) <= spread * (1 + 1e-9) + np.abs(y) * 1e-13 + 1e-15).all()


def validation_rows(name: str) -> tuple[np.ndarray, np.ndarray]:
    with (VALIDATION / f"umath-validation-set-{name}.csv").open() as file:
        rows = [row for row in csv.reader(file) if row and row[0] == "np.float32"]
    bits = np.array([[int(row[1], 16), int(row[2], 16)] for row in rows], np.uint32)
    return from_bits(bits[:, 0], FLOAT32), from_bits(bits[:, 1], FLOAT32)


@pytest.mark.parametrize("name", ["exp", "expm1", "log", "log1p", "sin", "cos", "tanh"])
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
    error = np.abs((function.value(x) - settled.hi) - settled.lo)
    assert (error <= function.tested * np.spacing(np.abs(settled.hi)) + FLOOR).all()


@pytest.mark.parametrize("name", ELEMENTARY)
def test_its_bounds_over_a_range_hold_what_arb_says_inside(name):
    root = graph.unary(name, graph.leaf(np.ones((1, 1)), "input"))
    for ends in inside(name, 200).reshape(-1, 2):
        low, high = np.sort(ends)
        least, greatest = between(root, low, high)
        assert np.isfinite([least, greatest]).all()
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
