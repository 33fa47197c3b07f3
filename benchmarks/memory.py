"""How much memory a run takes in all its processes together, at its peak."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

SPECS = Path(__file__).parents[1] / "specs"
EVERY = 0.2  # seconds


@dataclass(frozen=True)
class Peak:
    """Largest sums over the processes of one run, in bytes, and how many processes there were at most."""

    resident: int  # pages that processes share count for each of them
    proportional: int  # for all of them together once; 0 where the system does not tell
    processes: int
    seconds: float
    exit: int


def measure(options: tuple[str, ...] = ()) -> Peak:
    """`opfuzz run specs/` with further options, looked at five times a second."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "opfuzz", "run", str(SPECS), "--out", folder, *options]
        started = time.monotonic()
        run = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        resident = proportional = most = 0
        while run.poll() is None:
            each = _sizes(psutil.Process(run.pid))
            resident, proportional = max(resident, sum(r for r, _ in each)), max(proportional, sum(p for _, p in each))
            most = max(most, len(each))
            time.sleep(EVERY)
        return Peak(resident, proportional, most, time.monotonic() - started, run.returncode)


def _sizes(root: psutil.Process) -> list[tuple[int, int]]:
    found = []
    with suppress(psutil.Error):
        for process in [root, *root.children(recursive=True)]:
            with suppress(psutil.Error):  # it ended meanwhile
                info = process.memory_full_info()
                found.append((info.rss, getattr(info, "pss", 0)))
    return found
