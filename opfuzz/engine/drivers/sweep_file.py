"""The progress file of a sweep: a line says what is swept, and a line a finished chunk what was found in it.

Lines are only ever added, so that a process killed at any moment loses the chunks it was at and no others: a last line
without its end is cut off when the file is opened again.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from opfuzz.core.errors import OpfuzzError
from opfuzz.core.floats import FORMATS, Format, from_bits
from opfuzz.search.sweep.chunk import chunks
from opfuzz.search.sweep.scorer import BUCKET_BITS
from opfuzz.search.sweep.totals import LIMITS, Totals, Worst, merge, totals_from

SCHEMA = 1


@dataclass(frozen=True, slots=True)
class Chunk:
    """What was found in one piece of the inputs. Seconds are of the processor: in all, in the op, in its reference."""

    place: int
    body: Totals
    tail: Totals
    differing: int  # results whose bits differ between body and tail
    strays: int  # results of short calls that have the bits of neither
    seconds: float
    op_seconds: float
    reference_seconds: float


@dataclass(frozen=True, slots=True)
class Swept:
    """What was found in all finished chunks of a sweep; the sums do not depend on the order in which they ended."""

    body: Totals
    tail: Totals
    differing: int
    strays: int
    seconds: float
    op_seconds: float
    reference_seconds: float


def pieces(fmt: Format, low: int, high: int, sample: int) -> list[tuple[int, int]]:
    """The ranges of patterns in which a sweep is done; a sample is taken of one."""
    return [(low, high)] if sample else list(chunks(fmt, low, high))


class SweepFile:
    """One progress file, read when it is opened; `chunks` by their place."""

    def __init__(self, path: Path, header: Mapping[str, Any], again: bool = False) -> None:
        """Go on with `path` if it is about `header`, else start it anew, beside the `.old` one; `replaced` says why.

        Raises OpfuzzError if the folder cannot be written.
        """
        self.path, self.header = path, {"sweep": SCHEMA, **header}
        self.chunks: dict[int, Chunk] = {}
        self.replaced = ""
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            if path.exists() and not again and self._read():
                return
            if self.replaced:  # it may have taken hours
                path.replace(path.with_name(f"{path.name}.old"))
            path.write_text(json.dumps(self.header) + "\n")
        except OSError as error:
            raise OpfuzzError(f"{path}: cannot be written: {error.strerror}; name another folder with --out") from error

    def add(self, chunk: Chunk) -> None:
        """Keep a chunk: one line, whole or cut off. Raises OpfuzzError if the disk refuses."""
        self.chunks[chunk.place] = chunk
        line = {each.name: getattr(chunk, each.name) for each in fields(chunk)}
        line |= {"body": chunk.body.plain(), "tail": None if chunk.tail == chunk.body else chunk.tail.plain()}
        try:
            with self.path.open("a") as file:
                file.write(json.dumps(line) + "\n")
        except OSError as error:
            raise OpfuzzError(
                f"{self.path}: cannot be written: {error.strerror}; what is there is kept, the same command goes on"
            ) from error

    def swept(self) -> Swept:
        """The totals of all chunks that are here."""
        found = [self.chunks[place] for place in sorted(self.chunks)]
        return Swept(
            merge(chunk.body for chunk in found),
            merge(chunk.tail for chunk in found),
            sum(chunk.differing for chunk in found),
            sum(chunk.strays for chunk in found),
            sum(chunk.seconds for chunk in found),
            sum(chunk.op_seconds for chunk in found),
            sum(chunk.reference_seconds for chunk in found),
        )

    def _read(self) -> bool:
        """Take in what is there; False if it is about something else, which `replaced` then says."""
        data = self.path.read_bytes()
        whole = data[: data.rfind(b"\n") + 1]
        first, *lines = whole.splitlines() or [b""]
        try:
            header = json.loads(first)
        except ValueError:
            header = None
        if header != self.header:
            self.replaced = _difference(header, self.header)
            return False
        found: dict[int, Chunk] = {}
        try:
            fmt = FORMATS[self.header["format"]]
            sample = self.header.get("sample", 0)
            low, high = self.header["range"]
            ranges = pieces(fmt, low, high, sample)
            for line in lines:
                chunk = _chunk(json.loads(line))
                if chunk.place in found:
                    raise ValueError("a chunk that is there already")
                start, stop = ranges[chunk.place] if chunk.place >= 0 else (0, 0)
                for totals in (chunk.body, chunk.tail):
                    _check(totals, stop - start, fmt, sample)
                found[chunk.place] = chunk
        except (ValueError, LookupError, TypeError, AttributeError, OverflowError):
            self.replaced = f"it is damaged in line {len(found) + 2}"
            return False
        self.chunks = found
        if len(whole) < len(data):
            os.truncate(self.path, len(whole))
        return True


def _chunk(line: Mapping[str, Any]) -> Chunk:
    body = totals_from(line["body"])
    return Chunk(
        place=int(line["place"]),
        body=body,
        tail=body if line["tail"] is None else totals_from(line["tail"]),
        differing=int(line["differing"]),
        strays=int(line["strays"]),
        seconds=float(line["seconds"]),
        op_seconds=float(line["op_seconds"]),
        reference_seconds=float(line["reference_seconds"]),
    )


def _check(totals: Totals, inputs: int, fmt: Format, sample: int) -> None:
    """Raises ValueError or TypeError for totals that no chunk of so many inputs, or no sample of them, has."""
    if sample and sample <= totals.inputs <= inputs:
        inputs = totals.inputs
    counts = (
        totals.normal,
        *totals.above,
        *totals.mismatches.values(),
        totals.flushed,
        totals.falls,
        totals.unresolved,
    )
    worst = [w for w in (totals.largest, totals.excess) if w is not None]
    patterns = (*totals.examples.values(), *(w.bits for w in worst))
    if totals.inputs != inputs or not inputs or len(totals.above) != len(LIMITS):
        raise ValueError("another number of inputs, or of limits")
    if not all(0 <= count <= inputs for count in counts):
        raise ValueError("more than there are inputs")
    if not all(isinstance(bits, int) and 0 <= bits < 2**fmt.bits for bits in patterns):
        raise ValueError("bits that the format has not")
    if not all(0 <= bucket < 2**BUCKET_BITS for bucket in totals.buckets):
        raise ValueError("a bucket beyond the last")
    if not all(isinstance(v, int | float) for each in worst for v in (each.value, each.computed, each.exact)):
        raise ValueError("text in place of a number")


def _difference(there: object, here: Mapping[str, Any]) -> str:
    if not isinstance(there, dict):
        return "it is no progress file"
    for name, value in here.items():
        if there.get(name) != value:
            return f"its {name} is {there.get(name)!r}, this one's is {value!r}"
    return "it is about something else"


def document(header: Mapping[str, Any], swept: Swept) -> dict[str, Any]:
    """What `--json` prints: figures of the vector body, and under `tail` the same of the scalar tail.

    `seconds` are of the processor, so that a busy machine changes little.
    """
    fmt = FORMATS[header["format"]]
    named = {name: header[name] for name in ("op", "subject", "format")}
    unknown = {"falls": None} if "sample" in header else {}  # between neighbours, of which a sample has few
    return {
        **named,
        **_figures(swept.body, fmt),
        **unknown,
        "tail": {**_figures(swept.tail, fmt), **unknown, "differing": swept.differing, "strays": swept.strays},
        "seconds": swept.seconds,
        "op_seconds": swept.op_seconds,
        "reference_seconds": swept.reference_seconds,
        "range": [f"{end:#x}" for end in header["range"]],
        **({"sample": header["sample"]} if "sample" in header else {}),
        "params": header["params"],
        "versions": header["versions"],
        "processor": header["processor"],
        "vector_unit": header["vector_unit"],
        "environment": header["environment"],
    }


def _figures(totals: Totals, fmt: Format) -> dict[str, Any]:
    largest, excess = (w or Worst(0.0, 0, 0.0, 0.0) for w in (totals.largest, totals.excess))
    half, one, sixteen = totals.above
    return {
        "inputs": totals.inputs,
        "normal": totals.normal,
        "max_ulp": largest.value,
        "max_ulp_at_most": totals.ceiling,
        "at_hex": _hex(largest.bits, fmt),
        "at": _value(largest.bits, fmt),
        "computed": largest.computed,
        "exact": largest.exact,
        "max_excess": excess.value,
        "max_excess_at_hex": _hex(excess.bits, fmt),
        "mean_ulp": totals.mean,
        "above_half": half,
        "above_1": one,
        "above_16": sixteen,
        "mismatches": dict(totals.mismatches),
        "flushed": totals.flushed,
        "falls": totals.falls,
        "unresolved": totals.unresolved,
        "examples": {name: _hex(bits, fmt) for name, bits in totals.examples.items()},
    }


def _hex(bits: int, fmt: Format) -> str:
    return f"0x{bits:0{fmt.bits // 4}x}"


def _value(bits: int, fmt: Format) -> float:
    return float(from_bits(np.array(bits, np.uint64), fmt).astype(np.float64))
