"""Faults of the way back in one factor for all, in what is added up, and in where elements are put."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from opfuzz.engine.selftest import Mutant
from opfuzz.engine.selftest.torch_gradients import kernels
from opfuzz.engine.selftest.torch_gradients.kernels import rows
from opfuzz.engine.selftest.torch_gradients.way import Gradients, WayBack, altered, only, planted

NN = "torch.nn.functional."


def mean_of_rows(x: Tensor) -> Tensor:
    """The mean over the batch in the place of the sum."""
    return rows(x).sum(dim=0) / max(rows(x).shape[0], 1)


def without_last_row(x: Tensor) -> Tensor:
    """The last row is not added."""
    return rows(x)[:-1].sum(dim=0)


def layer_norm_mean_over_batch(way: WayBack) -> Gradients:
    """Gradients of weight and bias are divided by the number of rows."""
    return kernels.layer_norm_back(way, total=mean_of_rows)


def conv1d_weight_reversed(way: WayBack, made: list[Tensor | None]) -> Gradients:
    """The gradient of the weight is written back to front."""
    assert made[1] is not None
    return [made[0], made[1].flip(2)]


def linear_weight_transposed(way: WayBack, made: list[Tensor | None]) -> Gradients:
    """A square gradient of the weight is transposed."""
    assert made[1] is not None
    return [made[0], made[1].T if made[1].shape[0] == made[1].shape[1] else made[1], made[2]]


def linear_bias_without_last_row(way: WayBack) -> Gradients:
    """The gradient of the bias leaves out the last row."""
    own = kernels.linear_back(way)
    return [*own[:2], without_last_row(way.wide[0])]


def linear_weight_averaged(way: WayBack, made: list[Tensor | None]) -> Gradients:
    """The gradient of the weight is divided by the batch."""
    assert made[1] is not None
    return [made[0], made[1] / max(way.tensors[0].shape[0], 1), made[2]]


def matmul_cotangent_transposed(way: WayBack) -> Gradients:
    """A square cotangent is transposed for the gradient of the first factor."""
    g, a, b = way.wide
    turned = g.transpose(-1, -2) if g.shape[-1] == g.shape[-2] else g
    return [torch.matmul(turned, b.transpose(-1, -2)), torch.matmul(a.transpose(-1, -2), g)]


def cumsum_forwards(way: WayBack) -> Gradients:
    """The running sum of the cotangent from the first element on, not from the last."""
    return [torch.cumsum(way.wide[0], dim=-1)]


def conv_transpose1d_half_padding(way: WayBack, made: list[Tensor | None]) -> Gradients:
    """The last place of the gradient by x is not written."""
    assert made[0] is not None
    own = made[0].clone()
    own[..., -1:] = 0
    return [own, made[1]]


def twice(way: WayBack, made: Tensor) -> Tensor:
    """Two times what is right."""
    return 2 * made


def halved(way: WayBack, made: Tensor) -> Tensor:
    """Half of what is right."""
    return made / 2


def by_places(way: WayBack, made: Tensor) -> Tensor:
    """Not divided by the number of places."""
    return made * way.tensors[0].shape[-1]


def negative(way: WayBack, made: Tensor) -> Tensor:
    """The sign is wrong."""
    return -made


def shifted(way: WayBack, made: Tensor) -> Tensor:
    """One place further."""
    return made.roll(1, dims=-1)


LAYER_NORM, LINEAR = NN + "layer_norm", NN + "linear"

MUTANTS = [
    Mutant(
        "layer-norm-weight-averaged",
        "layer_norm.grad",
        {LAYER_NORM: planted(functional.layer_norm, layer_norm_mean_over_batch)},
        cause="1/batch",
        condition="batch >= 2",
    ),
    Mutant(
        "conv1d-weight-reversed",
        "conv1d.grad",
        {NN + "conv1d": altered(functional.conv1d, conv1d_weight_reversed)},
        cause="reversed|flipped",
        condition="k >= 2|k == 2",
    ),
    Mutant(
        "linear-weight-transposed",
        "linear.grad",
        {LINEAR: altered(functional.linear, linear_weight_transposed)},
        cause="transposed",
        condition="d_in == d_out and d_in >= 2|d_in == d_out|d_in == 2 and d_out == 2",
    ),
    Mutant(
        "linear-bias-misses-a-row",
        "linear.grad",
        {LINEAR: planted(functional.linear, linear_bias_without_last_row)},
        cause="last term|last row",
    ),
    Mutant(
        "linear-weight-averaged",
        "linear.grad",
        {LINEAR: altered(functional.linear, linear_weight_averaged)},
        cause="1/batch",
        condition="batch >= 2",
    ),
    Mutant(
        "matmul-cotangent-transposed",
        "matmul.grad",
        {"torch.matmul": planted(torch.matmul, matmul_cotangent_transposed)},
        cause="cotangent were transposed",
    ),
    Mutant(
        "cumsum-forwards",
        "cumsum.grad",
        {"torch.cumsum": planted(torch.cumsum, cumsum_forwards)},
        cause="other way|variant 'reverse'",
        condition="n >= 2",
    ),
    Mutant(
        "conv-transpose1d-last-place-lost",
        "conv_transpose1d.grad",
        {NN + "conv_transpose1d": altered(functional.conv_transpose1d, conv_transpose1d_half_padding)},
        cause="0 at the last",
    ),
    Mutant(
        "mse-loss-without-two",
        "mse_loss.grad",
        {
            NN + "mse_loss": planted(
                functional.mse_loss, lambda way: [each / 2 for each in way.right() if each is not None]
            )
        },
        cause="half|1/2|leaves out",
    ),
    Mutant("exp-twice", "exp.grad", {"torch.exp": altered(torch.exp, only(0, twice))}, cause="2 times"),
    Mutant(
        "mean-not-divided",
        "mean.grad",
        {"torch.mean": altered(torch.mean, only(0, by_places))},
        cause="n times|not divided by n",
        condition="n >= 2",
    ),
    Mutant("cos-sign", "cos.grad", {"torch.cos": altered(torch.cos, only(0, negative))}, cause="-1 times|negative"),
    Mutant(
        "conv1d-gradient-shifted",
        "conv1d.grad",
        {NN + "conv1d": altered(functional.conv1d, only(0, shifted))},
        cause="shifted",
        condition="length >= 2",
    ),
    Mutant(
        "sum-halved",
        "sum.grad",
        {"torch.sum": altered(torch.sum, only(0, halved))},
        cause="1/2 times",
    ),
]
