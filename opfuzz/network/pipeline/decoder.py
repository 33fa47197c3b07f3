"""The reference description of a flow-matching mel decoder (Matcha, CosyVoice, Chatterbox), every operation a spec's.

An ODE dx/dt = v(x, t) is solved by Euler's method from noise at t = 0 to a mel spectrogram at t = 1. The velocity v is
a U-Net of causal convolutions and transformers over (batch, channels, frames), run on a batch of two: with its
conditions mu, speaker and cond, and with all three zero; guidance mixes the two as (1 + w) c - w u.

Each method is one decision of a port: a wrong reading of the network is a subclass with one method replaced.
Weights carry PyTorch's names. `wiring.py` has the wrong readings.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from opfuzz.network.pipeline.dispatch import Dispatcher

Array = NDArray[Any]

NORM_EPS = 1e-5  # of every LayerNorm and GroupNorm
NORM_GROUPS = 8  # of a decoder that is not causal
MASKED = np.float32(-1e10)  # added to the score of a frame beyond the end


@dataclass(frozen=True, slots=True)
class Config:
    """Sizes and settings that shapes do not tell; the rest is read off the weights."""

    head_width: int = 64
    steps: int = 10
    guidance: float = 0.7
    schedule: str = "cosine"


class Decoder:
    """One decode: `inputs` are mu (1, mel, frames), spks (1, mel), cond and noise like mu, mask (1, 1, frames)."""

    def __init__(
        self, run: Dispatcher, weights: Mapping[str, Array], inputs: Mapping[str, Array], config: Config
    ) -> None:
        self.run, self.weights, self.inputs, self.config = run, weights, inputs, config

    # The solver.

    def decode(self) -> Array:
        """Mel spectrogram (1, mel, frames). Records t_span, and x and v of every step."""
        grid = self.grid()
        self.run.record("ode.t_span", grid)
        mask = np.concatenate((self.inputs["mask"],) * 2)
        conditions = self.conditions()
        x = self.noise()
        for step in range(len(grid) - 1):
            both = np.concatenate((x, x))
            v = self.velocity(both, np.repeat(self.time(grid, step), 2), mask, conditions)
            self.run.record(f"ode.step{step}.x", both)
            self.run.record(f"ode.step{step}.v", v)
            x = self.step(x, self.guide(v), float(grid[step + 1] - grid[step]))
        self.run.record("output.mel", x)
        return x

    def noise(self) -> Array:
        """State at t = 0, standard normal."""
        return self.inputs["noise"]

    def grid(self) -> Array:
        """Times from 0 to 1, one more than steps."""
        if self.config.schedule == "linear":
            return np.linspace(0, 1, self.config.steps + 1, dtype=np.float32)
        return self.run("cosine_schedule", role="time grid", at="solver.grid", steps=self.config.steps)

    def time(self, grid: Array, step: int) -> Array:
        """Time at which the velocity of a step is taken: its start."""
        return grid[step : step + 1]

    def conditions(self) -> tuple[Array, Array, Array]:
        """mu, speaker and cond, each with its unconditional half: zeros."""
        given = (self.inputs[name] for name in ("mu", "spks", "cond"))
        mu, spks, cond = (np.concatenate((array, np.zeros_like(array))) for array in given)
        return mu, spks, cond

    def guide(self, v: Array) -> Array:
        """Classifier-free guidance of a velocity for the batch of two."""
        c, u = v[:1], v[1:]
        return self.run("cfg_mix", role="guidance", at="solver.guidance", c=c, u=u, w=self.config.guidance)

    def step(self, x: Array, v: Array, dt: float) -> Array:
        """One step of Euler's method."""
        return self.run("euler_step", role="step", at="solver.step", x=x, v=v, dt=dt)

    # The U-Net.

    def velocity(self, x: Array, t: Array, mask: Array, conditions: tuple[Array, Array, Array]) -> Array:
        """v (2, mel, frames) at times t (2)."""
        time = self.time_embedding(t)
        bias = self.attention_mask(mask)
        x = self.join(x, *conditions)
        x = self.resnet("down_blocks.0.0", x, mask, time)
        x = self.transformers("down_blocks.0.1", x, bias)
        skip = x
        x = self.conv("downsample", "down_blocks.0.2", x * mask)
        for block in range(self.count("mid_blocks")):
            x = self.resnet(f"mid_blocks.{block}.0", x, mask, time)
            x = self.transformers(f"mid_blocks.{block}.1", x, bias)
        x = self.join_skip(x, skip)
        x = self.resnet("up_blocks.0.0", x, mask, time)
        x = self.transformers("up_blocks.0.1", x, bias)
        x = self.conv("upsample", "up_blocks.0.2", x * mask)
        x = self.conv_block("final_block", x, mask)
        return self.pointwise("output", "final_proj", x * mask) * mask

    def time_embedding(self, t: Array) -> Array:
        """Embedding (2, width) of times (2)."""
        half = self.weights["time_mlp.linear_1.weight"].shape[1] // 2
        x = self.run("time_embedding", role="time embedding", at="time_embeddings", t=t, half=half)
        x = self.linear("time MLP, first", "time_mlp.linear_1", x)
        x = self.run("silu", role="time MLP", at="time_mlp.act", x=x)
        return self.linear("time MLP, second", "time_mlp.linear_2", x)

    def join(self, x: Array, mu: Array, spks: Array, cond: Array) -> Array:
        """State and conditions as the channels of one tensor; the speaker is the same in every frame."""
        return np.concatenate((x, mu, np.broadcast_to(spks[:, :, None], x.shape), cond), axis=1)

    def join_skip(self, x: Array, skip: Array) -> Array:
        """Input of the way up: what came through the middle, then what went around it."""
        return np.concatenate((x, skip), axis=1)

    # Convolutions with time in them.

    def resnet(self, name: str, x: Array, mask: Array, time: Array) -> Array:
        """Two conv blocks with the time added between them, around a convolution of width 1."""
        h = self.conv_block(f"{name}.block1", x, mask)
        h = self.add_time(h, self.time_projection(f"{name}.mlp", time))
        h = self.conv_block(f"{name}.block2", h, mask)
        return self.add_residual(h, self.pointwise("residual", f"{name}.res_conv", self.masked(x, mask)))

    def add_time(self, h: Array, time: Array) -> Array:
        """The same in every frame."""
        return h + time[:, :, None]

    def add_residual(self, h: Array, x: Array) -> Array:
        """The way around the two conv blocks."""
        return h + x

    def masked(self, x: Array, mask: Array) -> Array:
        """Frames beyond the end are zero."""
        return x * mask

    def time_projection(self, name: str, time: Array) -> Array:
        """Mish, then a Linear to the channels."""
        activated = self.run("mish", role="time projection", at=f"{name}.0", x=time)
        return self.linear("time projection", f"{name}.1", activated)

    def conv_block(self, name: str, x: Array, mask: Array) -> Array:
        """Convolution, norm over channels, Mish."""
        h = self.conv("conv block", f"{name}.block.0", self.masked(x, mask))
        h = self.conv_norm(name, h)
        h = self.run("mish", role="conv block", at=f"{name}.block.act", x=h)
        return self.masked(h, mask)

    def conv_norm(self, name: str, h: Array) -> Array:
        """LayerNorm over the channels of each frame; in a decoder that is not causal, GroupNorm."""
        if f"{name}.block.2.weight" in self.weights:
            turned = self.norm("conv block", f"{name}.block.2", np.swapaxes(h, 1, 2))
            return np.swapaxes(turned, 1, 2)
        return self.group_norm(f"{name}.block.1", h)

    def conv(self, role: str, name: str, x: Array) -> Array:
        """Convolution that keeps the number of frames; causal: every zero of the padding stands on the left."""
        weight, bias = self.weights[f"{name}.weight"], self.weights[f"{name}.bias"]
        if self.is_causal:
            return self.run("causal_conv1d", role=role, at=name, x=x, weight=weight, bias=bias)
        padding = weight.shape[2] // 2
        return self.run("conv1d", role=role, at=name, x=x, weight=weight, padding=padding) + bias[:, None]

    def pointwise(self, role: str, name: str, x: Array) -> Array:
        """Convolution of width 1, which needs no padding."""
        weight, bias = self.weights[f"{name}.weight"], self.weights[f"{name}.bias"]
        return self.run("causal_conv1d", role=role, at=name, x=x, weight=weight, bias=bias)

    # Transformers over (batch, frames, channels).

    def transformers(self, name: str, x: Array, bias: Array) -> Array:
        """The transformer blocks of one stage."""
        x = np.swapaxes(x, 1, 2)
        for block in range(self.count(name)):
            x = self.transformer(f"{name}.{block}", x, bias)
        return np.swapaxes(x, 1, 2)

    def transformer(self, name: str, x: Array, bias: Array) -> Array:
        """x + attention(norm(x)), then x + feed-forward(norm(x))."""
        x = x + self.attention(f"{name}.attn1", self.norm("before attention", f"{name}.norm1", x), bias)
        return x + self.feed_forward(f"{name}.ff", self.norm("before feed-forward", f"{name}.norm3", x))

    def attention(self, name: str, x: Array, bias: Array) -> Array:
        """Self-attention in several heads; query, key and value have no bias, the output has one."""
        q, k, v = (self.split_heads(self.linear(role, f"{name}.to_{role[0]}", x)) for role in ("query", "key", "value"))
        context = self.run("attention_additive_mask", role="attention", at=name, q=q, k=k, v=v, mask=bias)
        return self.linear("attention output", f"{name}.to_out.0", self.join_heads(context))

    def split_heads(self, x: Array) -> Array:
        """(batch, frames, heads * width) to (batch, heads, frames, width)."""
        batch, frames, width = x.shape
        return np.swapaxes(x.reshape(batch, frames, width // self.config.head_width, self.config.head_width), 1, 2)

    def join_heads(self, x: Array) -> Array:
        """The way back."""
        batch, heads, frames, width = x.shape
        return np.swapaxes(x, 1, 2).reshape(batch, frames, heads * width)

    def attention_mask(self, mask: Array) -> Array:
        """What is added to the scores (batch, 1, frames, frames): frames beyond the end are not looked at."""
        frames = mask.shape[-1]
        return np.broadcast_to(((1 - mask) * MASKED)[:, :, None], (len(mask), 1, frames, frames))

    def feed_forward(self, name: str, x: Array) -> Array:
        """Linear, GELU, Linear."""
        h = self.linear("feed-forward, in", f"{name}.net.0.proj", x)
        h = self.run("gelu", role="feed-forward", at=f"{name}.act", x=h)
        return self.linear("feed-forward, out", f"{name}.net.2", h)

    # Layers.

    def linear(self, role: str, name: str, x: Array) -> Array:
        """x times the transposed weight, plus the bias where there is one."""
        weight = self.weights[f"{name}.weight"]
        bias = self.weights.get(f"{name}.bias", np.zeros(len(weight), weight.dtype))
        return self.run("linear", role=role, at=name, x=x, weight=weight, bias=bias)

    def norm(self, role: str, name: str, x: Array) -> Array:
        """LayerNorm over the last axis."""
        weight, bias = self.weights[f"{name}.weight"], self.weights[f"{name}.bias"]
        return self.run("layer_norm", role=role, at=name, x=x, weight=weight, bias=bias, eps=NORM_EPS)

    def group_norm(self, name: str, x: Array) -> Array:
        """GroupNorm over groups of channels and all frames."""
        weight, bias = self.weights[f"{name}.weight"], self.weights[f"{name}.bias"]
        given = {"x": x, "weight": weight, "bias": bias}
        return self.run("group_norm", role="conv block", at=name, **given, groups=NORM_GROUPS, eps=NORM_EPS)

    # Shape of the network, by the names of its weights.

    @property
    def is_causal(self) -> bool:
        """A causal conv block holds a transposition before its LayerNorm, whose number is then 2, not 1."""
        return "final_block.block.2.weight" in self.weights

    def count(self, name: str) -> int:
        """How many numbered parts a list of modules has."""
        start = f"{name}."
        return len({key[len(start) :].partition(".")[0] for key in self.weights if key.startswith(start)})
