"""A backend that harms its process on chosen inputs in every way that a kernel can, and is NumPy on all others."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from zlib import crc32

import numpy as np

from opfuzz.engine.plan import Plan
from opfuzz.generate import inputs

# What each kind of harm is blamed as: the verdict, and how the reason begins.
KINDS = {
    "abort": ("crash", "killed by SIGABRT in harmful (hostile_plugin.py:"),
    "segfault": ("crash", "killed by SIGSEGV"),
    "exit": ("crash", "the process exited with status 7"),
    "hang": ("timeout", "no result after "),
    "hang_with_lock": ("timeout", "no result after "),
    "allocate": ("out-of-memory", ""),
    "shape": ("crash", "returned shape ("),
    "dtype": ("crash", "returned float64, the spec says float32"),
    "dead": ("crash", "killed by SIG"),
}

PLUGIN = """
import ctypes
import os
import time
from zlib import crc32

import numpy as np

from opfuzz.backends import derive

HARM = {harm!r}


def harmful(x):
    match HARM.get(crc32(x.tobytes())):
        case "abort":
            os.abort()
        case "segfault":
            ctypes.string_at(1)
        case "exit":
            os._exit(7)
        case "hang":
            time.sleep(1000)
        case "hang_with_lock":
            ctypes.PyDLL(None).sleep(1000)
        case "allocate":
            taken = []
            while True:
                taken.append(np.ones(2**22))
        case "shape":
            return np.square(x)[:-1]
        case "dtype":
            return np.square(x).astype(np.float64)
        case "dead":
            return np.ctypeslib.as_array(ctypes.cast(4096, ctypes.POINTER(ctypes.c_float)), x.shape)
    return np.square(x)


BACKENDS = [derive("numpy", "hostile", {{"np.square": harmful}})]
"""


def chosen(plan: Plan, op: str, format: str, cases: int, count: int) -> dict[int, tuple[int, str]]:
    """So many of the cases, spread over them, with the checksum of their inputs and a kind of harm, by number."""
    spec = next(spec for spec in plan.specs if spec.op == op)
    sums: dict[int, list[int]] = {}
    for number in range(cases):
        (x,) = inputs(spec, plan.case(op, format, number)).values()
        if np.size(x) >= 4:
            sums.setdefault(crc32(x.tobytes()), []).append(number)
    single = sorted((numbers[0], checksum) for checksum, numbers in sums.items() if len(numbers) == 1)
    spread = [single[len(single) * k // count] for k in range(count)]
    kinds = list(KINDS)
    return {number: (checksum, kinds[k % len(kinds)]) for k, (number, checksum) in enumerate(spread)}


def plugin(folder: Path, harm: Collection[tuple[int, str]]) -> Path:
    """The plugin as a file, harmful on inputs of these checksums."""
    path = folder / "hostile_plugin.py"
    path.write_text(PLUGIN.format(harm=dict(harm)))
    return path
