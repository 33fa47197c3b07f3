"""Tensors in files of other programs, read one at a time: .safetensors, .npz, .npy. Nothing in them is executed."""

from __future__ import annotations

import json
import math
import zipfile
import zlib
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, final

import ml_dtypes
import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open

from opfuzz.core.errors import OpfuzzError, did_you_mean
from opfuzz.network.execution import NOT_SAID, Execution, read_execution

# Read here and not by the library, whose NumPy half knows bfloat16 only since 0.5 and the 8-bit floats not yet.
SAFETENSORS_DTYPES: Mapping[str, np.dtype[Any]] = {
    "BOOL": np.dtype(bool),
    **{f"{kind}{bits}": np.dtype(f"{kind.lower()}{bits // 8}") for kind in "UI" for bits in (8, 16, 32, 64)},
    **{f"F{bits}": np.dtype(f"f{bits // 8}") for bits in (16, 32, 64)},
    "BF16": np.dtype(ml_dtypes.bfloat16),
    "F8_E4M3": np.dtype(ml_dtypes.float8_e4m3fn),
    "F8_E5M2": np.dtype(ml_dtypes.float8_e5m2),
    "C64": np.dtype(np.complex64),
}

# An encrypted member is a RuntimeError, an unknown compression a NotImplementedError, which is one too.
_DAMAGE = (OSError, ValueError, EOFError, RuntimeError, zipfile.BadZipFile, zlib.error)


