"""Places where a radius could be too small: far tails, underflow, and scores that are known only roughly."""

from fractions import Fraction

import numpy as np
import pytest

from opfuzz.core.floats import FLOAT32
from opfuzz.oracle import balls, exact, graph, models
from opfuzz.oracle.operations import REFERENCE_FUNCTIONS as F


def holds(root) -> None:
    ball = balls.evaluate(root, [models.TRUTH])
    settled = exact.settle(root, np.arange(root.size), lambda hi: np.abs(hi) * 2.0**-60 + 2.0**-1074)
    radius = np.zeros(root.size) if ball.radii[0] is None else np.broadcast_to(ball.radii[0], root.shape).ravel()
    known = np.isfinite(radius) & np.isfinite(settled.hi)
    error = np.abs((ball.mid.ravel() - settled.hi) - settled.lo)
    assert (error <= radius + settled.radius)[known].all()


def scores():
    a = np.array([[2.0**35, 1000.0, -(2.0**35)]])
    b = np.array([[2.0**35, 0.0], [1.0, 0.8], [2.0**35, 0.0]])
    return graph.leaf(a, "input") @ graph.leaf(b.astype(np.float32), "input")


@pytest.mark.parametrize(
    "function",
    [
        lambda s: F["softmax"](s),
        lambda s: F["exp"](s - 900),
        lambda s: F["expm1"](s - 900),
        lambda s: F["exp"](-s),
        lambda s: F["sigmoid"](s - 800),
        lambda s: F["log_softmax"](s),
    ],
)
def test_scores_that_cancel_are_known_only_roughly(function):
    holds(function(scores()))


@pytest.mark.parametrize("name", ["exp", "expm1", "sigmoid", "softplus", "erfc", "tanh", "sin", "erf", "log1p"])
def test_results_below_the_normal_numbers_are_not_taken_for_zero(name):
    x = np.concatenate([-np.linspace(690, 760, 60), np.linspace(26, 28, 60), np.array([1e-310, -1e-310, 5e-324, 0.0])])
    if name == "log1p":
        x = x[np.abs(x) < 1]
    holds(graph.unary(name, graph.leaf(x, "input")))


def test_a_product_with_a_lost_tail_is_known_to_be_lost():
    x = graph.leaf(np.array([-710.0, -740.0]), "input")
    root = x * F["sigmoid"](x)
    ball = balls.evaluate(root, [models.TRUTH])
    assert (np.abs(ball.mid - [-3.18e-306, -2.7e-319]) <= ball.radii[0] * 1.01 + 1e-308).all()
    holds(root)


@pytest.mark.parametrize("name", ["maximum", "minimum"])
@pytest.mark.parametrize("apart", [-1e30, -20.0, -1e-6, 0.0, 1e-6, 20.0, 1e30])
def test_the_larger_of_two_is_known_as_well_as_the_one_that_it_may_be(name, apart):
    rough = scores()
    holds(F[name](rough, rough * 0.999 + apart))
    holds(F[name](rough * 0.999 + apart, rough))


def test_what_is_cut_to_a_limit_far_below_it_is_exact():
    wide = models.working("wide", FLOAT32)
    x = graph.leaf(np.array([1e9, 448.0 * 6, 3.0]), "input")
    ball = balls.evaluate(F["minimum"](x / 6, 448), [models.TRUTH, wide])
    assert [bool(radius) for radius in ball.radii[1]] == [False, True, True]


STEPS = ["floor", "ceil", "round", "sign", "float32", "float16", "bfloat16", "float64"]


@pytest.mark.parametrize("name", STEPS)
def test_steps_of_what_is_known_roughly_may_be_on_either_side(name):
    rng = np.random.default_rng(3)
    scale = np.exp2(np.arange(-30, 40, 2.0))[:, None]
    x = graph.leaf(np.concatenate([rng.normal(size=(35, 30)), rng.integers(-9, 9, (35, 30)) / 2], 1) * scale, "input")
    holds(F[name](x))
    holds(F[name](x * 0.1 + F["exp"](x / 1e9) - 1))  # next to jumps, and not on them in float64
    holds(F[name](scores()))


def test_a_step_of_a_rough_value_covers_both_sides_and_arb_tells_which():
    x = graph.leaf(np.array([2.0**35]), "input")
    root = F["floor"](x * x + F["exp"](-x / 2.0**32) * 0 + 1 - F["expm1"](x * 0 - 700) * 2.0**-60 - 1)
    ball = balls.evaluate(root, [models.TRUTH])
    assert ball.radii[0][0] >= 1
    settled = exact.settle(root, np.arange(1), lambda hi: np.abs(hi) * 0)
    assert settled.hi[0] + settled.lo[0] == 2.0**70  # what float64 takes for 2^70 is 2^-60 above it


def test_equal_is_certain_only_where_both_are():
    third = graph.leaf(np.array([3.0, 5.0]), "input")
    root = F["where"](graph.equal(third * (1 / third), 1), 10, 20)
    ball = balls.evaluate(root, [models.TRUTH])
    assert (np.abs(ball.mid - 10) <= ball.radii[0]).all()  # it is 1; float64 may not say so, and then knows it
    assert (np.abs(ball.mid - 20) <= ball.radii[0]).all()
    exactly = balls.evaluate(F["where"](graph.equal(third, 3), 10, 20), [models.TRUTH, models.conditioning(FLOAT32)])
    assert exactly.mid.tolist() == [10, 20]
    assert exactly.radii[0] is None or exactly.radii[0].max() < 1e-300
    assert exactly.radii[1].tolist() == [10, 0]  # an input rounded once may not be 3 any more
    settled = exact.settle(root, np.arange(2), lambda hi: hi * 0)
    assert (settled.radius >= 5).all()


def test_rounding_is_to_nearest_and_ties_go_to_even_whatever_lies_below_float64():
    one, tiny = graph.number(1), graph.leaf(np.array([-300.0, 0.0, 300.0]), "input")
    tail = F["expm1"](tiny / 300) * F["exp"](graph.number(-200))
    root = F["float32"](one + graph.number(Fraction(1, 2**24)) + tail)
    settled = exact.settle(root, np.arange(3), lambda hi: hi * 0)
    assert settled.hi.tolist() == [1.0, 1.0, 1.0 + 2.0**-23]
    assert (settled.radius == 0).all()
    huge = F["float16"](graph.leaf(np.array([65519.0, 65520.0, -65520.0, 2.0**-25, 3 * 2.0**-26]), "input"))
    right = [65504, np.inf, -np.inf, 0, 2.0**-24]
    assert balls.evaluate(huge, []).mid.tolist() == right
    assert exact.settle(huge, np.arange(5), lambda hi: hi * 0).hi.tolist() == right


@pytest.mark.parametrize("name", ["floor", "ceil", "round", "float16"])
def test_a_step_of_what_is_far_from_a_jump_is_certain(name):
    x = graph.leaf(np.array([0.3, 5.7, -2.2, 1e5]), "input")
    ball = balls.evaluate(F[name](x / 3), [models.TRUTH])
    assert ball.radii[0] is None or (ball.radii[0] == 0).all()
