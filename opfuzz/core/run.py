"""A finished campaign as a frozen record: all that a report needs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from opfuzz.core.cause import Cause
from opfuzz.core.common_cause import CommonCause
from opfuzz.core.comparison import Accepted, Comparison
from opfuzz.core.findings import Finding, Standing
from opfuzz.core.metrics.magnitude import Counts
from opfuzz.core.results import Witness


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
    causes: tuple[CommonCause, ...] = ()  # behind the findings, the gravest first

    def is_recorded(self, subject: str) -> bool:
        """Whether a subject, maybe with its implementation, was not here: its outputs were read from files."""
        return subject in self.recorded or subject.rpartition("/")[0] in self.recorded

    @property
    def missing(self) -> int:
        """Cases of which a recorded subject has neither an output nor a word."""
        return sum(map(len, self.recorded.values()))
