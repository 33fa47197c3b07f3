"""Causes of gradients that other values refute are not told."""

from __future__ import annotations

import ml_dtypes
import numpy as np
from bundled_ops import BUNDLED_OPS
from diagnosed_arrays import Said
from scipy.special import log_ndtr

from opfuzz.core.call import Call
from opfuzz.core.results import Score
from opfuzz.engine.triage.diagnose import Exact
from opfuzz.judge.diagnose import Evidence, diagnose
from opfuzz.judge.settle import examine
from opfuzz.judge.verdict import decide_verdict
from opfuzz.spec.gradient import gradient_of


def test_what_a_param_would_make_unknown_is_no_cause_of_nan_where_ordinary_values_have_numbers():
    """Of one element d/dx is 0; without eps, or in a half format, it would be 0 times infinity, for 1.0 as well."""
    spec = gradient_of(BUNDLED_OPS["layer_norm"])
    arrays = {
        "x": np.float32([[5e17], [4e17], [-3e17]]),
        "weight": np.ones(1, np.float32),
        "bias": np.zeros(1, np.float32),
        "cotangent": np.full((3, 1), 92, np.float32),
    }
    call = Call("float32", {"batch": 3, "d": 1}, {"eps": 1e-12}, arrays, dict.fromkeys(arrays, "contiguous"))

    def run(call):
        """As a library has it that computes with x and its mean apart, which are of the size of 1e17."""
        x = call.arrays["x"]
        is_lost = np.abs(x.astype(np.float64)) > 1e17
        return np.where(is_lost, np.nan, 0.0).astype(x.dtype) if x.shape[1] == 1 else None

    exact = Exact(spec, 0)
    told = decide_verdict(examine(run(call), exact(call)), exact(call))
    said = Said(diagnose(Evidence(spec, Score(told.word, told.cause), call, run(call), run, exact)))
    assert said[0] == ("special-at", "")
    assert not {kind for kind, _ in said} & {"is-setting", "accumulates-in", "is-variant"}


def test_a_formula_that_cancels_and_overflows_is_not_told_as_float16_inside():
    """exp(-x^2 / 2 - log_ndtr(x)) is infinite or 0 from -1e5 on, as the digits fall that are left of the exponent."""
    spec = gradient_of(BUNDLED_OPS["log_ndtr"])
    chance = np.random.default_rng(3)
    x = np.exp2(chance.uniform(-120, 120, (1, 32))) * chance.choice((-1, 1), (1, 32))
    arrays = {"x": x.astype(np.float32), "cotangent": chance.normal(size=(1, 32)).astype(np.float32)}
    call = Call("float32", {"batch": 1, "n": 32}, {}, arrays, dict.fromkeys(arrays, "contiguous"))

    def run(call):
        x, g = call.arrays["x"], call.arrays["cotangent"]
        with np.errstate(all="ignore"):
            below = log_ndtr(x.astype(np.float64)).astype(np.float32)
            return g * np.exp(-x * x / 2 - below) / np.float32(np.sqrt(2 * np.pi))

    exact = Exact(spec, 0)
    told = decide_verdict(examine(run(call), exact(call)), exact(call))
    said = Said(diagnose(Evidence(spec, Score(told.word, told.cause), call, run(call), run, exact)))
    assert said[0] == ("special-at", "")
    assert "float16" not in {name for _, name in said}


def test_a_power_that_overflows_is_not_told_as_float16_inside():
    """x (g x) / norm^3 is 0 from 1e13 on, as it would be from 1e8 on in float16; both are 0 of far larger numbers."""
    spec = gradient_of(BUNDLED_OPS["l2_normalise"])
    arrays = {"x": np.full((2, 1), 3e16, ml_dtypes.bfloat16), "cotangent": np.ones((2, 1), ml_dtypes.bfloat16)}
    call = Call("bfloat16", {"batch": 2, "n": 1}, {"eps": 1e-8}, arrays, dict.fromkeys(arrays, "contiguous"))

    def run(call):
        x, g = (call.arrays[name].astype(np.float32) for name in ("x", "cotangent"))
        with np.errstate(all="ignore"):
            norm = np.sqrt((x * x).sum(axis=-1, keepdims=True))
            back = x * (g * x).sum(axis=-1, keepdims=True) / (norm * norm * norm)
            return (g / np.maximum(norm, call.params["eps"]) - back).astype(call.arrays["x"].dtype)

    exact = Exact(spec, 0)
    told = decide_verdict(examine(run(call), exact(call)), exact(call))
    said = Said(diagnose(Evidence(spec, Score(told.word, told.cause), call, run(call), run, exact)))
    assert "float16" not in {name for _, name in said}
