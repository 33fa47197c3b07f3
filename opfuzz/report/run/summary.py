"""The report as Markdown for a CI job's summary or an issue: what changed, and the top of the ranking, in 60 KB."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

from opfuzz.core.run import Run
from opfuzz.core.verdicts import FAULT
from opfuzz.report.causes.figures import counted
from opfuzz.report.run.cause_lines import CAUSE_HEADERS, cause_cells, faulty, headline
from opfuzz.report.run.markdown import inert
from opfuzz.report.run.news import NEWS_HEADERS, news, news_cells
from opfuzz.report.run.ranking_table import cells, headers
from opfuzz.report.text import (
    FINDING_HEADERS,
    changes,
    effort,
    finding_cells,
    missing_lines,
    without_gradient,
)

SIZE_LIMIT = 60_000  # bytes: an issue takes 65,536 characters
TOP = 20  # rows of the ranking
CELL_LIMIT, SENTENCE_LIMIT = 200, 1_000  # characters
_RESERVED = 1_000  # bytes, for the line that says what was left out


@dataclass(frozen=True, slots=True)
class SummaryPart:
    """A heading, and lines under it of which the last may be left out; `noun` is one of them."""

    head: tuple[str, ...]
    lines: tuple[str, ...]
    noun: str


def render(run: Run) -> str:
    """The summary, never more than SIZE_LIMIT; a line at its end counts what was left out."""
    has_changed = run.comparison is not None and bool(run.comparison.before)
    first, *others = (*news(run), f"{headline(run)}.") if has_changed else (f"{headline(run)}.", *news(run))
    text = [f"## opfuzz run {_safe(run.run)}", "", f"**{_safe(first, SENTENCE_LIMIT)}**", ""]
    parts = [
        SummaryPart((), tuple(f"- {_safe(line, SENTENCE_LIMIT)}" for line in (*others, effort(run))), "line"),
        _table("What changed", NEWS_HEADERS, news_cells(run), "change"),
        _table("Causes", CAUSE_HEADERS, [cause_cells(common, run) for common in faulty(run)], "cause"),
        _table(_top(run), headers(run), cells(run)[:TOP], "ranked row"),
        _table("Faults", FINDING_HEADERS, [finding_cells(f) for f in run.findings if f.severity == FAULT], "fault"),
        _list("Faults of earlier runs", changes(run), "earlier fault"),
        _list("Ops without a gradient", without_gradient(run), "line"),
        _list("Missing outputs", missing_lines(run), "line"),
        _list("Environment", _environment(run), "environment line"),
    ]
    return "\n".join(text + _fitting(parts, SIZE_LIMIT - _RESERVED - _size(text))) + "\n"


def _top(run: Run) -> str:
    shown = min(TOP, len(run.ranking))
    return (
        "Ranking" if shown == len(run.ranking) else f"Ranking, the first {shown} of {counted(len(run.ranking), 'row')}"
    )


def _fitting(parts: Sequence[SummaryPart], room: int) -> list[str]:
    """As many lines of each part, from its first, as there is room for, and what is left out."""
    kept: list[str] = []
    left_out: list[str] = []
    for part in parts:
        sizes = accumulate((_size((line,)) for line in part.lines), initial=_size((*part.head, "")))
        count = sum(size <= room for size in sizes) - 1
        if count > 0:
            block = (*part.head, *part.lines[:count], "")
            kept += block
            room -= _size(block)
        if count < len(part.lines):
            left_out.append(counted(len(part.lines) - max(count, 0), part.noun))
    if left_out:
        kept.append(f"Left out, for this is as long as it may be: {', '.join(left_out)}. All is in `run.json`.")
    return kept


def _size(lines: Sequence[str]) -> int:
    """Bytes of lines with a line break after each."""
    return sum(len(line.encode(errors="replace")) + 1 for line in lines)


def _table(title: str, headers: Sequence[str], rows: Sequence[Sequence[str]], noun: str) -> SummaryPart:
    head = (f"### {title}", "", _row(headers), "|" + " --- |" * len(headers))
    return SummaryPart(head, tuple(_row(row) for row in rows), noun)


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(_safe(cell) for cell in cells)} |"


def _list(title: str, lines: Sequence[str], noun: str) -> SummaryPart:
    return SummaryPart((f"### {title}", ""), tuple(f"- {_safe(line)}" for line in lines), noun)


def _environment(run: Run) -> list[str]:
    found = [f"{name}: {value}" for name, value in {**run.versions, **run.machine}.items()]
    return [*found, *(f"absent: {name}: {reason}" for name, reason in run.absent.items())]


def _safe(text: str, longest: int = CELL_LIMIT) -> str:
    """Text that is shown as it is written, and no longer than a line may be."""
    return inert(text if len(text) <= longest else f"{text[: longest - 1]}…")
