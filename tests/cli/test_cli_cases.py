"""`opfuzz cases` as it is typed: what it says, and one line for each mistake."""

from __future__ import annotations

import json

import pytest
from bundles import opfuzz
from exports import read
from small_campaigns import SPECS
from test_completion import offered

from opfuzz.store.exchange import writing


def test_the_three_commands_in_a_row(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, out, err = opfuzz(capsys, monkeypatch, "cases", "export", "c", str(SPECS), "--cases", "4", "--seed", "9")
    assert (code, err) == (0, "")
    assert out.startswith("c: 16 cases of 2 ops, ")
    assert out.endswith(" MiB of inputs, seed 9\n")
    code, out, _ = opfuzz(capsys, monkeypatch, "cases", "run", "c", "--subject", "numpy:cpu")
    assert (code, out) == (0, "c/outputs/numpy-cpu: 16 ok, 8 unsupported\n")
    about = json.loads((tmp_path / "c" / "outputs" / "numpy-cpu" / "about.json").read_text())
    assert (about["subject"], "numpy" in about["versions"], "cores" in about["machine"]) == ("numpy:cpu", True, True)
    code, out, _ = opfuzz(capsys, monkeypatch, "cases", "judge", "c", "--as", "numpy:cpu")
    assert code == 1
    assert "\nnumpy " in out
    (run,) = (tmp_path / "reports").glob("2*-s9")
    assert "numpy:cpu/doubled" in opfuzz(capsys, monkeypatch, "history")[1]
    assert opfuzz(capsys, monkeypatch, "report", "latest", "--format", "html,md,junit,json")[0] == 0
    text = (tmp_path / "reports" / run.name / "report.html").read_text()
    assert "numpy:cpu/doubled" in text
    code, out, _ = opfuzz(capsys, monkeypatch, "cases", "judge", "c", "--fail-on", "crash", "--json")
    assert code == 0
    assert json.loads(out)["recorded"] == {"numpy:cpu": []}


def test_only_some_ops_and_formats(tmp_path, capsys, monkeypatch):
    words = (
        "cases",
        "export",
        str(tmp_path / "c"),
        str(SPECS),
        "--op",
        "square",
        "--format",
        "float64",
        "--cases",
        "2",
    )
    assert opfuzz(capsys, monkeypatch, *words)[0] == 0
    entries = read(tmp_path / "c").entries
    assert [(entry.case.op, entry.case.format) for entry in entries] == [("square", "float64")] * 2
    assert sorted(path.name for path in (tmp_path / "c" / "specs").iterdir()) == ["square.yaml"]


def test_cases_around_operating_points(tmp_path, capsys, monkeypatch):
    for name, more in (("plain", ()), ("near", ("--profile", "decoder"))):
        words = ("cases", "export", str(tmp_path / name), "--op", "gelu", "--format", "float32", "--cases", "8", *more)
        assert opfuzz(capsys, monkeypatch, *words)[0] == 0
    plain, near = read(tmp_path / "plain"), read(tmp_path / "near")
    assert (plain.profile, near.profile) == (None, "decoder")
    assert 1 < sum(a.case != b.case for a, b in zip(plain.entries, near.entries, strict=True)) < 8


MISTAKES = {
    "no folder": (("export",), "Missing argument 'DIR'"),
    "something is there": (("export", "taken"), "taken: is there already; name a new folder"),
    "no such op": (("export", "c", str(SPECS), "--op", "squre"), "did you mean 'square'"),
    "no such format": (("export", "c", "--format", "float33"), "did you mean 'float32'"),
    "no op has the format": (("export", "c", str(SPECS), "--format", "float16"), "no op in the specs has a format"),
    "too many": (("export", "c", str(SPECS), "--cases", "999"), "3996 cases, the limit is 1000; export fewer"),
    "no cases": (("judge", "nowhere"), "nowhere: no such folder; give the folder that opfuzz cases export wrote"),
    "not cases": (("judge", "taken"), "manifest.json: missing; opfuzz cases export writes it last"),
    "a file": (("run", "taken/file", "--subject", "numpy:cpu"), "a file in place of a folder"),
    "no outputs": (("judge", "good"), "good: no outputs yet; a program writes them to outputs/NAME"),
    "no subject": (("run", "good"), "Missing option '--subject'"),
    "unknown subject": (("run", "good", "--subject", "nunpy:cpu"), "did you mean 'numpy'"),
    "one implementation": (("run", "good", "--subject", "numpy:cpu/plain"), "leave '/...' out"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_one_line_and_exit_2(mistake, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(writing, "CASES_LIMIT", 1000)
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "file").write_text("mine")
    opfuzz(capsys, monkeypatch, "cases", "export", "good", str(SPECS), "--cases", "1")
    words, complaint = MISTAKES[mistake]
    code, out, err = opfuzz(capsys, monkeypatch, "cases", *words)
    assert (code, out, err.count("\n")) == (2, "", 1), err
    assert complaint in err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["good", "taken"]


def test_recording_twice_is_refused(tmp_path, capsys, monkeypatch):
    words = ("cases", "run", str(tmp_path / "c"), "--subject", "numpy:cpu")
    opfuzz(capsys, monkeypatch, "cases", "export", str(tmp_path / "c"), str(SPECS), "--cases", "1")
    assert opfuzz(capsys, monkeypatch, *words)[0] == 0
    code, _, err = opfuzz(capsys, monkeypatch, *words)
    assert (code, "take the folder away to record anew" in err) == (2, True)
    code, _, err = opfuzz(capsys, monkeypatch, *words[:-1], "torch:cpu,numpy:cpu")
    assert (code, "take the folder away" in err) == (2, True)
    assert [path.name for path in (tmp_path / "c" / "outputs").iterdir()] == ["numpy-cpu"]


def test_a_tab_gives_programs_subjects_and_ops(tmp_path):
    (tmp_path / "outputs" / "swift").mkdir(parents=True)
    assert offered("cases", "") == ["export", "judge", "run"]
    assert offered("cases", "judge", str(tmp_path), "--as", "") == ["swift"]
    assert offered("cases", "run", str(tmp_path), "--subject", "numpy") == ["numpy:cpu"]
    assert offered("cases", "export", "c", str(SPECS), "--op", "") == ["mean", "square"]
