"""The journal of a run: what comes in is appended at once, so that a run that was killed can go on where it was.

A frame is four bytes of length, four of CRC-32, and a compressed MessagePack. What a kill tore off is cut off when the
journal is opened again. Results are packed where they are made: 5 us each, where JSON and its reader take 400.
"""

from __future__ import annotations

import fcntl
import os
import zlib
from collections.abc import Iterator, Mapping
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any, Self, TypeVar

import msgspec
import numpy as np

from opfuzz.core.call import Call
from opfuzz.core.cause import Cause
from opfuzz.core.errors import DiskError, OpfuzzError, did_you_mean
from opfuzz.core.findings import Finding, Standing
from opfuzz.core.floats import FORMATS
from opfuzz.core.results import Judged, Result

FILE = "journal"
MAGIC = b"opfuzz journal 2\n"
FRAME_LIMIT = 2**30  # bytes, also when unpacked

Packed = bytes  # a Result
T = TypeVar("T")


class Begun(msgspec.Struct, frozen=True, tag=True):
    """The first entry: what was asked, and all that results depend on besides, by name."""

    options: Mapping[str, Any]
    files: Mapping[str, str]  # digests
    versions: Mapping[str, str]
    started: datetime
    command: tuple[str, ...]


class Revisited(msgspec.Struct, frozen=True, tag=True):
    """What became of known faults, made again before anything else."""

    standings: tuple[Standing, ...]
    results: tuple[Result, ...]
    seconds: float = 0.0


class Examined(msgspec.Struct, frozen=True, tag=True):
    """Cases. `seconds` that the run had taken by then, over all its sittings."""

    results: tuple[Result, ...]
    seconds: float


class Searched(msgspec.Struct, frozen=True, tag=True):
    """A search for the worst input that ended; `lost`: why it has no results."""

    op: str
    format: str
    subject: str
    results: tuple[Result, ...]
    lost: str
    seconds: float

    @property
    def key(self) -> tuple[str, str, str]:
        """What was searched."""
        return self.op, self.format, self.subject


class Ended(msgspec.Struct, frozen=True, tag=True):
    """All cases and searches are done, or the time for them is over; `lost`: what was not tried, and why."""

    lost: tuple[str, ...]
    seconds: float


class Diagnosed(msgspec.Struct, frozen=True, tag=True):
    """Diagnoses, by the id of the finding: of the calls that were drawn, or of the smallest that show the same."""

    causes: Mapping[str, tuple[Cause, ...]]
    are_smallest: bool = False


class Shrunk(msgspec.Struct, frozen=True, tag=True):
    """The smallest call of a finding, with the fields of `Minimal`; its trigger is as it is written."""

    finding: str
    call: Call
    elements: int
    before: int
    attempts: int
    note: str
    trigger: Mapping[str, Any] | None
    switch: Mapping[str, str] | None
    is_shown: bool
    judged: Judged | None


class ToldApart(msgspec.Struct, frozen=True, tag=True):
    """Findings of second causes, with their diagnoses on calls that were drawn: all that were found."""

    findings: tuple[Finding, ...]


Entry = Begun | Revisited | Examined | Searched | Ended | Diagnosed | Shrunk | ToldApart


class Journal:
    """An open journal, of this process alone. `entries` are those that it had when it was opened."""

    def __init__(self, path: Path, file: int, entries: tuple[Entry, ...]) -> None:
        self.path, self.entries = path, entries
        self._file = file
        self._appended = 0

    @property
    def is_bare(self) -> bool:
        """Whether it only says that the run began."""
        return len(self.entries) + self._appended <= 1

    @classmethod
    def create(cls, folder: Path, begun: Begun) -> Self:
        """A new journal in the folder of a run. Raises DiskError if the disk refuses."""
        path = folder / FILE
        try:
            file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o666)
        except OSError as error:
            raise _refused(path, error) from error
        journal = cls(path, file, ())
        journal._lock()
        journal._write(MAGIC)
        journal.append(begun)
        return journal

    @classmethod
    def open(cls, folder: Path) -> Self:
        """The journal of a run that was not finished; what a kill tore off is cut off.

        Raises OpfuzzError if there is none, it is damaged, or another process has it.
        """
        path = folder / FILE
        try:
            file = os.open(path, os.O_RDWR)
        except OSError as error:
            raise OpfuzzError(f"{path}: cannot be opened: {error.strerror}") from error
        journal = cls(path, file, ())
        try:
            journal._lock()
            journal._read()
        except BaseException:
            journal.close()
            raise
        return journal

    def append(self, entry: Entry) -> None:
        """Raises DiskError if the disk refuses; all that was appended before is kept."""
        payload = zlib.compress(_encoder().encode(entry), 1)
        self._write(_frame(payload))
        self._appended += 1

    def examined(self, results: list[Packed], seconds: float) -> None:
        """An `Examined` of results that are packed already."""
        raw: Any = tuple(map(msgspec.Raw, results))
        self.append(Examined(raw, seconds))

    def close(self) -> None:
        """Let another process have it."""
        os.close(self._file)

    def remove(self) -> None:
        """The run is finished: `run.json` has it all."""
        self.path.unlink(missing_ok=True)
        self.close()

    def _lock(self) -> None:
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise OpfuzzError(f"{self.path}: another process is at this run") from None
        except OSError as error:
            raise OpfuzzError(f"{self.path}: cannot be locked: {error.strerror}") from error

    def _write(self, data: bytes) -> None:
        whole = os.lseek(self._file, 0, os.SEEK_END)
        try:
            while data:
                data = data[os.write(self._file, data) :]
        except BaseException as error:
            os.ftruncate(self._file, whole)  # a part of a frame is none
            if isinstance(error, OSError):
                raise _refused(self.path, error) from error
            raise

    def _read(self) -> None:
        found, whole = [], len(MAGIC)
        with open(self._file, "rb", closefd=False) as file:
            if file.read(len(MAGIC)) != MAGIC:
                raise OpfuzzError(f"{self.path}: no journal that this opfuzz can read")
            try:
                for payload in _payloads(file):
                    found.append(_decoder().decode(_unpacked(payload)))
                    whole += 8 + len(payload)
            except (msgspec.DecodeError, ValueError, RecursionError, zlib.error) as error:
                raise OpfuzzError(f"{self.path}: entry {len(found) + 1} is damaged: {error}") from None
        os.ftruncate(self._file, whole)
        if not found or not isinstance(found[0], Begun):
            raise OpfuzzError(f"{self.path}: the run was ended before it began; start it anew")
        self.entries = tuple(found)


