"""What a framework that copies is shown with: its inputs lie in the bundle as they lay in its memory."""

from __future__ import annotations

import subprocess
import sys

from bundles import square_call, written
from safetensors.numpy import load_file

COPYING = """
import numpy as np
from opfuzz.backends.numpy import Numpy


class Copying(Numpy):
    layouts = frozenset({"contiguous"})


def off(x):
    return np.square(x) * np.float32(1.001)


BACKENDS = [Copying("copying", {"np.square": off})]
"""


def test_a_view_that_it_cannot_hold_is_none_in_the_bundle(tmp_path):
    path = tmp_path / "copying.py"
    path.write_text(COPYING)
    call = square_call(layout="stepped")
    finding = written(tmp_path / "found", call, "copying:cpu", (path,))
    assert finding["verdict"] == "imprecise"
    stored = load_file(tmp_path / "found" / "inputs.safetensors")
    assert stored["x"].tolist() == call.arrays["x"].tolist()
    done = subprocess.run([sys.executable, "-I", str(tmp_path / "found" / "repro.py")], capture_output=True, text=True)
    assert "computed" in done.stdout
    assert done.returncode == 1, done.stdout + done.stderr
