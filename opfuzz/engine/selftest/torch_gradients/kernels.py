"""Ways back as kernels have them, written out, with places at which a fault can be planted."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from opfuzz.engine.selftest.torch_gradients.way import WayBack

Statistic = Callable[[Tensor], Tensor]


def same(x: Tensor) -> Tensor:
    """Nothing is changed."""
    return x


def mean(x: Tensor) -> Tensor:
    """Over the last axis, which is kept."""
    return x.mean(dim=-1, keepdim=True)


def rows(x: Tensor) -> Tensor:
    """All axes but the last as one."""
    return x.reshape(-1, x.shape[-1])


def added(x: Tensor) -> Tensor:
    """Over all axes but the last, one row after another being no matter."""
    return rows(x).sum(dim=0)


# y = n w + b with n = (x - m) r and r = 1 / sqrt(v + eps): with h = g w, x has r (h - mean(h) - n mean(h n)).


def layer_norm_back(
    way: WayBack,
    *,
    eps: float | None = None,
    saved: Statistic = same,
    over: Statistic = mean,
    centred: Statistic = mean,
    swung: Statistic = mean,
    total: Statistic = added,
) -> list[Tensor]:
    """Of layer_norm over the last axis.

    `saved` are the statistics as they were kept, `over` the mean of squares, `centred` and `swung` the means of h and
    of h n, `total` the sum over rows.
    """
    g, x, weight, _ = way.wide
    less = x - saved(mean(x))
    r = saved(torch.rsqrt(over(less * less) + (way.settings["eps"] if eps is None else eps)))
    normal, h = less * r, g * weight
    return [r * (h - centred(h) - normal * swung(h * normal)), total(g * normal), total(g)]


def rms_norm_back(
    way: WayBack,
    *,
    saved: Statistic = same,
    swung: Statistic = mean,
    total: Statistic = added,
    weight: Statistic = same,
) -> list[Tensor]:
    """Of rms_norm over the last axis: the same without a mean, and without a bias."""
    g, x, w = way.wide
    r = saved(torch.rsqrt(mean(x * x) + way.settings["eps"]))
    normal, h = x * r, g * weight(w)
    return [r * (h - normal * swung(h * normal)), total(g * normal)]


def group_norm_back(
    way: WayBack, *, eps: float | None = None, saved: Statistic = same, mean: Statistic = mean, total: Statistic = same
) -> list[Tensor]:
    """Of group_norm on [n, c, length]; `total` changes what is added up over the batch and its places."""
    g, x, weight, _ = way.wide
    n, c, length = x.shape
    groups = way.settings["1"]

    def by_group(t: Tensor) -> Tensor:
        return t.reshape(n, groups, c // groups * length)

    less = by_group(x) - mean(by_group(x))
    r = saved(torch.rsqrt(mean(less * less) + (way.settings["eps"] if eps is None else eps)))
    normal, h = less * r, by_group(g * weight[:, None])
    own = r * (h - mean(h) - normal * mean(h * normal))
    normal = normal.reshape(x.shape)
    return [own.reshape(x.shape), total(g * normal).sum(dim=(0, 2)), total(g).sum(dim=(0, 2))]


def softmax_back(way: WayBack, *, total: Callable[[Tensor], Tensor] | None = None) -> list[Tensor]:
    """Of softmax over the last axis: y (g - sum(g y))."""
    g, x = way.wide
    y = torch.softmax(x, dim=-1)
    below = (g * y).sum(dim=-1, keepdim=True) if total is None else total(g * y)
    return [y * (g - below)]


def log_softmax_back(way: WayBack, *, total: Callable[[Tensor], Tensor] | None = None) -> list[Tensor]:
    """Of log_softmax over the last axis: g - exp(y) sum(g)."""
    g, x = way.wide
    whole = g.sum(dim=-1, keepdim=True) if total is None else total(g)
    return [g - torch.softmax(x, dim=-1) * whole]


def attention_back(
    way: WayBack, *, scale: float | None = None, kept: Statistic = same, swung: Callable[[Tensor], Tensor] | None = None
) -> list[Tensor]:
    """Of attention without a mask; `scale` is that of the gradients alone, `kept` the weights as they were kept."""
    g, q, k, v = way.wide
    own = 1 / math.sqrt(q.shape[-1])
    p = kept(torch.softmax(torch.matmul(q, k.transpose(-1, -2)) * own, dim=-1))
    dp = torch.matmul(g, v.transpose(-1, -2))
    below = (dp * p).sum(dim=-1, keepdim=True) if swung is None else swung(dp * p)
    ds = p * (dp - below) * (own if scale is None else scale)
    return [torch.matmul(ds, k), torch.matmul(ds.transpose(-1, -2), q), torch.matmul(p.transpose(-1, -2), g)]


def linear_back(way: WayBack) -> list[Tensor]:
    """Of linear on [batch, length, d_in]."""
    g, x, weight, _ = way.wide
    return [torch.matmul(g, weight), torch.matmul(rows(g).T, rows(x)), added(g)]


def gelu_parts(way: WayBack) -> tuple[Tensor, Tensor]:
    """Of the slope of gelu the distribution function and x times the density."""
    (x,) = way.wide[1:]
    return 0.5 * torch.erfc(-x * math.sqrt(0.5)), x * torch.exp(-0.5 * x * x) / math.sqrt(2 * math.pi)
