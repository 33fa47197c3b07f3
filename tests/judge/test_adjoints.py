"""Causes of gradients: factors, places, ends, single mistakes and kinks, on gradients that are written in NumPy."""

from __future__ import annotations

from functools import partial

import ml_dtypes
import numpy as np
import pytest
from bundled_ops import BUNDLED_OPS

from opfuzz.core.call import Call
from opfuzz.core.cause import UNEXPLAINED
from opfuzz.core.layout import LAYOUTS
from opfuzz.core.results import Score
from opfuzz.engine.triage.diagnose import Exact
from opfuzz.judge.diagnose import Evidence, adjoints, steps, where
from opfuzz.spec.gradient import gradient_of


def softmax(x):
    raised = np.exp(x - x.max(axis=-1, keepdims=True))
    return raised / raised.sum(axis=-1, keepdims=True)


def evidence_of(op, gradient, dims, output=0, arrays=None, **params) -> Evidence:
    """A gradient of an op that is made of float64 arrays by name and of sizes, in float32; NumPy's own errors apart."""
    spec = gradient_of(BUNDLED_OPS[op])
    own = {param.name: params.get(param.name, param.default) for param in spec.params}
    chance = np.random.default_rng(5)
    made = {}
    for item, (name, shape) in zip(spec.inputs, spec.shapes(dims, own).items(), strict=True):
        whole = chance.integers(0, dims.get("vocab", 2), shape) if item.kind == "index" else None
        made[name] = chance.normal(1.0, 1.0, shape).astype(np.float32) if whole is None else whole
    call = Call("float32", dims, own, {**made, **(arrays or {})}, dict.fromkeys(made, LAYOUTS[0]))

    def run(call):
        wide = {name: a.astype(np.float64) if a.dtype.kind == "f" else a for name, a in call.arrays.items()}
        with np.errstate(all="ignore"):
            return np.asarray(gradient(**wide), np.float64).astype(np.float32)

    return Evidence(spec, Score("wrong", UNEXPLAINED), call, run(call), run, Exact(spec, output))


def softmax_back(x, cotangent, below):
    y = softmax(x)
    return y * (cotangent - below(cotangent * y))


def total(x):
    return x.sum(axis=-1, keepdims=True)


@pytest.mark.parametrize(
    ("below", "name"),
    [
        (np.zeros_like, "term"),
        (lambda x: x, "own term"),
        (lambda x: x.mean(axis=-1, keepdims=True), "mean"),
        (lambda x: total(x[..., :-1]), "last term"),
    ],
)
@pytest.mark.parametrize("dims", [{"batch": 3, "n": 9}, {"batch": 1, "n": 4}])
def test_one_mistake_is_named_whatever_the_sizes(below, name, dims):
    cause = adjoints.mistaken(evidence_of("softmax", partial(softmax_back, below=below), dims))
    assert cause is not None
    assert (cause.kind, cause.name) == ("mistakes-gradient", name)


def test_what_is_right_and_what_is_merely_noise_has_no_mistake():
    chance = np.random.default_rng(1)
    right = partial(softmax_back, below=total)
    for gradient in (right, lambda **given: right(**given) * chance.uniform(0.5, 2, given["x"].shape)):
        evidence = evidence_of("softmax", gradient, {"batch": 3, "n": 9})
        for stage in (adjoints.scaled, adjoints.arranged, adjoints.unheeded, adjoints.mistaken, adjoints.scaled_anyhow):
            assert stage(evidence) is None, stage


@pytest.mark.parametrize(
    ("factor", "name"),
    [
        (lambda x: 2.0, "2"),
        (lambda x: 1 / x.shape[0], "1/batch"),
        (lambda x: x.shape[1] ** 0.5, "sqrt(n)"),
        (lambda x: x.size**-1.0, "1/(batch * n)"),
    ],
)
def test_a_factor_is_named_by_the_size_that_it_is(factor, name):
    def gradient(x, cotangent):
        return np.exp(x) * cotangent * factor(x)

    cause = adjoints.scaled(evidence_of("exp", gradient, {"batch": 2, "n": 2}))
    assert cause is not None
    assert (cause.kind, cause.name) == ("scales-gradient", name)


def test_a_factor_that_hangs_on_the_values_has_no_name():
    def gradient(x, cotangent):
        return np.exp(x) * cotangent * x.max()

    evidence = evidence_of("exp", gradient, {"batch": 2, "n": 3})
    assert adjoints.scaled(evidence) is None
    cause = adjoints.scaled_anyhow(evidence)
    assert (cause.kind, cause.name) == ("scales-gradient", "")


