"""Ranking: the scores of all cases rolled up by op, subject and format, and findings without repetitions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from math import frexp, fsum, isfinite, log2, sqrt
from types import MappingProxyType
from typing import Any

from opfuzz.core.call import Recipe
from opfuzz.core.cause import NOTHING, UNEXPLAINED, WORDED, Cause
from opfuzz.core.findings import Finding, finding_id
from opfuzz.core.floats import FLOAT32, FORMATS
from opfuzz.core.layout import LAYOUTS
from opfuzz.core.metrics.conditioned import effective_bits
from opfuzz.core.metrics.magnitude import packed
from opfuzz.core.metrics.ulp import percentile
from opfuzz.core.results import Judged, Result, Score, SortKey, Witness
from opfuzz.core.run import Core, Row
from opfuzz.core.verdicts import CLEAN, FAULT, SEVERITIES, SEVERITY, VERDICTS
from opfuzz.judge.limits import ILL_CONDITIONED, NAMED_SHARE, UNRESOLVED_SHARE

EXPLAINED = frozenset({"wrong", "imprecise", "narrow", "normwise"})  # verdicts whose reason names a cause
MOST_ENDS = 4  # findings of one verdict for calls that end in other words
MOST_ASKED = 16  # cases that are asked whether the cause of a finding is theirs
ASPECTS = ("error", "layout", "size", "magnitude")
# Sizes that differ by less than 64 times count as one, errors by 2^8 and those of 2^32 ulp, results in 2^-10..2^10.
SIZE_CLASSES, ERROR_BITS, MOST_LOST, ORDINARY_BITS = 3, 8, 4, 10
SORT_KEYS = ("ulp", "excess", "conditioned", "drift")


@dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """One case as one subject did it, as far as a finding tells of it."""

    sort_key: SortKey
    number: int
    case: str
    cause: Cause
    witness: Witness | None
    recipe: Recipe

    @property
    def place(self) -> tuple[Any, ...]:
        """The simplest comes first."""
        return self.sort_key, self.number


@dataclass
class Explained:
    """The cases of one verdict that have one explanation: how many, and the simplest.

    Also the simplest of each layout, size and error: what has another cause often differs in one of these.
    """

    simplest: Sample
    count: int = 0
    ulp: float = 0.0  # the largest of them
    excess: float = 0.0
    alike: dict[tuple[str, Hashable], Sample] = field(default_factory=dict)

    def add(self, sample: Sample, score: Score, aspects: Iterable[tuple[str, Hashable]] = ()) -> None:
        """Take in one case."""
        if sample.place < self.simplest.place:
            self.simplest = sample
        for aspect in aspects:
            if sample.place < self.alike.setdefault(aspect, sample).place:
                self.alike[aspect] = sample
        self.count += 1
        self.ulp, self.excess = max(self.ulp, score.ulp), max(self.excess, score.excess)


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
    core: int = 0  # cases that every run makes are those with lower numbers
    ulp_totals: list[float] = field(default_factory=list)  # by case; fsum does not depend on their order
    near: list[float] = field(default_factory=list)  # squares of rms_ulp, of cases near an operating point
    conditioned: float = 0.0
    excess: float = 0.0
    verdicts: Counter[str] = field(default_factory=Counter)
    histogram: Counter[int] = field(default_factory=Counter)
    by_magnitude: Counter[int] = field(default_factory=Counter)
    places: Counter[tuple[str, int, bool]] = field(default_factory=Counter)  # cases by layout, size and being faults
    regimes: Counter[str] = field(default_factory=Counter)
    worst: tuple[float, int, Witness | None] = (0.0, 0, None)  # ulp, minus the case's number
    explanations: dict[str, dict[Hashable, Explained]] = field(default_factory=dict)  # by verdict, then by cause
    drawn: dict[int, tuple[str, float, float]] = field(default_factory=dict)  # verdict, ulp and excess, by number
    lacking: set[str] = field(default_factory=set)  # inputs by which no gradient was asked for

    def add(self, result: Result, judged: Judged) -> None:
        """Take in one case."""
        score = judged.score
        self.lacking.update(judged.lacking)
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
        if score.verdict != "unsupported":
            self.regimes.update(result.regimes)
        if result.layout and score.verdict != "unsupported":
            self.places[result.layout, size_class(result.size), SEVERITY[score.verdict] == FAULT] += 1
        self.conditioned = max(self.conditioned, score.conditioned)
        self.excess = max(self.excess, score.excess)
        if result.number >= 0 and score.verdict != "unsupported":
            self.drawn[result.number] = score.verdict, score.ulp, score.excess
        if judged.largest is not None and (score.ulp, -result.number) > self.worst[:2]:
            self.worst = (score.ulp, -result.number, judged.largest)
        if SEVERITY[score.verdict] != CLEAN:
            recipe = judged.recipe or Recipe()
            sample = Sample(result.sort_key, result.number, result.case, score.cause, judged.deciding, recipe)
            known = self.explanations.setdefault(score.verdict, {})
            known.setdefault(_explanation(score), Explained(sample)).add(sample, score, _aspects(result, score))

    def leading(self, verdict: str) -> Explained | None:
        """The explanation of most cases of a verdict; None if no case has the verdict."""
        known = list(self.explanations.get(verdict, {}).values())
        if not known:
            return None
        # What names a cause is worth more than what does not, unless it is rare.
        total = sum(each.count for each in known)
        named = (each for each in known if each.simplest.cause != UNEXPLAINED)
        common = [each for each in named if each.count >= NAMED_SHARE * total] or known
        return min(common, key=lambda each: (-each.count, each.simplest.place))

    def others(self, verdict: str) -> list[Sample]:
        """Cases of a verdict that may have another cause than those of its leading explanation, at most MOST_ASKED.

        First those that are explained otherwise, then the simplest of each error, layout, size and magnitude.
        """
        leader = self.leading(verdict)
        if leader is None:
            return []
        known = sorted(self.explanations[verdict].values(), key=lambda each: each.simplest.place)
        asked = [each.simplest for each in known if each is not leader]
        for aspect in ASPECTS:
            own = (sample for each in known for (name, _), sample in each.alike.items() if name == aspect)
            asked += sorted(own, key=lambda sample: sample.place)
        found = {sample.place: sample for sample in asked if sample.place != leader.simplest.place}
        return list(found.values())[:MOST_ASKED]

    def verdict(self) -> str:
        """The first verdict of the table that any case has; shares of elements decide the two about them all."""
        seen = [v for v in VERDICTS if self.verdicts[v] and v != "unsupported"]
        if not seen:
            return "unsupported"
        if SEVERITY[seen[0]] == CLEAN and self.elements:
            if self.unresolved > UNRESOLVED_SHARE * self.elements:
                return "unresolved"
            if self.unjudged > ILL_CONDITIONED * self.elements:
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
            cause=known.simplest.cause if known else NOTHING,
            alike=known.count if known else 0,
            verdicts={v: self.verdicts[v] for v in VERDICTS if self.verdicts[v]},
            unjudged=self.unjudged / max(self.elements, 1),
            unresolved=self.unresolved / max(self.elements, 1),
            flushed=self.flushed,
            witness=self.worst[2],
            finding=self._finding(verdict, known).id if known and verdict != "unsupported" else None,
            by_magnitude=packed(self.by_magnitude),
            layouts=self._layouts(),
            regimes=dict(sorted(self.regimes.items())),
            core=self._core(range(self.core)),
            drawn=self._drawn(),
            lacking=tuple(sorted(self.lacking)),
        )

    def _core(self, numbers: Iterable[int]) -> Core:
        known = [(number, *self.drawn[number]) for number in numbers if number in self.drawn]
        return Core(*zip(*known, strict=True)) if known else Core()

    def _drawn(self) -> Core:
        """All drawn cases as one."""
        found = self._core(self.drawn)
        return Core((0,), (found.verdict,), (found.ulp,), (found.excess,)) if found.numbers else found

    def _layouts(self) -> dict[str, tuple[tuple[int, int, int], ...]]:
        """For each layout that was tried: size class, cases of it, and how many of them are faults."""
        found: dict[str, tuple[tuple[int, int, int], ...]] = {}
        for layout, size in sorted({place[:2] for place in self.places}, key=lambda p: (LAYOUTS.index(p[0]), p[1])):
            sound, faults = (self.places[layout, size, is_fault] for is_fault in (False, True))
            found[layout] = (*found.get(layout, ()), (size, sound + faults, faults))
        return found

    def findings(self) -> list[Finding]:
        """One for each verdict that is not clean, with the simplest case that has it; of exceptions one for each."""
        return [self._finding(verdict, found) for verdict in self.explanations for found in self._told(verdict)]

    def _finding(self, verdict: str, found: Explained) -> Finding:
        made = Finding(
            id="",
            op=self.op,
            subject=self.subject,
            format=self.format,
            verdict=verdict,
            severity=SEVERITY[verdict],
            cause=found.simplest.cause,
            cases=self.verdicts[verdict],
            alike=found.count,
            number=found.simplest.number,
            case=found.simplest.case,
            witness=found.simplest.witness,
            recipe=found.simplest.recipe,
            ulp=found.ulp,
            excess=found.excess,
        )
        return replace(made, id=finding_id(made.signature))

    def _told(self, verdict: str) -> list[Explained]:
        """What there are findings of: the leading explanation; or how calls ended without a result, some at most."""
        leader = None if verdict == "unsupported" else self.leading(verdict)
        if leader is None or not self._have_ended(verdict):
            return [] if leader is None else [leader]
        ends = sorted(self.explanations[verdict].values(), key=lambda each: (-each.count, each.simplest.place))
        return ends[:MOST_ENDS]

    def _have_ended(self, verdict: str) -> bool:
        return all(each.simplest.cause.kind in WORDED for each in self.explanations[verdict].values())

    @property
    def faults(self) -> int:
        """Findings with the severity of a fault; asked for while a run goes on, so none is made."""
        known = {verdict: len(found) for verdict, found in self.explanations.items() if SEVERITY[verdict] == FAULT}
        return sum(min(each, MOST_ENDS) if self._have_ended(verdict) else 1 for verdict, each in known.items())


def size_class(elements: int) -> int:
    """k for 4^(k - 1) to 4^k - 1 elements; 0 for none."""
    return (elements.bit_length() + 1) // 2


def _aspects(result: Result, score: Score) -> Iterator[tuple[str, Hashable]]:
    """What may tell a case from others that have another cause, by ASPECTS; of each there are but a few values."""
    size = size_class(result.size) // SIZE_CLASSES
    yield "size", size
    yield "layout", (result.layout, size)  # a view of one row may be none
    if (mark := score.deciding) is not None:
        lost = log2(max(mark.ulp, 1.0)) / ERROR_BITS if isfinite(mark.ulp) else MOST_LOST
        yield "error", min(int(lost), MOST_LOST)
        bits = frexp(mark.exact)[1] if isfinite(mark.exact) else 0
        yield "magnitude", (bits > ORDINARY_BITS) - (bits < -ORDINARY_BITS)


def _explanation(score: Score) -> Hashable:
    """What cases of one verdict have in common: the output, and the named cause or which special value was returned.

    Of calls that ended without a result, how they did, and in what words.
    """
    output = score.deciding.output if score.deciding is not None else ""
    if score.cause.kind == "special-at":
        return output, f"{score.cause.figures['computed']:g}"
    if score.cause.kind in WORDED:
        return output, score.cause.identity, score.cause.relation
    return output, score.cause.key if score.verdict in EXPLAINED else ""


class Ranking:
    """All totals of a run, and the largest distances between its subjects.

    `gains`: those of a profile, by op. `core`: cases of an op and format that every run makes.
    """

    def __init__(self, gains: Mapping[str, float] = MappingProxyType({}), core: int = 0) -> None:
        self.gains, self.core = gains, core
        self.tallies: dict[tuple[str, str, str], Tally] = {}
        self.distances: dict[tuple[str, str, str, str], float] = {}

    def add(self, result: Result) -> None:
        """Take in one case on all its subjects."""
        for judged in result.judged:
            key = (result.op, judged.subject, result.format)
            self.tallies.setdefault(key, Tally(*key, gain=self.gains.get(result.op), core=self.core)).add(
                result, judged
            )
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

    def others(self, finding: Finding) -> list[Sample]:
        """Cases of a finding's verdict that may have another cause, see `Tally.others`."""
        return self.tallies[finding.op, finding.subject, finding.format].others(finding.verdict)

    @property
    def faults(self) -> int:
        """Findings with the severity of a fault, so far."""
        return sum(tally.faults for tally in self.tallies.values())


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
