"""What is known while a campaign runs: results as they come, taken in by number, so that their order does not matter.

A subject that hangs or takes all memory twice in one op and format is spared the cases after the second. Cases are
handed out before that is known, so what counts is decided by their numbers: the same cases give the same ranking with
any number of workers, on any machine, and over a run that was killed and resumed.
"""

from __future__ import annotations

import time
from bisect import insort
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import inf

from opfuzz.core.results import Judged, Result, Score
from opfuzz.judge.ranking import Ranking
from opfuzz.store.journal import Searched


def is_costly(score: Score) -> bool:
    """Whether a case took its time limit, or all memory, as opposed to an exception that says so at once."""
    return score.verdict in ("timeout", "out-of-memory") and score.cause.kind != "raises"


@dataclass
class _Line:
    """The cases of one op and format, and what of them waits for results of lower numbers."""

    subjects: Sequence[str]
    waiting: dict[int, list[Result]] = field(default_factory=dict)
    following: int = 0  # the lowest number that is not taken in
    last: int = -1  # the highest of which a result is there
    costly: dict[str, list[int]] = field(default_factory=dict)  # numbers of such cases, by subject, in order

    def judged(self, number: int) -> set[str]:
        """Subjects of which a result that waits is there."""
        return {judged.subject for result in self.waiting.get(number, ()) for judged in result.judged}


@dataclass
class Progress:
    """What is known of a campaign: `subjects` of each op, and costly cases of a subject that are borne, None: all.

    `core`: cases of an op and format that every run makes.
    """

    subjects: Mapping[str, Sequence[str]]
    patience: int | None = None
    gains: Mapping[str, float] = field(default_factory=dict)
    core: int = 0
    started: float = field(default_factory=time.monotonic)
    ended: float | None = None
    cases: int = 0  # counted once per subject
    interrupted: bool = False
    lost: list[str] = field(default_factory=list)  # what was not tried, and why
    searches: dict[tuple[str, str, str], Searched] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.ranking = Ranking(self.gains, self.core)
        self._lines: dict[tuple[str, str], _Line] = {}

    @property
    def seconds(self) -> float:
        """Since the start, to the end if it has ended."""
        return (time.monotonic() if self.ended is None else self.ended) - self.started

    def count(self, result: Result) -> None:
        """Take in what is no case of a line."""
        self.ranking.add(result)
        self.cases += len(result.judged)

    def take(self, result: Result) -> None:
        """Take in a case, on all of its subjects or on some."""
        line = self._line(result.op, result.format)
        if result.number < line.following:
            return  # it is known, or does not count
        known = line.judged(result.number)
        for judged in result.judged:
            if is_costly(judged.score) and judged.subject not in known:
                insort(line.costly.setdefault(judged.subject, []), result.number)
        line.waiting.setdefault(result.number, []).append(result)
        line.last = max(line.last, result.number)
        while line.following in line.waiting:
            if not self.done(result.op, result.format, line.following).issuperset(line.subjects):
                break
            self._settle(line, line.following)
            line.following += 1

    def done(self, op: str, format: str, number: int) -> set[str]:
        """Subjects that need not do a case any more: they have, or it would not count."""
        line = self._line(op, format)
        if number < line.following:
            return {*line.subjects}
        spared = {subject for subject in line.costly if self._end(line, subject) < number}
        return line.judged(number) | spared

    def is_spared(self, op: str, format: str, subject: str) -> bool:
        """Whether a subject does no more of an op and format."""
        return self._end(self._line(op, format), subject) < inf

    def close(self, searches: Iterable[tuple[str, str, str]] = ()) -> None:
        """The campaign has ended: take in all that waits, and what the searches found, in their order."""
        for _, line in sorted(self._lines.items()):
            for number in sorted(line.waiting):
                self._settle(line, number)
        ends = {}
        for (op, format), line in sorted(self._lines.items()):
            for subject in line.subjects:
                if (end := self._end(line, subject)) < line.last:
                    ends[op, format, subject] = end
                    self.lost.append(
                        f"cases of {op} on {subject} in {format} after {self.patience} that hung or took all memory"
                    )
        for key in searches:
            if key in self.searches and key not in ends:
                for result in self.searches[key].results:
                    self.count(result)
                if self.searches[key].lost:
                    self.lost.append(self.searches[key].lost)
        self.ended = time.monotonic()

    def _line(self, op: str, format: str) -> _Line:
        return self._lines.setdefault((op, format), _Line(self.subjects[op]))

    def _end(self, line: _Line, subject: str) -> float:
        """The last case of a subject that counts, as far as is known."""
        costly = line.costly.get(subject, ())
        return inf if self.patience is None or len(costly) < self.patience else costly[self.patience - 1]

    def _settle(self, line: _Line, number: int) -> None:
        """Take in all results of a case as one. Those of lower numbers are known, so which of them count is as well."""
        parts = line.waiting.pop(number)
        judged: dict[str, Judged] = {each.subject: each for part in parts for each in part.judged}
        kept = tuple(judged[s] for s in line.subjects if s in judged and number <= self._end(line, s))
        if len(parts) == 1 and len(kept) == len(parts[0].judged) == len(judged):
            self.count(parts[0])  # as nearly all are
            return
        names = {each.subject for each in kept}
        distances = {pair: d for part in parts for pair, d in part.distances.items() if names.issuperset(pair)}
        self.count(replace(parts[0], judged=kept, distances=distances))
