"""Records of what changed between two runs, and of findings that somebody accepted. `compare.py` makes them."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from opfuzz.core.cause import Cause
from opfuzz.core.common_cause import CommonCause

# Of causes: the software changed it; something new is there, and whether the software or the draw brought it is not
# known; it was there all along; it is known, and now seen in more ops or formats; its call is right now.
REGRESSION, UNDECIDED, DISCOVERED, WIDER, FIXED = CAUSE_STATUSES = (
    "regression",
    "undecided",
    "discovered",
    "wider",
    "fixed",
)
NEW, WORSE, GONE, BETTER, STILL = "new", "worse", "gone", "better", "still"
STATUSES = (NEW, WORSE, GONE, FIXED, BETTER, STILL)  # of findings and rows, the most important first
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
    cause: str | None = None  # of a second cause under its verdict, by which that is known


# What may be said of a change, and what it rests on.
REMARKS = (
    "",
    "other-relation",  # it is shown by another one now
    "known-elsewhere",  # another run has it
    "not-tried",  # the earlier run has no such row
    "same-case",  # on a case that both runs made, it is right then and wrong now
    "back",  # its call was fixed, and is at fault again
    "right-then",  # its call, made again with the software of then, is right there
    "wrong-then",  # and is at fault there as well
    "not-asked",  # the software is another, and nobody asked the one of then
    "not-told",  # it was asked, and cannot say
    "same-software",  # so it was there all along, and the draw met it today
    "tried-before",  # the software is another than in the earlier run, and that of a run before
    "other-machine",  # a case that both runs made is another on another processor
    "other-judge",  # opfuzz itself, or the spec, is another
    "not-tried-any-more",
    "not-supported",  # any more
    "made-again",  # the call was, and is right
    "told",  # an older opfuzz said so
)


@dataclass(frozen=True, slots=True)
class Remark:
    """What is not certain about a change, by its kind. Raises ValueError for a kind that is none of REMARKS."""

    kind: str = ""
    about: str = ""  # the relation, run, versions, or what was told
    cause: Cause | None = None  # why the row is not supported

    def __post_init__(self) -> None:
        if self.kind not in REMARKS:
            raise ValueError(f"'{self.kind}' is no remark; known: {', '.join(filter(None, REMARKS))}")


@dataclass(frozen=True, slots=True)
class Change:
    """What became of one finding from one run to a later one."""

    status: str  # new, gone, fixed, still
    id: str
    op: str
    subject: str
    format: str
    verdict: str
    severity: str
    remark: Remark = Remark()  # what is not certain about it


@dataclass(frozen=True, slots=True)
class Shift:
    """What became of one row of the ranking, on the cases that an earlier run and a later one both made."""

    status: str  # worse, better
    op: str
    subject: str
    format: str
    verdicts: tuple[str, str]  # then and now
    severity: str  # now
    max_ulp: tuple[float, float]
    excess: tuple[float, float]
    finding: str | None  # now
    figure: str  # that moved: verdict, excess, max_ulp; cases: some that were right are at fault
    is_news: bool = True  # whether it is more than other honest rounding makes

    @property
    def place(self) -> tuple[str, str, str]:
        """Op, subject and format."""
        return self.op, self.subject, self.format


@dataclass(frozen=True, slots=True)
class CauseChange:
    """What became of the cause of faults from one run to a later one, as the later one that has it tells it."""

    status: str  # of CAUSE_STATUSES
    common: CommonCause
    ops: tuple[str, ...] = ()  # where it is seen now, and was not before; of a cause that is known
    formats: tuple[str, ...] = ()
    findings: tuple[str, ...] = ()  # ids of what is seen now, and was not before
    remark: Remark = Remark()  # what this rests on


@dataclass(frozen=True, slots=True)
class Comparison:
    """What changed from one run to a later one."""

    before: str  # name of the earlier run; "": there is none, and all is new
    after: str
    differ: str  # why not all cases are the same; "": they are
    versions: Mapping[str, tuple[str, str]]  # and parts of the machine that changed, then and now
    findings: tuple[Change, ...] = ()
    rows: tuple[Shift, ...] = ()
    same: int = 0  # rows neither worse nor better
    causes: tuple[CauseChange, ...] = ()  # those that are as they were are left out
    known: int = 0  # causes of faults that are as they were
    core: int = 0  # cases of an op and format that both runs made, where not all are the same

    def worse(self, accepted: Collection[str] = ()) -> tuple[Shift, ...]:
        """Rows of faults that are worse, but where a cause says so already, or what they show is `accepted`."""
        told = self._places(REGRESSION) | self._places(DISCOVERED)
        return tuple(
            row
            for row in self.rows
            if row.status == WORSE and row.is_news and row.finding not in accepted and row.place not in told
        )

    @property
    def better(self) -> tuple[Shift, ...]:
        """Rows of faults that are better, but where a cause that is fixed says so already."""
        told = self._places(FIXED)
        return tuple(row for row in self.rows if row.status == BETTER and row.is_news and row.place not in told)

    def _places(self, status: str) -> set[tuple[str, str, str]]:
        ids = {id for c in self.causes if c.status == status for id in c.findings or c.common.findings}
        return {(change.op, change.subject, change.format) for change in self.findings if change.id in ids}

    @property
    def is_unexplained(self) -> bool:
        """Whether something changed of which no remark, version or difference of the cases says why."""
        told = [c for c in self.causes if c.status == FIXED or c.remark.kind in ("", "same-case", "back")]
        changes = [c for c in self.findings if c.status in (NEW, FIXED) and c.remark.kind != "not-tried"]
        return bool(self.before and (self.rows or told or changes) and not self.versions and not self.differ)
