"""Convolutions, pools and resizing in the form that specs have: one number for all axes, and the bias apart.

Adding a bias rounds once more than a library that starts its sums from it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from opfuzz.network.observe.form import Arguments, Form, is_list
from opfuzz.network.observe.records import Array


def convolution(family: str, axes: int) -> Callable[[Arguments], Form | None]:
    """A convolution over so many last axes, of a batch or of one example."""

    def make(arguments: Arguments) -> Form | None:
        x, weight, bias = (arguments[name] for name in ("input", "weight", "bias"))
        if weight.ndim != axes + 2 or x.ndim not in (axes + 1, axes + 2):
            return None
        own = {name: value for name, value in arguments.items() if name not in ("input", "weight", "bias")}
        pads, x = _paddings(own["padding"], own["dilation"], weight.shape[2:], x)
        if family in PADDED_BEFORE and len(set(pads)) > 1:
            x = np.pad(x, [(0, 0)] * (x.ndim - axes) + [(pad, pad) for pad in pads])
            pads = [0] * axes
        own = {name: one(pads if name == "padding" else value) for name, value in own.items()}
        if any(is_list(value) for value in own.values()):
            return None
        is_batched = x.ndim == axes + 2

        def finish(output: Array) -> Array:
            with np.errstate(all="ignore"):
                biased = output if bias is None else output + bias.reshape(-1, *(1,) * axes)
            return biased if is_batched else biased[0]

        return Form(family, {**own, "input": x if is_batched else x[None], "weight": weight}, finish)

    return make


PADDED_BEFORE = ("conv1d", "conv2d", "conv3d")  # zeros around the input are what their padding is


def _paddings(padding: Any, dilation: Any, kernel: tuple[int, ...], x: Array) -> tuple[list[int], Array]:
    """The padding of each axis, and x with the one element more that `same` puts behind an even kernel."""
    axes = len(kernel)
    if padding == "valid":
        return [0] * axes, x
    if padding != "same":
        return _each(padding, axes), x
    whole = [step * (size - 1) for step, size in zip(_each(dilation, axes), kernel, strict=True)]
    if any(size % 2 for size in whole):
        x = np.pad(x, [(0, 0)] * (x.ndim - axes) + [(0, size % 2) for size in whole])
    return [size // 2 for size in whole], x


def average_pool(family: str, axes: int) -> Callable[[Arguments], Form | None]:
    """The mean of windows over so many last axes; those without a stride lie side by side."""

    def make(arguments: Arguments) -> Form | None:
        x = arguments["input"]
        kernel = _each(arguments["kernel_size"], axes)
        stride, padding = one(arguments["stride"] or kernel), one(arguments["padding"])
        is_plain = not arguments["ceil_mode"] and arguments["divisor_override"] is None
        is_counted = arguments["count_include_pad"] or not padding
        if not is_plain or not is_counted or is_list(stride) or is_list(padding) or x.ndim not in (axes + 1, axes + 2):
            return None
        rows = x if x.ndim == axes + 2 else x[None]
        # How padding counts matters where there is some, and then it is as the specs have it.
        own = {**arguments, "count_include_pad": True, "kernel_size": kernel if axes > 1 else kernel[0]}
        own |= {"input": rows, "stride": stride, "padding": padding}
        return Form(family, own, lambda y: y if x.ndim == axes + 2 else y[0])

    return make


def adaptive_average(arguments: Arguments) -> Form | None:
    """Windows of one size, where the sizes of an image divide into them."""
    x, sizes = arguments["input"], _each(arguments["output_size"], 2)
    wanted = [size if given is None else given for size, given in zip(x.shape[-2:], sizes, strict=True)]
    if any(size % parts for size, parts in zip(x.shape[-2:], wanted, strict=True)):
        return None
    kernel = [size // parts for size, parts in zip(x.shape[-2:], wanted, strict=True)]
    own = {"input": x, "kernel_size": kernel, "stride": None, "padding": 0}
    plain = {"ceil_mode": False, "count_include_pad": True, "divisor_override": None}
    return average_pool("avg_pool2d", 2)({**own, **plain})


def interpolate(arguments: Arguments) -> Form | None:
    """Repeated elements along the last axis; those of an image also along the one before, which moves rows."""
    x = arguments["input"]
    axes = x.ndim - 2
    if axes not in (1, 2) or (axes == 2 and arguments["mode"] != "nearest"):
        return None
    factors = _factors(arguments, x.shape[2:])
    if factors is None:
        return None
    rows = x if axes == 1 else np.repeat(x, factors[0], axis=2)
    shape = (*rows.shape[:-1], rows.shape[-1] * factors[-1])
    own = {**arguments, "input": rows.reshape(len(rows), -1, rows.shape[-1]), "size": None, "scale_factor": factors[-1]}
    return Form("interpolate", own, lambda y: y.reshape(shape))


def _factors(arguments: Arguments, sizes: tuple[int, ...]) -> list[int] | None:
    """By how much each axis grows; None where that is no whole number."""
    if arguments["scale_factor"] is None:
        wanted = _each(arguments["size"], len(sizes))
        factors = [new / old for new, old in zip(wanted, sizes, strict=True)]
    else:
        factors = _each(arguments["scale_factor"], len(sizes))
    return [int(factor) for factor in factors] if all(factor == int(factor) for factor in factors) else None


def _each(value: Any, axes: int) -> list[Any]:
    """The number of every axis."""
    if not is_list(value):
        return [value] * axes
    return list(value) if len(value) == axes else list(value) * axes


def one(value: Any) -> Any:
    """The number that all axes have; the list where they differ."""
    return value[0] if is_list(value) and len(set(value)) == 1 else value
