"""The campaign: cases in turn over all ops and formats, examined in isolated processes, and ranked."""

from __future__ import annotations

import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from math import ceil, inf
from random import Random

import numpy as np

from opfuzz.backends import Backend, discover
from opfuzz.bench import Bench, Item, blamed
from opfuzz.climbing import climb_here
from opfuzz.errors import OpfuzzError
from opfuzz.execute import Casualty, pool
from opfuzz.floats import FORMATS
from opfuzz.layout import layout_class
from opfuzz.plan import WORKER_BYTES, Plan, case_seconds, implementations, preload
from opfuzz.rank import Ranking
from opfuzz.records import Judged, Result, Score
from opfuzz.rerun import result_of
from opfuzz.spec import OpSpec

BATCH = 16  # cases a task, after smaller ones at the start: the pool costs well below a millisecond a batch
CASUALTIES = 2  # of one op, format and subject, after which the subject is spared further cases of them

CLIMBED_CASES = 2  # where a run has a limit of time
# Evaluations of a climb for each case of its share: of an op of one number, which are cheap, and of another.
CLIMB_UNARY, CLIMB_OTHER = 2**14, 2**11
CLIMB_SECONDS = 3.0  # for one, well below what a worker may take

_bench: Bench | None = None


@dataclass(frozen=True, slots=True)
class Climb:
    """A search for the worst input of one op on one subject."""

    op: str
    format: str
    subject: str
    evaluations: int
    seconds: float


Job = Item | Climb
Found = tuple[Result, ...]


def _set_up(plan: Plan) -> None:
    global _bench
    _bench = Bench(plan)


def _work(job: Job) -> Found | OpfuzzError:
    assert _bench is not None
    try:
        with np.errstate(all="ignore"), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what a framework has to say about extreme inputs
            match job:
                case Item():
                    return (_bench.examine(job),)
                case Climb():
                    return _climbed(job, _bench)
    except OpfuzzError as error:  # a spec that fails on this case: the user's to mend, so it travels as a value
        return OpfuzzError(f"{error} ({_described(job)})")


def _described(job: Job) -> str:
    match job:
        case Item():
            return f"case {job.number} of {job.op} in {job.format}"
        case Climb():
            return f"climbing {job.op} on {job.subject} in {job.format}"


def _climbed(climb: Climb, bench: Bench) -> Found:

    subject, backend = bench.subject(climb.subject)
    spec = bench.specs[climb.op]
    seed = bench.plan.seed
    found = climb_here(spec, subject, backend, climb.format, seed, climb.evaluations, seconds=climb.seconds)
    return tuple(result_of(spec, each.call, each.judged) for each in found if each.call is not None)


@dataclass
class Progress:
    """What is known while a campaign runs."""

    ranking: Ranking
    started: float
    ended: float | None = None
    cases: int = 0  # counted once per subject
    interrupted: bool = False
    casualties: Counter[tuple[str, str, str]] = field(default_factory=Counter)  # op, format, subject
    lost: list[str] = field(default_factory=list)  # searches that ended with their process

    def take(self, result: Result) -> None:
        """Take in one case."""
        self.ranking.add(result)
        self.cases += len(result.judged)

    @property
    def seconds(self) -> float:
        """Since the start, to the end if it has ended."""
        return (time.monotonic() if self.ended is None else self.ended) - self.started


def run(
    plan: Plan,
    watch: Callable[[Progress], None] = lambda progress: None,
    known: Sequence[Result] = (),
) -> Progress:
    """Run the plan, with results that are `known`; `watch` is called after every batch. Ctrl-C ends it early.

    Raises OpfuzzError for a spec whose reference fails, RuntimeError for an error of opfuzz itself.
    """
    progress = Progress(Ranking(plan.profile.gains if plan.profile else {}), time.monotonic())
    backends = discover(plan.plugins)
    for result in known:
        progress.take(result)
    batches = _Remembered(_batches(plan, progress, backends))
    results = pool.run(
        batches,
        _work,
        jobs=plan.jobs,
        timeout=case_seconds(plan.subjects),
        memory=WORKER_BYTES,
        preload=preload("opfuzz.campaign", plan.subjects, backends),
        initialise=partial(_set_up, plan),
    )
    try:
        for number, batch in results:
            for job, found in zip(batches.jobs.pop(number), batch, strict=True):
                if isinstance(found, Casualty):
                    found = _lost(job, found, plan, backends, progress)
                if isinstance(found, OpfuzzError):
                    raise found
                for result in found:
                    progress.take(result)
            watch(progress)
    except KeyboardInterrupt:
        progress.interrupted = True
    finally:
        results.close()
        progress.ended = time.monotonic()
    return progress


