"""The decoder against an independent one in plain PyTorch, and against the real package's tensors."""

from __future__ import annotations

import json
import math
import os
from pathlib import Path

import numpy as np
import pytest
from bundled_ops import BUNDLED_OPS
from safetensors.numpy import load_file

from opfuzz.core.errors import OpfuzzError
from opfuzz.engine.drivers.pipeline_bench import computing, meaning
from opfuzz.network.drift import drift
from opfuzz.network.localize.matching import best_first, judge
from opfuzz.network.localize.observed import Observed
from opfuzz.network.pipeline.decoder import Config, Decoder
from opfuzz.network.pipeline.decoder_files import FRAMES, HEAD_WIDTH, MEL, drawn_inputs, drawn_weights, load_decoder
from opfuzz.network.pipeline.dispatch import Dispatcher
from opfuzz.network.pipeline.planting import Setup, of_ops

torch = pytest.importorskip("torch")
F = torch.nn.functional

SMALL = Config(head_width=HEAD_WIDTH)
DATA = Path(os.environ.get("OPFUZZ_DECODER_DATA", "none"))
needs_data = pytest.mark.skipif(
    not (DATA / "weights.safetensors").is_file(),
    reason="OPFUZZ_DECODER_DATA names no folder with the decoder's tensors",
)


