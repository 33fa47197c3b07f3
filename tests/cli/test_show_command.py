"""`opfuzz show`, `opfuzz open`, and what a run says next on a terminal."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
import webbrowser
from pathlib import Path

import pytest
from commands import opfuzz
from small_campaigns import SPECS, plugin
from waiting import HUNG

from opfuzz.store.read import read_run

ROOT = Path(__file__).parents[2]
OPTIONS = ("--op", "square", "--format", "float32", "--cases", "4", "--shrink", "1s")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A folder with a run of one fault, and what a terminal saw of it."""
    folder = tmp_path_factory.mktemp("made")
    words = ["run", SPECS, "--subjects", "off:cpu", *OPTIONS, "--plugin", plugin(folder)]
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        [sys.executable, "-m", "opfuzz", *map(str, words)],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "120", "NO_COLOR": "1"},
        stdin=subprocess.DEVNULL,
        stdout=theirs,
        stderr=subprocess.PIPE,
    ) as process:
        os.close(theirs)
        seen = b""
        while True:
            try:
                read = os.read(ours, 4096)
            except OSError:  # the other end is closed
                break
            if not read:
                break
            seen += read
        os.close(ours)
        assert process.wait(HUNG) == 1
    return folder, seen.decode().replace("\r\n", "\n")


def test_on_a_terminal_a_run_ends_with_what_to_do_next(made):
    folder, seen = made
    (place,) = (path.parent for path in folder.glob("reports/*/run.json"))
    (common,) = (each for each in read_run(place).causes if each.severity == "fault")
    *_, last = seen.split("\n\n")
    lines = last.splitlines()
    assert lines[0] == "next, for the worst cause:"
    assert lines[1].startswith(f"  opfuzz show {common.id}  ")
    assert lines[2].startswith(f"  python reports/{place.name}/{common.path}/repro.py  ")
    assert lines[3].startswith(f"  opfuzz accept {common.id} --reason ...  ")
    assert lines[4] == f"  reports/{place.name}/{common.path}/upstream.md"
    shown = opfuzz("show", common.id, cwd=folder)
    assert shown.status == 0
    assert shown.out.startswith("off: ")


def test_in_a_pipe_it_does_not(tmp_path):
    done = opfuzz("run", SPECS, "--subjects", "off:cpu", *OPTIONS, "--plugin", plugin(tmp_path), cwd=tmp_path)
    assert done.status == 1
    assert "next, for" not in done.out


def test_a_finding_is_shown_with_its_picture(made):
    folder, _ = made
    (finding,) = (path.parent.name for path in folder.glob("reports/*/findings/*/finding.json"))
    done = opfuzz("show", finding[:6], cwd=folder)
    assert done.status == 0
    assert done.out.startswith("square on off:cpu in float32: imprecise\n")
    assert "\nulp error\n" in done.out
    assert "opfuzz repro reports/" in done.out
    done = opfuzz("show", "zzz", cwd=folder)
    assert done.status == 2
    assert "has no finding or cause 'zzz'; its report lists them, --run names another run" in done.err


def test_the_page_is_opened_and_made_where_it_is_missing(made, monkeypatch):
    folder, _ = made
    opened: list[str] = []
    monkeypatch.setattr(webbrowser, "open", lambda address: opened.append(address) or True)
    (place,) = (path.parent for path in folder.glob("reports/*/run.json"))
    page = place / "report.html"
    assert not page.exists()
    done = opfuzz("open", "--print", cwd=folder)
    assert (done.status, done.out) == (0, f"{page.relative_to(folder)}\n")
    assert page.read_text().startswith("<!doctype html>")
    assert opened == []
    page.write_text("old")
    os.utime(page, (1, 1))
    assert opfuzz("open", place.name, cwd=folder).status == 0
    assert opened == [page.as_uri()]
    assert page.read_text().startswith("<!doctype html>"), "it was older than the run"


def test_without_a_browser_the_remedy_is_told(made, monkeypatch):
    folder, _ = made
    monkeypatch.setattr(webbrowser, "open", lambda address: False)
    done = opfuzz("open", cwd=folder)
    assert done.status == 2
    assert done.err.endswith(": there is no browser here that could be opened; opfuzz open --print prints the path\n")
