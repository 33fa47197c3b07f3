"""Runs on disk: `run.json` is the truth, every report is made from it. Strict JSON, files whole or not there at all."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from opfuzz.core.call import Call
from opfuzz.core.case import Case
from opfuzz.core.common_cause import CommonCause
from opfuzz.core.errors import OpfuzzError
from opfuzz.core.files.strict_json import strict
from opfuzz.core.files.whole_file import write_text
from opfuzz.core.findings import Finding
from opfuzz.core.results import Witness
from opfuzz.core.run import Row, Run
from opfuzz.core.trigger import Trigger

SCHEMA = 3
Words = Callable[[Finding | Row | CommonCause], Mapping[str, str]]  # what people read beside the data


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


def write_run(run: Run, folder: Path, words: Words) -> None:
    """`run.json`: versions, machine, seed, every row of the ranking, findings and causes, each with its `words`."""
    text = json.dumps({"schema": SCHEMA, **run_to_json(run, words)}, indent=1, allow_nan=False)
    # A list of numbers takes one line. Nothing in a string matches: JSON has no line breaks there.
    text = re.sub(r"\[\n[-+\d.eE,\s]+\]", lambda found: "[" + " ".join(found[0][1:-1].split()) + "]", text)
    write_text(folder / "run.json", text + "\n")


def run_to_json(run: Run, words: Words) -> dict[str, Any]:
    """A run as JSON holds it, with words for people beside its rows, findings and causes."""
    document: dict[str, Any] = to_json(run)
    for name, items in (("ranking", run.ranking), ("findings", run.findings), ("causes", run.causes)):
        document[name] = [{**to_json(item), **words(item)} for item in items]
    return document


def summarize(run: Run, folder: Path, words: Words) -> dict[str, Any]:
    """What `--json` prints."""
    whole = run_to_json(run, words)
    kept = (
        "run",
        "seed",
        "cases",
        "elements",
        "seconds",
        "interrupted",
        "causes",
        "ranking",
        "findings",
        "comparison",
        "accepted",
        "recorded",
    )
    document = {name: whole[name] for name in kept}
    for finding in document["findings"]:
        finding["path"] = str(folder / "findings" / finding["id"])
    for common in document["causes"]:
        common["path"] = str(folder / common["path"])
    return document


def to_json(value: Any) -> Any:
    """Records, arrays and numbers as strict JSON holds them: NaN and infinities become "nan", "inf", "-inf"."""
    if isinstance(value, Witness):
        return _witness(value)
    if isinstance(value, Finding):
        beside = {"relation": value.relation, "signature": list(value.signature), "path": f"findings/{value.id}"}
        return {**_fields(value), **beside}
    if isinstance(value, Call):  # its values are in a file of their own
        return {name: to_json(getattr(value, name)) for name in ("format", "dims", "params", "layouts")}
    if isinstance(value, Case):
        return value.to_json()
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
        "output": witness.mark.output,
        "index": list(witness.mark.index),
        "inputs_hex": to_json(witness.inputs_hex),
        "inputs": to_json(witness.inputs),
        "computed": to_json(witness.mark.computed),
        "computed_hex": witness.mark.computed_hex,
        "exact": to_json(witness.mark.exact),
        "ends": to_json(witness.mark.ends),
        "ulp": to_json(witness.mark.ulp),
        "bound": to_json(witness.mark.bound),
    }
