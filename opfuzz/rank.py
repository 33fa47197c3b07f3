"""Ranking: the scores of all cases rolled up by op, subject and format, and findings without repetitions."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from math import fsum, sqrt
from types import MappingProxyType
from typing import Any

from opfuzz.call import Call
from opfuzz.floats import FLOAT32, FORMATS
from opfuzz.layout import LAYOUTS
from opfuzz.metrics.conditioned import effective_bits
from opfuzz.metrics.magnitude import Counts, packed
from opfuzz.metrics.ulp import percentile
from opfuzz.records import (
    CLEAN,
    FAULT,
    REPEATED,
    SEVERITIES,
    SEVERITY,
    UNEXPLAINED,
    VERDICTS,
    Judged,
    Minimal,
    Result,
    Score,
    Witness,
)

UNRESOLVED_SHARE = 0.001
ILL_CONDITIONED_SHARE = 0.95
EXPLAINED = frozenset({"wrong", "imprecise", "narrow", "normwise"})  # verdicts whose reason names a cause
NAMED_SHARE = 0.25  # of the cases of a verdict: a named cause this common is told rather than that others have none
SORT_KEYS = ("ulp", "excess", "conditioned", "drift")


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
    diagnosis: str = ""  # one sentence; "": the finding was not looked into
    call: Call | None = None  # whose values no regime draws; None: the case has them
    minimal: Minimal | None = None

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
    drift: float | None  # relative rms change of the pipeline's output; None: not known
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
    by_magnitude: Counts = ()  # elements by magnitude and ulp error, see metrics.magnitude
    layouts: Mapping[str, tuple[tuple[int, int, int], ...]] = field(default_factory=dict)  # see Tally._layouts


# sort key, number, case, reason, relation, witness, call
Shown = tuple[tuple[Any, ...], int, str, str, str, Witness | None, Call | None]


@dataclass
class Explained:
    """The cases of one verdict that have one explanation: how many, and the simplest."""

    count: int = 0
    simplest: Shown = ((), 0, "", "", "", None, None)

    def add(self, candidate: Shown) -> None:
        """Take in one case."""
        if not self.count or candidate[:2] < self.simplest[:2]:
            self.simplest = candidate
        self.count += 1


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
    gain: float | None = None  # of the op in the profile's pipeline
    ulp_totals: list[float] = field(default_factory=list)  # by case; fsum does not depend on their order
    near: list[float] = field(default_factory=list)  # squares of rms_ulp, of cases near an operating point
    conditioned: float = 0.0
    excess: float = 0.0
    verdicts: Counter[str] = field(default_factory=Counter)
    histogram: Counter[int] = field(default_factory=Counter)
    by_magnitude: Counter[int] = field(default_factory=Counter)
    places: Counter[tuple[str, int, bool]] = field(default_factory=Counter)  # cases by layout, size and being faults
    worst: tuple[float, int, Witness | None] = (0.0, 0, None)  # ulp, minus the case's number
    explanations: dict[str, dict[str, Explained]] = field(default_factory=dict)  # by verdict, then by what explains it

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
        if result.near and score.rms_ulp is not None:
            self.near.append(score.rms_ulp * score.rms_ulp)
        self.histogram.update(score.histogram)
        self.by_magnitude.update(score.by_magnitude)
        if result.layout and score.verdict != "unsupported":
            self.places[result.layout, size_class(result.size), SEVERITY[score.verdict] == FAULT] += 1
        self.conditioned = max(self.conditioned, score.conditioned)
        self.excess = max(self.excess, score.excess)
        if judged.largest is not None and (score.ulp, -result.number) > self.worst[:2]:
            self.worst = (score.ulp, -result.number, judged.largest)
        if SEVERITY[score.verdict] != CLEAN:
            place = _cause(score.verdict, score.reason)
            explained = self.explanations.setdefault(score.verdict, {}).setdefault(place, Explained())
            relation = _relation(score)
            shown = (result.sort_key, result.number, result.case, score.reason, relation, judged.deciding, result.call)
            explained.add(shown)

    def leading(self, verdict: str) -> tuple[Explained, str] | None:
        """The explanation of most cases of a verdict, and its words; None if no case has the verdict."""
        known = self.explanations.get(verdict)
        if not known:
            return None
        # What names a cause is worth more than what does not, unless it is rare.
        named = {words: e for words, e in known.items() if words != UNEXPLAINED}
        total = sum(e.count for e in known.values())
        common = {words: e for words, e in named.items() if e.count >= NAMED_SHARE * total} or known
        leader = min(common.values(), key=lambda e: (-e.count, e.simplest[:2]))
        words = leader.simplest[3]
        return leader, f"{words} ({leader.count} of {total} cases)" if len(known) > 1 else words

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

    # gain is the relative rms change of the output when every element of every call is one float32 ulp off; errors that
    # are r ulps of a format with precision p then change it by gain * r * 2^(24 - p), as long as they are small and as
    # random as those the gain was measured with. r is the rms of `Score.rms_ulp` over the cases near operating points.

    def drift(self) -> float | None:
        """What the op's measured errors alone do to the pipeline's output; None without a gain or such a case."""
        if self.gain is None or not self.near:
            return None
        ulps = sqrt(fsum(self.near) / len(self.near))
        return self.gain * ulps * 2.0 ** (FLOAT32.precision - FORMATS[self.format].precision)

    def row(self) -> Row:
        """The totals as a row of the ranking."""
        verdict = self.verdict()
        fmt = FORMATS[self.format]
        known = self.leading(verdict)
        return Row(
            op=self.op,
            subject=self.subject,
            format=self.format,
            cases=sum(self.verdicts.values()),
            elements=self.elements,
            max_ulp=self.worst[0],
            p99_ulp=min(percentile(self.histogram, 0.99), self.worst[0]),
            mean_ulp=fsum(total / max(self.normal, 1) for total in self.ulp_totals),
            conditioned=self.conditioned,
            excess=self.excess,
            drift=self.drift(),
            effective_bits=effective_bits(self.conditioned, fmt),
            verdict=verdict,
            severity=SEVERITY[verdict],
            reason=known[1] if known else "",
            verdicts={v: self.verdicts[v] for v in VERDICTS if self.verdicts[v]},
            unjudged=self.unjudged / max(self.elements, 1),
            unresolved=self.unresolved / max(self.elements, 1),
            flushed=self.flushed,
            witness=self.worst[2],
            finding=self._finding_id(verdict, known[0]) if known and verdict != "unsupported" else None,
            by_magnitude=packed(self.by_magnitude),
            layouts=self._layouts(),
        )

    def _layouts(self) -> dict[str, tuple[tuple[int, int, int], ...]]:
        """For each layout that was tried: size class, cases of it, and how many of them are faults."""
        found: dict[str, tuple[tuple[int, int, int], ...]] = {}
        for layout, size in sorted({place[:2] for place in self.places}, key=lambda p: (LAYOUTS.index(p[0]), p[1])):
            sound, faults = (self.places[layout, size, is_fault] for is_fault in (False, True))
            found[layout] = (*found.get(layout, ()), (size, sound + faults, faults))
        return found

    def findings(self) -> list[Finding]:
        """One for each verdict that is not clean, with the simplest case that has it."""
        return [
            Finding(
                id=self._finding_id(verdict, found[0]),
                op=self.op,
                subject=self.subject,
                format=self.format,
                verdict=verdict,
                severity=SEVERITY[verdict],
                relation=found[0].simplest[4],
                reason=found[1],
                cases=self.verdicts[verdict],
                number=found[0].simplest[1],
                case=found[0].simplest[2],
                witness=found[0].simplest[5],
                call=found[0].simplest[6],
            )
            for verdict in self.explanations
            if verdict != "unsupported" and (found := self.leading(verdict)) is not None
        ]

    def _finding_id(self, verdict: str, leader: Explained) -> str:
        return finding_id((self.op, self.subject, self.format, verdict, leader.simplest[4]))


def size_class(elements: int) -> int:
    """k for 4^(k - 1) to 4^k - 1 elements; 0 for none."""
    return (elements.bit_length() + 1) // 2


def finding_id(signature: tuple[str, ...]) -> str:
    """12 hex digits that name what has this signature, in every run."""
    return hashlib.blake2b("\0".join(signature).encode(), digest_size=6).hexdigest()


def _cause(verdict: str, reason: str) -> str:
    """What cases of one verdict have in common: the named cause, or which special value was returned."""
    if verdict == "special":
        return " ".join(reason.split()[:2])
    return reason if verdict in EXPLAINED else ""


def _relation(score: Score) -> str:
    return score.relation or (REPEATED if score.verdict == "unstable" else "reference")


class Ranking:
    """All totals of a run, and the largest distances between its subjects. `gains`: those of a profile, by op."""

    def __init__(self, gains: Mapping[str, float] = MappingProxyType({})) -> None:
        self.gains = gains
        self.tallies: dict[tuple[str, str, str], Tally] = {}
        self.distances: dict[tuple[str, str, str, str], float] = {}

    def add(self, result: Result) -> None:
        """Take in one case on all its subjects."""
        for judged in result.judged:
            key = (result.op, judged.subject, result.format)
            self.tallies.setdefault(key, Tally(*key, gain=self.gains.get(result.op))).add(result, judged)
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
        return sum(SEVERITY[verdict] == FAULT for tally in self.tallies.values() for verdict in tally.explanations)


def sort_rows(rows: Iterable[Row], sort: str) -> list[Row]:
    """Rows by severity, then by the largest `sort` (one of SORT_KEYS), then by name."""
    error = {"ulp": "max_ulp"}.get(sort, sort)

    def key(row: Row) -> tuple[Any, ...]:
        return (
            SEVERITIES.index(row.severity),
            row.verdict == "unsupported",
            -(getattr(row, error) or 0.0),  # no drift is known to be none
            row.op,
            row.subject,
            row.format,
        )

    return sorted(rows, key=key)