class _Remembered:
    """Batches, each kept under its number until its results are there."""

    def __init__(self, batches: Iterator[list[Job]]) -> None:
        self.batches = batches
        self.jobs: dict[int, list[Job]] = {}
        self.count = 0

    def __iter__(self) -> Iterator[list[Job]]:
        return self

    def __next__(self) -> list[Job]:
        batch = next(self.batches)
        self.jobs[self.count] = batch
        self.count += 1
        return batch


# Rounds over all ops and formats, so that a run cut short has tried them all alike. They grow, 1, 2, 4, 8 and then
# BATCH cases of each, so that a short run gets round at all.


def _batches(plan: Plan, progress: Progress, backends: Mapping[str, Backend]) -> Iterator[list[Job]]:
    pairs = plan.pairs()
    for turn in count():
        first, last = _cases_before(turn), _cases_before(turn + 1)
        numbers = range(first, last if plan.cases is None else min(last, plan.cases))
        if not pairs or not numbers:
            break
        for op, fmt in pairs:
            # The first round is run whatever the time, so that every op is tried.
            if turn and plan.seconds is not None and progress.seconds >= (1 - plan.climb) * plan.seconds:
                yield from _climbs(plan, progress, backends)
                return
            spared = _spared(progress, op, fmt)
            yield [Item(op, fmt, number, spared) for number in numbers]
    yield from _climbs(plan, progress, backends)


def _cases_before(turn: int) -> int:
    growing = BATCH.bit_length() - 1
    return (1 << min(turn, growing)) - 1 + BATCH * max(0, turn - growing)


def _spared(progress: Progress, op: str, fmt: str) -> frozenset[str]:
    place = (op, fmt)
    return frozenset(s for (*at, s), n in progress.casualties.items() if tuple(at) == place and n >= CASUALTIES)


def _climbs(plan: Plan, progress: Progress, backends: Mapping[str, Backend]) -> Iterator[list[Job]]:
    """One search for each op, format and subject; with a limit of time as many as it allows."""
    if not plan.climb:
        return
    specs = {spec.op: spec for spec in plan.specs}
    places = [
        (op, fmt, subject)
        for op, fmt in plan.pairs()
        for subject in implementations(specs[op], plan.subjects, backends)
        if subject not in _spared(progress, op, fmt)
    ]
    if plan.seconds is not None:  # it may not last for all, so each seed begins with others
        Random(plan.seed).shuffle(places)
    for begun, (op, fmt, subject) in enumerate(places):
        if plan.seconds is not None and progress.seconds >= plan.seconds:
            left = len(places) - begun
            progress.lost.append(f"{left} of {len(places)} searches for the worst input, which the time did not allow")
            return
        yield [_climb(plan, specs[op], fmt, subject)]


def _climb(plan: Plan, spec: OpSpec, fmt: str, subject: str) -> Climb:
    """A search in proportion to the cases, and never so long that it seems to hang."""
    cases = ceil(plan.climb * plan.cases) if plan.cases is not None else CLIMBED_CASES
    each, most = (CLIMB_UNARY, 2**17) if spec.single_input else (CLIMB_OTHER, 2**14)
    if FORMATS[fmt].bits == 64:
        most //= 8  # whose exact values cost as much more
    # The same number of cases is the same search on every machine; a limit of time is not.
    return Climb(spec.op, fmt, subject, min(cases * each, most), inf if plan.seconds is None else CLIMB_SECONDS)


def _lost(job: Job, casualty: Casualty, plan: Plan, backends: Mapping[str, Backend], progress: Progress) -> Found:
    """The result of a job that ended its worker: a fault of the subject that was at work, else of nobody."""
    if casualty.kind == "internal":
        raise RuntimeError(f"{_described(job)}: {casualty.message}")
    subject, score = blamed(casualty)
    if isinstance(job, Climb):
        progress.lost.append(f"{_described(job)} ended its process: {casualty.message}")
        return ()
    spec = next(spec for spec in plan.specs if spec.op == job.op)
    unknown = Score("unresolved", f"the exact result is not known: {casualty.message}")
    if casualty.kind != "crash":  # which costs no time, so the later cases are tried all the same
        progress.casualties[job.op, job.format, subject] += 1
    case = plan.case(job.op, job.format, job.number)
    if subject:
        judged = [Judged(subject, score, None, None)]
    else:
        judged = [Judged(each, unknown, None, None) for each in implementations(spec, plan.subjects, backends)]
    place = layout_class(case.layouts)
    return (Result(job.op, job.format, job.number, case.id, case.sort_key(spec), tuple(judged), {}, layout=place),)
