"""Inputs in a safetensors file, of which every name, dtype, shape and offset is known before it is opened."""

from __future__ import annotations

from collections.abc import Mapping
from math import prod
from typing import IO, Any

import ml_dtypes
import numpy as np
from numpy.typing import NDArray

from opfuzz.strict_json import parse

HEADER_LIMIT = 2**20  # bytes

_NAMES = {
    np.dtype(np.float64): "F64",
    np.dtype(np.float32): "F32",
    np.dtype(np.float16): "F16",
    np.dtype(ml_dtypes.bfloat16): "BF16",
    np.dtype(np.int64): "I64",
    np.dtype(np.bool_): "BOOL",
}

Wanted = tuple[tuple[int, ...], np.dtype[Any]]


def read_tensors(file: IO[bytes], size: int, wanted: Mapping[str, Wanted]) -> dict[str, NDArray[Any]]:
    """The tensors, which must be exactly those `wanted`; `size` is the file's, in bytes.

    Nothing is allocated before the header is known to describe the file to its last byte. Raises ValueError, in one
    line, if it does not.
    """
    length = int.from_bytes(file.read(8), "little")
    if size < 8 or length > min(size - 8, HEADER_LIMIT):
        raise ValueError(f"a header of {length} bytes in a file of {size}")
    header = parse(file.read(length))
    if not isinstance(header, dict):
        raise ValueError("the header is no object")
    for name in header:
        if name not in wanted:
            raise ValueError(f"unknown tensor {name!r:.40}")
    for name in wanted:
        if name not in header:
            raise ValueError(f"missing tensor {name!r:.40}")
    places = {name: _place(name, header[name], *wanted[name]) for name in wanted}
    end = 0
    for name, (first, last) in sorted(places.items(), key=lambda item: item[1]):
        if first != end:
            raise ValueError(f"tensor {name!r:.40} begins at byte {first}, the one before it ends at {end}")
        end = last
    if end != size - 8 - length:
        raise ValueError(f"{size - 8 - length} bytes of tensors, the header tells of {end}")
    found = {}
    for name, (shape, dtype) in wanted.items():
        file.seek(8 + length + places[name][0])
        raw = np.frombuffer(file.read(places[name][1] - places[name][0]), np.uint8)
        if raw.size != places[name][1] - places[name][0]:
            raise ValueError(f"tensor {name!r:.40} is cut short")
        if dtype == np.bool_ and raw.max(initial=0) > 1:
            raise ValueError(f"tensor {name!r:.40} has a truth value that is neither 0 nor 1")
        found[name] = raw.copy().view(dtype.newbyteorder("<")).astype(dtype, copy=False).reshape(shape)
    return found


def _place(name: str, entry: object, shape: tuple[int, ...], dtype: np.dtype[Any]) -> tuple[int, int]:
    """First byte of a tensor and the one behind its last."""
    if not isinstance(entry, dict) or entry.keys() != {"dtype", "shape", "data_offsets"}:
        raise ValueError(f"tensor {name!r:.40} needs dtype, shape and data_offsets, and nothing else")
    if entry["dtype"] != _NAMES[dtype]:
        raise ValueError(f"tensor {name!r:.40} is {entry['dtype']!r:.40}, the call needs {_NAMES[dtype]}")
    if not _are_sizes(entry["shape"]) or tuple(entry["shape"]) != shape:
        raise ValueError(f"tensor {name!r:.40} has the shape {entry['shape']!r:.60}, the call needs {list(shape)}")
    offsets = entry["data_offsets"]
    if not _are_sizes(offsets) or len(offsets) != 2 or offsets[1] - offsets[0] != prod(shape) * dtype.itemsize:
        needed = prod(shape) * dtype.itemsize
        raise ValueError(f"tensor {name!r:.40} has the offsets {offsets!r:.60}, its shape needs {needed} bytes")
    return offsets[0], offsets[1]


def _are_sizes(value: object) -> bool:
    return isinstance(value, list) and all(type(item) is int and item >= 0 for item in value)
