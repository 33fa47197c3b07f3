"""Places where a radius could be too small: far tails, underflow, and scores that are known only roughly."""

import numpy as np
import pytest

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
