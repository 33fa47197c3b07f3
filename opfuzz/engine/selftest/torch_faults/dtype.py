"""Faults of formats that meet: parameters cast, results of another format, integers that do not fit."""

from __future__ import annotations

import os
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from opfuzz.engine.selftest import Mutant
from opfuzz.engine.selftest.torch_faults.rounding import through, wide

NN = "torch.nn.functional."
EIGHT = "8 bits|8-bit|bfloat16"
ELEVEN = "11 bits|11-bit|float16"


def layer_norm_cast(x: Tensor, shape: list[int], weight: Tensor, bias: Tensor, eps: float) -> Tensor:
    """Weight and bias of float32 are kept in bfloat16."""
    if x.dtype != torch.float32:
        return functional.layer_norm(x, shape, weight, bias, eps)
    return functional.layer_norm(x, shape, through(weight, torch.bfloat16), through(bias, torch.bfloat16), eps)


def linear_bias_float16(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """The bias of float32 is added in float16."""
    return functional.linear(x, weight, through(bias, torch.float16) if x.dtype == torch.float32 else bias)


def mean_float32(x: Tensor, dim: int) -> Tensor:
    """bfloat16 gives float32."""
    return torch.mean(wide(x) if x.dtype == torch.bfloat16 else x, dim=dim)


def embedding_bfloat16(index: Tensor, table: Tensor) -> Tensor:
    """The table is kept in bfloat16."""
    return functional.embedding(index, through(table, torch.bfloat16) if table.element_size() > 2 else table)


def cumsum_of_double(x: Tensor, dim: int) -> Tensor:
    """float64 runs in float32."""
    return torch.cumsum(x.float(), dim=dim).to(x.dtype) if x.dtype == torch.float64 else torch.cumsum(x, dim=dim)


def arange_bfloat16(end: int, dtype: torch.dtype) -> Tensor:
    """Positions are counted in bfloat16, which has no 257."""
    return torch.arange(end, dtype=torch.bfloat16).to(dtype)


def matmul_mixed(a: Tensor, b: Tensor) -> Tensor:
    """bfloat16 goes through float16, whose range is smaller."""
    if a.dtype != torch.bfloat16:
        return torch.matmul(a, b)
    return torch.matmul(a.half(), b.half()).bfloat16()


def rms_norm_abort(x: Tensor, shape: list[int], weight: Tensor, eps: float) -> Tensor:
    """The process ends where the row is longer than 1000 in float16."""
    if x.dtype == torch.float16 and x.shape[-1] > 1000:
        os.abort()
    return functional.rms_norm(x, shape, weight, eps)


def conv_transpose1d_double(x: Tensor, weight: Tensor, **options: Any) -> Tensor:
    """float64 is computed as float32."""
    return (
        functional.conv_transpose1d(x.float(), weight.float(), **options).to(x.dtype)
        if x.element_size() == 8
        else (functional.conv_transpose1d(x, weight, **options))
    )


MUTANTS = [
    Mutant("layer-norm-parameters-bfloat16", "layer_norm", {NN + "layer_norm": layer_norm_cast}, cause=EIGHT, fewest=4),
    Mutant("linear-bias-float16", "linear", {NN + "linear": linear_bias_float16}, cause=f"{ELEVEN}|bias", fewest=4),
    Mutant("mean-returns-float32", "mean", {"torch.mean": mean_float32}, cause="returned float32", fewest=0),
    Mutant("embedding-table-bfloat16", "embedding", {NN + "embedding": embedding_bfloat16}, cause=EIGHT, fewest=3),
    Mutant(
        "cumsum-float64-as-float32", "cumsum", {"torch.cumsum": cumsum_of_double}, cause="float32|24 bits", fewest=2
    ),
    Mutant(
        "time-embedding-positions-bfloat16",
        "time_embedding",
        {"torch.arange": arange_bfloat16},
        cause=EIGHT,
        fewest=517,
        condition="half >= 258",
    ),
    Mutant(
        "matmul-bfloat16-as-float16", "matmul", {"torch.matmul": matmul_mixed}, cause="overflows|inf|float16", fewest=3
    ),
    Mutant(
        "rms-norm-abort",
        "rms_norm",
        {NN + "rms_norm": rms_norm_abort},
        cause="SIGABRT",
        fewest=1001,
        condition="d >= 1001",
    ),
    Mutant(
        "conv-transpose1d-float64-as-float32",
        "conv_transpose1d",
        {NN + "conv_transpose1d": conv_transpose1d_double},
        cause="float32|24 bits",
        fewest=3,
    ),
]
