"""A small vocabulary for tests of specs: reference functions with signatures, three dialects, one not installed."""

from __future__ import annotations

import math
import os

from opfuzz.spec import Vocabulary


def mean(x: float, axis: int | None = None, keepdims: bool = True) -> float:
    return x


def sqrt(x: float) -> float:
    return math.sqrt(x)


def take(x: float, index: float, axis: int = 0) -> float:
    return x


def conv1d(x: float, weight: float, stride: int = 1, padding: int = 0, dilation: int = 1, groups: int = 1) -> float:
    return x * weight


def linspace(start: float, stop: float, count: int) -> float:
    return stop


def _any(*arguments: object, **keywords: object) -> object:
    return arguments[0]


WORDS = Vocabulary(
    regimes=("normal", "offset", "ones", "tiny_variance", "zeros"),
    reference_functions={
        "conv1d": conv1d,
        "cos": math.cos,
        "linspace": linspace,
        "mean": mean,
        "sqrt": sqrt,
        "take": take,
    },
    dialects={
        "torch": {
            "torch.cos": _any,
            "torch.linspace": _any,
            "torch.nn.functional.conv1d": _any,
            "torch.nn.functional.layer_norm": _any,
            # A module that a backend published by mistake: what counts is the object, and it is no function.
            "torch.os": os,
        },
        "mlx": None,
        "numpy": {"np.cos": math.cos},
    },
)
