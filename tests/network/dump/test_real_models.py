"""Models of other packages in torch and in MLX, dumped each: faithful ports agree, and a fault is where it is."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from opfuzz.network.diff.diff import diff
from opfuzz.network.dump.dump import dump
from opfuzz.network.dump.model_file import read_model_file
from opfuzz.network.tensors import open_tensors

FOLDER = Path(__file__).parents[1] / "trace" / "real"
NEEDED = {
    "flow_decoder": ("chatterbox", "mlx_audio", "diffusers", "conformer", "omegaconf", "einops"),
    "gpt2": ("transformers", "mlx_lm"),
    "llama": ("transformers", "mlx_lm"),
    "whisper": ("transformers", "mlx_audio"),
}


def compared(name, tmp_path, monkeypatch, plant=None):
    missing = [package for package in NEEDED[name] if importlib.util.find_spec(package) is None]
    if missing:
        pytest.skip(f"not installed: {', '.join(missing)}; see `models` in pyproject.toml")
    monkeypatch.syspath_prepend(FOLDER)
    for side in "ab":
        given = read_model_file(FOLDER / f"{name}.py", side)
        if plant and side == "b":
            plant(given.model.module)
        dump(given, tmp_path / f"{side}.safetensors")
    return diff(*(open_tensors(tmp_path / f"{side}.safetensors") for side in "ab"), {}, ())


@pytest.mark.parametrize("name", NEEDED)
def test_dumps_of_a_faithful_port_do_not_diverge(name, tmp_path, monkeypatch):
    found = compared(name, tmp_path, monkeypatch)
    assert found.name is None
    assert len(found.tensors) > 30


def test_frames_as_many_as_channels_change_nothing(tmp_path, monkeypatch):
    monkeypatch.setenv("FRAMES", "80")
    assert compared("flow_decoder", tmp_path, monkeypatch).name is None


FAULTS = [
    ("llama", lambda b: setattr(b.model.layers[1].self_attn, "scale", 1.0), "o_proj", "model.layers.1.self_attn"),
    ("llama", lambda b: setattr(b.model.layers[0].input_layernorm, "eps", 0.1), "input_layernorm", None),
    (
        "flow_decoder",
        lambda b: setattr(b.mid_blocks_0.transformer_0.attn, "scale", 1.0),
        "mid_blocks.0.1.0.attn1.to_out.0",
        "mid_blocks.0.1.0.attn1",
    ),
    (
        "flow_decoder",
        lambda b: setattr(b.up_blocks_0.resnet.block2.norm, "eps", 0.1),
        "up_blocks.0.0.block2.block.2",
        None,
    ),
]


@pytest.mark.parametrize(("name", "plant", "first", "within"), FAULTS)
def test_the_first_divergence_is_where_the_fault_is(name, plant, first, within, tmp_path, monkeypatch):
    found = compared(name, tmp_path, monkeypatch, plant)
    assert found.first is not None
    assert found.first.endswith(first)
    assert within is None or found.within == within
