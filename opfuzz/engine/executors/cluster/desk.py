"""Batches of one campaign on their way to the workers of a cluster and back.

Dask places batches on workers that have what they need, and gives those of a worker that is lost to another.
"""

from __future__ import annotations

import asyncio
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
from opfuzz.engine.executors.cluster.crew import perform_batch, unpacked

AHEAD = 2  # batches for each thread of the cluster that are handed out: one to do and one to follow
HELD = 4  # batches for each thread that wait here for workers that have what they need
PATIENCE = 60.0  # seconds without any worker that could do what is left
FETCHED = 16  # batches whose answers are brought here at a time: a tenth of a megabyte each, a way of milliseconds
LOOK = 1.0  # seconds between two looks at the workers

Workers = Mapping[str, tuple[frozenset[str], int]]  # what each has, and its threads, by its address


@dataclass(frozen=True, slots=True)
class Parcel:
    """A batch, and what a worker must have for it."""

    number: int
    batch: Sequence[Any]
    need: frozenset[str]


@dataclass(frozen=True, slots=True)
class Fetched:
    """A batch that has ended, and its answers; or why there are none."""

    future: Future[Any]
    answers: bytes
    error: Exception | None


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
        self._by_need: Counter[frozenset[str]] = Counter()  # of those that fly
        self._ended: deque[Future[Any]] = deque()  # whose answers are not asked for yet
        self._fetching = 0  # whose answers are on their way, or here
        self._news: queue.SimpleQueue[Future[Any] | Fetched | None] = queue.SimpleQueue()  # None: look whether to go on
        self._signal: signal.Signals | None = None
        self._workers = workers()
        self._threads: dict[frozenset[str], int] = {}  # of workers that have what is needed
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
            while self._ended and self._fetching < FETCHED:
                self._fetch(self._ended.popleft())
            try:
                news = self._news.get(timeout=LOOK)
            except queue.Empty:
                continue
            if isinstance(news, Future):
                self._ended.append(news)
            elif news is not None:
                self._fetching -= 1
                parcel = self._back(news.future)
                if news.error is None:
                    return parcel.number, unpacked(news.answers)
                self._failed(parcel, news)

    def _fetch(self, future: Future[Any]) -> None:
        """Have the answers brought here, many batches at a time: each is a way there and back."""

        async def fetched() -> None:
            try:
                # Where its worker was lost with the answers, somebody has to make them again first.
                answers = await asyncio.wait_for(self._client.gather(future, asynchronous=True), PATIENCE)
            except Exception as error:
                self._news.put(Fetched(future, b"", error))
            else:
                self._news.put(Fetched(future, answers, None))

        self._fetching += 1
        loop: Any = self._client.loop
        loop.add_callback(fetched)

    def _failed(self, parcel: Parcel, fetched: Fetched) -> None:
        """Send a batch again of which the answers are lost. Raises OpfuzzError where that would be of no use."""
        match fetched.future.status:
            case "error" if not isinstance(fetched.error, KilledWorker):
                raise failed("a worker", fetched.error)
            # Many workers were lost while they had it, which is none of its doing; or the one that had the answers.
            case "error" | "finished" | "pending":
                self._send(parcel)
            case _:
                raise self._lost("the scheduler is gone")

    def interrupt(self, number: signal.Signals) -> None:
        """Let `next` raise what a signal means. May be called at any moment, by the handler of a signal too."""
        self._signal = number
        self._news.put(None)

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
        for need, waiting in self._held.items():
            while waiting and self._has_room(need):
                self._send(waiting.popleft())
        threads = self._threads_with(frozenset())
        while len(self._flying) < AHEAD * threads and sum(map(len, self._held.values())) < HELD * threads:
            if (following := next(self._batches, None)) is None:
                break
            number, batch = following
            if not batch:
                return number
            need = frozenset().union(*map(self._needs, batch))
            parcel = Parcel(number, batch, need)
            if self._has_room(need):
                self._send(parcel)
            else:
                self._held[need].append(parcel)
        return None

    def _has_room(self, need: frozenset[str]) -> bool:
        return self._by_need[need] < AHEAD * self._threads_with(need)

    def _send(self, parcel: Parcel) -> None:
        resources = dict.fromkeys(parcel.need, 1) or None
        key = f"{self._crew}-{uuid.uuid4().hex}"
        future = self._client.submit(perform_batch, self._crew, parcel.batch, key=key, resources=resources)
        self._flying[future] = parcel
        self._by_need[parcel.need] += 1
        future.add_done_callback(self._news.put)

    def _back(self, future: Future[Any]) -> Parcel:
        parcel = self._flying.pop(future)
        self._by_need[parcel.need] -= 1
        return parcel

    def _threads_with(self, need: frozenset[str]) -> int:
        if need not in self._threads:
            self._threads[need] = sum(threads for has, threads in self._workers.values() if need <= has)
        return self._threads[need]

    def _look(self) -> None:
        """See which workers there are. Raises OpfuzzError if none that could do what is left came back for long."""
        self._looked = time.monotonic()
        try:
            self._workers = self._ask()
        except (OSError, TimeoutError):
            self._workers = {}
        self._threads.clear()
        left = {parcel.need for parcel in self._flying.values()} | {need for need, held in self._held.items() if held}
        if all(self._threads_with(need) for need in left):
            self._seen = self._looked
        elif self._looked > self._seen + PATIENCE:
            lacking = sorted({word for need in left if not self._threads_with(need) for word in need})
            words = f" with {', '.join(lacking)}" if lacking else ""
            raise self._lost(f"no worker{words} for {PATIENCE:g} s")

    def _lost(self, why: str) -> OpfuzzError:
        return OpfuzzError(f"--scheduler {self._scheduler}: {why}")


def failed(address: str, error: BaseException | None) -> OpfuzzError:
    """An error of a worker that is none of its items': it has no opfuzz, say, or no plugin."""
    lines = str(error).strip().splitlines()
    return OpfuzzError(f"{address} of the cluster cannot work: {type(error).__name__}: {lines[-1] if lines else ''}")