def find(text: str, reports: Path) -> Path:
    """The folder of a run that can go on: a path, a name in `reports`, the beginning of just one, or `latest`.

    Raises OpfuzzError if there is none, or more than one.
    """
    if text and (Path(text) / FILE).is_file():
        return Path(text)
    names = {path.parent.name: path.parent for path in sorted(reports.glob(f"*/{FILE}"))}
    found = list(names)[-1:] if text == "latest" else [name for name in names if text and name.startswith(text)]
    if text in names:
        found = [text]
    if len(found) == 1:
        return names[found[0]]
    if found:
        raise OpfuzzError(f"'{text:.80}' begins the names of {len(found)} runs: {', '.join(found)}; write more of it")
    is_finished = bool(text) and (reports / text).is_dir()
    why = "the run is finished" if is_finished else f"no run '{text:.80}' that can go on"
    raise OpfuzzError(f"{reports}: {why}{did_you_mean(text[:80], names) or _listed(names)}")


def _listed(names: Mapping[str, Path]) -> str:
    return f"; there are {', '.join(list(names)[-5:])}" if names else ""


def _refused(path: Path, error: OSError) -> DiskError:
    return DiskError(f"{path}: cannot be written: {error.strerror}")


def _frame(payload: bytes) -> bytes:
    return len(payload).to_bytes(4, "little") + zlib.crc32(payload).to_bytes(4, "little") + payload


def _payloads(file: Any) -> Iterator[bytes]:
    """Of all frames; the last may be torn. Raises ValueError for one that is not whole where more follows."""
    while len(head := file.read(8)) == 8:
        size, crc = int.from_bytes(head[:4], "little"), int.from_bytes(head[4:], "little")
        payload = file.read(size) if size <= FRAME_LIMIT else b""
        if not size or len(payload) != size or zlib.crc32(payload) != crc:
            if file.read().strip(b"\0"):  # zeros are what a power cut leaves of a file that was growing
                raise ValueError("its checksum is another; start the run anew")
            return
        yield payload


def _unpacked(payload: bytes) -> bytes:
    unpacking = zlib.decompressobj()
    data = unpacking.decompress(payload, FRAME_LIMIT)
    if not unpacking.eof:
        raise ValueError(f"more than {FRAME_LIMIT} bytes, or not all of them")
    return data


def typed(kind: type[T], document: Mapping[str, Any]) -> T:
    """A dataclass from an entry's mapping, every field of its own type. Raises ValueError that names the field."""
    return msgspec.convert(document, kind, dec_hook=_read, strict=True)


def plain(value: object) -> dict[str, Any]:
    """A dataclass as an entry holds it; paths are absolute."""
    found: dict[str, Any] = msgspec.to_builtins(value, enc_hook=_plain)
    return found


def pack(result: Result) -> Packed:
    """A result as it travels and is kept."""
    return _encoder().encode(result)


def unpack(packed: Packed) -> Result:
    """The result that was packed."""
    return _results().decode(packed)


@cache
def _encoder() -> msgspec.msgpack.Encoder:
    return msgspec.msgpack.Encoder(enc_hook=_plain)


@cache
def _results() -> msgspec.msgpack.Decoder[Result]:
    return msgspec.msgpack.Decoder(Result, dec_hook=_read)


@cache
def _decoder() -> msgspec.msgpack.Decoder[Entry]:
    return msgspec.msgpack.Decoder(Entry, dec_hook=_read)


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return value.dtype.name, value.shape, value.tobytes()
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, Path):
        return str(value.absolute())
    raise TypeError(f"a journal holds no {type(value).__name__}")


def _read(kind: Any, value: Any) -> Any:
    """An array, or a path. Raises ValueError for what `_plain` makes of neither."""
    if kind is Path:
        return Path(value)
    name, shape, data = value
    dtype = FORMATS[name].dtype if name in FORMATS else np.dtype(name)
    return np.frombuffer(data, dtype).reshape(shape).copy()
