"""Progress files: whatever is cut off, the totals are those of a sweep that was left alone."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from pathlib import Path

import pytest

from opfuzz.backends import discover
from opfuzz.errors import OpfuzzError
from opfuzz.plan import load_specs
from opfuzz.sweep_file import SweepFile, document
from opfuzz.swept import NotUnaryError, Sweep, check_unary, measure, prepared

SPECS = Path(__file__).parents[1] / "specs"
BACKENDS = discover()
(EXP,) = load_specs([SPECS / "elementary" / "exp.yaml"], BACKENDS)
LOW, CHUNK = 0x3F000000, 2**22
HEADER = {
    "op": "exp", "digest": EXP.digest, "subject": "numpy:cpu", "format": "float32",
    "range": [LOW - 900, LOW + 900], "params": {}, "versions": {"numpy": "1"}, "processor": "", "environment": {},
}  # fmt: skip


@pytest.fixture(scope="module")
def chunks():
    """Eight small pieces, as eight sweeps would measure them."""
    found = []
    for place in range(8):
        sweep = Sweep(EXP, "numpy:cpu", "float32", {}, LOW + 500 * place, LOW + 500 * (place + 1))
        found.append(replace(measure(sweep, 0, *prepared(sweep, BACKENDS)), place=place))
    return found


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
    path.write_text("{}\nnonsense\n")
    assert SweepFile(path, HEADER).replaced == "it is damaged"
    filled(path, chunks)
    assert SweepFile(path, HEADER).replaced == ""
    assert SweepFile(path, HEADER, again=True).chunks == {}


def test_a_folder_that_cannot_be_written_is_said(tmp_path):
    (tmp_path / "taken").write_text("")
    with pytest.raises(OpfuzzError, match="--out"):
        SweepFile(tmp_path / "taken" / "file", HEADER)


def test_the_document_has_the_figures_of_both_ways(tmp_path, chunks):
    found = document(HEADER, filled(tmp_path / "file", chunks).swept())
    assert found["inputs"] == found["tail"]["inputs"] == 4000
    assert 0.5 < found["max_ulp"] < 3
    assert found["at_hex"].startswith("0x3f000")
    assert 0.5 <= found["at"] < 0.51
    assert set(found["mismatches"]) == {"nan", "inf", "zero", "finite", "sign"}
    assert {"op", "subject", "format", "mean_ulp", "above_1", "seconds"} <= set(found)
    json.dumps(found, allow_nan=False)


def test_ops_of_several_numbers_are_refused_with_a_remedy():
    for name in ("norm/layer_norm.yaml", "linear/matmul.yaml", "activation/softmax.yaml"):
        path = next(SPECS.rglob(Path(name).name))
        (spec,) = load_specs([path], BACKENDS)
        with pytest.raises(NotUnaryError, match="opfuzz climb"):
            check_unary(spec, "float32", {p.name: p.default for p in spec.params})
    check_unary(EXP, "float32", {})
