"""Work in isolated processes: an abort, a segmentation fault, a hang or a lack of memory costs one item.

Each worker has a pipe of its own and sends every answer when it is there, so the item that a worker died of is the
first one without an answer, nothing is computed twice, and no lock is shared that a dying worker could keep.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from multiprocessing import forkserver
from multiprocessing.connection import wait
from pathlib import Path
from typing import Any

from opfuzz.core.errors import OpfuzzError
from opfuzz.engine.executors import reaper
from opfuzz.engine.executors.base import Casualty, Executor
from opfuzz.engine.executors.last_words import LastWords
from opfuzz.engine.executors.task import Answer, Item, State, Task, preload
from opfuzz.engine.executors.worker import Word, serve

START_ATTEMPTS = 3
THREAD_SETTINGS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")
MEMORY_POLL = 0.1  # seconds
_starting = threading.Lock()  # held while the environment is that of a child, whichever thread starts one
TORN = object()  # in place of a message
LAST_SECONDS = 10.0  # that a hanging worker has for its last words, for which a busy machine may take seconds
# That an item may load modules, which is not its time: what torch imports for its first gradient takes more than 10 s
# on a busy machine.
IMPORT_SECONDS = 120.0
# A call of 0.05 s of work took more than 10 s where twelve others wanted two processors. One that has had less than
# half of its limit in time of a processor, and gets on, is left up to twelve times as long; one that sleeps is not.
USED_SHARE, MOST_TIMES, LOOK_SECONDS = 0.5, 12.0, 2.0


def run(
    task: Task[State, Item, Answer], batches: Iterable[Sequence[Item]], jobs: int, *, threads: int = 1
) -> Generator[tuple[int, list[Answer | Casualty]], None, None]:
    """Number and answers of each batch, in the order in which they end; a Casualty for an item that ended its worker.

    The memory that a task allows is resident, and looked at on Linux only. `threads` is what workers find in
    OMP_NUM_THREADS and its kin (a second pool in one process shares the modules loaded for the first, with their
    threads). All workers are gone when the iterator ends, is closed, or is interrupted.
    Raises RuntimeError if workers cannot start.
    """
    limits, memory = (task.timeout, task.call_timeout), task.memory
    start = _starter(task, threads)
    queue = enumerate(batches)
    workers: list[_Worker] = []
    try:
        while True:
            idle = [worker for worker in workers if worker.batch is None]
            while (idle or len(workers) < jobs) and (following := next(queue, None)) is not None:
                batch = _Batch(*following)
                if not batch.items:
                    yield batch.number, []
                    continue
                if idle:
                    worker = idle.pop()
                else:
                    worker = _Worker(start, memory)
                    workers.append(worker)
                worker.take(batch)
            busy = [worker for worker in workers if worker.batch is not None]
            if not busy:
                return
            # An idle worker that died is replaced like any other, or its next batch would find a closed pipe.
            wait([end for worker in workers for end in worker.ends()], _patience(busy, min(limits), memory))
            for worker in workers:
                worker.advance(*limits)
                if worker.batch is not None and worker.batch.is_done():
                    finished, worker.batch = worker.batch, None
                    yield finished.number, finished.answers
    finally:
        for worker in workers:
            worker.end()


class Pool(Executor):
    """Isolated processes on this machine, which is taken to have all that items need."""

    batch = 16  # the pool costs well below a millisecond a batch

    def run(
        self, task: Task[State, Item, Answer], batches: Iterable[Sequence[Item]], jobs: int
    ) -> Generator[tuple[int, list[Answer | Casualty]], None, None]:
        """See Executor."""
        return run(task, batches, jobs)


class _Batch:
    def __init__(self, number: int, items: Sequence[Any]) -> None:
        self.number = number
        self.items = items
        self.answers: list[Any] = []

    def is_done(self) -> bool:
        return len(self.answers) == len(self.items)


class _Worker:
    """One place in the pool: a process, replaced when it dies, and the batch it is at."""

    def __init__(self, start: Callable[[str], tuple[Any, Any]], memory: int | None) -> None:
        self.batch: _Batch | None = None
        self._memory = memory
        self._start = start
        self._failed_starts = 0
        self._used = self._seen = self._look_at = 0.0  # see `_is_starved`
        self._restart()

    def take(self, batch: _Batch) -> None:
        self.batch = batch
        if self._is_ready:
            self._send()

    def ends(self) -> list[Any]:
        return [self._connection, self._process.sentinel]

    def waited(self) -> float:
        """Seconds since the item that it is at began, or since it was last seen to import; 0 if it is at none."""
        return self._waited(self._since) if self._has_begun else 0.0

    def _waited(self, since: float) -> float:
        return time.monotonic() - since - self._imported(since)

    def _imported(self, since: float) -> float:
        """Seconds that went by until it was last seen to import a module."""
        return min(max(self._words.importing - since, 0.0), IMPORT_SECONDS)

    def _passed(self, timeout: float, call_timeout: float) -> tuple[float, float] | None:
        """The limit that is over, of the item or of a call in it, and since when it counts."""
        if self.waited() > timeout:
            return timeout, self._since
        noted = self._words.noted
        since = max(noted, self._since)  # it may have noted something of the item before it was known to have begun
        return (call_timeout, since) if noted and self._waited(since) > call_timeout else None

    def advance(self, timeout: float, call_timeout: float) -> None:
        """Take in what the process sent, and replace it if it died, hangs or takes too much memory."""
        self._words.bound()
        if not self._receive():
            kind, message = _death(self._process.exitcode)
            self._bury((kind, message + self._words.read()))
        elif self.batch is None or self.batch.is_done() or not self._has_begun:
            return
        elif (passed := self._passed(timeout, call_timeout)) is not None:
            if self._is_starved(*passed):
                return
            seconds = passed[0] + round(self._imported(passed[1]), 1)
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._process.pid, signal.SIGUSR1)  # it says where it is, and ends
            self._process.join(LAST_SECONDS)
            self._bury(("timeout", f"no result after {seconds:g} s{self._words.read()}"))
        elif self._memory is not None and (resident := _resident(self._process.pid)) > self._memory:
            limit = self._memory / 2**30
            self._bury(("out-of-memory", f"{resident / 2**30:.2f} GiB in use, the limit is {limit:.2f} GiB"))

    def _is_starved(self, timeout: float, since: float) -> bool:
        """Whether it is over its time because others have the processors. Looked at on Linux only."""
        used, now = _used(self._process.pid), time.monotonic()
        if used is None or used - self._used >= USED_SHARE * timeout or self._waited(since) > MOST_TIMES * timeout:
            return False
        if now >= self._look_at:
            gets_on = used > self._seen
            self._seen = used
            self._look_at = now + min(LOOK_SECONDS, timeout / 2)
            return gets_on
        return True

    def end(self) -> None:
        """Kill the process and all that it started, unless that was done."""
        if self._connection.closed:
            return
        self._process.kill()
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.join()
        reaper.forget(self._process.pid)
        self._connection.close()
        self._words.close()

    def _restart(self) -> None:
        self._words = LastWords()
        try:
            self._process, self._connection = self._start(self._words.folder)
        except BaseException:  # interrupted, say, while the fork server imports
            self._words.close()
            raise
        reaper.watch(self._process.pid, self._words.folder)
        self._is_ready = False
        self._has_begun = False
        self._begin()

    def _begin(self) -> None:
        """Its clocks at the beginning of an item."""
        self._since = time.monotonic()
        self._used = self._seen = _used(self._process.pid) or 0.0
        self._look_at = 0.0

    def _send(self) -> None:
        self._has_begun = False
        if self.batch is not None:
            with contextlib.suppress(OSError):  # it died meanwhile: `advance` will see
                self._connection.send(self.batch.items[len(self.batch.answers) :])

    def _receive(self) -> bool:
        """Whether the process is alive, after everything that it has sent is taken in."""
        # Asked first: what a process wrote before it died is then in the pipe.
        is_alive: bool = self._process.is_alive()
        while (message := self._next_message()) is not None:
            if message is TORN:
                self._process.join(1)
                return False
            self._understand(*message)
        return is_alive

    def _next_message(self) -> Any:
        try:
            return self._connection.recv() if self._connection.poll() else None
        except Exception:  # closed, torn in the middle of a message, or written to by what a subject called
            return TORN

    def _understand(self, word: Word, content: Any) -> None:
        match word:
            case Word.READY:
                if self._memory is not None and (resident := _resident(self._process.pid)) > self._memory:
                    raise OpfuzzError(
                        f"a limit of {self._memory / 2**20:.0f} MiB a process is too low: one takes "
                        f"{resident / 2**20:.0f} MiB before its first case"
                    )
                self._is_ready = True
                self._words.hide()
                self._send()
            case Word.BEGUN:
                self._has_begun = True
                self._failed_starts = 0
                self._begin()
            case Word.UNREADY:
                raise RuntimeError(f"a worker could not start:\n{content}")
            case _ if self.batch is not None:
                self.batch.answers.append(content if word is Word.ANSWER else Casualty(*content))
                self._begin()

    def _bury(self, cause: tuple[str, str]) -> None:
        label = self._words.label
        self.end()
        if self._has_begun:
            if self.batch is not None and not self.batch.is_done():
                self.batch.answers.append(Casualty(*cause, label))
        else:  # it was starting, idle, or reading a batch: no item is to blame
            self._failed_starts += 1
            if self._failed_starts == START_ATTEMPTS:
                raise RuntimeError(f"a worker ended {START_ATTEMPTS} times before its first item: {cause[1]}")
        self._restart()


def _starter(task: Task[State, Item, Answer], threads: int) -> Callable[[str], tuple[Any, Any]]:
    # The server imports the frameworks once and never uses them: forking after use hangs. On macOS a fork after Metal
    # or Accelerate was loaded is unsafe even then.
    environment = _settings(task, threads)
    method = "forkserver" if sys.platform == "linux" else "spawn"
    context: Any = multiprocessing.get_context(method)
    if method == "forkserver":
        context.set_forkserver_preload(preload(task))
        with _environment(environment):
            forkserver.ensure_running()

    def start(words: str) -> tuple[Any, Any]:
        ours, theirs = context.Pipe()
        process = context.Process(target=serve, args=(theirs, task, environment, words), daemon=True)
        with _environment(environment), _no_script():
            process.start()
        theirs.close()
        return process, ours

    return start


def _settings(task: Task[State, Item, Answer], threads: int) -> dict[str, str]:
    """What workers find in their environment beside what is there: the task's words, unless the user has others."""
    own = {name: os.environ.get(name, word) for name, word in task.environment.items()}
    return own | dict.fromkeys(THREAD_SETTINGS, str(threads))


