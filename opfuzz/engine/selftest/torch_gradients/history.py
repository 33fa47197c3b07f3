"""Faults of the way back that depend on what was called before."""

from __future__ import annotations

from itertools import count

import torch
from torch import Tensor
from torch.nn import functional

from opfuzz.engine.selftest import Mutant
from opfuzz.engine.selftest.torch_faults.rounding import through
from opfuzz.engine.selftest.torch_gradients import kernels
from opfuzz.engine.selftest.torch_gradients.way import Gradients, WayBack, altered, planted

NN = "torch.nn.functional."
EARLIER = "twice|repeated|two calls|same call|equal calls|earlier call|other work|after a call"

_calls = count()
_last_batch: list[int] = []
_statistics: dict[tuple[int, ...], Tensor] = {}
_workspace: list[Tensor] = []
_tuned: set[tuple[int, ...]] = set()


def linear_after_another_batch(way: WayBack, made: list[Tensor | None]) -> Gradients:
    """After a call with a larger batch the gradient of the weight is too large by their quotient (pytorch #177116)."""
    own = way.tensors[0].shape[0]
    last = _last_batch.pop() if _last_batch else own
    _last_batch.append(own)
    assert made[1] is not None
    return [made[0], made[1] * (last / own if own and last > own else 1), made[2]]


def layer_norm_stale(way: WayBack) -> Gradients:
    """1/sd is remembered by shape."""
    own: list[Tensor] = []

    def kept(statistic: Tensor) -> Tensor:
        own.append(statistic)
        if len(own) != 2:
            return statistic
        return _statistics.setdefault(tuple(way.tensors[0].shape), statistic).to(statistic.dtype)

    return kernels.layer_norm_back(way, saved=kept)


def matmul_added_to(way: WayBack) -> Gradients:
    """A buffer that is large enough is used again for the second gradient, and not cleared before it is added to."""
    first, own = way.right()
    assert own is not None
    left = _workspace.pop() if _workspace else torch.zeros(0)
    _workspace.append(own.float().flatten())
    if left.numel() < own.numel() or not own.numel():
        return [first, own]
    return [first, own + left[: own.numel()].reshape(own.shape).to(own.dtype)]


def conv1d_every_second(way: WayBack, made: list[Tensor | None]) -> Gradients:
    """Every second gradient of a weight is halved."""
    assert made[1] is not None
    return [made[0], made[1] / (1 + next(_calls) % 2)]


def softmax_tuned(way: WayBack) -> Gradients:
    """The first call of a shape measures kernels and is right; those that follow use the fastest, in float16."""
    (own,) = kernels.softmax_back(way)
    shape = tuple(own.shape)
    if shape not in _tuned or way.g.element_size() < 4:
        _tuned.add(shape)
        return [own]
    return [through(own, torch.float16)]


def gelu_saved_once(way: WayBack, made: list[Tensor | None]) -> Gradients:
    """Of up to 64 elements the slope is kept by shape and first element."""
    (own,) = made
    assert own is not None
    if not 0 < own.numel() <= 64:
        return made
    key = (*own.shape, hash(float(way.tensors[0].flatten()[0])))
    return [_statistics.setdefault(key, own).to(own.dtype)]


MUTANTS = [
    Mutant(
        "linear-after-another-batch",
        "linear.grad",
        {NN + "linear": altered(functional.linear, linear_after_another_batch)},
        cause=EARLIER,
    ),
    Mutant(
        "layer-norm-deviation-by-shape",
        "layer_norm.grad",
        {NN + "layer_norm": planted(functional.layer_norm, layer_norm_stale)},
        cause=EARLIER,
    ),
    Mutant(
        "matmul-buffer-added-to",
        "matmul.grad",
        {"torch.matmul": planted(torch.matmul, matmul_added_to)},
        cause=EARLIER,
    ),
    Mutant(
        "conv1d-every-second",
        "conv1d.grad",
        {NN + "conv1d": altered(functional.conv1d, conv1d_every_second)},
        cause=EARLIER,
    ),
    Mutant(
        "softmax-tuned-to-float16",
        "softmax.grad",
        {"torch.softmax": planted(torch.softmax, softmax_tuned)},
        cause=EARLIER,
    ),
    Mutant("gelu-slope-kept", "gelu.grad", {NN + "gelu": altered(functional.gelu, gelu_saved_once)}, cause=EARLIER),
]
