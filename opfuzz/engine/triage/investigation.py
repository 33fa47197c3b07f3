"""What is found out of the findings of a run: causes, smaller calls, and the causes of those."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

from opfuzz.core.findings import Finding
from opfuzz.engine.executors import Executor
from opfuzz.engine.plan import Plan
from opfuzz.engine.triage.causes import widest_first
from opfuzz.engine.triage.diagnose import diagnose_findings, known_primitives, smallest_of
from opfuzz.engine.triage.minimize import Watch, minimize_findings
from opfuzz.engine.triage.resume import Remembered, Told
from opfuzz.oracle.primitive import Primitive


@dataclass
class Investigation:
    """What is found out of findings: their causes, then smaller calls, then the causes of those."""

    plan: Plan
    known: Remembered
    seconds: float  # for smaller calls
    watch: Watch
    executor: Executor
    latest: dict[str, Finding] = field(default_factory=dict)  # by id, in their order

    def look_into(self, findings: Sequence[Finding]) -> Told:
        """The findings with what is known of them; whether it was interrupted, in whatever it did."""
        self._take(findings)
        try:
            was_stopped = self._diagnose()
            if self.seconds and not was_stopped:
                was_stopped = self._shrink() or self._diagnose(are_smallest=True)
        except KeyboardInterrupt:  # between the calls of workers, which end by themselves
            was_stopped = True
        return tuple(self.latest.values()), was_stopped

    def _diagnose(self, are_smallest: bool = False) -> bool:
        """Ask for causes: of the calls as they were drawn, or again of those that were made smaller."""
        findings = [each for each in self.latest.values() if not are_smallest or smallest_of(each) is not None]
        found, was_stopped = self.known.diagnose(findings, self._ask, are_smallest)
        if not (was_stopped and are_smallest):  # then what was said of the calls as they were drawn stands
            self._take(found)
        return was_stopped

    def _ask(self, findings: Sequence[Finding]) -> Told:
        return diagnose_findings(self.plan, findings, self.executor, lambda: self._primitives)

    @cached_property
    def _primitives(self) -> tuple[Primitive, ...]:
        return known_primitives(self.plan)

    def _shrink(self) -> bool:
        ordered, urgent = widest_first(tuple(self.latest.values()))
        smaller, keep = self.known.smaller, self.known.keep
        found, was_stopped = minimize_findings(
            self.plan, ordered, self.seconds, self.watch, smaller, keep, self.executor, urgent
        )
        self._take(found)
        return was_stopped

    def _take(self, found: Sequence[Finding]) -> None:
        self.latest |= {finding.id: finding for finding in found}
