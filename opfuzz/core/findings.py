"""Findings as frozen records: a fault or note without repetitions, its smallest call, and what became of it later."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

from opfuzz.core.call import Call, Recipe
from opfuzz.core.cause import NOTHING, WORDED, Cause
from opfuzz.core.relation import relation_id
from opfuzz.core.results import Witness
from opfuzz.core.trigger import Trigger


@dataclass(frozen=True, slots=True, eq=False)
class Minimal:
    """The smallest call that was found to show a fault, and the condition under which it shows."""

    call: Call
    elements: int  # of its inputs and its outputs
    before: int  # the same of the call that it was made from
    attempts: int  # calls that were tried
    note: str  # why it may be larger than need be; "" if nothing smaller was left to try
    trigger: Trigger | None
    switch: Mapping[str, str] | None = None  # layouts of the call that it is compared with
    is_shown: bool = True  # whether the call alone shows the fault


@dataclass(frozen=True, slots=True)
class Apart:
    """What tells a finding from another of its op, subject, format and verdict: a cause that does not explain it."""

    cause: Cause  # its own
    beside: Cause  # of the other


@dataclass(frozen=True, slots=True)
class ExportedGraph:
    """What another program made of the call of a finding, which the subject was handed."""

    nodes: tuple[str, ...]  # its operations, in order
    is_wrong: bool | None = None  # whether another evaluator makes the same wrong result of it; None: nobody can say


@dataclass(frozen=True, slots=True)
class Finding:
    """A fault or note without repetitions: the simplest case that shows it."""

    id: str
    op: str
    subject: str
    format: str
    verdict: str
    severity: str
    cause: Cause  # as judging has it
    cases: int  # of this verdict
    alike: int  # of those, with this cause
    number: int  # of the simplest case, in its op and format
    case: str
    witness: Witness | None
    recipe: Recipe  # of the call that shows it, from where it was made
    ulp: float = 0.0  # the largest of the cases with this cause
    excess: float = 0.0
    causes: tuple[Cause, ...] = ()  # its diagnosis: the cause, and what is said beside; (): it was not looked into
    minimal: Minimal | None = None
    apart: Apart | None = None  # of a second cause under the same verdict
    graph: ExportedGraph | None = None  # None: the call is made as the spec writes it

    @property
    def relation(self) -> str:
        """Name of the other way that showed it, or "reference"."""
        return relation_id(self.cause.relation)

    @property
    def signature(self) -> tuple[str, ...]:
        """What it is deduplicated by; a second cause, and what a call ended with instead of a result, is part of it."""
        own = (self.op, self.subject, self.format, self.verdict, self.relation)
        told = self.cause if self.apart is None else self.apart.cause
        return (*own, told.identity) if self.is_by_cause else own

    @property
    def is_by_cause(self) -> bool:
        """Whether its cause is part of what it is known by: a second one, or what was said instead of a result."""
        return self.apart is not None or self.cause.kind in WORDED


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
    cause: Cause = NOTHING  # now
    why: str = ""  # it was not made again
    is_new: bool = False  # whether the run before knew otherwise


def finding_id(signature: tuple[str, ...]) -> str:
    """12 hex digits that name what has this signature, in every run."""
    return hashlib.blake2b("\0".join(signature).encode(), digest_size=6).hexdigest()
