"""A step in a narrower format, results on steps, a format passed through: told where that is so, and only there."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest
from bundled_ops import BUNDLED_OPS as KNOWN
from diagnoses import told

from opfuzz.backends import Subject, derive
from opfuzz.core.call import Call
from opfuzz.core.cause import UNEXPLAINED
from opfuzz.core.results import Score
from opfuzz.engine.selftest.torch_faults.accumulation import layer_norm_tiny
from opfuzz.engine.triage.diagnose import Lab
from opfuzz.judge.diagnose.steps import rounded


def to(fmt):
    return lambda x: np.asarray(x).astype(fmt).astype(x.dtype)


HALF, BRAIN = to(np.float16), to(ml_dtypes.bfloat16)


def normalised(step):
    def layer_norm(x, weight, bias, eps):
        centred = x - x.mean(axis=-1, keepdims=True)
        return step(centred / np.sqrt((centred**2).mean(axis=-1, keepdims=True) + eps)) * weight + bias

    return layer_norm


def raised(step):
    def softmax(x, axis):
        found = step(np.exp(x - x.max(axis=axis, keepdims=True)))
        return found / found.sum(axis=axis, keepdims=True)

    return softmax


@pytest.mark.parametrize(
    ("op", "replaced", "words"),
    [
        ("layer_norm", {"layer_norm": normalised(HALF)}, "it rounds a quotient inside to float16: "),
        ("layer_norm", {"layer_norm": normalised(BRAIN)}, "it rounds a quotient inside to bfloat16: "),
        ("softmax", {"softmax": raised(BRAIN)}, "it rounds exp inside to bfloat16: "),
        ("softmax", {"softmax": raised(HALF)}, "it rounds exp inside to float16: "),
    ],
)
def test_a_step_in_a_narrower_format_is_told(op, replaced, words):
    assert told(op, replaced).startswith(words)


def test_what_overflows_in_another_formula_is_not_told_as_the_rounding_of_its_steps():
    def var(x, axis, ddof=0):
        return ((x**2).mean(axis=axis) - x.mean(axis=axis) ** 2) * (x.shape[-1] / (x.shape[-1] - ddof))

    words = told("var", {"np.var": var}, "float64", "full_range", batch=32, n=1, correction=0)
    assert words.startswith("returned nan where 0 is right: it fails where the formula 'one-pass'")


def test_a_step_of_another_way_to_the_same_values_is_told():
    torch = pytest.importorskip("torch")

    def log_softmax(x, dim):
        return x - torch.logsumexp(x, dim=dim, keepdim=True).half().to(x.dtype)

    words = told("log_softmax", {"torch.log_softmax": log_softmax}, parent="torch")
    assert words.startswith("it rounds a sum of two inside to float16: "), words


@pytest.mark.parametrize("step", [lambda x: x * np.float32(1 + 2.0**-12), lambda x: x + np.float32(2.0**-12)])
def test_an_error_of_the_size_of_a_format_is_no_rounding_to_it(step):
    assert "inside to" not in told("layer_norm", {"layer_norm": normalised(step)})


@pytest.mark.parametrize("format", ["float32", "float16"])
def test_results_on_steps_of_each_row_are_told(format):
    def gelu_like(x):
        y = np.maximum(x.astype(np.float32), 0)
        step = np.abs(y).max(axis=-1, keepdims=True) / 127
        return (np.rint(y / step) * step).astype(x.dtype)

    words = told("relu", {"np.maximum": lambda x, zero: gelu_like(x)}, format)
    assert words.startswith("it quantises its results to int8 steps of each row: "), words


def test_bfloat16_that_goes_through_float16_is_no_quantisation():
    """Small numbers lie on the grid of the subnormals of float16, which is that of int8 for some of them."""
    torch = pytest.importorskip("torch")
    narrow = {"torch.sum": lambda x, dim: torch.sum(x.half(), dim=dim).to(x.dtype)}
    words = told("sum", narrow, "bfloat16", "small", "torch")
    assert "through float16" in words, words


def test_what_overflows_at_less_goes_through_no_float16():
    """Without a shift, logsumexp is infinite from 88.7 on, as it would be from 65504 on in float16."""
    torch = pytest.importorskip("torch")
    unshifted = {"torch.logsumexp": lambda x, dim: torch.log(torch.exp(x).sum(dim=dim))}
    words = told("logsumexp", unshifted, regime="full_range", parent="torch")
    assert "returned inf" in words
    assert "float16" not in words, words


def test_a_tail_that_is_lost_in_bfloat16_is_no_rounding_to_float16():
    """Below half of float16's least number, where digits show no rounding; above it float16 would lose digits."""
    torch = pytest.importorskip("torch")

    def cut(x, **options):
        made = torch.nn.functional.softplus(x, **options)
        return torch.where(made < 2.0**-25, torch.zeros_like(made), made)

    words = told("softplus", {"torch.nn.functional.softplus": cut}, "bfloat16", "full_range", "torch")
    assert "float16" not in words.replace("bfloat16", ""), words


