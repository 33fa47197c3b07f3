"""A finding, or a cause with the finding that stands for it, as a terminal shows it."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from pathlib import Path

from opfuzz.core.common_cause import CommonCause
from opfuzz.core.findings import Finding
from opfuzz.core.run import Run
from opfuzz.core.verdicts import FAULT
from opfuzz.report.causes import title, word_finding
from opfuzz.report.causes.figures import counted
from opfuzz.report.finding.error_plot import error_plot
from opfuzz.report.run.cause_lines import reach_words, smallest_words, worst_words
from opfuzz.report.run.places import place_of
from opfuzz.report.text import plain, shown

WIDTH = 80
RED, BOLD, RESET = "\x1b[31m", "\x1b[1m", "\x1b[0m"
MEMBERS = 6  # findings of a cause that are listed


def show_cause(common: CommonCause, run: Run, folder: Path, colour: bool) -> str:
    """What a cause is and whom it touches, then the finding that stands for it."""
    findings = {finding.id: finding for finding in run.findings}
    members = [findings[id] for id in common.findings if id in findings]
    facts = [
        ("cause", common.id),
        ("touches", f"{reach_words(common)}; worst {worst_words(common)}"),
        ("ops", ", ".join(common.ops)),
        ("formats", ", ".join(common.formats)),
        ("subjects", ", ".join(common.subjects)),
        ("smallest", smallest_words(common, run)),
    ]
    lines = [_head(f"{common.framework}: {title(common)}", common.severity, colour), *_facts(facts)]
    if len(members) > 1:
        rest = len(members) - MEMBERS
        lines += ["", f"{counted(len(members), 'finding')} of it, the first below:"]
        lines += [f"  {each.id}  {each.op} on {each.subject} in {each.format}: {each.verdict}" for each in members][
            :MEMBERS
        ]
        lines += [f"  and {rest} more"] if rest > 0 else []
    text = "\n".join(lines)
    return f"{text}\n\n{show_finding(members[0], run, folder, colour)}" if members else text + "\n"


def show_finding(finding: Finding, run: Run, folder: Path, colour: bool) -> str:
    """One finding: what is wrong, where, the smallest call, a picture of the errors, and what can be done with it."""
    place = place_of(run, finding, folder)
    common = next((each for each in run.causes if finding.id in each.findings), None)
    trigger = finding.minimal.trigger.words if finding.minimal is not None and finding.minimal.trigger else ""
    facts = [
        ("finding", f"{finding.id}, {counted(finding.cases, 'case')}"),
        ("what", word_finding(finding)),
        ("when", trigger),
        ("element", shown(finding.witness)),
        ("smallest", smallest_words(common, run) if common and common.findings[0] == finding.id else ""),
        ("spec", f"{place.path}:{place.line}" if place else ""),
    ]
    head = f"{finding.op} on {finding.subject} in {finding.format}: {finding.verdict}"
    lines = [_head(head, finding.severity, colour), *_facts(facts)]
    row = next((r for r in run.ranking if (r.op, r.subject, r.format) == _key(finding)), None)
    exact = finding.witness.mark.exact if finding.witness else None
    if row is not None and (picture := error_plot(row, exact)):
        lines += ["", *picture]
    lines += ["", *_facts(_files(finding, run, folder))]
    return "\n".join(lines) + "\n"


def _key(finding: Finding) -> tuple[str, str, str]:
    return finding.op, finding.subject, finding.format


def _files(finding: Finding, run: Run, folder: Path) -> list[tuple[str, str]]:
    """What lies in the folder of the finding, by what it is for."""
    place = folder / "findings" / finding.id
    names = {"repro.py": "program", "upstream.md": "report", "next.md": "next"}
    found = [(what, str(place / name)) for name, what in names.items() if (place / name).is_file()]
    return (
        found
        if run.is_recorded(finding.subject) or not place.is_dir()
        else [*found, ("again", f"opfuzz repro {place}")]
    )


def _head(text: str, severity: str, colour: bool) -> str:
    lines = "\n".join(textwrap.wrap(plain(text), WIDTH))
    return f"{BOLD}{RED if severity == FAULT else ''}{lines}{RESET}" if colour else lines


def _facts(facts: list[tuple[str, str]]) -> Iterator[str]:
    """Names in a column, and their words beside; what has no words is left out."""
    for name, words in facts:
        if not words:
            continue
        is_path = name in ("program", "report", "next", "again")  # to be copied whole
        yield from (
            [f"  {name:8}  {plain(words)}"]
            if is_path
            else textwrap.wrap(plain(words), WIDTH, initial_indent=f"  {name:8}  ", subsequent_indent=" " * 12)
        )
