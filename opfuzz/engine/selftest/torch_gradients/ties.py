"""Faults at a kink: what lies outside every convention."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from opfuzz.engine.selftest import Mutant
from opfuzz.engine.selftest.torch_gradients.way import Gradients, WayBack, altered, planted

NN = "torch.nn.functional."
TIE = "at kinks"


def relu_more_than_all(way: WayBack) -> Gradients:
    """1.005 times the cotangent at 0."""
    g, x = way.wide
    return [g * torch.where(x == 0, torch.full_like(x, 1.005), (x > 0).to(x.dtype))]


def relu_below_nothing(way: WayBack) -> Gradients:
    """-0.005 times the cotangent at 0."""
    g, x = way.wide
    return [g * torch.where(x == 0, torch.full_like(x, -0.005), (x > 0).to(x.dtype))]


def leaky_relu_twice(way: WayBack) -> Gradients:
    """Twice the cotangent at 0."""
    g, x = way.wide
    slope = way.settings["negative_slope"]
    return [g * torch.where(x == 0, torch.full_like(x, 2.0), torch.where(x > 0, torch.ones_like(x), x * 0 + slope))]


def clamp_nan_at_bound(way: WayBack) -> Gradients:
    """NaN where x lies at a bound."""
    x = way.tensors[0]
    own = way.right()[0]
    assert own is not None
    is_tie = (x == way.settings["min"]) | (x == way.settings["max"])
    return [torch.where(is_tie, torch.full_like(own, torch.nan), own)]


def l1_loss_at_zero(way: WayBack, made: list[Tensor | None]) -> Gradients:
    """Twice the slope where both are equal."""
    x, y = way.tensors
    assert made[0] is not None
    assert made[1] is not None
    step = 2 * way.g / max(x.numel(), 1)
    return [torch.where(x == y, step, made[0]), torch.where(x == y, -step, made[1])]


def hardtanh_open(way: WayBack) -> Gradients:
    """The cotangent twice at the bounds, as it is let through from both sides."""
    x = way.tensors[0]
    low, high = way.settings.get("min_val", -1.0), way.settings.get("max_val", 1.0)
    inside = ((x > low) & (x < high)).to(x.dtype)
    return [way.g * (inside + 2 * ((x == low) | (x == high)).to(x.dtype))]


MUTANTS = [
    Mutant("relu-2.01-of-2", "relu.grad", {NN + "relu": planted(functional.relu, relu_more_than_all)}, cause=TIE),
    Mutant("relu-below-zero", "relu.grad", {NN + "relu": planted(functional.relu, relu_below_nothing)}, cause=TIE),
    Mutant(
        "leaky-relu-twice-at-zero",
        "leaky_relu.grad",
        {NN + "leaky_relu": planted(functional.leaky_relu, leaky_relu_twice)},
        cause=TIE,
    ),
    Mutant(
        "clamp-nan-at-bound",
        "clamp.grad",
        {"torch.clamp": planted(torch.clamp, clamp_nan_at_bound)},
        cause=f"{TIE}|returned nan",
    ),
    Mutant(
        "l1-loss-twice-at-zero",
        "l1_loss.grad",
        {NN + "l1_loss": altered(functional.l1_loss, l1_loss_at_zero)},
        cause=TIE,
    ),
    Mutant(
        "hardtanh-twice-at-bounds",
        "hardtanh.grad",
        {NN + "hardtanh": planted(functional.hardtanh, hardtanh_open)},
        cause=TIE,
    ),
]
