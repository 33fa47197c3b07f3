"""A finished campaign as a frozen record: all that a report needs."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from math import inf, isnan
from typing import Any

from opfuzz.core.cause import Cause
from opfuzz.core.common_cause import CommonCause
from opfuzz.core.comparison import Accepted, Comparison
from opfuzz.core.findings import Finding, Standing
from opfuzz.core.metrics.magnitude import Counts
from opfuzz.core.results import Witness
from opfuzz.core.verdicts import VERDICTS


@dataclass(frozen=True, slots=True)
class Core:
    """What a subject made of some cases that other runs make as well: one of each for every case."""

    numbers: tuple[int, ...] = ()  # of the cases, in order
    verdicts: tuple[str, ...] = ()
    ulps: tuple[float, ...] = ()
    excesses: tuple[float, ...] = ()

    def of(self, numbers: Collection[int]) -> Core:
        """The same of these cases only."""
        kept = [place for place, number in enumerate(self.numbers) if number in numbers]
        verdicts = tuple(self.verdicts[place] for place in kept)
        figures = (tuple(column[place] for place in kept) for column in (self.ulps, self.excesses))
        return Core(tuple(self.numbers[place] for place in kept), verdicts, *figures)

    @property
    def verdict(self) -> str:
        """The worst of them."""
        return min(self.verdicts, key=VERDICTS.index, default=VERDICTS[-1])

    @property
    def ulp(self) -> float:
        """The largest of them; NaN, an error that has no size, is."""
        return max(self.ulps, key=_size, default=0.0)

    @property
    def excess(self) -> float:
        """The same."""
        return max(self.excesses, key=_size, default=0.0)


def _size(figure: float) -> float:
    return inf if isnan(figure) else figure


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
    cause: Cause  # of most cases of that verdict
    alike: int  # cases of that verdict with this cause
    verdicts: dict[str, int]  # cases by verdict
    unjudged: float
    unresolved: float
    flushed: int
    witness: Witness | None  # the element with the largest ulp error
    finding: str | None
    by_magnitude: Counts = ()  # elements by magnitude and ulp error, see metrics.magnitude
    layouts: Mapping[str, tuple[tuple[int, int, int], ...]] = field(default_factory=dict)  # see Tally._layouts
    regimes: Mapping[str, int] = field(default_factory=dict)  # cases that had values of each
    core: Core = Core()  # what came of the cases that every run makes, see Plan
    drawn: Core = Core()  # of all cases that were drawn, as one: calls of earlier faults and searches are left out
    lacking: tuple[str, ...] = ()  # inputs by which the subject gives no gradient, which was not asked for


@dataclass(frozen=True, slots=True)
class Run:
    """One finished campaign: all that a report needs."""

    run: str  # name of its folder
    started: str  # ISO 8601, local time with offset
    command: tuple[str, ...]
    seed: int
    subjects: tuple[str, ...]
    absent: Mapping[str, str]  # backends and devices that are not here, and why
    versions: Mapping[str, str]
    machine: Mapping[str, str]
    cases: int  # counted once per subject
    elements: int
    seconds: float
    interrupted: bool
    ranking: tuple[Row, ...]
    findings: tuple[Finding, ...]
    distances: tuple[Mapping[str, Any], ...]  # op, format, a, b, max_ulp_distance
    profile: str | None = None  # name of the one around which cases were drawn
    replayed: tuple[Standing, ...] = ()  # faults of earlier runs
    lost: tuple[str, ...] = ()  # searches that ended with their process
    planned: int | None = None  # cases for each op, subject and format; None: as many as the time allowed
    specs: Mapping[str, str] = field(default_factory=dict)  # digests of the specs, by op
    comparison: Comparison | None = None  # with an earlier run
    accepted: tuple[Accepted, ...] = ()  # findings that somebody accepted, of the ops that were tried
    recorded: Mapping[str, tuple[str, ...]] = field(
        default_factory=dict
    )  # subjects read from files, and their missing cases
    without_gradient: Mapping[str, str] = field(default_factory=dict)  # ops of which it was asked for, and why not
    causes: tuple[CommonCause, ...] = ()  # behind the findings, the gravest first
    # Of each finding, by its id, the spec and the line of the call that it is about; the path is relative to where the
    # run was made, if it lies below that.
    places: Mapping[str, tuple[str, int]] = field(default_factory=dict)

    def is_recorded(self, subject: str) -> bool:
        """Whether a subject, maybe with its implementation, was not here: its outputs were read from files."""
        return subject in self.recorded or subject.rpartition("/")[0] in self.recorded

    @property
    def missing(self) -> int:
        """Cases of which a recorded subject has neither an output nor a word."""
        return sum(map(len, self.recorded.values()))
