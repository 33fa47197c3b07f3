"""What a worker of a cluster has of a campaign: isolated processes, which a batch is handed to.

A subject that ends its process ends an isolated one, so it never costs a worker.
"""

from __future__ import annotations

import pickle
import threading
import time
import zlib
from collections.abc import Iterator, Sequence
from typing import Any

from distributed import WorkerPlugin, get_worker

from opfuzz.engine.executors import pool
from opfuzz.engine.executors.task import Task

IDLE = 60.0  # seconds after which a worker's process that nothing is asked of ends; another is soon there


class Crew(WorkerPlugin):
    """What one worker of the cluster has of one campaign: isolated processes, one for each of its threads."""

    def __init__(self, name: str, task: Task[Any, Any, Any]) -> None:
        self.name = name
        self._task = task

    def setup(self, worker: Any) -> None:
        """Dask calls this on each worker, those that come later too."""
        self._idle: list[tuple[Isolate, float]] = []  # and since when
        self._lock = threading.Lock()
        self._is_over = threading.Event()
        threading.Thread(target=self._forget, daemon=True).start()

    def teardown(self, worker: Any) -> None:
        """End what is idle; what is at work ends after its batch."""
        self._is_over.set()
        self._end(float("inf"))

    def _forget(self) -> None:
        """End what nothing was asked of for long: the client may have been killed, and then nobody says so."""
        while not self._is_over.wait(IDLE / 4):
            self._end(time.monotonic() - IDLE)

    def _end(self, since: float) -> None:
        with self._lock:
            old = [isolate for isolate, at in self._idle if at <= since]
            self._idle = [(isolate, at) for isolate, at in self._idle if at > since]
        for isolate in old:
            isolate.end()

    def perform(self, batch: Sequence[Any]) -> list[Any]:
        """The answers of a batch."""
        with self._lock:
            isolate = self._idle.pop()[0] if self._idle else None
        isolate = isolate or Isolate(self._task)
        is_kept = False
        try:
            found = isolate.perform(batch)
            with self._lock:
                if not self._is_over.is_set():
                    self._idle.append((isolate, time.monotonic()))
                    is_kept = True
            return found
        finally:
            if not is_kept:
                isolate.end()


class Isolate:
    """A pool of one process, which is fed a batch at a time."""

    def __init__(self, task: Task[Any, Any, Any]) -> None:
        self._batch: Sequence[Any] | None = None
        self._answers = pool.run(task, self, jobs=1)

    def __iter__(self) -> Iterator[Sequence[Any]]:
        return self

    def __next__(self) -> Sequence[Any]:
        if self._batch is None:
            raise StopIteration
        batch, self._batch = self._batch, None
        return batch

    def perform(self, batch: Sequence[Any]) -> list[Any]:
        self._batch = batch
        _, answers = next(self._answers)
        return answers

    def end(self) -> None:
        self._answers.close()


def perform_batch(crew: str, batch: Sequence[Any]) -> bytes:
    """What Dask runs: the answers of a batch, packed.

    They get a fifth as large for 10 us each here, where there are many workers: one scheduler and one client have to
    hand on what all of them send.
    """
    plugin = get_worker().plugins[crew]
    assert isinstance(plugin, Crew)
    return zlib.compress(pickle.dumps(plugin.perform(batch), pickle.HIGHEST_PROTOCOL), 1)


def unpacked(answers: bytes) -> list[Any]:
    """What `perform_batch` has packed."""
    found: list[Any] = pickle.loads(zlib.decompress(answers))
    return found
