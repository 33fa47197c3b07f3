"""Work on a Dask cluster: each of its workers runs batches in isolated processes of its own.

Dask places batches on workers that have what they need, and gives those of a worker that is lost to another. A subject
that ends its process ends an isolated one, so it never costs a worker.
"""

from __future__ import annotations

import contextlib
import logging
import multiprocessing
import queue
import signal
import threading
import time
import uuid
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import dask
from distributed import Client, Future, LocalCluster, WorkerPlugin, get_worker
from distributed.scheduler import KilledWorker

from opfuzz.core.errors import OpfuzzError
from opfuzz.engine.executors import pool
from opfuzz.engine.executors.base import Casualty, Executor
from opfuzz.engine.executors.signals import heard_by, ignoring
from opfuzz.engine.executors.task import Answer, Item, State, Task

AHEAD = 2  # batches for each thread of the cluster that are handed out: one to do and one to follow
HELD = 4  # batches for each thread that wait here for workers that have what they need
PATIENCE = 60.0  # seconds without any worker that could do what is left
CONNECT_SECONDS = 10.0
IDLE = 60.0  # seconds after which a worker's process that nothing is asked of ends; another is soon there
LOOK = 1.0  # seconds between two looks at the workers
LOCAL = "local"
DAEMON = "distributed.worker.daemon"  # Dask's setting: a worker that is a daemon may have no processes


class _Crew(WorkerPlugin):
    """What one worker of the cluster has of one campaign: isolated processes, one for each of its threads."""

    def __init__(self, name: str, task: Task[Any, Any, Any]) -> None:
        self.name = name
        self._task = task

    def setup(self, worker: Any) -> None:
        """Dask calls this on each worker, those that come later too."""
        self._idle: list[tuple[_Isolate, float]] = []  # and since when
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
        isolate = isolate or _Isolate(self._task)
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


class _Isolate:
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


def _perform(crew: str, batch: Sequence[Any]) -> list[Any]:
    """What Dask runs."""
    plugin = get_worker().plugins[crew]
    assert isinstance(plugin, _Crew)
    return plugin.perform(batch)


def _is_daemon() -> bool:
    return bool(multiprocessing.current_process().daemon)


class Dask(Executor):
    """Isolated processes on the workers of a cluster; `scheduler` is its address, or 'local' for one on this machine.

    `local` needs say what the machine's own cluster has. Raises OpfuzzError if there is no such scheduler.
    """

    batch = 256  # a task costs some milliseconds

    def __init__(self, scheduler: str, jobs: int = 1, local: frozenset[str] = frozenset()) -> None:
        self.scheduler, self._jobs, self._local = scheduler, jobs, local
        self._cluster: LocalCluster | None = None
        self._client: Client | None = None

    def __exit__(self, *error: object) -> None:
        """Let go of the cluster; one on this machine ends."""
        if self._client is not None:
            self._client.close()
        if self._cluster is not None:
            self._cluster.close()

    def everywhere(self, function: Callable[..., Any], *args: Any) -> dict[str, Any]:
        """See Executor. Called in the workers of the cluster, not in processes of their own."""
        if self.scheduler == LOCAL:
            return super().everywhere(function, *args)
        self.workers()
        found = self._connected().run(function, *args, on_error="return")
        for address, answer in found.items():
            if isinstance(answer, BaseException):
                raise _failed(address, answer)
        return dict(found)

    def crews(self, needs: Mapping[str, frozenset[str]]) -> tuple[tuple[str, ...], ...]:
        """See Executor. All together if each worker has all; else by what they need, in the order of `needs`."""
        every = frozenset().union(*needs.values())
        workers = self.workers()
        if all(every <= has for has, _ in workers.values()):
            return ((),)
        for subject, need in needs.items():
            if not any(need <= has for has, _ in workers.values()):
                lacking = ", ".join(sorted(need))
                raise OpfuzzError(
                    f"subject '{subject}': no worker of the cluster has the resource '{lacking}'; start one on a "
                    f"machine that has it: {self._remedy(lacking)}"
                )
        found: dict[frozenset[str], list[str]] = defaultdict(list)
        for subject, need in needs.items():
            found[need].append(subject)
        return tuple(map(tuple, found.values()))

    def run(
        self, task: Task[State, Item, Answer], batches: Iterable[Sequence[Item]], jobs: int
    ) -> Generator[tuple[int, list[Answer | Casualty]], None, None]:
        """See Executor. `jobs` is what the workers of the cluster are."""
        client = self._connected()
        self.workers()
        crew = _Crew(f"opfuzz-{uuid.uuid4().hex}", task)
        client.register_plugin(crew, name=crew.name)
        desk = _Desk(self, client, crew.name, batches, task.needs)
        try:
            while (found := _uninterrupted(desk)) is not None:
                yield found
        finally:
            # A cluster that is gone has nothing left to end.
            with contextlib.suppress(OSError, TimeoutError):
                desk.clear()
                if client.status == "running":
                    client.unregister_worker_plugin(crew.name)

    def _connected(self) -> Client:
        if self._client is None:
            logging.getLogger("distributed").setLevel(logging.ERROR)  # a lost worker is no news for the user
            place = self._cluster_here() if self.scheduler == LOCAL else self.scheduler
            try:
                self._client = Client(place, timeout=CONNECT_SECONDS)
            except (OSError, ValueError, TimeoutError):
                raise OpfuzzError(
                    f"--scheduler {self.scheduler}: no Dask scheduler answers there; start one with: dask scheduler"
                ) from None
            except (TypeError, ImportError) as error:  # an address that needs a setting or a library
                raise OpfuzzError(f"--scheduler {self.scheduler}: {' '.join(str(error).split())}") from None
            daemons = self._client.run(_is_daemon)
            if not daemons:
                raise OpfuzzError(f"--scheduler {self.scheduler}: no workers there; start some with: {self._remedy()}")
            if any(daemons.values()):
                raise OpfuzzError(
                    f"--scheduler {self.scheduler}: its workers may not have processes of their own; start them with: "
                    f"{self._remedy()}"
                )
        return self._client

    def _remedy(self, resource: str = "") -> str:
        words = f" --resources '{resource}=1'" if resource else ""
        return f"DASK_{DAEMON.replace('.', '__').upper()}=False dask worker {self.scheduler} --nthreads 1{words}"

    def _cluster_here(self) -> LocalCluster:
        settings = {DAEMON: False, "distributed.scheduler.allowed-failures": 100}
        # Ctrl-C in a terminal is for this process, which ends the cluster: its processes are born ignoring it.
        with dask.config.set(settings), ignoring(signal.SIGINT):
            self._cluster = LocalCluster(
                n_workers=self._jobs,
                threads_per_worker=1,
                processes=True,
                dashboard_address=None,
                memory_limit=0,  # isolated processes have limits of their own
                resources=dict.fromkeys(self._local, 1.0),
                silence_logs=logging.CRITICAL,
            )
        return self._cluster

    def workers(self) -> dict[str, tuple[frozenset[str], int]]:
        """What each worker of the cluster has, and its threads."""
        client = self._connected()
        found = client.scheduler_info(n_workers=-1)["workers"]
        return {address: (frozenset(each["resources"]), int(each["nthreads"])) for address, each in found.items()}


