"""What one coordinator can take in, of a thousand workers that answer at the rate of real ones.

What the coordinator does is real: it hands out cases, takes in results, ranks them and keeps them in a journal. Workers
are not there: what they answer was computed before, and is due when a real one would have it. The clock is the time
that the coordinator itself has of a processor, so that other programs do not count; where it would wait, the clock goes
on to when the next answer is due. What Dask's client takes for a batch is measured on a cluster that is there.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import datetime
from heapq import heappop, heappush, heapreplace
from pathlib import Path
from typing import Any

import numpy as np

from opfuzz.core.errors import OpfuzzError
from opfuzz.core.results import Result
from opfuzz.engine import campaign
from opfuzz.engine.campaign import Found, Job
from opfuzz.engine.evaluate import Bench, CaseItem
from opfuzz.engine.executors import Casualty, Executor, Task, drive
from opfuzz.engine.executors.cluster.dask import Dask
from opfuzz.engine.executors.cluster.desk import AHEAD
from opfuzz.engine.plan import Plan
from opfuzz.report.progress import Watcher
from opfuzz.store.journal import Begun, Journal, Packed, pack

KINDS = 3  # results of each op and format; further cases have the same again, but for their numbers
BATCHES = 60  # of which the cost in Dask is measured
NUMBER = 0x5EADBEEF  # in place of which a number is written, in as many bytes

Stock = dict[tuple[str, str], list[Packed]]  # results by op and format


@dataclass(frozen=True)
class Look:
    """The coordinator after one more second."""

    seconds: float
    results: int  # taken in since the look before
    busy: float  # share of the time
    queue: int  # results that are there and not taken in
    out: int  # cases that workers have
    resident: int  # bytes


@dataclass(frozen=True)
class Stocked(Task[None, Job, Found]):
    """Cases of which the results are known."""

    stock: Stock
    timeout: float = 60.0

    def describe(self, item: Job) -> str:
        """See Task."""
        return str(item)

    def set_up(self) -> None:
        """See Task."""

    def work(self, state: None, item: Job) -> Found:
        """What the stock has for a case."""
        assert isinstance(item, CaseItem)
        known = self.stock[item.op, item.format]
        return (known[item.number % len(known)].replace(_word(NUMBER), _word(item.number), 1),)


class Clocked(Executor):
    """Workers that are not there, `rate` cases a second each, on the coordinator's own clock."""

    batch = Dask.batch

    def __init__(
        self, stock: Stock, workers: int, rate: float, dask: tuple[float, float], show: Callable[[Look], None]
    ):
        self._task, self._rate, self._each, self._show = Stocked(stock), rate, dask, show
        self._free = [0.0] * workers  # when each has done all that it has
        self._due: list[tuple[float, int, Sequence[Any]]] = []
        self._idle = 0.0  # seconds that were waited
        self._simulated = 0.0  # seconds that making up answers took
        self._dask = 0.0
        self._start = 0.0

    @property
    def width(self) -> int:
        """See Executor."""
        return len(self._free)

    @property
    def now(self) -> float:
        """Seconds since the start."""
        return self._dask + self._idle + time.process_time() - self._simulated - self._start

    def run(
        self, task: Task[Any, Any, Any], batches: Iterable[Sequence[Any]], jobs: int
    ) -> Generator[tuple[int, list[Any | Casualty]], None, None]:
        """See Executor."""
        self._start = time.process_time()
        fresh, is_more = enumerate(batches), True
        taken, look, before, idle = 0, 1.0, 0, 0.0
        while True:
            while is_more and len(self._due) < AHEAD * len(self._free):
                is_more = (following := next(fresh, None)) is not None
                if following is not None:
                    self._hand_out(*following)
            if not self._due:
                return
            if (wait := self._due[0][0] - self.now) > 0:
                self._idle += wait
            _, number, batch = heappop(self._due)
            self._dask += self._each[0] + len(batch) * self._each[1]
            yield number, self._answers(batch)
            taken += len(batch)
            if self.now >= look:
                waiting = sum(len(held) for at, _, held in self._due if at <= self.now)
                out = sum(len(held) for _, _, held in self._due) - waiting
                share = 1 - (self._idle - idle) / (self.now - look + 1)
                self._show(Look(self.now, taken - before, share, waiting, out, resident()))
                look, before, idle = self.now + 1, taken, self._idle

    def _hand_out(self, number: int, batch: Sequence[Any]) -> None:
        due = max(self.now, self._free[0]) + len(batch) / self._rate
        heapreplace(self._free, due)
        heappush(self._due, (due, number, batch))

    def _answers(self, batch: Sequence[Any]) -> list[Any]:
        started = time.process_time()
        found = [self._task.work(None, item) for item in batch]
        self._simulated += time.process_time() - started
        return found