@pytest.mark.parametrize(
    ("move", "how"),
    [
        (lambda g: np.flip(g, 1), ("reversed", 1)),
        (lambda g: np.roll(g, 1, 0), ("shifted", 1, 0)),
        (lambda g: g * (np.arange(g.shape[1]) < g.shape[1] - 1), ("zero", "last", 1)),
    ],
)
def test_elements_at_other_places(move, how):
    def gradient(x, cotangent):
        return move(np.exp(x) * cotangent)

    cause = adjoints.arranged(evidence_of("exp", gradient, {"batch": 3, "n": 4}))
    assert cause is not None
    assert cause.figures["how"] == how


def test_a_row_that_a_sum_over_the_batch_leaves_out():
    def bias(x, weight, bias, cotangent):
        return cotangent[:-1].sum(axis=(0, 1))

    evidence = evidence_of("linear", bias, {"batch": 3, "length": 2, "d_in": 2, "d_out": 3}, output=2)
    cause = adjoints.unheeded(evidence)
    assert (cause.name, cause.figures["how"]) == ("cotangent", ("unheeded", "last", 0))


def test_a_repeated_index_that_is_overwritten():
    def gradient(index, table, cotangent):
        made = np.zeros_like(table)
        made[index.ravel()] = cotangent.reshape(-1, table.shape[1])
        return made

    dims = {dim.name: 6 for dim in BUNDLED_OPS["embedding"].dims}
    cause = adjoints.mistaken(evidence_of("embedding", gradient, dims))
    assert (cause.kind, cause.name) == ("mistakes-gradient", "overwritten")


@pytest.mark.parametrize(("at_zero", "is_told"), [(2.0, True), (-0.01, True), (0.5, False)])
def test_a_kink_is_named_where_all_that_is_wrong_lies_there(at_zero, is_told):
    x = np.array([[0.0, 1.0, -1.0, 0.0]], np.float32)

    def gradient(x, cotangent):
        return cotangent * np.where(x == 0, at_zero, x > 0)

    evidence = evidence_of("relu", gradient, {"batch": 1, "n": 4}, arrays={"x": x})
    assert evidence.is_wrong.any() == is_told
    if is_told:
        assert adjoints.kinked(evidence).kind == "outside-kink"


def test_what_is_wrong_beside_kinks_too_is_no_matter_of_these():
    x = np.array([[0.0, 1.0, -1.0, 0.0]], np.float32)
    evidence = evidence_of("relu", lambda x, cotangent: cotangent * 3, {"batch": 1, "n": 4}, arrays={"x": x})
    assert adjoints.kinked(evidence) is None


def test_a_size_at_which_alone_it_is_wrong_is_no_mistake_of_the_formula():
    def gradient(x, cotangent):
        return softmax_back(x, cotangent, np.zeros_like if x.shape[1] == 2 else total)

    evidence = evidence_of("softmax", gradient, {"batch": 2, "n": 2})
    assert evidence.is_wrong.any()
    assert adjoints.mistaken(evidence) is None


def test_the_values_for_which_a_gradient_is_wrong():
    def gradient(x, cotangent):
        return cotangent * np.where(np.abs(x) > 4, 0.0, 1 / np.cosh(x) ** 2)

    x = np.array([[5.0, 1.0]], np.float32)
    cause = where.values(evidence_of("tanh", gradient, {"batch": 1, "n": 2}, arrays={"x": x}))
    (low, high, _), (start, end, _) = cause.figures["ranges"]
    assert low == -end
    assert (round(high, 1), round(start, 1)) == (-4.0, 4.0)


def bfloat16(x):
    return x.astype(ml_dtypes.bfloat16).astype(np.float64)


def test_a_statistic_kept_in_a_half_format():
    def gradient(x, weight, cotangent):
        r = bfloat16(1 / np.sqrt((x * x).mean(axis=-1, keepdims=True) + 1e-5))
        n, h = x * r, cotangent * weight
        return r * (h - n * (h * n).mean(axis=-1, keepdims=True))

    cause = steps.rounded(evidence_of("rms_norm", gradient, {"batch": 3, "d": 9}))
    assert (cause.kind, cause.name, cause.figures["step"]) == ("computes-in", "bfloat16", "div")


def test_a_sum_inside_that_is_added_up_in_float16():
    def below(x):
        return np.add.accumulate(x.astype(np.float16), axis=-1)[..., -1:].astype(np.float64)

    cause = steps.summed(evidence_of("softmax", partial(softmax_back, below=below), {"batch": 3, "n": 40}))
    assert (cause.kind, cause.name) == ("accumulates-in", "float16")
