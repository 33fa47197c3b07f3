"""Faults of inputs that do not lie in memory as a kernel expects."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from opfuzz.engine.selftest import Mutant
from opfuzz.engine.selftest.torch_faults.rounding import as_if_contiguous, through, wide

NN = "torch.nn.functional."
STRIDES = "contiguous|layout|view|transposed|permuted|stepped|narrowed|broadcast"


def conv1d_flat_weight(x: Tensor, weight: Tensor, bias: Tensor | None = None, **options: object) -> Tensor:
    """The weight's strides are ignored (pytorch #192212)."""
    return functional.conv1d(x, as_if_contiguous(weight), bias, **options)


def layer_norm_without_offset(x: Tensor, shape: list[int], weight: Tensor, bias: Tensor, eps: float) -> Tensor:
    """A slice is read from the start of its memory (pytorch #131750)."""
    return functional.layer_norm(as_if_contiguous(x, 0) if x.is_contiguous() else x, shape, weight, bias, eps)


def matmul_half_batch(a: Tensor, b: Tensor) -> Tensor:
    """A batch of stride 0 takes the path of float16 (mlx #3953)."""
    if a.dtype != torch.float32 or all(x.stride(0) or x.shape[0] < 2 for x in (a, b)):
        return torch.matmul(a, b)
    return torch.matmul(through(a, torch.float16), through(b, torch.float16))


