"""Faults of tensors, or of a cotangent, that do not lie in memory as the way back expects."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch.nn import functional

from opfuzz.engine.selftest import Mutant
from opfuzz.engine.selftest.torch_faults.rounding import as_if_contiguous, through
from opfuzz.engine.selftest.torch_gradients import kernels
from opfuzz.engine.selftest.torch_gradients.way import Gradients, WayBack, planted

NN = "torch.nn.functional."
STRIDES = "contiguous|layout|view|views|transposed|permuted|stepped|narrowed|broadcast"


def flat_cotangent(way: WayBack) -> Gradients:
    """The strides of the cotangent are ignored."""
    return way.right(g=as_if_contiguous(way.g))


def layer_norm_flat_cotangent(way: WayBack) -> Gradients:
    """The same, in a kernel that is written out."""
    return kernels.layer_norm_back(replace(way, g=as_if_contiguous(way.g)))


def group_norm_channels_last(way: WayBack) -> Gradients:
    """Channels that lie last are taken to lie first (pytorch #175189)."""
    x = way.tensors[0]
    is_last = x.stride(1) == 1 and x.stride(2) > 1
    return way.right(tensors=[as_if_contiguous(x) if is_last else x, *way.tensors[1:]])


def linear_flat_input(way: WayBack) -> Gradients:
    """x is read as it lies for the gradient of the weight; the gradient by x has no part in it."""
    x, *rest = way.tensors
    return way.right(tensors=[as_if_contiguous(x), *rest])


def softmax_expanded_cotangent(way: WayBack) -> Gradients:
    """Of a cotangent of stride 0 only the first element is there."""
    g = way.g
    if g.dim() and g.numel() > 1 and any(n > 1 and s == 0 for n, s in zip(g.shape, g.stride(), strict=True)):
        first = torch.zeros_like(g, memory_format=torch.contiguous_format)
        first.view(-1)[0] = g.flatten()[0]
        g = first
    return way.right(g=g)


def conv1d_half_weight(way: WayBack) -> Gradients:
    """A weight that is no contiguous one takes a kernel of float16."""
    x, weight = way.tensors
    if weight.is_contiguous() or weight.element_size() < 4:
        return way.right()
    return way.right(tensors=[x, through(weight, torch.float16)])


def embedding_pitch(way: WayBack) -> Gradients:
    """Row i of the cotangent is read at i times the width, wherever the rows lie."""
    return way.right(g=as_if_contiguous(way.g))


def gelu_views_of_tanh(way: WayBack) -> Gradients:
    """What is no contiguous tensor is differentiated by another formula: the approximation by tanh."""
    x = way.tensors[0]
    if x.is_contiguous():
        return way.right()
    with torch.enable_grad():
        own = x.detach().requires_grad_()
        (made,) = torch.autograd.grad(functional.gelu(own, approximate="tanh"), own, way.g)
    return [made]


def rms_norm_offset(way: WayBack) -> Gradients:
    """The cotangent is read from the start of its memory."""
    return way.right(g=as_if_contiguous(way.g, 0) if way.g.is_contiguous() else way.g)


def matmul_transposed_factor(way: WayBack) -> Gradients:
    """A transposed second factor is transposed once more, if it is square."""
    g, a, b = way.wide
    is_turned = b.shape[-1] == b.shape[-2] and b.stride(-2) == 1 and b.stride(-1) > 1
    first = torch.matmul(g, b if is_turned else b.transpose(-1, -2))
    return [first, torch.matmul(a.transpose(-1, -2), g)]


MUTANTS = [
    Mutant("tanh-cotangent-flat", "tanh.grad", {"torch.tanh": planted(torch.tanh, flat_cotangent)}, cause=STRIDES),
    Mutant(
        "layer-norm-cotangent-flat",
        "layer_norm.grad",
        {NN + "layer_norm": planted(functional.layer_norm, layer_norm_flat_cotangent)},
        cause=STRIDES,
    ),
    Mutant(
        "group-norm-channels-last",
        "group_norm.grad",
        {NN + "group_norm": planted(functional.group_norm, group_norm_channels_last)},
        cause=STRIDES,
    ),
    Mutant(
        "linear-input-flat",
        "linear.grad",
        {NN + "linear": planted(functional.linear, linear_flat_input)},
        cause=STRIDES,
    ),
    Mutant(
        "softmax-cotangent-expanded",
        "softmax.grad",
        {"torch.softmax": planted(torch.softmax, softmax_expanded_cotangent)},
        cause=STRIDES,
    ),
    Mutant(
        "conv1d-weight-view-in-float16",
        "conv1d.grad",
        {NN + "conv1d": planted(functional.conv1d, conv1d_half_weight)},
        cause=f"{STRIDES}|float16|11 bits",
    ),
    Mutant(
        "embedding-cotangent-pitch",
        "embedding.grad",
        {NN + "embedding": planted(functional.embedding, embedding_pitch)},
        cause=STRIDES,
    ),
    Mutant(
        "gelu-views-by-tanh",
        "gelu.grad",
        {NN + "gelu": planted(functional.gelu, gelu_views_of_tanh)},
        cause=f"{STRIDES}|tanh",
    ),
    Mutant(
        "rms-norm-cotangent-offset",
        "rms_norm.grad",
        {NN + "rms_norm": planted(functional.rms_norm, rms_norm_offset)},
        cause=f"{STRIDES}|offset",
    ),
    Mutant(
        "matmul-transposed-twice",
        "matmul.grad",
        {"torch.matmul": planted(torch.matmul, matmul_transposed_factor)},
        cause=STRIDES,
    ),
]
