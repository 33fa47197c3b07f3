"""Tensors on their way into a safetensors file: one at a time in memory, however many there are."""

from __future__ import annotations

import json
import math
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from opfuzz.core.errors import DiskError
from opfuzz.core.files.whole_file import writing
from opfuzz.network.tensors import SAFETENSORS_DTYPES

ALIGNMENT = 8  # of the header: a reader may map the file into memory
CHUNK = 2**20  # bytes that are copied at once


@dataclass(frozen=True, slots=True)
class Stored:
    """Where the bytes of a tensor are in the spool."""

    code: str  # `F32`
    shape: tuple[int, ...]
    itemsize: int
    offset: int

    @property
    def bytes(self) -> int:
        """Its length."""
        return self.itemsize * math.prod(self.shape)


def code_of(dtype: np.dtype[Any]) -> str | None:
    """What safetensors calls a format; None if it has no name for it."""
    return next((code for code, known in SAFETENSORS_DTYPES.items() if known == dtype), None)


class TensorSpool:
    """A nameless file beside the one to write: the header comes first there, and is known last."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._failure: DiskError | None = None
        try:
            # Without a name, nothing is left of it however the process ends.
            self._file = tempfile.TemporaryFile(dir=path.parent)  # noqa: SIM115
        except OSError as error:
            raise DiskError(f"{path}: cannot be written: {error.strerror}") from error

    def __enter__(self) -> TensorSpool:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        try:
            self._file.close()
        except OSError:  # what was not written yet does not fit; it was not to be kept
            return

    def add(self, array: NDArray[Any]) -> Stored:
        """Takes a tensor of a format that `code_of` knows. Raises DiskError if the disk refuses."""
        code = code_of(array.dtype)
        assert code is not None
        try:
            stored = Stored(code, array.shape, array.dtype.itemsize, self._file.tell())
            # bfloat16 has no buffer of its own kind.
            self._file.write(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)
        except OSError as error:
            # Code of the user's that catches what its modules raise must not make a file with holes of it.
            self._failure = DiskError(f"{self._path}: cannot be written: {error.strerror}")
            raise self._failure from error
        return stored

    def save(self, tensors: Mapping[str, Stored], metadata: Mapping[str, str]) -> None:
        """The whole safetensors file or nothing. Raises DiskError if the disk refuses, or has refused before."""
        if self._failure is not None:
            raise self._failure
        # The widest first, as safetensors' own writers do it: then each is aligned to its own width.
        ordered = sorted(tensors.items(), key=lambda item: -item[1].itemsize)
        header: dict[str, Any] = {"__metadata__": dict(metadata)}
        end = 0
        for name, stored in ordered:
            header[name] = {
                "dtype": stored.code,
                "shape": list(stored.shape),
                "data_offsets": [end, end + stored.bytes],
            }
            end += stored.bytes
        text = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode()
        text += b" " * (-len(text) % ALIGNMENT)
        with writing(self._path) as file:
            file.write(len(text).to_bytes(8, "little") + text)
            for _, stored in ordered:
                self._file.seek(stored.offset)
                left = stored.bytes
                while left:
                    chunk = self._file.read(min(CHUNK, left))
                    file.write(chunk)
                    left -= len(chunk)
