"""Lower precisions against the libraries that have them: MLX's quantisation, casts, PyTorch's attention."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from opfuzz.core.rounding import round_to_bits
from opfuzz.network.localize.precision import attention, quantised, variants
from opfuzz.network.pipeline.planting import Setup

seeds = st.integers(0, 2**32 - 1)


@pytest.mark.parametrize("bits", [8, 6, 4, 3])
@pytest.mark.parametrize("group", [32, 64])
def test_quantises_as_mlx_does(bits, group):
    mx = pytest.importorskip("mlx.core")
    random = np.random.default_rng(bits)
    weight = random.standard_normal((16, 128)).astype(np.float32) * random.uniform(0.01, 3, (16, 1)).astype(np.float32)
    weight[3] = np.abs(weight[3])  # groups of one sign, and of one value
    weight[4] = 0.5
    weight[5] = 0
    there = np.array(mx.dequantize(*mx.quantize(mx.array(weight), group, bits), group, bits))
    # MLX keeps 1 / scale and rounds halves away from zero: a place on the grid may be the next one.
    step = (weight.reshape(-1, group).max(1) - weight.reshape(-1, group).min(1)) / (2**bits - 1)
    apart = np.abs(quantised(weight, bits, group) - there).reshape(-1, group)
    assert (apart <= step[:, None] * 1.01 + 1e-7).all()
    assert np.mean(apart > 1e-5 * (step[:, None] + 1e-6)) < 0.002


@given(seeds)
def test_eleven_bits_are_those_of_float16_and_eight_those_of_bfloat16(seed):
    values = np.random.default_rng(seed).uniform(-1000, 1000, 200).astype(np.float32)
    values = values[np.abs(values) > 1e-3]
    np.testing.assert_array_equal(round_to_bits(values, 11), values.astype(np.float16).astype(np.float32))
    np.testing.assert_array_equal(round_to_bits(values, 8), values.astype(ml_dtypes.bfloat16).astype(np.float32))


def test_zero_and_powers_of_two_stay():
    values = np.array([0.0, -0.0, 1.0, -0.25, 2.0**100, 2.0**-130], np.float32)
    np.testing.assert_array_equal(round_to_bits(values, 8), values)


@pytest.mark.parametrize("kind", ["none", "added", "boolean"])
def test_attention_is_pytorchs(kind):
    torch = pytest.importorskip("torch")
    random = np.random.default_rng(0)
    arrays = {name: random.standard_normal((2, 3, 5, 8)).astype(np.float32) for name in "qkv"}
    if kind != "none":
        seen = np.tril(np.ones((2, 1, 5, 5), bool))
        arrays["mask"] = seen if kind == "boolean" else np.where(seen, 0, -1e4).astype(np.float32)
    q, k, v, *mask = (torch.from_numpy(a) for a in arrays.values())
    there = torch.nn.functional.scaled_dot_product_attention(q, k, v, attn_mask=mask[0] if mask else None)
    np.testing.assert_allclose(attention(arrays), there.numpy(), atol=1e-6)
    coarse = attention(arrays, weights=lambda a: a.astype(np.float16).astype(np.float32))
    assert 1e-5 < np.abs(coarse - there.numpy()).max() < 1e-2


def test_only_matrices_of_whole_groups_are_quantised():
    def named(*shape):
        return {v.name for v in variants({"w": np.zeros(shape, np.float32)})}

    assert "int4 in groups of 32" in named(4, 96)
    assert "int4 in groups of 64" not in named(4, 96)
    assert not any("int" in name for name in named(4, 64, 3) | named(64) | named(4, 20))
    assert {"TF32", "float16", "bfloat16", "float16 weights", "bfloat16 softmax"} <= named(4, 4)


def test_weights_that_are_whole_numbers_are_left_alone():
    weights = {"index": np.array([[4097] * 64]), "w": np.full((1, 64), 4097, np.float32)}
    for variant in variants(weights):
        planted = variant.plant(Setup(lambda *_: weights["w"], weights, {}, lambda call: weights["w"]))
        assert planted.weights["index"] is weights["index"]
        if variant.name == "float16 weights":
            assert (planted.weights["w"] == 4096).all()
