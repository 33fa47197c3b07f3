"""Progress files: whatever is cut off, the totals are those of a sweep that was left alone."""

from __future__ import annotations

import json
import random
from dataclasses import asdict

import pytest
from bundled_ops import BUNDLED_OPS

from opfuzz.backends import discover
from opfuzz.core.errors import OpfuzzError
from opfuzz.engine.drivers.sweep_file import SweepFile, document
from opfuzz.engine.drivers.sweep_sides import Sweep, measure, prepare
from opfuzz.search.sweep.reference import NotUnaryError, check_unary

BACKENDS = discover()
EXP = BUNDLED_OPS["exp"]
LOW = 0x3F000000
HEADER = {
    "op": "exp", "digest": EXP.digest, "subject": "numpy:cpu", "format": "float32",
    "range": [LOW, LOW + 4096], "params": {}, "versions": {"numpy": "1"}, "processor": "",
    "vector_unit": "", "environment": {},
}  # fmt: skip


@pytest.fixture(scope="module", autouse=True)
def chunks():
    """The eight chunks of a sweep whose chunks are small."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("opfuzz.search.sweep.chunk.CHUNK_BITS", 9)
        sweep = Sweep(EXP, "numpy:cpu", "float32", {}, LOW, LOW + 4096)
        ready = prepare(sweep, BACKENDS)
        yield [measure(sweep, place, *ready) for place in range(8)]


def filled(path, chunks):
    file = SweepFile(path, HEADER)
    for chunk in chunks:
        file.add(chunk)
    return file


def test_a_file_cut_anywhere_goes_on_to_the_same_totals(tmp_path, chunks):
    whole = filled(tmp_path / "whole", chunks).swept()
    data = (tmp_path / "whole").read_bytes()
    header = data.index(b"\n") + 1
    for cut in random.Random(1).sample(range(header, len(data)), 12):
        path = tmp_path / f"cut{cut}"
        path.write_bytes(data[:cut])
        again = SweepFile(path, HEADER)
        assert len(again.chunks) == data[:cut].count(b"\n") - 1
        for chunk in reversed(chunks):  # and in another order
            if chunk.place not in again.chunks:
                again.add(chunk)
        assert again.swept() == whole
        assert SweepFile(path, HEADER).swept() == whole


def test_a_file_about_something_else_is_started_anew(tmp_path, chunks):
    path = tmp_path / "file"
    filled(path, chunks)
    other = SweepFile(path, {**HEADER, "digest": "0123"})
    assert other.chunks == {}
    assert "digest" in other.replaced
    assert len(SweepFile(tmp_path / "file.old", HEADER).chunks) == 8
    path.write_text("nonsense\n")
    assert SweepFile(path, HEADER).replaced == "it is no progress file"
    filled(path, chunks)
    assert SweepFile(path, HEADER).replaced == ""
    assert SweepFile(path, HEADER, again=True).chunks == {}


def line_of(chunk):
    return json.loads(json.dumps(asdict(chunk)))


def harm(place, *path):
    """A line with another value at the end of a path of keys."""
    *keys, last, value = path

    def harmed(chunk):
        line = inner = {**line_of(chunk), "place": place}
        for key in keys:
            inner = inner[key]
        inner[last] = value
        return line

    return harmed


@pytest.mark.parametrize(
    "harmed",
    [
        harm(1, "place", 8),
        harm(1, "place", -1),
        harm(1, "place", 0),  # twice
        harm(1, "body", "above", [1]),
        harm(1, "body", "inputs", 511),
        harm(1, "tail", "inputs", 512.5e300),
        harm(1, "tail", "inputs", 0),
        harm(1, "body", "largest", "bits", 2**32),
        harm(1, "body", "largest", "bits", 1.5),
        harm(1, "body", "largest", "value", "1.5"),
        harm(1, "tail", "excess", "bits", -1),
        harm(1, "body", "examples", {"nan": 2**32}),
        harm(1, "body", "normal", 513),
        harm(1, "body", "buckets", {"4096": 0.5}),
        harm(1, "body", "inputs", float("inf")),
        lambda _: [],
    ],
)
def test_a_damaged_line_is_started_anew_and_said(harmed, tmp_path, chunks):
    path = tmp_path / "file"
    filled(path, chunks[:1])
    whole = path.read_text()
    path.write_text(whole + json.dumps({**line_of(chunks[1])}) + "\n")
    assert len(SweepFile(path, HEADER).chunks) == 2, "without harm it is taken"
    path.write_text(whole + json.dumps(harmed(chunks[1])) + "\n")
    file = SweepFile(path, HEADER)
    assert (file.chunks, file.replaced) == ({}, "it is damaged in line 3")


def test_a_disk_that_refuses_a_chunk_is_one_line(tmp_path, chunks):
    file = filled(tmp_path / "file", chunks[:1])
    (tmp_path / "file").unlink()
    (tmp_path / "file").mkdir()
    with pytest.raises(OpfuzzError, match="file: cannot be written: Is a directory"):
        file.add(chunks[1])


def test_a_folder_that_cannot_be_written_is_said(tmp_path):
    (tmp_path / "taken").write_text("")
    with pytest.raises(OpfuzzError, match="--out"):
        SweepFile(tmp_path / "taken" / "file", HEADER)


def test_the_document_has_the_figures_of_both_ways(tmp_path, chunks):
    found = document(HEADER, filled(tmp_path / "file", chunks).swept())
    assert found["inputs"] == found["tail"]["inputs"] == 4096
    assert 0.5 < found["max_ulp"] < 3
    assert found["at_hex"].startswith("0x3f000")
    assert 0.5 <= found["at"] < 0.51
    assert set(found["mismatches"]) == {"nan", "inf", "zero", "finite", "sign"}
    assert {"op", "subject", "format", "mean_ulp", "above_1", "seconds"} <= set(found)
    json.dumps(found, allow_nan=False)


def test_ops_of_several_numbers_are_refused_with_a_remedy():
    for spec in (BUNDLED_OPS[op] for op in ("layer_norm", "matmul", "softmax")):
        with pytest.raises(NotUnaryError, match="opfuzz climb"):
            check_unary(spec, "float32", {p.name: p.default for p in spec.params})
    check_unary(EXP, "float32", {})
