"""Compiled functions: where they are kept, and that they compute what is written."""

from __future__ import annotations

import os
import subprocess
import sys

import numba
import pytest

from opfuzz.core.compiled import STRICT
from opfuzz.core.files.cache import is_compiled, kernels_folder
from opfuzz.core.metrics import kernels

PROGRAM = """
import numba
from opfuzz.core import kernels
stats = kernels.are_equal.stats
print(len(stats.cache_misses), len(stats.cache_hits), numba.config.CACHE_DIR)
"""


def loaded(folder) -> list[str]:
    """Of a process with this cache: whether a function was compiled, or found; and where numba keeps what others do."""
    environment = os.environ | {"XDG_CACHE_HOME": str(folder)}
    command = [sys.executable, "-c", PROGRAM]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout.split()


def test_what_is_compiled_is_kept_in_the_users_cache(tmp_path):
    assert loaded(tmp_path)[:2] == ["1", "0"]
    assert any((tmp_path / "opfuzz" / "kernels").rglob("*.nbi"))
    assert loaded(tmp_path) == ["0", "1"], "and nothing else that is compiled in this process"


def test_what_is_compiled_is_known_by_the_sources_beside_it(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "kernels.py").write_text("1")
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "kernels.py").write_text("1")
    assert kernels_folder(tmp_path / "a") == kernels_folder(tmp_path / "b")
    (tmp_path / "c").mkdir()
    (tmp_path / "c" / "kernels.py").write_text("2")
    place = kernels_folder(tmp_path / "c")
    assert kernels_folder(tmp_path / "a") != place
    assert not is_compiled(tmp_path / "c")
    (place / "c_0").mkdir(parents=True)
    (place / "c_0" / "one.nbi").write_text("")
    assert is_compiled(tmp_path / "c")


def test_a_folder_that_cannot_be_written_costs_no_more_than_time(tmp_path):
    (tmp_path / "file").write_text("")
    assert loaded(tmp_path / "file")


@pytest.mark.parametrize("name", ["survey", "measure", "total_up"])
def test_nothing_is_contracted_to_a_fused_operation(name):
    kept = getattr(kernels, name)
    (code,) = numba.njit(kept.nopython_signatures, **STRICT)(kept.py_func).inspect_asm().values()
    assert "ret" in code
    assert not any(word in code for word in ("fmadd", "fmsub", "fnmadd", "fmla"))
