"""Gradients of references: against central differences in Arb, at kinks, and where a product with zero decides."""

import mpmath
import numpy as np
import pytest
from bundled_ops import BUNDLED_OPS, EVERY_OP
from central_differences import elements_of, reason_of

from opfuzz.core.floats import FLOAT32
from opfuzz.oracle import balls, exact, graph, models
from opfuzz.oracle.dependencies import dependencies
from opfuzz.oracle.elementary import ELEMENTARY
from opfuzz.oracle.functions.pairs import PAIRS
from opfuzz.oracle.gradients.reverse import gradients
from opfuzz.oracle.gradients.rules import RULES, NoDerivativeError
from opfuzz.oracle.gradients.slopes import PAIR_SLOPES, SLOPES, WITHOUT
from opfuzz.oracle.operations import REFERENCE_FUNCTIONS as F
from opfuzz.oracle.working import emulate

DIFFERENTIABLE = [spec.op for spec in EVERY_OP if reason_of(spec) is None]


def of(values):
    return graph.leaf(np.asarray(values, np.float64), "input")


def gradient(function, x, g=None, **written):
    """The gradient of a function of one input, with a cotangent of ones if none is given."""
    root = function(x)
    cotangent = of(np.ones(root.shape) if g is None else g)
    (made,) = gradients([root], [cotangent], [x], **written)
    return made


def settled(node):
    found = exact.settle(node, np.arange(node.size), lambda hi: np.abs(hi) * 2.0**-60 + 2.0**-1074)
    return found.hi, found.radius


@pytest.mark.parametrize("op", DIFFERENTIABLE)
def test_agrees_with_central_differences(op):
    checked = list(elements_of(BUNDLED_OPS[op], 3))
    assert checked
    assert [each.told for each in checked if each.word == "disagrees"] == []


def test_ops_without_a_gradient_say_which_kind_of_node_has_none():
    reasons = {spec.op: reason_of(spec) for spec in EVERY_OP if reason_of(spec) is not None}
    assert {reasons[op] for op in ("one_hot", "hann_window")} == {"no float input"}
    assert {reasons[op] for op in ("digamma", "cummax", "to_float8_e5m2")} == {
        "digamma", "cummax", "rounding to a format"
    }  # fmt: skip
    with pytest.raises(NoDerivativeError, match="digamma has no derivative: no formula may call the trigamma function"):
        gradient(F["digamma"], of([1.5]))


def test_every_function_has_a_slope_or_says_that_it_has_none():
    assert {*SLOPES, *WITHOUT} == {*ELEMENTARY, "sqrt"}
    assert PAIR_SLOPES.keys() == PAIRS.keys()
    assert {*ELEMENTARY, *PAIRS} <= RULES.keys()


KINKED = {
    "relu": (lambda x: F["maximum"](x, 0), 0, 2),
    "abs": (lambda x: F["abs"](x), -2, 2),
    "clip from below": (lambda x: F["clip"](x, 0, 1), 0, 2),
    "where": (lambda x: F["where"](x > 0, x, 0.25 * x), 0, 2.5),  # of each side anything up to the whole
    "max over an axis": (lambda x: F["max"](F["concatenate"]((x, x * 0), 0)), 0, 2),
    "min over an axis": (lambda x: F["min"](F["concatenate"]((x, x * 0), 0)), 0, 2),
}


@pytest.mark.parametrize("name", KINKED)
def test_at_a_kink_the_ball_holds_every_convention_and_nothing_else(name):
    function, low, high = KINKED[name]
    hi, radius = settled(gradient(function, of([0.0]), g=np.array(2.0) if "axis" not in name else np.full((1,), 2.0)))
    assert hi[0] - radius[0] == pytest.approx(low, abs=1e-5)
    assert hi[0] + radius[0] == pytest.approx(high, abs=1e-5)


def test_beside_a_kink_one_side_is_certain():
    x = of([-1e-30, 1e-30])
    for value in (gradient(lambda x: F["maximum"](x, 0), x), gradient(lambda x: F["abs"](x), x)):
        hi, radius = settled(value)
        assert hi.tolist() in ([0, 1], [-1, 1])
        assert (radius == 0).all()


def test_a_side_that_is_not_taken_is_exactly_zero_whatever_its_slope_is():
    x = of([[0.0, 0.0]])
    normalised = gradient(lambda x: x / F["maximum"](F["sqrt"](F["sum"](x**2, axis=-1)), 1e-12), x, [[3.0, 5.0]])
    hi, _ = settled(normalised)
    np.testing.assert_allclose(hi, [3e12, 5e12])
    ball = balls.evaluate(normalised, [models.TRUTH, models.working("wide", FLOAT32)])
    assert np.isfinite(ball.radii[1]).all()
    emulated = emulate(normalised, FLOAT32, 1)
    np.testing.assert_allclose(emulated.values, [[3e12, 5e12]], rtol=1e-6)
    assert not emulated.overflowed.any()


