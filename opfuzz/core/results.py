"""What a case came to, as frozen records: what subjects did, how wrong that is, and the elements that show it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from numpy.typing import NDArray

from opfuzz.core.call import Element, Recipe
from opfuzz.core.cause import NOTHING, Cause

Index = tuple[int, ...]
Ends = tuple[float, float] | None  # of a range all of which is right, as at a kink; None: one value is
SortKey = tuple[int | float | str | tuple[int, ...], ...]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one subject did on one case."""

    subject: str
    status: str  # ok, unsupported, crash, timeout, out-of-memory
    outputs: tuple[NDArray[Any], ...] | None = None  # in the order of the spec
    cause: Cause = NOTHING  # why there are none
    repeated: tuple[bool, ...] | None = None  # of each output, the same bits when called again; None: not tried


@dataclass(frozen=True, slots=True)
class Mark:
    """One element of one output, and how wrong it is."""

    index: Index
    computed: float
    computed_hex: str
    exact: float  # the float64 nearest to the exact value; of a range, to the right value next to what was computed
    ulp: float  # NaN where the error has no size, as between a number and NaN
    bound: float  # the largest error that would not be worth a word
    output: str = ""  # name of the output that it is in
    ends: Ends = None

    @property
    def element(self) -> Element:
        """Where it is."""
        return Element(self.output, self.index)


@dataclass(frozen=True, slots=True)
class Score:
    """How far one subject is from the exact result on one case; largest over the elements that can be judged."""

    verdict: str
    cause: Cause = NOTHING  # what explains it, or what is wrong, and the relation that showed it
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


@dataclass(frozen=True, slots=True)
class Judged:
    """One case as one subject did it."""

    subject: str
    score: Score
    largest: Witness | None  # of its ulp errors
    deciding: Witness | None  # of its verdict
    recipe: Recipe | None = None  # of the call that shows it; None: it is clean, or there was no such call
    lacking: tuple[str, ...] = ()  # inputs by which the subject gives no gradient, which was not asked for


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
    near: bool = False  # whether the case lies near an operating point of the profile
    layout: str = ""  # of the first input that is not contiguous, see layout.layout_class; "": not known
    regimes: tuple[str, ...] = ()  # of its inputs, each once; (): the values were not drawn

    @property
    def size(self) -> int:
        """Elements of its inputs and its outputs, which stand first in the order from simple to complicated."""
        first = self.sort_key[0] if self.sort_key else 0
        return first if isinstance(first, int) else 0
