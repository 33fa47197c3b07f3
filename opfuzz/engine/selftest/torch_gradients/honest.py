"""Honest ways back that differ from torch's: none of them may be accused."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

from opfuzz.engine.selftest import Mutant
from opfuzz.engine.selftest.torch_faults.rounding import wide
from opfuzz.engine.selftest.torch_gradients import kernels
from opfuzz.engine.selftest.torch_gradients.kernels import rows
from opfuzz.engine.selftest.torch_gradients.way import Gradients, WayBack, planted

NN = "torch.nn.functional."
ATTENTION = NN + "scaled_dot_product_attention"


def rows_backwards(x: Tensor) -> Tensor:
    """From the last row to the first, strictly one by one."""
    turned = rows(x).flip(0)
    return torch.cumsum(turned, dim=0)[-1] if turned.shape[0] else turned.sum(dim=0)


def rows_in_blocks(x: Tensor) -> Tensor:
    """Partial sums of 16 rows, then their sum."""
    whole = rows(x)
    padded = functional.pad(whole, (0, 0, 0, -whole.shape[0] % 16))
    return padded.unflatten(0, (-1, 16)).sum(dim=1).sum(dim=0) if whole.shape[0] else whole.sum(dim=0)


def layer_norm_backwards(way: WayBack) -> Gradients:
    """Rows are added up the other way round."""
    return kernels.layer_norm_back(way, total=rows_backwards)


def layer_norm_fused(way: WayBack) -> Gradients:
    """r / d (d h - sum(h) - n sum(h n)), as fused kernels have it."""
    g, x, weight, _ = way.wide
    d = x.shape[-1]
    less = x - kernels.mean(x)
    r = torch.rsqrt(kernels.mean(less * less) + way.settings["eps"])
    normal, h = less * r, g * weight
    below = h.sum(dim=-1, keepdim=True) + normal * (h * normal).sum(dim=-1, keepdim=True)
    return [r * (h - below / d), rows_in_blocks(g * normal), rows_in_blocks(g)]


def rms_norm_in_blocks(way: WayBack) -> Gradients:
    """Blocks of rows."""
    return kernels.rms_norm_back(way, total=rows_in_blocks)


def group_norm_written_out(way: WayBack) -> Gradients:
    """Statistics in float32."""
    return kernels.group_norm_back(way)


def softmax_multiplied_out(way: WayBack) -> Gradients:
    """g y - y sum(g y)."""
    g, x = way.wide
    y = torch.softmax(x, dim=-1)
    product = g * y
    return [product - y * product.sum(dim=-1, keepdim=True)]


def softmax_in_logarithms(way: WayBack) -> Gradients:
    """y from its logarithm."""
    g, x = way.wide
    y = torch.exp(torch.log_softmax(x, dim=-1))
    return [y * (g - (g * y).sum(dim=-1, keepdim=True))]


def log_softmax_in_double(way: WayBack) -> Gradients:
    """Recomputed in float64, one rounding at the end."""
    g, x = (each.double() for each in (way.g, *way.tensors))
    return [g - torch.softmax(x, dim=-1) * g.sum(dim=-1, keepdim=True)]


def logsumexp_recomputed(way: WayBack) -> Gradients:
    """exp(x - y) with y recomputed in float32."""
    g, x = way.wide
    y = torch.logsumexp(x, dim=-1, keepdim=True)
    return [g[..., None] * torch.exp(x - y)]


def relu_one_at_zero(way: WayBack) -> Gradients:
    """All of the cotangent at 0."""
    return [torch.where(way.tensors[0] >= 0, way.g, torch.zeros_like(way.g))]


def relu_half_at_zero(way: WayBack) -> Gradients:
    """Half of the cotangent at 0."""
    g, x = way.g, way.tensors[0]
    return [torch.where(x > 0, g, torch.where(x == 0, g / 2, torch.zeros_like(g)))]


def clamp_nothing_at_bounds(way: WayBack) -> Gradients:
    """Nothing at a bound, where torch lets everything through."""
    x = way.tensors[0]
    is_inside = (x > way.settings["min"]) & (x < way.settings["max"])
    return [torch.where(is_inside, way.g, torch.zeros_like(way.g))]


def matmul_split(way: WayBack) -> Gradients:
    """Two halves of each sum, added."""
    g, a, b = way.wide
    n, m = g.shape[-1] // 2, g.shape[-2] // 2
    turned, flipped = b.transpose(-1, -2), a.transpose(-1, -2)
    first = torch.matmul(g[..., :n], turned[..., :n, :]) + torch.matmul(g[..., n:], turned[..., n:, :])
    second = torch.matmul(flipped[..., :m], g[..., :m, :]) + torch.matmul(flipped[..., m:], g[..., m:, :])
    return [first, second]


def linear_backwards(way: WayBack) -> Gradients:
    """The rows in the other order."""
    g, x, weight, _ = way.wide
    turned = rows(g).flip(0)
    return [torch.matmul(g, weight), torch.matmul(turned.T, rows(x).flip(0)), rows_backwards(g)]


def gelu_in_double(way: WayBack) -> Gradients:
    """One rounding at the end."""
    g, x = (each.double() for each in (way.g, *way.tensors))
    cdf = 0.5 * torch.erfc(-x * math.sqrt(0.5))
    return [g * (cdf + x * torch.exp(-0.5 * x * x) / math.sqrt(2 * math.pi))]


def silu_fused(way: WayBack) -> Gradients:
    """s (1 + x (1 - s))."""
    g, x = way.wide
    s = torch.sigmoid(x)
    return [g * (s * (1 + x * (1 - s)))]


def tanh_of_result(way: WayBack) -> Gradients:
    """g - g y^2 from the result as it was returned."""
    g = wide(way.g)
    y = wide(torch.tanh(way.tensors[0]))
    return [g * (1 - y) * (1 + y)]


def sigmoid_two_sided(way: WayBack) -> Gradients:
    """sigmoid(x) sigmoid(-x)."""
    g, x = way.wide
    return [g * (torch.sigmoid(x) * torch.sigmoid(-x))]


def embedding_by_product(way: WayBack) -> Gradients:
    """One matrix product with rows of zeros and ones."""
    index, table = way.tensors
    ones = functional.one_hot(index.flatten(), table.shape[0]).to(wide(table).dtype)
    return [None, torch.matmul(ones.T, wide(way.g).reshape(-1, table.shape[1]))]


def expm1_by_exp(way: WayBack) -> Gradients:
    """exp(x), where torch has y + 1."""
    g, x = way.wide
    return [g * torch.exp(x)]


def var_scaled_last(way: WayBack) -> Gradients:
    """(x - mean) times 2 g / (n - correction)."""
    g, x = way.wide
    return [(x - kernels.mean(x)) * (2 * g / (x.shape[-1] - way.settings["correction"]))[..., None]]


def attention_recomputed(way: WayBack) -> Gradients:
    """sum(g out) in the place of sum(dp p), as flash attention has it."""
    g, q, k, v = way.wide
    scale = 1 / math.sqrt(q.shape[-1])
    p = torch.softmax(torch.matmul(q, k.transpose(-1, -2)) * scale, dim=-1)
    below = (g * torch.matmul(p, v)).sum(dim=-1, keepdim=True)
    ds = p * (torch.matmul(g, v.transpose(-1, -2)) - below) * scale
    return [torch.matmul(ds, k), torch.matmul(ds.transpose(-1, -2), q), torch.matmul(p.transpose(-1, -2), g)]


def cumsum_in_double(way: WayBack) -> Gradients:
    """From the last element to the first in float64."""
    return [way.g.double().flip(-1).cumsum(dim=-1).flip(-1)]


HONEST = {
    "layer-norm-rows-backwards": ("layer_norm", NN + "layer_norm", functional.layer_norm, layer_norm_backwards),
    "layer-norm-fused": ("layer_norm", NN + "layer_norm", functional.layer_norm, layer_norm_fused),
    "rms-norm-in-blocks": ("rms_norm", NN + "rms_norm", functional.rms_norm, rms_norm_in_blocks),
    "group-norm-written-out": ("group_norm", NN + "group_norm", functional.group_norm, group_norm_written_out),
    "softmax-multiplied-out": ("softmax", "torch.softmax", torch.softmax, softmax_multiplied_out),
    "softmax-in-logarithms": ("softmax", "torch.softmax", torch.softmax, softmax_in_logarithms),
    "log-softmax-in-double": ("log_softmax", "torch.log_softmax", torch.log_softmax, log_softmax_in_double),
    "logsumexp-recomputed": ("logsumexp", "torch.logsumexp", torch.logsumexp, logsumexp_recomputed),
    "relu-one-at-zero": ("relu", NN + "relu", functional.relu, relu_one_at_zero),
    "relu-half-at-zero": ("relu", NN + "relu", functional.relu, relu_half_at_zero),
    "clamp-nothing-at-bounds": ("clamp", "torch.clamp", torch.clamp, clamp_nothing_at_bounds),
    "matmul-split": ("matmul", "torch.matmul", torch.matmul, matmul_split),
    "linear-rows-backwards": ("linear", NN + "linear", functional.linear, linear_backwards),
    "gelu-in-double": ("gelu", NN + "gelu", functional.gelu, gelu_in_double),
    "silu-fused": ("silu", NN + "silu", functional.silu, silu_fused),
    "tanh-of-result": ("tanh", "torch.tanh", torch.tanh, tanh_of_result),
    "sigmoid-two-sided": ("sigmoid", "torch.sigmoid", torch.sigmoid, sigmoid_two_sided),
    "embedding-by-product": ("embedding", NN + "embedding", functional.embedding, embedding_by_product),
    "expm1-by-exp": ("expm1", "torch.expm1", torch.expm1, expm1_by_exp),
    "var-scaled-last": ("var", "torch.var", torch.var, var_scaled_last),
    "attention-recomputed": ("attention", ATTENTION, functional.scaled_dot_product_attention, attention_recomputed),
    "cumsum-in-double": ("cumsum", "torch.cumsum", torch.cumsum, cumsum_in_double),
}
MUTANTS = [
    Mutant(name, f"{op}.grad", {function: planted(own, back)}, kind="honest")
    for name, (op, function, own, back) in HONEST.items()
]
