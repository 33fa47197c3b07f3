"""Faults of reduced precision: factors, functions or results with fewer bits than the format has."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

from opfuzz.engine.selftest import Mutant
from opfuzz.engine.selftest.torch_faults.rounding import int_steps, through, to_bits, wide

NN = "torch.nn.functional."
ELEVEN = "11 bits|11-bit|tf32|float16"
EIGHT = "8 bits|8-bit|bfloat16"


def matmul_tf32(a: Tensor, b: Tensor) -> Tensor:
    """Factors of 11 bits where the result has at least two rows and two columns (mlx #4411)."""
    if min(a.shape[-2], b.shape[-1]) < 2:
        return torch.matmul(a, b)
    return torch.matmul(to_bits(a, 11), to_bits(b, 11))


def linear_bfloat16(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Factors of 8 bits in float32."""
    return functional.linear(to_bits(x, 8), to_bits(weight, 8), bias)


def conv1d_tf32(x: Tensor, weight: Tensor, bias: Tensor | None = None, **options: object) -> Tensor:
    """Factors of 11 bits."""
    return functional.conv1d(to_bits(x, 11), to_bits(weight, 11), bias, **options)


def attention_tf32(q: Tensor, k: Tensor, v: Tensor, attn_mask: Tensor | None = None) -> Tensor:
    """All three inputs with 11 bits."""
    return functional.scaled_dot_product_attention(to_bits(q, 11), to_bits(k, 11), to_bits(v, 11), attn_mask)


def sin_of_double(x: Tensor) -> Tensor:
    """float64 is computed as float32 (mlx #4158)."""
    return torch.sin(x.float()).to(x.dtype) if x.dtype == torch.float64 else torch.sin(x)


def cos_of_double(x: Tensor) -> Tensor:
    """The same for cos."""
    return torch.cos(x.float()).to(x.dtype) if x.dtype == torch.float64 else torch.cos(x)


def exp_of_double(x: Tensor) -> Tensor:
    """The same for exp."""
    return torch.exp(x.float()).to(x.dtype) if x.dtype == torch.float64 else torch.exp(x)


def mean_of_double(x: Tensor, dim: int) -> Tensor:
    """float64 is summed in float32."""
    return torch.mean(x.float(), dim=dim).to(x.dtype) if x.dtype == torch.float64 else torch.mean(x, dim=dim)


def gelu_int8(x: Tensor, approximate: str = "none") -> Tensor:
    """The result in 255 steps of a row."""
    return int_steps(functional.gelu(x, approximate=approximate), 8)


def linear_int8(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Weights of 8 bits with a scale a row."""
    return functional.linear(x, int_steps(weight, 8), bias)


def linear_int4(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Weights of 4 bits with a scale a row."""
    return functional.linear(x, int_steps(weight, 4), bias)


def exp_schraudolph(x: Tensor) -> Tensor:
    """The exponent field is filled with x / ln 2, a straight line between powers of two."""
    if x.dtype != torch.float32:
        return torch.exp(x)
    fields = (x * (2**23 / math.log(2)) + (127 * 2**23 - 486411)).clamp(0, 255 * 2**23)
    return torch.where(torch.isnan(x), x, torch.nan_to_num(fields).to(torch.int32).view(torch.float32))


def rsqrt_magic(x: Tensor) -> Tensor:
    """0x5f3759df and one Newton step."""
    if x.dtype != torch.float32:
        return torch.rsqrt(x)
    guess = (0x5F3759DF - (x.contiguous().view(torch.int32) >> 1)).view(torch.float32)
    y = guess * (1.5 - 0.5 * x * guess * guess)
    return torch.where(torch.isfinite(x) & (x > 0), y, torch.rsqrt(x))


def tanh_rational(x: Tensor) -> Tensor:
    """x (27 + x^2) / (27 + 9 x^2), clipped."""
    v = wide(x)
    return torch.where(v.abs() < 3, v * (27 + v * v) / (27 + 9 * v * v), torch.tanh(100 * v)).to(x.dtype)


def erf_polynomial(x: Tensor) -> Tensor:
    """Abramowitz and Stegun 7.1.26."""
    z = wide(x).abs()
    t = 1 / (1 + 0.3275911 * z)
    series = t * (0.254829592 + t * (-0.284496736 + t * (1.421413741 + t * (-1.453152027 + t * 1.061405429))))
    return torch.copysign(1 - series * torch.exp(-z * z), wide(x)).to(x.dtype)


def sigmoid_fast(x: Tensor) -> Tensor:
    """exp by base 2, whose argument is rounded before it is reduced: some ulp more, as compiled (mlx PR #4461)."""
    return (1 / (1 + torch.exp2(wide(x) * -1.4426950408889634))).to(x.dtype)


def layer_norm_float16(x: Tensor, shape: list[int], weight: Tensor, bias: Tensor, eps: float) -> Tensor:
    """float32 is normalised in float16."""
    y = functional.layer_norm(x, shape, None, None, eps)
    return (through(y, torch.float16) if x.dtype == torch.float32 else y) * weight + bias


def softmax_bfloat16(x: Tensor, dim: int) -> Tensor:
    """The exponentials of float32 are kept in bfloat16."""
    if x.dtype != torch.float32:
        return torch.softmax(x, dim=dim)
    raised = through(torch.exp(x - x.amax(dim=dim, keepdim=True)), torch.bfloat16)
    return raised / raised.sum(dim=dim, keepdim=True)


def sin_of_large(x: Tensor) -> Tensor:
    """The argument is reduced by a pi of float32."""
    turn = 6.2831854820251465
    return torch.sin(wide(x) - torch.round(wide(x) / turn) * turn).to(x.dtype)


def silu_fast(x: Tensor) -> Tensor:
    """The sigmoid has the 16 bits of a table."""
    return (wide(x) * (torch.round(torch.sigmoid(wide(x)) * 65536) / 65536)).to(x.dtype)


def upsample_rounded(x: Tensor, scale_factor: int, mode: str) -> Tensor:
    """Where a position comes from is found with a reciprocal of float16."""
    reciprocal = float(torch.tensor(1 / scale_factor).half())
    places = torch.floor(torch.arange(x.shape[2] * scale_factor) * reciprocal).long()
    return x[:, :, places.clamp_max(x.shape[2] - 1)]


def log_softmax_half_logarithm(x: Tensor, dim: int) -> Tensor:
    """The logarithm of the sum is kept in float16."""
    total = through(torch.logsumexp(wide(x), dim=dim, keepdim=True), torch.float16)
    return (wide(x) - total).to(x.dtype)


MUTANTS = [
    Mutant(
        "matmul-11-bits", "matmul", {"torch.matmul": matmul_tf32}, cause=ELEVEN, fewest=8, condition="m >= 2 and n >= 2"
    ),
    Mutant("linear-8-bits", "linear", {NN + "linear": linear_bfloat16}, cause=EIGHT, fewest=4),
    Mutant("conv1d-11-bits", "conv1d", {NN + "conv1d": conv1d_tf32}, cause=ELEVEN, fewest=3),
    Mutant(
        "attention-11-bits", "attention", {NN + "scaled_dot_product_attention": attention_tf32}, cause=ELEVEN, fewest=4
    ),
    Mutant("sin-float64-as-float32", "sin", {"torch.sin": sin_of_double}, cause="float32|24 bits", fewest=2),
    Mutant("cos-float64-as-float32", "cos", {"torch.cos": cos_of_double}, cause="float32|24 bits", fewest=2),
    Mutant("exp-float64-as-float32", "exp", {"torch.exp": exp_of_double}, cause="float32|24 bits", fewest=2),
    Mutant("mean-float64-as-float32", "mean", {"torch.mean": mean_of_double}, cause="float32|24 bits", fewest=2),
    Mutant("gelu-int8-steps", "gelu", {NN + "gelu": gelu_int8}, cause="int8|255 steps|256 steps", fewest=4),
    Mutant("linear-int8-weights", "linear", {NN + "linear": linear_int8}, cause="int8", fewest=6),
    Mutant("linear-int4-weights", "linear", {NN + "linear": linear_int4}, cause="int4", fewest=6),
    Mutant("exp-schraudolph", "exp", {"torch.exp": exp_schraudolph}, cause="5 bits|6 bits|bits", fewest=2),
    Mutant(
        "rsqrt-magic-number",
        "rsqrt",
        {"torch.rsqrt": rsqrt_magic},
        cause="9 bits|10 bits|11 bits|8 bits|bits",
        fewest=2,
    ),
    Mutant("tanh-rational", "tanh", {"torch.tanh": tanh_rational}, cause="bits", fewest=2),
    Mutant("erf-polynomial-7.1.26", "erf", {"torch.erf": erf_polynomial}, cause="7.1.26", fewest=2),
    Mutant("sigmoid-five-times-the-error", "sigmoid", {"torch.sigmoid": sigmoid_fast}, cause="bits|exp", fewest=2),
    Mutant(
        "layer-norm-float16",
        "layer_norm",
        {NN + "layer_norm": layer_norm_float16},
        cause=ELEVEN,
        fewest=8,
        condition="d >= 2",
    ),
    Mutant(
        "softmax-bfloat16-exponentials",
        "softmax",
        {"torch.softmax": softmax_bfloat16},
        cause=EIGHT,
        fewest=4,
        condition="n >= 2",
    ),
    Mutant("sin-short-pi", "sin", {"torch.sin": sin_of_large}, cause="argument|reduction|angles|pi", fewest=2),
    Mutant("silu-sigmoid-from-a-table", "silu", {NN + "silu": silu_fast}, cause="bits|steps", fewest=2),
    Mutant(
        "upsample-rounded-scale",
        "upsample_nearest",
        {NN + "interpolate": upsample_rounded},
        cause="factor",
        fewest=8,
        condition="length >= 2",
    ),
    Mutant(
        "log-softmax-float16-sum",
        "log_softmax",
        {"torch.log_softmax": log_softmax_half_logarithm},
        cause=ELEVEN,
        fewest=2,
    ),
]