def stock_of(plan: Plan) -> Stock:
    """Real results of a few cases of each op and format."""
    bench, found = Bench(plan), {}
    with np.errstate(all="ignore"):
        for op, fmt in plan.pairs():
            found[op, fmt] = [_unnumbered(bench.examine(CaseItem(op, fmt, number))) for number in range(KINDS)]
    return found


def measure(plan: Plan, executor: Executor) -> None:
    """A campaign, with its journal, and with what it shows a person meanwhile."""
    with tempfile.TemporaryDirectory() as name, Watcher(plan) as watcher:
        begun = Begun({}, {}, {}, datetime.now().astimezone(), ())
        journal = Journal.create(Path(name), begun)
        campaign.run(plan, watcher.watch, journal=journal, executor=executor)
        journal.remove()


def dask_seconds(stock: Stock) -> tuple[float, float]:
    """Seconds of a processor that Dask's client takes for a batch, and for each answer in it, in all its threads."""
    places = list(stock)
    batches = [
        [CaseItem(*places[number % len(places)], each) for each in range(Dask.batch)] for number in range(BATCHES)
    ]
    with tempfile.TemporaryDirectory() as name, cluster(Path(name)) as address, Dask(address) as executor:
        here: dict[str, Any] = {}
        while not here:
            with suppress(OpfuzzError):  # no worker yet
                here = dict(executor.workers())
        drive(executor, Stocked(stock), batches[:1], lambda number, batch: None, jobs=1)
        found = []
        for size in (1, Dask.batch):
            some = [batch[:size] for batch in batches]
            started = time.process_time()
            drive(executor, Stocked(stock), some, lambda number, batch: None, jobs=1)
            found.append((time.process_time() - started) / BATCHES)
        return found[0], (found[1] - found[0]) / (Dask.batch - 1)


@contextmanager
def cluster(folder: Path) -> Iterator[str]:
    """The address of a scheduler in a process of its own, which has a worker, or will have."""
    file = folder / "scheduler.json"
    with ExitStack() as stack:
        own = ("--host", "127.0.0.1", "--port", "0", "--no-dashboard", "--scheduler-file", str(file))
        _run_beside(stack, "scheduler", *own)
        while not (file.exists() and file.read_text()):
            time.sleep(0.05)
        address = str(json.loads(file.read_text())["address"])
        _run_beside(stack, "worker", address, "--host", "127.0.0.1", "--nthreads", "2", "--no-dashboard")
        yield address


def _run_beside(stack: ExitStack, *words: str) -> None:
    """A process of Dask's that ends with the stack."""
    environment = {**os.environ, "DASK_DISTRIBUTED__WORKER__DAEMON": "False", "PYTHONPATH": os.getcwd()}
    process = subprocess.Popen([sys.executable, "-m", "dask", *words], env=environment, stderr=subprocess.DEVNULL)
    stack.callback(process.wait)
    stack.callback(process.terminate)


def resident() -> int:
    """Bytes of memory that this process has."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def _unnumbered(result: Result) -> Packed:
    return pack(replace(result, number=NUMBER))


def _word(number: int) -> bytes:
    return b"\xce" + number.to_bytes(4, "big")
