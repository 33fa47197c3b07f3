"""Cases a second: by op, by executor, and by how many workers."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from opfuzz.backends import discover
from opfuzz.engine.evaluate import Bench, CaseItem
from opfuzz.engine.executors import INLINE, LOCAL, RAISED, Casualty, Executor, Task, drive
from opfuzz.engine.executors.cluster.dask import Dask
from opfuzz.engine.plan import Plan, needs_of
from opfuzz.engine.roster import Roster
from opfuzz.store.journal import Packed, pack

Answer = tuple[float, Packed]  # seconds that the case took in its worker, and its result as it travels


@dataclass(frozen=True)
class Throughput:
    """What came of all cases of a plan. Seconds of an op are those of its workers added up."""

    executor: str
    jobs: int
    cases: int  # each on all subjects
    seconds: float  # from the first result to the last, so that no start of a worker counts
    by_op: Mapping[str, tuple[int, float]]  # cases, seconds
    lost: int  # cases that ended their worker

    @property
    def rate(self) -> float:
        """Cases a second."""
        return self.cases / self.seconds


@dataclass(frozen=True)
class TimedTask(Task[Bench, CaseItem, Answer]):
    """Cases of a plan, and how long each took."""

    plan: Plan
    timeout: float
    memory: int
    modules: tuple[str, ...]

    def describe(self, item: CaseItem) -> str:
        """See Task."""
        return f"case {item.number} of {item.op}"

    def set_up(self) -> Bench:
        """See Task."""
        return Bench(self.plan)

    def work(self, state: Bench, item: CaseItem) -> Answer:
        """One case, and how long it took."""
        started = time.perf_counter()
        packed = pack(state.examine(item))
        return time.perf_counter() - started, packed


EXECUTORS: Mapping[str, Callable[[Plan], Executor]] = {
    "inline": lambda plan: INLINE,  # so that what the isolation of the others costs is seen
    "pool": lambda plan: LOCAL,
    "dask": lambda plan: Dask("local", plan.jobs, needs_of(plan.subjects, discover(plan.plugins))),
}


def measure(name: str, plan: Plan) -> Throughput:
    """All cases of a plan on an executor."""
    assert plan.cases is not None
    with EXECUTORS[name](plan) as executor:
        # Each worker's first batch is not counted: frameworks take longer over their first calls.
        warm = [[CaseItem(op, fmt, 0) for op, fmt in plan.pairs()] for _ in range(plan.jobs)]
        counted = [
            [CaseItem(op, fmt, number) for number in range(first, min(first + executor.batch, plan.cases))]
            for first in range(0, plan.cases, executor.batch)
            for op, fmt in plan.pairs()
        ]
        batches = [*warm, *counted]
        by_op: dict[str, list[float]] = defaultdict(list)
        started, lost = 0.0, 0

        def take(number: int, batch: Sequence[tuple[CaseItem, Answer | Casualty]]) -> None:
            nonlocal started, lost
            if number < len(warm):
                started = time.perf_counter()
                return
            for item, answer in batch:
                if isinstance(answer, Casualty):
                    lost += 1
                else:
                    by_op[item.op].append(answer[0])

        modules = Roster.of(plan.subjects, plan.plugins, discover(plan.plugins)).modules
        task = TimedTask(plan, plan.timeout, plan.case_memory, modules)
        if drive(executor, task, batches, take, jobs=plan.jobs, borne=RAISED):
            raise KeyboardInterrupt
        seconds = time.perf_counter() - started
    count = sum(map(len, by_op.values()))
    return Throughput(name, plan.jobs, count, seconds, {op: (len(t), sum(t)) for op, t in by_op.items()}, lost)
