"""The campaign: cases in turn over all ops and formats, examined in isolated processes, and ranked."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from math import ceil, inf
from random import Random

from opfuzz.backends import Backend, Subject, discover
from opfuzz.backends.perform import not_spoken, unsupported
from opfuzz.core.call import Recipe
from opfuzz.core.floats import FORMATS
from opfuzz.core.results import Judged, Result, Score
from opfuzz.engine.calls import make_call_result
from opfuzz.engine.drivers.climb import climb_here
from opfuzz.engine.evaluate import Bench, CaseItem, blame, make_result, unknown_truth
from opfuzz.engine.executors import LOCAL, Casualty, Executor, drive
from opfuzz.engine.plan import Plan, calls_of, implementations
from opfuzz.engine.progress import Progress
from opfuzz.engine.roster import Roster, RosterTask
from opfuzz.spec import OpSpec
from opfuzz.store.journal import Ended, Examined, Journal, Packed, Searched, pack, unpack

WIDE = 16  # processes for each case of a batch: they do about 16 a second each, and a batch costs a client 2 ms
CLIMBED_CASES = 2  # where a run has a limit of time
# Evaluations of a climb for each case of its share: of an op of one number, which are cheap, and of another.
CLIMB_UNARY, CLIMB_OTHER = 2**14, 2**11
CLIMB_SECONDS = 3.0  # for one, well below what a worker may take


@dataclass(frozen=True, slots=True)
class Climb:
    """A search for the worst input of one op on one subject."""

    op: str
    format: str
    subject: str
    evaluations: int
    seconds: float


Job = CaseItem | Climb
Found = tuple[Packed, ...]


@dataclass(frozen=True, slots=True)
class CampaignTask(RosterTask[Bench, Job, Found]):
    """Cases and searches of a plan. A mistake in a spec may show on one case only."""

    plan: Plan

    @property
    def timeout(self) -> float:
        """See Task."""
        return self.plan.timeout

    @property
    def memory(self) -> int:
        """See Task."""
        return self.plan.case_memory

    def needs(self, item: Job) -> frozenset[str]:
        """See Task."""
        return self.roster.needs([item.subject] if isinstance(item, Climb) else item.subjects or self.plan.subjects)

    def describe(self, item: Job) -> str:
        """See Task."""
        if isinstance(item, Climb):
            return f"climbing {item.op} on {item.subject} in {item.format}"
        return f"case {item.number} of {item.op} in {item.format}"

    def set_up(self) -> Bench:
        """See Task."""
        return Bench(self.plan)

    def work(self, state: Bench, item: Job) -> Found:
        """One result of a case, any number of a search, as they travel."""
        if isinstance(item, Climb):
            return tuple(map(pack, _search(item, state)))
        return (pack(state.examine(item)),)


def _search(climb: Climb, bench: Bench) -> Iterator[Result]:
    place = (climb.op, climb.format, climb.subject)
    if bench.is_barred(*place):
        return
    subject, backend = bench.subject(climb.subject)
    spec = bench.specs[climb.op]
    seed = bench.plan.seed
    found = climb_here(spec, subject, backend, climb.format, seed, climb.evaluations, seconds=climb.seconds)
    calls = ((each.call, each.judged) for each in found if each.call is not None)
    yield from (make_call_result(spec, *each) for each in calls if not bench.is_barred(*place, each[0].layouts))


def run(
    plan: Plan,
    watch: Callable[[Progress], None] = lambda progress: None,
    known: Sequence[Result] = (),
    journal: Journal | None = None,
    executor: Executor = LOCAL,
) -> Progress:
    """Run the plan, with results that are `known`; `watch` is called after every batch. Ctrl-C and SIGTERM
    end it early.

    What the journal holds is not done again, and what comes is kept there at once.
    Raises OpfuzzError for a spec whose reference fails or a disk that refuses, RuntimeError for an error of opfuzz's.
    """
    backends = discover(plan.plugins)
    progress = Progress(
        {spec.op: implementations(spec, plan.subjects, backends) for spec in plan.specs},
        plan.patience,
        plan.profile.gains if plan.profile else {},
        plan.core,
    )
    for result in known:
        progress.count(result)
    is_over = _recall(progress, journal)
    work = _Work(plan, progress, backends, executor)
    try:
        if not is_over:
            progress.interrupted = _carry_out(work, watch, journal)
            if journal is not None and not progress.interrupted:
                journal.append(Ended(tuple(progress.lost), progress.seconds))
    except KeyboardInterrupt:  # after the last batch
        progress.interrupted = True
    finally:
        progress.close(work.places)
    return progress


def _recall(progress: Progress, journal: Journal | None) -> bool:
    """Take in what a journal holds; whether its run had come to the end of its cases."""
    is_over = False
    for entry in journal.entries if journal is not None else ():
        match entry:
            case Examined():
                for result in entry.results:
                    progress.take(result)
            case Searched():
                progress.searches[entry.key] = entry
            case Ended():
                progress.lost.extend(entry.lost)
                is_over = True
            case _:
                continue
        progress.started = time.monotonic() - entry.seconds
    return is_over


def _carry_out(work: _Work, watch: Callable[[Progress], None], journal: Journal | None) -> bool:
    """Do what is to be done, and take in and keep what comes of it; whether it was interrupted."""
    plan, progress = work.plan, work.progress
    task = CampaignTask(work.roster, plan)

    def take(number: int, batch: Sequence[tuple[Job, Found | Casualty]]) -> None:
        examined: list[Packed] = []
        for job, found in batch:
            if isinstance(job, Climb):
                searched = _searched(job, found, progress.seconds, task.describe(job))
                progress.searches[searched.key] = searched
                if journal is not None:
                    journal.append(searched)
                continue
            packed = work.lost(job, found) if isinstance(found, Casualty) else found[0]
            progress.take(unpack(packed))
            examined.append(packed)
            if isinstance(found, Casualty):
                work.again(job)
        if journal is not None and examined:
            journal.examined(examined, progress.seconds)
        watch(progress)

    return drive(work.executor, task, work, take, jobs=plan.jobs)


def _searched(climb: Climb, found: Found | Casualty, seconds: float, words: str) -> Searched:
    place = (climb.op, climb.format, climb.subject)
    if isinstance(found, Casualty):
        return Searched(*place, (), f"{words} ended its process: {found.message}", seconds)
    return Searched(*place, tuple(map(unpack, found)), "", seconds)


class _Work:
    """What is to be done, in batches: an iterator that may have more after it had nothing."""

    def __init__(self, plan: Plan, progress: Progress, backends: Mapping[str, Backend], executor: Executor) -> None:
        self.plan, self.progress, self.backends, self.executor = plan, progress, backends, executor
        self.specs = {spec.op: spec for spec in plan.specs}
        has_gradients = any(spec.gradient is not None for spec in plan.specs)
        self.roster = Roster.of(plan.subjects, plan.plugins, backends, has_gradients)
        # Those that are tried together: on a cluster, all that need the same of a machine, if no machine has all.
        self.crews = executor.crews({subject: self.roster.needs([subject]) for subject in plan.subjects})
        # Every search that there can be, in the order in which results are taken in.
        self.places = [(op, fmt, subject) for op, fmt in plan.pairs() for subject in progress.subjects[op]]
        self._unfinished: deque[CaseItem] = deque()
        self._fresh = self._cases()

    def __iter__(self) -> Iterator[list[Job]]:
        return self

    def __next__(self) -> list[Job]:
        return [self._unfinished.popleft()] if self._unfinished else next(self._fresh)

    def again(self, item: CaseItem) -> None:
        """Let the other subjects do a case that ended the process of one."""
        if (left := self._item(item.op, item.format, item.number, item.subjects)) is not None:
            self._unfinished.append(left)

    def lost(self, item: CaseItem, casualty: Casualty) -> Packed:
        """The result of a case that ended its process: a fault of the subject that was at work, else of nobody."""
        subject, score = blame(casualty)
        case = self.plan.case(item.op, item.format, item.number)
        # The worker died before it could say which of a relation's calls it was at: the first stands for them.
        relation = score.cause.relation
        piece = None if relation is None or relation.is_repeat else 0
        tally = self.progress.ranking.tallies.get((item.op, subject, item.format))
        recipe = Recipe(case, None, relation, piece, lacking=tuple(sorted(tally.lacking)) if tally else ())
        judged = [Judged(subject, score, None, None, recipe)]
        if not subject:
            unknown = unknown_truth(f"the exact result is not known: {casualty.message}")
            done = self.progress.done(item.op, item.format, item.number)
            judged = [
                Judged(each, self._unsupported(item, each) or unknown, None, None, Recipe(case))
                for each in self._crew(item.op, item.subjects)
                if each not in done
            ]
        return pack(make_result(self.specs[item.op], case, item.number, judged, {}))

    def _unsupported(self, item: CaseItem, text: str) -> Score | None:
        """The score of a subject that could not have made the call; None for one that could."""
        subject = Subject.parse(text)
        backend = self.backends[subject.backend]
        if calls_of(self.specs[item.op], subject, backend).get(subject.implementation) is None:
            return Score("unsupported", not_spoken(backend))
        if not backend.supports(item.format, subject.device):
            return Score("unsupported", unsupported(f"{subject.backend}:{subject.device} has no {item.format}"))
        return None

    def _crew(self, op: str, subjects: Sequence[str]) -> list[str]:
        """The implementations of an op that subjects mean, all of the plan's if none are given."""
        if not subjects:
            return list(self.progress.subjects[op])
        return implementations(self.specs[op], subjects, self.backends)

    def _item(self, op: str, format: str, number: int, crew: tuple[str, ...]) -> CaseItem | None:
        """What is left of a case; None if nothing is."""
        done = self.progress.done(op, format, number)
        if done.issuperset(self._crew(op, crew)):
            return None
        return CaseItem(op, format, number, frozenset(done), crew)

    # Rounds over all ops and formats, so that a run cut short has tried them all alike. They grow, 1, 2, 4, 8 and then
    # 16 or more cases of each, so that a short run gets round at all. A wide cluster begins with more.

    def _cases(self) -> Iterator[list[Job]]:
        plan, pairs = self.plan, self.plan.pairs()
        for turn in count():
            first, last = self._cases_before(turn), self._cases_before(turn + 1)
            numbers = range(first, last if plan.cases is None else min(last, plan.cases))
            if not pairs or not numbers:
                break
            for op, fmt in pairs:
                # The first round is run whatever the time, so that every op is tried.
                if turn and plan.seconds is not None and self.progress.seconds >= (1 - plan.climb) * plan.seconds:
                    yield from self._climbs()
                    return
                for crew in self.crews:
                    items = [item for n in numbers if (item := self._item(op, fmt, n, crew)) is not None]
                    if items:
                        yield list(items)
        yield from self._climbs()

    def _cases_before(self, turn: int) -> int:
        most = self.executor.batch.bit_length() - 1
        growing = most - self._first_round
        return ((1 << min(turn, growing)) - 1 << self._first_round) + self.executor.batch * max(0, turn - growing)

    @property
    def _first_round(self) -> int:
        """Its cases of each op and format, as a power of 2: so many that some 250 batches a second come back."""
        return max(min(self.executor.width // WIDE, self.executor.batch).bit_length() - 1, 0)

    def _climbs(self) -> Iterator[list[Job]]:
        """One search for each op, format and subject; with a limit of time as many as it allows. None of gradients."""
        plan, progress = self.plan, self.progress
        if not plan.climb:
            return
        searched = [place for place in self.places if self.specs[place[0]].gradient is None]
        places = [place for place in searched if not progress.is_spared(*place) and place not in progress.searches]
        if plan.seconds is not None:  # it may not last for all, so each seed begins with others
            Random(plan.seed).shuffle(places)
        for begun, (op, fmt, subject) in enumerate(places):
            if plan.seconds is not None and progress.seconds >= plan.seconds:
                left, known = len(places) - begun, len(places) + len(progress.searches)
                progress.lost.append(f"{left} of {known} searches for the worst input, which the time did not allow")
                return
            yield [_climb(plan, self.specs[op], fmt, subject)]


def _climb(plan: Plan, spec: OpSpec, fmt: str, subject: str) -> Climb:
    """A search in proportion to the cases, and never so long that it seems to hang."""
    cases = ceil(plan.climb * plan.cases) if plan.cases is not None else CLIMBED_CASES
    each, most = (CLIMB_UNARY, 2**17) if spec.single_input else (CLIMB_OTHER, 2**14)
    if FORMATS[fmt].bits == 64:
        most //= 8  # whose exact values cost as much more
    # The same number of cases is the same search on every machine; a limit of time is not.
    return Climb(spec.op, fmt, subject, min(cases * each, most), inf if plan.seconds is None else CLIMB_SECONDS)
