"""What the mutants are made of: coarser arithmetic, and memory read as if it lay otherwise."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps

import ml_dtypes
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

Norm = Callable[[Tensor, list[int], Tensor, Tensor, float], Tensor]


def wide(x: Tensor) -> Tensor:
    """The tensor as a library accumulates it: float32 for half formats."""
    return x.float() if x.element_size() < 4 else x


def over_last_axis(layer_norm: Norm) -> Norm:
    """A layer_norm that is written for the last axis alone; over several torch's own is called."""

    @wraps(layer_norm)
    def norm(x: Tensor, shape: list[int], weight: Tensor, bias: Tensor, eps: float) -> Tensor:
        whole = functional.layer_norm if len(shape) > 1 else layer_norm
        return whole(x, shape, weight, bias, eps)

    return norm


def to_bits(x: Tensor, bits: int) -> Tensor:
    """float32 rounded to so many significant bits, as TF32 (11) is; other formats as they are."""
    if x.dtype != torch.float32:
        return x
    dropped = 24 - bits
    words = x.view(torch.int32) if x.is_contiguous() else x.contiguous().view(torch.int32)
    rounded = ((words + (1 << (dropped - 1))) & -(1 << dropped)).view(torch.float32)
    return torch.where(torch.isfinite(x), rounded, x)


def through(x: Tensor, dtype: torch.dtype) -> Tensor:
    """The tensor rounded to a format that is smaller than its own, in its own."""
    return x.to(dtype).to(x.dtype)


def int_steps(x: Tensor, bits: int) -> Tensor:
    """Rounded to symmetric integers of so many bits, one scale for the last axis."""
    if not x.numel():
        return x
    values = wide(x)
    scale = values.abs().amax(dim=-1, keepdim=True) / (2 ** (bits - 1) - 1)
    return (torch.round(values / torch.where(scale == 0, 1, scale)) * scale).to(x.dtype)


def running_sum(x: Tensor, dtype: torch.dtype) -> Tensor:
    """Sums of the first 1, 2, 3, ... elements of the last axis, every one of them rounded to float16 or bfloat16."""
    if not x.numel():
        return x
    narrow = x.to(dtype)
    if dtype == torch.float16:
        return torch.from_numpy(np.add.accumulate(narrow.contiguous().numpy(), axis=-1)).to(x.dtype)
    values = narrow.contiguous().view(torch.int16).numpy().view(ml_dtypes.bfloat16)
    sums = np.add.accumulate(values, axis=-1)
    return torch.from_numpy(sums.view(np.int16)).view(torch.bfloat16).to(x.dtype)


def last_sum(x: Tensor, dtype: torch.dtype) -> Tensor:
    """Sum over the last axis, one element after another, in float16 or bfloat16."""
    return running_sum(x, dtype)[..., -1] if x.shape[-1] else torch.sum(x, dim=-1)


def half_products(a: Tensor, b: Tensor, dtype: torch.dtype) -> Tensor:
    """Matrix product whose accumulator is of a half format, added to after every 16 products."""
    total = torch.zeros(1, dtype=dtype)
    for start in range(0, max(a.shape[-1], 1), 16):
        part = torch.matmul(wide(a[..., start : start + 16]), wide(b[..., start : start + 16, :]))
        total = (total + part.to(dtype)).to(dtype)
    return total.to(a.dtype)


def as_if_contiguous(x: Tensor, start: int | None = None) -> Tensor:
    """What a kernel reads that takes the memory from `start` (the tensor's own offset) on for a contiguous tensor."""
    begin = x.storage_offset() if start is None else start
    count = min(x.numel(), x.untyped_storage().nbytes() // x.element_size() - begin)
    if count <= 0:
        return x
    flat = torch.as_strided(x, (count,), (1,), begin)
    # A stride of 0 leaves too little memory: what lies behind it is anything, here the same again.
    return flat.repeat(-(-x.numel() // count))[: x.numel()].reshape(x.shape)


def standardised(x: Tensor, mean: Tensor, variance: Tensor, eps: float, weight: Tensor, bias: Tensor) -> Tensor:
    """(x - mean) / sqrt(variance + eps) * weight + bias, in the wide format, returned in that of `x`."""
    return ((wide(x) - mean) / torch.sqrt(variance + eps) * wide(weight) + wide(bias)).to(x.dtype)
