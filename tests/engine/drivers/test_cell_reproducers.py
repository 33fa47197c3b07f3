"""Reproducers of the worst inputs of sweeps run without opfuzz, and are given only where they show the error."""

from __future__ import annotations

import contextlib
import io
import sys
from pathlib import Path

import numpy as np
from bundled_ops import BUNDLED_OPS

from opfuzz.engine.drivers.cell_reproducers import Spot, reproducers
from opfuzz.engine.drivers.sweep_sides import Sweep

# NumPy with an exp that is one off in long arrays, one that is so only next to other numbers, and one that dies.
PLUGIN = """
import os

import numpy as np

from opfuzz.backends import derive


def in_vectors(x):
    made = np.exp(x)
    return np.nextafter(made, made.dtype.type(9)) if x.size > 100 else made


def among_others(x):
    made = np.exp(x)
    return np.nextafter(made, made.dtype.type(9)) if np.ptp(x) else made


def dying(x):
    os.abort()


BACKENDS = [derive("numpy", f.__name__, {"np.exp": f}) for f in (in_vectors, among_others, dying)]
"""
ONE = 0x3C00


def sweep_of(subject):
    return Sweep(BUNDLED_OPS["exp"], subject, "float16", {}, 0, 2**16)


def printed(text):
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        exec(compile(text, "reproducer", "exec"), {})
    return dict(line.split(None, 1) for line in out.getvalue().splitlines())


def test_a_reproducer_prints_what_was_computed_and_what_is_exact(monkeypatch):
    computed = float(np.exp(np.float16(1)))
    (text,) = reproducers([sweep_of("numpy:cpu")], [Spot(0, ONE, computed, 2.5)], jobs=1).values()
    assert "opfuzz" not in text
    monkeypatch.setitem(sys.modules, "opfuzz", None)
    assert printed(text) == {"computed": repr(computed), "exact": "2.5"}


def test_one_is_given_only_where_a_call_on_the_number_alone_shows_it(tmp_path: Path):
    (tmp_path / "plugin.py").write_text(PLUGIN)
    subjects = ("in_vectors:cpu", "among_others:cpu", "dying:cpu", "numpy:cpu")
    off = float(np.nextafter(np.exp(np.float16(1)), np.float16(9)))
    found = reproducers(
        [sweep_of(subject) for subject in subjects],
        [Spot(place, ONE, off, np.e) for place in range(len(subjects))],
        jobs=1,
        plugins=[tmp_path / "plugin.py"],
    )
    assert [bool(found[place]) for place in range(len(subjects))] == [True, False, False, False]
    assert "np.full((1, 128)" in found[0]
    assert printed(found[0])["computed"] == repr(off)
