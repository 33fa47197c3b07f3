"""Double words against Arb: what they say of a number is within their radius of it, and exact where that is 0."""

import flint
import numpy as np
import pytest
from flint import arb

from opfuzz.oracle import exact, graph
from opfuzz.oracle.double_words import kernels
from opfuzz.oracle.double_words.evaluate import evaluate
from opfuzz.oracle.operations import REFERENCE_FUNCTIONS as F

COUNT = 300
MARGIN = 4  # a tested bound is at least four times what a sweep measures
PRECISE = 2400  # bits: enough for sums of numbers of any exponents


@pytest.fixture(autouse=True)
def precision():
    before = flint.ctx.prec
    flint.ctx.prec = PRECISE
    yield
    flint.ctx.prec = before


def words(seed: int, exponents: int, has_rest: bool = True) -> tuple[np.ndarray, ...]:
    """Random hi, lo and radius 0, of both signs."""
    draw = np.random.default_rng(seed)
    hi = draw.standard_normal(COUNT) * 2.0 ** draw.integers(-exponents, exponents, COUNT)
    lo = hi * draw.uniform(-1, 1, COUNT) * 2.0 ** -draw.integers(54, 90, COUNT) * has_rest
    return hi, lo, np.zeros(COUNT)


def checked(kernel, function, *operands, radii=(0.0,)):
    """Fill in with a kernel, and hold every result against Arb's, at the ends of what the operands may be."""
    hi, lo, radius = np.empty((3, COUNT))
    given = [[h, low, np.abs(h) * r] for (h, low, _), r in zip(operands, radii * len(operands), strict=False)]
    kernel(*(part for each in given for part in each), hi, lo, radius)
    for i in range(COUNT):
        if radius[i] < np.inf:
            found = arb(hi[i]) + arb(lo[i])
            for sign in (-1, 1) if any(radii) else (0,):
                true = function(*(arb(h[i]) + arb(low[i]) + sign * arb(r[i]) for h, low, r in given))
                assert true - found == 0 if radius[i] == 0 else abs(true - found) <= arb(radius[i])
    return hi, lo, radius


ARITHMETIC = {
    "add": lambda a, b: a + b,
    "multiply": lambda a, b: a * b,
    "divide": lambda a, b: a / b,
}


@pytest.mark.parametrize("radius", [0.0, 2.0**-60, 0.3])
@pytest.mark.parametrize("exponents", [3, 40, 1000])
@pytest.mark.parametrize("name", ARITHMETIC)
def test_arithmetic_is_within_its_radius(name, exponents, radius):
    for has_rest in (False, True):
        operands = words(1, exponents, has_rest), words(2, exponents, has_rest)
        found = checked(getattr(kernels, name), ARITHMETIC[name], *operands, radii=(radius,))
        if exponents < 1000:
            assert (found[2] < np.inf).all()
        if not radius and exponents < 1000:
            assert (found[2] <= np.abs(found[0]) * 2.0**-98).all()


@pytest.mark.parametrize("exponents", [3, 1000])
def test_a_root_is_within_its_radius(exponents):
    hi, lo, radius = words(3, exponents)
    found = checked(kernels.root, arb.sqrt, (np.abs(hi), lo * np.sign(hi), radius))
    assert (found[2] < np.inf).all()


def test_a_sum_that_cancels_is_known_as_well_as_its_terms():
    hi, _, radius = words(4, 20)
    near = -hi * (1 + 2.0 ** -np.random.default_rng(5).integers(1, 52, COUNT).astype(float))
    found = checked(kernels.add, ARITHMETIC["add"], (hi, np.zeros(COUNT), radius), (near, np.zeros(COUNT), radius))
    assert (found[2] == 0).all()  # such sums are exact


def measured(kernel, function, hi, lo) -> np.ndarray:
    """Relative errors."""
    found = checked(kernel, function, (hi, lo, np.zeros(COUNT)))
    true = [function(arb(h) + arb(low)) for h, low in zip(hi, lo, strict=True)]
    return np.array(
        [float(abs((t - arb(h) - arb(low)) / t)) for t, h, low in zip(true, found[0], found[1], strict=True)]
    )


def test_the_bound_of_exp_is_four_times_what_a_sweep_measures():
    draw = np.random.default_rng(6)
    for hi in (draw.uniform(-599, 599, COUNT), draw.uniform(-1, 1, COUNT) * 2.0 ** -draw.integers(0, 90, COUNT)):
        lo = hi * draw.uniform(-(2.0**-54), 2.0**-54, COUNT)
        assert measured(kernels.exponential, arb.exp, hi, lo).max() * MARGIN <= kernels.EXP_ERROR


