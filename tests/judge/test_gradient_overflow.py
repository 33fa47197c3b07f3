"""Gradients of which an intermediate overflows in a half format are told as that, and others are not."""

from __future__ import annotations

import numpy as np
import pytest
from bundled_ops import BUNDLED_OPS
from diagnosed_arrays import Said

from opfuzz.core.call import Call
from opfuzz.core.results import Score
from opfuzz.engine.triage.diagnose import Exact
from opfuzz.judge.diagnose import Evidence, diagnose
from opfuzz.judge.settle import examine
from opfuzz.judge.verdict import decide_verdict
from opfuzz.spec.gradient import gradient_of

OVERFLOWS = ("overflows-inside", "float16")


def told(op, gradient, place=0, **rows):
    """What is said of a gradient by the input at a place, a function of all inputs in float16."""
    spec = gradient_of(BUNDLED_OPS[op])
    arrays = {name: np.float16([row]) for name, row in rows.items()}
    sizes = dict.fromkeys(arrays, "contiguous")
    call = Call("float16", {"batch": 1, "n": len(next(iter(rows.values())))}, {}, arrays, sizes)

    def run(call):
        with np.errstate(all="ignore"):
            return gradient(*call.arrays.values())

    exact = Exact(spec, place)
    verdict = decide_verdict(examine(run(call), exact(call)), exact(call))
    return Said(diagnose(Evidence(spec, Score(verdict.word, verdict.cause), call, run(call), run, exact)))


def by_squares(x, g):
    """MLX's: the quotient of softsign is derived as -a / b^2, with every step in float16."""
    below = 1 + np.abs(x)
    return g / below - np.sign(x) * g * x / (below * below)


def test_squares_of_what_divides_that_are_beyond_the_format():
    assert OVERFLOWS in told("softsign", by_squares, x=[300.0, 1.0, -0.5], cotangent=[1.0, 1.0, 1.0])


@pytest.mark.parametrize("limit", [100.0, 180.0, 400.0])
def test_what_is_lost_from_elsewhere_on_is_no_overflow_of_squares(limit):
    def lost(x, g):
        exact = g.astype(np.float64) / (1 + np.abs(x.astype(np.float64))) ** 2
        return np.where(np.abs(x) > limit, np.nan, exact).astype(np.float16)

    row = {"x": [700.0, 1.0, -500.0], "cotangent": [1.0, 1.0, 1.0]}
    assert OVERFLOWS not in told("softsign", lost, **row)


def test_nan_where_the_product_before_it_overflows_and_an_infinity_is_right():
    def gate(gate, x, g):
        """Of silu(gate) * x by the gate, with g * x in float16 first: 0 times its infinity is NaN."""
        first = (g * x).astype(np.float32)
        wide = gate.astype(np.float32)
        chance = 1 / (1 + np.exp(-wide))
        return (first * chance + first * wide * (chance * (1 - chance))).astype(np.float16)

    assert OVERFLOWS in told("swiglu", gate, gate=[0.0], x=[128.0], cotangent=[2048.0])


def test_nan_and_infinities_that_the_usual_formula_has_in_the_half_format():
    def of_remainder(x, y, g):
        """-g * floor(x / y), by y, with the quotient in float16."""
        return -g * np.floor((x / y).astype(np.float16)).astype(np.float16)

    def lost(x, y, g):
        exact = -g.astype(np.float64) * np.floor(x.astype(np.float64) / y.astype(np.float64))
        return np.where(np.abs(exact) > 900, np.inf, exact).astype(np.float16)

    for gradient, is_usual in ((of_remainder, True), (lost, False)):
        said = told("remainder", gradient, place=1, x=[300.0, 7.0], y=[0.002, 2.0], cotangent=[0.01, 1.0])
        assert (("usual-formula", "float16") in said) == is_usual
