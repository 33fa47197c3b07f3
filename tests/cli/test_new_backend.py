"""`opfuzz new backend`: what it writes works at once, and filled in as the page says it owes nothing."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from opfuzz.backends import discover
from opfuzz.cli import cli
from opfuzz.core.errors import OpfuzzError

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples" / "dask_backend.py"


def new(*words: str, folder: Path) -> str:
    """What it prints. Raises what the command raises."""
    done = CliRunner().invoke(cli, ["new", "backend", *words, "--out", str(folder)], catch_exceptions=False)
    return done.output


def contract(path: Path, name: str) -> str:
    """What the tests of the contract say of the backend in a plugin."""
    tests = ROOT / "tests" / "backends" / "test_backend_contract.py"
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-k", name, str(tests)],
        cwd=ROOT,
        env={**os.environ, "OPFUZZ_PLUGINS": str(path)},
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout.strip().splitlines()[-1] if done.returncode == 0 else done.stdout + done.stderr


def test_what_is_written_keeps_the_contract(tmp_path):
    told = new("my_library", folder=tmp_path)
    path = tmp_path / "my_library_backend.py"
    assert f"wrote {path}, which works as it is" in told
    backend = discover([path])["my_library"]
    assert (type(backend).__name__, backend.dialects) == ("MyLibrary", ("my_library", "numpy"))
    last = contract(path, "my_library")
    assert "passed" in last, last


def test_a_backend_filled_in_keeps_the_contract():
    backend = discover([EXAMPLE])["dask"]
    if (reason := backend.absent()) is not None:
        pytest.skip(reason)
    assert len([line for line in EXAMPLE.read_text().splitlines() if line.strip()]) < 60
    last = contract(EXAMPLE, "dask")
    assert "passed" in last, last


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("torch", "the backend name 'torch' is taken; choose another"),
        ("a b", "'a b' cannot be the name of a backend here; write one such as cupy or my_library"),
        ("class", "'class' cannot be the name of a backend here; write one such as cupy or my_library"),
    ],
)
def test_names_that_no_backend_can_have(name, words, tmp_path):
    with pytest.raises(OpfuzzError) as caught:
        new(name, folder=tmp_path)
    assert str(caught.value) == words
    assert list(tmp_path.iterdir()) == []


def test_no_file_is_replaced_unless_that_is_said(tmp_path):
    path = tmp_path / "mine_backend.py"
    path.write_text("mine\n")
    with pytest.raises(OpfuzzError, match="is already there"):
        new("mine", folder=tmp_path)
    assert path.read_text() == "mine\n"
    new("mine", "--force", folder=tmp_path)
    assert "mine" in discover([path])
