"""Exports read back: equal to what was written, and one line for whatever somebody damaged or made up."""

from __future__ import annotations

import json
import os
import pickle
import re
import shutil
import struct
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from exports import exported, gathered, plan_of, read

from opfuzz.core.errors import OpfuzzError
from opfuzz.generate import inputs
from opfuzz.store.exchange import arrays_of

Damage = Callable[[Path], object]
SHARD = "inputs/00000.safetensors"


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    """A good export."""
    folder = tmp_path_factory.mktemp("good")
    exported(folder / "cases", plan_of(each=3))
    return folder / "cases"


def manifest(change: Callable[[dict[str, Any]], object]) -> Damage:
    """A damage that changes the manifest."""

    def damage(place: Path) -> None:
        document = json.loads((place / "manifest.json").read_text())
        change(document)
        (place / "manifest.json").write_text(json.dumps(document))

    return damage


def head(**fields: Any) -> Damage:
    return manifest(lambda document: document.update(fields))


def case(**fields: Any) -> Damage:
    return manifest(lambda document: document["cases"][0].update(fields))


def given(**fields: Any) -> Damage:
    return manifest(lambda document: document["cases"][0]["inputs"][0].update(fields))


def without(*names: str) -> Damage:
    return manifest(lambda document: [document["cases"][0].pop(name) for name in names])


def header(change: Callable[[dict[str, Any]], object], length: int | None = None) -> Damage:
    """A damage of the header of the inputs; `length` is what it says of itself."""

    def damage(place: Path) -> None:
        raw = (place / SHARD).read_bytes()
        end = 8 + int.from_bytes(raw[:8], "little")
        document = json.loads(raw[8:end])
        change(document)
        text = json.dumps(document, separators=(",", ":")).encode().ljust(end - 8)  # so that nothing moves
        (place / SHARD).write_bytes(struct.pack("<Q", len(text) if length is None else length) + text + raw[end:])

    return damage


def first(**fields: Any) -> Damage:
    """A damage of the entry of the tensor that lies first."""
    return header(lambda h: min((e for e in h.values()), key=lambda e: e["data_offsets"]).update(fields))


def text_in(name: str, old: str, new: str) -> Damage:
    def damage(place: Path) -> None:
        text = (place / name).read_text()
        assert old in text
        (place / name).write_text(text.replace(old, new, 1))

    return damage


def moved(name: str, make: Callable[[Path], object]) -> Damage:
    """A damage that puts something else where a file or folder was."""

    def damage(place: Path) -> None:
        (place / name).rename(place.parent / "away")
        make(place / name)

    return damage


def bit(place: Path) -> None:
    """One bit of one value."""
    raw = bytearray((place / SHARD).read_bytes())
    raw[-1] ^= 1
    (place / SHARD).write_bytes(raw)


class Trap:
    """Unpickling it makes a file."""

    def __init__(self, path: str) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return open, (self.path, "w")


def shifted(header: dict[str, Any]) -> None:
    for entry in header.values():
        entry["data_offsets"] = [offset + 8 for offset in entry["data_offsets"]]


def nothing(document: dict[str, Any]) -> None:
    """Leaves a header as it is."""


def twice(document: dict[str, Any]) -> None:
    document["cases"].append(document["cases"][0])


def integers(header: dict[str, Any]) -> None:
    for entry in header.values():
        if entry["dtype"] == "F64":
            entry["dtype"] = "I64"


def pickled(place: Path) -> None:
    (place / SHARD).write_bytes(pickle.dumps(Trap(str(place / "trapped"))))


