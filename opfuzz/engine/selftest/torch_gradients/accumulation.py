"""Faults of sums, counts and statistics that are kept in a half format."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from opfuzz.engine.selftest import Mutant
from opfuzz.engine.selftest.torch_faults.rounding import half_products, last_sum, through
from opfuzz.engine.selftest.torch_gradients import kernels
from opfuzz.engine.selftest.torch_gradients.kernels import rows
from opfuzz.engine.selftest.torch_gradients.way import Gradients, WayBack, planted

NN = "torch.nn.functional."
BFLOAT16, FLOAT16 = "in bfloat16|to bfloat16|bfloat16", "in float16|to float16|float16"


def bfloat16_rows(x: Tensor) -> Tensor:
    """Rows added up one after another in bfloat16."""
    return last_sum(rows(x).T.contiguous(), torch.bfloat16)


def rms_norm_weight_sum(way: WayBack) -> Gradients:
    """The gradient of the weight is added up in bfloat16 (Liger-Kernel PR #950)."""
    return kernels.rms_norm_back(way, total=bfloat16_rows)


def linear_bias_sum(way: WayBack) -> Gradients:
    """Half formats: the gradient of the bias is added up in the format itself."""
    own = kernels.linear_back(way)
    if way.g.element_size() == 2:
        own[2] = last_sum(rows(way.g).T.contiguous(), way.g.dtype)
    return own


def linear_weight_accumulator(way: WayBack) -> Gradients:
    """bfloat16: products are added up in bfloat16 for the gradient of the weight."""
    own = kernels.linear_back(way)
    if way.g.dtype == torch.bfloat16:
        own[1] = half_products(rows(way.g).T, rows(way.tensors[0]), torch.bfloat16)
    return own


def matmul_accumulator(way: WayBack) -> Gradients:
    """float16: products are added up in float16."""
    g, a, b = way.wide
    first = torch.matmul(g, b.transpose(-1, -2))
    if way.g.dtype == torch.float16:
        first = half_products(way.g, way.tensors[1].transpose(-1, -2), torch.float16)
    return [first, torch.matmul(a.transpose(-1, -2), g)]


def softmax_sum(way: WayBack) -> Gradients:
    """The sum is float16's, whatever the format."""
    return kernels.softmax_back(way, total=lambda x: last_sum(x, torch.float16)[..., None])


def rms_norm_statistic(way: WayBack) -> Gradients:
    """1/rms is kept in bfloat16."""
    return kernels.rms_norm_back(way, saved=lambda x: through(x, torch.bfloat16))


def layer_norm_statistics(way: WayBack) -> Gradients:
    """Mean and 1/sd are kept in float16."""
    return kernels.layer_norm_back(way, saved=lambda x: through(x, torch.float16))


def group_norm_statistics(way: WayBack) -> Gradients:
    """1/sd is kept in bfloat16."""
    return kernels.group_norm_back(way, saved=lambda x: through(x, torch.bfloat16))


def group_norm_count(way: WayBack) -> Gradients:
    """Half formats: the number of elements of a group is rounded to bfloat16, 257 to 256."""

    def by_count(x: Tensor) -> Tensor:
        count = torch.tensor(float(x.shape[-1])).to(torch.bfloat16)
        return x.sum(dim=-1, keepdim=True) / count.to(x.dtype)

    return kernels.group_norm_back(way, mean=by_count if way.g.element_size() == 2 else kernels.mean)


def cumsum_half(way: WayBack) -> Gradients:
    """Half formats run back in their own precision."""
    g = way.g
    if g.element_size() == 2:
        made = torch.zeros_like(g)
        total = torch.zeros_like(g[..., :1])
        for place in reversed(range(g.shape[-1])):
            total = total + g[..., place : place + 1]
            made[..., place : place + 1] = total
        return [made]
    return [g.flip(-1).cumsum(dim=-1).flip(-1)]


def attention_weights(way: WayBack) -> Gradients:
    """The weights are kept in bfloat16."""
    return kernels.attention_back(way, kept=lambda x: through(x, torch.bfloat16))


def batch_norm_sum(way: WayBack) -> Gradients:
    """Half formats: sums over batch and places in the format itself."""
    made = way.right()
    if way.g.element_size() == 2:
        for place, each in enumerate(made):
            if place and each is not None and place == len(made) - 1:
                flat = way.g.transpose(0, 1).reshape(way.g.shape[1], -1)
                made[place] = last_sum(flat.contiguous(), way.g.dtype)
    return made


ATTENTION = NN + "scaled_dot_product_attention"
MUTANTS = [
    Mutant(
        "rms-norm-weight-summed-in-bfloat16",
        "rms_norm.grad",
        {NN + "rms_norm": planted(functional.rms_norm, rms_norm_weight_sum)},
        cause=BFLOAT16,
    ),
    Mutant(
        "linear-bias-summed-in-half",
        "linear.grad",
        {NN + "linear": planted(functional.linear, linear_bias_sum)},
        cause=f"{BFLOAT16}|{FLOAT16}",
    ),
    Mutant(
        "linear-weight-accumulates-in-bfloat16",
        "linear.grad",
        {NN + "linear": planted(functional.linear, linear_weight_accumulator)},
        cause=BFLOAT16,
    ),
    Mutant(
        "matmul-accumulates-in-float16",
        "matmul.grad",
        {"torch.matmul": planted(torch.matmul, matmul_accumulator)},
        cause=FLOAT16,
    ),
    Mutant(
        "softmax-summed-in-float16",
        "softmax.grad",
        {"torch.softmax": planted(torch.softmax, softmax_sum)},
        cause=FLOAT16,
    ),
    Mutant(
        "rms-norm-kept-in-bfloat16",
        "rms_norm.grad",
        {NN + "rms_norm": planted(functional.rms_norm, rms_norm_statistic)},
        cause=BFLOAT16,
    ),
    Mutant(
        "layer-norm-kept-in-float16",
        "layer_norm.grad",
        {NN + "layer_norm": planted(functional.layer_norm, layer_norm_statistics)},
        cause=FLOAT16,
    ),
    Mutant(
        "group-norm-kept-in-bfloat16",
        "group_norm.grad",
        {NN + "group_norm": planted(functional.group_norm, group_norm_statistics)},
        cause=BFLOAT16,
    ),
    Mutant(
        "group-norm-count-in-bfloat16",
        "group_norm.grad",
        {NN + "group_norm": planted(functional.group_norm, group_norm_count)},
        cause=f"{BFLOAT16}|count",
    ),
    Mutant(
        "cumsum-back-in-half",
        "cumsum.grad",
        {"torch.cumsum": planted(torch.cumsum, cumsum_half)},
        cause=f"{BFLOAT16}|{FLOAT16}",
    ),
    Mutant(
        "attention-weights-kept-in-bfloat16",
        "attention.grad",
        {ATTENTION: planted(functional.scaled_dot_product_attention, attention_weights)},
        cause=BFLOAT16,
    ),
]
