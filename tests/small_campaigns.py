"""Small specs, and a plugin whose backends fail in known ways, for campaigns that end within seconds."""

from __future__ import annotations

from pathlib import Path

SPECS = Path(__file__).parent / "small"

# Each is NumPy with another np.square; the large inputs that harm are a minority.
PLUGIN = '''
import os
import time

import numpy as np

from opfuzz.backends import derive


def off(x):
    """One ulp too many and a half, relative to the result."""
    return np.square(x) * np.float32(1.001)


def aborting(x):
    if x.size > 30:
        os.abort()
    return np.square(x)


def hanging(x):
    if x.size > 30:
        time.sleep(1000)
    return np.square(x)


def raising(x):
    raise ValueError("\\x1b[31mno | such\\nthing")


def undecided(x, calls=[]):
    calls.append(0)
    return np.square(x) + len(calls)


def slow(x):
    time.sleep(0.2)
    return np.square(x)


FUNCTIONS = (off, aborting, hanging, raising, undecided, slow)
BACKENDS = [derive("numpy", function.__name__, {"np.square": function}) for function in FUNCTIONS]
'''


def plugin(folder: Path) -> Path:
    """The plugin as a file in `folder`."""
    path = folder / "faulty.py"
    path.write_text(PLUGIN)
    return path
