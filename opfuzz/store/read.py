"""Runs read back: `run.json` as the records it was written from, and a run found by its name."""

from __future__ import annotations

import dataclasses
import json
import re
import types
import typing
from collections.abc import Callable, Hashable, Mapping
from datetime import datetime
from functools import cache
from math import isfinite
from pathlib import Path
from typing import Any, TypeVar, Union

from opfuzz.core.call import Call
from opfuzz.core.case import Case, Value
from opfuzz.core.cause import Cause
from opfuzz.core.common_cause import CommonCause
from opfuzz.core.comparison import CauseChange
from opfuzz.core.errors import OpfuzzError, did_you_mean
from opfuzz.core.files.strict_json import number, parse
from opfuzz.core.findings import Finding
from opfuzz.core.relation import Relation
from opfuzz.core.results import Mark, Witness
from opfuzz.core.run import Row, Run
from opfuzz.core.trigger import Trigger
from opfuzz.core.verdicts import SEVERITY
from opfuzz.store.older import upgrade
from opfuzz.store.write import SCHEMA

FILE = "run.json"
SIZE_LIMIT = 256 * 2**20  # bytes
LATEST = "latest"
T = TypeVar("T")
INT64 = range(-(2**63), 2**63)  # what a database holds
_DATED = re.compile(r"\d{8}-\d{6}-")
_SURROGATE = re.compile(rb"\\ud[89a-f]", re.IGNORECASE)  # an escape that is half a character


def read_run(place: Path) -> Run:
    """The run in a folder or in its run.json. Calls have no arrays: those are in files of their own.

    Raises OpfuzzError, in one line, for a file that is missing, damaged, or of a newer opfuzz.
    """
    path = place if place.is_file() else place / FILE
    try:
        with path.open("rb") as file:
            data = file.read(SIZE_LIMIT + 1)
    except OSError as error:
        remedy = "; give a run's folder, or its run.json" if isinstance(error, FileNotFoundError) else ""
        raise OpfuzzError(f"{path}: cannot be read: {error.strerror}{remedy}") from None
    if len(data) > SIZE_LIMIT:
        raise _damaged(path, f"more than {SIZE_LIMIT} bytes")
    try:
        document = parse(data)
        if _SURROGATE.search(data):
            _check_text(document)
        return _run(document)
    except ValueError as error:
        raise _damaged(path, str(error)) from None


def _damaged(path: Path, what: str) -> OpfuzzError:
    return OpfuzzError(f"{path}: no run that this opfuzz can read: {' '.join(what.split())[:300]}")


def _run(document: Any) -> Run:
    if not isinstance(document, dict) or "schema" not in document:
        raise ValueError("it has no schema, and every run.json has one")
    schema = document["schema"]
    if type(schema) is not int or schema < 1:
        raise ValueError(f"schema is {schema!r:.40}, not a whole number from 1")
    if schema > SCHEMA:
        raise ValueError(f"schema {schema} is of a newer opfuzz, this one reads up to {SCHEMA}; install the newer one")
    if schema < SCHEMA:
        document = upgrade(document, schema)
    run = _record(Run, {name: value for name, value in document.items() if name != "schema"}, "run")
    run = dataclasses.replace(run, distances=tuple(map(_distance, run.distances)))
    if not run.run or Path(run.run).name != run.run:
        raise ValueError(f"run is {run.run!r:.40}, not the name of a folder")
    _check_time(run.started)
    if not isfinite(run.seconds):
        raise ValueError(f"run.seconds is {run.seconds}, not finite")
    for rated in (*run.ranking, *run.findings):
        if SEVERITY.get(rated.verdict) != rated.severity:
            raise ValueError(f"verdict {rated.verdict!r:.40} of severity {rated.severity!r:.40} is none")
    return typing.cast(Run, run)