def _uninterrupted(desk: _Desk) -> tuple[int, list[Any]] | None:
    """`desk.next()`, with an interruption raised between its steps or after them, not in a finaliser of a future."""
    with heard_by(desk.interrupt, signal.SIGINT, signal.SIGTERM):
        found = desk.next()
    desk.heed()
    return found


@dataclass(frozen=True, slots=True)
class _Parcel:
    """A batch, and what a worker must have for it."""

    number: int
    batch: Sequence[Any]
    need: frozenset[str]


class _Desk:
    """Batches of one campaign on their way to workers and back."""

    def __init__(
        self,
        cluster: Dask,
        client: Client,
        crew: str,
        batches: Iterable[Sequence[Any]],
        needs: Callable[[Any], frozenset[str]],
    ) -> None:
        self._cluster, self._client, self._crew, self._needs = cluster, client, crew, needs
        self._batches = enumerate(batches)
        self._held: dict[frozenset[str], deque[_Parcel]] = defaultdict(deque)
        self._flying: dict[Future[Any], _Parcel] = {}
        self._ended: queue.SimpleQueue[Future[Any] | None] = queue.SimpleQueue()  # None: look whether to go on
        self._signal: signal.Signals | None = None
        self._workers = cluster.workers()
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
                    raise _failed("a worker", future.exception())
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
            parcel = _Parcel(number, batch, need)
            if flying[need] < AHEAD * self._threads(need):
                self._send(parcel)
                flying[need] += 1
            else:
                self._held[need].append(parcel)
        return None

    def _send(self, parcel: _Parcel) -> None:
        resources = dict.fromkeys(parcel.need, 1) or None
        key = f"{self._crew}-{uuid.uuid4().hex}"
        future = self._client.submit(_perform, self._crew, parcel.batch, key=key, resources=resources)
        self._flying[future] = parcel
        future.add_done_callback(self._ended.put)

    def _threads(self, need: frozenset[str]) -> int:
        return sum(threads for has, threads in self._workers.values() if need <= has)

    def _look(self) -> None:
        """See which workers there are. Raises OpfuzzError if none that could do what is left came back for long."""
        self._looked = time.monotonic()
        try:
            self._workers = self._cluster.workers()
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
        return OpfuzzError(f"--scheduler {self._cluster.scheduler}: {why}")


def _failed(address: str, error: BaseException | None) -> OpfuzzError:
    """An error of a worker that is none of its items': it has no opfuzz, say, or no plugin."""
    lines = str(error).strip().splitlines()
    return OpfuzzError(f"{address} of the cluster cannot work: {type(error).__name__}: {lines[-1] if lines else ''}")
