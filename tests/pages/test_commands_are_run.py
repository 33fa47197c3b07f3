"""Every command of every page is run as it is printed, on less; what is not, says why."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path

import pytest
from commands import opfuzz
from page_commands import ELSEWHERE, EXAMPLE_RUN, ROOT, TEXTS, PageCommand, page_commands, stand_in
from page_folder import block, populate

ALL = list(page_commands())
PAGES = {page: list(commands) for page, commands in groupby(ALL, lambda each: each.page)}
ABSENT = re.compile(r"not installed|is not here|no GPU|needs macOS|no CUDA")  # in the last line of exit code 2


def _cases() -> Iterator[object]:
    for page, commands in PAGES.items():
        if run := [each for each in commands if not each.skipped]:
            yield pytest.param(page, run, id=page)


@pytest.fixture(scope="session")
def sides(tmp_path_factory: pytest.TempPathFactory):
    """A function that puts the tensors of a side of `pair.py` into a folder; each is computed once."""
    kept = tmp_path_factory.mktemp("sides")

    def dump(folder: Path, side: str) -> None:
        file = kept / f"{side}.safetensors"
        if not file.exists():
            done = opfuzz("dump", "pair.py", "--side", side, "-o", file, cwd=folder)
            assert done.status == 0, done.err
        (folder / file.name).write_bytes(file.read_bytes())

    return dump


@pytest.mark.parametrize(("page", "commands"), list(_cases()))
def test_the_commands_of_a_page_do_what_they_say(page: str, commands: list[PageCommand], tmp_path, sides):
    populate(tmp_path, page, sides)
    absent = []
    for each in commands:
        words = [*each.run, *(["--force"] if each.run[0] == "dump" else [])]
        if words[:2] == ["cases", "export"]:  # into a folder that is there from the command before
            shutil.rmtree(tmp_path / words[2], ignore_errors=True)
        began = time.perf_counter()
        done = opfuzz(*words, cwd=tmp_path)
        print(f"{time.perf_counter() - began:6.1f} s  opfuzz {' '.join(words)}")
        if done.status == 2 and ABSENT.search(done.err):
            absent.append(f"{' '.join(each.written)}: {done.err.strip().splitlines()[-1]}")
            continue
        assert done.status in (0, 1), (each.written, words, done.err[-2000:])
        assert done.out or "-o" in words, each.written
    if len(absent) == len(commands):
        pytest.skip("; ".join(absent))


@pytest.mark.parametrize("command", [each for each in ALL if each.skipped], ids=lambda each: " ".join(each.written))
def test_a_command_that_is_not_run_says_why(command: PageCommand):
    pytest.skip(f"{command.page}: {command.skipped}")


def test_the_reasons_name_tests_that_there_are():
    for why in ELSEWHERE.values():
        for name in re.findall(r"tests/[\w/]+(?:\.py)?", why):
            assert (ROOT / name).exists(), name
    assert {what for what in ELSEWHERE if not any(ELSEWHERE[what] == each.skipped for each in ALL)} == set()


def test_reproducers_and_reports_are_where_pages_say(tmp_path):
    """What pages call beside opfuzz: `python` and `cat` of a file of a finding."""
    shutil.copytree(ROOT / "reports" / "example", tmp_path / "reports" / EXAMPLE_RUN)
    lines = {line for text in TEXTS.values() for line in re.findall(r"^\$ ((?:python|cat) reports/.*)", text, re.M)}
    words = {tuple(stand_in(word) for word in line.split()) for line in lines}
    assert {each[0] for each in words} == {"python", "cat"}
    for program, *rest in words:
        called = [sys.executable] if program == "python" else [program]
        done = subprocess.run([*called, *rest], cwd=tmp_path, capture_output=True, text=True, check=False)
        if done.returncode == 2:
            assert "cannot tell" in done.stdout, done.stderr  # MLX is not here
        else:
            assert done.returncode in (0, 1), done.stderr
            assert "exact" in done.stdout


def test_the_tutorial_gets_to_a_report_in_at_most_eight_commands():
    text = next(text for path, text in TEXTS.items() if path.stem == "tutorial")
    commands = re.findall(r"^\$ (.*)", text, re.M)
    assert len(commands) <= 8
    assert commands[0] == "python3 -m venv .venv && . .venv/bin/activate && pip install -q ."
    assert re.fullmatch(r"cat reports/\*/findings/\w+/upstream.md", commands[-1])
    words = {7: "seven", 8: "eight"}
    assert f"{words[len(commands)]} commands" in text


def test_the_program_of_the_page_on_the_api_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    text = block("api", "python", "opfuzz.judge").replace("cases=100", "cases=1, shrink=0")
    exec(compile(text.replace("mlx:cpu,torch:cpu", "numpy:cpu"), "api.md", "exec"), {})
