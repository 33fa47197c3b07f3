"""`opfuzz report`: which run, which formats, where the files go."""

from __future__ import annotations

import dataclasses
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from bundles import opfuzz
from results import result
from runs_of_rows import run_of

from opfuzz.core.comparison import Comparison
from opfuzz.report.causes import describe
from opfuzz.report.run import html, junit, summary
from opfuzz.store.read import read_run
from opfuzz.store.write import write_run

NAMES = ("20260131-142530-s0", "20260201-142530-s1")
FILES = ("report.html", "summary.md", "junit.xml", "report.json")
ALL = ("--format", "html,md,junit,json")


@pytest.fixture
def reports(tmp_path) -> Path:
    """Two runs, of which the later one was compared with the earlier one."""
    folder = tmp_path / "reports"
    first, second = (dataclasses.replace(run_of(result(0, "wrong", 9.0)), run=name) for name in NAMES)
    second = dataclasses.replace(second, comparison=Comparison(NAMES[0], NAMES[1], "", {}))
    for run in (first, second):
        (folder / run.run).mkdir(parents=True)
        write_run(run, folder / run.run, describe)
    return folder


def test_the_newest_run_beside_its_run_json(reports, capsys, monkeypatch):
    code, out, err = opfuzz(capsys, monkeypatch, "report", "--reports", str(reports), *ALL)
    assert (code, err) == (0, "")
    paths = [reports / NAMES[1] / name for name in FILES]
    assert out.splitlines() == list(map(str, paths))
    run = read_run(reports / NAMES[1])
    page, text, tests, data = (path.read_text(encoding="utf-8") for path in paths)
    assert page == html.render(run, reports / NAMES[1])
    assert text == summary.render(run)
    assert tests == junit.render(run, reports / NAMES[1])
    assert data == (reports / NAMES[1] / "run.json").read_text(encoding="utf-8")
    assert f"**Since {NAMES[0]}: nothing changed; 0 causes of faults as before.**" in text
    assert f"Since {NAMES[0]}: nothing changed" in page
    assert ET.fromstring(tests).attrib["failures"] == "0", "what was there before is told, and fails nothing"


@pytest.mark.parametrize("how", ["name", "beginning", "folder", "file"])
def test_one_run_in_another_folder(reports, how, tmp_path, capsys, monkeypatch):
    folder = reports / NAMES[0]
    run = {"name": NAMES[0], "beginning": "20260131", "folder": str(folder), "file": str(folder / "run.json")}[how]
    out = tmp_path / "a" / "b"
    words = ("report", run, "--reports", str(reports), "--out", str(out), "--format", "junit,json,junit")
    code, shown, _ = opfuzz(capsys, monkeypatch, *words)
    assert (code, shown.splitlines()) == (0, [str(out / "junit.xml"), str(out / "report.json")])
    assert read_run(out / "report.json") == read_run(folder)
    assert str(folder / "findings") in (out / "junit.xml").read_text(encoding="utf-8")
    assert [path.name for path in folder.iterdir()] == ["run.json"]


def test_a_history_that_cannot_be_read_costs_the_trends_only(reports, capsys, monkeypatch):
    (reports / "history.sqlite").write_bytes(b"no database" * 500)
    code, out, err = opfuzz(capsys, monkeypatch, "report", "--reports", str(reports), "--format", "html")
    assert code == 0
    assert out.endswith("report.html\n")
    assert "history.sqlite" in err
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (("--format", "pdf"), "unknown 'pdf'"),
        (("--format", "htlm"), "did you mean 'html'?"),
        (("20250101",), "no finished run '20250101'"),
        (("--out", "{file}/x"), "cannot be made"),
    ],
)
def test_mistakes_are_one_line(words, complaint, reports, capsys, monkeypatch):
    words = tuple(word.format(file=reports / NAMES[0] / "run.json") for word in words)
    code, out, err = opfuzz(capsys, monkeypatch, "report", "--reports", str(reports), *words)
    assert (code, out) == (2, "")
    assert complaint in err
    assert err.count("\n") == 1
