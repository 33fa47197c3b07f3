"""Exported cases of ops with several outputs: what the manifest says of them, and what a program may write."""

from __future__ import annotations

import json

import numpy as np
import pytest
from exports import exported, plan_of, read
from safetensors.numpy import save_file
from several_outputs import SEVERAL, SPLIT

from opfuzz.core.errors import OpfuzzError
from opfuzz.core.results import Outcome
from opfuzz.store.exchange import OutputRecorder, output_name, read_recorded
from opfuzz.store.exchange.outputs import missing, outcome


@pytest.fixture
def export(tmp_path):
    """Four cases of two outputs, then as many of one that has no axes."""
    return exported(tmp_path / "cases", plan_of(SEVERAL, each=4, seed=2))


def shapes_of(entry):
    return tuple(SPLIT.output_shapes(entry.case.dims, entry.case.params).values())


def told(export, entry, name="mine"):
    """What the program is told to have done on a case."""
    recorded = read_recorded(export, name)
    return outcome(export.specs[entry.case.op], entry, name, recorded.told[entry.case.id][""])


def save(export, name="mine", **tensors):
    place = export.place / "outputs" / name
    place.mkdir()
    save_file({each.replace("__", "/"): array for each, array in tensors.items()}, place / "a.safetensors")


def test_a_client_is_told_each_output(export):
    manifest = json.loads((export.place / "manifest.json").read_text())
    of_split, of_total = manifest["cases"][0], manifest["cases"][4]
    y, mean = shapes_of(export.entries[0])
    assert of_split["outputs"] == [
        {"name": "y", "dtype": "F32", "shape": list(y)},
        {"name": "mean", "dtype": "F32", "shape": list(mean)},
    ]
    assert "output" not in of_split
    assert (of_total["output"], "outputs" in of_total) == ({"dtype": "F32", "shape": []}, False)
    lines = (export.place / "index.txt").read_text().splitlines()
    assert f"named-output y F32 2 {y[0]} {y[1]}" in lines
    assert f"named-output mean F32 1 {mean[0]}" in lines
    assert "output F32 0" in lines
    assert read(export.place).entries == export.entries


def test_what_is_recorded_is_read_back_in_order(export):
    recorder, entry = OutputRecorder(export, "mine", {}, {}), export.entries[0]
    arrays = tuple(np.full(shape, n, np.float32) for n, shape in enumerate(shapes_of(entry)))
    recorder.add(entry.case.id, "", Outcome("mine", "ok", arrays, repeated=(True, False)), ("y", "mean"))
    recorder.add(export.entries[1].case.id, "fast", Outcome("mine/fast", "ok", arrays), ("y", "mean"))
    total = export.entries[4]
    recorder.add(total.case.id, "", Outcome("mine", "ok", (np.full((), 3, np.float32),)))
    recorder.close()
    for made, given in zip(told(export, entry).outputs, arrays, strict=True):
        np.testing.assert_array_equal(made, given)
    assert told(export, entry).repeated == (False, False)
    assert told(export, total).outputs[0] == 3
    recorded = read_recorded(export, "mine")
    assert set(recorded.told[export.entries[1].case.id]["fast"].tensors) == {"y", "mean"}
    assert len(missing(export, recorded)) > 0
    assert output_name("0123", "fast", "y") == "0123/fast/y"
    assert output_name("0123", "", "") == "0123"


@pytest.mark.parametrize(
    ("made", "words"),
    [
        ({"y": ()}, "returned y, and no output mean"),
        ({"y": (), "mean": (1,)}, "returned shape {mean} as output mean, the spec says {right}"),
    ],
)
def test_an_output_that_is_not_as_the_spec_says_is_a_crash_that_names_it(export, made, words):
    entry = export.entries[0]
    right = dict(zip(("y", "mean"), shapes_of(entry), strict=True))
    arrays = {name: np.zeros((*more, *right[name]), np.float32) for name, more in made.items()}
    save(export, **{f"{entry.case.id}__{name}": array for name, array in arrays.items()})
    found = told(export, entry)
    assert (found.status, found.cause.kind, found.cause.figures["output"]) == ("crash", "wrong-shape", "mean")
    assert found.cause.figures["words"] == words.format(mean=(1, *right["mean"]), right=right["mean"])


@pytest.mark.parametrize("name", ["{case}", "{case}/fast", "{case}/fast/z"])
def test_a_tensor_without_the_name_of_an_output_is_refused(export, name):
    case = export.entries[0].case.id
    save(export, **{name.format(case=case).replace("/", "__"): np.zeros(1, np.float32)})
    with pytest.raises(OpfuzzError, match=r"does not end with '/' and the name of an output: y, mean"):
        read_recorded(export, "mine")
