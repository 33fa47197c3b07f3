"""Frozen results that the stages hand to each other, and the verdicts in the order in which they are tried."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from opfuzz.call import Call

if TYPE_CHECKING:
    from opfuzz.trigger import Trigger

Index = tuple[int, ...]
SortKey = tuple[int | float | str | tuple[int, ...], ...]

FAULT, NOTE, CLEAN = "fault", "note", "clean"

# Worst first: a row of the ranking has the first verdict that any of its cases has.
SEVERITY: Mapping[str, str] = {
    "crash": FAULT,
    "timeout": FAULT,
    "out-of-memory": FAULT,
    "unstable": FAULT,
    "special": FAULT,
    "wrong": FAULT,
    "imprecise": FAULT,
    "narrow": NOTE,
    "normwise": NOTE,
    "unresolved": NOTE,
    "ill-conditioned": NOTE,
    "unsupported": NOTE,
    "stable": CLEAN,
    "faithful": CLEAN,
    "exact": CLEAN,
}
VERDICTS = tuple(SEVERITY)
REPEATED = "repeated call"  # a relation: the same call twice
UNEXPLAINED = "no variant and no lower precision explains it"
SEVERITIES = (FAULT, NOTE, CLEAN)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one subject did on one case."""

    subject: str
    status: str  # ok, unsupported, crash, timeout, out-of-memory
    output: NDArray[Any] | None = None
    message: str = ""
    repeated: bool | None = None  # the same bits when called again; None: not tried


@dataclass(frozen=True, slots=True)
class Mark:
    """One element of one output, and how wrong it is."""

    index: Index
    computed: float
    computed_hex: str
    exact: float  # the float64 nearest to the exact value
    ulp: float  # NaN where the error has no size, as between a number and NaN
    bound: float  # the largest error that would not be worth a word


@dataclass(frozen=True, slots=True)
class Score:
    """How far one subject is from the exact result on one case; largest over the elements that can be judged."""

    verdict: str
    reason: str  # in words: what explains it, or what is wrong
    relation: str = ""  # the other way to the same result that showed it; "": the call itself
    ulp: float = 0.0  # over normal exact results
    conditioned: float = 0.0  # 1 means: what one rounding of the inputs would do
    excess: float = 0.0  # under wide; the limit is EXCESS_LIMIT
    largest: Mark | None = None  # the element with the largest ulp error
    deciding: Mark | None = None  # the element that decided the verdict
    histogram: Mapping[int, int] = field(default_factory=dict)  # of ulp errors, see metrics.ulp
    by_magnitude: Mapping[int, int] = field(default_factory=dict)  # see metrics.magnitude
    ulp_total: float = 0.0  # their sum
    rms_ulp: float | None = None  # rms error over rms ulp, of all that is judged; None: nothing is
    elements: int = 0
    normal: int = 0  # elements with a normal exact result
    unjudged: int = 0  # elements whose wide allowance exceeds their value
    unresolved: int = 0  # elements whose exact value is not certain enough
    flushed: int = 0  # subnormal results returned as zero
    beyond: int = 0  # elements whose excess is beyond the limit


@dataclass(frozen=True, slots=True)
class Witness:
    """One element that shows an error: everything needed to look at it."""

    case: str
    mark: Mark
    inputs_hex: Mapping[str, tuple[str, ...]]  # what the element depends on, at most WITNESS_VALUES of each input
    inputs: Mapping[str, tuple[float, ...]]


@dataclass(frozen=True, slots=True, eq=False)
class Minimal:
    """The smallest call that was found to show a fault, and the condition under which it shows."""

    call: Call
    elements: int  # of its inputs and its output
    before: int  # the same of the call that it was made from
    attempts: int  # calls that were tried
    note: str  # why it may be larger than need be; "" if nothing smaller was left to try
    trigger: Trigger | None
    switch: Mapping[str, str] | None = None  # layouts of the call that it is compared with
    is_shown: bool = True  # whether the call alone shows the fault


@dataclass(frozen=True, slots=True)
class Standing:
    """What became of a fault of an earlier run when its call was made again."""

    id: str
    op: str
    subject: str
    format: str
    verdict: str  # then
    now: str  # "": it was not made again
    status: str  # open, fixed, back, not replayed
    reason: str
    is_new: bool = False  # whether the run before knew otherwise


@dataclass(frozen=True, slots=True)
class Judged:
    """One case as one subject did it."""

    subject: str
    score: Score
    largest: Witness | None  # of its ulp errors
    deciding: Witness | None  # of its verdict


@dataclass(frozen=True, slots=True)
class Result:
    """One case on every subject: what a worker sends back."""

    op: str
    format: str
    number: int  # of the case in its op and format
    case: str
    sort_key: SortKey
    judged: tuple[Judged, ...]
    distances: Mapping[tuple[str, str], float]  # largest ulp distance between two subjects
    call: Call | None = None  # whose values no regime draws; None: the case has them
    near: bool = False  # whether the case lies near an operating point of the profile
    layout: str = ""  # of the first input that is not contiguous, see layout.layout_class; "": not known

    @property
    def size(self) -> int:
        """Elements of its inputs and its output, which stand first in the order from simple to complicated."""
        first = self.sort_key[0] if self.sort_key else 0
        return first if isinstance(first, int) else 0
