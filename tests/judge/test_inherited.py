"""Causes inside: an op inherits what its primitive does wrong, and only that; an eps is solved for."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
import scipy.special
from bundled_ops import BUNDLED_OPS

from opfuzz.backends import Subject, derive
from opfuzz.core.call import Call, Recipe
from opfuzz.core.results import Score
from opfuzz.core.rounding import cut_to_bits
from opfuzz.engine.triage.diagnose import Exact, diagnose_score, outcome_of
from opfuzz.judge.diagnose import solved
from opfuzz.judge.score import score
from opfuzz.oracle import graph
from opfuzz.oracle.primitive import primitives_of

PRIMITIVES = primitives_of(BUNDLED_OPS.values())


def found(op, replaced, format="float32", values=None, **sizes):
    """The causes of a fault of an op on a backend with some functions replaced."""
    spec, backend, subject = BUNDLED_OPS[op], derive("numpy", "planted", replaced), Subject("planted", "cpu")
    rng = np.random.default_rng(5)
    params = {param.name: param.default for param in spec.params}
    dtype = np.dtype(format)
    arrays = {
        name: (3 * rng.standard_normal(shape) if values is None else np.resize(values, shape)).astype(dtype)
        for name, shape in spec.shapes(sizes, params).items()
    }
    call = Call(format, sizes, params, arrays, dict.fromkeys(arrays, "contiguous"))
    with np.errstate(all="ignore"):
        (made,) = outcome_of(spec, subject, backend, call).outputs
        judged: Score = score(made, Exact(spec, 0)(call))
        return diagnose_score(judged, spec, Recipe(call=call), subject, backend, None, PRIMITIVES)


def poor_exp(x):
    return np.exp(cut_to_bits(x, 16))


def sigmoid(x):
    return 1 / (1 + poor_exp(-x))


def softplus(x, y):
    return np.maximum(x, 0) + np.log1p(poor_exp(-np.abs(x)))


def softmax(x, axis):
    raised = poor_exp(x - x.max(axis=axis, keepdims=True))
    return raised / raised.sum(axis=axis, keepdims=True)


POOR = {"np.exp": poor_exp, "scipy.special.expit": sigmoid, "np.logaddexp": softplus, "softmax": softmax}


@pytest.mark.parametrize("op", ["silu", "sigmoid", "softplus", "mish", "softmax"])
def test_what_is_made_of_a_poor_exp_inherits_it(op):
    assert [(cause.kind, cause.name) for cause in found(op, POOR, batch=4, n=12)[:1]] == [("inherits", "exp")]


def test_the_primitive_itself_has_a_cause_of_its_own():
    cause = found("exp", POOR, batch=4, n=12)[0]
    assert (cause.kind, cause.name, cause.figures["bits"], cause.figures["verb"]) == ("rounds-inputs", "", 16, "cuts")


def test_a_right_exp_is_inherited_by_nothing():
    alone = {name: function for name, function in POOR.items() if name != "np.exp"}
    assert found("sigmoid", alone, batch=4, n=12)[0].kind != "inherits"


def test_a_fault_beside_a_poor_exp_is_not_inherited():
    replaced = {"np.exp": poor_exp, "softmax": lambda x, axis: scipy.special.softmax(1.001 * x, axis=axis)}
    assert found("softmax", replaced, batch=4, n=12)[0].kind != "inherits"


@pytest.mark.parametrize(("bound", "is_inherited"), [(88.0296, True), (88.4, False), (87.9, False)])
def test_what_is_lost_just_where_the_exp_of_the_subject_is_inherits_it(bound, is_inherited):
    """Of 0 times the exp of what is not chosen, as gradients of a choice have it, a NaN comes."""

    def early_exp(x):
        return np.where(x > 88.0296, np.inf, np.exp(x.astype(np.float64))).astype(x.dtype)

    def cosh(x):
        return np.where(np.abs(x) > bound, np.nan, np.cosh(x.astype(np.float64))).astype(x.dtype)

    causes = found("cosh", {"np.exp": early_exp, "np.cosh": cosh}, values=[88.5, -88.5, 1.0, 2.0], batch=1, n=4)
    assert (("inherits", "exp") in [(cause.kind, cause.name) for cause in causes]) == is_inherited


def cut_exp(x):
    return np.where(x > 80, np.inf, np.exp(x.astype(np.float64))).astype(x.dtype)


@pytest.mark.parametrize(("bound", "is_inherited"), [(80, True), (85, False), (79, False)])
def test_a_bound_of_its_own_beside_a_cut_exp_is_not_inherited(bound, is_inherited):
    def silu(x):
        return np.where(np.abs(x) > bound, np.nan, x / (1 + np.exp(-x.astype(np.float64)))).astype(x.dtype)

    replaced = {"np.exp": cut_exp, "scipy.special.expit": lambda x: (silu(x) / x).astype(x.dtype)}
    cause = found("sigmoid", replaced, values=[-88.0, -86.0, -1.0, 2.0], batch=1, n=4)
    assert (("inherits", "exp") in [(each.kind, each.name) for each in cause]) == is_inherited


def test_of_two_functions_with_one_overflow_inside_neither_inherits_the_other():
    def tanh(x):
        raised = np.exp(2 * x)
        return (raised - 1) / (raised + 1)

    def sigmoid(x):
        raised = np.exp(x)
        return raised / (1 + raised)

    replaced = {"np.tanh": tanh, "scipy.special.expit": sigmoid}
    for op in ("tanh", "sigmoid"):
        kinds = [cause.kind for cause in found(op, replaced, values=[100.0, 89.5, 1.0, -2.0], batch=1, n=4)]
        assert "inherits" not in kinds, op


def poor_erf(x):
    """Abramowitz and Stegun 7.1.27, which is off by up to 5e-4."""
    size = np.abs(x)
    series = 1 + size * (0.278393 + size * (0.230389 + size * (0.000972 + size * 0.078108)))
    return (np.sign(x) * (1 - 1 / series**4)).astype(x.dtype)


def test_gelu_inherits_a_poor_erf():
    cause = found("gelu", {"scipy.special.erf": poor_erf}, values=np.linspace(-4, 4, 33), batch=1, n=33)[0]
    assert (cause.kind, cause.name) == ("inherits", "erf")


def half_sum(x, axis):
    return np.add.accumulate(np.moveaxis(x, axis, -1).astype(np.float16), axis=-1)[..., -1].astype(x.dtype)


def test_a_mean_inherits_sums_in_half():
    replaced = {"np.sum": half_sum, "np.mean": lambda x, axis: half_sum(x, axis) / np.float32(x.shape[axis])}
    cause = found("mean", replaced, batch=9, n=90)[0]
    assert (cause.kind, cause.name) in (("inherits", "sum"), ("accumulates-in", "float16"))


def rms_norm(x, weight, eps, of):
    mean = np.mean(x.astype(np.float64) ** 2, -1, keepdims=True)
    return (x / np.sqrt(mean + of(x.astype(np.float64), eps)) * weight).astype(x.dtype)


@pytest.mark.parametrize(
    ("of", "how"),
    [
        (lambda x, eps: 3e-4, ("value", 3e-4)),
        (lambda x, eps: eps * np.max(x**2, -1, keepdims=True), ("times", "the largest square of x")),
    ],
)
def test_an_effective_eps_is_solved_for(of, how):
    cause = found(
        "rms_norm", {"rms_norm": partial(rms_norm, of=of)}, batch=3, d=16, values=np.linspace(-0.02, 0.03, 48)
    )[0]
    assert (cause.kind, cause.name, cause.figures["how"]) == ("is-setting", "eps", how)


def test_a_parameter_that_was_rounded_to_float32_is_told():
    replaced = {"rms_norm": partial(rms_norm, of=lambda x, eps: float(np.float32(eps)))}
    cause = found("rms_norm", replaced, "float64", batch=3, d=16, values=np.linspace(-2e-3, 3e-3, 48))[0]
    assert (cause.kind, cause.name, cause.figures["how"]) == ("is-setting", "eps", ("rounded to", "float32"))


@pytest.mark.parametrize("format", ["float32", "float16"])
def test_nan_that_the_usual_formula_gives_as_well_has_no_cause_inside(format):
    """0 * inf in silu at -inf, which a poor exp, or a count in half, neither makes nor mends."""
    replaced = POOR | {"np.where": lambda condition, yes, no: no}
    first, *rest = found("silu", replaced, format, values=[-np.inf], batch=1, n=1)
    assert first.kind == "special-at"
    assert {cause.kind for cause in rest} <= {"depends-on", "natural-nan"}


def doubled_gelu(condition, yes, no):
    """Half of 2 x times the distribution: 2 x overflows."""
    with np.errstate(over="ignore"):
        return np.where(np.abs(no) > np.finfo(no.dtype).max / 2, np.sign(no) * np.inf, no).astype(no.dtype)


@pytest.mark.parametrize("format", ["float32", "float16"])
def test_a_step_that_overflows_is_told_where_it_predicts_every_infinity(format):
    value = 0.7 * float(np.finfo(format).max)
    _, cause, *_ = found("gelu", {"np.where": doubled_gelu}, format, values=[value], batch=1, n=1)
    assert (cause.kind, cause.name, cause.figures["step"]) == ("overflows-inside", format, "2 x")


def test_an_infinity_that_no_step_predicts_is_not_told_of_one():
    def some(condition, yes, no):
        large = np.finfo(no.dtype).max
        return np.where((np.abs(no) > large / 2) & (np.abs(no) < large * 0.8), np.inf, no).astype(no.dtype)

    causes = found("gelu", {"np.where": some}, values=[2e38], batch=1, n=1)
    assert {cause.kind for cause in causes} <= {"special-at", "depends-on"}


def test_a_parameter_that_explains_nothing_is_given_up_early(monkeypatch):
    """Statistics in float16 are no eps; the search for one would cost a hundred exact results a row."""

    def in_half(x, weight, eps):
        half = x.astype(np.float16)
        mean = np.mean((half * half).astype(np.float16), -1, keepdims=True, dtype=np.float16)
        return ((half / np.sqrt(mean)).astype(np.float16) * weight).astype(x.dtype)

    asked = []
    exact = solved._exact
    monkeypatch.setattr(solved, "_exact", lambda *args: asked.append(args[2]) or exact(*args))
    cause = found("rms_norm", {"rms_norm": in_half}, batch=3, d=16)[0]
    assert (cause.kind, cause.name) != ("is-setting", "eps")
    assert len(asked) < 200


@pytest.mark.parametrize("op", ["sqrt", "rsqrt"])
def test_a_primitive_is_read_as_the_operation_that_it_computes_or_its_reciprocal(op):
    (primitive,) = [each for each in PRIMITIVES if each.spec.op == op]
    node = graph.unary("sqrt", graph.leaf(np.array([4.0, 9.0])))
    dims, arrays = primitive.arrange(node, [np.array([4.0, 9.0])])
    assert (primitive.operation, dims["n"], arrays["x"].tolist()) == ("sqrt", 2, [[4.0, 9.0]])
    made = np.array([[2.0, 3.0]]) if op == "sqrt" else np.array([[1 / 2, 1 / 3]])
    assert primitive.read(node, [], made).tolist() == pytest.approx([2.0, 3.0])


def test_a_primitive_adds_up_nothing_at_all():
    """A gradient by a weight is a sum over the batch, of which there may be none."""
    (primitive,) = [each for each in PRIMITIVES if each.spec.op == "sum"]
    node = graph.Node("sum", (graph.leaf(np.zeros((0, 3))),), (1, 3), (0,))
    _, arrays = primitive.arrange(node, [np.zeros((0, 3))])
    assert arrays["x"].shape == (3, 0)


def inexact(a, b, seed=7):
    """A product of which each term is off by up to 2^-11, as of factors with so many bits, which it has not."""
    terms = a.astype(np.float64)[..., :, :, None] * b.astype(np.float64)[..., None, :, :]
    return (terms * (1 + np.random.default_rng(seed).uniform(-1, 1, terms.shape) * 2.0**-11)).sum(-2).astype(a.dtype)


@pytest.mark.parametrize("is_poor", [True, False])
def test_factors_are_rounded_only_where_the_product_alone_is_wrong_too(is_poor):
    replaced = {"linear": lambda x, weight, bias: inexact(x, np.swapaxes(weight, 0, 1)) + bias}
    if is_poor:
        replaced["np.matmul"] = partial(inexact, seed=8)
    said = found("linear", replaced, batch=2, length=5, d_in=9, d_out=7)
    assert said[0].name == "factors of 11 bits" if is_poor else said[0].kind == "unexplained", said
