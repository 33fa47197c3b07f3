"""Values of a variant without bounds: those of NumPy, and none where it says nothing."""

from __future__ import annotations

import numpy as np
from bundled_ops import BUNDLED_OPS

from opfuzz.oracle import balls
from opfuzz.oracle.meaning import graphs_of, operands, variant_graphs, variant_values
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
