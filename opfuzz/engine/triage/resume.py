"""What a journal holds of the findings of a run: the work on them goes on where it was."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import fields, replace

from opfuzz.core.cause import Cause
from opfuzz.core.findings import Finding, Minimal
from opfuzz.core.trigger import Trigger
from opfuzz.engine.triage.minimize import Smaller
from opfuzz.store.journal import Diagnosed, Journal, Shrunk, ToldApart

Told = tuple[tuple[Finding, ...], bool]  # findings with what is known of them, and whether that was interrupted
Ask = Callable[[Sequence[Finding]], Told]


class Remembered:
    """Diagnoses and smallest calls of a journal; nothing without one."""

    def __init__(self, journal: Journal | None) -> None:
        self._journal = journal
        self._causes: dict[bool, dict[str, tuple[Cause, ...]]] = {False: {}, True: {}}  # of smallest calls: True
        self.smaller: dict[str, Smaller] = {}  # by the id of the finding
        self._seconds: tuple[Finding, ...] | None = None  # None: nobody asked
        for entry in journal.entries if journal is not None else ():
            match entry:
                case Diagnosed():
                    self._causes[entry.are_smallest].update(entry.causes)
                case Shrunk():
                    self.smaller[entry.finding] = _smaller(entry)
                case ToldApart():
                    self._seconds = entry.findings

    def diagnose(self, findings: Sequence[Finding], ask: Ask, are_smallest: bool = False) -> Told:
        """The findings with their diagnoses, made and kept unless they are known; whether that was interrupted."""
        known = self._causes[are_smallest]
        if not findings or not known.keys() >= {finding.id for finding in findings}:
            found, was_interrupted = ask(findings)
            if self._journal is not None and not was_interrupted:
                self._journal.append(Diagnosed({finding.id: finding.causes for finding in found}, are_smallest))
            return found, was_interrupted
        return tuple(replace(finding, causes=known[finding.id]) for finding in findings), False

    def second(self, ask: Callable[[], Told]) -> Told:
        """Findings of second causes, looked for and kept unless they are known; whether that was interrupted."""
        if self._seconds is not None:
            return self._seconds, False
        found, was_interrupted = ask()
        if self._journal is not None and not was_interrupted:
            self._journal.append(ToldApart(found))
        return found, was_interrupted

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