def test_zero_beside_an_infinite_slope_is_zero_and_what_may_be_zero_is_not_known():
    hi, radius = settled(gradient(lambda x: F["sqrt"](x), of([0.0, 0.0]), [0.0, 1.0]))
    assert hi.tolist() == [0.0, np.inf]
    assert radius.tolist() == [0.0, 0.0]
    hi, radius = settled(gradient(lambda x: F["where"](x < 0, F["sqrt"](x), x), of([0.0])))
    assert np.isinf(radius[0])


def test_where_a_function_has_no_value_its_slope_is_not_known():
    for name in ("log", "acosh", "atanh"):
        _, radius = settled(gradient(F[name], of([-3.0])))
        assert np.isinf(radius[0])


def test_equal_elements_that_are_sorted_may_have_stood_in_any_order():
    made = gradient(lambda x: F["sort"](x, axis=0), of([2.0, 1.0, 2.0, 0.5]), [1.0, 2.0, 3.0, 7.0])
    hi, radius = settled(made)
    np.testing.assert_allclose(hi - radius, [3.0, 2.0, 3.0, 1.0], rtol=1e-5)
    np.testing.assert_allclose(hi + radius, [7.0, 2.0, 7.0, 1.0], rtol=1e-5)


def test_constant_adjoints_of_a_softmax_have_no_gradient_at_all():
    x = of(np.random.default_rng(0).normal(size=(3, 5)) * 30)
    hi, radius = settled(gradient(lambda x: F["softmax"](x), x))
    assert (hi == 0).all()
    assert (radius == 0).all()


@pytest.mark.parametrize("name", ["logsumexp", "log_softmax"])
def test_a_maximum_that_is_only_a_shift_has_no_part_in_the_gradient(name):
    """Two elements tie for it, which leaves the gradient as it is."""
    made = gradient(lambda x: F[name](x, axis=-1), of([[1.0, 1.0, 0.0]]))
    assert not any(node.op == "tied" for node in graph.topological(made))
    _, radius = settled(made)
    assert (radius < 1e-15).all()


def test_the_usual_way_has_what_a_result_was_rounded_to_when_it_was_kept():
    x = of([[1.0, 2.0, 4.0]])
    usual = gradient(lambda x: F["softmax"](x), x, [[1.0, 0.0, 0.0]], is_usual=True)
    exactly = gradient(lambda x: F["softmax"](x), x, [[1.0, 0.0, 0.0]])
    kinds = [{node.op for node in graph.topological(root)} for root in (usual, exactly)]
    assert "saved" in kinds[0]
    assert "saved" not in kinds[1]


@pytest.mark.parametrize("is_tied", [False, True])
def test_dependencies_of_a_gradient_go_through_kinks(is_tied):
    x, g = of([[1.0, 3.0], [5.0, 5.0]]), of([[1.0], [1.0]])
    function = (lambda x: F["max"](x, axis=-1)) if is_tied else (lambda x: F["maximum"](x, 2))
    root = function(x)
    cotangent = g if is_tied else of(np.ones((2, 2)))
    (made,) = gradients([root], [cotangent], [x])
    found = dependencies(made, 1)
    assert found[id(x)].tolist() == ([0, 1] if is_tied else [1])
    assert found[id(cotangent)].tolist() == ([0] if is_tied else [1])


def test_balls_of_gradients_that_share_their_nodes_are_those_of_each_alone():
    x, w = of(np.random.default_rng(1).normal(size=(4, 3))), of([[1.0, 0.0], [2.0, 5.0], [-3.0, 7.0]])
    made = gradients([F["softmax"](x @ w)], [of(np.eye(4)[:, :2])], [x, w])
    asked = [models.TRUTH, models.conditioning(FLOAT32)]
    for alone, shared in zip(map(balls.evaluate, made, [asked] * 2), balls.evaluate_together(made, asked), strict=True):
        np.testing.assert_array_equal(alone.mid, shared.mid)
        for first, second in zip(alone.radii, shared.radii, strict=True):
            np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize("x", [0.7, 3.0, 1e13])
def test_a_quotient_by_powers_has_the_same_gradient(x):
    """Of 1 / sqrt(x) it is -x^(-3/2) / 2, of x / (1 + x) it is (1 + x)^-2, here with mpmath."""
    functions = {lambda t: 1 / F["sqrt"](t): lambda t: 1 / mpmath.sqrt(t), lambda t: t / (1 + t): lambda t: t / (1 + t)}
    for function, known in functions.items():
        with mpmath.workdps(60):
            right = float(mpmath.diff(known, mpmath.mpf(x), h=mpmath.mpf(x) * mpmath.mpf(10) ** -20))
        hi, _ = settled(gradient(function, of([x]), is_usual=True, by_powers=True))
        assert hi[0] == pytest.approx(right, rel=1e-15)


def test_a_cube_underflows_where_the_gradient_by_powers_does_not():
    """x^(-3/2) is 1e-48 for 1e32, and a cotangent of 1e30 comes too late in float32."""
    x, g = of([1e32]), [1e30]
    found = [
        emulate(gradient(lambda t: 1 / F["sqrt"](t), x, g, is_usual=True, by_powers=by_powers), FLOAT32, 1).values
        for by_powers in (False, True)
    ]
    assert found[0] == pytest.approx(-5e-19, rel=1e-6)
    assert found[1] == 0
