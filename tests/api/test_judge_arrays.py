"""`opfuzz.judge` on arrays at hand: figures against mpmath, every kind of array, and what does not fit."""

from __future__ import annotations

import math

import ml_dtypes
import numpy as np
import pytest
from bundled_ops import BUNDLED_OPS
from hypothesis import given
from hypothesis import strategies as st

import opfuzz
from opfuzz import OpfuzzError

X = np.array([0.5, 1.0, 2.0, 3.0], np.float32)
NORM = (X, np.ones(4, np.float32), np.zeros(4, np.float32))


# Not near 0, where exp is next to 1 and a float64 does not tell on which side, which halves the ulp.
NUMBERS = st.one_of(st.floats(-20, -0.125, width=32), st.floats(0.125, 20, width=32))


@given(st.lists(NUMBERS, min_size=1, max_size=6), st.integers(-3, 3))
def test_the_error_is_that_of_exact_arithmetic(values, steps):
    x = np.array(values, np.float32)
    right = np.array([math.exp(value) for value in x.astype(np.float64)])  # to 1e-16, an ulp of float32 is 1e-7
    near = right.astype(np.float32)
    given = near.view(np.int32) + np.int32(steps)
    output = given.view(np.float32)
    ulps = np.abs(output.astype(np.float64) - right) / np.exp2(np.floor(np.log2(right)) - 23)
    found = opfuzz.judge(BUNDLED_OPS["exp"], x, output)
    assert found.max_ulp == pytest.approx(ulps.max(), abs=1e-6)
    assert np.allclose(found.exact.ravel(), right, rtol=1e-15)
    assert (found.verdict == "exact") == bool((ulps <= 0.5).all())


@pytest.mark.parametrize("library", ["numpy", "torch", "mlx"])
@pytest.mark.parametrize("fmt", ["float32", "float16", "bfloat16"])
def test_arrays_of_every_library_in_every_format(library, fmt):
    dtype = np.dtype({"bfloat16": ml_dtypes.bfloat16}.get(fmt, fmt))
    x = X.astype(dtype)
    output = np.exp(x.astype(np.float64)).astype(dtype)
    if library == "torch":
        torch = pytest.importorskip("torch")
        x, output = (torch.tensor(a.astype(np.float64)).to(getattr(torch, fmt)) for a in (x, output))
    elif library == "mlx":
        mx = pytest.importorskip("mlx.core")
        x, output = (mx.array(a.astype(np.float32)).astype(getattr(mx, fmt)) for a in (x, output))
    found = opfuzz.judge("exp", x, output)
    assert (found.format, found.verdict, found.severity, found.is_fault) == (fmt, "exact", "clean", False)


def test_any_number_of_axes_stands_for_the_batch():
    x = np.linspace(-2, 2, 24, dtype=np.float32)
    for shape in ((24,), (4, 6), (2, 3, 4)):
        output = np.exp(x.astype(np.float64)).astype(np.float32).reshape(shape)
        found = opfuzz.judge("exp", x.reshape(shape), output)
        assert (found.verdict, found.exact.shape) == ("exact", shape)
        place = tuple(size - 1 for size in shape)
        output[place] *= 2
        found = opfuzz.judge("exp", x.reshape(shape), output)
        assert (found.severity, found.element.index) == ("fault", place)
        assert found.exact[place] == pytest.approx(math.exp(2), rel=1e-12)


def test_a_variant_is_recognised_and_a_parameter_is_taken():
    x = np.linspace(-4, 4, 64, dtype=np.float32).reshape(1, -1)
    wide = x.astype(np.float64)
    tanh = 0.5 * wide * (1 + np.tanh(math.sqrt(2 / math.pi) * (wide + 0.044715 * wide**3)))
    found = opfuzz.judge("gelu", x, tanh.astype(np.float32))
    assert (found.verdict, found.cause.kind, found.cause.name) == ("wrong", "is-variant", "tanh")
    assert str(found).startswith("gelu in float32: wrong: ")
    norm = (wide - wide.mean()) / np.sqrt(wide.var() + 1e-3)
    arrays = {"x": x, "weight": np.ones(64, np.float32), "bias": np.zeros(64, np.float32)}
    assert opfuzz.judge("layer_norm", arrays, norm.astype(np.float32), params={"eps": 1e-3}).severity == "clean"
    assert opfuzz.judge("layer_norm", arrays, norm.astype(np.float32)).is_fault


@pytest.mark.parametrize("dtype", [np.int32, np.int64, np.uint8, np.float32])
def test_places_may_be_whole_numbers(dtype):
    x = np.random.default_rng(0).standard_normal((5, 9)).astype(np.float32)
    right = np.argmax(x, axis=1).astype(dtype)
    assert opfuzz.judge("argmax", x, right).verdict == "exact"
    assert opfuzz.judge("argmax", x, ((right + 1) % 9).astype(dtype)).is_fault
    rows = np.eye(3)[[2, 0]].astype(dtype)
    assert opfuzz.judge("one_hot", np.array([2, 0]), rows, params={"classes": 3}).verdict == "exact"


