"""Wrong readings of the decoder's network and solver: each is one method in place of the right one.

The name of a variant is its function's, its note the docstring.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from itertools import permutations
from typing import Any

import numpy as np

from opfuzz.localize.decoder import MASKED, NORM_EPS, NORM_GROUPS, Array, Config, Decoder
from opfuzz.localize.dispatch import Dispatcher
from opfuzz.localize.planting import Setup, Tensors, Variant

Method = Callable[..., Any]

READINGS: list[tuple[str, str, str, dict[str, Method]]] = []  # name, place, note, the method that it replaces
CHANNELS = ("x", "mu", "speaker", "cond")
GUIDANCES = (0.0, 0.3, 0.5, 1.0, 2.0)
FILLS = (-10.0, -1e4, -1e9, -np.inf)
CHUNKS = (25, 50)  # frames that CosyVoice's chunked masks hold together


def instead_of(method: Method, place: str) -> Callable[[Method], Method]:
    """Registers a function as a wrong reading of a method of Decoder."""

    def register(function: Method) -> Method:
        name = function.__name__.replace("_", "-")
        READINGS.append((name, place, (function.__doc__ or "").rstrip("."), {method.__name__: function}))
        return function

    return register


@dataclass(frozen=True, slots=True)
class Decode:
    """The pipeline of a kind of decoder with its settings."""

    kind: type[Decoder]
    config: Config

    def __call__(self, run: Dispatcher, weights: Tensors, inputs: Tensors) -> Array:
        return self.kind(run, weights, inputs, self.config).decode()


def variants(config: Config) -> list[Variant]:
    """All wrong readings of the network and the solver."""
    found = [
        Variant(name, place, note, partial(_rewired, methods))
        for name, place, note, methods in (*READINGS, *_orders(), *_fills(), *_chunks())
    ]
    others = [w for w in GUIDANCES if w != config.guidance]
    return found + [Variant(f"guidance-{w:g}", "guidance", f"w is {w:g}", partial(_guided, w)) for w in others]


# Both build on what is planted already, so that two wrong readings can be planted together.


def _rewired(methods: dict[str, Method], setup: Setup) -> Setup:
    right = setup.pipeline
    assert isinstance(right, Decode)
    return replace(setup, pipeline=replace(right, kind=type("WrongDecoder", (right.kind,), methods)))


def _guided(w: float, setup: Setup) -> Setup:
    right = setup.pipeline
    assert isinstance(right, Decode)
    return replace(setup, pipeline=replace(right, config=replace(right.config, guidance=w)))


# Time grid and stepping.


@instead_of(Decoder.grid, "time grid")
def one_step_more(self: Decoder) -> Array:
    """the grid has one step more"""
    return self.run("cosine_schedule", role="time grid", at="solver.grid", steps=self.config.steps + 1)


@instead_of(Decoder.grid, "time grid")
def one_step_fewer(self: Decoder) -> Array:
    """the grid has one step fewer"""
    return self.run("cosine_schedule", role="time grid", at="solver.grid", steps=max(self.config.steps - 1, 1))


@instead_of(Decoder.grid, "time grid")
def last_step_not_taken(self: Decoder) -> Array:
    """the last step is not taken"""
    return Decoder.grid(self)[:-1]


@instead_of(Decoder.grid, "time grid")
def grid_in_half(self: Decoder) -> Array:
    """the grid is computed in float16"""
    t = np.linspace(0, 1, self.config.steps + 1, dtype=np.float16)
    return np.asarray(1 - np.cos(t * np.float16(np.pi / 2)), np.float32)


@instead_of(Decoder.time, "stepping")
def time_at_the_end_of_the_step(self: Decoder, grid: Array, step: int) -> Array:
    """the velocity is taken at the time where the step ends"""
    return grid[step + 1 : step + 2]


@instead_of(Decoder.time, "stepping")
def time_in_the_middle_of_the_step(self: Decoder, grid: Array, step: int) -> Array:
    """the velocity is taken at the time in the middle of the step"""
    return (grid[step : step + 1] + grid[step + 1 : step + 2]) / 2


@instead_of(Decoder.time, "stepping")
def time_accumulated(self: Decoder, grid: Array, step: int) -> Array:
    """time is the sum of the steps before, not read from the grid"""
    return np.cumsum(np.concatenate((grid[:1], np.diff(grid))), dtype=np.float32)[step : step + 1]


@instead_of(Decoder.time, "stepping")
def time_of_an_even_grid(self: Decoder, grid: Array, step: int) -> Array:
    """the network is told the time of an even grid, the steps follow the bent one"""
    return np.linspace(0, 1, len(grid), dtype=np.float32)[step : step + 1]


# Guidance and conditions. What is lost is lost in both halves of the batch.


def _keeping(self: Decoder, *kept: str) -> tuple[Array, Array, Array]:
    given = {name: self.inputs[name] for name in ("mu", "spks", "cond")}
    mu, spks, cond = (np.concatenate((a, a if n in kept else np.zeros_like(a))) for n, a in given.items())
    return mu, spks, cond


@instead_of(Decoder.conditions, "guidance")
def unconditional_keeps_mu(self: Decoder) -> tuple[Array, Array, Array]:
    """the unconditional half keeps mu"""
    return _keeping(self, "mu")


@instead_of(Decoder.conditions, "guidance")
def unconditional_keeps_speaker(self: Decoder) -> tuple[Array, Array, Array]:
    """the unconditional half keeps the speaker"""
    return _keeping(self, "spks")


@instead_of(Decoder.conditions, "guidance")
def unconditional_keeps_cond(self: Decoder) -> tuple[Array, Array, Array]:
    """the unconditional half keeps cond, the prompt"""
    return _keeping(self, "cond")


@instead_of(Decoder.conditions, "guidance")
def unconditional_keeps_all(self: Decoder) -> tuple[Array, Array, Array]:
    """the unconditional half keeps every condition"""
    return _keeping(self, "mu", "spks", "cond")


@instead_of(Decoder.conditions, "input")
def mu_lost(self: Decoder) -> tuple[Array, Array, Array]:
    """mu is zero"""
    mu, spks, cond = Decoder.conditions(self)
    return np.zeros_like(mu), spks, cond


@instead_of(Decoder.conditions, "input")
def speaker_lost(self: Decoder) -> tuple[Array, Array, Array]:
    """the speaker is zero"""
    mu, spks, cond = Decoder.conditions(self)
    return mu, np.zeros_like(spks), cond


@instead_of(Decoder.conditions, "input")
def cond_lost(self: Decoder) -> tuple[Array, Array, Array]:
    """cond, the prompt, is zero"""
    mu, spks, cond = Decoder.conditions(self)
    return mu, spks, np.zeros_like(cond)


@instead_of(Decoder.conditions, "input")
def speaker_norm_plus_eps(self: Decoder) -> tuple[Array, Array, Array]:
    """a speaker vector of length 1 was divided by its norm + 1e-8"""
    mu, spks, cond = Decoder.conditions(self)
    return mu, (spks.astype(np.float64) / (1 + 1e-8)).astype(np.float32), cond


def _orders() -> list[tuple[str, str, str, dict[str, Method]]]:
    """The channels of the input in every other order."""
    found = []
    for order in list(permutations(range(4)))[1:]:

        def join(self: Decoder, x: Array, *others: Array, order: tuple[int, ...] = order) -> Array:
            parts = np.split(Decoder.join(self, x, *others), 4, axis=1)
            return np.concatenate([parts[i] for i in order], axis=1)

        named = [CHANNELS[i] for i in order]
        found.append((f"channels-{'-'.join(named)}", "input", f"the input is {', '.join(named)}", {"join": join}))
    return found


# U-Net.


@instead_of(Decoder.join_skip, "skip connection")
def skip_first(self: Decoder, x: Array, skip: Array) -> Array:
    """what went around the middle comes first"""
    return np.concatenate((skip, x), axis=1)


@instead_of(Decoder.join_skip, "skip connection")
def skip_lost(self: Decoder, x: Array, skip: Array) -> Array:
    """what goes around the middle is zero"""
    return np.concatenate((x, np.zeros_like(skip)), axis=1)


@instead_of(Decoder.join_skip, "skip connection")
def skip_twice(self: Decoder, x: Array, skip: Array) -> Array:
    """both halves are what went around the middle"""
    return np.concatenate((skip, skip), axis=1)


@instead_of(Decoder.count, "blocks")
def last_middle_block_left_out(self: Decoder, name: str) -> int:
    """the last middle block is not run"""
    return Decoder.count(self, name) - (name == "mid_blocks")


@instead_of(Decoder.count, "blocks")
def last_transformer_left_out(self: Decoder, name: str) -> int:
    """the last transformer block of each stage is not run"""
    return Decoder.count(self, name) - (name != "mid_blocks")


@instead_of(Decoder.masked, "mask")
def convolutions_not_masked(self: Decoder, x: Array, mask: Array) -> Array:
    """frames beyond the end are not made zero before convolutions"""
    return x


# Conv blocks.


@instead_of(Decoder.add_time, "time projection")
def time_not_added(self: Decoder, h: Array, time: Array) -> Array:
    """the time is not added between the conv blocks"""
    return h


@instead_of(Decoder.add_residual, "residual")
def residual_conv_left_out(self: Decoder, h: Array, x: Array) -> Array:
    """nothing goes around the conv blocks"""
    return h


@instead_of(Decoder.conv_norm, "conv block")
def group_norm(self: Decoder, name: str, h: Array) -> Array:
    """GroupNorm of 8 groups, as in the decoder that is not causal"""
    layer = f"{name}.block.2" if self.is_causal else f"{name}.block.1"
    return self.group_norm(layer, h)


@instead_of(Decoder.conv_norm, "conv block")
def group_norm_of_neighbours_apart(self: Decoder, name: str, h: Array) -> Array:
    """GroupNorm of 8 groups whose channels lie apart, as in MLX without pytorch_compatible"""
    layer = f"{name}.block.2" if self.is_causal else f"{name}.block.1"
    batch, channels, frames = h.shape
    groups = h.astype(np.float64).reshape(batch, channels // NORM_GROUPS, NORM_GROUPS, frames)
    centred = groups - groups.mean(axis=(1, 3), keepdims=True)
    normal = centred / np.sqrt((centred**2).mean(axis=(1, 3), keepdims=True) + NORM_EPS)
    weight, bias = self.weights[f"{layer}.weight"][:, None], self.weights[f"{layer}.bias"][:, None]
    return np.asarray(normal.reshape(h.shape) * weight + bias, np.float32)


@instead_of(Decoder.conv_norm, "conv block")
def norm_over_frames(self: Decoder, name: str, h: Array) -> Array:
    """channels and frames are not exchanged around the norm, which runs over the frames"""
    layer = f"{name}.block.2" if self.is_causal else f"{name}.block.1"
    centred = h.astype(np.float64) - h.mean(axis=2, keepdims=True, dtype=np.float64)
    normal = centred / np.sqrt((centred**2).mean(axis=2, keepdims=True) + NORM_EPS)
    weight, bias = self.weights[f"{layer}.weight"][:, None], self.weights[f"{layer}.bias"][:, None]
    return np.asarray(normal * weight + bias, np.float32)


@instead_of(Decoder.conv_norm, "conv block")
def norm_left_out(self: Decoder, name: str, h: Array) -> Array:
    """the norm of conv blocks is left out"""
    return h


@instead_of(Decoder.conv_block, "conv block")
def activation_before_norm(self: Decoder, name: str, x: Array, mask: Array) -> Array:
    """Mish comes before the norm"""
    h = self.conv("conv block", f"{name}.block.0", self.masked(x, mask))
    h = self.run("mish", role="conv block", at=f"{name}.block.act", x=h)
    return self.masked(self.conv_norm(name, h), mask)


# Transformers.


@instead_of(Decoder.transformer, "transformer")
def norm_after(self: Decoder, name: str, x: Array, bias: Array) -> Array:
    """the norms come after the sums, not before attention and feed-forward"""
    x = self.norm("before attention", f"{name}.norm1", x + self.attention(f"{name}.attn1", x, bias))
    return self.norm("before feed-forward", f"{name}.norm3", x + self.feed_forward(f"{name}.ff", x))


@instead_of(Decoder.transformer, "transformer")
def norms_exchanged(self: Decoder, name: str, x: Array, bias: Array) -> Array:
    """the two norms have each other's weights"""
    x = x + self.attention(f"{name}.attn1", self.norm("before attention", f"{name}.norm3", x), bias)
    return x + self.feed_forward(f"{name}.ff", self.norm("before feed-forward", f"{name}.norm1", x))


