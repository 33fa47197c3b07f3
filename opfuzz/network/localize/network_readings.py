"""Wrong readings of the network: U-Net, conv blocks, transformers, attention masks."""

from __future__ import annotations

import numpy as np

from opfuzz.network.localize.reading import READINGS, Method, instead_of, reading
from opfuzz.network.pipeline.decoder import MASKED, NORM_EPS, NORM_GROUPS, Array, Decoder
from opfuzz.network.pipeline.planting import Variant

FILLS = (-10.0, -1e4, -1e9, -np.inf)
CHUNKS = (25, 50)  # frames that CosyVoice's chunked masks hold together

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


def _mask(name: str, note: str, function: Method) -> Variant:
    return reading(name, "attention mask", note, Decoder.attention_mask, function)


def _chunks() -> list[Variant]:
    """Masks that let a frame look to the end of its chunk."""
    found = []
    for size in CHUNKS:

        def attention_mask(self: Decoder, mask: Array, size: int = size) -> Array:
            bias = Decoder.attention_mask(self, mask)
            frames = np.arange(bias.shape[-1]) // size
            return np.where(frames[:, None] < frames, MASKED, bias)

        note = f"a frame looks no further than the end of its chunk of {size}"
        found.append(_mask(f"chunked-mask-{size}", note, attention_mask))
    return found


def _fills() -> list[Variant]:
    """Other numbers for what is masked."""
    found = []
    for fill in FILLS:

        def attention_mask(self: Decoder, mask: Array, fill: float = fill) -> Array:
            bias = Decoder.attention_mask(self, mask)
            return np.where(bias < 0, np.float32(fill), np.float32(0))

        note = f"{fill:g} is added to masked scores"
        found.append(_mask(f"fill{fill:g}", note, attention_mask))
    return found


READINGS += [*_chunks(), *_fills()]
