"""What a reference refuses to compute, and what it leaves open of a zero."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from bundled_ops import BUNDLED_OPS
from several_outputs import SPLIT, TOTAL, call_of, of

from opfuzz.backends import discover
from opfuzz.core.call import Call
from opfuzz.core.errors import OpfuzzError
from opfuzz.engine.plan import load_specs
from opfuzz.oracle.reference import references_of

ATTENTION = BUNDLED_OPS["attention"]


def meanings(heads):
    """The variants of attention that have values where it has so many heads, and little else."""
    dims = {"batch": 2, "heads": heads, "queries": 1, "keys": 1, "d": 1}
    arrays = {item.name: np.ones((2, heads, 1, 1), np.float32) for item in ATTENTION.inputs}
    (reference,) = references_of(ATTENTION, Call("float32", dims, {}, arrays, {}))
    return {name for name in reference.variants if reference.variant(name) is not None}


def test_a_meaning_that_takes_heads_times_heads_is_left_out_where_these_are_many():
    few, many = meanings(8), meanings(16384)
    assert many < few
    assert "no-scale" in many


X = np.random.default_rng(4).normal(size=(3, 5)).astype(np.float32)


def test_each_output_has_a_reference_of_its_own():
    y, mean = references_of(SPLIT, of(SPLIT, call_of(X)))
    assert [(each.place, each.output, each.shape) for each in (y, mean)] == [(0, "y", (3, 5)), (1, "mean", (3,))]
    exact = np.array([math.fsum(row) / 5 for row in X.astype(np.float64)])
    np.testing.assert_allclose(mean.truth.hi, exact, rtol=1e-15)
    np.testing.assert_allclose(y.truth.hi, X.astype(np.float64) - exact[:, None], rtol=1e-13)
    assert {name: places.tolist() for name, places in mean.sources((1,)).items()} == {"x": [5, 6, 7, 8, 9]}


def test_places_of_each_output_are_settled():
    for reference in references_of(SPLIT, of(SPLIT, call_of(X))):
        places = np.arange(reference.root.size)
        assert not reference.settle(places).open_places.size
        np.testing.assert_allclose(reference.settle(places).hi, reference.truth.hi, rtol=1e-13)


def test_a_number_without_axes_is_settled():
    (reference,) = references_of(TOTAL, of(TOTAL, call_of(X)))
    truth = reference.settle(np.array([0]))
    assert truth.hi.shape == ()
    exact = sum(map(Fraction, X.ravel().tolist())) / 15
    assert abs(Fraction(float(truth.hi)) + Fraction(float(truth.lo)) - exact) <= Fraction(float(truth.radius))


SINES = """
op: sines
summary: Two functions of each number.
formats: [float32]
dims: {n: 1..}
inputs: {x: {shape: [n]}}
outputs: {a: {shape: [n]}, b: {shape: [n]}}
calls: {numpy: "(np.tanh(x), 2 * np.tanh(x))"}
reference: (tanh(x), 2 * tanh(x))
"""


def test_limits_at_infinity_are_those_of_the_output(tmp_path):
    (tmp_path / "sines.yaml").write_text(SINES)
    (spec,) = load_specs([tmp_path], discover())
    call = Call("float32", {"n": 2}, {}, {"x": np.array([np.inf, -np.inf], np.float32)}, {})
    assert [each.truth.hi.tolist() for each in references_of(spec, call)] == [[1, -1], [2, -2]]


SLOW = {"log(log(x))": np.inf, "1 / log(x)": 0.0, "asinh(asinh(x))": np.inf, "pow(x, 0.001)": np.inf, "sin(x)": np.nan}


@pytest.mark.parametrize("formula", SLOW)
def test_what_grows_or_vanishes_slowly_is_at_infinity_what_ieee_arithmetic_has_there(tmp_path, formula):
    (tmp_path / "sines.yaml").write_text(SINES.replace("reference: (tanh(x)", f"reference: ({formula}"))
    (spec,) = load_specs([tmp_path], discover())
    call = Call("float32", {"n": 1}, {}, {"x": np.array([np.inf], np.float32)}, {})
    truth = references_of(spec, call)[0].truth
    assert repr(truth.hi.tolist()) == repr([SLOW[formula]])
    assert truth.radius.tolist() == [0]


def test_a_reference_of_another_shape_than_the_spec_says_names_the_output(tmp_path):
    (tmp_path / "sines.yaml").write_text(SINES.replace("b: {shape: [n]}", "b: {shape: []}"))
    with pytest.raises(OpfuzzError, match=r"reference of 'sines' has the shape \[\d+\], the output b says \[\]"):
        load_specs([tmp_path], discover())


@pytest.mark.parametrize(
    ("op", "at", "limit", "is_signed"), [("logsigmoid", np.inf, -0.0, False), ("silu", -np.inf, -0.0, True)]
)
def test_a_zero_at_infinity_has_either_sign_where_the_usual_formula_has_the_other(op, at, limit, is_signed):
    call = Call("float32", {"batch": 1, "n": 2}, {}, {"x": np.array([[at, 1.0]], np.float32)}, {})
    (reference,) = references_of(BUNDLED_OPS[op], call)
    assert repr(float(reference.truth.hi[0, 0])) == repr(limit)
    assert reference.truth.signed_zeros is not None
    assert bool(reference.truth.signed_zeros[0, 0]) == is_signed


@pytest.mark.parametrize(("op", "params"), [("hardshrink", {"limit": 0.5}), ("softshrink", {"shift": 0.5})])
def test_a_zero_has_either_sign_where_the_usual_formula_has_the_other(op, params):
    """torch's shrinks: +0 and 0 * x; of what is positive both are +0."""
    x = np.array([-0.25, 0.25, -3.0], np.float32)
    (reference,) = references_of(BUNDLED_OPS[op], Call("float32", {"n": 3}, params, {"x": x}, {}))
    assert reference.is_unary
    assert reference.truth.signed_zeros is not None
    assert reference.truth.signed_zeros.tolist() == [False, True, False]
