"""The causes of a run in the page: each with its smallest call, its trigger, a picture, and all that it makes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from opfuzz.core.common_cause import CommonCause
from opfuzz.core.findings import Finding
from opfuzz.core.run import Run
from opfuzz.report.causes import title
from opfuzz.report.run.cause_lines import causes_of, reach_words, smallest_words, worst_words
from opfuzz.report.run.html_sections import Section


@dataclass(frozen=True, slots=True)
class ShownCause:
    """One cause, in the words of the page."""

    common: CommonCause
    title: str
    reach: str
    worst: str
    smallest: str
    findings: tuple[Finding, ...]
    picture: Markup | None  # where in the range of the results its representative errs
    reproducer: str  # in the folder of the run; "": there is none


def shown_causes(run: Run, sections: Sequence[Section], severity: str) -> list[ShownCause]:
    """The causes of one severity; pictures and reproducers are those of the sections."""
    findings = {finding.id: finding for finding in run.findings}
    by_op = {section.op: section for section in sections}
    places = {told.finding.id: told.where for section in sections for told in section.findings}
    found = []
    for common in causes_of(run):
        members = tuple(findings[id] for id in common.findings if id in findings)
        if common.severity != severity or not members:
            continue
        first, *_ = members
        maps = by_op[first.op].maps.get(first.format, {}) if first.op in by_op else {}
        picture = maps[first.subject].picture if first.subject in maps else None
        words = (title(common), reach_words(common), worst_words(common), smallest_words(common, run))
        found.append(ShownCause(common, *words, members, picture, places.get(first.id, "")))
    return found
