"""The campaign: cases in turn over all ops and formats, examined in isolated processes, and ranked."""

from __future__ import annotations

import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import count

import numpy as np

from opfuzz.backends import Backend, Subject, discover
from opfuzz.bench import Bench, Item, blamed
from opfuzz.errors import OpfuzzError
from opfuzz.execute import Casualty, pool
from opfuzz.plan import Plan, implementations
from opfuzz.rank import Ranking
from opfuzz.records import Judged, Result, Score

BATCH = 16  # cases a task, after smaller ones at the start: the pool costs well below a millisecond a batch
CASE_SECONDS = 10.0  # after which an op hangs; the slowest honest case takes about 1 s
COMPILED_SECONDS = 120.0  # the same where a compiler runs first, which was seen to take 18 s
CASUALTIES = 2  # of one op, format and subject, after which the subject is spared further cases of them
WORKER_BYTES = 4 * 2**30

_bench: Bench | None = None


def _set_up(plan: Plan) -> None:
    global _bench
    _bench = Bench(plan)


def _work(item: Item) -> Result | OpfuzzError:
    assert _bench is not None
    try:
        with np.errstate(all="ignore"), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what a framework has to say about extreme inputs
            return _bench.examine(item)
    except OpfuzzError as error:  # a spec that fails on this case: the user's to mend, so it travels as a value
        return OpfuzzError(f"{error} (case {item.number} of {item.op} in {item.format})")


@dataclass
class Progress:
    """What is known while a campaign runs."""

    ranking: Ranking
    started: float
    cases: int = 0  # counted once per subject
    interrupted: bool = False
    casualties: Counter[tuple[str, str, str]] = field(default_factory=Counter)  # op, format, subject

    @property
    def seconds(self) -> float:
        """Since the start."""
        return time.monotonic() - self.started


def run(plan: Plan, watch: Callable[[Progress], None] = lambda progress: None) -> Progress:
    """Run the plan; `watch` is called after every batch. Ctrl-C ends it early, with all that was found.

    Raises OpfuzzError for a spec whose reference fails, RuntimeError for an error of opfuzz itself.
    """
    progress = Progress(Ranking(plan.profile.gains if plan.profile else {}), time.monotonic())
    # Modules are imported before workers fork, and used by none but them: forking after use hangs.
    backends = discover(plan.plugins)
    preload = ["opfuzz.campaign", *(m for s in plan.subjects for m in backends[Subject.parse(s).backend].modules)]
    results = pool.run(
        _batches(plan, progress),
        _work,
        jobs=plan.jobs,
        timeout=COMPILED_SECONDS if any("+" in subject for subject in plan.subjects) else CASE_SECONDS,
        memory=WORKER_BYTES,
        preload=list(dict.fromkeys(preload)),
        initialise=partial(_set_up, plan),
    )
    numbered = _Numbering(plan)
    try:
        for number, batch in results:
            for item, result in zip(numbered.items(number), batch, strict=True):
                if isinstance(result, Casualty):
                    if result.kind != "crash":  # which costs no time, so the later cases are tried all the same
                        progress.casualties[item.op, item.format, blamed(result)[0]] += 1
                    result = _lost(item, result, plan, backends)
                _take(progress, result)
            watch(progress)
    except KeyboardInterrupt:
        progress.interrupted = True
    finally:
        results.close()
    return progress


class _Numbering:
    """The stream of batches: rounds over all ops and formats, so that a run cut short has tried them all alike.

    Rounds grow, 1, 2, 4, 8 and then BATCH cases of each, so that a short run gets round at all.
    """

    def __init__(self, plan: Plan) -> None:
        self.pairs = plan.pairs()
        self.cases = plan.cases

    def items(self, number: int) -> list[Item]:
        """The items of a batch; empty beyond the last case."""
        turn, place = divmod(number, len(self.pairs))
        first, last = _cases_before(turn), _cases_before(turn + 1)
        return [
            Item(*self.pairs[place], n) for n in range(first, last if self.cases is None else min(last, self.cases))
        ]


def _cases_before(turn: int) -> int:
    growing = BATCH.bit_length() - 1
    return (1 << min(turn, growing)) - 1 + BATCH * max(0, turn - growing)


def _batches(plan: Plan, progress: Progress) -> Iterator[list[Item]]:
    numbering = _Numbering(plan)
    if not numbering.pairs:
        return
    for number in count():
        items = numbering.items(number)
        if not items or (
            plan.seconds is not None and progress.seconds >= plan.seconds and number >= len(numbering.pairs)
        ):
            return
        place = items[0].op, items[0].format
        spared = frozenset(s for (*at, s), n in progress.casualties.items() if tuple(at) == place and n >= CASUALTIES)
        yield [replace(item, spared=spared) for item in items] if spared else items


def _lost(item: Item, casualty: Casualty, plan: Plan, backends: Mapping[str, Backend]) -> Result:
    """The result of a case that ended its worker: a fault of the subject that was at work, else of nobody."""
    if casualty.kind == "internal":
        raise RuntimeError(f"case {item.number} of {item.op} in {item.format}: {casualty.message}")
    spec = next(spec for spec in plan.specs if spec.op == item.op)
    case = plan.case(item.op, item.format, item.number)
    subject, score = blamed(casualty)
    if subject:
        judged = [Judged(subject, score, None, None)]
    else:
        unknown = Score("unresolved", f"the exact result is not known: {casualty.message}")
        judged = [Judged(each, unknown, None, None) for each in implementations(spec, plan.subjects, backends)]
    return Result(item.op, item.format, item.number, case.id, case.sort_key(spec), tuple(judged), {})


def _take(progress: Progress, result: Result | OpfuzzError) -> None:
    if isinstance(result, OpfuzzError):
        raise result
    progress.ranking.add(result)
    progress.cases += len(result.judged)
