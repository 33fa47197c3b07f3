"""What changed between two runs as tables, and what became of accepted findings: the same in every format."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from opfuzz.core.cause import NOTHING
from opfuzz.core.comparison import (
    ABSENT,
    ACCEPTED,
    BETTER,
    EXPIRED,
    FIXED,
    GONE,
    NEW,
    STATUSES,
    STILL,
    WORSE,
    Accepted,
    Change,
    Comparison,
    Remark,
    Shift,
)
from opfuzz.core.run import Run
from opfuzz.report.causes import word_cause
from opfuzz.report.text import plain, quantity

FINDING_COLUMNS = ("finding", "op", "subject", "format", "verdict", "severity", "remark")
ROW_COLUMNS = ("op", "subject", "format", "verdict", "severity", "max ulp", "excess", "what")
TITLES = {
    NEW: "New findings",
    WORSE: "Rows that are worse on the same cases",
    GONE: "Findings gone: not tried, or not supported any more",
    FIXED: "Findings fixed",
    BETTER: "Rows that are better on the same cases",
    STILL: "Findings still there",
}
EMPTY = "-"  # in a cell: Markdown and terminals show it

Section = tuple[str, tuple[str, ...], list[list[str]]]  # title, columns, rows


def sections(
    comparison: Comparison, accepted: frozenset[str] = frozenset(), statuses: Sequence[str] = STATUSES
) -> list[Section]:
    """A table of each kind of change, the most important first; `accepted` are the ids of findings."""
    found: list[Section] = []
    for status in statuses:
        findings = [change for change in comparison.findings if change.status == status]
        rows = [shift for shift in comparison.rows if shift.status == status]
        if findings:
            cells = [_finding_cells(change, change.id in accepted) for change in findings]
            found.append((TITLES[status], FINDING_COLUMNS, cells))
        if rows:
            found.append((TITLES[status], ROW_COLUMNS, [_row_cells(shift) for shift in rows]))
    return found


def _finding_cells(change: Change, is_accepted: bool) -> list[str]:
    words = "; ".join(part for part in ("accepted" if is_accepted else "", word_remark(change.remark)) if part) or EMPTY
    cells = [change.id, change.op, change.subject, change.format, change.verdict, change.severity, words]
    return [plain(cell) for cell in cells]


def _row_cells(shift: Shift) -> list[str]:
    pairs = [_pair(*map(quantity, pair)) for pair in (shift.max_ulp, shift.excess)]
    cells = [shift.op, shift.subject, shift.format, _pair(*shift.verdicts), shift.severity, *pairs, word_shift(shift)]
    return [plain(cell) for cell in cells]


def word_remark(remark: Remark) -> str:
    """What is not certain about a change, in words; '' where all is."""
    return _REMARKS[remark.kind](remark)


_REMARKS: Mapping[str, Callable[[Remark], str]] = {
    "": lambda remark: "",
    "other-relation": lambda remark: f"now shown by: {remark.about}",
    "known-elsewhere": lambda remark: f"not in the earlier run; {remark.about} has it",
    "not-tried": lambda remark: "not tried in the earlier run",
    "same-case": lambda remark: "right in the earlier run, on a case that both made",
    "back": lambda remark: "its call was fixed, and is at fault again",
    "right-then": lambda remark: f"its smallest call is right with the software of then{_about(remark)}",
    "wrong-then": lambda remark: f"its smallest call is at fault with the software of then, too{_about(remark)}",
    "not-asked": lambda remark: f"not known whether the software brought it{_about(remark)}",
    "not-told": lambda remark: f"the software of then cannot say{_about(remark)}",
    "same-software": lambda remark: "it was there all along: the software is the same",
    "tried-before": lambda remark: f"it was there all along: {remark.about} had the same software",
    "other-machine": lambda remark: f"on another machine: {remark.about}",
    "other-judge": lambda remark: "opfuzz, or the spec, is another",
    "not-tried-any-more": lambda remark: "not tried any more",
    "not-supported": lambda remark: f"not supported any more: {word_cause(remark.cause or NOTHING)}",
    "made-again": lambda remark: "its call was made again",
    "told": lambda remark: remark.about,
}


def _about(remark: Remark) -> str:
    return f" ({remark.about})" if remark.about else ""


def word_shift(shift: Shift) -> str:
    """What moved in a row of the ranking."""
    if shift.figure == "verdict":
        return f"{shift.verdicts[0]} then, {shift.verdicts[1]} now"
    if shift.figure == "cases":
        return "cases that were right are at fault"
    return f"{shift.figure.replace('_', ' ')} {'rose' if shift.status == WORSE else 'fell'}"


def _pair(then: str, now: str) -> str:
    return now if then == now else f"{then} → {now}"


def unexplained(comparison: Comparison) -> list[str]:
    """A line where figures changed on the same cases, and nothing that is known did."""
    if not comparison.is_unexplained:
        return []
    return ["The cases are the same, and no version is another: a plugin, a setting or the machine's state changed."]


def accepted_ids(run: Run) -> frozenset[str]:
    """Findings that are accepted, and not only up to a day that is past."""
    return frozenset(entry.id for entry in run.accepted if entry.status == ACCEPTED)


def accepted_lines(run: Run) -> list[str]:
    """One line for each entry of the accepted findings whose op was tried."""
    return [plain(_accepted_line(entry)) for entry in run.accepted]


def _accepted_line(entry: Accepted) -> str:
    place = f"{entry.op} on {entry.subject} in {entry.format}, {entry.verdict} ({entry.id})"
    link = f" {entry.link}" if entry.link else ""
    if entry.status == EXPIRED:
        return f"accepted until {entry.until}, which is past, so it counts again: {place}: {entry.reason}{link}"
    if entry.status == ABSENT:
        return f"accepted, and not seen in this run: {place}; if it is fixed, take its entry out"
    until = f" until {entry.until}" if entry.until else ""
    return f"accepted{until}: {place}: {entry.reason}{link}"
