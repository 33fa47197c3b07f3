"""The ranking in a terminal."""

from __future__ import annotations

from pathlib import Path

from tabulate import tabulate

from opfuzz.rank import Row
from opfuzz.records import FAULT, NOTE
from opfuzz.report.text import FINDING_HEADERS, cells, finding_cells, headers, headline, plain, policies, quantity
from opfuzz.store import Run

COLOURS = {FAULT: "\x1b[31m", NOTE: "\x1b[33m"}
RESET = "\x1b[0m"
NARROW = 110  # columns of a terminal; with fewer, a row without these says more
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
        rows = [finding_cells(finding) for finding in faults]
        table = _table(rows, FINDING_HEADERS, [FAULT] * len(faults), colour, width)
        sections.append("Faults, each by its simplest case; notes are listed in the report\n" + table)
    lines = [plain(f"absent: {name}: {reason}") for name, reason in run.absent.items()]
    lines += [f"policy: {text}" for text in policies(run.ranking)]
    lines += [headline(run), plain(str(folder / "report.md"))]
    return "\n\n".join([*sections, "\n".join(lines)]) + "\n"


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