def _check_text(document: Any) -> None:
    """Raises ValueError for half a character, which no file, terminal or database takes."""
    try:
        json.dumps(document, ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        raise ValueError(f"half a character, {error.object[error.start]!a}, in a text") from None


def _check_time(started: str) -> None:
    """Raises ValueError for what is no time since 1970."""
    time = datetime.fromisoformat(started)
    try:
        if time.year >= 1970:
            time.timestamp()
            return
    except (OverflowError, OSError):
        pass
    raise ValueError(f"run.started is {started!r:.40}, not a time since 1970")


def _distance(found: Mapping[str, Any]) -> dict[str, Any]:
    kinds = {"op": str, "format": str, "a": str, "b": str, "max_ulp_distance": float}
    if found.keys() != kinds.keys():
        raise ValueError(f"a distance has {', '.join(kinds)}, not {', '.join(found)}")
    return {name: _value(kind, found[name], f"distances.{name}") for name, kind in kinds.items()}


def run_folders(reports: Path) -> list[Path]:
    """Folders of finished runs, those with a run.json, oldest first; the names begin with the time."""
    try:
        return sorted(entry for entry in reports.iterdir() if (entry / FILE).is_file())
    except OSError:  # no folder, or one that may not be read: no runs
        return []


def dated_folders(reports: Path) -> list[Path]:
    """Those of `run_folders` that have the name that a run gave them, oldest first: no `example`, and no copy."""
    return [folder for folder in run_folders(reports) if _DATED.match(folder.name)]


def find_run(text: str, reports: Path) -> Path:
    """The run that a user means: a path, a name in `reports`, the beginning of just one name, or `latest`.

    Raises OpfuzzError if there is none, or more than one.
    """
    folders = run_folders(reports)
    if text == LATEST:
        dated = dated_folders(reports)
        if not dated:
            raise OpfuzzError(f"{reports}: no finished run here; make one with opfuzz run, or name another folder")
        return dated[-1]
    if text and (Path(text).is_file() or (Path(text) / FILE).is_file()):
        return Path(text)
    names = {folder.name: folder for folder in folders}
    if text in names:
        return names[text]
    found = [name for name in names if text and name.startswith(text)]
    if len(found) > 1:
        raise OpfuzzError(
            f"'{text:.80}' begins the names of {len(found)} runs: {', '.join(found[:5])}; write more of it"
        )
    if not found:
        remedy = did_you_mean(text[:80], names) or "; give a run's name or path, or latest"
        raise OpfuzzError(f"{reports}: no finished run '{text:.80}'{remedy}")
    return names[found[0]]


# Every field is read as its annotation says, so that a record and its reader cannot part ways. `where` is for messages.


def _value(kind: Any, value: Any, where: str) -> Any:
    """Raises ValueError for what `store.to_json` does not make of a value of this kind."""
    origin, args = typing.get_origin(kind), typing.get_args(kind)
    if kind is Any:
        return value
    if origin in (types.UnionType, Union):
        return _either(args, value, where)
    if origin is tuple:
        return _tuple(args, value, where)
    if origin is list:
        return [_value(args[0], item, f"{where}[{at}]") for at, item in enumerate(_list(value, where))]
    if origin is not None and issubclass(origin, Mapping):
        return {
            _key(args[0], key, where): _value(args[1], item, f"{where}.{key:.40}")
            for key, item in _object(value, where).items()
        }
    if kind in _READERS:
        return _READERS[kind](value, where)
    if dataclasses.is_dataclass(kind) and isinstance(kind, type):
        return _record(kind, value, where)
    raise TypeError(f"{where}: no reader for {kind}")


def _either(kinds: tuple[Any, ...], value: Any, where: str) -> Any:
    if value is None and type(None) in kinds:
        return None
    failures = []
    for kind in kinds:
        if kind is type(None):
            continue
        try:
            return _value(kind, value, where)
        except ValueError as error:
            failures.append(str(error))
    raise ValueError(failures[0])


def _tuple(kinds: tuple[Any, ...], value: Any, where: str) -> tuple[Any, ...]:
    items = _list(value, where)
    if len(kinds) == 2 and kinds[1] is Ellipsis:
        kinds = (kinds[0],) * len(items)
    if len(kinds) != len(items):
        raise ValueError(f"{where} has {len(items)} items, not {len(kinds)}")
    return tuple(_value(kind, item, f"{where}[{at}]") for at, (kind, item) in enumerate(zip(kinds, items, strict=True)))


def _key(kind: Any, key: str, where: str) -> Any:
    if kind is not int:
        return key
    try:
        return _integer(int(key), where)
    except ValueError:
        raise ValueError(f"{where} has the key {key!r:.40}, not a whole number of 64 bits") from None


def _record(kind: Any, value: Any, where: str, beside: frozenset[str] = frozenset()) -> Any:
    """A dataclass from an object with its fields, and those named in `beside`, which follow from the others."""
    found = _object(value, where)
    fields = {field.name: field for field in dataclasses.fields(kind)}
    for name in found:
        if name not in fields and name not in beside:
            raise ValueError(f"{where}: unknown key {name!r:.40}{did_you_mean(name[:40], fields)}")
    kinds = kinds_of(kind)
    given = {}
    for name, field in fields.items():
        if name in found:
            given[name] = _value(kinds[name], found[name], f"{where}.{name}")
        elif type(None) in typing.get_args(kinds[name]):
            given[name] = None  # written before there was such a field
        elif field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING:
            raise ValueError(f"{where}: missing '{name}'")
    return kind(**given)


@cache
def kinds_of(kind: Hashable) -> dict[str, Any]:
    """The annotation of each field of a record."""
    return typing.get_type_hints(kind, localns={"Trigger": Trigger, "Value": Value})  # known to checkers only


def _object(value: Any, where: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ValueError(f"{where} is {value!r:.40}, not an object")
    return value


def _list(value: Any, where: str) -> list[Any]:
    if not isinstance(value, list):
        raise ValueError(f"{where} is {value!r:.40}, not a list")
    return value


def _plain(kind: type[Any], words: str) -> Any:
    def read(value: Any, where: str) -> Any:
        if type(value) is not kind:
            raise ValueError(f"{where} is {value!r:.40}, not {words}")
        return value

    return read


def _float(value: Any, where: str) -> float:
    """An integer stays one, so that it is written as it was."""
    try:
        found = number(value)
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from None
    return _integer(value, where) if type(value) is int else found


def _integer(value: Any, where: str) -> int:
    if type(value) is not int:
        raise ValueError(f"{where} is {value!r:.40}, not a whole number")
    if value not in (range(2**64) if where == "run.seed" else INT64):  # a seed has no sign
        raise ValueError(f"{where} is {value}, beyond 64 bits")
    return value


def _finding(value: Any, where: str) -> Any:
    return _record(Finding, value, where, frozenset({"relation", "signature", "path", "reason", "diagnosis"}))


def common_cause(value: Any, where: str) -> CommonCause:
    """The cause of a run that JSON holds. Raises ValueError if it is none."""
    return typing.cast(CommonCause, _record(CommonCause, value, where, frozenset({"title"})))


def cause_change(value: Any, where: str) -> CauseChange:
    """What a run said of a cause, as JSON holds it. Raises ValueError if it is none."""
    return typing.cast(CauseChange, _record(CauseChange, value, where))


def _row(value: Any, where: str) -> Any:
    return _record(Row, value, where, frozenset({"reason"}))


def _cause(value: Any, where: str) -> Cause:
    return _own(Cause.from_json, value, where)


def _relation(value: Any, where: str) -> Relation:
    return _own(Relation.from_json, value, where)


def _case(value: Any, where: str) -> Case:
    return _own(Case.from_json, value, where)


def _own(read: Callable[[object], T], value: Any, where: str) -> T:
    """What a record's own reader makes of it."""
    try:
        return read(value)
    except (OpfuzzError, ValueError) as error:
        raise ValueError(f"{where}: {error}") from None


def _call(value: Any, where: str) -> Call:
    found = _record(Call, {**_object(value, where), "arrays": {}}, where)
    return typing.cast(Call, found)


def _trigger(value: Any, where: str) -> Trigger:
    return _own(Trigger.from_json, value, where)


def _witness(value: Any, where: str) -> Witness:
    """A witness lies flat in the file: its mark is among its other fields."""
    marked = {field.name for field in dataclasses.fields(Mark)}
    found = _object(value, where)
    mark = _record(Mark, {name: item for name, item in found.items() if name in marked}, where)
    kinds = kinds_of(Witness)
    others = {name: item for name, item in found.items() if name not in marked}
    if unknown := others.keys() - kinds.keys():
        raise ValueError(f"{where}: unknown key {min(unknown)!r:.40}")
    if missing := kinds.keys() - others.keys() - {"mark"}:
        raise ValueError(f"{where}: missing '{min(missing)}'")
    return Witness(mark=mark, **{name: _value(kinds[name], item, f"{where}.{name}") for name, item in others.items()})


_READERS: dict[Any, Any] = {
    str: _plain(str, "text"),
    int: _integer,
    bool: _plain(bool, "true or false"),
    float: _float,
    Finding: _finding,
    Row: _row,
    CommonCause: common_cause,
    Cause: _cause,
    Relation: _relation,
    Case: _case,
    Call: _call,
    Trigger: _trigger,
    Witness: _witness,
}
