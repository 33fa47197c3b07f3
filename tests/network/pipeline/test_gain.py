"""Gains against pipelines whose answer is known by hand."""

from __future__ import annotations

import numpy as np
import pytest
from small_campaigns import SPECS

from opfuzz.backends import discover
from opfuzz.core.errors import OpfuzzError
from opfuzz.core.floats import FLOAT32, ulp
from opfuzz.engine.plan import load_specs
from opfuzz.network.pipeline.gain import gains
from opfuzz.network.pipeline.planting import Setup

OPS = {spec.op: spec for spec in load_specs([SPECS], discover())}
X = np.random.default_rng(0).normal(size=40).astype(np.float32)


def compute(call):
    if call.op == "square":
        return np.square(call.arrays["x"])
    return np.mean(call.arrays["x"], axis=-1, keepdims=True)


def gains_of(pipeline, seed=0):
    return gains(Setup(pipeline, {}, {"x": X}, compute), OPS, seed)


def test_what_is_passed_on_as_it_is():
    # S = y, S' = y +- ulp(y): rms(ulp(y)) / std(y), and four times y drifts by as much.
    y = np.square(X).astype(np.float64)
    wanted = np.sqrt(np.mean(ulp(y, FLOAT32) ** 2)) / y.std()
    for factor in (1, 4):
        points, found = gains_of(lambda run, w, given, factor=factor: run("square", x=given["x"]) * np.float32(factor))
        assert found == {"square": pytest.approx(wanted, rel=1e-3)}
    assert [(point.op, point.count, dict(point.dims)) for point in points] == [("square", 1, {"n": 40})]


def test_each_op_by_itself():
    def pipeline(run, weights, given):
        twice = run("square", at="a", x=run("square", at="b", x=given["x"]))
        run("mean", x=twice[None])  # whose result goes nowhere
        return twice

    points, found = gains_of(pipeline)
    assert found["mean"] == 0
    assert found["square"] > 0
    assert [(point.op, point.count) for point in points] == [("square", 2), ("mean", 1)]


def test_errors_of_different_calls_are_independent():
    """Over n calls they add up as sqrt(n): the same signs everywhere would give n, opposite ones nothing."""

    def pipeline(run, weights, given, calls):
        return sum(run("square", x=given["x"]).astype(np.float64) for _ in range(calls)) / calls

    one, hundred = (gains_of(lambda *a, n=n: pipeline(*a, n))[1]["square"] for n in (1, 100))
    assert hundred / one == pytest.approx(0.1, rel=0.4)


def test_the_same_seed_gives_the_same_gains():
    def pipeline(run, weights, given):
        return run("square", x=given["x"]).cumsum()

    assert gains_of(pipeline, 1) == gains_of(pipeline, 1)
    assert gains_of(pipeline, 1)[1] != gains_of(pipeline, 2)[1]


@pytest.mark.parametrize("output", [np.ones(3, np.float32), np.array([1.0, np.nan]), np.arange(3)])
def test_an_output_that_cannot_drift_is_refused(output):
    with pytest.raises(OpfuzzError, match="the output of the pipeline has nothing to drift"):
        gains_of(lambda run, weights, given: output)