@pytest.mark.parametrize("radius", [0.0, 2.0**-40, 2.0**-12])
def test_exponentials_and_logarithms_are_within_their_radius(radius):
    hi, lo, _ = words(7, 8)
    checked(kernels.exponential, arb.exp, (hi, lo, None), radii=(radius,))
    checked(kernels.logarithm, arb.log, (np.abs(hi), lo * np.sign(hi), None), radii=(radius,))
    checked(kernels.logarithm, arb.log, (1 + hi / 2.0**20, np.zeros(COUNT), None), radii=(radius / 2**12,))


def test_far_below_an_exponential_is_next_to_nothing_whatever_its_radius():
    hi, lo, radius = np.empty((3, 3))
    kernels.exponential(np.array([-1e30, -700.0, -np.inf]), np.zeros(3), np.array([1e29, 50.0, 0.0]), hi, lo, radius)
    assert (hi == 0).all()
    assert (radius[:2] > 0).all()
    assert (radius < 1e-250).all()
    assert radius[2] == 0


def graphs():
    draw = np.random.default_rng(8)
    a, b = (graph.leaf(draw.standard_normal((2, 5, 5)).astype(np.float32).astype(float), "input") for _ in range(2))
    large = graph.leaf(draw.standard_normal((2, 5, 5)) * 1e30, "input")
    masked = graph.leaf(np.where(np.tril(np.ones((5, 5))) > 0, 0.0, -np.inf))
    mean = F["mean"](a, axis=-1)
    yield from (
        a + b * 3 - 1 / b,
        F["sqrt"](F["abs"](a)) / graph.PI,
        (a - mean) / F["sqrt"](F["mean"]((a - mean) ** 2, axis=-1) + graph.number(0.1)),
        F["matmul"](a - mean, F["swapaxes"](a - mean, 1, 2)),
        F["matmul"](F["softmax"](F["matmul"](a, b) + masked), b),
        F["softmax"](large, axis=1),
        F["logsumexp"](a, axis=(0, 2)),
        F["maximum"](a, b) - F["min"](a, axis=1),
        F["where"](a < b, a - b, b * b),
        F["cumsum"](a / 3, axis=1),
        F["concatenate"]((a, F["reshape"](F["sum"](b, axis=1), (2, 1, 5))), axis=1),
    )


@pytest.mark.parametrize("number", range(11))
def test_a_graph_is_within_its_radius_and_settled_as_arb_settles_it(number, monkeypatch):
    root = list(graphs())[number]
    places = np.random.default_rng(9).permutation(root.size)[:20]
    found = evaluate(root, places)
    assert found is not None
    assert np.isfinite(found[2]).all()
    assert (found[2] <= np.abs(found[0]) * 2.0**-80 + 1e-250).all()
    monkeypatch.setattr(exact.double_words, "evaluate", lambda *given: None)
    told = exact.settle(root, places, lambda hi: np.abs(hi) * 2.0**-110)
    for hi, lo, radius, true, rest, own in zip(*found, told.hi, told.lo, told.radius, strict=True):
        assert abs(arb(hi) + arb(lo) - arb(true) - arb(rest)) <= arb(radius) + arb(own)


def test_zeros_of_what_cancels_are_exact():
    x = graph.leaf(np.full((1, 7), float(np.float32(0.1))), "input")
    found = evaluate(x - F["mean"](x, axis=-1), np.arange(7))
    assert found is not None
    assert not np.any(found)


def test_of_what_is_no_number_or_beyond_float64_nothing_is_known():
    x = graph.leaf(np.array([np.nan, 1e300, 0.0, -1.0, 800.0]), "input")
    for root, known in (
        (x * x, [2, 3, 4]),
        (1 / x, [1, 3, 4]),
        (F["sqrt"](x), [1, 2, 4]),
        (F["log"](x), [4]),
        (F["exp"](x), [2, 3]),
    ):
        found = evaluate(root, np.arange(5))
        assert found is not None
        assert np.flatnonzero(np.isfinite(found[2])).tolist() == known


def test_what_has_no_rule_is_left_to_arb():
    x = graph.leaf(np.ones(3), "input")
    assert evaluate(F["tanh"](x), np.arange(3)) is None


def test_nearest_floats_stand_for_what_is_kept():
    a = graph.leaf(np.array([[1.0, 2.0**-60]]), "input")
    total = graph.dot(a, graph.leaf(np.ones((2, 1)), "input"))
    found = evaluate(total, np.zeros(1, np.int64), {id(total)})
    assert found is not None
    hi, lo, radius = found
    assert (hi, lo) == (1, 0)
    assert radius == 2.0**-53