CODE = "summary: !!python/name:os.abort"
DAMAGES: dict[str, tuple[str, Damage, str]] = {
    # name: the file that the message names, the damage, words of the message
    "no manifest": ("manifest.json", lambda p: (p / "manifest.json").unlink(), "missing; opfuzz cases export"),
    "empty manifest": ("manifest.json", lambda p: os.truncate(p / "manifest.json", 0), "empty"),
    "huge manifest": ("manifest.json", lambda p: os.truncate(p / "manifest.json", 2**29), "limit"),
    "cut manifest": ("manifest.json", lambda p: os.truncate(p / "manifest.json", 900), "no JSON"),
    "manifest as a link": ("manifest.json", moved("manifest.json", lambda p: p.symlink_to("../away")), "symbolic link"),
    "manifest as a pipe": ("manifest.json", moved("manifest.json", os.mkfifo), "a pipe"),
    "no specs": ("specs", lambda p: shutil.rmtree(p / "specs"), "no such folder"),
    "inputs as a link": ("inputs", moved("inputs", lambda p: p.symlink_to("../away")), "symbolic link"),
    "unknown key": ("manifest.json", head(sede=1), "did you mean 'seed'"),
    "missing key": ("manifest.json", manifest(lambda d: d.pop("each")), "missing each"),
    "duplicate key": ("manifest.json", text_in("manifest.json", "{", '{"seed": 1,'), "duplicate key 'seed'"),
    "schema": ("manifest.json", head(schema=2), "schema 2"),
    "seed": ("manifest.json", head(seed=-1), "seed is -1"),
    "version": ("manifest.json", head(opfuzz=1), "not a version"),
    "cases no list": ("manifest.json", head(cases={}), "a list"),
    "a case that is none": ("manifest.json", head(cases=[3]), "case 1 of 1: a int"),
    "op of a path": ("manifest.json", head(specs={"../square": "0"}), "no name of an op"),
    "other digest": ("specs/square.yaml", manifest(lambda d: d["specs"].update(square="0" * 16)), "digest"),
    "changed spec": ("specs/square.yaml", text_in("specs/square.yaml", "x * x", "x * x * x"), "digest"),
    "other spec": ("specs/mean.yaml", lambda p: shutil.copy(p / "specs/square.yaml", p / "specs/mean.yaml"), "op is"),
    "spec missing": ("specs/mean.yaml", lambda p: (p / "specs/mean.yaml").unlink(), "missing"),
    "spec with code": ("specs/mean.yaml", text_in("specs/mean.yaml", "summary:", CODE), "tag"),
    "id": ("manifest.json", case(id="0" * 16), "the id is"),
    "changed dims": ("manifest.json", case(dims={"a": 1, "n": 1}), "the id is"),
    "changed dims without the id": ("manifest.json", without("id"), "missing 'id'"),
    "op of no spec": ("manifest.json", manifest(lambda d: d["specs"].pop("mean")), "not among the specs"),
    "negative number": ("manifest.json", case(number=-1), "number is -1"),
    "number of another": ("manifest.json", case(number=1), "is there twice"),
    "a case twice": (SHARD, manifest(twice), "missing tensor"),
    "file outside": ("manifest.json", case(file="../away.safetensors"), "file is '../away"),
    "file of a longer name": ("manifest.json", case(file=f"{SHARD}\n"), "file is"),
    "no such file": ("inputs/00009.safetensors", case(file="inputs/00009.safetensors"), "missing"),
    "unknown key of a case": ("manifest.json", case(hint="x"), "unknown key 'hint'"),
    "missing output": ("manifest.json", without("output"), "missing 'output'"),
    "offset": ("manifest.json", given(offset=8), "follows from the case"),
    "shape": ("manifest.json", given(shape=[2**60]), "follows from the case"),
    "layout": ("manifest.json", given(layout="sideways"), "follows from the case"),
    "other dtype": (SHARD, first(dtype="BF16"), "offsets"),
    "dtype of the same size": (SHARD, header(integers), "int64"),
    "unknown dtype": (SHARD, first(dtype="F24"), "F24"),
    "2^60 elements": (SHARD, first(shape=[2**60]), "offsets"),
    "many axes": (SHARD, first(shape=[10**19] * 9999), "at most 32 sizes"),
    "negative size": (SHARD, first(shape=[-1, -3]), "sizes"),
    "offsets beyond": (SHARD, header(shifted), "begins at byte"),
    "other tensor": (SHARD, header(lambda h: h.update(x=h.pop(next(iter(h))))), "tensor"),
    "giant header": (SHARD, header(nothing, length=2**62), "header of"),
    "cut inputs": (SHARD, lambda p: os.truncate(p / SHARD, (p / SHARD).stat().st_size - 1), "bytes of tensors"),
    "a pickle": (SHARD, pickled, "header"),
    "no index": ("index.txt", lambda p: (p / "index.txt").unlink(), "missing"),
    "other index": ("index.txt", text_in("index.txt", "output F32 2", "output F32 1"), "not what manifest.json says"),
    "longer index": ("index.txt", text_in("index.txt", "opfuzz-cases 1", "opfuzz-cases 1\nend"), "line 2"),
}  # fmt: skip


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_export_is_refused_in_one_line(damage, made, tmp_path):
    place = tmp_path / "cases"
    shutil.copytree(made, place)
    name, harm, words = DAMAGES[damage]
    harm(place)
    with pytest.raises(OpfuzzError) as refused:
        read(place)
    message = str(refused.value)
    assert message.startswith(str(place / name)), message
    assert words in message
    assert "\n" not in message
    assert len(message) < 700
    assert not (place / "trapped").exists()


