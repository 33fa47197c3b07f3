"""Faults of NaN where the gradient is a number, and of tails that are lost."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

from opfuzz.engine.selftest import Mutant
from opfuzz.engine.selftest.torch_gradients import kernels
from opfuzz.engine.selftest.torch_gradients.way import Gradients, WayBack, altered, only, planted

NN = "torch.nn.functional."
SEEN = "returned nan|returned inf|returned -inf|overflows"


def log_softmax_half_tail(way: WayBack) -> Gradients:
    """exp(x - max) / sum in the half format itself, whose sum overflows from 65504 equal elements on (jax #40409)."""
    x = way.tensors[0]
    raised = torch.exp(x)
    return [way.g - raised / raised.sum(dim=-1, keepdim=True) * way.g.sum(dim=-1, keepdim=True)]


def normalize_zero_by_zero(way: WayBack) -> Gradients:
    """g / norm - x (g x) / norm^3, which is 0/0 for the zero vector (mlx #3668)."""
    g, x = way.wide
    norm = torch.linalg.vector_norm(x, dim=-1, keepdim=True)
    swing = x * (g * x).sum(dim=-1, keepdim=True) / (norm * norm * norm)
    return [g / norm.clamp_min(way.settings["eps"]) - swing]


def softplus_zero_at_zero(way: WayBack) -> Gradients:
    """0 where x is exactly 0 and 1/2 is right (jax #2107)."""
    g, x = way.wide
    return [g * torch.where(x == 0, torch.zeros_like(x), torch.sigmoid(x))]


def sigmoid_by_exp(way: WayBack) -> Gradients:
    """exp(-x) / (1 + exp(-x))^2, infinity by infinity for negative x."""
    g, x = way.wide
    raised = torch.exp(-x)
    return [g * raised / (1 + raised) ** 2]


def gelu_infinite_square(way: WayBack) -> Gradients:
    """In the half format x^2 times a density that is 0 is NaN from abs(x) = 256 on."""
    g, x = way.g, way.tensors[0]
    cdf, _ = kernels.gelu_parts(way)
    swing = x * x * torch.exp(-x * x / 2) / (x * math.sqrt(2 * math.pi))
    return [g * (cdf.to(x.dtype) + torch.where(x == 0, torch.zeros_like(x), swing))]


def logsumexp_unshifted(way: WayBack) -> Gradients:
    """exp(x) / sum(exp(x)) without a shift."""
    g, x = way.wide
    raised = torch.exp(x)
    return [g[..., None] * raised / raised.sum(dim=-1, keepdim=True)]


def softmax_small_lost(way: WayBack) -> Gradients:
    """Probabilities below 1e-4 hand nothing back (jax #40344)."""
    (own,) = kernels.softmax_back(way)
    return [torch.where(torch.softmax(way.wide[1], dim=-1) < 1e-4, torch.zeros_like(own), own)]


def tanh_flat_beyond_4(way: WayBack) -> Gradients:
    """Taken for saturated beyond 4."""
    g, x = way.wide
    slope = 1 / torch.cosh(x) ** 2
    return [torch.where(x.abs() > 4, torch.zeros_like(x), g * slope)]


def expm1_through_half(way: WayBack) -> Gradients:
    """y + 1 with y kept in float16, so that it is 0 from -8 on (jax PR #40820)."""
    g, x = way.wide
    return [g * (torch.expm1(x).half().to(x.dtype) + 1)]


def sqrt_guarded(way: WayBack) -> Gradients:
    """1e-6 is added to the root, against 1/0."""
    g, x = way.wide
    return [g / (2 * (torch.sqrt(x) + 1e-3))]


def log_clamped(way: WayBack, made: Tensor) -> Tensor:
    """Gradients are clipped at 100."""
    return made.clamp(-100, 100)


def layer_norm_zero_rows(way: WayBack) -> Gradients:
    """Rows of equal elements give NaN: n is made of 0/0."""
    own = kernels.layer_norm_back(way)
    x = way.wide[1]
    is_equal = (x == x[..., :1]).all(dim=-1, keepdim=True)
    return [torch.where(is_equal, torch.full_like(own[0], torch.nan), own[0]), *own[1:]]


MUTANTS = [
    Mutant(
        "log-softmax-unshifted",
        "log_softmax.grad",
        {"torch.log_softmax": planted(torch.log_softmax, log_softmax_half_tail)},
        cause=SEEN,
    ),
    Mutant(
        "normalize-zero-by-zero",
        "l2_normalise.grad",
        {NN + "normalize": planted(functional.normalize, normalize_zero_by_zero)},
        cause=f"{SEEN}|without-eps",
    ),
    Mutant(
        "softplus-zero-at-zero",
        "softplus.grad",
        {NN + "softplus": planted(functional.softplus, softplus_zero_at_zero)},
        cause="wrong for x = -0|wrong for x = 0",
    ),
    Mutant("sigmoid-by-exp", "sigmoid.grad", {"torch.sigmoid": planted(torch.sigmoid, sigmoid_by_exp)}, cause=SEEN),
    Mutant(
        "gelu-zero-by-infinity",
        "gelu.grad",
        {NN + "gelu": planted(functional.gelu, gelu_infinite_square)},
        cause=f"{SEEN}|in float16|in bfloat16",
    ),
    Mutant(
        "logsumexp-unshifted",
        "logsumexp.grad",
        {"torch.logsumexp": planted(torch.logsumexp, logsumexp_unshifted)},
        cause=SEEN,
    ),
    Mutant(
        "softmax-small-lost",
        "softmax.grad",
        {"torch.softmax": planted(torch.softmax, softmax_small_lost)},
        cause="small|below",
    ),
    Mutant(
        "tanh-flat-beyond-4",
        "tanh.grad",
        {"torch.tanh": planted(torch.tanh, tanh_flat_beyond_4)},
        cause="wrong for x from",
    ),
    Mutant(
        "expm1-result-in-float16",
        "expm1.grad",
        {"torch.expm1": planted(torch.expm1, expm1_through_half)},
        cause="float16|11 bits",
    ),
    Mutant("sqrt-guarded", "sqrt.grad", {"torch.sqrt": planted(torch.sqrt, sqrt_guarded)}, cause="wrong for x from"),
    Mutant(
        "log-clipped", "log.grad", {"torch.log": altered(torch.log, only(0, log_clamped))}, cause="wrong for x from"
    ),
    Mutant(
        "layer-norm-equal-row",
        "layer_norm.grad",
        {NN + "layer_norm": planted(functional.layer_norm, layer_norm_zero_rows)},
        cause=SEEN,
    ),
]
