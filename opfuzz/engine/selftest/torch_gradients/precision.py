"""Faults of precision: factors, cotangents or slopes of fewer bits than the format."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from opfuzz.engine.selftest import Mutant
from opfuzz.engine.selftest.torch_faults.rounding import through, to_bits
from opfuzz.engine.selftest.torch_gradients.way import Gradients, WayBack, altered, only, planted

NN = "torch.nn.functional."
TF32, ELEVEN, EIGHT = "11 bits|TF32", "11 bits|float16", "8 bits|8-bit|bfloat16"


def coarse(bits: int, way: WayBack) -> Gradients:
    """float32: cotangent and tensors are rounded to so many bits first."""
    return way.right(g=to_bits(way.g, bits), tensors=[to_bits(each, bits) for each in way.tensors])


def tf32(way: WayBack) -> Gradients:
    """11 bits of each factor."""
    return coarse(11, way)


def eight_bits(way: WayBack) -> Gradients:
    """8 bits of each factor."""
    return coarse(8, way)


def half_cotangent(way: WayBack) -> Gradients:
    """The cotangent comes in float16, as under automatic mixed precision."""
    return way.right(g=way.g if way.g.element_size() < 4 else through(way.g, torch.float16))


def bfloat16_cotangent(way: WayBack) -> Gradients:
    """The cotangent comes in bfloat16."""
    return way.right(g=way.g if way.g.element_size() < 4 else through(way.g, torch.bfloat16))


def bfloat16_result(way: WayBack, made: Tensor) -> Tensor:
    """The gradient goes through bfloat16."""
    return made if made.element_size() < 4 else through(made, torch.bfloat16)


def float32_inside(way: WayBack) -> Gradients:
    """float64 is differentiated in float32."""
    if way.g.dtype != torch.float64:
        return way.right()
    return way.right(g=way.g.float(), tensors=[each.float() for each in way.tensors])


def gelu_slope_in_bfloat16(way: WayBack) -> Gradients:
    """The slope goes through bfloat16."""
    x = way.tensors[0]
    slope = way.right(g=torch.ones_like(x))[0]
    assert slope is not None
    return [way.g * (slope if slope.element_size() < 4 else through(slope, torch.bfloat16))]


def rms_norm_rough_root(way: WayBack) -> Gradients:
    """1/rms by an estimate of 12 bits without a step of Newton's."""
    g, x, weight = way.wide
    r = torch.rsqrt((x * x).mean(dim=-1, keepdim=True) + way.settings["eps"])
    r = to_bits(r, 12)
    normal, h = x * r, g * weight
    own = r * (h - normal * (h * normal).mean(dim=-1, keepdim=True))
    return [own, (g * normal).reshape(-1, x.shape[-1]).sum(dim=0)]


MUTANTS = [
    Mutant("matmul-11-bits", "matmul.grad", {"torch.matmul": planted(torch.matmul, tf32)}, cause=TF32),
    Mutant("matmul-8-bits", "matmul.grad", {"torch.matmul": planted(torch.matmul, eight_bits)}, cause=EIGHT),
    Mutant("conv1d-11-bits", "conv1d.grad", {NN + "conv1d": planted(functional.conv1d, tf32)}, cause=TF32),
    Mutant("linear-8-bits", "linear.grad", {NN + "linear": planted(functional.linear, eight_bits)}, cause=EIGHT),
    Mutant(
        "layer-norm-cotangent-in-float16",
        "layer_norm.grad",
        {NN + "layer_norm": planted(functional.layer_norm, half_cotangent)},
        cause=ELEVEN,
    ),
    Mutant(
        "softmax-cotangent-in-bfloat16",
        "softmax.grad",
        {"torch.softmax": planted(torch.softmax, bfloat16_cotangent)},
        cause=EIGHT,
    ),
    Mutant(
        "silu-result-in-bfloat16",
        "silu.grad",
        {NN + "silu": altered(functional.silu, only(0, bfloat16_result))},
        cause=EIGHT,
    ),
    Mutant(
        "log-softmax-float64-as-float32",
        "log_softmax.grad",
        {"torch.log_softmax": planted(torch.log_softmax, float32_inside)},
        cause="float32|24 bits",
    ),
    Mutant(
        "gelu-slope-in-bfloat16",
        "gelu.grad",
        {NN + "gelu": planted(functional.gelu, gelu_slope_in_bfloat16)},
        cause=EIGHT,
    ),
    Mutant(
        "rms-norm-root-of-12-bits",
        "rms_norm.grad",
        {NN + "rms_norm": planted(functional.rms_norm, rms_norm_rough_root)},
        cause="12 bits|12-bit|float16",
    ),
]
