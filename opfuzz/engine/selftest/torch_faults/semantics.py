"""Faults of meaning: the right arithmetic for another op."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from opfuzz.engine.selftest import Mutant
from opfuzz.engine.selftest.torch_faults.rounding import over_last_axis, standardised, wide

NN = "torch.nn.functional."


def gelu_tanh(x: Tensor, approximate: str = "none") -> Tensor:
    """The approximation by tanh, always."""
    return functional.gelu(x, approximate="tanh")


def gelu_sigmoid(x: Tensor, approximate: str = "none") -> Tensor:
    """x sigmoid(1.702 x)."""
    return (wide(x) * torch.sigmoid(1.702 * wide(x))).to(x.dtype)


@over_last_axis
def layer_norm_eps_outside(x: Tensor, shape: list[int], weight: Tensor, bias: Tensor, eps: float) -> Tensor:
    """eps is added to the standard deviation."""
    centred = wide(x) - wide(x).mean(dim=-1, keepdim=True)
    deviation = torch.sqrt((centred**2).mean(dim=-1, keepdim=True))
    return (centred / (deviation + eps) * wide(weight) + wide(bias)).to(x.dtype)


@over_last_axis
def layer_norm_unbiased(x: Tensor, shape: list[int], weight: Tensor, bias: Tensor, eps: float) -> Tensor:
    """The variance is divided by d - 1."""
    mean = wide(x).mean(dim=-1, keepdim=True)
    return standardised(x, mean, torch.var(wide(x), dim=-1, keepdim=True), eps, weight, bias)


def rms_norm_centred(x: Tensor, shape: list[int], weight: Tensor, eps: float) -> Tensor:
    """The mean is subtracted."""
    return functional.layer_norm(x, shape, weight, None, eps)


def rms_norm_weight_plus_one(x: Tensor, shape: list[int], weight: Tensor, eps: float) -> Tensor:
    """The weight is the difference from one."""
    return functional.rms_norm(wide(x), shape, 1 + wide(weight), eps).to(x.dtype)


def softmax_first_axis(x: Tensor, dim: int) -> Tensor:
    """Over the first axis."""
    return torch.softmax(x, dim=0)


def linear_transposed_square(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """A square weight is taken as [in, out]."""
    return functional.linear(x, weight.T if weight.shape[0] == weight.shape[1] else weight, bias)


def attention_over_queries(q: Tensor, k: Tensor, v: Tensor, attn_mask: Tensor | None = None) -> Tensor:
    """The softmax runs over the queries."""
    scores = torch.matmul(wide(q), wide(k).transpose(2, 3)) / math.sqrt(q.shape[-1])
    if attn_mask is not None:
        is_boolean = attn_mask.dtype == torch.bool
        scores = scores.masked_fill(~attn_mask, -torch.inf) if is_boolean else scores + wide(attn_mask)
    return torch.matmul(torch.softmax(scores, dim=2), wide(v)).to(q.dtype)


def attention_inverted_mask(q: Tensor, k: Tensor, v: Tensor, attn_mask: Tensor | None = None) -> Tensor:
    """A boolean mask is taken as true where a query may not look."""
    if attn_mask is not None and attn_mask.dtype == torch.bool:
        attn_mask = ~attn_mask
    return functional.scaled_dot_product_attention(q, k, v, attn_mask)


def attention_mask_of_ten(q: Tensor, k: Tensor, v: Tensor, attn_mask: Tensor | None = None) -> Tensor:
    """10 is subtracted where the mask has minus infinity."""
    if attn_mask is None or attn_mask.dtype == torch.bool:
        return functional.scaled_dot_product_attention(q, k, v, attn_mask)
    return functional.scaled_dot_product_attention(q, k, v, attn_mask.clamp_min(-10))


def conv1d_causal(x: Tensor, weight: Tensor, bias: Tensor | None = None, **options: Any) -> Tensor:
    """All the padding stands on the left."""
    padding = options.pop("padding", 0)
    return functional.conv1d(functional.pad(x, (2 * padding, 0)), weight, bias, **options)


def conv1d_flipped(x: Tensor, weight: Tensor, bias: Tensor | None = None, **options: Any) -> Tensor:
    """Convolution instead of cross-correlation."""
    return functional.conv1d(x, weight.flip(2), bias, **options)


def pad_both_sides(x: Tensor, pad: tuple[int, int]) -> Tensor:
    """Half of the padding stands on each side."""
    left = sum(pad) // 2
    return functional.pad(x, (left, sum(pad) - left))


def conv_transpose1d_flipped(x: Tensor, weight: Tensor, **options: Any) -> Tensor:
    """The kernel is flipped."""
    return functional.conv_transpose1d(x, weight.flip(2), **options)


def upsample_tiled(x: Tensor, scale_factor: int, mode: str) -> Tensor:
    """The whole sequence is repeated, instead of each position."""
    return x.repeat(1, 1, scale_factor)


def embedding_from_one(index: Tensor, table: Tensor) -> Tensor:
    """Indices count from one."""
    return functional.embedding((index + 1).clamp_max(table.shape[0] - 1), table)


def cumsum_exclusive(x: Tensor, dim: int) -> Tensor:
    """The element itself is left out."""
    return torch.cumsum(x, dim=dim) - x


def mean_unbiased(x: Tensor, dim: int) -> Tensor:
    """Divided by n - 1."""
    return (torch.sum(wide(x), dim=dim) / (x.shape[dim] - 1)).to(x.dtype)


def normalize_eps_added(x: Tensor, p: float, dim: int, eps: float) -> Tensor:
    """eps is added to the norm."""
    return (wide(x) / (torch.linalg.vector_norm(wide(x), dim=dim, keepdim=True) + eps)).to(x.dtype)


def silu_of_gelu(x: Tensor) -> Tensor:
    """x sigmoid(1.702 x)."""
    return (wide(x) * torch.sigmoid(1.702 * wide(x))).to(x.dtype)


def exp_base_2(x: Tensor) -> Tensor:
    """A power of 2."""
    return torch.exp2(x)


def group_norm_interleaved(x: Tensor, groups: int, weight: Tensor, bias: Tensor, eps: float) -> Tensor:
    """The channels of a group lie `groups` apart."""
    n, c, length = x.shape
    one = torch.ones(c, dtype=x.dtype)
    turned = x.reshape(n, c // groups, groups, length).transpose(1, 2).reshape(x.shape)
    normal = (
        functional.group_norm(turned, groups, one, 0 * one, eps).reshape(n, groups, c // groups, length).transpose(1, 2)
    )
    return normal.reshape(x.shape) * weight[:, None] + bias[:, None]


TIME = """
frequencies = torch.exp(torch.arange(half, dtype=dtype) * (-9.210340371976184 / {divisor}))
angles = {scale}torch.unsqueeze(t, 1) * frequencies
torch.cat(({order}), dim=1)
"""
SINES = "torch.sin(angles), torch.cos(angles)"
COSINES = "torch.cos(angles), torch.sin(angles)"


def time_call(scale: str = "1000 * ", order: str = SINES, divisor: str = "(half - 1)") -> dict[str, str]:
    """A time embedding of another scale, order or range."""
    return {"call": TIME.format(scale=scale, order=order, divisor=divisor)}


ATTENTION = NN + "scaled_dot_product_attention"


def max_pool1d_of_zeros(x: Tensor, size: int, stride: int, padding: int) -> Tensor:
    """The padding is 0, which is larger than negative elements."""
    return functional.max_pool1d(functional.pad(x, (padding, padding)), size, stride=stride)


def interpolate_without_corners(x: Tensor, align_corners: bool | None = None, **options: Any) -> Tensor:
    """Corners are never aligned."""
    return functional.interpolate(x, align_corners=None if align_corners is None else False, **options)


def gru_cell_inverted(x: Tensor, h: Tensor, w: Tensor, u: Tensor, b: Tensor, c: Tensor) -> Tensor:
    """The update gate says how much is new, not how much is kept: its complement has the opposite argument."""
    sign = torch.ones(b.shape[0], dtype=b.dtype)
    sign[h.shape[1] : 2 * h.shape[1]] = -1
    return torch.gru_cell(x, h, w * sign[:, None], u * sign[:, None], b * sign, c * sign)


def embedding_bag_sum(index: Tensor, table: Tensor, mode: str = "mean") -> Tensor:
    """The sum in the place of the mean."""
    return functional.embedding_bag(index, table, mode="sum")


ALIBI = """\
slope = torch.exp2(torch.arange(heads, dtype=dtype) * (-8 / heads))
place = torch.abs(torch.arange(keys) - torch.unsqueeze(torch.arange(queries), 1))
torch.reshape(slope, (heads, 1, 1)) * -cast(place, dtype)
"""


MUTANTS = [
    Mutant("gelu-by-tanh", "gelu", {NN + "gelu": gelu_tanh}, cause="tanh", fewest=2),
    Mutant("gelu-by-sigmoid", "gelu", {NN + "gelu": gelu_sigmoid}, cause="sigmoid", fewest=2),
    Mutant(
        "layer-norm-eps-outside",
        "layer_norm",
        {NN + "layer_norm": layer_norm_eps_outside},
        cause="outside",
        fewest=8,
        condition="d >= 2",
    ),
    Mutant(
        "layer-norm-unbiased",
        "layer_norm",
        {NN + "layer_norm": layer_norm_unbiased},
        cause="unbiased|d - 1",
        fewest=4,
        fewest_finite=8,
    ),
    Mutant("rms-norm-centred", "rms_norm", {NN + "rms_norm": rms_norm_centred}, cause="centred", fewest=3),
    Mutant(
        "rms-norm-weight-plus-one", "rms_norm", {NN + "rms_norm": rms_norm_weight_plus_one}, cause="plus-one", fewest=3
    ),
    Mutant(
        "softmax-first-axis",
        "softmax",
        {"torch.softmax": softmax_first_axis},
        cause="other-axis|over-queries|axis",
        fewest=4,
        condition="batch * n >= 2|n >= 2|batch >= 2",
    ),
    Mutant(
        "linear-transposed-square",
        "linear",
        {NN + "linear": linear_transposed_square},
        cause="transposed",
        fewest=10,
        condition="d_in == d_out and d_in >= 2|d_in == d_out|d_in == 2 and d_out == 2",
    ),
    Mutant(
        "attention-softmax-over-queries",
        "attention",
        {ATTENTION: attention_over_queries},
        cause="over the queries",
        fewest=6,
        condition="queries * keys >= 2|keys >= 2|queries >= 2",
    ),
    Mutant(
        "attention-mask-inverted", "attention_mask", {ATTENTION: attention_inverted_mask}, cause="inverted", fewest=5
    ),
    Mutant(
        "attention-mask-minus-10",
        "attention_additive_mask",
        {ATTENTION: attention_mask_of_ten},
        cause="minus-10",
        fewest=8,
        condition="keys >= 2",
    ),
    Mutant(
        "conv1d-padding-on-the-left", "conv1d", {NN + "conv1d": conv1d_causal}, cause="causal|on the left", fewest=4
    ),
    Mutant(
        "conv1d-flipped",
        "conv1d",
        {NN + "conv1d": conv1d_flipped},
        cause="flipped|weight were reversed",
        fewest=4,
        condition="k >= 2|k == 2",
    ),
    Mutant(
        "causal-conv1d-padded-both-sides",
        "causal_conv1d",
        {NN + "pad": pad_both_sides},
        cause="both-sides",
        fewest=5,
        condition="k >= 2",
    ),
    Mutant(
        "conv-transpose1d-flipped",
        "conv_transpose1d",
        {NN + "conv_transpose1d": conv_transpose1d_flipped},
        cause="flipped|weight were reversed",
        fewest=4,
        condition="k >= 2",
    ),
    Mutant(
        "upsample-tiled",
        "upsample_nearest",
        {NN + "interpolate": upsample_tiled},
        cause="tiled",
        fewest=6,
        condition="length >= 2",
    ),
    Mutant(
        "embedding-counts-from-one",
        "embedding",
        {NN + "embedding": embedding_from_one},
        cause="one-row|from one",
        fewest=4,
        condition="vocab >= 2",
    ),
    Mutant("cumsum-exclusive", "cumsum", {"torch.cumsum": cumsum_exclusive}, cause="exclusive", fewest=2),
    Mutant(
        "mean-by-n-minus-1", "mean", {"torch.mean": mean_unbiased}, cause="unbiased|n - 1", fewest=2, fewest_finite=3
    ),
    Mutant("normalize-eps-added", "l2_normalise", {NN + "normalize": normalize_eps_added}, cause="added", fewest=2),
    Mutant("silu-1.702", "silu", {NN + "silu": silu_of_gelu}, cause="1.702", fewest=2),
    Mutant("exp-base-2", "exp", {"torch.exp": exp_base_2}, cause="base-2|power of 2", fewest=2),
    Mutant(
        "group-norm-interleaved",
        "group_norm",
        {NN + "group_norm": group_norm_interleaved},
        cause="every-other",
        fewest=16,
    ),
    Mutant("cfg-mix-interpolated", "cfg_mix", {"call": "u + w * (c - u)"}, cause="interpolated|u + w", fewest=3),
    Mutant("cfg-mix-swapped", "cfg_mix", {"call": "(1 + w) * u - w * c"}, cause="swapped", fewest=3),
    Mutant("euler-step-backwards", "euler_step", {"call": "x - dt * v"}, cause="backwards", fewest=3),
    Mutant(
        "cosine-schedule-linear",
        "cosine_schedule",
        {"call": "torch.linspace(0, 1, steps + 1, dtype=dtype)"},
        cause="linear",
        fewest=3,
        condition="steps >= 2",
    ),
    Mutant(
        "cosine-schedule-without-endpoint",
        "cosine_schedule",
        {"call": "1 - torch.cos(torch.arange(steps + 1, dtype=dtype) / (steps + 1) * (pi / 2))"},
        cause="endpoint",
        fewest=2,
    ),
    Mutant("time-embedding-scale-1", "time_embedding", time_call(scale=""), cause="scale-1:|not scaled", fewest=5),
    Mutant("time-embedding-scale-100", "time_embedding", time_call(scale="100 * "), cause="scale-100|by 100", fewest=5),
    Mutant("time-embedding-cosines-first", "time_embedding", time_call(order=COSINES), cause="cosines-first", fewest=5),
    Mutant("time-embedding-divisor", "time_embedding", time_call(divisor="half"), cause="divisor", fewest=5),
    Mutant(
        "max-pool1d-padded-with-zeros",
        "max_pool1d",
        {NN + "max_pool1d": max_pool1d_of_zeros},
        cause="padded-with-zeros",
        fewest=2,
    ),
    Mutant(
        "interpolate-corners-ignored",
        "upsample_linear",
        {NN + "interpolate": interpolate_without_corners},
        cause="corners-not-aligned|align_corners",
        fewest=6,
        condition="length >= 2",
    ),
    Mutant("alibi-slopes-from-one", "alibi", {"call": ALIBI}, cause="slopes-from-one", fewest=2),
    Mutant(
        "gru-cell-update-inverted",
        "gru_cell",
        {"torch.gru_cell": gru_cell_inverted},
        cause="update-inverted",
        fewest=15,
    ),
    Mutant(
        "mse-loss-halved",
        "mse_loss",
        {NN + "mse_loss": lambda x, y: functional.mse_loss(x, y) / 2},
        cause="half",
        fewest=3,
    ),
    Mutant(
        "embedding-bag-sum",
        "embedding_bag",
        {NN + "embedding_bag": embedding_bag_sum},
        cause="sum",
        fewest=4,
        condition="bag >= 2",
    ),
    Mutant(
        "hann-window-symmetric",
        "hann_window",
        {"torch.hann_window": lambda n, dtype: torch.hann_window(n, periodic=False, dtype=dtype)},
        cause="symmetric",
        fewest=2,
    ),
    Mutant(
        "irfft-not-divided",
        "irfft",
        {"torch.fft.irfft": lambda z, n, dim: torch.fft.irfft(z, n=n, dim=dim, norm="forward")},
        cause="not-divided",
        fewest=6,
        condition="n >= 2",
    ),
    Mutant(
        "float8-e4m3-as-e5m2",
        "to_float8_e4m3fn",
        {"call": "torch.clamp(x, -448, 448).to(float8_e5m2).to(dtype)"},
        cause="as-e5m2",
        fewest=2,
    ),
]
