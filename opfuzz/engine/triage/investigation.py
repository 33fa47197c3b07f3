"""What is found out of the findings of a run: causes, smaller calls, the causes of those, and second causes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from opfuzz.core.findings import Finding
from opfuzz.engine.executors import Executor
from opfuzz.engine.plan import Plan
from opfuzz.engine.triage.apart import Others, doubts, renewed, second_findings, stands
from opfuzz.engine.triage.causes import widest_first
from opfuzz.engine.triage.diagnose import diagnose_findings, smallest_of
from opfuzz.engine.triage.minimize import Watch, minimize_findings
from opfuzz.engine.triage.resume import Remembered, Told

APART_SHARE = 0.2  # of the time for smaller calls, that goes into second causes where there may be any
SMALLER_SHARE = 0.1  # the same for smaller calls of those that are found


@dataclass
class Investigation:
    """What is found out of findings: their causes, then smaller calls, then the causes of those, then second causes."""

    plan: Plan
    known: Remembered
    seconds: float  # for smaller calls, and for second causes
    watch: Watch
    executor: Executor
    latest: dict[str, Finding] = field(default_factory=dict)  # by id, in their order

    def look_into(self, findings: Sequence[Finding], others: Others = lambda finding: ()) -> Told:
        """The findings with what is known of them; whether it was interrupted, in whatever it did.

        `others` are cases of a finding that may have another cause. A second cause stands behind the first.
        """
        self._take(findings)
        try:
            was_stopped = self._diagnose()
            if self.seconds and not was_stopped:
                is_open = any(doubts(tuple(self.latest.values()), others))
                was_stopped = self._shrink(self.seconds * (1 - APART_SHARE * is_open))
                was_stopped = was_stopped or self._diagnose(are_smallest=True)
                was_stopped = was_stopped or (is_open and self._tell_apart(others))
        except KeyboardInterrupt:  # between the calls of workers, which end by themselves
            was_stopped = True
        return tuple(self._in_order()), was_stopped

    def _in_order(self) -> list[Finding]:
        seconds = [each for each in self.latest.values() if each.apart is not None]
        found: list[Finding] = []
        for each in self.latest.values():
            if each.apart is None:
                found += [each, *(other for other in seconds if other.signature[:-1] == each.signature)]
        return found

    def _diagnose(self, are_smallest: bool = False) -> bool:
        """Ask for causes: of the calls as they were drawn, or again of those that were made smaller."""
        findings = [each for each in self.latest.values() if not are_smallest or smallest_of(each) is not None]
        found, was_stopped = self.known.diagnose(findings, self._ask, are_smallest)
        if not (was_stopped and are_smallest):  # then what was said of the calls as they were drawn stands
            self._take(found)
        return was_stopped

    def _ask(self, findings: Sequence[Finding]) -> Told:
        return diagnose_findings(self.plan, findings, self.executor)

    def _shrink(self, seconds: float) -> bool:
        ordered, urgent = widest_first(tuple(self.latest.values()))
        found, was_stopped = self._smaller(ordered, seconds, urgent)
        self._take(found)
        return was_stopped

    def _smaller(self, findings: Sequence[Finding], seconds: float, urgent: int) -> Told:
        known, keep = self.known.smaller, self.known.keep
        return minimize_findings(self.plan, findings, seconds, self.watch, known, keep, self.executor, urgent)

    def _tell_apart(self, others: Others) -> bool:
        """Look for second causes, and into those that are found; one is kept that its smallest call has as well."""
        ordered, _ = widest_first(tuple(self.latest.values()))

        def ask() -> Told:
            asked, seconds = tuple(doubts(ordered, others)), self.seconds * APART_SHARE
            return second_findings(self.plan, asked, seconds, self.executor)

        found, was_stopped = self.known.second(ask)
        if not found or was_stopped:
            self._take([each for each in found if renewed(each) is each])
            return was_stopped
        smaller, was_stopped = self._smaller(found, self.seconds * SMALLER_SHARE, len(found))
        small = [each for each in smaller if smallest_of(each) is not None]
        if small and not was_stopped:
            told, was_stopped = self.known.diagnose(small, self._ask, are_smallest=True)
        else:
            told = ()
        again = {each.id: each for each in (*smaller, *told)}.values()
        kept = [each for each in again if stands(each) and (renewed(each) is each or smallest_of(each) is not None)]
        self._take([renewed(each) for each in kept])
        return was_stopped

    def _take(self, found: Sequence[Finding]) -> None:
        self.latest |= {finding.id: finding for finding in found}
