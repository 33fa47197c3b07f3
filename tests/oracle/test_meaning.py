"""Values of a variant without bounds: those of NumPy, and none where it says nothing."""

from __future__ import annotations

import numpy as np
import pytest
from bundled_ops import BUNDLED_OPS

from opfuzz.oracle import balls
from opfuzz.oracle.meaning import _operand, graphs_of, operands, variant_graphs, variant_values
from opfuzz.oracle.operations import REFERENCE_FUNCTIONS
from opfuzz.spec.expression.program import parse


def normal(*shape):
    return np.random.default_rng(0).normal(size=shape).astype(np.float32)


def test_a_variant_of_params_is_the_formula_with_them():
    x, ones, zeros = normal(3, 8) / 100, np.ones(8, np.float32), np.zeros(8, np.float32)
    given = {"x": x, "weight": ones, "bias": zeros}
    (found,) = variant_values(BUNDLED_OPS["layer_norm"], "eps-1e-3", {"batch": 3, "d": 8}, {"eps": 1e-5}, given)
    wide = x.astype(np.float64)
    centred = wide - wide.mean(-1, keepdims=True)
    np.testing.assert_allclose(found, centred / np.sqrt((centred**2).mean(-1, keepdims=True) + 1e-3), rtol=1e-12)


def test_a_variant_of_another_formula():
    given = {"x": normal(2, 3, 4), "weight": normal(4, 4), "bias": normal(4)}
    dims = {"batch": 2, "length": 3, "d_in": 4, "d_out": 4}
    (found,) = variant_values(BUNDLED_OPS["linear"], "transposed-weight", dims, {}, given)
    there = given["x"].astype(np.float64) @ given["weight"].astype(np.float64) + given["bias"]
    np.testing.assert_allclose(found, there, rtol=1e-12)


def test_a_variant_without_a_meaning_here_is_none():
    given = {"x": normal(2, 3, 4), "weight": normal(5, 4), "bias": normal(5)}
    dims = {"batch": 2, "length": 3, "d_in": 4, "d_out": 5}
    assert variant_values(BUNDLED_OPS["linear"], "transposed-weight", dims, {}, given) is None


def graphs(text, **tensors):
    return graphs_of(parse(text, names=None, functions=REFERENCE_FUNCTIONS), {}, {}, tensors)


def test_a_formula_has_a_graph_for_each_of_its_results():
    x = operands(BUNDLED_OPS["linear"], {"x": normal(2, 3), "weight": normal(1, 1), "bias": normal(1)})["x"]
    centred, middle = graphs("m = mean(x, -1)\n(x - m, m)", x=x)
    assert (centred.shape, middle.shape) == ((2, 3), (2, 1))
    assert centred.args[1] is middle
    (alone,) = graphs("x - mean(x, -1)", x=x)
    np.testing.assert_array_equal(balls.evaluate(alone, []).mid, balls.evaluate(centred, []).mid)


def test_a_variant_has_the_graphs_of_its_formula():
    arrays = {"x": normal(2, 3, 4), "weight": normal(4, 4), "bias": normal(4)}
    dims = {"batch": 2, "length": 3, "d_in": 4, "d_out": 4}
    spec = BUNDLED_OPS["linear"]
    (root,) = variant_graphs(spec, "transposed-weight", dims, {}, operands(spec, arrays))
    np.testing.assert_array_equal(
        balls.evaluate(root, []).mid, variant_values(spec, "transposed-weight", dims, {}, arrays)[0]
    )


def test_indices_are_whole_numbers_that_stay_exact():
    q, x = np.array([[0, 5], [9, 14]]), np.array([[0.5, 0.25], [2.0, 4.0]])
    given = {"q": _operand(q, "index"), "x": _operand(x, "float")}
    for text, right in [
        ("(q - 8) * x", (q - 8) * x),
        ("x @ q", x @ q),
        ("q @ x", q @ x),
        ("q / 3 * 3", q),
        ("take(arange(16), q // 2)", q // 2),
        ("where(q % 2 == 1, x, -q)", np.where(q % 2 == 1, x, -q)),
        ("where(x < q, 1, 0)", x < q),
    ]:
        (found,) = graphs(text, **given)
        np.testing.assert_array_equal(balls.evaluate(found, []).mid, right, err_msg=text)


def test_values_that_are_equal_choose_as_ieee_arithmetic_has_it():
    x = np.array([0.0, -0.0, 1.0, np.nan, np.inf])
    given = {"x": _operand(x, "float"), "q": _operand(np.array([0, 1, 1, 2, 3]), "index")}
    for text, right in [
        ("where(x == 0, 2, x)", np.where(x == 0, 2, x)),
        ("where(1 != x, 2, x)", np.where(x != 1, 2, x)),
        ("where(x == x, 1, 0)", x == x),
        ("where(q == x, 1, 0)", [True, False, True, False, False]),
        ("where(x == inf, 1, 0)", x == np.inf),
        ("where(x != x, 1, 0)", x != x),
    ]:
        (found,) = graphs(text, **given)
        np.testing.assert_array_equal(balls.evaluate(found, []).mid, right, err_msg=text)


@pytest.mark.parametrize("text", ["where(0 < x < 1, x, 1)", "where(0 == x == 1, x, 1)"])
def test_a_chain_of_values_is_no_condition(text):
    with pytest.raises(TypeError, match=r"write where\(a < x, where\(x < b"):
        graphs(text, x=_operand(np.ones(2), "float"))
