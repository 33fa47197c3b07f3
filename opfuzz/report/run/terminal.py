"""A run in a terminal: the causes, the ops by their error, and where the rest lies, on one screen."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from pathlib import Path

from tabulate import tabulate

from opfuzz.core.common_cause import CommonCause
from opfuzz.core.run import Row, Run
from opfuzz.core.verdicts import CLEAN, FAULT, NOTE
from opfuzz.report.causes.figures import counted
from opfuzz.report.run.cause_lines import CAUSE_HEADERS, cause_cells, cut, faulty, headline, ops_words, smallest_words
from opfuzz.report.run.changes import accepted_lines, unexplained
from opfuzz.report.run.news import news, news_lines
from opfuzz.report.run.op_table import OpTable, Paint
from opfuzz.report.run.ranking_table import cells, headers
from opfuzz.report.text import changes, effort, missing_lines, plain, policies, quantity, without_gradient

COLOURS = {FAULT: "\x1b[31m", NOTE: "\x1b[33m"}
RESET = "\x1b[0m"
WIDE = 100  # columns where nobody says how many there are
NARROW = 110  # columns of a terminal; with fewer, a row without these says more
LEFT_OUT = ("p99 ulp", "conditioned", "bits")
LINES = 78  # of all that is printed on a run that found much
LEAST_OPS = 8  # with a fault that have a line in the ranking, however many lines there are
NAMES = 3  # lines of names of ops that have none
LEAST_PAIRS = 4  # causes that are shown with their smallest calls, however many lines there are
LEAST_CAUSES = 20  # that are shown, the same
BESIDE = ("formats", "reach", "worst")  # what a cause is
LEAST = 4  # lines of each of what is new, absent, lost and accepted


def render(run: Run, folder: Path, colour: bool, width: int | None = None, rows: str = "ops") -> str:
    """Causes, ranking, what is absent, and where the rest lies.

    One row an op, fitted into `width` columns; with `rows` "all" every row of the ranking, as wide as it is where
    `width` is None.
    """
    found = faulty(run)
    tail = _tail(run, folder, width or WIDE)
    told = (*news(run), *_few(news_lines(run)), headline(run))
    head = [line for text in told for line in textwrap.wrap(text, width or WIDE)]
    if rows == "all":
        ranking = _all_rows(run, colour, width)
        room, most = 2 * len(found), len(found)
    else:
        room = LINES - len(tail) - len(head) - 5
        rooms = room - 2 * len(found), room - len(found) - LEAST_PAIRS - 1
        lines = _ops(run, rooms, width or WIDE, _painted if colour else _plain)
        ranking = "\n".join(lines)
        room -= len(lines)
        most = max(room - LEAST_PAIRS - 1, LEAST_CAUSES)
    sections = ["\n".join(head)]
    if found:
        sections.append("\n".join(_causes(found, run, (room, most), width or WIDE, colour)))
    return "\n\n".join([*sections, ranking, "\n".join(tail)]) + "\n"


def _causes(found: Sequence[CommonCause], run: Run, rooms: tuple[int, int], width: int, colour: bool) -> list[str]:
    """A line a cause, and below it, for as many as there is room for, the smallest call and the file that shows it.

    `rooms`: lines for all of that; and at most, which the causes may take.
    """
    room, shown = rooms[0], found[: rooms[1]]
    table = [cause_cells(common, run) for common in shown]
    formats, reach, worst = (
        max(len(name), *(len(cells[CAUSE_HEADERS.index(name)]) for cells in table)) for name in BESIDE
    )
    first = width - formats - reach - worst - 6
    head = ("cause".ljust(first), BESIDE[0].ljust(formats), BESIDE[1].ljust(reach), BESIDE[2].rjust(worst))
    lines = ["  ".join(head), "-" * width]
    pairs, is_cut = max(room - len(shown), LEAST_PAIRS), False
    for place, (common, line) in enumerate(zip(shown, table, strict=True)):
        _, framework, what, _, called, reached, largest, _, path = line
        named = f"{framework} {ops_words(common.ops, first // 3)}: {what}"
        columns = (cut(named, first).ljust(first), called.ljust(formats), reached.ljust(reach), largest.rjust(worst))
        text = "  ".join(columns)
        lines.append(_painted(text, FAULT) if colour else text)
        if place < pairs:
            code = width - len(path) - 6
            smallest = cut(plain(smallest_words(common, run, code)), code)
            is_cut = is_cut or "…" in smallest
            lines.append(f"    {smallest.ljust(code)}  {path}")
    if pairs < len(found):
        more = len(found) - len(shown)
        others = f"{counted(more, 'more cause')}, " if more else ""
        rest = f"{others}the smallest calls of the last {len(found) - pairs}, and their reproducers, are in the report"
        lines.append(cut(rest, width))
    elif is_cut and pairs > len(found):
        lines.append("    …: all of the call is in its repro.py")
    return lines


def _ops(run: Run, rooms: tuple[int, int], width: int, paint: Paint) -> list[str]:
    """A line an op; of more than there is room for, the clean are named in one, then notes give way, the least first.

    `rooms`: for as many lines as leave each cause its smallest call; and at most, which ops with a fault may take.
    """
    table = OpTable.of(run, width)
    lines = table.lines(paint)
    if len(lines) <= rooms[0]:
        return lines
    clean, notes, faults = (table.named(severity) for severity in (CLEAN, NOTE, FAULT))
    named = _named("clean", clean, width)
    for count in range(len(notes), -1, -1):
        left_out = {*clean, *notes[count:]}
        rest = f"{counted(len(notes) - count, 'op')} with notes alone left out; --rows all shows them"
        told = textwrap.wrap(rest, width) if count < len(notes) else []
        lines = [*table.without(left_out).lines(paint), *told, *named]
        if len(lines) <= rooms[0]:
            return lines
    for count in range(len(faults), LEAST_OPS - 1, -1):
        if len(lines) <= rooms[1]:
            break
        more = _named("faults in", faults[count:], width, NAMES)
        lines = table.without({*left_out, *faults[count:]}).lines(paint)
        lines += [*more, *told, *_named("clean", clean, width, NAMES)]
    return lines


def _named(what: str, ops: Sequence[str], width: int, most: int | None = None) -> list[str]:
    """The names of ops; of those that do not fit into `most` lines, how many there are."""
    for count in range(len(ops), 0, -1):
        more = f" and {len(ops) - count} more" if count < len(ops) else ""
        lines = textwrap.wrap(f"{what}: {', '.join(ops[:count])}{more}", width)
        if most is None or len(lines) <= most:
            return lines
    return []


def _tail(run: Run, folder: Path, width: int) -> list[str]:
    """What is absent, lost and accepted, a line each; how much was tried, and where all of it is."""
    parts = [
        [f"absent: {name}: {reason}" for name, reason in run.absent.items()],
        [f"policy: {text}" for text in policies(run.ranking)],
        changes(run),
        missing_lines(run),
        without_gradient(run),
        accepted_lines(run),
        unexplained(run.comparison) if run.comparison is not None else [],
    ]
    lines = []
    for part in parts:
        lines += [cut(plain(line), width) for line in _few(part)]
    return [*lines, effort(run), plain(str(folder / "report.md"))]


def _few(lines: Sequence[str]) -> list[str]:
    if len(lines) <= LEAST:
        return list(lines)
    return [*lines[: LEAST - 1], f"and {len(lines) - LEAST + 1} more such lines in the report"]


def _painted(text: str, severity: str) -> str:
    return f"{COLOURS[severity]}{text}{RESET}" if severity in COLOURS else text


def _plain(text: str, severity: str) -> str:
    return text


def _all_rows(run: Run, colour: bool, width: int | None) -> str:
    kept = [i for i, name in enumerate(headers(run)) if width is None or width >= NARROW or name not in LEFT_OUT]
    rows = [[row[i] for i in kept] for row in cells(run)]
    lines = tabulate(rows, [headers(run)[i] for i in kept], tablefmt="simple", disable_numparse=True).split("\n")
    if width is not None:
        lines = [cut(line, width) for line in lines]
    if colour:
        lines[2:] = [_painted(line, row.severity) for row, line in zip(run.ranking, lines[2:], strict=True)]
    return "\n".join(lines)


def progress_line(cases: int, faults: int, worst: Row | None, seconds: float) -> str:
    """`1234 cases, 5 faults, worst erf on mlx:cpu (float32) 1.7e7 ulp, 12 s`."""
    text = f"{cases} cases, {faults} {'fault' if faults == 1 else 'faults'}"
    if worst is not None:
        text += f", worst {worst.op} on {worst.subject} ({worst.format}) {quantity(worst.max_ulp)} ulp"
    return f"{text}, {seconds:.0f} s"
