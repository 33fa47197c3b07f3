"""Records of what changed between two runs, and of findings that somebody accepted. `baseline.py` makes them."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from opfuzz.core.cause import Cause
from opfuzz.core.common_cause import CommonCause
from opfuzz.core.verdicts import FAULT

NEW, WORSE, UNSEEN, GONE, FIXED, BETTER, STILL = "new", "worse", "unseen", "gone", "fixed", "better", "still"
WIDER = "wider"  # a cause that is seen in more ops or formats
STATUSES = (NEW, WORSE, UNSEEN, GONE, FIXED, BETTER, STILL)  # the most important first
ACCEPTED, EXPIRED, ABSENT = "accepted", "expired", "absent"


@dataclass(frozen=True, slots=True)
class Accepted:
    """A finding that is known and need not be told again, and what a run made of it."""

    id: str
    op: str
    subject: str
    format: str
    verdict: str
    relation: str
    reason: str
    date: str  # ISO 8601, of the day on which it was accepted
    until: str | None = None  # the last day; None: for good
    link: str | None = None
    status: str = ACCEPTED  # expired: it counts again; absent: the run looked, and it was not there


# What may be said of a change: it is shown by another relation; an earlier run has it; the row is new; it was fixed and
# is back; another run knows it; the cases differ; the row was not tried, or is not supported, any more; the row is a
# fault now; the call was made again, or was not; such a fault comes and goes; an older opfuzz said so.
REMARKS = (
    "",
    "other-relation",
    "known-elsewhere",
    "not-tried",
    "back",
    "known-open",
    "cases-differ",
    "not-tried-any-more",
    "not-supported",
    "row-is-fault",
    "made-again",
    "not-made-again",
    "flickers",
    "told",
)


@dataclass(frozen=True, slots=True)
class Remark:
    """What is not certain about a change, by its kind. Raises ValueError for a kind that is none of REMARKS."""

    kind: str = ""
    about: str = ""  # the relation, run or verdict, how the cases differ, or what was told
    cause: Cause | None = None  # why the row is not supported
    why: str = ""  # the call was not made again

    def __post_init__(self) -> None:
        if self.kind not in REMARKS:
            raise ValueError(f"'{self.kind}' is no remark; known: {', '.join(filter(None, REMARKS))}")


@dataclass(frozen=True, slots=True)
class Change:
    """What became of one finding from one run to a later one."""

    status: str  # new, unseen, gone, fixed, still
    id: str
    op: str
    subject: str
    format: str
    verdict: str
    severity: str
    remark: Remark = Remark()  # what is not certain about it


@dataclass(frozen=True, slots=True)
class Shift:
    """What became of one row of the ranking from one run to a later one."""

    status: str  # worse, better
    op: str
    subject: str
    format: str
    verdicts: tuple[str, str]  # then and now
    severity: str  # now
    max_ulp: tuple[float, float]
    excess: tuple[float, float]
    finding: str | None  # now
    figure: str  # that moved: verdict, excess, max_ulp


@dataclass(frozen=True, slots=True)
class CauseChange:
    """What became of the cause of faults from one run to a later one, as the later one that has it tells it."""

    status: str  # new, wider, fixed, unseen
    common: CommonCause
    ops: tuple[str, ...] = ()  # where it is seen now, and was not before
    formats: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Comparison:
    """What changed from one run to a later one."""

    before: str  # name of the earlier run; "": there is none, and all is new
    after: str
    differ: str  # why the cases are not the same; "": they are
    versions: Mapping[str, tuple[str, str]]  # and parts of the machine that changed, then and now
    findings: tuple[Change, ...] = ()
    rows: tuple[Shift, ...] = ()
    same: int = 0  # rows neither worse nor better
    causes: tuple[CauseChange, ...] = ()  # those that are as they were are left out

    def worse(self, accepted: Collection[str] = ()) -> tuple[Shift, ...]:
        """Rows that are worse, except where a new fault, of which `accepted` has not the id, says so already."""
        new = {
            (change.op, change.subject, change.format)
            for change in self.findings
            if change.status == NEW and change.severity == FAULT and change.id not in accepted
        }
        return tuple(r for r in self.rows if r.status == WORSE and (r.op, r.subject, r.format) not in new)

    @property
    def is_unexplained(self) -> bool:
        """Whether something changed of which no remark, version or difference of the cases says why."""
        changes = [c for c in self.findings if c.status not in (STILL, GONE, UNSEEN) and c.remark.kind != "not-tried"]
        return bool(self.before and (self.rows or changes) and not self.versions and not self.differ)
