"""Faults of the formula of the way back: a term, a factor or a step is another than it should be."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

from opfuzz.engine.selftest import Mutant
from opfuzz.engine.selftest.torch_gradients import kernels
from opfuzz.engine.selftest.torch_gradients.way import Gradients, WayBack, planted

NN = "torch.nn.functional."


def nothing(x: Tensor) -> Tensor:
    """A statistic that is taken for a constant."""
    return torch.zeros_like(kernels.mean(x))


def over_one_less(x: Tensor) -> Tensor:
    """A mean that is divided by d - 1."""
    return x.sum(dim=-1, keepdim=True) / (x.shape[-1] - 1)


def sum_not_mean(x: Tensor) -> Tensor:
    """A sum in the place of a mean."""
    return x.sum(dim=-1, keepdim=True)


def layer_norm_constant_variance(way: WayBack) -> Gradients:
    """Nothing goes through the variance."""
    return kernels.layer_norm_back(way, swung=nothing)


def layer_norm_constant_mean(way: WayBack) -> Gradients:
    """Nothing goes through the mean."""
    return kernels.layer_norm_back(way, centred=nothing)


def layer_norm_without_eps(way: WayBack) -> Gradients:
    """eps is forgotten on the way back."""
    return kernels.layer_norm_back(way, eps=0.0)


def layer_norm_unbiased(way: WayBack) -> Gradients:
    """The variance on the way back is divided by d - 1."""
    return kernels.layer_norm_back(way, over=over_one_less, swung=over_one_less)


def layer_norm_summed(way: WayBack) -> Gradients:
    """A sum in the place of the mean of the adjoints."""
    return kernels.layer_norm_back(way, centred=sum_not_mean)


def rms_norm_constant(way: WayBack) -> Gradients:
    """Nothing goes through the mean of squares."""
    return kernels.rms_norm_back(way, swung=nothing)


def rms_norm_weight_lost(way: WayBack) -> Gradients:
    """The weight is forgotten in the gradient by x."""
    return kernels.rms_norm_back(way, weight=torch.ones_like)


def group_norm_eps_1e_3(way: WayBack) -> Gradients:
    """eps is 1e-3 on the way back."""
    return kernels.group_norm_back(way, eps=1e-3)


def softmax_without_sum(way: WayBack) -> Gradients:
    """y g."""
    return kernels.softmax_back(way, total=torch.zeros_like)


def softmax_diagonal(way: WayBack) -> Gradients:
    """The diagonal of the Jacobian alone: y (1 - y) g."""
    return kernels.softmax_back(way, total=kernels.same)


def softmax_last_lost(way: WayBack) -> Gradients:
    """The last term of the sum is left out."""
    return kernels.softmax_back(way, total=lambda x: x[..., :-1].sum(dim=-1, keepdim=True))


def log_softmax_mean(way: WayBack) -> Gradients:
    """The mean of the cotangent in the place of its sum."""
    return kernels.log_softmax_back(way, total=kernels.mean)


def log_softmax_probability_lost(way: WayBack) -> Gradients:
    """g - sum(g): the probability is forgotten."""
    g, _ = way.wide
    return [g - g.sum(dim=-1, keepdim=True)]


def logsumexp_broadcast(way: WayBack) -> Gradients:
    """The cotangent, as if it were a sum."""
    return [way.g[..., None].expand(way.tensors[0].shape)]


def attention_without_scale(way: WayBack) -> Gradients:
    """1 / sqrt(d) is forgotten on the way back."""
    return kernels.attention_back(way, scale=1.0)


def attention_constant_sum(way: WayBack) -> Gradients:
    """Nothing goes through the denominator of the softmax."""
    return kernels.attention_back(way, swung=nothing)


def gelu_of_tanh(way: WayBack) -> Gradients:
    """The slope of the approximation by tanh."""
    g, x = way.wide
    inner = math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)
    t = torch.tanh(inner)
    slope = math.sqrt(2 / math.pi) * (1 + 3 * 0.044715 * x * x)
    swing = torch.where(x.abs() > 20, torch.zeros_like(x), 0.5 * x * (1 - t * t) * slope)
    return [g * (0.5 * (1 + t) + swing)]


def gelu_without_density(way: WayBack) -> Gradients:
    """x times the density is left out."""
    return [way.wide[0] * kernels.gelu_parts(way)[0]]


def silu_without_swing(way: WayBack) -> Gradients:
    """sigmoid(x) alone."""
    g, x = way.wide
    return [g * torch.sigmoid(x)]


def tanh_not_squared(way: WayBack) -> Gradients:
    """1 - y in the place of 1 - y^2."""
    g, x = way.wide
    return [g * (1 - torch.tanh(x))]


def sigmoid_not_multiplied(way: WayBack) -> Gradients:
    """1 - y in the place of y (1 - y)."""
    g, x = way.wide
    return [g * torch.sigmoid(-x)]


def sigmoid_other_sign(way: WayBack) -> Gradients:
    """y (1 + y)."""
    g, x = way.wide
    y = torch.sigmoid(x)
    return [g * y * (1 + y)]


def softplus_of_negative(way: WayBack) -> Gradients:
    """The sigmoid of -x."""
    g, x = way.wide
    return [g * torch.sigmoid(-x)]


def var_correction_lost(way: WayBack) -> Gradients:
    """Divided by n whatever the correction is."""
    g, x = way.wide
    return [g[..., None] * 2 * (x - x.mean(dim=-1, keepdim=True)) / x.shape[-1]]


def var_not_centred(way: WayBack) -> Gradients:
    """2 x in the place of 2 (x - mean)."""
    g, x = way.wide
    return [g[..., None] * 2 * x / (x.shape[-1] - way.settings["correction"])]


def normalize_constant_norm(way: WayBack) -> Gradients:
    """Nothing goes through the norm."""
    g, x = way.wide
    norm = torch.linalg.vector_norm(x, dim=-1, keepdim=True).clamp_min(way.settings["eps"])
    return [g / norm]


def negative(way: WayBack, made: Tensor) -> Tensor:
    """The sign is wrong."""
    return -made


THROUGH_VARIANCE = "through square|through sqrt|through maximum|leaves out"
ATTENTION = NN + "scaled_dot_product_attention"
LAYER_NORM, RMS_NORM, GROUP_NORM = NN + "layer_norm", NN + "rms_norm", NN + "group_norm"

MUTANTS = [
    Mutant(
        "layer-norm-nothing-through-variance",
        "layer_norm.grad",
        {LAYER_NORM: planted(functional.layer_norm, layer_norm_constant_variance)},
        cause=THROUGH_VARIANCE,
    ),
    Mutant(
        "layer-norm-nothing-through-mean",
        "layer_norm.grad",
        {LAYER_NORM: planted(functional.layer_norm, layer_norm_constant_mean)},
        cause="through sum|through div|leaves out",
    ),
    Mutant(
        "layer-norm-eps-forgotten",
        "layer_norm.grad",
        {LAYER_NORM: planted(functional.layer_norm, layer_norm_without_eps)},
        cause="eps were|leaves out the term 1e",
    ),
    Mutant(
        "layer-norm-divided-by-d-minus-1",
        "layer_norm.grad",
        {LAYER_NORM: planted(functional.layer_norm, layer_norm_unbiased)},
        cause="unbiased|d - 1",
    ),
    Mutant(
        "layer-norm-sum-for-mean",
        "layer_norm.grad",
        {LAYER_NORM: planted(functional.layer_norm, layer_norm_summed)},
        cause="sum in the place of the mean",
    ),
    Mutant(
        "rms-norm-nothing-through-squares",
        "rms_norm.grad",
        {RMS_NORM: planted(functional.rms_norm, rms_norm_constant)},
        cause=THROUGH_VARIANCE,
    ),
    Mutant(
        "rms-norm-weight-lost",
        "rms_norm.grad",
        {RMS_NORM: planted(functional.rms_norm, rms_norm_weight_lost)},
        cause="weight were 1|no-weight|leaves out",
    ),
    Mutant(
        "group-norm-eps-1e-3",
        "group_norm.grad",
        {GROUP_NORM: planted(functional.group_norm, group_norm_eps_1e_3)},
        cause="eps were 0.001",
    ),
    Mutant(
        "softmax-without-sum",
        "softmax.grad",
        {"torch.softmax": planted(torch.softmax, softmax_without_sum)},
        cause="leaves out",
    ),
    Mutant(
        "softmax-diagonal-only",
        "softmax.grad",
        {"torch.softmax": planted(torch.softmax, softmax_diagonal)},
        cause="own term",
        condition="n >= 2",
    ),
    Mutant(
        "softmax-last-term-lost",
        "softmax.grad",
        {"torch.softmax": planted(torch.softmax, softmax_last_lost)},
        cause="last term",
    ),
    Mutant(
        "log-softmax-mean-for-sum",
        "log_softmax.grad",
        {"torch.log_softmax": planted(torch.log_softmax, log_softmax_mean)},
        cause="mean in the place of the sum",
        condition="n >= 2",
    ),
    Mutant(
        "log-softmax-probability-lost",
        "log_softmax.grad",
        {"torch.log_softmax": planted(torch.log_softmax, log_softmax_probability_lost)},
        cause="leaves out",
        condition="n >= 2",
    ),
    Mutant(
        "logsumexp-of-a-sum",
        "logsumexp.grad",
        {"torch.logsumexp": planted(torch.logsumexp, logsumexp_broadcast)},
        cause="leaves out",
        condition="n >= 2",
    ),
    Mutant(
        "attention-scale-lost",
        "attention.grad",
        {ATTENTION: planted(functional.scaled_dot_product_attention, attention_without_scale)},
        cause="sqrt(d)|leaves out",
        condition="d >= 2 and keys >= 2",
    ),
    Mutant(
        "attention-nothing-through-denominator",
        "attention.grad",
        {ATTENTION: planted(functional.scaled_dot_product_attention, attention_constant_sum)},
        cause="leaves out|through sum|through div",
    ),
    Mutant("gelu-slope-of-tanh-form", "gelu.grad", {NN + "gelu": planted(functional.gelu, gelu_of_tanh)}, cause="tanh"),
    Mutant(
        "gelu-without-density",
        "gelu.grad",
        {NN + "gelu": planted(functional.gelu, gelu_without_density)},
        cause="through erf|through neg|through add|through div|leaves out",
    ),
    Mutant(
        "silu-sigmoid-alone",
        "silu.grad",
        {NN + "silu": planted(functional.silu, silu_without_swing)},
        cause="through sigmoid|leaves out",
    ),
    Mutant("tanh-not-squared", "tanh.grad", {"torch.tanh": planted(torch.tanh, tanh_not_squared)}, cause="not squared"),
    Mutant(
        "sigmoid-factor-lost",
        "sigmoid.grad",
        {"torch.sigmoid": planted(torch.sigmoid, sigmoid_not_multiplied)},
        cause="leaves out",
    ),
    Mutant(
        "sigmoid-other-sign",
        "sigmoid.grad",
        {"torch.sigmoid": planted(torch.sigmoid, sigmoid_other_sign)},
        cause="other sign",
    ),
    Mutant(
        "softplus-of-negative",
        "softplus.grad",
        {NN + "softplus": planted(functional.softplus, softplus_of_negative)},
        cause="x were negative",
    ),
    Mutant(
        "var-correction-lost",
        "var.grad",
        {"torch.var": planted(torch.var, var_correction_lost)},
        cause="biased|correction were 0",
    ),
    Mutant(
        "var-not-centred",
        "var.grad",
        {"torch.var": planted(torch.var, var_not_centred)},
        cause="not-centred|leaves out|through",
    ),
    Mutant(
        "normalize-nothing-through-norm",
        "l2_normalise.grad",
        {NN + "normalize": planted(functional.normalize, normalize_constant_norm)},
        cause="through|leaves out",
    ),
]
