"""Models of other packages, each in torch and in MLX with equal weights: no module of a faithful port is accused."""

from __future__ import annotations

import importlib.util
import itertools
from pathlib import Path

import mlx.core as mx
import pytest
from bundled_ops import BUNDLED_OPS

from opfuzz.engine.drivers.pipeline_bench import meaning
from opfuzz.network.trace.causes import Knowledge
from opfuzz.network.trace.modules import CLEAN
from opfuzz.network.trace.pair import read_models
from opfuzz.network.trace.trace import trace

KNOWN = Knowledge(BUNDLED_OPS, meaning)
FOLDER = Path(__file__).parent / "real"
LANGUAGE = ("transformers", "mlx_lm")
NEEDED = {
    **dict.fromkeys(("gemma", "gemma2", "gpt_neox", "mixtral", "phi", "qwen2_moe", "starcoder2"), LANGUAGE),
    **dict.fromkeys(("dac", "encodec", "moonshine"), ("transformers", "mlx_audio")),
    "flow_solver": ("chatterbox", "mlx_audio", "diffusers", "conformer", "omegaconf", "einops"),
    "flow_decoder": ("chatterbox", "mlx_audio", "diffusers", "conformer", "omegaconf", "einops"),
    "gpt2": ("transformers", "mlx_lm"),
    "llama": ("transformers", "mlx_lm"),
    "qwen2": ("transformers", "mlx_lm"),
    "wav2vec": ("transformers", "mlx_audio"),
    "whisper": ("transformers", "mlx_audio"),
}


def traced(name, monkeypatch, plant=None):
    missing = [package for package in NEEDED[name] if importlib.util.find_spec(package) is None]
    if missing:
        pytest.skip(f"not installed: {', '.join(missing)}; see `models` in pyproject.toml")
    monkeypatch.syspath_prepend(FOLDER)
    models = read_models(FOLDER / f"{name}.py")
    if plant:
        plant(models.b._module)
    found = trace(models, KNOWN)
    return found, {m.name_a: m for m in found.modules}


@pytest.mark.parametrize("name", NEEDED)
def test_a_faithful_port_is_not_accused(name, monkeypatch):
    found, modules = traced(name, monkeypatch)
    assert found.guilty == ()
    assert modules[""].verdict == CLEAN
    assert sum(m.verdict == CLEAN for m in found.modules) > 20
    assert all(why for _, why in found.not_compared)


@pytest.mark.parametrize("frames", [16, 32, 30])
def test_frames_as_many_as_something_is_wide_change_nothing(frames, monkeypatch):
    # 16 x 16 is the width of the time embedding, 32 that of a head.
    monkeypatch.setenv("FRAMES", str(frames))
    found, _ = traced("flow_decoder", monkeypatch)
    assert found.guilty == ()
    names = found.names
    assert names["down_blocks.0.1.0.ff.net.0.proj"] == "down_blocks_0.transformer_0.ff.layers.0"
    assert names["down_blocks.0.0.block1.block.0"] == "down_blocks_0.resnet.block1.conv"


@pytest.mark.parametrize("name", ["gemma", "starcoder2"])
def test_a_port_with_another_activation_than_its_original_is_accused(name, monkeypatch):
    # mlx-lm has GELU by erf where transformers has it by tanh: the two differ by 2e-4, as float64 says, too.
    monkeypatch.setenv("ACTIVATION", "gelu_pytorch_tanh")
    found, modules = traced(name, monkeypatch)
    assert found.guilty == ("model.layers.0.mlp", "model.layers.1.mlp")
    assert "gelu instead of" in modules["model.layers.0.mlp"].cause


def beyond(c, u, w):
    return (1 + w) * c - w * u


def between(c, u, w):
    return u + w * (c - u)


@pytest.mark.parametrize(
    ("mix", "grid", "cause"),
    [
        (between, lambda t: t, "guidance: u + w (c - u) for (1 + w) c - w u"),
        (beyond, lambda t: mx.linspace(0, 1, len(t)), "the grid of times is t, not 1 - cos(t pi / 2)"),
    ],
)
def test_the_mix_and_the_grid_of_a_solver_are_named(mix, grid, cause, monkeypatch):
    monkeypatch.setenv("FRAMES", "16")

    def solve(self, x, t_span, mu, mask, spks, cond):
        for now, then in itertools.pairwise(grid(t_span)):
            pair = [mx.concatenate([y, mx.zeros_like(y)]) for y in (mu, spks, cond)]
            both = [mx.concatenate([y, y]) for y in (x, mask, now[None])]
            found = self.estimator(both[0], both[1], pair[0], both[2], pair[1], pair[2])
            x = x + (then - now) * mix(found[:1], found[1:], self.inference_cfg_rate)
        return x

    found, modules = traced("flow_solver", monkeypatch, lambda b: monkeypatch.setattr(type(b), "solve_euler", solve))
    assert found.guilty == ("",)
    assert cause in modules[""].cause


def swap(one, other):
    one.weight, other.weight = other.weight, one.weight


FAULTS = [
    (
        "flow_decoder",
        lambda b: setattr(b.mid_blocks_0.transformer_0.attn, "scale", 1.0),
        "mid_blocks.0.1.0.attn1",
        "scale is",
    ),
    (
        "flow_decoder",
        lambda b: setattr(b.up_blocks_0.resnet.block2.norm, "eps", 0.1),
        "up_blocks.0.0.block2.block.2",
        "eps",
    ),
    (
        "qwen2",
        lambda b: setattr(b.model.layers[1].self_attn.rope, "traditional", True),
        "model.layers.1.self_attn",
        "RoPE turns neighbouring channels, not halves",
    ),
    ("llama", lambda b: setattr(b.model.layers[1].self_attn, "scale", 1.0), "model.layers.1.self_attn", "scale is 1.0"),
    (
        "llama",
        lambda b: setattr(b.model.layers[1].self_attn.rope, "traditional", True),
        "model.layers.1.self_attn",
        "RoPE turns neighbouring channels, not halves",
    ),
    (
        "llama",
        lambda b: swap(b.model.layers[1].mlp.gate_proj, b.model.layers[1].mlp.up_proj),
        "model.layers.1.mlp.gate_proj",
        "weight holds a's model.layers.1.mlp.up_proj.weight",
    ),
    (
        "whisper",
        lambda b: setattr(b.decoder, "_mask", mx.zeros_like(b.decoder._mask)),
        "model.decoder",
        "it gives model.decoder.layers.0 another mask",
    ),
    ("whisper", lambda b: setattr(b.encoder.blocks[1].attn, "n_head", 2), "model.encoder.layers.1.self_attn", None),
    (
        "whisper",
        lambda b: setattr(b.decoder.blocks[0].cross_attn_ln, "eps", 1e-2),
        "model.decoder.layers.0.encoder_attn_layer_norm",
        "eps is 1e-05 in a and 0.01 in b",
    ),
    ("gpt2", lambda b: setattr(b.model.h[1].ln_2, "eps", 1e-3), "transformer.h.1.ln_2", "eps is 1e-05 in a"),
    (
        "wav2vec",
        lambda b: setattr(b.encoder.layers[1].attention, "scaling", 1.0),
        "encoder.layers.1.attention",
        "scaling is",
    ),
]


@pytest.mark.parametrize(("name", "plant", "guilty", "cause"), FAULTS, ids=[f"{f[0]}-{f[2]}" for f in FAULTS])
def test_a_fault_in_a_port_is_traced(name, plant, guilty, cause, monkeypatch):
    found, modules = traced(name, monkeypatch, plant)
    assert found.guilty[0] == guilty
    assert cause is None or cause in modules[guilty].cause