def test_a_good_export_is_none_of_these(made):
    export = read(made)
    assert [entry.number for entry in export.entries] == [0, 1, 2] * 4
    for entry in export.entries:
        own = inputs(export.specs[entry.case.op], entry.case)
        found = arrays_of(export, entry)
        assert {n: a.tobytes() for n, a in found.items()} == {n: a.tobytes() for n, a in own.items()}
        assert {n: (a.shape, a.dtype) for n, a in found.items()} == {n: (a.shape, a.dtype) for n, a in own.items()}


@pytest.mark.parametrize("damage", ["huge manifest", "giant header", "2^60 elements", "shape", "many axes"])
def test_nothing_large_is_allocated_for_what_a_file_claims(damage, made, tmp_path):
    place = tmp_path / "cases"
    shutil.copytree(made, place)
    DAMAGES[damage][1](place)
    tracemalloc.start()
    try:
        with pytest.raises(OpfuzzError):
            read(place)
        assert tracemalloc.get_traced_memory()[1] < 2**23
    finally:
        tracemalloc.stop()


def test_one_bit_of_one_value_is_seen(made, tmp_path):
    place = tmp_path / "cases"
    shutil.copytree(made, place)
    bit(place)
    export = read(place)
    refused = []
    for entry in export.entries:
        try:
            arrays_of(export, entry)
        except OpfuzzError as error:
            refused.append(str(error))
    assert len(refused) == 1
    assert re.search(r"input x of case \d of \w+ in \w+ \([0-9a-f]{16}\) has other values than the case", refused[0])


def test_an_index_that_points_elsewhere_is_not_one_of_the_case(tmp_path):
    export = exported(tmp_path / "cases", plan_of(gathered(tmp_path / "specs"), each=2))
    entry = export.entries[0]
    place = entry.places["i"]
    path = tmp_path / "cases" / entry.file
    raw = bytearray(path.read_bytes())
    raw[place.first : place.first + 8] = struct.pack("<q", -(2**60))
    path.write_bytes(raw)
    with pytest.raises(OpfuzzError, match="input i of case 0 of gathered"):
        arrays_of(read(tmp_path / "cases"), entry)


def test_damage_at_random_is_refused_in_one_line_or_means_nothing(made, tmp_path):
    place = tmp_path / "cases"
    shutil.copytree(made, place)
    random = np.random.default_rng(17)
    refused = []
    for name in ("manifest.json", "index.txt", "specs/square.yaml", SHARD):
        whole = (place / name).read_bytes()
        for _ in range(30):
            data = bytearray(whole)
            for _ in range(int(random.integers(1, 4))):
                data[int(random.integers(len(data)))] = int(random.integers(256))
            (place / name).write_bytes(data)
            try:
                export = read(place)
                for entry in export.entries:
                    arrays_of(export, entry)
            except OpfuzzError as error:
                refused.append(str(error))
        (place / name).write_bytes(whole)
    assert len(refused) > 90
    assert not any("\n" in message for message in refused)
