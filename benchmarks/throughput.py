"""Cases a second: by op, by executor, and by how many workers."""

from __future__ import annotations

import time
import warnings
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from opfuzz.backends import discover
from opfuzz.engine.evaluate import Bench, CaseItem
from opfuzz.engine.executors import LOCAL, Casualty, Executor, inline
from opfuzz.engine.executors.dask import Dask
from opfuzz.engine.plan import Plan, needs_of, preload
from opfuzz.store.journal import Packed, pack

Batches = Iterable[Sequence[CaseItem]]
Answer = tuple[float, Packed]  # seconds that the case took in its worker, and its result as it travels

_bench: Bench | None = None


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


def set_up(plan: Plan) -> None:
    """Make the tools of a worker."""
    global _bench
    _bench = Bench(plan)


def examine(item: CaseItem) -> Answer:
    """One case, and how long it took."""
    assert _bench is not None
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        started = time.perf_counter()
        packed = pack(_bench.examine(item))
        return time.perf_counter() - started, packed


class Inline(Executor):
    """This process, so that what the isolation of the others costs is seen."""

    batch = LOCAL.batch

    def run(self, batches: Batches, work: Callable[[Any], Any], **settings: Any) -> Any:
        """See Executor."""
        return inline.run(batches, work, initialise=settings["initialise"])


EXECUTORS: Mapping[str, Callable[[Plan], Executor]] = {
    "inline": lambda plan: Inline(),
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
        results = executor.run(
            batches,
            examine,
            jobs=plan.jobs,
            timeout=plan.timeout,
            memory=plan.case_memory,
            preload=preload("opfuzz.engine.campaign", plan.subjects, discover(plan.plugins)),
            initialise=partial(set_up, plan),
        )
        by_op: dict[str, list[float]] = defaultdict(list)
        started, lost = 0.0, 0
        for number, answers in results:
            if number < len(warm):
                started = time.perf_counter()
                continue
            for item, answer in zip(batches[number], answers, strict=True):
                if isinstance(answer, Casualty):
                    lost += 1
                else:
                    by_op[item.op].append(answer[0])
        seconds = time.perf_counter() - started
    count = sum(map(len, by_op.values()))
    return Throughput(name, plan.jobs, count, seconds, {op: (len(t), sum(t)) for op, t in by_op.items()}, lost)
