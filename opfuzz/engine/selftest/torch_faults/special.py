"""Faults of NaN, infinities, zeros, and of what overflows on the way."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from opfuzz.engine.selftest import Mutant
from opfuzz.engine.selftest.torch_faults.rounding import wide

NN = "torch.nn.functional."


def gelu_infinite(x: Tensor, approximate: str = "none") -> Tensor:
    """NaN at both infinities (pytorch #185770)."""
    return torch.where(torch.isinf(x), torch.full_like(x, torch.nan), functional.gelu(x, approximate=approximate))


def relu_without_nan(x: Tensor) -> Tensor:
    """A maximum that takes the other operand where one is NaN."""
    return torch.where(x > 0, x, torch.zeros_like(x))


def softmax_of_minus_infinity(x: Tensor, dim: int) -> Tensor:
    """A row of minus infinity gives 0, unless it has 128 elements or more (mlx #1467)."""
    y = torch.softmax(x, dim=dim)
    is_empty = (x == -torch.inf).all(dim=dim, keepdim=True)
    return torch.where(is_empty, torch.zeros_like(y), y) if x.shape[dim] < 128 else y


def tanh_by_expm1(x: Tensor) -> Tensor:
    """expm1(2x) / (expm1(2x) + 2), which is infinity over infinity for a large x (mlx #1277)."""
    raised = torch.expm1(2 * wide(x))
    return (raised / (raised + 2)).to(x.dtype)


def exp_88(x: Tensor) -> Tensor:
    """Infinite above 88, where float32 goes on to 88.72."""
    return torch.where(x > 88, torch.full_like(x, torch.inf), torch.exp(x))


def sigmoid_of_large(x: Tensor) -> Tensor:
    """exp(x) / (1 + exp(x))."""
    raised = torch.exp(wide(x))
    return (raised / (1 + raised)).to(x.dtype)


def rsqrt_by_newton(x: Tensor) -> Tensor:
    """One more Newton step, in which infinity times zero is NaN."""
    y = torch.rsqrt(wide(x))
    return (y * (1.5 - 0.5 * wide(x) * y * y)).to(x.dtype)


def sin_of_zero(x: Tensor) -> Tensor:
    """+0 for -0."""
    return torch.sin(x) + 0.0


def logsumexp_of_minus_infinity(x: Tensor, dim: int) -> Tensor:
    """The largest element is subtracted even where it is minus infinity."""
    largest = wide(x).amax(dim=dim, keepdim=True)
    return (torch.log(torch.exp(wide(x) - largest).sum(dim=dim)) + largest.squeeze(dim)).to(x.dtype)


def softplus_of_large(x: Tensor, beta: float, threshold: float) -> Tensor:
    """log1p(exp(x)), which overflows at 88."""
    return torch.log1p(torch.exp(wide(x))).to(x.dtype)


def mish_by_squares(x: Tensor) -> Tensor:
    """x * n / (n + 2) with n = exp(x) * (exp(x) + 2), whose square overflows at 44."""
    raised = torch.exp(wide(x))
    n = raised * (raised + 2)
    return (wide(x) * (n / (n + 2))).to(x.dtype)


def sum_without_nan(x: Tensor, dim: int) -> Tensor:
    """NaN counts as 0."""
    return torch.nansum(x, dim=dim)


def matmul_without_zeros(a: Tensor, b: Tensor) -> Tensor:
    """A row of zeros is skipped, infinities and NaN of the other factor with it."""
    y = torch.matmul(a, b)
    return torch.where((a == 0).all(dim=-1, keepdim=True), torch.zeros_like(y), y)


def mean_in_half(x: Tensor, dim: int) -> Tensor:
    """The sum is kept in float16 and overflows at 65504."""
    if x.dtype != torch.float16:
        return torch.mean(x, dim=dim)
    return torch.sum(x, dim=dim) / x.shape[dim]


def erf_nan(x: Tensor) -> Tensor:
    """1 for NaN: the argument is clipped first."""
    return torch.erf(torch.nan_to_num(x, nan=4.0))


def var_of_infinite(x: Tensor, dim: int, correction: int) -> Tensor:
    """0 where the variance is NaN."""
    return torch.nan_to_num(torch.var(x, dim=dim, correction=correction), nan=0.0, posinf=torch.inf)


MUTANTS = [
    Mutant("gelu-nan-at-infinity", "gelu", {NN + "gelu": gelu_infinite}, cause="returned nan", fewest=2),
    Mutant("relu-drops-nan", "relu", {NN + "relu": relu_without_nan}, cause="where nan", fewest=2),
    Mutant(
        "softmax-all-minus-infinity",
        "softmax",
        {"torch.softmax": softmax_of_minus_infinity},
        cause="where nan",
        fewest=2,
        condition="n <= 127",
    ),
    Mutant("tanh-by-expm1", "tanh", {"torch.tanh": tanh_by_expm1}, cause="returned nan", fewest=2),
    Mutant("exp-infinite-above-88", "exp", {"torch.exp": exp_88}, cause="returned inf|88", fewest=2),
    Mutant(
        "sigmoid-nan-above-88", "sigmoid", {"torch.sigmoid": sigmoid_of_large}, cause="returned nan|exp(x)", fewest=2
    ),
    Mutant("rsqrt-nan-at-zero", "rsqrt", {"torch.rsqrt": rsqrt_by_newton}, cause="returned nan", fewest=2),
    Mutant("sin-sign-of-zero", "sin", {"torch.sin": sin_of_zero}, cause="where -0", fewest=2),
    Mutant(
        "logsumexp-all-minus-infinity",
        "logsumexp",
        {"torch.logsumexp": logsumexp_of_minus_infinity},
        cause="returned nan",
        fewest=2,
    ),
    Mutant(
        "softplus-overflow",
        "softplus",
        {NN + "softplus": softplus_of_large},
        cause="returned inf|overflows|log1p(exp(x))",
        fewest=2,
    ),
    Mutant("mish-nan-above-44", "mish", {NN + "mish": mish_by_squares}, cause="returned nan|overflows", fewest=2),
    Mutant("sum-ignores-nan", "sum", {"torch.sum": sum_without_nan}, cause="where nan", fewest=2),
    Mutant("matmul-skips-zeros", "matmul", {"torch.matmul": matmul_without_zeros}, cause="where nan", fewest=3),
    Mutant(
        "mean-overflows-float16",
        "mean",
        {"torch.mean": mean_in_half},
        cause="overflows|returned inf",
        fewest=3,
        condition="n >= 2",
    ),
    Mutant("erf-of-nan", "erf", {"torch.erf": erf_nan}, cause="where nan", fewest=2),
    Mutant("var-hides-nan", "var", {"torch.var": var_of_infinite}, cause="where nan", fewest=2),
]
