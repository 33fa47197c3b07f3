"""Faults that show where not all gradients are asked for."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor
from torch.nn import functional

from opfuzz.engine.selftest import Mutant
from opfuzz.engine.selftest.torch_faults.rounding import through
from opfuzz.engine.selftest.torch_gradients import kernels
from opfuzz.engine.selftest.torch_gradients.kernels import rows
from opfuzz.engine.selftest.torch_gradients.way import Gradients, WayBack, altered, planted

NN = "torch.nn.functional."
ALONE = "asked alone|alone|by itself"


def layer_norm_unwritten(way: WayBack) -> Gradients:
    """The gradient of the weight is what lay there where x needs none (pytorch #183825)."""
    own = kernels.layer_norm_back(way)
    return own if way.is_asked[0] else [own[0], own[1] * 0 + 3, own[2]]


def linear_weight_coarse(way: WayBack, made: list[Tensor | None]) -> Gradients:
    """Without the gradient of the bias that of the weight takes a kernel of bfloat16."""
    if way.is_asked[2] or made[1] is None or made[1].element_size() < 4:
        return made
    return [made[0], through(made[1], torch.bfloat16), made[2]]


def group_norm_bias_missing(way: WayBack) -> Gradients:
    """The gradient of the bias is made on the way to that of the weight: without that it is zero."""
    own = kernels.group_norm_back(way)
    return own if way.is_asked[1] else [*own[:2], torch.zeros_like(own[2])]


def attention_keys_by_queries(way: WayBack) -> Gradients:
    """The gradient by the keys alone leaves out the last query."""
    own = kernels.attention_back(way)
    if way.is_asked[0]:
        return own
    g = way.g.clone()
    g[:, :, -1:] = 0
    return [own[0], kernels.attention_back(replace(way, g=g))[1], own[2]]


def matmul_first_row(way: WayBack, made: list[Tensor | None]) -> Gradients:
    """The second factor's gradient alone leaves out the first row."""
    if way.is_asked[0] or made[1] is None:
        return made
    g, a, _ = way.wide
    return [made[0], torch.matmul(a[..., 1:, :].transpose(-1, -2), g[..., 1:, :])]


def rms_norm_first_row(way: WayBack) -> Gradients:
    """The gradient of the weight alone is that of the first row."""
    if way.is_asked[0]:
        return kernels.rms_norm_back(way)
    return kernels.rms_norm_back(way, total=lambda x: rows(x)[:1].sum(dim=0))


MUTANTS = [
    Mutant(
        "layer-norm-weight-alone-unwritten",
        "layer_norm.grad",
        {NN + "layer_norm": planted(functional.layer_norm, layer_norm_unwritten)},
        cause=ALONE,
    ),
    Mutant(
        "linear-weight-without-bias-coarse",
        "linear.grad",
        {NN + "linear": altered(functional.linear, linear_weight_coarse)},
        cause=ALONE,
    ),
    Mutant(
        "group-norm-bias-alone-zero",
        "group_norm.grad",
        {NN + "group_norm": planted(functional.group_norm, group_norm_bias_missing)},
        cause=ALONE,
    ),
    Mutant(
        "attention-keys-alone",
        "attention.grad",
        {
            NN + "scaled_dot_product_attention": planted(
                functional.scaled_dot_product_attention, attention_keys_by_queries
            )
        },
        cause=ALONE,
    ),
    Mutant(
        "matmul-second-alone", "matmul.grad", {"torch.matmul": altered(torch.matmul, matmul_first_row)}, cause=ALONE
    ),
    Mutant(
        "rms-norm-weight-alone-first-row",
        "rms_norm.grad",
        {NN + "rms_norm": planted(functional.rms_norm, rms_norm_first_row)},
        cause=ALONE,
    ),
]
