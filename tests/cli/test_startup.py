"""What commands import that a person waits for: the list of commands, a tab, and the check of specs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest

from opfuzz.backends import callable_names, discover
from opfuzz.cli.commands import COMMANDS, cli

SPECS = Path(__file__).parents[1] / "small"
FRAMEWORKS = {"torch", "mlx", "scipy", "numba"}
PROGRAM = """
import sys
from opfuzz.cli import main
try:
    main()
except SystemExit as ending:
    print(ending.code, *sys.modules, file=sys.stderr)
"""


def imported_by(*words: str, **environment: str) -> set[str]:
    """The modules that a command imports, which must succeed."""
    command = [sys.executable, "-c", PROGRAM, *words]
    done = subprocess.run(command, env=os.environ | environment, capture_output=True, text=True, check=True)
    code, *modules = done.stderr.splitlines()[-1].split()
    assert code == "0", done.stderr
    return set(modules)


def test_the_list_of_commands_imports_none_of_them():
    modules = imported_by("--help")
    assert modules.isdisjoint({*FRAMEWORKS, "pydantic", "yaml", "flint", "opfuzz.backends"})
    homes = {f"opfuzz.cli.{where.rpartition('.')[0]}" for where, _ in COMMANDS.values()} - {"opfuzz.cli.completion"}
    assert modules.isdisjoint(homes)


@pytest.mark.parametrize("words", ["opfuzz ", "opfuzz run --op ge", "opfuzz localize --", "opfuzz report "])
def test_a_tab_imports_no_framework(words):
    asked = {"_OPFUZZ_COMPLETE": "bash_complete", "COMP_WORDS": words, "COMP_CWORD": str(len(words.split(" ")) - 1)}
    assert imported_by(**asked).isdisjoint(FRAMEWORKS)


def test_specs_are_checked_without_the_frameworks_once_their_names_are_known(tmp_path):
    place = {"XDG_CACHE_HOME": str(tmp_path)}
    assert "torch" in imported_by("check", str(SPECS), **place)
    assert imported_by("check", str(SPECS), **place).isdisjoint(FRAMEWORKS)
    known = tmp_path / "opfuzz" / "published" / "torch.json"
    remembered = json.loads(known.read_text())
    known.write_text(json.dumps({**remembered, "versions": ["0.1", *remembered["versions"][1:]]}))
    assert "torch" in imported_by("check", str(SPECS), **place), "of another version other names are known"
    assert json.loads(known.read_text()) == remembered


@pytest.mark.parametrize("contents", ["", "[]", "{}", '{"versions": 1}', '{"versions": %s, "functions": [1]}'])
def test_a_cache_that_holds_something_else_is_not_believed(tmp_path, monkeypatch, contents):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    numpy = discover()["numpy"]
    callable_names(numpy)
    place = tmp_path / "opfuzz" / "published" / "numpy.json"
    versions = json.dumps(json.loads(place.read_text())["versions"])
    place.write_text(contents.replace("%s", versions))
    assert {*callable_names(numpy)} == {*numpy.functions()}


def test_remembered_names_are_those_of_the_framework(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    numpy = discover()["numpy"]
    assert callable_names(numpy) is numpy.functions()
    remembered = callable_names(numpy)
    assert remembered is not numpy.functions()
    assert [*remembered] == [*numpy.functions()]
    with pytest.raises(AssertionError):
        remembered["np.exp"](1.0)


def test_a_folder_that_cannot_be_written_costs_no_more_than_time(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    numpy = discover()["numpy"]
    assert callable_names(numpy) is callable_names(numpy) is numpy.functions()


def test_a_framework_that_is_not_installed_has_no_names(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    torch = discover()["torch"]
    monkeypatch.setattr(torch, "absent", lambda: "torch: not installed")

    def lacking(name: str) -> str:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "version", lacking)
    assert callable_names(torch) is None


def test_what_is_said_of_a_command_in_the_list_is_said_of_it_alone():
    for name, (_, said) in COMMANDS.items():
        assert said.endswith(".")
        command = cli.get_command(None, name)
        assert command is not None
        assert command.short_help is None
