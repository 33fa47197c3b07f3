"""Runs on disk: `run.json` is the truth, every report is made from it. Strict JSON, files whole or not there at all."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save

from opfuzz.case import Case
from opfuzz.errors import OpfuzzError
from opfuzz.rank import Finding, Row
from opfuzz.records import Witness
from opfuzz.strict_json import strict

SCHEMA = 1


@dataclass(frozen=True, slots=True)
class Run:
    """One finished campaign: all that a report needs."""

    run: str  # name of its folder
    started: str  # ISO 8601, local time with offset
    command: tuple[str, ...]
    seed: int
    subjects: tuple[str, ...]
    absent: Mapping[str, str]  # backends and devices that are not here, and why
    versions: Mapping[str, str]
    machine: Mapping[str, str]
    cases: int  # counted once per subject
    elements: int
    seconds: float
    interrupted: bool
    ranking: tuple[Row, ...]
    findings: tuple[Finding, ...]
    distances: tuple[Mapping[str, Any], ...]  # op, format, a, b, max_ulp_distance
    profile: str | None = None  # name of the one around which cases were drawn


def new_folder(reports: Path, now: datetime, name: str) -> Path:
    """A folder of its own, `20260131-142530-s0` for the name `s0`; a second one in the same second gets a suffix.

    Raises OpfuzzError if it cannot be made.
    """
    stem = f"{now:%Y%m%d-%H%M%S}-{name}"
    try:
        reports.mkdir(parents=True, exist_ok=True)
        for numbered in _names(stem):
            try:
                (reports / numbered).mkdir()
            except FileExistsError:
                continue
            return reports / numbered
    except OSError as error:
        raise OpfuzzError(
            f"{reports}: cannot write reports here: {error.strerror}; choose a folder with --out"
        ) from error
    raise AssertionError("names never end")


def _names(stem: str) -> Iterator[str]:
    yield stem
    count = 2
    while True:
        yield f"{stem}-{count}"
        count += 1


def write_run(run: Run, folder: Path) -> None:
    """`run.json`: versions, machine, seed, every row of the ranking, findings."""
    write_text(folder / "run.json", json.dumps({"schema": SCHEMA, **to_json(run)}, indent=1, allow_nan=False) + "\n")


def summary(run: Run, folder: Path) -> dict[str, Any]:
    """What `--json` prints."""
    whole = to_json(run)
    kept = ("run", "seed", "cases", "elements", "seconds", "interrupted", "ranking", "findings")
    document = {name: whole[name] for name in kept}
    for finding in document["findings"]:
        finding["path"] = str(folder / "findings" / finding["id"])
    return document


def to_json(value: Any) -> Any:
    """Records, arrays and numbers as strict JSON holds them: NaN and infinities become "nan", "inf", "-inf"."""
    if isinstance(value, Witness):
        return _witness(value)
    if isinstance(value, Finding):
        return {**_fields(value), "signature": list(value.signature), "path": f"findings/{value.id}"}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return _fields(value)
    if isinstance(value, Mapping):
        return {str(key): to_json(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [to_json(item) for item in value]
    return strict(value)


def _fields(value: Any) -> dict[str, Any]:
    return {f.name: to_json(getattr(value, f.name)) for f in dataclasses.fields(value)}


def _witness(witness: Witness) -> dict[str, Any]:
    return {
        "case": witness.case,
        "index": list(witness.mark.index),
        "inputs_hex": to_json(witness.inputs_hex),
        "inputs": to_json(witness.inputs),
        "computed": to_json(witness.mark.computed),
        "computed_hex": witness.mark.computed_hex,
        "exact": to_json(witness.mark.exact),
        "ulp": to_json(witness.mark.ulp),
        "bound": to_json(witness.mark.bound),
    }


def write_finding(
    finding: Finding, case: Case, buffers: Mapping[str, NDArray[Any]], reproducer: str | None, folder: Path
) -> None:
    """`findings/<id>/`: the case, its inputs as they lie in memory, the scores, and a file that shows it.

    Raises OpfuzzError if the disk refuses.
    """
    place = folder / "findings" / finding.id
    try:
        place.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _refused(place, error) from error
    write_text(place / "case.json", json.dumps(case.to_json(), indent=1, allow_nan=False) + "\n")
    write_text(place / "finding.json", json.dumps(to_json(finding), indent=1, allow_nan=False) + "\n")
    # safetensors' NumPy writer corrupts arrays that are not contiguous.
    contents = save({name: np.ascontiguousarray(buffer) for name, buffer in buffers.items()})
    _write(place / "inputs.safetensors", contents)
    if reproducer is not None:
        write_text(place / "repro.py", reproducer)


def write_text(path: Path, text: str) -> None:
    """The whole text or nothing. Raises OpfuzzError if the disk refuses."""
    _write(path, text.encode(errors="replace"))


def _write(path: Path, contents: bytes) -> None:
    draft = path.with_name(path.name + ".part")
    try:
        draft.write_bytes(contents)
        os.replace(draft, path)
    except OSError as error:
        raise _refused(path, error) from error


def _refused(path: Path, error: OSError) -> OpfuzzError:
    return OpfuzzError(f"{path}: cannot be written: {error.strerror}")
