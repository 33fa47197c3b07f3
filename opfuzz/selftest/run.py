"""The self-test: each mutant is tried case by case until it is found, then ranked among all ops."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from math import inf
from pathlib import Path

from opfuzz import minimise
from opfuzz.backends import derive
from opfuzz.bench import Item, blamed
from opfuzz.conclude import write_finding
from opfuzz.diagnosis import LOST
from opfuzz.execute import Casualty, pool
from opfuzz.plan import CASE_SECONDS, WORKER_BYTES, Plan
from opfuzz.rank import Finding, Ranking, Row, sort_rows
from opfuzz.records import FAULT, SEVERITY, Judged, Result, Score
from opfuzz.selftest.mutant import Mutant, read_mutants
from opfuzz.selftest.planting import harmed, plant
from opfuzz.selftest.report import Report, Trialled
from opfuzz.selftest.trials import PARENT, Place, Question, Reply, Trial, again, answer, set_up, subject, work

BATCH = 16
RANKED = 32  # cases of each op and format that a row rests on, at least; what a run of a minute has time for
MODULES = ("torch", "opfuzz.selftest.trials")


@dataclass
class Search:
    """The cases of one mutant, in the order of a run over its ops and formats, until it is found and can be ranked."""

    mutant: Mutant | None  # None: the unmodified backend, which is ranked only
    place: Place | None
    pairs: Sequence[tuple[str, str]]
    limit: int  # cases, unless the mutant is found
    handed: int = 0
    replies: dict[int, Reply] = field(default_factory=dict)  # by the number of the case
    doubted: dict[int, Reply] = field(default_factory=dict)  # that killed the mutant's worker; is the mutant to blame?
    found: int | None = None
    end: int | None = None  # after this many cases no more are needed, whatever order they were done in

    def batch(self) -> tuple[int, list[Trial]] | None:
        """The next cases to try and the number of the first; None if there is nothing left to know."""
        first, last = self.handed, min(self.handed + BATCH, self.limit if self.end is None else self.end)
        if first >= last:
            return None
        self.handed = last
        return first, [Trial(self.place, self._item(number), number == first) for number in range(first, last)]

    def take(self, number: int, reply: Reply) -> None:
        """What came of a case."""
        self.replies[number] = reply
        if reply.fault and self.mutant is not None and (self.found is None or number < self.found):
            self.found = number
            # A fault that costs a timeout, or a whole memory, is not waited for again.
            wanted = 0 if reply.fault in ("timeout", "out-of-memory") else RANKED * len(self.pairs)
            self.end = min(max((number // BATCH + 1) * BATCH, wanted), self.limit)

    @property
    def is_done(self) -> bool:
        """Whether all its cases are handed out."""
        return self.handed >= (self.limit if self.end is None else self.end)

    @property
    def ranking(self) -> Ranking:
        """Of this mutant's ops alone, without the cases on which the unmodified backend shows the same fault."""
        ranking = Ranking()
        for number in sorted(self.replies):
            if not self.replies[number].is_known and (self.end is None or number < self.end):
                ranking.add(self.replies[number].result)
        return ranking

    def _item(self, number: int) -> Item:
        turn, pair = divmod(number, len(self.pairs))
        return Item(*self.pairs[pair], turn)


def selftest(plan: Plan, files: Sequence[Path], watch: Callable[[int, int], None] = lambda done, total: None) -> Report:
    """Try every mutant of the files on at most `plan.cases` cases; `watch` is told how many are done, of how many.

    The plan's specs are all that there are to rank a mutant among. Raises OpfuzzError for a mutant that cannot be
    planted, RuntimeError for an error of opfuzz itself.
    """
    started = time.monotonic()
    searches = _searches(plan, files)
    queue = Queue(searches)
    done = pool.run(
        queue,
        work,
        jobs=plan.jobs,
        timeout=CASE_SECONDS,
        memory=WORKER_BYTES,
        preload=MODULES,
        initialise=partial(set_up, plan, tuple(files)),
    )
    try:
        for number, batch in done:
            queue.take(number, batch, plan)
            watch(sum(search.is_done for search in searches), len(searches))
    finally:
        done.close()
    base = searches[0].ranking.rows()
    faults = [_faults(search) for search in searches]
    said = _diagnoses(plan, files, searches, faults)
    results = [
        _trialled(search, search.mutant, base, [replace(f, diagnosis=said.get((n, f.id), "")) for f in faults[n]])
        for n, search in enumerate(searches)
        if search.mutant is not None
    ]
    _make_smaller(plan, files, searches[1:], faults[1:], results)
    return Report(tuple(results), plan.seed, plan.cases or 0, time.monotonic() - started)