def linear_flat_weight(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """A transposed weight is taken as it lies."""
    is_transposed = weight.stride(0) == 1 and weight.stride(1) == weight.shape[0]
    return functional.linear(x, as_if_contiguous(weight) if is_transposed else weight, bias)


def softmax_unstepped(x: Tensor, dim: int) -> Tensor:
    """Every element of the last axis is taken to be next to the one before."""
    if x.stride(-1) != 2:
        return torch.softmax(x, dim=dim)
    return torch.softmax(torch.as_strided(x, x.shape, (*x.stride()[:-1], 1), x.storage_offset()), dim=dim)


def sum_expanded(x: Tensor, dim: int) -> Tensor:
    """A stride of 0 is read as if the rows were there: only the first is."""
    if x.dim() < 2 or x.shape[0] < 2 or x.stride(0):
        return torch.sum(x, dim=dim)
    rows = x.clone()
    rows[1:] = 0
    return torch.sum(rows, dim=dim)


def rms_norm_pitch(x: Tensor, shape: list[int], weight: Tensor, eps: float) -> Tensor:
    """The distance between two rows is taken to be their length."""
    is_narrowed = x.stride(-1) == 1 and x.stride(0) > x.shape[-1]
    return functional.rms_norm(as_if_contiguous(x) if is_narrowed else x, shape, weight, eps)


def attention_flat_keys(q: Tensor, k: Tensor, v: Tensor, attn_mask: Tensor | None = None) -> Tensor:
    """Heads and positions of the keys are read in the order of a contiguous tensor."""
    return functional.scaled_dot_product_attention(q, as_if_contiguous(k), v, attn_mask)


def group_norm_channels_last(x: Tensor, groups: int, weight: Tensor, bias: Tensor, eps: float) -> Tensor:
    """Channels that lie last are taken to lie first."""
    is_last = x.stride(1) == 1 and x.stride(2) > 1
    return functional.group_norm(as_if_contiguous(x) if is_last else x, groups, weight, bias, eps)


def embedding_pitch(index: Tensor, table: Tensor) -> Tensor:
    """Row i is read at i times the width, wherever the rows lie."""
    return functional.embedding(index, as_if_contiguous(table))


def gelu_half_views(x: Tensor, approximate: str = "none") -> Tensor:
    """What is not contiguous takes a kernel that computes in float16."""
    y = functional.gelu(x, approximate=approximate)
    return y if x.is_contiguous() or x.element_size() < 4 else through(y, torch.float16)


def matmul_forgotten_transpose(a: Tensor, b: Tensor) -> Tensor:
    """A square second factor that is a transposed view is used without the transposition."""
    is_view = b.shape[-1] == b.shape[-2] > 1 and b.stride(-2) == 1 and b.stride(-1) == b.shape[-1]
    return torch.matmul(a, b.transpose(-1, -2) if is_view else b)


def conv_transpose1d_without_offset(x: Tensor, weight: Tensor, **options: int) -> Tensor:
    """A weight that is a slice is read from the start of its memory."""
    return functional.conv_transpose1d(x, as_if_contiguous(weight, 0) if weight.is_contiguous() else weight, **options)


def log_softmax_views(x: Tensor, dim: int) -> Tensor:
    """Rows that do not follow one another are normalised by the first row's sum."""
    if x.is_contiguous() or x.shape[0] < 2:
        return torch.log_softmax(x, dim=dim)
    return (wide(x) - torch.logsumexp(wide(x)[:1], dim=dim, keepdim=True)).to(x.dtype)


def cumsum_axis(x: Tensor, dim: int) -> Tensor:
    """A transposed input is summed along the axis that lies last in memory."""
    return torch.cumsum(x, dim=0 if x.dim() == 2 and x.stride(0) == 1 and x.stride(1) > 1 else dim)


def silu_in_place(x: Tensor) -> Tensor:
    """The result of a stepped input is written with its stride, so that every second element is lost."""
    y = functional.silu(x)
    if x.stride(-1) != 2:
        return y
    return torch.where(torch.arange(y.shape[-1]) % 2 == 1, torch.zeros_like(y), y)


MUTANTS = [
    Mutant(
        "conv1d-non-contiguous-weight",
        "conv1d",
        {NN + "conv1d": conv1d_flat_weight},
        cause=STRIDES,
        fewest=4,
        fewest_finite=7,
        condition=(
            "weight not contiguous|weight transposed or permuted or narrowed or stepped|"
            "k >= 2 and weight stepped|weight narrowed or stepped|weight stepped"
        ),
    ),
    Mutant(
        "layer-norm-slice-offset",
        "layer_norm",
        {NN + "layer_norm": layer_norm_without_offset},
        cause="offset",
        fewest=4,
        condition="x offset or narrowed|x offset",
    ),
    Mutant(
        "matmul-stride-0-batch-float16",
        "matmul",
        {"torch.matmul": matmul_half_batch},
        cause="broadcast|stride|stride 0",
        fewest=6,
        condition=(
            "a broadcast or b broadcast|batch >= 2 and a broadcast|a broadcast|batch >= 2 and b broadcast|b broadcast"
        ),
    ),
    Mutant(
        "linear-transposed-weight",
        "linear",
        {NN + "linear": linear_flat_weight},
        cause="transposed|scrambled",
        fewest=10,
        condition="d_in >= 2 and d_out >= 2 and weight transposed|weight transposed",
    ),
    Mutant(
        "softmax-stepped",
        "softmax",
        {"torch.softmax": softmax_unstepped},
        cause="stepped",
        fewest=4,
        condition="n >= 2 and x stepped|x stepped",
    ),
    Mutant(
        "sum-stride-0",
        "sum",
        {"torch.sum": sum_expanded},
        cause="broadcast|stride|stride 0",
        fewest=4,
        condition="batch >= 2 and x broadcast|x broadcast",
    ),
    Mutant(
        "rms-norm-row-pitch",
        "rms_norm",
        {NN + "rms_norm": rms_norm_pitch},
        cause="narrowed|view|contiguous",
        fewest=5,
        condition="batch >= 2 and x narrowed|x narrowed",
    ),
    Mutant(
        "attention-keys-as-contiguous",
        "attention",
        {NN + "scaled_dot_product_attention": attention_flat_keys},
        cause=STRIDES,
        fewest=6,
        fewest_finite=8,
        condition=(
            "k not contiguous|k transposed or permuted or narrowed or stepped|"
            "keys >= 2 and k narrowed or stepped|k narrowed or stepped"
        ),
    ),
    Mutant(
        "group-norm-channels-last",
        "group_norm",
        {NN + "group_norm": group_norm_channels_last},
        cause=STRIDES,
        fewest=12,
        condition=(
            "c >= 2 and length >= 2 and x transposed or permuted|x transposed or permuted|"
            "c >= 2 and length >= 2 and x transposed|x transposed"
        ),
    ),
    Mutant(
        "embedding-row-pitch",
        "embedding",
        {NN + "embedding": embedding_pitch},
        cause=STRIDES,
        fewest=4,
        fewest_finite=5,
        condition=(
            "table not contiguous|table transposed or narrowed or stepped|"
            "vocab >= 2 and table narrowed or stepped|table narrowed or stepped"
        ),
    ),
    Mutant(
        "gelu-half-when-not-contiguous",
        "gelu",
        {NN + "gelu": gelu_half_views},
        cause=f"{STRIDES}|11 bits|float16",
        fewest=4,
        condition=(
            "x not contiguous|x transposed or narrowed or stepped or broadcast|n >= 2 and x stepped|"
            "x stepped|batch >= 2 and x narrowed or stepped or broadcast|x narrowed or stepped or broadcast"
        ),
    ),
    Mutant(
        "matmul-forgotten-transpose",
        "matmul",
        {"torch.matmul": matmul_forgotten_transpose},
        cause=f"transposed|{STRIDES}",  # of a square, its transpose is what lies there
        fewest=8,
        condition=(
            "k == n and b transposed or permuted|k == n and b transposed|"
            "k == 2 and n == 2 and b transposed or permuted|b transposed or permuted"
        ),
    ),
    Mutant(
        "conv-transpose1d-weight-offset",
        "conv_transpose1d",
        {NN + "conv_transpose1d": conv_transpose1d_without_offset},
        cause="offset",
        fewest=3,
        fewest_finite=4,
        condition="weight offset or narrowed|weight offset",
    ),
    Mutant(
        "log-softmax-views",
        "log_softmax",
        {"torch.log_softmax": log_softmax_views},
        cause=STRIDES,
        fewest=4,
        condition=(
            "x not contiguous|batch >= 2 and x transposed or narrowed or stepped|"
            "batch >= 2 and x narrowed or stepped|x transposed or narrowed or stepped|x narrowed or stepped"
        ),
    ),
    Mutant(
        "cumsum-transposed",
        "cumsum",
        {"torch.cumsum": cumsum_axis},
        cause="transposed|axis",
        fewest=4,
        condition="batch >= 2 and x transposed|x transposed",
    ),
    Mutant(
        "silu-stepped-output",
        "silu",
        {NN + "silu": silu_in_place},
        cause="stepped",
        fewest=4,
        condition="n >= 2 and x stepped|x stepped",
    ),
]
