"""Exported cases read back: all that the manifest says is said again from the cases, and held against it."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from opfuzz.core.case import FIELDS, SEED_LIMIT, Case
from opfuzz.core.errors import OpfuzzError, SpecError, did_you_mean
from opfuzz.core.files import plain_file
from opfuzz.generate import inputs
from opfuzz.spec import OpSpec, Vocabulary, load
from opfuzz.spec.expression.program import ExpressionError
from opfuzz.store.bundle.checking import check_sizes, checked_dims, checked_params, dtype_of, named
from opfuzz.store.bundle.tensors import Place, places_in, read_tensor
from opfuzz.store.exchange.export import SCHEMA, Export, ExportedCase, described, index_text, tensor_name
from opfuzz.store.exchange.files import (
    INDEX,
    INPUTS,
    MANIFEST,
    OP,
    SHARD,
    SHARD_LIMIT,
    SPEC_LIMIT,
    SPECS,
    TEXT_LIMIT,
    check_folder,
    damaged,
)

HEAD = ("schema", "opfuzz", "seed", "each", "profile", "specs", "cases")


def read_export(place: Path, words: Vocabulary) -> Export:
    """The cases in a folder, of which the inputs are not read yet: `arrays_of` does that.

    Raises OpfuzzError, in one line, for all that is damaged, missing, contradictory, or leads out of the folder.
    """
    check_folder(place)
    path = place / MANIFEST
    complain = partial(damaged, path)
    document = plain_file.document(path, TEXT_LIMIT, complain, "missing; opfuzz cases export writes it last")
    _check_head(document, complain)
    check_folder(place / SPECS)
    check_folder(place / INPUTS)
    specs = {op: _spec(place, op, digest, words) for op, digest in document["specs"].items()}
    files: dict[str, dict[str, Place]] = {}
    entries = []
    for at, written in enumerate(document["cases"]):
        try:
            entries.append(_entry(place, written, specs, files))
        except (ValueError, TypeError, ArithmeticError, ExpressionError) as error:  # of formulas on sizes, too
            raise complain(f"case {at + 1} of {len(document['cases'])}: {error}") from None
    for file, left in files.items():
        if left:
            raise damaged(place / file, f"unknown tensor {next(iter(left))!r:.40}")
    version, seed, each, profile = (document[name] for name in ("opfuzz", "seed", "each", "profile"))
    export = Export(place, version, seed, each, profile, specs, tuple(entries))
    _check_unique(export, complain)
    _check_index(export)
    return export


def _check_head(document: Mapping[str, Any], complain: plain_file.Complain) -> None:
    for name in document:
        if name not in HEAD:
            raise complain(f"unknown key {name!r:.40}{did_you_mean(name[:40], HEAD)}")
    if missing := [name for name in HEAD if name not in document]:
        raise complain(f"missing {', '.join(missing)}")
    if document["schema"] != SCHEMA or type(document["schema"]) is not int:
        raise complain(f"schema {document['schema']!r:.40}; this opfuzz reads {SCHEMA}")
    for name, limit in (("seed", SEED_LIMIT), ("each", 2**63)):
        if type(document[name]) is not int or not 0 <= document[name] < limit:
            raise complain(f"{name} is {document[name]!r:.40}, not a whole number")
    if not isinstance(document["opfuzz"], str):
        raise complain(f"opfuzz is {document['opfuzz']!r:.40}, not a version")
    if not isinstance(document["profile"], str | None):
        raise complain(f"profile is {document['profile']!r:.40}, not a name or null")
    if not isinstance(document["specs"], dict) or not isinstance(document["cases"], list):
        raise complain("specs is an object and cases a list")


def _spec(place: Path, op: str, digest: object, words: Vocabulary) -> OpSpec:
    if not OP.fullmatch(op):
        raise damaged(place / MANIFEST, f"specs: {op!r:.40} is no name of an op")
    path = place / SPECS / f"{op}.yaml"
    complain = partial(damaged, path)
    with plain_file.opened(path, SPEC_LIMIT, complain):
        pass
    try:
        spec = load(path, words)
    except SpecError as error:
        first = error.problems[0]
        raise complain(f"line {first.line}, column {first.column}: {first.message}") from None
    for name, written, own in (("op", op, spec.op), ("digest", digest, spec.digest)):
        if written != own:
            raise complain(f"its {name} is '{own}', {MANIFEST} says {written!r:.40}")
    return spec


def _entry(place: Path, written: Any, specs: Mapping[str, OpSpec], files: dict[str, dict[str, Place]]) -> ExportedCase:
    """One case. Raises ValueError and its like for what is wrong in the manifest, OpfuzzError for a damaged file."""
    if not isinstance(written, dict):
        raise ValueError(f"a {type(written).__name__} in place of an object")
    try:
        case = Case.from_json({name: written[name] for name in (*FIELDS, "id") if name in written})
    except OpfuzzError as error:
        raise ValueError(str(error)) from None
    if "id" not in written:
        raise ValueError("missing 'id'")
    spec = specs.get(case.op)
    if spec is None:
        raise ValueError(f"op {case.op!r:.40} is not among the specs{did_you_mean(case.op[:40], specs)}")
    if case.digest != spec.digest:
        raise ValueError(f"digest is '{case.digest:.40}', that of {SPECS}/{case.op}.yaml is '{spec.digest}'")
    if case.format not in spec.formats:
        raise ValueError(f"format {case.format} is not among those of the spec: {', '.join(spec.formats)}")
    check_sizes(spec, checked_dims(spec, case.dims), checked_params(spec, case.params))
    named("regimes", case.regimes, [given.name for given in spec.inputs])
    number, file = written.get("number"), written.get("file")
    if type(number) is not int or not 0 <= number < 2**63:
        raise ValueError(f"number is {number!r:.40}, not a whole number")
    if not isinstance(file, str) or not SHARD.fullmatch(file):
        raise ValueError(f"file is {file!r:.40}, not such as {INPUTS}/00000.safetensors")
    if file not in files:
        files[file] = _places(place / file)
    entry = ExportedCase(case, number, file, _taken(place / file, case, spec, files[file]))
    _check_same(written, described(entry, spec))
    return entry


def _places(path: Path) -> dict[str, Place]:
    complain = partial(damaged, path)
    with plain_file.opened(path, SHARD_LIMIT, complain) as (file, size):
        try:
            return places_in(file, size)
        except ValueError as error:
            raise complain(str(error)) from None


def _taken(path: Path, case: Case, spec: OpSpec, left: dict[str, Place]) -> dict[str, Place]:
    """Where the inputs of a case are; they are taken out of `left`. Raises OpfuzzError for other tensors than those."""
    shapes, found = spec.shapes(case.dims, case.params), {}
    for given in spec.inputs:
        name, shape, dtype = tensor_name(case.id, given.name), shapes[given.name], dtype_of(given, case.format)
        place = left.pop(name, None)
        if place is None:
            raise damaged(path, f"missing tensor '{name}'")
        if not place.is_like(shape, dtype):
            held = f"is {place.words} of shape {list(place.shape)!s:.60}"
            raise damaged(path, f"tensor '{name}' {held}, the case needs {dtype} of shape {list(shape)}")
        found[given.name] = place
    return found


def _check_same(written: Any, own: Any, where: str = "") -> None:
    """Raises ValueError that names the first thing which is not as it follows from the case."""
    if isinstance(written, dict) and isinstance(own, dict):
        for name in written:
            if name not in own:
                raise ValueError(f"unknown key {f'{where}{name}'!r:.60}{did_you_mean(name[:40], own)}")
        for name, value in own.items():
            if name not in written:
                raise ValueError(f"missing '{where}{name}'")
            _check_same(written[name], value, f"{where}{name}.")
    elif isinstance(written, list) and isinstance(own, list) and len(written) == len(own):
        for at, (one, other) in enumerate(zip(written, own, strict=True)):
            _check_same(one, other, f"{where}{at}.")
    elif written != own or type(written) is not type(own):
        raise ValueError(f"{where[:-1]} is {written!r:.80}, and follows from the case as {own!r:.80}")


def _check_unique(export: Export, complain: plain_file.Complain) -> None:
    seen: set[object] = set()
    for entry in export.entries:
        for place in ((entry.case.op, entry.case.format, entry.number), entry.case.id):
            if place in seen:
                raise complain(f"{entry} is there twice, or another case of its number or id")
            seen.add(place)


def _check_index(export: Export) -> None:
    """Raises OpfuzzError unless programs that read no JSON are told the same."""
    path = export.place / INDEX
    with plain_file.opened(path, TEXT_LIMIT, partial(damaged, path)) as (file, size):
        data = file.read(size)
    own = index_text(export).encode()
    if data != own:
        lines = zip(data.split(b"\n"), own.split(b"\n"), strict=False)
        at = next((at for at, (a, b) in enumerate(lines, 1) if a != b), 0)
        raise damaged(path, f"line {at} is not what {MANIFEST} says" if at else f"not as long as {MANIFEST} makes it")


def arrays_of(export: Export, entry: ExportedCase) -> dict[str, NDArray[Any]]:
    """The inputs of a case as they lie in the file, which are those that the case has by itself.

    Raises OpfuzzError if they are not: the file was damaged, or another opfuzz made other values of the case.
    """
    spec, path = export.specs[entry.case.op], export.place / entry.file
    own, found = inputs(spec, entry.case), {}
    complain = partial(damaged, path)
    with plain_file.opened(path, SHARD_LIMIT, complain) as (file, _):
        for name, place in entry.places.items():
            try:
                found[name] = read_tensor(file, tensor_name(entry.case.id, name), place)
            except ValueError as error:
                raise complain(str(error)) from None
            if found[name].tobytes() != np.asarray(own[name], order="C").tobytes():
                raise complain(f"input {name} of {entry} has other values than the case (opfuzz {export.version})")
    return found