def _make_smaller(
    plan: Plan,
    files: Sequence[Path],
    searches: Sequence[Search],
    faults: Sequence[Sequence[Finding]],
    results: list[Trialled],
) -> None:
    """Put the smallest call into each result that has a finding."""
    specs = {spec.op: spec for spec in plan.specs}
    tasks, chosen = [], []
    for place, (search, result) in enumerate(zip(searches, results, strict=True)):
        own = [finding for finding in faults[place] if finding.op == result.mutant.op]  # what is known is of this op
        finding = result.finding
        if finding is not None and own and finding.op != result.mutant.op:
            finding = own[0]
        if finding is not None:
            tasks.append(replace(minimise.task_of(finding, specs[finding.op], plan), key=search.place))
            chosen.append((place, finding))
    initialise = partial(set_up, plan, tuple(files))
    queue = minimise.run(tasks, again, initialise, jobs=plan.jobs, preload=MODULES, seconds=inf)
    for number, found in queue.done.items():
        place, finding = chosen[number]
        results[place] = replace(results[place], smallest=minimise.with_minimal(finding, found))


def write_findings(report: Report, plan: Plan, folder: Path) -> None:
    """A bundle for each fault that was found, `folder`/NAME. Raises OpfuzzError if the disk refuses."""
    parent = derive(PARENT, PARENT, {})
    for each in report.faults:
        if each.smallest is not None:
            specs, backend = plant(each.mutant, plan.specs, parent)
            spec = next(spec for spec in specs if spec.op == each.smallest.op)
            finding = replace(each.smallest, diagnosis=each.diagnosis)
            write_finding(finding, spec, plan, {each.mutant.name: backend}, folder / each.mutant.name)


def _searches(plan: Plan, files: Sequence[Path]) -> list[Search]:
    if plan.cases is None:
        raise ValueError("a self-test needs a number of cases")
    pairs = plan.pairs()
    searches = [Search(None, None, pairs, min(RANKED, plan.cases) * len(pairs))]
    parent = derive(PARENT, PARENT, {})
    for file, path in enumerate(files):
        for number, mutant in enumerate(read_mutants(path)):
            plant(mutant, plan.specs, parent)  # so that a mistake is told before anything runs
            changed = {spec.op for spec in harmed(mutant, plan.specs, PARENT)}
            own = [pair for pair in pairs if pair[0] in changed]
            searches.append(Search(mutant, (file, number), own, plan.cases))
    return searches


class Queue:
    """Batches of all searches, each noted under its number until it is back.

    A batch is handed out before the one ahead of it is back, so one of a search that has just ended may be too many.
    """

    def __init__(self, searches: Sequence[Search]) -> None:
        self.searches = searches
        self.doubts: list[tuple[Search, int, Item]] = []
        self.in_flight: dict[int, tuple[Search, int, list[Trial]]] = {}
        self.count = 0

    def __iter__(self) -> Iterator[list[Trial]]:
        return self

    def __next__(self) -> list[Trial]:
        """Cases that killed a mutant come first, to see whether the unmodified backend survives them."""
        if self.doubts:
            search, number, item = self.doubts.pop(0)
            return self._hand_out(search, number, [Trial(None, item, True)])
        for search in self.searches:
            if (batch := search.batch()) is not None:
                return self._hand_out(search, *batch)
        raise StopIteration

    def _hand_out(self, search: Search, first: int, trials: list[Trial]) -> list[Trial]:
        self.in_flight[self.count] = search, first, trials
        self.count += 1
        return trials

    def take(self, number: int, results: Sequence[Reply | Casualty], plan: Plan) -> None:
        """What came of batch `number`."""
        search, first, trials = self.in_flight.pop(number)
        for place, (trial, result) in enumerate(zip(trials, results, strict=True), first):
            reply = _lost(trial, search.mutant, result, plan) if isinstance(result, Casualty) else result
            if place in search.doubted:  # this is what the unmodified backend makes of it
                doubted = search.doubted.pop(place)
                is_known = reply.fault == doubted.fault
                reply = replace(doubted, fault="" if is_known else doubted.fault, is_known=is_known)
            elif isinstance(result, Casualty) and reply.fault and search.mutant is not None:
                search.doubted[place] = reply
                self.doubts.append((search, place, trial.item))
                continue
            search.take(place, reply)


