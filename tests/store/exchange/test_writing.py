"""Exports: the bits of a run, in files that a stranger's reader reads, of bounded sizes, all or nothing."""

from __future__ import annotations

import json

import numpy as np
import pytest
from exports import exported, gathered, plan_of, read
from safetensors import safe_open

from opfuzz.core.errors import OpfuzzError
from opfuzz.core.layout import memory
from opfuzz.generate import inputs
from opfuzz.store.bundle.tensors import name_of
from opfuzz.store.exchange import writing

DTYPES = {"F64": "<f8", "F32": "<f4", "BF16": "<u2", "I64": "<i8", "BOOL": "?"}


def bits(array) -> bytes:
    return np.asarray(array, order="C").tobytes()


@pytest.mark.parametrize("kind", ["small", "every kind of input"])
def test_inputs_are_those_of_a_run_to_the_bit(kind, tmp_path):
    plan = plan_of(seed=5) if kind == "small" else plan_of(gathered(tmp_path / "specs"), each=12, seed=5)
    exported(tmp_path / "cases", plan)
    manifest = json.loads((tmp_path / "cases" / "manifest.json").read_text())
    assert (manifest["schema"], manifest["seed"], manifest["each"]) == (1, 5, plan.cases)
    specs = {spec.op: spec for spec in plan.specs}
    seen = set()
    for entry in manifest["cases"]:
        case = plan.case(entry["op"], entry["format"], entry["number"])
        assert entry["id"] == case.id
        arrays = inputs(specs[case.op], case)
        raw = (tmp_path / "cases" / entry["file"]).read_bytes()
        with safe_open(tmp_path / "cases" / entry["file"], "np") as file:
            names = set(file.keys())
        for given in entry["inputs"]:
            array = arrays[given["name"]]
            assert raw[given["offset"] : given["offset"] + given["bytes"]] == bits(array)
            assert (given["dtype"], given["shape"]) == (name_of(array.dtype), list(array.shape))
            assert given["tensor"] in names
            seen.add(given["dtype"])
            # What a program with views builds from the values and `memory` is what backends see.
            where = given["memory"]
            flat = np.frombuffer(raw, DTYPES[given["dtype"]], array.size, given["offset"]).reshape(array.shape)
            base, _ = memory(array, given["layout"])
            assert base.size == where["elements"]
            for index in np.ndindex(array.shape):
                place = where["start"] + sum(i * step for i, step in zip(index, where["strides"], strict=True))
                assert bits(base.ravel()[place]) == bits(flat[index])
    assert seen == ({"F32", "F64", "BF16"} if kind == "small" else {"F32", "I64", "BOOL"})
    assert len(manifest["cases"]) == len(plan.pairs()) * plan.cases


def test_the_index_says_what_the_manifest_says(tmp_path):
    exported(tmp_path / "cases", plan_of())
    manifest = json.loads((tmp_path / "cases" / "manifest.json").read_text())
    first, *lines = (tmp_path / "cases" / "index.txt").read_text().splitlines()
    assert first == "opfuzz-cases 1"
    told = [line.split() for line in lines]
    assert [words[1:] for words in told if words[0] == "case"] == [
        [entry["id"], entry["op"], entry["format"], str(entry["number"])] for entry in manifest["cases"]
    ]
    given = [each | {"file": entry["file"]} for entry in manifest["cases"] for each in entry["inputs"]]
    shapes = [[str(len(each["shape"])), *map(str, each["shape"])] for each in given]
    assert [words[1:] for words in told if words[0] == "input"] == [
        [each["name"], each["kind"], each["dtype"], each["file"], str(each["offset"]), str(each["bytes"]), *shape]
        for each, shape in zip(given, shapes, strict=True)
    ]


def test_an_empty_array_and_params_of_all_kinds_are_read_back(tmp_path):
    spec = tmp_path / "specs"
    spec.mkdir()
    (spec / "odd.yaml").write_text(
        "op: odd\nsummary: The number y for each row of an empty x.\nformats: [float16]\ndims: {n: 0..1}\n"
        "params: {how: ['a \"b', c], on: [true, false], eps: [1e-5, 1], axis: [null, 3]}\n"
        "inputs: {x: {shape: [n, 0 * n]}, y: {shape: [], regimes: [ones]}}\noutput: {shape: [n, 1]}\n"
        "calls: {numpy: 'np.sum(x, how=how, on=on, eps=eps, axis=axis)'}\nreference: sum(x, axis=-1) + y\n"
    )
    export = exported(tmp_path / "cases", plan_of(spec, each=24))
    again = read(tmp_path / "cases")
    assert again.entries == export.entries
    text = (tmp_path / "cases" / "index.txt").read_text()
    for line in ('param how text "a \\"b"', "param on bool true", "param eps float 1e-05", "param axis none null"):
        assert line in text.splitlines()
    assert {entry.places["y"].shape for entry in again.entries} == {()}


def test_files_are_of_bounded_size(tmp_path, monkeypatch):
    whole = exported(tmp_path / "one", plan_of())
    assert {entry.file for entry in whole.entries} == {"inputs/00000.safetensors"}
    monkeypatch.setattr(writing, "SHARD_TENSORS", 5)
    by_count = exported(tmp_path / "many", plan_of())
    files = [entry.file for entry in by_count.entries]
    assert max(map(files.count, files)) == 5
    assert [entry.case for entry in read(tmp_path / "many").entries] == [entry.case for entry in whole.entries]
    monkeypatch.setattr(writing, "SHARD_BYTES", 1)
    assert len({entry.file for entry in exported(tmp_path / "each", plan_of()).entries}) == len(files)


@pytest.mark.parametrize(("limit", "words"), [("CASES_LIMIT", "cases, the limit is 3"), ("BYTES_LIMIT", "of inputs")])
def test_what_is_too_much_is_refused_before_anything_is_written(limit, words, tmp_path, monkeypatch):
    monkeypatch.setattr(writing, limit, 3)
    with pytest.raises(OpfuzzError, match=words):
        exported(tmp_path / "cases", plan_of())
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_written_over_and_nothing_is_left_half_written(tmp_path, monkeypatch):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "text").write_text("kept")
    with pytest.raises(OpfuzzError, match="name a new folder"):
        exported(tmp_path / "mine", plan_of())

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(writing, "write_bytes", full)
    with pytest.raises(OpfuzzError, match="No space left"):
        exported(tmp_path / "cases", plan_of())
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]
    monkeypatch.undo()
    (tmp_path / "empty").mkdir()
    exported(tmp_path / "empty", plan_of(each=1))
    assert read(tmp_path / "empty").entries