@dataclass(frozen=True, slots=True)
class TensorEntry:
    """What a file says of one tensor before it is read."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]


class TensorFile(ABC):
    """One open file. Nothing but names, shapes and dtypes is in memory until `read`."""

    is_named = True  # a lone .npy holds a tensor without a name of its own

    def __init__(self, path: Path, entries: Mapping[str, TensorEntry], execution: Execution = NOT_SAID) -> None:
        self.path = path
        self.execution = execution  # how the tensors were computed, where the file says so
        self._entries = entries
        if not entries:
            raise OpfuzzError(f"{path}: holds no tensors")

    def names(self) -> tuple[str, ...]:
        """Names in the order of the file."""
        return tuple(self._entries)

    def shape(self, name: str) -> tuple[int, ...]:
        """Shape of a tensor, without reading it."""
        return self._entry(name).shape

    def dtype(self, name: str) -> np.dtype[Any]:
        """Dtype of a tensor, without reading it."""
        return self._entry(name).dtype

    def read(self, name: str) -> NDArray[Any]:
        """The tensor, in the byte order of this machine.

        Raises OpfuzzError if the file is damaged there, or memory ends.
        """
        entry = self._entry(name)
        try:
            array = self._read(name, entry)
        except MemoryError:
            raise OpfuzzError(f"{self.path}: tensor '{name}' of shape {list(entry.shape)} exceeds the memory") from None
        except _DAMAGE as error:
            raise OpfuzzError(f"{self.path}: tensor '{name}' is damaged: {error}") from None
        return array.astype(entry.dtype.newbyteorder("="), copy=False)

    @abstractmethod
    def _read(self, name: str, entry: TensorEntry) -> NDArray[Any]: ...

    def _entry(self, name: str) -> TensorEntry:
        if name not in self._entries:
            raise OpfuzzError(f"{self.path}: no tensor '{name}'{did_you_mean(name, self._entries)}")
        return self._entries[name]


@final
class Safetensors(TensorFile):
    """A JSON header of names, dtypes, shapes and offsets, then the bytes."""

    def __init__(self, path: Path) -> None:
        try:
            with safe_open(path, "np"):  # checks the header: sizes, offsets, overlaps, the end of the file
                pass
        except SafetensorError as error:
            raise OpfuzzError(f"{path}: no safetensors file, or damaged: {error}") from None
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            header = json.loads(file.read(length))
        execution = read_execution(path, header.pop("__metadata__", None) or {})  # MLX writes null where there is none
        self._offsets = {name: 8 + length + item["data_offsets"][0] for name, item in header.items()}
        entries = {}
        for name, item in header.items():
            if item["dtype"] not in SAFETENSORS_DTYPES:
                raise OpfuzzError(f"{path}: tensor '{name}' is {item['dtype']}; known: {', '.join(SAFETENSORS_DTYPES)}")
            entries[name] = TensorEntry(tuple(item["shape"]), SAFETENSORS_DTYPES[item["dtype"]])
        super().__init__(path, entries, execution)

    def _read(self, name: str, entry: TensorEntry) -> NDArray[Any]:
        flat = np.fromfile(self.path, entry.dtype, math.prod(entry.shape), offset=self._offsets[name])
        return flat.reshape(entry.shape)


@final
class Npz(TensorFile):
    """A zip of .npy files; one member is unpacked at a time."""

    def __init__(self, path: Path) -> None:
        try:
            self._zip = zipfile.ZipFile(path)
        except zipfile.BadZipFile as error:
            raise OpfuzzError(f"{path}: no .npz file, or damaged: {error}") from None
        self.path = path
        members = [name for name in self._zip.namelist() if name.endswith(".npy")]
        super().__init__(path, {name.removesuffix(".npy"): self._header(name) for name in members})

    def _header(self, member: str) -> TensorEntry:
        try:
            with self._zip.open(member) as file:
                return _npy_header(file, f"{self.path}: tensor '{member.removesuffix('.npy')}'")
        except _DAMAGE as error:
            raise OpfuzzError(f"{self.path}: '{member}' is damaged: {error}") from None

    def _read(self, name: str, entry: TensorEntry) -> NDArray[Any]:
        with self._zip.open(f"{name}.npy") as file:
            return _npy_array(file, entry)


@final
class Npy(TensorFile):
    """One array, under the name of its file."""

    is_named = False

    def __init__(self, path: Path) -> None:
        with path.open("rb") as file:
            super().__init__(path, {path.stem: _npy_header(file, str(path))})

    def _read(self, name: str, entry: TensorEntry) -> NDArray[Any]:
        with self.path.open("rb") as file:
            return _npy_array(file, entry)


def _npy_header(file: IO[bytes], where: str) -> TensorEntry:
    try:
        version = npy.read_magic(file)
        read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
        shape, _, dtype = read(file)
    except (ValueError, KeyError, TypeError) as error:
        raise OpfuzzError(f"{where}: no .npy array, or damaged: {error}") from None
    if dtype.hasobject:
        raise OpfuzzError(f"{where}: holds Python objects, which would have to be executed; save an array of numbers")
    # What NumPy and MLX write for a bfloat16 is two bytes without a meaning; nothing else is written so.
    dtype = np.dtype(ml_dtypes.bfloat16) if dtype == np.dtype("V2") else dtype
    if dtype.names or (dtype.kind not in "biufc" and dtype != ml_dtypes.bfloat16):
        raise OpfuzzError(f"{where}: holds {dtype}, which are no numbers")
    return TensorEntry(shape, dtype)


def _npy_array(file: IO[bytes], entry: TensorEntry) -> NDArray[Any]:
    array: NDArray[Any] = npy.read_array(file, allow_pickle=False)
    return array.view(entry.dtype) if array.dtype.kind == "V" else array


_KINDS: Mapping[str, type[Safetensors] | type[Npz] | type[Npy]] = {
    ".safetensors": Safetensors,
    ".npz": Npz,
    ".npy": Npy,
}


def open_tensors(path: Path) -> TensorFile:
    """The file, by its suffix. Raises OpfuzzError if it is not there, damaged, empty, or of another kind."""
    if path.is_dir():
        raise OpfuzzError(f"{path}: is a folder; give a file")
    kind = _KINDS.get(path.suffix.lower())
    if kind is None:
        remedy = "write the tensors with safetensors.torch.save_file, mx.save_safetensors or numpy.savez"
        raise OpfuzzError(f"{path}: '{path.suffix}' is none of {', '.join(_KINDS)}; {remedy}")
    try:
        return kind(path)
    except OSError as error:
        raise OpfuzzError(f"{path}: cannot be read: {error.strerror or error}") from None