def test_of_what_nothing_explains_the_parameters_are_told_with_which_it_is_wrong():
    """1/3 and 1/5 in float16 are too small, so that a position is taken from the one before; 1/2 and 1/4 are exact."""
    torch = pytest.importorskip("torch")

    def nearest(x, scale_factor, mode):
        reciprocal = float(torch.tensor(1 / scale_factor).half())
        return x[:, :, torch.floor(torch.arange(x.shape[2] * scale_factor) * reciprocal).long()]

    replaced = {"torch.nn.functional.interpolate": nearest}
    words = told("upsample_nearest", replaced, parent="torch", factor=3)
    assert "only where factor is 3 or 5" in words, words


def test_parameters_from_one_value_on_are_told_as_such():
    """What is wrong with a padding of 1 and more, and right without."""
    torch = pytest.importorskip("torch")

    def conv1d(x, weight, bias=None, **options):
        made = torch.nn.functional.conv1d(x, weight, bias, **options)
        return made * (1 + 0.37 * (options["padding"] > 0) * torch.cos(made))

    words = told("conv1d", {"torch.nn.functional.conv1d": conv1d}, parent="torch", padding=2, n=1, c_in=4, k=2)
    assert "only where padding >= 1" in words, words


def test_where_an_infinity_is_right_nothing_overflows():
    torch = pytest.importorskip("torch")
    replaced = {"torch.rsqrt": lambda x: torch.where(x == 0, torch.nan, torch.rsqrt(x))}
    words = told("rsqrt", replaced, "float16", "zeros", "torch")
    assert words.startswith("returned nan where"), words
    assert "overflows" not in words, words


def test_a_step_that_is_lost_for_small_values_alone_is_not_rounded():
    """On ordinary values a variance in float16 would show; one that is taken for 0 below 1e-6 does not."""
    pytest.importorskip("torch")
    backend = derive("torch", "planted", {"torch.nn.functional.layer_norm": layer_norm_tiny})
    place = Lab(KNOWN["layer_norm"], Subject("planted", "cpu"), backend, ())
    chance = np.random.default_rng(3)
    arrays = {"x": 1e-5 * chance.standard_normal((4, 16)), "weight": np.ones(16), "bias": np.zeros(16)}
    arrays = {name: array.astype(np.float32) for name, array in arrays.items()}
    layouts = dict.fromkeys(arrays, "contiguous")
    spec = KNOWN["layer_norm"]
    params = {"eps": 1e-12}
    dims = dict(zip((dim.name for dim in spec.dims), (4, 16), strict=True))
    seen = place.look(Score("wrong", UNEXPLAINED), Call("float32", dims, params, arrays, layouts))
    assert seen.is_wrong.any()
    with np.errstate(all="ignore"):
        assert rounded(seen) is None
