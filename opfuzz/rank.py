"""Ranking: the scores of all cases rolled up by op, subject and format, and findings without repetitions."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from math import fsum
from typing import Any

from opfuzz.floats import FORMATS
from opfuzz.metrics.conditioned import effective_bits
from opfuzz.metrics.ulp import percentile
from opfuzz.records import CLEAN, FAULT, SEVERITIES, SEVERITY, VERDICTS, Judged, Result, Witness

UNRESOLVED_SHARE = 0.001
ILL_CONDITIONED_SHARE = 0.95
SORT_KEYS = ("ulp", "excess", "conditioned")


@dataclass(frozen=True, slots=True)
class Finding:
    """A fault or note without repetitions: the simplest case that shows it."""

    id: str
    op: str
    subject: str
    format: str
    verdict: str
    severity: str
    relation: str  # the promise that broke, or "reference"
    reason: str
    cases: int  # that showed it
    number: int  # of the simplest case, in its op and format
    case: str
    witness: Witness | None

    @property
    def signature(self) -> tuple[str, ...]:
        """What it is deduplicated by."""
        return (self.op, self.subject, self.format, self.verdict, self.relation)


@dataclass(frozen=True, slots=True)
class Row:
    """One op on one subject in one format. Shares are of elements, errors are the largest over all cases."""

    op: str
    subject: str
    format: str
    cases: int
    elements: int
    max_ulp: float
    p99_ulp: float
    mean_ulp: float
    conditioned: float
    excess: float
    effective_bits: float
    verdict: str
    severity: str
    reason: str
    verdicts: dict[str, int]  # cases by verdict
    unjudged: float
    unresolved: float
    flushed: int
    witness: Witness | None  # the element with the largest ulp error
    finding: str | None


@dataclass
class Tally:
    """Running totals of one row. Adding results in any order gives the same row."""

    op: str
    subject: str
    format: str
    elements: int = 0
    normal: int = 0
    unjudged: int = 0
    unresolved: int = 0
    flushed: int = 0
    ulp_totals: list[float] = field(default_factory=list)  # by case; fsum does not depend on their order
    conditioned: float = 0.0
    excess: float = 0.0
    verdicts: Counter[str] = field(default_factory=Counter)
    histogram: Counter[int] = field(default_factory=Counter)
    worst: tuple[float, int, Witness | None] = (0.0, 0, None)  # ulp, minus the case's number
    simplest: dict[str, tuple[tuple[Any, ...], int, str, str, Witness | None]] = field(default_factory=dict)

    def add(self, result: Result, judged: Judged) -> None:
        """Take in one case."""
        score = judged.score
        self.verdicts[score.verdict] += 1
        self.elements += score.elements
        self.normal += score.normal
        self.unjudged += score.unjudged
        self.unresolved += score.unresolved
        self.flushed += score.flushed
        self.ulp_totals.append(score.ulp_total)
        self.histogram.update(score.histogram)
        self.conditioned = max(self.conditioned, score.conditioned)
        self.excess = max(self.excess, score.excess)
        if judged.largest is not None and (score.ulp, -result.number) > self.worst[:2]:
            self.worst = (score.ulp, -result.number, judged.largest)
        if SEVERITY[score.verdict] != CLEAN:
            candidate = (result.sort_key, result.number, result.case, score.reason, judged.deciding)
            known = self.simplest.get(score.verdict)
            if known is None or candidate[:2] < known[:2]:
                self.simplest[score.verdict] = candidate

    def verdict(self) -> str:
        """The first verdict of the table that any case has; shares of elements decide the two about them all."""
        seen = [v for v in VERDICTS if self.verdicts[v] and v != "unsupported"]
        if not seen:
            return "unsupported"
        if SEVERITY[seen[0]] == CLEAN and self.elements:
            if self.unresolved > UNRESOLVED_SHARE * self.elements:
                return "unresolved"
            if self.unjudged > ILL_CONDITIONED_SHARE * self.elements:
                return "ill-conditioned"
        return seen[0]

    def row(self) -> Row:
        """The totals as a row of the ranking."""
        verdict = self.verdict()
        fmt = FORMATS[self.format]
        known = self.simplest.get(verdict)
        return Row(
            op=self.op,
            subject=self.subject,
            format=self.format,
            cases=sum(self.verdicts.values()),
            elements=self.elements,
            max_ulp=self.worst[0],
            p99_ulp=min(percentile(self.histogram, 0.99), self.worst[0]),
            mean_ulp=fsum(self.ulp_totals) / max(self.normal, 1),
            conditioned=self.conditioned,
            excess=self.excess,
            effective_bits=effective_bits(self.conditioned, fmt),
            verdict=verdict,
            severity=SEVERITY[verdict],
            reason=known[3] if known else "",
            verdicts={v: self.verdicts[v] for v in VERDICTS if self.verdicts[v]},
            unjudged=self.unjudged / max(self.elements, 1),
            unresolved=self.unresolved / max(self.elements, 1),
            flushed=self.flushed,
            witness=self.worst[2],
            finding=self._finding_id(verdict) if known and verdict != "unsupported" else None,
        )

    def findings(self) -> list[Finding]:
        """One for each verdict that is not clean, with the simplest case that has it."""
        return [
            Finding(
                id=self._finding_id(verdict),
                op=self.op,
                subject=self.subject,
                format=self.format,
                verdict=verdict,
                severity=SEVERITY[verdict],
                relation=_relation(verdict),
                reason=reason,
                cases=self.verdicts[verdict],
                number=number,
                case=case,
                witness=witness,
            )
            for verdict, (_, number, case, reason, witness) in self.simplest.items()
            if verdict != "unsupported"
        ]

    def _finding_id(self, verdict: str) -> str:
        text = "\0".join((self.op, self.subject, self.format, verdict, _relation(verdict)))
        return hashlib.blake2b(text.encode(), digest_size=6).hexdigest()


def _relation(verdict: str) -> str:
    return "repeated call" if verdict == "unstable" else "reference"


class Ranking:
    """All totals of a run, and the largest distances between its subjects."""

    def __init__(self) -> None:
        self.tallies: dict[tuple[str, str, str], Tally] = {}
        self.distances: dict[tuple[str, str, str, str], float] = {}

    def add(self, result: Result) -> None:
        """Take in one case on all its subjects."""
        for judged in result.judged:
            key = (result.op, judged.subject, result.format)
            self.tallies.setdefault(key, Tally(*key)).add(result, judged)
        for (a, b), distance in result.distances.items():
            place = (result.op, result.format, a, b)
            self.distances[place] = max(self.distances.get(place, 0.0), distance)

    def rows(self, sort: str = "ulp") -> list[Row]:
        """Faults before notes before clean; inside each the largest error first."""
        return sort_rows((tally.row() for tally in self.tallies.values()), sort)

    def findings(self) -> list[Finding]:
        """Faults first, then by op, subject and format."""
        found = [finding for tally in self.tallies.values() for finding in tally.findings()]
        return sorted(found, key=lambda f: (SEVERITIES.index(f.severity), f.signature))

    @property
    def faults(self) -> int:
        """Findings with the severity of a fault, so far."""
        return sum(SEVERITY[verdict] == FAULT for tally in self.tallies.values() for verdict in tally.simplest)


def sort_rows(rows: Iterable[Row], sort: str) -> list[Row]:
    """Rows by severity, then by the largest `sort` (one of SORT_KEYS), then by name."""
    error = {"ulp": "max_ulp", "excess": "excess", "conditioned": "conditioned"}[sort]

    def key(row: Row) -> tuple[Any, ...]:
        return (
            SEVERITIES.index(row.severity),
            row.verdict == "unsupported",
            -getattr(row, error),
            row.op,
            row.subject,
            row.format,
        )

    return sorted(rows, key=key)
