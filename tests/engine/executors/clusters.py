"""A Dask cluster of processes, started as a user starts one."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

from waiting import until

from opfuzz.core.errors import OpfuzzError
from opfuzz.engine.executors.cluster.dask import Dask

HERE = Path(__file__).parent
DAEMON = "DASK_DISTRIBUTED__WORKER__DAEMON"
# Processes of a cluster that wait look after themselves a hundred times a second, which is 4 % of a core for each.
AT_REST = {
    "DASK_DISTRIBUTED__WORKER__PROFILE__ENABLED": "False",
    "DASK_DISTRIBUTED__ADMIN__TICK__INTERVAL": "1s",
    "DASK_DISTRIBUTED__ADMIN__SYSTEM_MONITOR__INTERVAL": "10s",
}


class Cluster:
    """A scheduler, and workers that can be started and killed; a context manager that leaves nothing."""

    def __init__(self, folder: Path, *workers: str, tls: str = "") -> None:
        self._file, self._folder = folder / "scheduler.json", folder
        self._words = ["--host", f"{'tls' if tls else 'tcp'}://127.0.0.1", *tls.split()]
        self._processes: list[subprocess.Popen[bytes]] = []
        self._start("scheduler", "--port", "0", "--no-dashboard", "--scheduler-file", str(self._file))
        for resources in workers:
            self.worker(resources)

    def __enter__(self) -> Cluster:
        return self

    def __exit__(self, *error: object) -> None:
        for process in reversed(self._processes):
            kill(process)

    @property
    def address(self) -> str:
        """Where the scheduler is, once it is there."""

        def written() -> str:
            try:
                return str(json.loads(self._file.read_text())["address"])
            except (FileNotFoundError, ValueError):
                return ""

        return until(written)

    def worker(self, resources: str = "", daemon: bool = False) -> subprocess.Popen[bytes]:
        """One more worker with one thread, and its nanny."""
        words = ["--resources", resources] if resources else []
        return self._start("worker", self.address, "--nthreads", "1", "--no-dashboard", *words, daemon=daemon)

    def _start(self, *words: str, daemon: bool = False) -> subprocess.Popen[bytes]:
        paths = os.pathsep.join(map(str, (HERE.parents[2], HERE.parents[1], HERE, HERE.parent)))
        process = subprocess.Popen(
            [sys.executable, "-m", "dask", *words, *self._words],
            env={**os.environ, **AT_REST, "PYTHONPATH": paths, DAEMON: str(daemon)},
            cwd=self._folder,
            stdout=subprocess.DEVNULL,
            stderr=(self._folder / f"{words[0]}.txt").open("ab"),
            start_new_session=True,
        )
        self._processes.append(process)
        return process


def kill(process: subprocess.Popen[bytes]) -> None:
    """The process and all in its session, as when a machine is gone."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def arrived(executor: Dask, count: int) -> None:
    """Wait until a cluster has so many workers."""
    until(lambda: count_of(executor) == count)


def count_of(executor: Dask) -> int:
    """The workers that a cluster has."""
    try:
        return len(executor.workers())
    except OpfuzzError:  # there are none yet
        return 0
