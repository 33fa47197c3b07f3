"""Faults that begin or end at a size, and of shapes at the edge."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from opfuzz.engine.selftest import Mutant
from opfuzz.engine.selftest.torch_gradients import kernels
from opfuzz.engine.selftest.torch_gradients.kernels import rows
from opfuzz.engine.selftest.torch_gradients.way import Gradients, WayBack, altered, planted

NN = "torch.nn.functional."
SIZE = "only where|at index|up to index|from index|last term|last place|last index"


def layer_norm_first_rows(way: WayBack) -> Gradients:
    """Only 32 rows are added up for weight and bias."""
    return kernels.layer_norm_back(way, total=lambda x: rows(x)[:32].sum(dim=0))


def layer_norm_one_element(way: WayBack) -> Gradients:
    """A row of one element counts as normal: the gradient of the weight is not 0 (pytorch #188372)."""
    own = kernels.layer_norm_back(way)
    return [own[0], own[2] if way.tensors[0].shape[-1] == 1 else own[1], own[2]]


def conv1d_many_batches(way: WayBack, made: list[Tensor | None]) -> Gradients:
    """From 16 batches on the gradient of the weight is that of the first 16 (pytorch #96225)."""
    x = way.tensors[0]
    if x.shape[0] < 17:
        return made
    return [made[0], _weight_of(way, x[:16], way.g[:16])]


def _weight_of(way: WayBack, x: Tensor, g: Tensor) -> Tensor | None:
    part = WayBack((x, way.tensors[1]), way.settings, g, way.is_asked, way.again)
    return part.right()[1]


def softmax_first_block(way: WayBack) -> Gradients:
    """The sum leaves out what stands beyond 256."""
    return kernels.softmax_back(way, total=lambda x: x[..., :256].sum(dim=-1, keepdim=True))


def linear_whole_tiles(way: WayBack) -> Gradients:
    """Of the rows those after the last 16 whole ones are left out of the gradient of the weight."""
    g, x, _, _ = way.wide
    own = kernels.linear_back(way)
    count = rows(x).shape[0]
    whole = count // 16 * 16 or count
    return [own[0], torch.matmul(rows(g)[:whole].T, rows(x)[:whole]), own[2]]


def gelu_without_tail(way: WayBack) -> Gradients:
    """The elements after the last full vector of 8 are given the cotangent."""
    (made,) = way.right()
    assert made is not None
    whole = made.numel() // 8 * 8
    if not whole:
        return [made]
    return [torch.cat((made.flatten()[:whole], way.g.flatten()[whole:])).reshape(made.shape)]


def rms_norm_empty_batch(way: WayBack) -> Gradients:
    """No rows: the gradient of the weight is NaN, a mean of nothing."""
    own = kernels.rms_norm_back(way)
    return [own[0], own[1] if rows(way.g).shape[0] else torch.full_like(own[1], torch.nan)]


def cumsum_without_carry(way: WayBack) -> Gradients:
    """Blocks of 64 start again from zero."""
    g = way.wide[0]
    parts = [part.flip(-1).cumsum(dim=-1).flip(-1) for part in torch.split(g, 64, dim=-1)]
    return [torch.cat(parts, dim=-1)]


def attention_one_query(way: WayBack) -> Gradients:
    """One query, as when a sequence is continued: the gradient by the keys is not written."""
    own = kernels.attention_back(way)
    return own if way.tensors[0].shape[2] != 1 else [own[0], torch.zeros_like(own[1]), own[2]]


def matmul_k_of_128(way: WayBack) -> Gradients:
    """The sum over 33 columns or more loses its last one."""
    g, a, b = way.wide
    n = g.shape[-1]
    last = n - 1 if n >= 33 else n
    return [torch.matmul(g[..., :last], b[..., :last].transpose(-1, -2)), torch.matmul(a.transpose(-1, -2), g)]


MUTANTS = [
    Mutant(
        "layer-norm-first-32-rows",
        "layer_norm.grad",
        {NN + "layer_norm": planted(functional.layer_norm, layer_norm_first_rows)},
        cause=SIZE,
        condition="batch >= 33",
    ),
    Mutant(
        "layer-norm-of-one-element",
        "layer_norm.grad",
        {NN + "layer_norm": planted(functional.layer_norm, layer_norm_one_element)},
        cause=SIZE,
        condition="d == 1|d <= 1",
    ),
    Mutant(
        "conv1d-more-than-16-batches",
        "conv1d.grad",
        {NN + "conv1d": altered(functional.conv1d, conv1d_many_batches)},
        cause=SIZE,
        condition="n >= 17",
    ),
    Mutant(
        "softmax-beyond-256",
        "softmax.grad",
        {"torch.softmax": planted(torch.softmax, softmax_first_block)},
        cause=SIZE,
        condition="n >= 257",
    ),
    Mutant(
        "linear-whole-tiles", "linear.grad", {NN + "linear": planted(functional.linear, linear_whole_tiles)}, cause=SIZE
    ),
    Mutant("gelu-without-tail", "gelu.grad", {NN + "gelu": planted(functional.gelu, gelu_without_tail)}, cause=SIZE),
    Mutant(
        "rms-norm-empty-batch",
        "rms_norm.grad",
        {NN + "rms_norm": planted(functional.rms_norm, rms_norm_empty_batch)},
        cause=f"{SIZE}|returned nan",
        condition="batch == 0|batch <= 0",
    ),
    Mutant(
        "cumsum-blocks-of-64",
        "cumsum.grad",
        {"torch.cumsum": planted(torch.cumsum, cumsum_without_carry)},
        cause=SIZE,
        condition="n >= 65",
    ),
    Mutant(
        "attention-one-query",
        "attention.grad",
        {NN + "scaled_dot_product_attention": planted(functional.scaled_dot_product_attention, attention_one_query)},
        cause=f"{SIZE}|0 times",
        condition="queries == 1 and keys >= 2|queries <= 1 and keys >= 2",
    ),
    Mutant(
        "matmul-33-columns",
        "matmul.grad",
        {"torch.matmul": planted(torch.matmul, matmul_k_of_128)},
        cause=SIZE,
        condition="n >= 33",
    ),
]
