"""How a reproducer ends: it says that the fault is there only where that is what it saw."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from test_reproducer import BACKENDS, SQUARE, case_of, run, spec_of, write

from opfuzz.backends import derive
from opfuzz.report.finding.reproducer import HANG_SECONDS


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


def slow(x):
    time.sleep(0.4)
    return np.square(x)


def test_a_call_that_does_not_return(tmp_path):
    """The last of 1000 calls may be the one that hangs; each has its own time."""
    spec = spec_of(SQUARE, tmp_path)
    write(tmp_path / "fast", spec, case_of(spec), BACKENDS["numpy"], hangs=True)
    assert run(tmp_path / "fast" / "repro.py") == [("1000 calls returned\n", 0)]
    write(tmp_path / "slow", spec, case_of(spec), derive("numpy", "slow", {"np.square": slow}), hangs=True)
    path = tmp_path / "slow" / "repro.py"
    path.write_text(path.read_text().replace(f"HANGS, SECONDS = True, {HANG_SECONDS}", "HANGS, SECONDS = True, 0.1"))
    done = subprocess.run([sys.executable, "-I", str(path)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert "in slow" in done.stderr