def test_a_mask_counts():
    chosen = np.array([True, False, False, True])
    output = np.where(chosen, np.float32(0), X)
    assert opfuzz.judge("masked_fill", (X, chosen), output).verdict == "exact"
    assert opfuzz.judge("masked_fill", {"x": X, "chosen": chosen}, output, params={"value": 0.0}).verdict == "exact"
    assert opfuzz.judge("masked_fill", (X, ~chosen), output).is_fault
    torch = pytest.importorskip("torch")
    assert opfuzz.judge("masked_fill", (torch.tensor(X), torch.tensor(chosen)), torch.tensor(output)).verdict == "exact"


def test_a_number_alone_is_told_without_a_place():
    right = np.float32(math.exp(1))
    assert opfuzz.judge("exp", np.float32(1), right).exact.shape == ()
    found = opfuzz.judge("exp", np.float32(1), np.float32(3))
    assert str(found).startswith("exp in float32: wrong: ")
    assert "; computed 3.0, exact 2.718281828459045, " in str(found)
    assert repr(found) == f"<ArrayVerdict {found}>"
    assert str(opfuzz.judge("sum", X, np.float32(7))).partition("; ")[2].startswith("computed 7.0, exact 6.5, ")


def test_a_notebook_shows_the_words():
    shown = opfuzz.judge("exp", X, X)._repr_html_()
    assert shown.startswith("<pre")
    assert "exp in float32: wrong: " in shown


def test_a_parameter_may_be_a_number_of_numpy():
    norm = ((X.astype(np.float64) - X.mean()) / np.sqrt(X.var(dtype=np.float64) + 0.5)).astype(np.float32)
    assert opfuzz.judge("layer_norm", NORM, norm, params={"eps": np.float32(0.5)}).severity == "clean"


MISTAKES = {
    "unknown op 'exq'; did you mean 'exp'?": ("exq", X, X, {}),
    "opfuzz.judge: 'exp' takes 1 arrays (x), not 2": ("exp", (X, X), X, {}),
    "opfuzz.judge: 'exp' has no input or parameter 'y'": ("exp", {"y": X}, X, {}),
    "opfuzz.judge: 'exp' has no input or parameter 'eps'": ("exp", X, X, {"eps": 1.0}),
    "opfuzz.judge: the input 'weight' of 'layer_norm' is missing": ("layer_norm", {"x": X}, X, {}),
    "opfuzz.judge: 'x' is float64 where the output is float32; give float32, as the op got": (
        *("exp", X.astype(np.float64), X, {}),
    ),
    "opfuzz.judge: the output is of int64, which is none of the formats float64, float32, float16, bfloat16": (
        *("exp", X, X.astype(np.int64), {}),
    ),
    "opfuzz.judge: the output has the shape [3], the spec says [1, 4]": ("exp", X, X[:3], {}),
    "opfuzz.judge: the output is of float8_e4m3fn, which is none of the formats float64, float32, float16, bfloat16": (
        *("exp", X, X.astype(ml_dtypes.float8_e4m3fn), {}),
    ),
    "the op is 3; give the name of a spec, the path of one, or an OpSpec": (3, X, X, {}),
    "opfuzz.judge: params: ['eps'] is no mapping from names; give them as a dict": ("exp", X, X, ["eps"]),
    "opfuzz.judge: the inputs: {1: None} is no mapping from names; give them as a dict": ("exp", {1: None}, X, {}),
    "opfuzz.judge: 'n' is '7'; it is a size: give a whole number from 0": ("exp", X, X, {"n": "7"}),
    "opfuzz.judge: 'x' is of type object; give an array of numbers": ("exp", object(), X, {}),
    "opfuzz.judge: the output holds 2049, which no number of float16 is": (
        *("argmax", X.astype(np.float16), np.array(2049), {}),
    ),
    "opfuzz.judge: 'eps' is a whole number of 1329 bits; give one below 2^63": (
        "layer_norm",
        NORM,
        X,
        {"eps": 10**400},
    ),
    "opfuzz.judge: 'classes' is of 1329 bits; it is a size: give a whole number from 0": (
        *("one_hot", np.array([1]), np.array([[0, 1]]), {"classes": 10**400}),
    ),
    "opfuzz.judge: the output has elements that are masked; give an array of what counts, or value.data": (
        *("exp", X, np.ma.array(X, mask=np.arange(X.size).reshape(X.shape) == 0), {}),
    ),
    "opfuzz.judge: 'eps' is None; give what is like 1e-05": ("layer_norm", NORM, X, {"eps": None}),
    (
        "opfuzz.judge: 'eps' is -9, with which 4 of 4 exact results are not a number; "
        "give a number from 0, such as 1e-05"
    ): ("layer_norm", NORM, X, {"eps": -9}),
}


@pytest.mark.parametrize("message", MISTAKES)
def test_what_does_not_fit_is_told_in_one_line(message):
    op, inputs, output, params = MISTAKES[message]
    with pytest.raises(OpfuzzError) as found:
        opfuzz.judge(op, inputs, output, params=params)
    assert str(found.value) == message


def test_a_masked_array_that_masks_nothing_is_an_array():
    assert opfuzz.judge("exp", np.ma.array(X), np.ma.array(np.exp(X))).severity == "clean"


def test_a_folder_is_no_spec(tmp_path):
    with pytest.raises(OpfuzzError) as found:
        opfuzz.judge(tmp_path, X, X)
    assert str(found.value) == f"the op is the folder {tmp_path}; give the path of one spec in it"
