"""The ranking in a terminal."""

from __future__ import annotations

import textwrap
from pathlib import Path

from tabulate import tabulate

from opfuzz.core.findings import Finding
from opfuzz.core.run import Row, Run
from opfuzz.core.verdicts import FAULT, NOTE
from opfuzz.report.run.changes import CHANGES, accepted_ids, accepted_lines, unexplained
from opfuzz.report.run.changes import sections as change_sections
from opfuzz.report.run.news import news
from opfuzz.report.run.ranking_table import cells, headers
from opfuzz.report.text import (
    FINDING_HEADERS,
    changes,
    finding_cells,
    headline,
    missing_lines,
    plain,
    policies,
    quantity,
)

COLOURS = {FAULT: "\x1b[31m", NOTE: "\x1b[33m"}
RESET = "\x1b[0m"
NARROW = 110  # columns of a terminal; with fewer, a row without these says more
INDENT, SENTENCE = "    ", 120  # before what is known of a fault, and its width where a line may have any
LEFT_OUT = ("p99 ulp", "conditioned", "bits")


def render(run: Run, folder: Path, colour: bool, width: int | None = None) -> str:
    """Ranking, faults, what is absent, and where the rest lies. Tables fit into `width` columns; None: all is shown."""
    names = headers(run)
    kept = [i for i, name in enumerate(names) if width is None or width >= NARROW or name not in LEFT_OUT]
    ranked = [[row[i] for i in kept] for row in cells(run)]
    severities = [row.severity for row in run.ranking]
    sections = [_table(ranked, tuple(names[i] for i in kept), severities, colour, width)]
    faults = [finding for finding in run.findings if finding.severity == FAULT]
    if faults:
        sections.append(
            "Faults, each by its simplest case; notes are listed in the report\n"
            + _faults(faults, accepted_ids(run), colour, width)
        )
    if run.comparison is not None and run.comparison.before:
        for title, columns, rows in change_sections(run.comparison, accepted_ids(run), CHANGES):
            sections.append(f"{title}\n{_table(rows, columns, [''] * len(rows), colour, width)}")
    lines = [plain(f"absent: {name}: {reason}") for name, reason in run.absent.items()]
    lines += [f"policy: {text}" for text in policies(run.ranking)]
    lines += [plain(text) for text in (*changes(run), *missing_lines(run))]
    lines += [*accepted_lines(run), *news(run)]
    if run.comparison is not None:
        lines += unexplained(run.comparison)
    lines += [headline(run), plain(str(folder / "report.md"))]
    return "\n\n".join([*sections, "\n".join(lines)]) + "\n"


def _faults(faults: list[Finding], accepted: frozenset[str], colour: bool, width: int | None) -> str:
    """A table of the faults, with what is known of each in a line of its own below it."""
    what = FINDING_HEADERS.index("what")
    rows = [finding_cells(finding, finding.id in accepted) for finding in faults]
    others = [[cell for i, cell in enumerate(row) if i != what] for row in rows]
    headers = tuple(name for name in FINDING_HEADERS if name != "what")
    head, rule, *lines = _table(others, headers, [FAULT] * len(faults), colour, width).split("\n")
    said = [
        textwrap.fill(row[what], width or SENTENCE, initial_indent=INDENT, subsequent_indent=INDENT) for row in rows
    ]
    return "\n".join([head, rule, *(f"{line}\n{words}" for line, words in zip(lines, said, strict=True))])


def _table(
    rows: list[list[str]], headers: tuple[str, ...], severities: list[str], colour: bool, width: int | None
) -> str:
    lines = tabulate(rows, headers, tablefmt="simple", disable_numparse=True).split("\n")
    if width is not None:
        lines = [line if len(line) <= width else line[: width - 1] + "…" for line in lines]
    if colour:
        lines[2:] = [
            COLOURS.get(s, "") + line + (RESET if s in COLOURS else "")
            for s, line in zip(severities, lines[2:], strict=True)
        ]
    return "\n".join(lines)


def progress_line(cases: int, faults: int, worst: Row | None, seconds: float) -> str:
    """`1234 cases, 5 faults, worst erf on mlx:cpu (float32) 1.7e7 ulp, 12 s`."""
    text = f"{cases} cases, {faults} {'fault' if faults == 1 else 'faults'}"
    if worst is not None:
        text += f", worst {worst.op} on {worst.subject} ({worst.format}) {quantity(worst.max_ulp)} ulp"
    return f"{text}, {seconds:.0f} s"
