"""Convolutions and padding read otherwise: the other side, another mode, the kernel the other way round."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from opfuzz.network.observe.records import Plant, PlantedCall
from opfuzz.network.pipeline.planting import UnfitError
from opfuzz.network.readings.functions import first_array
from opfuzz.network.readings.reading import Array, Reading, SeenModule, argument, one, with_argument, with_place

CONVOLUTIONS = ("conv1d", "conv2d", "conv3d", "conv_transpose1d", "conv_transpose2d")
MODES = {"constant": "zeros", "reflect": "reflection", "replicate": "the edge", "circular": "the other end"}
NUMPY_MODES = {"constant": "constant", "reflect": "reflect", "replicate": "edge", "circular": "wrap"}
WEIGHTED = (*CONVOLUTIONS, "linear", "bilinear", "layer_norm", "group_norm", "rms_norm", "batch_norm", "instance_norm")


def padding(seen: SeenModule) -> Iterator[Reading]:
    """Padding on other sides, and of another kind."""
    for call in seen.of("pad"):
        sizes, mode = argument(call, "pad"), argument(call, "mode", "constant")
        if not isinstance(sizes, list | tuple) or not all(isinstance(n, int) and n >= 0 for n in sizes):
            continue
        for other, words in _sides(tuple(sizes)):
            yield one(call, f"padded {words}", _padding(other, mode))
        for other_mode, words in MODES.items():
            if other_mode != mode and any(sizes):
                yield one(call, f"padded with {words}", _padding(tuple(sizes), other_mode))
    for call in seen.of("conv1d", "conv2d"):
        size = argument(call, "padding", 0)
        sizes = (size,) * (call.output.ndim - 2) if isinstance(size, int) else size
        if not isinstance(sizes, list | tuple) or not any(sizes) or call.output.ndim < 3:
            continue
        both = tuple(n for size in reversed(sizes) for n in (size, size))
        for other, words in _sides(both):
            yield one(call, f"{call.family} padded {words}", _padded_before(other, "constant"))
        for mode, words in MODES.items():
            if mode != "constant":
                yield one(call, f"{call.family} padded with {words}", _padded_before(both, mode))


def kernels(seen: SeenModule) -> Iterator[Reading]:
    """The kernel is flipped, its axes are exchanged, or its elements lie in another order."""
    for call in seen.of(*CONVOLUTIONS):
        yield one(call, f"{call.family}: the kernel is flipped", _weighted(_flipped))
        words = f"{call.family}: channels in and out of the weight are exchanged"
        yield one(call, words, _weighted(lambda w: w.swapaxes(0, 1)))
        yield one(call, f"{call.family}: the weight has lost its strides", _weighted(_scrambled))
        yield one(call, f"{call.family}: height and width of the kernel are exchanged", _weighted(_turned))
    for call in seen.of("linear"):
        yield one(call, "linear: the weight is transposed", _weighted(lambda w: w.T))
        yield one(call, "linear: the weight has lost its strides", _weighted(lambda w: w.T.ravel().reshape(w.shape)))
    for call in seen.of("embedding"):
        for by in (1, -1):
            yield one(call, f"embedding: rows are counted from {by}", _shifted_rows(by))


def affine(seen: SeenModule) -> Iterator[Reading]:
    """The weight or the bias is lost, or a gain is kept as its difference from one."""
    for call in seen.of(*WEIGHTED):
        for name in ("weight", "bias"):
            is_given = argument(call, name) is not None
            if is_given and (name == "bias" or "norm" in call.family):
                yield one(call, f"{call.family}: the {name} is lost", _without(name))
        if "norm" in call.family and argument(call, "weight") is not None:
            yield one(call, f"{call.family}: one is added to the weight", _weighted(lambda w: w + 1))
            yield one(call, f"{call.family}: one is taken from the weight", _weighted(lambda w: w - 1))
    for call in seen.of("batch_norm"):
        yield one(call, "batch_norm: by the mean and variance of this batch", _of_this_batch)


def grouping(seen: SeenModule) -> Iterator[Reading]:
    """Channels in another number of groups, or every so many of them."""
    for call in seen.of("group_norm"):
        channels = call.output.shape[1]
        own = argument(call, "num_groups")
        for groups in (n for n in (1, 2, 4, 8, 16, 32, channels) if channels % n == 0 and n != own):
            yield one(call, f"group_norm of {groups} groups instead of {own}", _of_groups(groups))
        if isinstance(own, int) and 1 < own < channels:
            yield one(call, "group_norm: a group is every so many channels, not neighbours", _every_so_many)


def _of_groups(groups: int) -> Plant:
    return lambda call: call.perform(with_argument(call.function, "num_groups", groups))


def _sides(sizes: tuple[int, ...]) -> Iterator[tuple[tuple[int, ...], str]]:
    """The same number of elements on other sides; the pairs count from the last axis."""
    pairs = [sizes[i : i + 2] for i in range(0, len(sizes), 2)]
    totals = [sum(pair) for pair in pairs]
    options = {
        "on the left": [(total, 0) for total in totals],
        "on the right": [(0, total) for total in totals],
        "on both sides": [(total // 2, total - total // 2) for total in totals],
        "on both sides, more on the left": [(total - total // 2, total // 2) for total in totals],
    }
    told = {sizes}
    for words, changed in options.items():
        other = tuple(n for pair in changed for n in pair)
        if other not in told:
            told.add(other)
            yield other, f"{words}, {list(other)} instead of {list(sizes)}"


def _padding(sizes: tuple[int, ...], mode: str) -> Plant:
    def plant(call: PlantedCall) -> Array:
        value = argument(call.function, "value") or 0.0
        return _padded(first_array(call.function), sizes, mode, value)

    return plant


def _padded(x: Array, sizes: tuple[int, ...], mode: str, value: float = 0.0) -> Array:
    widths = [(0, 0)] * (x.ndim - len(sizes) // 2) + [sizes[i : i + 2] for i in range(len(sizes) - 2, -1, -2)]
    more: dict[str, Any] = {"constant_values": value} if mode == "constant" else {}
    if mode == "reflect" and any(max(width) >= n for width, n in zip(widths, x.shape, strict=True)):
        raise UnfitError
    return np.pad(x, widths, mode=NUMPY_MODES[mode], **more)  # type: ignore[call-overload,no-any-return]


def _padded_before(sizes: tuple[int, ...], mode: str) -> Plant:
    def plant(call: PlantedCall) -> Any:
        function = with_argument(call.function, "padding", 0)
        return call.perform(with_place(function, 0, _padded(first_array(function), sizes, mode)))

    return plant


def _weighted(change: Any) -> Plant:
    def plant(call: PlantedCall) -> Any:
        weight = argument(call.function, "weight")
        if not isinstance(weight, np.ndarray):
            raise UnfitError
        other = np.ascontiguousarray(change(weight))
        if other.shape != weight.shape or np.array_equal(other, weight):
            raise UnfitError
        return call.perform(with_argument(call.function, "weight", other))

    return plant


def _flipped(w: Array) -> Array:
    return np.flip(w, tuple(range(2, w.ndim)))


def _scrambled(w: Array) -> Array:
    """As it lies in memory with its channels last, under its own shape."""
    return np.ascontiguousarray(np.moveaxis(w, 1, -1)).reshape(w.shape)


def _turned(w: Array) -> Array:
    if w.ndim != 4:
        raise UnfitError
    return w.swapaxes(2, 3)


def _shifted_rows(by: int) -> Plant:
    def plant(call: PlantedCall) -> Array:
        index, table = call.function.args[:2]
        rows = np.asarray(index) + by
        if rows.min() < 0 or rows.max() >= len(table):
            raise UnfitError
        return np.asarray(table[rows])

    return plant


def _without(name: str) -> Plant:
    return lambda call: call.perform(with_argument(call.function, name, None))


def _of_this_batch(call: PlantedCall) -> Array:
    x = first_array(call.function).astype(np.float64)
    axes = (0, *range(2, x.ndim))
    weight, bias, eps = (argument(call.function, name) for name in ("weight", "bias", "eps"))
    found = (x - x.mean(axes, keepdims=True)) / np.sqrt(x.var(axes, keepdims=True) + (eps or 1e-5))
    lengths = (1, -1, *(1,) * (x.ndim - 2))
    found = found if weight is None else found * weight.reshape(lengths)
    return np.asarray(found if bias is None else found + bias.reshape(lengths))


def _every_so_many(call: PlantedCall) -> Any:
    groups = argument(call.function, "num_groups")
    x = first_array(call.function)
    order = np.arange(x.shape[1]).reshape(-1, groups).T.ravel()
    function = with_argument(call.function, "weight", None)
    function = with_place(with_argument(function, "bias", None), 0, np.ascontiguousarray(x[:, order]))
    found = np.asarray(call.perform(function))[:, np.argsort(order)]
    lengths = (1, -1, *(1,) * (x.ndim - 2))
    weight, bias = (argument(call.function, name) for name in ("weight", "bias"))
    found = found if weight is None else found * weight.reshape(lengths)
    return np.asarray(found if bias is None else found + bias.reshape(lengths))