@contextlib.contextmanager
def _environment(words: Mapping[str, str]) -> Iterator[None]:
    """Children started meanwhile find these words in their environment."""
    with _starting:
        before = {name: os.environ.get(name) for name in words}
        os.environ.update(words)
        try:
            yield
        finally:
            for name, value in before.items():
                if value is None:
                    del os.environ[name]
                else:
                    os.environ[name] = value


@contextlib.contextmanager
def _no_script() -> Iterator[None]:
    """Children started meanwhile do not run the program that starts them: nothing that they are sent is from there.

    Without it a script that makes a run would need `if __name__ == "__main__"`, or each worker would begin with a run.
    """
    main = sys.modules["__main__"]
    told = {name: getattr(main, name) for name in ("__spec__", "__file__") if hasattr(main, name)}
    try:
        for name in told:
            setattr(main, name, None)
        yield
    finally:
        for name, value in told.items():
            setattr(main, name, value)


def _patience(busy: Sequence[_Worker], timeout: float, memory: int | None) -> float:
    left = max(0.0, timeout - max(worker.waited() for worker in busy)) + 0.01
    return left if memory is None else min(left, MEMORY_POLL)


def _resident(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, IndexError):  # no such file system, or the process has ended
        return 0


def _used(pid: int) -> float | None:
    """Seconds of a processor that a process has had, in all its threads; None where that is not told."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")  # utime, stime: see proc(5)
    except (OSError, IndexError, ValueError):
        return None


def _death(exitcode: int | None) -> tuple[str, str]:
    if exitcode == -signal.SIGKILL:
        return "out-of-memory", "killed by SIGKILL, as the system does when memory runs out"
    if exitcode is None:
        return "crash", "the process sent what is no result"
    if exitcode < 0:
        return "crash", f"killed by {signal.Signals(-exitcode).name}"
    return "crash", f"the process exited with status {exitcode}"
