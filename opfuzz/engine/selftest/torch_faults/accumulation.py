"""Faults of sums and differences: too narrow an accumulator, cancellation, no shift before an exponential."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from opfuzz.engine.selftest import Mutant
from opfuzz.engine.selftest.torch_faults.rounding import (
    half_products,
    last_sum,
    over_last_axis,
    running_sum,
    standardised,
    through,
    wide,
)

NN = "torch.nn.functional."


@over_last_axis
def layer_norm_one_pass(x: Tensor, shape: list[int], weight: Tensor, bias: Tensor, eps: float) -> Tensor:
    """The variance is the mean of squares minus the square of the mean."""
    mean = wide(x).mean(dim=-1, keepdim=True)
    variance = (wide(x) ** 2).mean(dim=-1, keepdim=True) - mean**2
    return standardised(x, mean, variance.clamp_min(0), eps, weight, bias)


def group_norm_one_pass(x: Tensor, groups: int, weight: Tensor, bias: Tensor, eps: float) -> Tensor:
    """The same, by groups."""
    flat = wide(x).reshape(x.shape[0], groups, x.shape[1] // groups * x.shape[2])
    mean = flat.mean(dim=-1, keepdim=True)
    variance = ((flat**2).mean(dim=-1, keepdim=True) - mean**2).clamp_min(0)
    normal = ((flat - mean) / torch.sqrt(variance + eps)).reshape(x.shape)
    return (normal * wide(weight)[:, None] + wide(bias)[:, None]).to(x.dtype)


def var_one_pass(x: Tensor, dim: int, correction: int) -> Tensor:
    """The same, alone."""
    n = x.shape[dim]
    mean = wide(x).mean(dim=dim)
    return (((wide(x) ** 2).sum(dim=dim) - n * mean**2) / (n - correction)).to(x.dtype)


@over_last_axis
def layer_norm_tiny(x: Tensor, shape: list[int], weight: Tensor, bias: Tensor, eps: float) -> Tensor:
    """A variance below 1e-6 is lost, and a tiny eps is all that is left (pytorch #190491)."""
    mean = wide(x).mean(dim=-1, keepdim=True)
    variance = ((wide(x) - mean) ** 2).mean(dim=-1, keepdim=True)
    kept = torch.where(variance < 1e-6, torch.zeros_like(variance), variance)
    return standardised(x, mean, kept, eps, weight, bias)


def sum_bfloat16(x: Tensor, dim: int) -> Tensor:
    """bfloat16 is summed in bfloat16, one by one: ones stop at 256 (mlx PR #3909)."""
    return last_sum(x, torch.bfloat16) if x.dtype == torch.bfloat16 else torch.sum(x, dim=dim)


def mean_float16(x: Tensor, dim: int) -> Tensor:
    """float16 is summed in float16, one by one: ones stop at 2048."""
    if x.dtype != torch.float16:
        return torch.mean(x, dim=dim)
    return (last_sum(x, torch.float16).float() / x.shape[dim]).half()


def softmax_unshifted(x: Tensor, dim: int) -> Tensor:
    """The largest element is not subtracted."""
    raised = torch.exp(wide(x))
    return (raised / raised.sum(dim=dim, keepdim=True)).to(x.dtype)


def logsumexp_unshifted(x: Tensor, dim: int) -> Tensor:
    """The same, and the logarithm."""
    return torch.log(torch.exp(wide(x)).sum(dim=dim)).to(x.dtype)


def log_softmax_of_softmax(x: Tensor, dim: int) -> Tensor:
    """The logarithm of what underflows."""
    return torch.log(torch.softmax(wide(x), dim=dim)).to(x.dtype)


def softplus_naive(x: Tensor, beta: float, threshold: float) -> Tensor:
    """log(1 + exp(x)), not log1p."""
    return torch.where(wide(x) > threshold, wide(x), torch.log(1 + torch.exp(wide(x)))).to(x.dtype)


def cumsum_half(x: Tensor, dim: int) -> Tensor:
    """Half formats run in their own precision."""
    return running_sum(x, x.dtype) if x.element_size() == 2 else torch.cumsum(x, dim=dim)


def matmul_half(a: Tensor, b: Tensor) -> Tensor:
    """float16 is accumulated in float16."""
    return half_products(a, b, torch.float16) if a.dtype == torch.float16 else torch.matmul(a, b)


def linear_half(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """bfloat16 is accumulated in bfloat16."""
    if x.dtype != torch.bfloat16:
        return functional.linear(x, weight, bias)
    return half_products(x, weight.transpose(0, 1), torch.bfloat16) + bias


def attention_half_sum(q: Tensor, k: Tensor, v: Tensor, attn_mask: Tensor | None = None) -> Tensor:
    """The denominator is summed in float16, whatever the format."""
    scores = torch.matmul(wide(q), wide(k).transpose(2, 3)) / q.shape[-1] ** 0.5
    if attn_mask is not None:
        is_boolean = attn_mask.dtype == torch.bool
        scores = scores.masked_fill(~attn_mask, -torch.inf) if is_boolean else scores + wide(attn_mask)
    raised = torch.exp(scores - scores.amax(dim=-1, keepdim=True))
    below = last_sum(raised, torch.float16)[..., None]
    return (torch.matmul(raised, wide(v)) / below).to(q.dtype)


def sigmoid_by_tanh(x: Tensor) -> Tensor:
    """(1 + tanh(x / 2)) / 2, which cancels for negative x."""
    return ((1 + torch.tanh(wide(x) / 2)) / 2).to(x.dtype)


def tanh_by_sigmoid(x: Tensor) -> Tensor:
    """2 sigmoid(2x) - 1, which cancels near 0."""
    return (2 * torch.sigmoid(2 * wide(x)) - 1).to(x.dtype)


def rms_norm_half_squares(x: Tensor, shape: list[int], weight: Tensor, eps: float) -> Tensor:
    """The squares of float32 are summed in bfloat16."""
    squares = through(wide(x) ** 2, torch.bfloat16)
    mean = last_sum(squares, torch.bfloat16)[..., None] / x.shape[-1]
    return (wide(x) / torch.sqrt(mean + eps) * wide(weight)).to(x.dtype)


MUTANTS = [
    Mutant(
        "layer-norm-one-pass",
        "layer_norm",
        {NN + "layer_norm": layer_norm_one_pass},
        cause="one-pass",
        fewest=8,
        condition="d >= 2",
    ),
    Mutant("group-norm-one-pass", "group_norm", {NN + "group_norm": group_norm_one_pass}, cause="one-pass", fewest=6),
    Mutant("var-one-pass", "var", {"torch.var": var_one_pass}, cause="one-pass", fewest=2, fewest_finite=3),
    Mutant(
        "layer-norm-tiny-variance",
        "layer_norm",
        {NN + "layer_norm": layer_norm_tiny},
        cause="variance|one-pass",
        fewest=8,
        condition="d >= 2",
    ),
    Mutant(
        "sum-bfloat16-stops-at-256",
        "sum",
        {"torch.sum": sum_bfloat16},
        cause="sequential|in bfloat16",
        fewest=4,
        condition="n >= 3",
    ),
    Mutant(
        "mean-float16-stops-at-2048",
        "mean",
        {"torch.mean": mean_float16},
        cause="sequential|in float16|overflows",
        fewest=3,
        fewest_finite=4,  # of two numbers the sum is rounded once, as it may be
        condition="n >= 2|n >= 3",
    ),
    Mutant(
        "softmax-unshifted",
        "softmax",
        {"torch.softmax": softmax_unshifted},
        cause="overflows|shift|returned nan",
        fewest=2,
    ),
    Mutant(
        "logsumexp-unshifted",
        "logsumexp",
        {"torch.logsumexp": logsumexp_unshifted},
        cause="overflows|shift|returned inf|returned -inf",
        fewest=2,
    ),
    Mutant(
        "log-softmax-of-softmax",
        "log_softmax",
        {"torch.log_softmax": log_softmax_of_softmax},
        cause="by-softmax",
        fewest=4,
        condition="n >= 2",
    ),
    Mutant("softplus-without-log1p", "softplus", {NN + "softplus": softplus_naive}, cause="log1p", fewest=2),
    Mutant(
        "cumsum-half",
        "cumsum",
        {"torch.cumsum": cumsum_half},
        cause="sequential|in bfloat16|in float16",
        fewest=6,
        condition="n >= 3",
    ),
    Mutant(
        "matmul-float16-accumulator",
        "matmul",
        {"torch.matmul": matmul_half},
        cause="float16",
        fewest=35,
        condition="k >= 17",
    ),
    Mutant("linear-bfloat16-accumulator", "linear", {NN + "linear": linear_half}, cause="bfloat16"),
    Mutant(
        "attention-float16-denominator",
        "attention",
        {NN + "scaled_dot_product_attention": attention_half_sum},
        cause="float16|11 bits|11-bit",
        fewest=6,
        condition="keys >= 2",
    ),
    Mutant("sigmoid-by-tanh", "sigmoid", {"torch.sigmoid": sigmoid_by_tanh}, cause="by-tanh", fewest=2),
    Mutant("tanh-by-sigmoid", "tanh", {"torch.tanh": tanh_by_sigmoid}, cause="by-sigmoid", fewest=2),
    Mutant(
        "rms-norm-bfloat16-squares",
        "rms_norm",
        {NN + "rms_norm": rms_norm_half_squares},
        cause="bfloat16|8 bits",
        fewest=3,
    ),
]
