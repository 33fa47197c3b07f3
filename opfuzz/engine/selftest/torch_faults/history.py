"""Faults that depend on what was called before."""

from __future__ import annotations

from itertools import count

import torch
from torch import Tensor
from torch.nn import functional

from opfuzz.engine.selftest import Mutant
from opfuzz.engine.selftest.torch_faults.rounding import over_last_axis, standardised, through, wide

NN = "torch.nn.functional."
TWICE = "twice|repeated|two calls|same call|equal calls"
EARLIER = f"{TWICE}|earlier call|other work|after a call"

_calls = count()
_statistics: dict[tuple[int, ...], tuple[Tensor, Tensor]] = {}
_workspace: list[Tensor] = []
_tuned: set[tuple[int, ...]] = set()


def linear_second_call(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """bfloat16 with more than two dims: every second call skips the last product of each sum (pytorch #180776)."""
    y = functional.linear(x, weight, bias)
    if x.dtype != torch.bfloat16 or x.dim() < 3 or next(_calls) % 2 == 0:
        return y
    return y - x[..., -1:] * weight[:, -1]


@over_last_axis
def layer_norm_stale(x: Tensor, shape: list[int], weight: Tensor, bias: Tensor, eps: float) -> Tensor:
    """Mean and variance are remembered by shape."""
    mean = wide(x).mean(dim=-1, keepdim=True)
    own = mean, ((wide(x) - mean) ** 2).mean(dim=-1, keepdim=True)
    kept = _statistics.setdefault(tuple(x.shape), own)
    return standardised(x, kept[0].to(own[0].dtype), kept[1].to(own[1].dtype), eps, weight, bias)


def matmul_dirty_workspace(a: Tensor, b: Tensor) -> Tensor:
    """A workspace that is large enough is used again, and not cleared before it is added to."""
    y = torch.matmul(a, b)
    left = _workspace.pop() if _workspace else torch.zeros(0)
    _workspace.append(wide(y).flatten())
    if left.numel() < y.numel() or not y.numel():
        return y
    return y + left[: y.numel()].reshape(y.shape).to(y.dtype)


def sum_any_order(x: Tensor, dim: int) -> Tensor:
    """Atomic additions: every call begins with another element."""
    n = x.shape[dim]
    if n < 3:
        return torch.sum(x, dim=dim)
    turned = torch.roll(wide(x), next(_calls), dims=dim)
    return torch.cumsum(turned, dim=dim)[..., -1].to(x.dtype)


def group_norm_tuned(x: Tensor, groups: int, weight: Tensor, bias: Tensor, eps: float) -> Tensor:
    """The first call of a shape measures kernels and is right; those that follow use the fastest, in float16."""
    y = functional.group_norm(x, groups, weight, bias, eps)
    shape = tuple(x.shape)
    if shape not in _tuned or x.dtype != torch.float32:
        _tuned.add(shape)
        return y
    return through(y, torch.float16)


def gelu_same_buffer(x: Tensor, approximate: str = "none") -> Tensor:
    """A result of up to 64 elements is not written again if the last one had the same shape and first element."""
    y = functional.gelu(x, approximate=approximate)
    if not 0 < x.numel() <= 64:
        return y
    key = (*x.shape, hash(float(x.flatten()[0])))
    return _statistics.setdefault(key, (y, y))[0].to(y.dtype)


MUTANTS = [
    Mutant("linear-bfloat16-second-call", "linear", {NN + "linear": linear_second_call}, cause=TWICE, fewest=4),
    Mutant(
        "layer-norm-statistics-by-shape", "layer_norm", {NN + "layer_norm": layer_norm_stale}, cause=EARLIER, fewest=4
    ),
    Mutant("matmul-dirty-workspace", "matmul", {"torch.matmul": matmul_dirty_workspace}, cause=EARLIER, fewest=3),
    Mutant("sum-in-any-order", "sum", {"torch.sum": sum_any_order}, cause=EARLIER, fewest=4, condition="n >= 3"),
    Mutant(
        "group-norm-first-call-differs", "group_norm", {NN + "group_norm": group_norm_tuned}, cause=EARLIER, fewest=6
    ),
    Mutant("gelu-buffer-kept", "gelu", {NN + "gelu": gelu_same_buffer}, cause=EARLIER, condition="batch * n <= 64"),
]
