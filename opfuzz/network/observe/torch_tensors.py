"""Tensors of torch and arrays of NumPy, and other values in the tensors of a module."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any

import ml_dtypes
import numpy as np
import torch

from opfuzz.network.observe.records import Array
from opfuzz.network.trace.recording import replace_leaves


@contextlib.contextmanager
def replaced(tensors: Mapping[str, Any], weights: Mapping[str, Array]) -> Iterator[None]:
    """Other values in the model's own tensors, while the block runs."""
    before = {name: tensors[name].data for name in weights}
    try:
        for name, array in weights.items():
            tensors[name].data = tensor_of(np.array(array)).to(tensors[name].device, tensors[name].dtype)
        yield
    finally:
        for name, data in before.items():
            tensors[name].data = data


def named_modules(module: Any) -> dict[str, Any]:
    """By name; a module under two names has the first, and a weight's parametrization is no layer of the model."""
    return {n: m for n, m in module.named_modules() if "parametrizations" not in n.split(".")}


def device_of(module: Any) -> Any:
    """Where its parameters are; the processor, where it has none with values."""
    return next((p for p in module.parameters() if not p.is_meta), torch.empty(0)).device


def in_format_of(module: Any, tensor: Any) -> Any:
    """A tensor of real numbers in the format of the parameters, or float32 if they have several; others as they are."""
    if not tensor.is_floating_point():
        return tensor
    formats = {p.dtype for p in module.parameters() if p.is_floating_point()}
    return tensor.to(formats.pop() if len(formats) == 1 else torch.float32)


def weights_of(module: Any) -> dict[str, Any]:
    """Parameters and buffers that have values, by name."""
    found = {**dict(module.named_parameters()), **dict(module.named_buffers())}
    return {n: t for n, t in found.items() if not (t.is_meta or torch.nn.parameter.is_lazy(t))}


def tensors_in(tree: Any) -> list[Any]:
    """The tensors in lists, tuples, dicts and dataclasses, in order."""
    if torch.is_tensor(tree):
        return [tree]
    found: list[Any] = []

    def take(tensor: Any) -> Any:
        found.append(tensor)
        return tensor

    replace_leaves(tree, torch.is_tensor, take)
    return found


def array_of(tensor: Any) -> Array:
    """The tensor as an array, which shares its memory where NumPy has its format."""
    here = tensor.detach().cpu()
    if here.layout != torch.strided:
        here = here.to_dense()
    if here.is_quantized:
        here = here.dequantize()
    here = here.resolve_conj().resolve_neg()
    if here.dtype == torch.bfloat16:
        return np.asarray(here.contiguous().view(torch.int16).numpy().view(ml_dtypes.bfloat16))
    try:
        return np.asarray(here.numpy())
    except TypeError:  # a format that NumPy has not, such as those of eight bits
        return np.asarray(here.float().numpy())


def tensor_of(array: Array) -> Any:
    """The array as a tensor on the processor."""
    if array.dtype == ml_dtypes.bfloat16:
        return torch.from_numpy(np.ascontiguousarray(array).view(np.int16)).view(torch.bfloat16)
    if not array.flags.writeable or any(stride < 0 for stride in array.strides):
        array = np.array(array)
    return torch.from_numpy(array)
