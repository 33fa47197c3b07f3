"""Faults that begin or end at a size."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from opfuzz.engine.selftest import Mutant
from opfuzz.engine.selftest.torch_faults.rounding import over_last_axis, standardised, wide

NN = "torch.nn.functional."


@over_last_axis
def layer_norm_first_block(x: Tensor, shape: list[int], weight: Tensor, bias: Tensor, eps: float) -> Tensor:
    """Statistics of the first 1024 elements: one block of threads, and no loop."""
    head = wide(x)[..., :1024]
    mean = head.mean(dim=-1, keepdim=True)
    return standardised(x, mean, ((head - mean) ** 2).mean(dim=-1, keepdim=True), eps, weight, bias)


def softmax_first_block(x: Tensor, dim: int) -> Tensor:
    """The sum leaves out what stands beyond 1024."""
    raised = torch.exp(wide(x) - wide(x).amax(dim=dim, keepdim=True))
    return (raised / raised[..., :1024].sum(dim=dim, keepdim=True)).to(x.dtype)


def rms_norm_unwritten(x: Tensor, shape: list[int], weight: Tensor, eps: float) -> Tensor:
    """Rows longer than 4096 are not written beyond it."""
    return _cut(functional.rms_norm(x, shape, weight, eps), -1, 4096)


def _cut(y: Tensor, axis: int, size: int) -> Tensor:
    if y.shape[axis] <= size:
        return y
    y = y.clone()
    y.narrow(axis, size, y.shape[axis] - size).zero_()
    return y


def sum_at_128(x: Tensor, dim: int) -> Tensor:
    """A row of exactly 128 elements loses its last one."""
    return torch.sum(x[..., :127] if x.shape[-1] == 128 else x, dim=dim)


def mean_of_whole_warps(x: Tensor, dim: int) -> Tensor:
    """A remainder that does not fill 32 lanes is left out."""
    n = x.shape[-1]
    whole = n // 32 * 32 or n
    return (torch.sum(wide(x)[..., :whole], dim=dim) / n).to(x.dtype)


def cumsum_without_carry(x: Tensor, dim: int) -> Tensor:
    """Blocks of 1024 start again from zero."""
    return torch.cat([torch.cumsum(part, dim=dim) for part in torch.split(x, 1024, dim=dim)], dim=dim)


def relu_without_tail(x: Tensor) -> Tensor:
    """The elements after the last full vector of 8 are copied as they are."""
    whole = x.numel() // 8 * 8
    flat = x.flatten()
    return torch.cat((functional.relu(flat[:whole]), flat[whole:])).reshape(x.shape) if whole else functional.relu(x)


def embedding_int16(index: Tensor, table: Tensor) -> Tensor:
    """Indices of 16 bits: those beyond 32767 wrap around."""
    return functional.embedding(index.to(torch.int16).long() % table.shape[0], table)


def conv1d_65536(x: Tensor, weight: Tensor, bias: Tensor | None = None, **options: object) -> Tensor:
    """Channels beyond 65536 hold what the first ones hold (pytorch #129207)."""
    y = functional.conv1d(x, weight, bias, **options)
    return torch.cat((y[:, :65536], y[:, : y.shape[1] - 65536]), dim=1) if y.shape[1] > 65536 else y


def matmul_long(a: Tensor, b: Tensor) -> Tensor:
    """Sums of 32767 products and more read past the end, if both dims of the result reach 16 (pytorch #195163)."""
    y = torch.matmul(a, b)
    return y + a[..., :1] * b[..., :1, :] if a.shape[-1] >= 32767 and min(y.shape[-2:]) >= 16 else y


def linear_65535_rows(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """A grid has 65535 blocks: rows beyond them are not written (pytorch #189495)."""
    y = functional.linear(x, weight, bias)
    return _cut(y.reshape(-1, y.shape[-1]), 0, 65535).reshape(y.shape)


def attention_one_query(q: Tensor, k: Tensor, v: Tensor, attn_mask: Tensor | None = None) -> Tensor:
    """One position and several batches: all get the first batch's (mlx #3795)."""
    y = functional.scaled_dot_product_attention(q, k, v, attn_mask)
    return y[:1].expand(y.shape).clone() if q.shape[2] == 1 and q.shape[0] > 1 else y


def group_norm_large(x: Tensor, groups: int, weight: Tensor, bias: Tensor, eps: float) -> Tensor:
    """Groups of more than 2048 elements: the variance leaves out the rest."""
    flat = wide(x).reshape(x.shape[0], groups, x.shape[1] // groups * x.shape[2])
    mean = flat.mean(dim=-1, keepdim=True)
    variance = ((flat[..., :2048] - mean) ** 2).mean(dim=-1, keepdim=True)
    normal = ((flat - mean) / torch.sqrt(variance + eps)).reshape(x.shape)
    return (normal * wide(weight)[:, None] + wide(bias)[:, None]).to(x.dtype)


def logsumexp_one(x: Tensor, dim: int) -> Tensor:
    """Rows of one element: 0."""
    y = torch.logsumexp(x, dim=dim)
    return torch.zeros_like(y) if x.shape[-1] == 1 else y


MUTANTS = [
    Mutant(
        "layer-norm-beyond-1024",
        "layer_norm",
        {NN + "layer_norm": layer_norm_first_block},
        cause="1024|1025",
        fewest=4100,
        condition="d >= 1025",
    ),
    Mutant(
        "softmax-beyond-1024",
        "softmax",
        {"torch.softmax": softmax_first_block},
        cause="1024|1025",
        fewest=2050,
        condition="n >= 1025",
    ),
    Mutant(
        "rms-norm-beyond-4096",
        "rms_norm",
        {NN + "rms_norm": rms_norm_unwritten},
        cause="4096|4097",
        fewest=12291,
        condition="d >= 4097",
    ),
    Mutant(
        "sum-at-exactly-128",
        "sum",
        {"torch.sum": sum_at_128},
        cause="128|last-left-out",
        fewest=129,
        condition="n == 128",
    ),
    Mutant(
        "mean-no-multiple-of-32",
        "mean",
        {"torch.mean": mean_of_whole_warps},
        cause="32|multiple of 32|% 32",
        fewest=34,
        condition="n >= 33 and n % 32 != 0|n % 32 != 0",
    ),
    Mutant(
        "cumsum-carry-lost-at-1024",
        "cumsum",
        {"torch.cumsum": cumsum_without_carry},
        cause="1024|1025",
        fewest=2050,
        condition="n >= 1025",
    ),
    Mutant(
        "relu-scalar-tail",
        "relu",
        {NN + "relu": relu_without_tail},
        cause="tail|vector|multiple of 8|% 8",
        fewest=18,
        condition="batch * n >= 9 and batch * n % 8 != 0|batch * n % 8 != 0|n % 8 != 0|batch % 8 != 0 and n % 8 != 0",
    ),
    Mutant(
        "embedding-int16-index",
        "embedding",
        {NN + "embedding": embedding_int16},
        cause="32767|32768|32769",
        fewest=32771,
        condition="vocab >= 32769",
    ),
    Mutant(
        "conv1d-more-than-65536-channels",
        "conv1d",
        {NN + "conv1d": conv1d_65536},
        cause="65536|65537",
        fewest=131075,
        condition="c_out >= 65537",
    ),
    Mutant(
        "matmul-k-32767",
        "matmul",
        {"torch.matmul": matmul_long},
        cause="32767",
        fewest=1048800,
        condition="m >= 16 and k >= 32767 and n >= 16",
    ),
    Mutant(
        "linear-more-than-65535-rows",
        "linear",
        {NN + "linear": linear_65535_rows},
        cause="65535|65536",
        fewest=131074,
        condition="batch * length >= 65536|batch >= 65536|length >= 65536",
    ),
    Mutant(
        "attention-one-position-many-batches",
        "attention",
        {NN + "scaled_dot_product_attention": attention_one_query},
        cause="queries = 1|queries <= 1|queries < 2|length = 1|batch >= 2|batch > 1",
        fewest=8,
        condition="batch >= 2 and queries == 1|batch >= 2 and queries <= 1",
    ),
    Mutant(
        "group-norm-beyond-2048",
        "group_norm",
        {NN + "group_norm": group_norm_large},
        cause="2048|2049",
        fewest=4100,
        condition="length >= 2049|c * length >= 2049|c * length // groups >= 2049",
    ),
    Mutant(
        "logsumexp-of-one",
        "logsumexp",
        {"torch.logsumexp": logsumexp_one},
        cause="n = 1|n <= 1|n < 2|columns = 1",
        fewest=2,
        condition="n == 1|n <= 1",
    ),
]
