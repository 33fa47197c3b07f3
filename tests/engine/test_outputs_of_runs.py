"""Runs of an op with two outputs, and of one whose output has no axes: what is wrong is found and shown where it is."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import commands
import numpy as np
import pytest
from bundles import opfuzz
from several_outputs import SEVERAL, plugin

from opfuzz.backends import discover
from opfuzz.engine.plan import vocabulary
from opfuzz.store.bundle import read_bundle
from opfuzz.store.read import read_run

HONEST = "numpy:cpu,torch:cpu,mlx:cpu"


@pytest.fixture(scope="module")
def ran(tmp_path_factory) -> tuple[Path, str]:
    """A run on honest subjects and on the one whose mean is another, and what the terminal shows."""
    folder = tmp_path_factory.mktemp("several")
    known = set(discover())
    subjects = [each for each in HONEST.split(",") if each.split(":")[0] in known]
    words = ["run", SEVERAL, "--subjects", ",".join([*subjects, "short:cpu"]), "--plugin", plugin(folder)]
    words += ["--cases", 12, "--seed", 3, "--out", folder / "out"]
    done = commands.opfuzz(*words, cwd=Path(__file__).parents[2])
    assert done.status == 1, done.err
    (place,) = (folder / "out").glob("2*")
    return place, done.out


def findings(place: Path):
    return {(each.op, each.verdict): each for each in read_run(place).findings if each.severity == "fault"}


def test_only_the_output_that_is_wrong_is_found_and_named(ran):
    found = findings(ran[0])
    assert {(op, each.subject) for (op, _), each in found.items()} == {("split", "short:cpu"), ("total", "short:cpu")}
    assert {each.witness.mark.output for (op, _), each in found.items() if op == "split"} == {"mean"}
    assert {each.witness.mark.index for (op, _), each in found.items() if op == "total"} == {()}
    rows = [(row.op, row.subject) for row in read_run(ran[0]).ranking]
    assert len(rows) == len(set(rows)) == 2 * len({subject for _, subject in rows})


def test_it_is_made_as_small_as_can_be(ran):
    found = findings(ran[0])
    split, total = found["split", "wrong"].minimal, found["total", "wrong"].minimal
    assert (dict(split.call.dims), split.elements) == ({"batch": 1, "d": 3}, 3 + 3 + 1)
    assert (dict(total.call.dims), total.elements) == ({"n": 1, "d": 3}, 3 + 1)
    for minimal in (split, total):
        assert "fails when d >= 3" in minimal.trigger.words


def test_every_report_names_it(ran, tmp_path, capsys, monkeypatch):
    place, terminal = ran
    assert "mean[0] = " in terminal
    words = ("report", str(place), "--format", "md,html,junit", "--out", str(tmp_path))
    code, _, err = opfuzz(capsys, monkeypatch, *words)
    assert code == 0, err
    texts = {path.suffix: path.read_text() for path in tmp_path.iterdir()}
    assert "in mean: " in texts[".md"]
    assert r"mean\[0\]" in (place / "report.md").read_text()
    assert "computed mean[0]" in texts[".html"]
    failures = [each.get("message") for each in ElementTree.fromstring(texts[".xml"]).iter("failure")]
    assert any("in mean: " in message for message in failures)
    document = json.loads((place / "run.json").read_text())
    told = next(each for each in document["findings"] if each["op"] == "split" and each["severity"] == "fault")
    assert (told["witness"]["output"], told["recipe"]["output"]) == ("mean", "mean")
    assert told["reason"].startswith("in mean: ")


@pytest.mark.parametrize("op", ["split", "total"])
def test_its_reproducer_and_its_bundle_show_it(ran, op, tmp_path, capsys, monkeypatch):
    finding = findings(ran[0])[op, "wrong"]
    place = ran[0] / "findings" / finding.id
    done = subprocess.run([sys.executable, place / "repro.py"], capture_output=True, text=True, check=False)
    assert done.returncode == 1, done.stderr
    x = read_bundle(place, vocabulary(discover((plugin(tmp_path),)))).call.arrays["x"].astype(np.float64)
    exact = x.mean(axis=-1)[finding.witness.mark.index or ...].item()
    assert f"exact    {exact!r}" in done.stdout
    assert ("output   mean at [0]" in done.stdout) == (op == "split")
    code, out, err = opfuzz(capsys, monkeypatch, "repro", str(place), "--plugin", str(plugin(tmp_path)))
    assert code == 1, err
    assert ("in mean: computed" in out) == (op == "split")
    assert "the fault is there" in out
    code, out, _ = opfuzz(capsys, monkeypatch, "repro", str(place), "--subject", "numpy:cpu")
    assert code == 0
    assert "numpy:cpu does not have the fault" in out


def test_the_code_for_a_tracker_shows_the_element(ran):
    finding = findings(ran[0])["split", "wrong"]
    text = (ran[0] / "findings" / finding.id / "upstream.md").read_text()
    assert text.startswith("# split, output mean: wrong result for float32 on short:cpu")
    code = text.split("```python\n")[2].split("```")[0]
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    shown = dict(line.split(maxsplit=1) for line in done.stdout.splitlines())
    mark = finding.witness.mark
    assert float(shown["computed"]) == mark.computed != mark.exact == float(shown["exact"])


def test_a_larger_search_goes_on_from_its_bundle(ran, tmp_path, capsys, monkeypatch):
    finding = findings(ran[0])["split", "wrong"]
    place = ran[0] / "findings" / finding.id
    code, out, err = opfuzz(
        capsys, monkeypatch, "shrink", str(place), "--attempts", "30", "--plugin", str(plugin(tmp_path))
    )
    assert code == 0, err
    assert "7 elements" in out
    bundle = read_bundle(place, vocabulary(discover((plugin(tmp_path),))))
    assert bundle.element.output == "mean"