def _lost(trial: Trial, mutant: Mutant | None, casualty: Casualty, plan: Plan) -> Reply:
    """The reply for a case that ended its worker: a fault of whoever was at work, else of nobody."""
    item = trial.item
    if casualty.kind == "internal":
        raise RuntimeError(f"case {item.number} of {item.op} in {item.format}: {casualty.message}")
    spec = next(spec for spec in plan.specs if spec.op == item.op)
    case = plan.case(item.op, item.format, item.number)
    name = subject(None if trial.mutant is None else mutant)
    at_work, score = blamed(casualty)
    if at_work != name:
        score = Score("unresolved", casualty.message)
    judged = Judged(name, score, None, None)
    result = Result(item.op, item.format, item.number, case.id, case.sort_key(spec), (judged,), {})
    return Reply(result, score.verdict if SEVERITY[score.verdict] == FAULT else "", False, 0.0)


def _faults(search: Search) -> list[Finding]:
    if search.mutant is None or search.found is None:
        return []
    return [finding for finding in search.ranking.findings() if finding.severity == FAULT]


def _diagnoses(
    plan: Plan, files: Sequence[Path], searches: Sequence[Search], faults: Sequence[Sequence[Finding]]
) -> dict[tuple[int, str], str]:
    """The sentence on each fault, by the number of its search and its id."""
    asked = [(n, f) for n, own in enumerate(faults) for f in own if f.verdict not in LOST]
    questions = [[Question(searches[n].place or (0, 0), finding)] for n, finding in asked]
    said: dict[tuple[int, str], str] = {}
    done = pool.run(
        iter(questions),
        answer,
        jobs=plan.jobs,
        timeout=CASE_SECONDS,
        memory=WORKER_BYTES,
        preload=MODULES,
        initialise=partial(set_up, plan, tuple(files)),
    )
    for number, (sentence,) in done:
        n, finding = asked[number]
        if isinstance(sentence, Casualty):
            sentence = f"{finding.reason}; its diagnosis ended in {sentence.kind}"
        said[n, finding.id] = sentence
    return said


def _trialled(search: Search, mutant: Mutant, base: Sequence[Row], findings: Sequence[Finding]) -> Trialled:
    """What became of a mutant. `base`: the rows of the unmodified backend, whose own faults do not count."""
    if search.found is None:
        return Trialled(mutant, len(search.replies))
    ranking = search.ranking
    ops = {op for op, _ in search.pairs}
    others = [row for row in base if row.op not in ops and row.severity != FAULT]
    rows = sort_rows([*ranking.rows(), *others], "ulp")
    rank, row = next((place, row) for place, row in enumerate(rows, 1) if row.op in ops)
    finding = next(finding for finding in findings if finding.id == row.finding)
    return Trialled(
        mutant,
        cases=search.found + 1,
        seconds=sum(search.replies[number].seconds for number in range(search.found + 1)),
        rank=rank,
        verdict=finding.verdict,
        diagnosis=diagnosis_of(finding),
        others=tuple(diagnosis_of(other) for other in findings if other is not finding),
        finding=finding,
    )


def diagnosis_of(finding: Finding) -> str:
    """What a run says about the cause of a finding."""
    return finding.diagnosis or finding.reason
