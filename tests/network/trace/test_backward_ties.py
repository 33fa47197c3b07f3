"""Traces of gradients where inputs tie: both sides of a kink are right, and a fault beside one is found."""

from __future__ import annotations

import ml_dtypes
import mlx.core as mx
import mlx.nn as mnn
import numpy as np
import pytest
import torch
from gradient_traces import X, relu_with, traced, what, with_vjp
from torch import nn


def test_zeros_that_tie_are_no_difference():
    """At 0 torch gives none of the gradient, and this one all of it."""
    x = X[0].copy()
    x[:, :, ::2] = 0
    found = traced(
        nn.Sequential(nn.Dropout(), nn.ReLU()), nn.Sequential(nn.Dropout(), relu_with(lambda x, g: g * (x >= 0))), (x,)
    )
    assert found.guilty == ()
    assert "at a tie, where both are right" in what(found, "1")


class Around(nn.Module):
    """A function with a corner around an inner module, which makes zeros that tie."""

    def __init__(self, corner):
        super().__init__()
        torch.manual_seed(5)
        self.conv, self.corner = nn.Conv1d(4, 4, 3, padding=1, bias=False), corner

    def forward(self, x):
        return self.corner(self.conv(x), x)


class MlxAround(mnn.Module):
    def __init__(self, like, corner):
        super().__init__()
        self.conv = mnn.Conv1d(4, 4, 3, padding=1, bias=False)
        self.conv.weight = mx.array(like.conv.weight.detach().numpy().swapaxes(1, 2))
        object.__setattr__(self, "corner", corner)

    def __call__(self, x):
        return self.corner(self.conv(x.swapaxes(1, 2)).swapaxes(1, 2), x)


CORNERS = [
    (lambda h, x: torch.clamp(h, 0, 1), lambda h, x: mx.clip(h, 0, 1)),
    (lambda h, x: nn.functional.leaky_relu(h, 0.1), lambda h, x: mnn.leaky_relu(h, 0.1)),
    (torch.maximum, mx.maximum),
]


@pytest.mark.parametrize("corner", CORNERS, ids=["clamp", "leaky_relu", "maximum"])
def test_a_tie_in_a_module_around_others_accuses_nobody(corner):
    x = np.random.default_rng(3).standard_normal((3, 4, 8)).astype(np.float32)
    x[:, :, 4:] = 0
    a = Around(corner[0])
    found = traced(nn.Sequential(a), mnn.Sequential(MlxAround(a, corner[1])), (x,))
    assert found.guilty == ()
    assert "at a tie, where both are right" in what(found, "0")


class Pooled(nn.Module):
    def __init__(self, kernel):
        super().__init__()
        torch.manual_seed(0)
        self.conv, self.act, self.pool = nn.Conv2d(3, 8, 1), nn.ReLU(), nn.MaxPool2d(kernel, 2)
        self.conv.bias.data[:4] = 0

    def forward(self, x):
        return self.pool(self.act(self.conv(x))).mean((2, 3))


class MlxPooled(mnn.Module):
    def __init__(self, like, scale):
        super().__init__()
        kernel = like.pool.kernel_size
        self.conv, self.act, self.pool = mnn.Conv2d(3, 8, 1), mnn.ReLU(), mnn.MaxPool2d(kernel, 2)
        self.conv.weight = mx.array(like.conv.weight.detach().numpy().transpose(0, 2, 3, 1))
        self.conv.bias = mx.array(like.conv.bias.detach().numpy())
        object.__setattr__(self, "scale", scale)

    def __call__(self, x):
        back = with_vjp(self.pool, lambda x, g, _: mx.vjp(self.pool, [x], [g])[1][0] * self.scale)
        return (self.pool if self.scale == 1 else back)(self.act(self.conv(x))).mean((1, 2))


def pooled(kernel, scale=1.0):
    """A max pool behind a ReLU in both frameworks, half of whose windows are all zeros or all one number."""
    x = np.random.default_rng(0).standard_normal((2, 3, 12, 12)).astype(np.float32)
    x[:, :, :6] = 0
    a = Pooled(kernel)
    return a, MlxPooled(a, scale), (x,), (x.transpose(0, 2, 3, 1).copy(),)


@pytest.mark.parametrize("kernel", [2, 3])
def test_a_window_in_which_many_tie_accuses_nobody(kernel):
    """torch gives all of it to one of them, MLX each its share; and biases sum over many places in either order."""
    assert traced(*pooled(kernel)).guilty == ()


def test_a_fault_beside_ties_is_found():
    assert traced(*pooled(2, scale=0.5)).guilty == ("",)


def test_a_gradient_that_is_lost_in_a_half_format_is_no_tie():
    class Lost(mnn.Linear):
        def __call__(self, x):
            return x @ mx.stop_gradient(self.weight).T + self.bias

    torch.manual_seed(0)
    a = nn.Sequential(nn.Linear(8, 8), nn.GELU(), nn.LayerNorm(8), nn.Linear(8, 3))
    b = mnn.Sequential(Lost(8, 8), mnn.GELU(), mnn.LayerNorm(8), mnn.Linear(8, 3))
    for place in (0, 2, 3):
        b.layers[place].weight, b.layers[place].bias = (mx.array(p.detach().numpy()) for p in a[place].parameters())
    b.set_dtype(mx.bfloat16)
    x = np.random.default_rng(0).standard_normal((3, 4, 8)).astype(ml_dtypes.bfloat16)
    found = traced(a.bfloat16(), b, (x,))
    assert found.guilty == ("0",)
    assert "d/dweight is zero in b" in what(found, "0")