class Plain:
    """The network as a PyTorch user writes it, from weights by name; nothing of opfuzz in it."""

    def __init__(self, weights, heads_of, is_causal):
        self.w = {name: torch.from_numpy(array).double() for name, array in weights.items()}
        self.width, self.is_causal = heads_of, is_causal

    def conv(self, name, x):
        weight = self.w[f"{name}.weight"]
        k = weight.shape[2]
        padding = (k - 1, 0) if self.is_causal else ((k - 1) // 2,) * 2
        return F.conv1d(F.pad(x, padding), weight, self.w[f"{name}.bias"])

    def linear(self, name, x):
        return F.linear(x, self.w[f"{name}.weight"], self.w.get(f"{name}.bias"))

    def norm(self, name, x):
        return F.layer_norm(x, x.shape[-1:], self.w[f"{name}.weight"], self.w[f"{name}.bias"])

    def block(self, name, x, mask):
        x = self.conv(f"{name}.block.0", x * mask)
        if self.is_causal:
            x = self.norm(f"{name}.block.2", x.transpose(1, 2)).transpose(1, 2)
        else:
            x = F.group_norm(x, 8, self.w[f"{name}.block.1.weight"], self.w[f"{name}.block.1.bias"])
        return F.mish(x) * mask

    def resnet(self, name, x, mask, time):
        h = self.block(f"{name}.block1", x, mask) + self.linear(f"{name}.mlp.1", F.mish(time))[:, :, None]
        return self.block(f"{name}.block2", h, mask) + self.conv(f"{name}.res_conv", x * mask)

    def transformer(self, name, x, mask):
        y = self.norm(f"{name}.norm1", x)
        q, k, v = (
            self.linear(f"{name}.attn1.to_{part}", y).unflatten(-1, (-1, self.width)).transpose(1, 2) for part in "qkv"
        )
        weights = ((q @ k.transpose(-1, -2)) / math.sqrt(self.width) + (1 - mask[:, None]) * -1e10).softmax(-1)
        x = x + self.linear(f"{name}.attn1.to_out.0", (weights @ v).transpose(1, 2).flatten(2))
        h = F.gelu(self.linear(f"{name}.ff.net.0.proj", self.norm(f"{name}.norm3", x)))
        return x + self.linear(f"{name}.ff.net.2", h)

    def stage(self, name, x, mask, time):
        x = self.resnet(f"{name}.0", x, mask, time).transpose(1, 2)
        for block in range(len({n.split(".")[3] for n in self.w if n.startswith(f"{name}.1.")})):
            x = self.transformer(f"{name}.1.{block}", x, mask)
        return x.transpose(1, 2)

    def velocity(self, x, t, mask, mu, spks, cond):
        half = self.w["time_mlp.linear_1.weight"].shape[1] // 2
        frequencies = torch.exp(torch.arange(half) * (-math.log(10000) / (half - 1)))
        angles = 1000 * t[:, None] * frequencies
        time = self.linear("time_mlp.linear_1", torch.cat((angles.sin(), angles.cos()), 1))
        time = self.linear("time_mlp.linear_2", F.silu(time))
        x = torch.cat((x, mu, spks[:, :, None].expand_as(x), cond), 1)
        x = skip = self.stage("down_blocks.0", x, mask, time)
        x = self.conv("down_blocks.0.2", x * mask)
        for block in range(len({n.split(".")[1] for n in self.w if n.startswith("mid_blocks.")})):
            x = self.stage(f"mid_blocks.{block}", x, mask, time)
        x = self.stage("up_blocks.0", torch.cat((x, skip), 1), mask, time)
        x = self.block("final_block", self.conv("up_blocks.0.2", x * mask), mask)
        return self.conv("final_proj", x * mask) * mask

    def decode(self, inputs, steps=10, w=0.7):
        i = {name: torch.from_numpy(array).double() for name, array in inputs.items()}
        grid = 1 - torch.cos(torch.linspace(0, 1, steps + 1, dtype=torch.float64) * torch.pi / 2)
        given = [torch.cat((i[name], torch.zeros_like(i[name]))) for name in ("mu", "spks", "cond")]
        x, mask = i["noise"], torch.cat((i["mask"],) * 2)
        for t, dt in zip(grid[:-1], grid.diff(), strict=True):
            c, u = self.velocity(torch.cat((x, x)), t.repeat(2), mask, *given).chunk(2)
            x = x + dt * ((1 + w) * c - w * u)
        return x.numpy()


def not_causal(weights):
    """The same weights with GroupNorm, the second part of its conv blocks, in the place of LayerNorm, the third."""
    return {name.replace("block.2.", "block.1."): array for name, array in weights.items()}


@pytest.mark.parametrize("subject", ["torch:cpu", "mlx:cpu", "numpy:cpu"])
@pytest.mark.parametrize("is_causal", [True, False])
def test_agrees_with_an_independent_network(subject, is_causal):
    if not subject.startswith("numpy"):
        pytest.importorskip(subject.split(":")[0])
    weights, inputs = drawn_weights(3), drawn_inputs(3, MEL)
    inputs["mask"][:, :, FRAMES - 5 :] = 0
    weights = weights if is_causal else not_causal(weights)
    run = Dispatcher(BUNDLED_OPS, computing(subject))
    mel = Decoder(run, weights, inputs, SMALL).decode()
    found = drift(Plain(weights, HEAD_WIDTH, is_causal).decode(inputs), mel)
    assert found.decorrelation < 1e-11
    assert found.max < 5e-5
    assert list(run.recorded)[:3] == ["ode.t_span", "ode.step0.x", "ode.step0.v"]
    assert list(run.recorded)[-1] == "output.mel"
    np.testing.assert_array_equal(run.recorded["ode.step0.x"], np.concatenate((inputs["noise"],) * 2))


def test_settings_reach_the_solver():
    weights, inputs = drawn_weights(0), drawn_inputs(0, MEL)
    run = Dispatcher(BUNDLED_OPS, computing("torch:cpu"))
    mel = Decoder(run, weights, inputs, Config(HEAD_WIDTH, steps=3, guidance=0.2)).decode()
    assert drift(Plain(weights, HEAD_WIDTH, True).decode(inputs, 3, 0.2), mel).decorrelation < 1e-11
    linear = Dispatcher(BUNDLED_OPS, computing("torch:cpu"))
    Decoder(linear, weights, inputs, Config(HEAD_WIDTH, steps=4, schedule="linear")).decode()
    np.testing.assert_allclose(linear.recorded["ode.t_span"], [0, 0.25, 0.5, 0.75, 1])


def test_a_missing_weight_is_named():
    model = load_decoder(None, None, None, 0)
    del model.weights["mid_blocks.0.1.0.norm1.weight"]  # type: ignore[attr-defined]
    with pytest.raises(
        OpfuzzError, match=r"the decoder of seed 0: there is no tensor 'mid_blocks\.0\.1\.0\.norm1\.weight'"
    ):
        Setup(model.pipeline, model.weights, model.inputs, computing("numpy:cpu")).run(BUNDLED_OPS)


def real():
    return load_decoder(DATA / "weights.safetensors", DATA / "config.json", DATA / "torch.safetensors", 0)


@needs_data
@pytest.mark.parametrize("subject", ["torch:cpu", "mlx:cpu"])
def test_the_real_decoder_is_reproduced(subject):
    model = real()
    mel, recorded = Setup(model.pipeline, model.weights, model.inputs, computing(subject)).run(BUNDLED_OPS)
    there = load_file(DATA / "torch.safetensors")
    names = ["output.mel", *(f"ode.step{i}.{part}" for i in range(10) for part in "xv")]
    assert {**recorded, "output.mel": mel}.keys() >= set(names)
    for name in names:
        found = drift(there[name], recorded[name])
        assert found.decorrelation < 1e-11, name
        assert found.max < 2e-5, name


PLANTED = {
    "gelu sigmoid(1.702x)": "gelu: sigmoid (feed-forward)",
    "mish -> silu (conv blocks)": "mish: silu (conv block)",
    "conv pad right (0,2)": "causal_conv1d: padded-right (everywhere)",
    "attn scale missing": "attention_additive_mask: no-scale (attention)",
    "t-emb scale 100": "time_embedding: scale-100 (time embedding)",
    "schedule linear": "cosine_schedule: linear (time grid)",
    "cfg w=0.5": "guidance-0.5 (guidance)",
    "noise temperature 0.667": "temperature-0.667 (noise)",
}


@needs_data
def test_what_was_planted_in_the_real_port_is_found():
    """On a few rivals of each; `opfuzz localize` tries them all."""
    model, compute, calls = real(), computing("torch:cpu"), []

    def noting(call):
        calls.append(call)
        return compute(call)

    base, _ = Setup(model.pipeline, model.weights, model.inputs, noting).run(BUNDLED_OPS)
    setup = Setup(model.pipeline, model.weights, model.inputs, compute)
    known = {variant.title: variant for variant in (*of_ops(calls, meaning), *model.variants)}
    tried = {title: known[title].plant(setup).run(BUNDLED_OPS)[0] for title in PLANTED.values()}
    frames = np.s_[:, :, 36:]
    index = json.loads((DATA / "labelled" / "index.json").read_text())
    assert {entry["planted"] for entry in index.values()} == set(PLANTED)
    for file, entry in index.items():
        there = load_file(DATA / "labelled" / file)["output.mel"][frames]
        seen = Observed({}, there)
        judged = best_first(judge(known[t], out[frames], base[frames], seen, 2e-7) for t, out in tried.items())
        assert judged[0].title == PLANTED[entry["planted"]]
        assert [one.match for one in judged] == [True] + [False] * 7
        assert judged[0].residual < 5e-7 < 1e-3 < judged[1].residual
