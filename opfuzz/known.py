"""What a journal holds of the findings of a run: the work on them goes on where it was."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import fields, replace

from opfuzz.journal import Diagnosed, Journal, Shrunk
from opfuzz.minimise import Smaller
from opfuzz.rank import Finding
from opfuzz.records import Minimal
from opfuzz.trigger import Trigger


class Known:
    """Diagnoses and smallest calls of a journal; nothing without one."""

    def __init__(self, journal: Journal | None) -> None:
        self._journal = journal
        self._sentences: dict[str, str] = {}
        self.smaller: dict[str, Smaller] = {}  # by the id of the finding
        for entry in journal.entries if journal is not None else ():
            match entry:
                case Diagnosed():
                    self._sentences.update(entry.sentences)
                case Shrunk():
                    self.smaller[entry.finding] = _smaller(entry)

    def diagnosed(
        self, findings: Sequence[Finding], diagnose: Callable[[Sequence[Finding]], tuple[tuple[Finding, ...], bool]]
    ) -> tuple[tuple[Finding, ...], bool]:
        """The findings with their diagnoses, which are made and kept unless they are known; whether Ctrl-C ended it."""
        if not findings or not self._sentences.keys() >= {finding.id for finding in findings}:
            found, was_interrupted = diagnose(findings)
            if self._journal is not None and not was_interrupted:
                self._journal.append(Diagnosed({finding.id: finding.diagnosis for finding in found}))
            return found, was_interrupted
        return tuple(replace(finding, diagnosis=self._sentences[finding.id]) for finding in findings), False

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