@instead_of(Decoder.transformer, "transformer")
def attention_not_added(self: Decoder, name: str, x: Array, bias: Array) -> Array:
    """attention replaces its input instead of being added to it"""
    x = self.attention(f"{name}.attn1", self.norm("before attention", f"{name}.norm1", x), bias)
    return x + self.feed_forward(f"{name}.ff", self.norm("before feed-forward", f"{name}.norm3", x))


@instead_of(Decoder.transformer, "transformer")
def feed_forward_not_added(self: Decoder, name: str, x: Array, bias: Array) -> Array:
    """feed-forward replaces its input instead of being added to it"""
    x = x + self.attention(f"{name}.attn1", self.norm("before attention", f"{name}.norm1", x), bias)
    return self.feed_forward(f"{name}.ff", self.norm("before feed-forward", f"{name}.norm3", x))


@instead_of(Decoder.transformer, "transformer")
def side_by_side(self: Decoder, name: str, x: Array, bias: Array) -> Array:
    """feed-forward takes the input of the block, not what attention made of it"""
    attended = self.attention(f"{name}.attn1", self.norm("before attention", f"{name}.norm1", x), bias)
    return x + attended + self.feed_forward(f"{name}.ff", self.norm("before feed-forward", f"{name}.norm3", x))


@instead_of(Decoder.split_heads, "heads")
def heads_split_as_width_by_heads(self: Decoder, x: Array) -> Array:
    """query, key and value are split as (width, heads) instead of (heads, width)"""
    batch, frames, width = x.shape
    own = self.config.head_width
    return np.transpose(x.reshape(batch, frames, own, width // own), (0, 3, 1, 2))


@instead_of(Decoder.split_heads, "heads")
def heads_split_without_transposition(self: Decoder, x: Array) -> Array:
    """query, key and value are reshaped to (heads, frames, width) without a transposition"""
    batch, frames, width = x.shape
    own = self.config.head_width
    return x.reshape(batch, width // own, frames, own)


@instead_of(Decoder.join_heads, "heads")
def heads_not_transposed_back(self: Decoder, x: Array) -> Array:
    """the heads are reshaped together without a transposition"""
    batch, heads, frames, width = x.shape
    return x.reshape(batch, frames, heads * width)


@instead_of(Decoder.join_heads, "heads")
def heads_joined_as_width_by_heads(self: Decoder, x: Array) -> Array:
    """the heads are joined as (width, heads) instead of (heads, width)"""
    batch, heads, frames, width = x.shape
    return np.transpose(x, (0, 2, 3, 1)).reshape(batch, frames, heads * width)


@instead_of(Decoder.attention, "attention")
def keys_and_values_exchanged(self: Decoder, name: str, x: Array, bias: Array) -> Array:
    """keys and values have each other's weights"""
    q, v, k = (self.split_heads(self.linear(role, f"{name}.to_{role[0]}", x)) for role in ("query", "key", "value"))
    context = self.run("attention_additive_mask", role="attention", at=name, q=q, k=k, v=v, mask=bias)
    return self.linear("attention output", f"{name}.to_out.0", self.join_heads(context))


# Attention masks.


@instead_of(Decoder.attention_mask, "attention mask")
def mask_not_applied(self: Decoder, mask: Array) -> Array:
    """frames beyond the end are looked at"""
    return np.zeros_like(Decoder.attention_mask(self, mask))


@instead_of(Decoder.attention_mask, "attention mask")
def causal_mask(self: Decoder, mask: Array) -> Array:
    """a frame looks at no later one"""
    bias = Decoder.attention_mask(self, mask)
    frames = np.arange(bias.shape[-1])
    return np.where(frames[:, None] < frames, MASKED, bias)


def _chunks() -> list[tuple[str, str, str, dict[str, Method]]]:
    """Masks that let a frame look to the end of its chunk."""
    found = []
    for size in CHUNKS:

        def attention_mask(self: Decoder, mask: Array, size: int = size) -> Array:
            bias = Decoder.attention_mask(self, mask)
            frames = np.arange(bias.shape[-1]) // size
            return np.where(frames[:, None] < frames, MASKED, bias)

        note = f"a frame looks no further than the end of its chunk of {size}"
        found.append((f"chunked-mask-{size}", "attention mask", note, {"attention_mask": attention_mask}))
    return found


def _fills() -> list[tuple[str, str, str, dict[str, Method]]]:
    """Other numbers for what is masked."""
    found = []
    for fill in FILLS:

        def attention_mask(self: Decoder, mask: Array, fill: float = fill) -> Array:
            bias = Decoder.attention_mask(self, mask)
            return np.where(bias < 0, np.float32(fill), np.float32(0))

        note = f"{fill:g} is added to masked scores"
        found.append((f"fill{fill:g}", "attention mask", note, {"attention_mask": attention_mask}))
    return found
