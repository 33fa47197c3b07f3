"""The self-test: each mutant is tried case by case until it is found, then ranked among all ops."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from opfuzz.backends import derive
from opfuzz.core.call import Recipe
from opfuzz.core.cause import Cause
from opfuzz.core.common_cause import CommonCause
from opfuzz.core.findings import Finding
from opfuzz.core.results import Judged, Result
from opfuzz.core.run import Row
from opfuzz.core.verdicts import FAULT, SEVERITY
from opfuzz.engine.evaluate import CaseItem, blame, unknown_truth
from opfuzz.engine.executors import LOCAL, RAISED, Casualty, drive
from opfuzz.engine.finish import write_finding
from opfuzz.engine.plan import Plan
from opfuzz.engine.selftest.mutant import Mutant, read_mutants
from opfuzz.engine.selftest.planting import harmed, plant
from opfuzz.engine.selftest.report import Report, Trialled
from opfuzz.engine.selftest.trials import (
    PARENT,
    AgainTask,
    CauseQuestion,
    CauseTask,
    Place,
    Reply,
    Trial,
    TrialTask,
    subject,
)
from opfuzz.engine.triage import minimize
from opfuzz.engine.triage.diagnose import LOST, undiagnosed
from opfuzz.judge.gather import OPEN, gather
from opfuzz.judge.ranking import Ranking, sort_rows
from opfuzz.report.causes import word_cause, word_finding
from opfuzz.spec.order import case_key

BATCH = 16
RANKED = 32  # cases of each op and format that a row rests on, at least; what a run of a minute has time for


@dataclass
class MutantSearch:
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

    def _item(self, number: int) -> CaseItem:
        turn, pair = divmod(number, len(self.pairs))
        return CaseItem(*self.pairs[pair], turn)


Watch = Callable[[str, int, int], None]  # told what is being done, how many are done, and of how many


def selftest(plan: Plan, files: Sequence[Path], watch: Watch = lambda stage, done, total: None) -> Report:
    """Try every mutant of the files on at most `plan.cases` cases; `watch` is told how far that is.

    The plan's specs are all that there are to rank a mutant among. Raises OpfuzzError for a mutant that cannot be
    planted, RuntimeError for an error of opfuzz itself, KeyboardInterrupt if Ctrl-C or SIGTERM ended it.
    """
    started = time.monotonic()
    searches = _searches(plan, files)
    queue = TrialQueue(searches)

    def take(number: int, batch: Sequence[tuple[Trial, Reply | Casualty]]) -> None:
        queue.take(number, batch, plan)
        watch("mutants tried", sum(search.is_done for search in searches), len(searches))

    if drive(LOCAL, TrialTask(plan, tuple(files)), queue, take, jobs=plan.jobs):
        raise KeyboardInterrupt
    base = searches[0].ranking.rows()
    faults = [_faults(search) for search in searches]
    said = _diagnoses(plan, files, searches, faults, watch)
    faults = [[replace(f, causes=said.get((n, f.id), ())) for f in own] for n, own in enumerate(faults)]
    smaller = _smaller(plan, files, searches, faults, watch)
    faults = [[smaller.get((n, f.id), f) for f in own] for n, own in enumerate(faults)]
    asked = [[f for f in own if (n, f.id) in smaller] for n, own in enumerate(faults)]
    said = _diagnoses(plan, files, searches, asked, watch)
    faults = [[replace(f, causes=said.get((n, f.id), f.causes)) for f in own] for n, own in enumerate(faults)]
    results = [
        _conclude(search, search.mutant, base, faults[n])
        for n, search in enumerate(searches)
        if search.mutant is not None
    ]
    return Report(tuple(results), plan.seed, plan.cases or 0, time.monotonic() - started)


def _smaller(
    plan: Plan,
    files: Sequence[Path],
    searches: Sequence[MutantSearch],
    faults: Sequence[Sequence[Finding]],
    watch: Watch,
) -> dict[tuple[int, str], Finding]:
    """By number of the search and id, what shows the first cause of each mutant, made smaller."""
    specs = {spec.op: spec for spec in plan.specs}
    chosen = [(n, _to_shrink(search.mutant, faults[n])) for n, search in enumerate(searches) if search.mutant]
    known = [(n, finding) for n, finding in chosen if finding is not None]
    targets = [replace(minimize.target_of(finding, specs[finding.op]), key=searches[n].place) for n, finding in known]
    queue = minimize.Queue(targets, watch=lambda done, total: watch("faults made smaller", done, total))
    if drive(LOCAL, AgainTask(plan, tuple(files)), queue, queue.take, jobs=plan.jobs, borne=RAISED):
        raise KeyboardInterrupt
    return {
        (n, finding.id): minimize.with_minimal(finding, queue.done[place]) for place, (n, finding) in enumerate(known)
    }


def _to_shrink(mutant: Mutant, faults: Sequence[Finding]) -> Finding | None:
    """The first finding, by cause, in the mutant's own op, of which more is known than of others; else the first."""
    known = {finding.id: finding for finding in faults}
    ordered = [known[id] for common in gather(faults) for id in common.findings]
    return next((finding for finding in ordered if finding.op == mutant.op), ordered[0] if ordered else None)


