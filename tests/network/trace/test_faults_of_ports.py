"""Mistakes that somebody who ports a model makes, each in a port of a real one: the guilty module, and its cause."""

from __future__ import annotations

import sys

import mlx.core as mx
import mlx.nn as nn
import pytest
from test_real_pairs import traced


def called(b, kind, call, patch):
    """Another `__call__` of a class of the port."""
    patch.setattr(next(type(m) for _, m in b.named_modules() if type(m).__name__ == kind), "__call__", call)


def in_module(b, kind, name, value, patch):
    """Another function in the place of one that the file of a class uses."""
    file = sys.modules[next(type(m).__module__ for _, m in b.named_modules() if type(m).__name__ == kind)]
    patch.setattr(file, name, value)


# Gemma 2.


def plain_gain(self, x):
    return mx.fast.rms_norm(x, self.weight, self.eps)


def without_final_cap(self, inputs, cache=None):
    return self.model.embed_tokens.as_linear(self.model(inputs, cache))


def residual_after_norm(self, x, mask=None, cache=None):
    x = self.input_layernorm(x)
    h = x + self.post_attention_layernorm(self.self_attn(x, mask, cache))
    return h + self.post_feedforward_layernorm(self.mlp(self.pre_feedforward_layernorm(h)))


def erf_gated(self, x):
    return self.down_proj(nn.gelu(self.gate_proj(x)) * self.up_proj(x))


def gemma_attention(scores_of, tiled=False):
    """Attention of Gemma 2, with a cap of its own on the scores."""

    def call(self, x, mask=None, cache=None):
        batch, length, _ = x.shape
        q, k, v = (
            y.reshape(batch, length, -1, self.head_dim).transpose(0, 2, 1, 3)
            for y in (self.q_proj(x), self.k_proj(x), self.v_proj(x))
        )
        q, k = self.rope(q) * self.scale, self.rope(k)
        k, v = (mx.concatenate([y] * self.repeats, 1) if tiled else mx.repeat(y, self.repeats, 1) for y in (k, v))
        scores = scores_of(self, q @ k.swapaxes(-1, -2), mask)
        found = mx.softmax(scores, axis=-1) @ v
        return self.o_proj(found.transpose(0, 2, 1, 3).reshape(batch, length, -1))

    return call


def capped(self, scores, mask):
    cap = self.attn_logit_softcapping
    return mx.where(mask, mx.tanh(scores / cap) * cap, -1e30)


def uncapped(self, scores, mask):
    return mx.where(mask, scores, -1e30)


def capped_last(self, scores, mask):
    cap = self.attn_logit_softcapping
    return mx.tanh(mx.where(mask, scores, -1e30) / cap) * cap


# GPT-NeoX.


def split_by_kind(self, x, mask=None, cache=None):
    batch, length, width = x.shape
    parts = self.query_key_value(x).split(3, -1)
    q, k, v = (y.reshape(batch, length, self.num_attention_heads, -1).transpose(0, 2, 1, 3) for y in parts)
    found = mx.fast.scaled_dot_product_attention(self.rope(q), self.rope(k), v, scale=self.scale, mask=mask)
    return self.dense(found.transpose(0, 2, 1, 3).reshape(batch, length, width))


def one_norm_for_both(self, x, mask=None, cache=None):
    normed = self.input_layernorm(x)
    return x + self.attention(normed, mask, cache) + self.mlp(normed)


# DAC.


def without_reciprocal(x, alpha):
    return x + mx.sin(alpha * x) ** 2


def of_cosine(x, alpha):
    return x + mx.cos(alpha * x) ** 2 / (alpha + 1e-9)


def without_square(x, alpha):
    return x + mx.sin(alpha * x) / (alpha + 1e-9)


def of_reciprocal(x, alpha):
    return x + mx.sin(x / alpha) ** 2 / (alpha + 1e-9)


