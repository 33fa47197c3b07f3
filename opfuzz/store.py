"""Runs on disk: `run.json` is the truth, every report is made from it. Strict JSON, files whole or not there at all."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import uuid
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from opfuzz.call import Call
from opfuzz.comparison import Accepted, Comparison
from opfuzz.errors import DiskError, OpfuzzError
from opfuzz.rank import Finding, Row
from opfuzz.records import Standing, Witness
from opfuzz.strict_json import strict
from opfuzz.trigger import Trigger

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
    replayed: tuple[Standing, ...] = ()  # faults of earlier runs
    lost: tuple[str, ...] = ()  # searches that ended with their process
    planned: int | None = None  # cases for each op, subject and format; None: as many as the time allowed
    specs: Mapping[str, str] = field(default_factory=dict)  # digests of the specs, by op
    comparison: Comparison | None = None  # with an earlier run
    accepted: tuple[Accepted, ...] = ()  # findings that somebody accepted, of the ops that were tried
    recorded: Mapping[str, tuple[str, ...]] = field(
        default_factory=dict
    )  # subjects read from files, and their missing cases

    def is_recorded(self, subject: str) -> bool:
        """Whether a subject, maybe with its implementation, was not here: its outputs were read from files."""
        return subject in self.recorded or subject.rpartition("/")[0] in self.recorded

    @property
    def missing(self) -> int:
        """Cases of which a recorded subject has neither an output nor a word."""
        return sum(map(len, self.recorded.values()))


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
    text = json.dumps({"schema": SCHEMA, **to_json(run)}, indent=1, allow_nan=False)
    # A list of numbers takes one line. Nothing in a string matches: JSON has no line breaks there.
    text = re.sub(r"\[\n[-+\d.eE,\s]+\]", lambda found: "[" + " ".join(found[0][1:-1].split()) + "]", text)
    write_text(folder / "run.json", text + "\n")


def summary(run: Run, folder: Path) -> dict[str, Any]:
    """What `--json` prints."""
    whole = to_json(run)
    kept = (
        "run",
        "seed",
        "cases",
        "elements",
        "seconds",
        "interrupted",
        "ranking",
        "findings",
        "comparison",
        "accepted",
        "recorded",
    )
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
    if isinstance(value, Call):  # its values are in a file of their own
        return {name: to_json(getattr(value, name)) for name in ("format", "dims", "params", "layouts")}
    if isinstance(value, Trigger):
        return {**_fields(value), "words": value.words}
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


def write_text(path: Path, text: str) -> None:
    """The whole text or nothing. Raises DiskError if the disk refuses."""
    write_bytes(path, text.encode(errors="replace"))


def write_bytes(path: Path, contents: bytes) -> None:
    """All of it or nothing. Raises DiskError if the disk refuses."""
    draft = path.with_name(f".{uuid.uuid4().hex}.part")  # of its own: another process may write the same file
    try:
        draft.write_bytes(contents)
        os.replace(draft, path)
    except OSError as error:
        with suppress(OSError):
            draft.unlink()
        raise DiskError(f"{path}: cannot be written: {error.strerror}") from error
