"""Tensors in a safetensors file that somebody hostile may have written: nothing is allocated before it is checked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from typing import IO, Any

import ml_dtypes
import numpy as np
from numpy.typing import NDArray

from opfuzz.core.files.strict_json import parse

HEADER_LIMIT = 2**20  # bytes
RANK_LIMIT = 32

_NAMES = {
    np.dtype(np.float64): "F64",
    np.dtype(np.float32): "F32",
    np.dtype(np.float16): "F16",
    np.dtype(ml_dtypes.bfloat16): "BF16",
    np.dtype(np.int64): "I64",
    np.dtype(np.bool_): "BOOL",
}
_DTYPES = {name: dtype for dtype, name in _NAMES.items()}
# Bytes of an element, also of what no input or output is: another program may have written it.
_SIZES = {
    **{name: dtype.itemsize for name, dtype in _DTYPES.items()},
    **dict.fromkeys(("U8", "I8", "F8_E4M3", "F8_E5M2"), 1),
    **dict.fromkeys(("I16", "U16"), 2),
    **dict.fromkeys(("I32", "U32"), 4),
    **dict.fromkeys(("U64", "C64"), 8),
}

Wanted = tuple[tuple[int, ...], np.dtype[Any]]


@dataclass(frozen=True, slots=True)
class Place:
    """Where a tensor lies in its file: dtype as safetensors names it, first byte, and the one behind its last."""

    dtype: str
    shape: tuple[int, ...]
    first: int
    last: int

    def is_like(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> bool:
        """Whether it has this shape and dtype."""
        return self.shape == shape and self.dtype == _NAMES[dtype]

    @property
    def words(self) -> str:
        """The dtype as NumPy names it."""
        return _DTYPES[self.dtype].name if self.dtype in _DTYPES else self.dtype


def name_of(dtype: np.dtype[Any]) -> str:
    """The name of a dtype of inputs and outputs in a safetensors file."""
    return _NAMES[dtype]


def read_tensors(file: IO[bytes], size: int, wanted: Mapping[str, Wanted]) -> dict[str, NDArray[Any]]:
    """The tensors, which must be exactly those `wanted`; `size` is the file's, in bytes.

    Nothing is allocated before the header is known to describe the file to its last byte. Raises ValueError, in one
    line, if it does not.
    """
    header, start = _header(file, size, HEADER_LIMIT)
    for name in header:
        if name not in wanted:
            raise ValueError(f"unknown tensor {name!r:.40}")
    for name in wanted:
        if name not in header:
            raise ValueError(f"missing tensor {name!r:.40}")
    places = {name: _place(name, header[name], start) for name in wanted}
    for name, (shape, dtype) in wanted.items():
        if places[name].dtype != _NAMES[dtype]:
            raise ValueError(f"tensor {name!r:.40} is {places[name].dtype}, the call needs {_NAMES[dtype]}")
        if places[name].shape != shape:
            found = str(list(places[name].shape))
            raise ValueError(f"tensor {name!r:.40} has the shape {found:.60}, the call needs {list(shape)}")
    _check_cover(places, start, size)
    return {name: read_tensor(file, name, places[name]) for name in wanted}


def places_in(file: IO[bytes], size: int, limit: int = HEADER_LIMIT) -> dict[str, Place]:
    """All tensors by name, whatever they are; `limit` is of the header, in bytes.

    Raises ValueError, in one line, if the header does not describe the file to its last byte.
    """
    header, start = _header(file, size, limit)
    places = {name: _place(name, entry, start) for name, entry in header.items() if name != "__metadata__"}
    _check_cover(places, start, size)
    return places


def read_tensor(file: IO[bytes], name: str, place: Place) -> NDArray[Any]:
    """One tensor, of a dtype that inputs and outputs have, in the byte order of this machine.

    Raises ValueError if it is cut short, or holds what is no truth value.
    """
    dtype = _DTYPES[place.dtype]
    file.seek(place.first)
    raw = np.frombuffer(file.read(place.last - place.first), np.uint8)
    if raw.size != place.last - place.first:
        raise ValueError(f"tensor {name!r:.40} is cut short")
    if dtype == np.bool_ and raw.max(initial=0) > 1:
        raise ValueError(f"tensor {name!r:.40} has a truth value that is neither 0 nor 1")
    values: NDArray[Any] = raw.copy().view(dtype.newbyteorder("<")).astype(dtype, copy=False)
    return values.reshape(place.shape)


def _header(file: IO[bytes], size: int, limit: int) -> tuple[dict[str, Any], int]:
    """What the file says of its tensors, and where they begin."""
    length = int.from_bytes(file.read(8), "little")
    if size < 8 or length > min(size - 8, limit):
        raise ValueError(f"a header of {length} bytes in a file of {size}")
    header = parse(file.read(length))
    if not isinstance(header, dict):
        raise ValueError("the header is no object")
    return header, 8 + length


def _place(name: str, entry: object, start: int) -> Place:
    if not isinstance(entry, dict) or entry.keys() != {"dtype", "shape", "data_offsets"}:
        raise ValueError(f"tensor {name!r:.40} needs dtype, shape and data_offsets, and nothing else")
    dtype, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
    if not isinstance(dtype, str) or dtype not in _SIZES:
        raise ValueError(f"tensor {name!r:.40} is {dtype!r:.40}; known: {', '.join(_SIZES)}")
    if not _are_sizes(shape) or len(shape) > RANK_LIMIT:
        raise ValueError(f"tensor {name!r:.40} has the shape {shape!r:.60}, not a list of at most {RANK_LIMIT} sizes")
    needed = prod(shape) * _SIZES[dtype]
    if not _are_sizes(offsets) or len(offsets) != 2 or offsets[1] - offsets[0] != needed:
        found = f"{offsets!r:.60}"
        raise ValueError(f"tensor {name!r:.40} has the offsets {found}, its shape needs {needed} bytes of {dtype}")
    return Place(dtype, tuple(shape), start + offsets[0], start + offsets[1])


def _check_cover(places: Mapping[str, Place], start: int, size: int) -> None:
    """Raises ValueError unless the tensors lie one behind the other, up to the end of the file."""
    end = start
    for name, place in sorted(places.items(), key=lambda item: (item[1].first, item[1].last)):
        if place.first != end:
            told = f"begins at byte {place.first - start}, the one before it ends at {end - start}"
            raise ValueError(f"tensor {name!r:.40} {told}")
        end = place.last
    if end != size:
        raise ValueError(f"{size - start} bytes of tensors, the header tells of {end - start}")


def _are_sizes(value: object) -> bool:
    return isinstance(value, list) and all(type(item) is int and item >= 0 for item in value)
