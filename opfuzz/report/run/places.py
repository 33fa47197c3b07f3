"""Where findings are pointed at: the call in the user's spec, else in the copy that lies beside the finding."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from opfuzz.core.findings import Finding
from opfuzz.core.run import Run
from opfuzz.spec.lines import call_lines


@dataclass(frozen=True, slots=True)
class CallPlace:
    """A line of a spec. The path is relative to where the run was made, or absolute."""

    path: str
    line: int

    @property
    def is_near(self) -> bool:
        """Whether it lies below where the run was made, in a checkout say."""
        return not Path(self.path).is_absolute()


def place_of(run: Run, finding: Finding, folder: Path) -> CallPlace | None:
    """The call that a finding is about; None where nothing tells."""
    if finding.id in run.places:
        return CallPlace(*run.places[finding.id])
    copy = folder / "findings" / finding.id / "spec.yaml"
    if not copy.is_file():
        return None
    line = _line(finding.subject, call_lines(copy))
    return None if line is None else CallPlace(str(copy), line)


def _line(subject: str, known: Mapping[str, int]) -> int | None:
    """An older run does not say which dialect a subject read; most have the name of theirs."""
    place, _, implementation = subject.partition("/")
    name = place.partition(":")[0]
    return known.get(f"{name}/{implementation}") or known.get(name)
