"""Causes of a run as frozen records: what findings have in common, over ops, formats, layouts and verdicts."""

from __future__ import annotations

from dataclasses import dataclass

from opfuzz.core.cause import Cause
from opfuzz.core.results import Ends
from opfuzz.core.trigger import Trigger

# Whom a cause touches, the most first: values within 2^-10 to 2^10 and sizes of 2 and more; not known, for nothing
# smaller was found; larger values; smaller ones; one size alone, or 1; NaN and infinities; a dim of 0.
ORDINARY, UNKNOWN, LARGE, SMALL, RARE, SPECIAL, EMPTY = REACHES = (
    "ordinary",
    "unknown",
    "large",
    "small",
    "rare size",
    "special",
    "empty",
)
OWN = "its format"  # in place of the name of the format that an op is called in, whichever that is


@dataclass(frozen=True, slots=True)
class WorstFigures:
    """The largest figures over the cases of all findings of a cause; NaN: an error that has no size."""

    ulp: float
    excess: float


@dataclass(frozen=True, slots=True)
class SmallestCall:
    """The smallest call of a cause, as one line of code, and what it gives at the element that shows it."""

    call: str  # "": it cannot be written so
    computed: float | None  # None: no element shows it, the call fails
    exact: float | None
    element: str = ""  # where it is, if that is not the first of the only output
    ends: Ends = None


@dataclass(frozen=True, slots=True)
class CommonCause:
    """One cause in a run, and all that it makes."""

    id: str  # equal in every run for the same framework, kind and name, and op where these do not say which
    kind: str  # of Cause
    name: str  # of Cause, or OWN
    framework: str
    severity: str
    reach: str  # of REACHES
    cause: Cause  # of its representative, with figures
    subjects: tuple[str, ...]
    ops: tuple[str, ...]  # that of the representative first
    formats: tuple[str, ...]
    worst: WorstFigures
    smallest: SmallestCall
    trigger: Trigger | None  # of the representative
    findings: tuple[str, ...]  # ids, the representative first
    path: str  # of the representative, in the folder of the run
    sites: tuple[int, int] | None = None  # call sites of the profile's network that no trigger rules out, and all
