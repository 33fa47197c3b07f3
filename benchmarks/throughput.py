"""Cases a second: by op, by executor, and by how many workers."""

from __future__ import annotations

import time
import warnings
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from opfuzz.backends import discover
from opfuzz.bench import Bench, Item
from opfuzz.execute import Casualty, inline, pool
from opfuzz.plan import WORKER_BYTES, Plan, case_seconds, preload
from opfuzz.records import Result

BATCH = 16  # cases a task, as in a run

Batches = Iterable[Sequence[Item]]
Answer = tuple[float, Result]  # seconds that the case took in its worker
Executor = Callable[[Plan, Batches], Iterator[tuple[int, list[Any]]]]

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


def examine(item: Item) -> Answer:
    """One case, and how long it took."""
    assert _bench is not None
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        started = time.perf_counter()
        result = _bench.examine(item)
        return time.perf_counter() - started, result


def _inline(plan: Plan, batches: Batches) -> Iterator[tuple[int, list[Any]]]:
    return inline.run(batches, examine, initialise=partial(set_up, plan))


def _pool(plan: Plan, batches: Batches) -> Iterator[tuple[int, list[Any]]]:
    return pool.run(
        batches,
        examine,
        jobs=plan.jobs,
        timeout=case_seconds(plan.subjects),
        memory=WORKER_BYTES,
        preload=preload("opfuzz.campaign", plan.subjects, discover(plan.plugins)),
        initialise=partial(set_up, plan),
    )


# Every executor has its place here; one that opfuzz does not have is None, and reported as not there.
EXECUTORS: Mapping[str, Executor | None] = {"inline": _inline, "pool": _pool, "dask": None}


def measure(executor: str, plan: Plan) -> Throughput | None:
    """All cases of a plan on an executor; None if opfuzz has no such executor."""
    run = EXECUTORS[executor]
    if run is None:
        return None
    assert plan.cases is not None
    # Each worker's first batch is not counted: frameworks take longer over their first calls.
    warm = [[Item(op, fmt, 0) for op, fmt in plan.pairs()] for _ in range(plan.jobs)]
    counted = [
        [Item(op, fmt, number) for number in range(first, min(first + BATCH, plan.cases))]
        for first in range(0, plan.cases, BATCH)
        for op, fmt in plan.pairs()
    ]
    batches = [*warm, *counted]
    by_op: dict[str, list[float]] = defaultdict(list)
    started, lost = 0.0, 0
    for number, answers in run(plan, batches):
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
    return Throughput(executor, plan.jobs, count, seconds, {op: (len(t), sum(t)) for op, t in by_op.items()}, lost)
