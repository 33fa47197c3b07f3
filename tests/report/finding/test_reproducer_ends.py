"""How a reproducer ends: it says that the fault is there only where that is what it saw."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from test_reproducer import BACKENDS, SQUARE, case_of, spec_of, write


@pytest.fixture(scope="module")
def text(tmp_path_factory):
    folder = tmp_path_factory.mktemp("square")
    spec = spec_of(SQUARE, folder)
    write(folder, spec, case_of(spec), BACKENDS["numpy"])
    return (folder / "repro.py").read_text(), folder


def ends(text: tuple[str, Path], *changes: tuple[str, str]) -> tuple[int, str]:
    """Exit status and what is printed, after the file is changed."""
    code, folder = text
    for old, new in changes:
        assert old in code
        code = code.replace(old, new)
    path = folder / "changed.py"
    path.write_text(code)
    done = subprocess.run([sys.executable, "-I", str(path)], capture_output=True, text=True, check=False)
    assert "Traceback" not in done.stderr
    return done.returncode, done.stdout


def fails(name: str) -> tuple[str, str]:
    """As if an exception were the fault."""
    return "FAILS, RAISES = False, ''", f"FAILS, RAISES = True, {name!r}"


FAILS = fails("ValueError")


@pytest.mark.parametrize(
    ("changes", "status", "words"),
    [
        ((), 0, "computed"),
        ((("np.square(x)", "np.squares_of(x)"),), 2, "cannot tell: AttributeError: "),
        ((("np.square(x)", "squares(x)"),), 2, "cannot tell: NameError: "),
        ((("np.square(x)", "squares(x)"), FAILS), 2, "cannot tell: NameError: "),
        ((("np.square(x)", "np.reshape(x, (7, 7))"),), 2, "cannot tell: ValueError: "),
        ((("np.square(x)", "np.reshape(x, (7, 7))"), FAILS), 1, "raised ValueError: "),
        ((("np.square(x)", "np.linalg.inv(x)"), FAILS), 1, "raised LinAlgError: "),
        ((("np.square(x)", "np.square(x, 1)"), FAILS), 2, "cannot tell: TypeError: "),
        ((("np.square(x)", "squares(x)"), fails("")), 2, "cannot tell: NameError: "),
        ((("np.square(x)", "np.reshape(x, (7, 7))"), fails("")), 2, "cannot tell: ValueError: "),
        ((("import numpy as np", "import numpy as np, no_such_module"),), 2, "cannot tell: ModuleNotFoundError: "),
        ((("inputs.safetensors", "nothing.safetensors"),), 2, "cannot tell: FileNotFoundError: "),
        ((FAILS,), 0, "computed"),
    ],
)
def test_ends(text, changes, status, words):
    found, printed = ends(text, *changes)
    assert (found, printed.startswith(words)) == (status, True), printed