def write_findings(report: Report, plan: Plan, folder: Path) -> None:
    """A bundle for each fault that was found, `folder`/NAME. Raises OpfuzzError if the disk refuses."""
    parent = derive(PARENT, PARENT, {})
    for each in report.faults:
        if each.smallest is not None:
            specs, backend = plant(each.mutant, plan.specs, parent)
            spec = next(spec for spec in specs if spec.op == each.smallest.op)
            write_finding(each.smallest, spec, {each.mutant.name: backend}, folder / each.mutant.name)


def _searches(plan: Plan, files: Sequence[Path]) -> list[MutantSearch]:
    if plan.cases is None:
        raise ValueError("a self-test needs a number of cases")
    pairs = plan.pairs()
    searches = [MutantSearch(None, None, pairs, min(RANKED, plan.cases) * len(pairs))]
    parent = derive(PARENT, PARENT, {})
    for file, path in enumerate(files):
        for number, mutant in enumerate(read_mutants(path)):
            plant(mutant, plan.specs, parent)  # so that a mistake is told before anything runs
            changed = {spec.op for spec in harmed(mutant, plan.specs, PARENT)}
            own = [pair for pair in pairs if pair[0] in changed]
            searches.append(MutantSearch(mutant, (file, number), own, plan.cases))
    return searches


class TrialQueue:
    """Batches of all searches, each noted under its number until it is back.

    A batch is handed out before the one ahead of it is back, so one of a search that has just ended may be too many.
    """

    def __init__(self, searches: Sequence[MutantSearch]) -> None:
        self.searches = searches
        self.doubts: list[tuple[MutantSearch, int, CaseItem]] = []
        self.in_flight: dict[int, tuple[MutantSearch, int]] = {}
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

    def _hand_out(self, search: MutantSearch, first: int, trials: list[Trial]) -> list[Trial]:
        self.in_flight[self.count] = search, first
        self.count += 1
        return trials

    def take(self, number: int, batch: Sequence[tuple[Trial, Reply | Casualty]], plan: Plan) -> None:
        """What came of batch `number`."""
        search, first = self.in_flight.pop(number)
        for place, (trial, result) in enumerate(batch, first):
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
    spec = next(spec for spec in plan.specs if spec.op == item.op)
    case = plan.case(item.op, item.format, item.number)
    name = subject(None if trial.mutant is None else mutant)
    at_work, score = blame(casualty)
    if at_work != name:
        score = unknown_truth(casualty.message)
    judged = Judged(name, score, None, None, Recipe(case))
    result = Result(item.op, item.format, item.number, case.id, case_key(spec, case), (judged,), {})
    return Reply(result, score.verdict if SEVERITY[score.verdict] == FAULT else "", False, 0.0)


def _faults(search: MutantSearch) -> list[Finding]:
    if search.mutant is None or search.found is None:
        return []
    return [finding for finding in search.ranking.findings() if finding.severity == FAULT]


def _diagnoses(
    plan: Plan,
    files: Sequence[Path],
    searches: Sequence[MutantSearch],
    faults: Sequence[Sequence[Finding]],
    watch: Watch,
) -> dict[tuple[int, str], tuple[Cause, ...]]:
    """The diagnosis of each fault, by the number of its search and its id."""
    asked = [(n, f) for n, own in enumerate(faults) for f in own if f.verdict not in LOST]
    questions = [[CauseQuestion(searches[n].place or (0, 0), finding)] for n, finding in asked]
    said: dict[tuple[int, str], tuple[Cause, ...]] = {}

    def take(number: int, batch: Sequence[tuple[CauseQuestion, tuple[Cause, ...] | Casualty]]) -> None:
        n, finding = asked[number]
        for _, causes in batch:
            if isinstance(causes, Casualty):
                causes = undiagnosed(finding, (finding.cause,), causes.kind)
            said[n, finding.id] = causes
        watch("faults diagnosed", len(said), len(asked))

    if drive(LOCAL, CauseTask(plan, tuple(files)), questions, take, jobs=plan.jobs, borne=RAISED):
        raise KeyboardInterrupt
    return said


def _conclude(search: MutantSearch, mutant: Mutant, base: Sequence[Row], findings: Sequence[Finding]) -> Trialled:
    """What became of a mutant. `base`: the rows of the unmodified backend, whose own faults do not count."""
    if search.found is None:
        return Trialled(mutant, len(search.replies))
    ops = {op for op, _ in search.pairs}
    others = [row for row in base if row.op not in ops and row.severity != FAULT]
    rows = sort_rows([*search.ranking.rows(), *others], "ulp")
    causes = gather(findings)
    known = {finding.id: finding for finding in findings}
    first = known[causes[0].findings[0]]
    return Trialled(
        mutant,
        cases=search.found + 1,
        seconds=sum(search.replies[number].seconds for number in range(search.found + 1)),
        rank=next(place for place, row in enumerate(rows, 1) if row.op in ops),
        verdict=first.verdict,
        finding=first,
        diagnosis=word_finding(first),
        others=tuple(word_finding(other) for other in findings if other.id != first.id),
        explanation="" if causes[0].kind in OPEN else _why(causes[0], first),
        smallest=next((finding for finding in findings if finding.minimal is not None), None),
    )


def _why(common: CommonCause, finding: Finding) -> str:
    """What is said of a cause and beside it, without the special value that was seen."""
    beside = [cause for cause in finding.causes if cause.kind != "special-at"]
    return "; ".join((word_cause(common.cause), *map(word_cause, beside)))
