"""What a probe of a device found, as frozen records: what was tried, what it cannot do, and what is left alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from opfuzz.core.layout import LAYOUTS

ROUND_TRIP, ANSWER, SIZE = "round-trip", "answer", "size"  # what was tried
REFUSES, RAISES, DIES, HANGS, MEMORY = "refuses", "raises", "dies", "hangs", "out-of-memory"
PARTLY = "refuses-some"  # of a few calls
DIFFERS, FLUSHES, SHARES, WRONG = "differs", "flushes", "shares", "wrong"
# What costs a case, or a process, each time and says nothing new.
BARRING = frozenset({REFUSES, RAISES, DIES, HANGS, MEMORY, DIFFERS, SHARES})
LEFT_ALONE = frozenset({REFUSES, DIES, HANGS, MEMORY})  # of answers: what is raised or wrong may depend on the case


@dataclass(frozen=True, slots=True)
class Failed:
    """One thing that a device cannot do."""

    kind: str  # ROUND_TRIP, ANSWER, SIZE
    format: str
    how: str
    words: str
    op: str = ""
    implementation: str = ""  # of the op, where the subject has several
    layout: str = ""
    digest: str = ""  # of the spec of the op
    elements: int = 0  # of a size


@dataclass(frozen=True, slots=True)
class Probed:
    """A probe of one subject. Seconds are of a clock; `made` is a time in UTC, as ISO 8601 has it."""

    subject: str
    made: str
    versions: Mapping[str, str]
    machine: Mapping[str, str]
    seconds: float
    tried: Mapping[str, int]  # by kind
    failed: tuple[Failed, ...]
    left: int  # trials that the time did not allow
    lacking: tuple[str, ...] = ()  # formats that it says it has not
    unheld: tuple[str, ...] = ()  # layouts that it says it does not hold
    first: float = 0.0  # seconds of the first call
    slowest: float = 0.0  # of an answer after that
    slowest_op: str = ""
    largest: int = 0  # elements of the largest array of float32 that was squared


@dataclass(frozen=True, slots=True)
class Barred:
    """What a run does not try on a subject: calls of an op in a format, or all where there is no op, and why."""

    subject: str
    format: str
    op: str
    implementation: str
    digest: str  # of the spec of the op: of another spec nothing is known
    layout: str  # of any input; "": whatever the layout
    reason: str


def barred_by(probed: Probed) -> tuple[Barred, ...]:
    """What a run need not try, as a probe has met it: formats and layouts that do not come back, and ops that are
    refused, hang, or end their process."""
    found = []
    for each in probed.failed:
        reason = f"{each.words} (probe of {probed.made[:16]})"
        if each.kind == ROUND_TRIP and each.how in BARRING:
            layout = "" if each.layout == LAYOUTS[0] else each.layout  # what cannot lie plainly cannot lie at all
            found.append(Barred(probed.subject, each.format, "", "", "", layout, reason))
        elif each.kind == ANSWER and each.how in LEFT_ALONE:
            found.append(Barred(probed.subject, each.format, each.op, each.implementation, each.digest, "", reason))
    return tuple(found)