FAULTS = {
    "gemma2: the gain is not one more than the weight": (
        "gemma2", lambda b, patch: called(b, "RMSNorm", plain_gain, patch),
        "model.layers.0.input_layernorm", "'weight' - 1 in the place of 'weight'"),
    "gemma2: logits are not capped": (
        "gemma2", lambda b, patch: called(b, "Model", without_final_cap, patch), "", "tanh(x / 3) * 3 is left out"),
    "gemma2: the residual is taken after the norm": (
        "gemma2", lambda b, patch: called(b, "TransformerBlock", residual_after_norm, patch),
        "model.layers.0", "what input_layernorm gives"),
    "gemma2: GELU by erf": (
        "gemma2", lambda b, patch: called(b, "MLP", erf_gated, patch), "model.layers.0.mlp", "gelu instead"),
    "gemma2: the scale is that of the head": (
        "gemma2", lambda b, patch: [setattr(x.self_attn, "scale", 0.25) for x in b.model.layers],
        "model.layers.0.self_attn", "scale is 0.25"),
    "gemma2: scores are not capped": (
        "gemma2", lambda b, patch: called(b, "Attention", gemma_attention(uncapped), patch),
        "model.layers.0.self_attn", "tanh(x / 2) * 2 is left out"),
    "gemma2: the mask is capped too": (
        "gemma2", lambda b, patch: called(b, "Attention", gemma_attention(capped_last), patch),
        "model.layers.0.self_attn", "the mask is added before div"),
    "gemma2: heads of keys are repeated as a whole": (
        "gemma2", lambda b, patch: called(b, "Attention", gemma_attention(capped, tiled=True), patch),
        "model.layers.0.self_attn", "repeated one by one and as a whole"),
    "gpt_neox: one after the other": (
        "gpt_neox", lambda b, patch: [setattr(x, "use_parallel_residual", False) for x in b.model.h],
        "gpt_neox.layers.0", "use_parallel_residual is True in a and False in b"),
    "gpt_neox: all channels are turned": (
        "gpt_neox", lambda b, patch: [setattr(x.attention.rope, "dims", 12) for x in b.model.h],
        "gpt_neox.layers.0.attention", "RoPE turns all 12 channels"),
    "gpt_neox: another base": (
        "gpt_neox", lambda b, patch: [setattr(x.attention.rope, "base", 500.0) for x in b.model.h],
        "gpt_neox.layers.0.attention", "RoPE's base is 500"),
    "gpt_neox: the projection is split by kind first": (
        "gpt_neox", lambda b, patch: called(b, "Attention", split_by_kind, patch),
        "gpt_neox.layers.0.attention", "split as [3, 4, 12] instead of [4, 3, 12]"),
    "gpt_neox: one norm for both": (
        "gpt_neox", lambda b, patch: called(b, "TransformerBlock", one_norm_for_both, patch),
        "gpt_neox.layers.0", "input_layernorm in the place of post_attention_layernorm"),
    "gpt_neox: no rotation": (
        "gpt_neox", lambda b, patch: called(b, "RoPE", lambda self, x, offset=0: x, patch),
        "gpt_neox.layers.0.attention", "RoPE is left out"),
    "dac: the square is not divided": (
        "dac", lambda b, patch: in_module(b, "Snake1d", "snake", without_reciprocal, patch),
        "block.0.res_unit1.snake1", "reciprocal"),
    "dac: the cosine": (
        "dac", lambda b, patch: in_module(b, "Snake1d", "snake", of_cosine, patch),
        "block.0.res_unit1.snake1", "cosine instead of sin"),
    "dac: no square": (
        "dac", lambda b, patch: in_module(b, "Snake1d", "snake", without_square, patch),
        "block.0.res_unit1.snake1", "pow is left out"),
    "dac: the frequency is its reciprocal": (
        "dac", lambda b, patch: in_module(b, "Snake1d", "snake", of_reciprocal, patch),
        "block.0.res_unit1.snake1", "1 / 'alpha' in the place of 'alpha'"),
    "dac: no residual": (
        "dac", lambda b, patch: called(b, "ResidualUnit", lambda self, x: self.block(x), patch),
        "block.0.res_unit1", "not added"),
    "dac: no dilation": (
        "dac", lambda b, patch: [
            (setattr(m, "padding", 3), setattr(m, "dilation", 1))
            for _, m in b.named_modules() if type(m).__name__ == "WNConv1d" and m.dilation == 3],
        "block.0.res_unit2.conv1", "dilation"),
}  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
def test_the_mistake_of_a_port_is_named(fault, monkeypatch):
    name, plant, guilty, cause = FAULTS[fault]
    found, modules = traced(name, monkeypatch, lambda b: plant(b, monkeypatch))
    assert found.guilty[0] == guilty
    assert cause in modules[guilty].cause
