"""Batches of one campaign on their way to the workers of a cluster and back.

Dask places batches on workers that have what they need, and gives those of a worker that is lost to another.
"""

from __future__ import annotations

import queue
import signal
import time
import uuid
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from distributed import Client, Future
from distributed.scheduler import KilledWorker

from opfuzz.core.errors import OpfuzzError
from opfuzz.engine.executors.cluster.crew import perform_batch

AHEAD = 2  # batches for each thread of the cluster that are handed out: one to do and one to follow
HELD = 4  # batches for each thread that wait here for workers that have what they need
PATIENCE = 60.0  # seconds without any worker that could do what is left
LOOK = 1.0  # seconds between two looks at the workers

Workers = Mapping[str, tuple[frozenset[str], int]]  # what each has, and its threads, by its address


@dataclass(frozen=True, slots=True)
class Parcel:
    """A batch, and what a worker must have for it."""

    number: int
    batch: Sequence[Any]
    need: frozenset[str]


class Desk:
    """Batches of one campaign on their way to workers and back."""

    def __init__(
        self,
        client: Client,
        scheduler: str,
        workers: Callable[[], Workers],
        crew: str,
        batches: Iterable[Sequence[Any]],
        needs: Callable[[Any], frozenset[str]],
    ) -> None:
        self._client, self._scheduler, self._ask = client, scheduler, workers
        self._crew, self._needs = crew, needs
        self._batches = enumerate(batches)
        self._held: dict[frozenset[str], deque[Parcel]] = defaultdict(deque)
        self._flying: dict[Future[Any], Parcel] = {}
        self._ended: queue.SimpleQueue[Future[Any] | None] = queue.SimpleQueue()  # None: look whether to go on
        self._signal: signal.Signals | None = None
        self._workers = workers()
        self._seen = self._looked = time.monotonic()

    def next(self) -> tuple[int, list[Any]] | None:
        """Number and answers of the next batch that ends; None if nothing is left to do."""
        while True:
            self.heed()
            empty = self._hand_out()
            if empty is not None:
                return empty, []
            if not self._flying and not any(self._held.values()):
                return None
            if time.monotonic() > self._looked + LOOK:
                self._look()
            try:
                future = self._ended.get(timeout=LOOK)
            except queue.Empty:
                continue
            if future is None:
                continue
            parcel = self._flying.pop(future)
            match future.status:
                case "finished":
                    try:
                        return parcel.number, future.result(timeout=PATIENCE)
                    except TimeoutError:  # its worker was lost with the answers
                        self._send(parcel)
                case "error" if isinstance(future.exception(), KilledWorker):
                    self._send(parcel)  # many workers were lost while they had it, which is none of its doing
                case "error":
                    raise failed("a worker", future.exception())
                case _:
                    raise self._lost("the scheduler is gone")

    def interrupt(self, number: signal.Signals) -> None:
        """Let `next` raise what a signal means. May be called at any moment, by the handler of a signal too."""
        self._signal = number
        self._ended.put(None)

    def heed(self) -> None:
        """Raises KeyboardInterrupt after an interruption, or what the signal's own handler raises."""
        if self._signal is not None:
            signal.raise_signal(self._signal)
            raise KeyboardInterrupt

    def clear(self) -> None:
        """Take back all that is handed out."""
        if self._client.status == "running":
            self._client.cancel(list(self._flying))
        self._flying.clear()

    def _hand_out(self) -> int | None:
        """Give every worker something to do, as far as there is; the number of a batch that holds nothing."""
        flying = Counter(parcel.need for parcel in self._flying.values())
        for need, waiting in self._held.items():
            while waiting and flying[need] < AHEAD * self._threads(need):
                self._send(waiting.popleft())
                flying[need] += 1
        threads = self._threads(frozenset())
        while flying.total() < AHEAD * threads and sum(map(len, self._held.values())) < HELD * threads:
            if (following := next(self._batches, None)) is None:
                break
            number, batch = following
            if not batch:
                return number
            need = frozenset().union(*map(self._needs, batch))
            parcel = Parcel(number, batch, need)
            if flying[need] < AHEAD * self._threads(need):
                self._send(parcel)
                flying[need] += 1
            else:
                self._held[need].append(parcel)
        return None

    def _send(self, parcel: Parcel) -> None:
        resources = dict.fromkeys(parcel.need, 1) or None
        key = f"{self._crew}-{uuid.uuid4().hex}"
        future = self._client.submit(perform_batch, self._crew, parcel.batch, key=key, resources=resources)
        self._flying[future] = parcel
        future.add_done_callback(self._ended.put)

    def _threads(self, need: frozenset[str]) -> int:
        return sum(threads for has, threads in self._workers.values() if need <= has)

    def _look(self) -> None:
        """See which workers there are. Raises OpfuzzError if none that could do what is left came back for long."""
        self._looked = time.monotonic()
        try:
            self._workers = self._ask()
        except (OSError, TimeoutError):
            self._workers = {}
        left = {parcel.need for parcel in self._flying.values()} | {need for need, held in self._held.items() if held}
        if all(self._threads(need) for need in left):
            self._seen = self._looked
        elif self._looked > self._seen + PATIENCE:
            lacking = sorted({word for need in left if not self._threads(need) for word in need})
            words = f" with {', '.join(lacking)}" if lacking else ""
            raise self._lost(f"no worker{words} for {PATIENCE:g} s")

    def _lost(self, why: str) -> OpfuzzError:
        return OpfuzzError(f"--scheduler {self._scheduler}: {why}")


def failed(address: str, error: BaseException | None) -> OpfuzzError:
    """An error of a worker that is none of its items': it has no opfuzz, say, or no plugin."""
    lines = str(error).strip().splitlines()
    return OpfuzzError(f"{address} of the cluster cannot work: {type(error).__name__}: {lines[-1] if lines else ''}")
