"""Gradients that a half format, or a number next to 1, makes lose something are told as that, and others are not."""

from __future__ import annotations

import numpy as np
import pytest
from bundled_ops import BUNDLED_OPS
from diagnosed_arrays import Said

from opfuzz.core.call import Call
from opfuzz.core.floats import FORMATS
from opfuzz.core.results import Score
from opfuzz.engine.triage.diagnose import Exact
from opfuzz.judge.diagnose import Evidence, diagnose
from opfuzz.judge.settle import examine
from opfuzz.judge.verdict import decide_verdict
from opfuzz.spec.gradient import gradient_of

OVERFLOWS = ("overflows-inside", "float16")


def told(op, gradient, place=0, format="float16", params=None, **given):
    """What is said of a gradient by the input at a place, a function of all inputs in the format, which are rows."""
    spec = gradient_of(BUNDLED_OPS[op])
    values = {name: np.asarray(array).astype(FORMATS[format].dtype) for name, array in given.items()}
    names = {item.name: [size.text for size in item.shape] for item in spec.inputs}
    arrays = {name: values[name].reshape((1,) * (len(sizes) - values[name].ndim) + values[name].shape)
              for name, sizes in names.items()}  # fmt: skip
    dims = {text: size for name, array in arrays.items() for text, size in zip(names[name], array.shape, strict=True)}
    params = {param.name: param.default for param in spec.params} | (params or {})
    call = Call(format, dims, params, arrays, dict.fromkeys(arrays, "contiguous"))

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


@pytest.mark.parametrize(("bound", "is_overflow"), [(65504.0, True), (30000.0, False)])
def test_cotangents_that_overflow_where_inputs_of_any_size_would(bound, is_overflow):
    """MLX has g / x before it divides by log(10): inputs and cotangents that grow together leave that as it is."""

    def of_log10(x, g):
        first = g.astype(np.float64) / x.astype(np.float64)
        return np.where(np.abs(first) > bound, np.copysign(np.inf, first), first / np.log(10)).astype(np.float16)

    said = told("log10", of_log10, x=[0.03125, 0.5, 0.02], cotangent=[2048.0, 1.0, 2000.0])
    assert (OVERFLOWS in said) == is_overflow


def test_zero_times_an_infinite_slope_in_the_half_format():
    def of_distance(x, y, g):
        """By x, of the root of the sum of squares, with every step in float16: 0 / 0 where x is y."""
        apart = x - y + np.float16(1e-6)
        root = np.sqrt((apart * apart).sum(-1, dtype=np.float16, keepdims=True))
        return (g[:, None] / (2 * root)) * (2 * apart)

    def lost(x, y, g):
        apart = x.astype(np.float64) - y + 1e-6
        exact = g[:, None] * apart / np.sqrt((apart * apart).sum(-1, keepdims=True))
        return np.where((x == y) | (np.abs(apart) > 3), np.nan, exact).astype(np.float16)

    for gradient, is_usual in ((of_distance, True), (lost, False)):
        row = {"x": [[0.5, 0.5, 0.5]], "y": [[0.5, 0.5, 0.5]], "cotangent": [0.0]}
        said = told("pairwise_distance", gradient, params={"eps": 1e-6}, **row)
        assert (("usual-formula", "float16") in said) == is_usual


@pytest.mark.parametrize("eps", [1e-12, 1e-5])
def test_nan_of_equal_rows_alone_is_no_formula_in_half(eps):
    """1 / root^3 is infinite in float16 for these, and zero times that is NaN; but it is for any small variance."""

    def back(x, weight, bias, g):
        wide, d = x.astype(np.float64), x.shape[-1]
        apart = wide - wide.mean(-1, keepdims=True)
        root = 1 / np.sqrt((apart**2).mean(-1, keepdims=True) + eps)
        h = g * weight.astype(np.float64)
        made = root * (h - h.mean(-1, keepdims=True) - apart * root**2 * (h * apart).sum(-1, keepdims=True) / d)
        return np.where((apart == 0).all(-1, keepdims=True), np.nan, made).astype(np.float16)

    row = {"x": [[0.0]], "weight": [1.0], "bias": [0.0], "cotangent": [[1.0]]}
    said = told("layer_norm", back, params={"eps": eps}, **row)
    assert said[0] == ("special-at", "")
    assert ("usual-formula", "float16") not in said


def of_huber(x, y, g):
    """MLX's by x: of the part beyond delta, 1 - 1 is taken where there is none, and what is left beside it is lost."""
    apart, one = x - y, x.dtype.type(1)
    inside = np.abs(apart) <= 1
    return (np.sign(apart) * np.where(inside, (np.abs(apart) + one) - one, one) * g).astype(x.dtype)


@pytest.mark.parametrize("format", ["float32", "float16", "bfloat16"])
def test_a_gradient_that_is_lost_beside_one(format):
    name = "" if format == "float32" else format
    row = {"x": [0.0, 0.0, 2.0], "y": [2e-4, 1e-3, 0.0], "cotangent": [1.0, 1.0, 1.0]}
    assert ("cancels", name) in told("huber_loss", of_huber, format=format, **row)

    def fewer_bits(x, y, g):
        apart = (x.astype(np.float64) - y.astype(np.float64)).clip(-1, 1)
        return (apart * (1 + 2.0**-4 * (np.abs(apart) < 0.25)) * g).astype(x.dtype)

    assert ("cancels", name) not in told("huber_loss", fewer_bits, format=format, **row)


def test_squares_that_are_lost_are_no_loss_beside_one():
    """MLX's slope of atan2 by its first: g / (x^2 + y^2) is a subnormal of float16 before x makes it a number again."""

    def of_atan2(x, y, g):
        return (g / (x * x + y * y)) * x

    row = {"x": [128.0, 160.0, 200.0], "y": [0.0, 1.0, 0.0], "cotangent": [0.01709, 0.01, 0.02]}
    assert ("cancels", "float16") not in told("atan2", of_atan2, place=1, **row)


def test_a_statistic_kept_in_a_half_format_is_told_though_ordinary_values_hardly_show_it():
    """exp(x - y) of y = 64.69, of which bfloat16 keeps 64.5; of values around 1 its rounding is one of the result."""
    torch = pytest.importorskip("torch")

    def back(x, g):
        fmt = torch.bfloat16 if x.dtype == FORMATS["bfloat16"].dtype else torch.float32
        dtype, x, g = x.dtype, *(torch.from_numpy(each.astype(np.float32)).to(fmt) for each in (x, g))
        y = torch.logsumexp(x.requires_grad_(), dim=-1, keepdim=True)
        (made,) = torch.autograd.grad([y], [x], [g.reshape(y.shape)])
        return made.float().numpy().astype(dtype)

    said = told("logsumexp", back, format="bfloat16", x=[64, 0, 0, 64], cotangent=[1])
    assert said[0] == ("keeps-in", "bfloat16")
