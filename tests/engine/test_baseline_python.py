"""A cause that is new since another version: the software of then is asked, and says whether the version brought it."""

from __future__ import annotations

import json
import sys

import pytest
from bundles import opfuzz
from small_campaigns import SPECS, plugin

# A Python of which every call is right.
RIGHT = """#!/bin/sh
case "$*" in
*" -c "*) echo '[[3, 11], {"numpy": "1.26"}]' ;;
esac
"""


@pytest.fixture
def upgraded(tmp_path, monkeypatch):
    """A run on which a new one is held against that has another version and met other cases."""
    monkeypatch.chdir(tmp_path)
    plugin(tmp_path)

    def upgrade(run):
        told = json.loads(run.read_text())
        told |= {"findings": [], "causes": [], "seed": 7, "versions": {**told["versions"], "off": "0.9"}}
        for row in told["ranking"]:
            row |= {"core": {}, "drawn": {}, "verdict": "exact", "severity": "clean"}
        (tmp_path / "then.json").write_text(json.dumps(told))

    return upgrade


ASKED = [
    ((), 1, "not known which", "--baseline-python asks the software of then"),
    (("--baseline-python", "right.sh"), 1, "regression", "is right with the software of then (numpy 1.26"),
    (("--baseline-python", sys.executable), 0, "discovered", "is at fault with the software of then, too (numpy "),
]


def test_the_software_of_then_says_what_an_upgrade_brought(upgraded, tmp_path, capsys, monkeypatch):
    (tmp_path / "right.sh").write_text(RIGHT)
    (tmp_path / "right.sh").chmod(0o755)
    few = ("--op", "square", "--format", "float32", "--subjects", "off:cpu", "--jobs", "1", "--cases", "2")
    words = ("run", str(SPECS), *few, "--plugin", "faulty.py", "--shrink", "5s")
    assert opfuzz(capsys, monkeypatch, *words, "--out", "first")[0] == 1
    (run,) = (tmp_path / "first").glob("2*/run.json")
    upgraded(run)
    for number, (more, code, status, why) in enumerate(ASKED):
        place = ("--out", f"out{number}", "--baseline", "then.json")
        found, out, err = opfuzz(capsys, monkeypatch, *words, *place, *more)
        said = " ".join(out.split())
        assert (found, f" {status}: off square: " in said, why in said) == (code, True, True), (said, err)


MISTAKES = [
    (("--baseline-python", "python"), "--baseline-python has the software of a baseline: give that run as --baseline"),
    (("--baseline-python", "none/python", "--baseline", "latest"), "none/python: No such file or directory"),
]


@pytest.mark.parametrize(("words", "message"), MISTAKES)
def test_a_mistake_is_told_before_the_run(words, message, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    few = ("run", str(SPECS), "--op", "square", "--subjects", "numpy:cpu", "--cases", "1")
    code, out, err = opfuzz(capsys, monkeypatch, *few, *words)
    assert (code, out) == (2, "")
    assert message in err
    assert not list(tmp_path.glob("reports/2*"))
