"""Faults of an attribute that is ignored, or taken for another."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from opfuzz.engine.selftest import Mutant

NN = "torch.nn.functional."


def layer_norm_fixed_eps(x: Tensor, shape: list[int], weight: Tensor, bias: Tensor, eps: float) -> Tensor:
    """eps is 1e-5 whatever is asked for."""
    return functional.layer_norm(x, shape, weight, bias, 1e-5)


def rms_norm_fixed_eps(x: Tensor, shape: list[int], weight: Tensor, eps: float) -> Tensor:
    """eps is 1e-6 whatever is asked for."""
    return functional.rms_norm(x, shape, weight, 1e-6)


def conv1d_without_dilation(x: Tensor, weight: Tensor, bias: Tensor | None = None, **options: Any) -> Tensor:
    """The dilation is used for the length of the result only."""
    dilation = options.pop("dilation", 1)
    y = functional.conv1d(x, weight, bias, **options)
    stride = options.get("stride", 1)
    full = x.shape[2] + 2 * options.get("padding", 0) - dilation * (weight.shape[2] - 1) - 1
    return y[:, :, : full // stride + 1]


def conv1d_without_stride(x: Tensor, weight: Tensor, bias: Tensor | None = None, **options: Any) -> Tensor:
    """The stride is used for the length of the result only."""
    stride = options.pop("stride", 1)
    y = functional.conv1d(x, weight, bias, **options)
    return y[:, :, : (y.shape[2] - 1) // stride + 1]


def conv1d_shuffled_groups(x: Tensor, weight: Tensor, bias: Tensor | None = None, **options: Any) -> Tensor:
    """The channels of a group are taken to lie `groups` apart."""
    groups = options.get("groups", 1)
    order = torch.arange(x.shape[1]).reshape(-1, groups).transpose(0, 1).flatten()
    return functional.conv1d(x[:, order], weight, bias, **options)


def conv_transpose1d_output_padding(x: Tensor, weight: Tensor, **options: Any) -> Tensor:
    """The positions of the output padding are left at 0."""
    y = functional.conv_transpose1d(x, weight, **options)
    y[:, :, y.shape[2] - options["output_padding"] :] = 0
    return y


def var_fixed_correction(x: Tensor, dim: int, correction: int) -> Tensor:
    """Divided by n, always."""
    return torch.var(x, dim=dim, correction=0)


def normalize_without_eps(x: Tensor, p: float, dim: int, eps: float) -> Tensor:
    """The norm is not held away from 0."""
    return x / torch.linalg.vector_norm(x, dim=dim, keepdim=True)


def attention_without_scale(q: Tensor, k: Tensor, v: Tensor, attn_mask: Tensor | None = None) -> Tensor:
    """The scores are not divided by the square root of the width."""
    return functional.scaled_dot_product_attention(q, k, v, attn_mask, scale=1.0)


def attention_without_mask(q: Tensor, k: Tensor, v: Tensor, attn_mask: Tensor | None = None) -> Tensor:
    """The mask is not looked at."""
    return functional.scaled_dot_product_attention(q, k, v)


def gelu_always_erf(x: Tensor, approximate: str = "none") -> Tensor:
    """`approximate` is ignored."""
    return functional.gelu(x)


def softplus_threshold(x: Tensor, beta: float, threshold: float) -> Tensor:
    """The threshold is 20 whatever is asked for."""
    return functional.softplus(x, beta=beta)


def group_norm_one_group(x: Tensor, groups: int, weight: Tensor, bias: Tensor, eps: float) -> Tensor:
    """All channels are one group."""
    return functional.group_norm(x, 1, weight, bias, eps)


def linear_without_bias(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """The bias is lost."""
    return functional.linear(x, weight)


def layer_norm_without_bias(x: Tensor, shape: list[int], weight: Tensor, bias: Tensor, eps: float) -> Tensor:
    """The bias is lost."""
    return functional.layer_norm(x, shape, weight, None, eps)


MUTANTS = [
    Mutant(
        "layer-norm-eps-1e-5",
        "layer_norm",
        {NN + "layer_norm": layer_norm_fixed_eps},
        cause="eps-1e-5|eps 1e-5",
        fewest=8,
        condition="d >= 2",
    ),
    Mutant("rms-norm-eps-1e-6", "rms_norm", {NN + "rms_norm": rms_norm_fixed_eps}, cause="eps-1e-6|eps 1e-6", fewest=3),
    Mutant(
        "conv1d-dilation-ignored",
        "conv1d",
        {NN + "conv1d": conv1d_without_dilation},
        cause="dilation",
        fewest=4,
        condition="k >= 2",
    ),
    Mutant("conv1d-stride-ignored", "conv1d", {NN + "conv1d": conv1d_without_stride}, cause="stride", fewest=4),
    Mutant(
        "conv1d-groups-shuffled",
        "conv1d",
        {NN + "conv1d": conv1d_shuffled_groups},
        cause="groups",
        fewest=10,
        condition="c_in >= 4|c_in >= 3",
    ),
    Mutant(
        "conv-transpose1d-output-padding",
        "conv_transpose1d",
        {NN + "conv_transpose1d": conv_transpose1d_output_padding},
        cause="output_padding",
        fewest=4,
    ),
    Mutant("var-correction-ignored", "var", {"torch.var": var_fixed_correction}, cause="biased|divided by n", fewest=3),
    Mutant(
        "normalize-eps-ignored",
        "l2_normalise",
        {NN + "normalize": normalize_without_eps},
        cause="eps|returned nan",
        fewest=2,
    ),
    Mutant(
        "attention-scale-ignored",
        "attention",
        {NN + "scaled_dot_product_attention": attention_without_scale},
        cause="scale",
        fewest=12,
        condition="keys >= 2 and d >= 2",
    ),
    Mutant(
        "attention-mask-ignored",
        "attention_mask",
        {NN + "scaled_dot_product_attention": attention_without_mask},
        cause="not-applied|not applied",
        fewest=8,
        condition="keys >= 2",
    ),
    Mutant("gelu-approximate-ignored", "gelu_tanh", {NN + "gelu": gelu_always_erf}, cause="erf", fewest=2),
    Mutant("softplus-threshold-20", "softplus", {NN + "softplus": softplus_threshold}, cause="threshold-20", fewest=2),
    Mutant(
        "group-norm-one-group",
        "group_norm",
        {NN + "group_norm": group_norm_one_group},
        cause="one-group|groups",
        fewest=12,
    ),
    Mutant("linear-bias-lost", "linear", {NN + "linear": linear_without_bias}, cause="no-bias|bias", fewest=4),
    Mutant(
        "layer-norm-bias-lost",
        "layer_norm",
        {NN + "layer_norm": layer_norm_without_bias},
        cause="no-bias|bias",
        fewest=4,
    ),
]
