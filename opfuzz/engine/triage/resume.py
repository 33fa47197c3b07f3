"""What a journal holds of the findings of a run: the work on them goes on where it was."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import fields, replace

from opfuzz.core.cause import Cause
from opfuzz.core.findings import Finding, Minimal
from opfuzz.core.trigger import Trigger
from opfuzz.engine.triage.minimize import Smaller
from opfuzz.store.journal import Diagnosed, Journal, Shrunk


class Remembered:
    """Diagnoses and smallest calls of a journal; nothing without one."""

    def __init__(self, journal: Journal | None) -> None:
        self._journal = journal
        self._causes: dict[str, tuple[Cause, ...]] = {}
        self.smaller: dict[str, Smaller] = {}  # by the id of the finding
        for entry in journal.entries if journal is not None else ():
            match entry:
                case Diagnosed():
                    self._causes.update(entry.causes)
                case Shrunk():
                    self.smaller[entry.finding] = _smaller(entry)

    def diagnose(
        self, findings: Sequence[Finding], ask: Callable[[Sequence[Finding]], tuple[tuple[Finding, ...], bool]]
    ) -> tuple[tuple[Finding, ...], bool]:
        """The findings with their diagnoses, made and kept unless they are known; whether that was interrupted."""
        if not findings or not self._causes.keys() >= {finding.id for finding in findings}:
            found, was_interrupted = ask(findings)
            if self._journal is not None and not was_interrupted:
                self._journal.append(Diagnosed({finding.id: finding.causes for finding in found}))
            return found, was_interrupted
        return tuple(replace(finding, causes=self._causes[finding.id]) for finding in findings), False

    def keep(self, finding: str, found: Smaller) -> None:
        """Take down the smallest call of a finding."""
        if self._journal is None:
            return
        minimal = found.minimal
        own = {field.name: getattr(minimal, field.name) for field in fields(Minimal)}
        own["trigger"] = minimal.trigger.to_json() if minimal.trigger else None
        self._journal.append(Shrunk(finding=finding, judged=found.judged, **own))


def _smaller(entry: Shrunk) -> Smaller:
    trigger = Trigger.from_json(entry.trigger) if entry.trigger is not None else None
    own = {field.name: getattr(entry, field.name) for field in fields(Minimal)}
    return Smaller(Minimal(**{**own, "trigger": trigger}), entry.judged)
