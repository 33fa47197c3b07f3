"""What is particular to MLX."""

from __future__ import annotations

import os
import subprocess
import sys

import ml_dtypes
import numpy as np
import pytest

from opfuzz.backends import Subject, discover, perform
from opfuzz.backends.mlx import _of_e8m0
from opfuzz.core.call import Call
from opfuzz.spec.expression.program import parse

mx = pytest.importorskip("mlx.core")
MLX = discover()["mlx"]


@pytest.mark.parametrize(
    ("layout", "strides"),
    [
        ("contiguous", (12, 4, 1)),
        ("transposed", (12, 1, 3)),
        ("permuted", (1, 2, 6)),
        ("offset", (12, 4, 1)),
        ("narrowed", (18, 6, 1)),
        ("stepped", (24, 8, 2)),
        ("broadcast", (0, 4, 1)),
    ],
)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_layouts_are_real(layout, strides, dtype):
    array = np.broadcast_to(np.arange(12).reshape(1, 3, 4), (2, 3, 4)).astype(dtype)
    tensor = MLX.put(array, layout, "cpu")
    seen = np.array(tensor, copy=False)  # NumPy's view of MLX's own buffer
    assert tuple(stride // seen.itemsize for stride in seen.strides) == strides
    assert seen.dtype == dtype
    assert np.array_equal(MLX.get(tensor), array)


def perform_mlx(text, arrays, shape, format="float32"):
    program = parse(text, names=None, functions=MLX.functions())
    return perform(MLX, Subject("mlx", "cpu"), program, Call(format, {}, {}, arrays, {}), {"": shape})


def test_the_gpu_has_no_float64():
    assert not MLX.supports("float64", "gpu")
    assert MLX.supports("float64", "cpu")


def test_what_has_no_kernel_is_unsupported():
    arrays = {"x": np.ones((1, 4, 2)), "w": np.ones((3, 3, 2))}
    outcome = perform_mlx("mx.conv_transpose1d(x, w, stride=2)", arrays, (1, 9, 3), "float64")
    assert outcome.status == "unsupported"


def test_group_norm_is_pytorchs():
    """Against the definition: channels in consecutive groups, each normalised together with all positions."""
    rng = np.random.Generator(np.random.Philox(7))
    x, weight, bias = rng.random((2, 5, 6)), rng.random(6), rng.random(6)
    grouped = x.reshape(2, 5, 3, 2)
    centred = grouped - grouped.mean(axis=(1, 3), keepdims=True)
    normal = centred / np.sqrt((centred**2).mean(axis=(1, 3), keepdims=True) + 1e-5)
    arrays = {name: a.astype(np.float32) for name, a in {"x": x, "w": weight, "b": bias}.items()}
    outcome = perform_mlx("group_norm(x, 3, w, b, 1e-5)", arrays, (2, 5, 6))
    assert outcome.outputs[0] == pytest.approx(normal.reshape(2, 5, 6) * weight + bias, abs=1e-5)


def test_plain_functions():
    x = {"x": np.arange(8, dtype=np.float32).reshape(1, 4, 2)}
    assert perform_mlx("upsample_nearest(x, 2)", x, (1, 8, 2)).outputs[0][0, :, 0].tolist() == [0, 0, 2, 2, 4, 4, 6, 6]
    assert perform_mlx("avg_pool1d(x, 2, 2)", x, (1, 2, 2)).outputs[0][0, :, 0].tolist() == [1, 5]
    assert perform_mlx("max_pool1d(x, 2, 2)", x, (1, 2, 2)).outputs[0][0, :, 1].tolist() == [3, 7]
    normed = perform_mlx("instance_norm(x, w, w, 1e-5)", x | {"w": np.ones(2, np.float32)}, (1, 4, 2))
    assert normed.outputs[0][0].mean(axis=0) == pytest.approx([1, 1], abs=1e-6)


@pytest.mark.parametrize("bits", [1, 2, 3, 4, 5, 6, 8])
def test_codes_are_packed_as_mlx_does_it(bits):
    """Against what MLX makes of a row of all codes in another order, with the scale 1 and the bias 0."""
    codes = np.random.Generator(np.random.Philox(bits)).integers(0, 2**bits, (3, 64))
    codes[:, 0], codes[:, 32] = 2**bits - 1, 2**bits - 1  # the largest is kept exactly
    codes[:, 1], codes[:, 33] = 0, 0
    rows = mx.array(codes.astype(np.float32))
    words, scales, biases = mx.quantize(rows, group_size=32, bits=bits)
    kept = codes if scales[0, 0].item() > 0 else 2**bits - 1 - codes
    assert np.array_equal(MLX.functions()["packed"](mx.array(kept), bits), words)
    for made, right in zip(MLX.functions()["quantized"](rows, 32, bits), (kept, scales, biases), strict=True):
        assert np.array_equal(made, right)


@pytest.mark.parametrize("mode", ["mxfp4", "mxfp8", "nvfp4"])
def test_elements_and_scales_are_those_of_the_bytes(mode):
    """Against ml_dtypes' reading of the bytes that MLX packs, and MLX's own of both together."""
    group, bits = (16 if mode == "nvfp4" else 32), (8 if mode == "mxfp8" else 4)
    element = ml_dtypes.float8_e4m3fn if bits == 8 else ml_dtypes.float4_e2m1fn
    scale = ml_dtypes.float8_e4m3fn if mode == "nvfp4" else ml_dtypes.float8_e8m0fnu
    rows = np.random.Generator(np.random.Philox(7)).normal(0, 1, (4, 64)).astype(np.float32)
    rows *= np.float32(10.0) ** np.arange(-1, 3, dtype=np.float32)[:, None]
    kept = mx.quantize(mx.array(rows), group_size=group, bits=bits, mode=mode)
    codes = np.array(kept[0]).view(np.uint8)
    codes = codes if bits == 8 else np.stack([codes & 15, codes >> 4], axis=-1)
    elements, scales = MLX.functions()["quantized"](mx.array(rows), group, bits, mode=mode)
    assert np.array_equal(elements, codes.reshape(rows.shape).view(element).astype(np.float32))
    assert np.array_equal(scales, np.array(kept[1]).view(scale).astype(np.float32))
    both = np.array(elements) * np.repeat(np.array(scales), group, axis=1)
    assert np.array_equal(mx.dequantize(*kept, group_size=group, bits=bits, mode=mode, dtype=mx.float32), both)


def test_bytes_of_scales_are_powers_of_two():
    codes = np.arange(256, dtype=np.uint8)
    scales = np.array(_of_e8m0(mx, mx.array(codes)))
    assert np.array_equal(scales, codes.view(ml_dtypes.float8_e8m0fnu).astype(np.float32), equal_nan=True)


GELU = """
import numpy as np
from opfuzz.backends import Subject, discover, perform
from opfuzz.core.call import Call
from opfuzz.spec.expression.program import parse
backend = discover()["mlx"]
program = parse("nn.gelu(x)", names=None, functions=backend.functions())
arrays = {"x": np.linspace(-3, 3, 17, dtype=np.float32)}
subject = Subject.parse(SUBJECT)
outcome = perform(backend, subject, program, Call("float32", {}, {}, arrays, {}), {"": (17,)})
print(outcome.status)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only there does MLX call a C++ compiler")
@pytest.mark.parametrize(("subject", "is_called"), [("mlx:cpu", False), ("mlx:cpu+compile", True)])
def test_calls_a_compiler_only_when_asked(tmp_path, subject, is_called):
    """A `g++` that only leaves a mark stands first in PATH, and MLX's cache of compiled kernels is empty."""
    compiler = tmp_path / "g++"
    compiler.write_text(f"#!/bin/sh\ntouch {tmp_path}/called\nexit 1\n")
    compiler.chmod(0o755)
    environment = os.environ | {"PATH": f"{tmp_path}:{os.environ['PATH']}", "TMPDIR": str(tmp_path)}
    program = GELU.replace("SUBJECT", repr(subject))
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env=environment, check=False)
    assert (tmp_path / "called").exists() == is_called, done.stderr
    if not is_called:
        assert done.stdout == "ok\n", done.stderr


def test_other_users_of_mlx_keep_their_compilation():
    calls = []

    def function(x):
        calls.append(1)
        return x.reshape(-1)

    perform_mlx("mx.abs(x)", {"x": np.ones(2, np.float32)}, (2,))
    compiled = mx.compile(function)
    for _ in range(3):
        mx.eval(compiled(mx.ones((2, 2))))
    assert len(calls) == 1  # traced once; a disabled compiler would call it every time
