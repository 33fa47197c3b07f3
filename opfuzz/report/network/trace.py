"""A trace in a terminal: modules in the order in which they run, and the first guilty one."""

from __future__ import annotations

from pathlib import Path

from tabulate import tabulate

from opfuzz.network.trace.trace import CLEAN, CONTAINS, GUILTY, UNCALLED, UNCOMPARED, Module, Trace
from opfuzz.network.trace.weights import ADDED, MISSING
from opfuzz.report.text import plain, quantity

HEADERS = ("module", "of b", "calls", "local", "inherited", "total", "excess", "verdict")
SHORT, BEFORE = 60, 4  # a longer table shows what is not clean, and so many modules before the first guilty one
LISTED = 8  # guilty modules that are described
COLOURS = {GUILTY: "\x1b[31m", CONTAINS: "\x1b[33m", UNCOMPARED: "\x1b[33m"}
RESET = "\x1b[0m"


def render(trace: Trace, folder: Path | None, whole: bool = False, colour: bool = False) -> str:
    """The table, what has no counterpart, and the verdict; `folder` holds the first guilty module's call."""
    rows = [m for m in trace.modules if m.verdict != UNCALLED or m.what]
    shown = rows if whole or len(rows) <= SHORT else _worth_showing(rows, trace)
    lines = tabulate(map(_cells, shown), HEADERS, tablefmt="simple", disable_numparse=True).split("\n")
    if colour:
        marks = [COLOURS.get(m.verdict, "") for m in shown]
        lines[2:] = [mark + line + (RESET if mark else "") for mark, line in zip(marks, lines[2:], strict=True)]
    if len(shown) < len(rows):
        lines.append(f"{len(rows) - len(shown)} clean modules are left out; --all shows them")
    sections = ["\n".join(lines)]
    notes = [f"not compared: {shown_name(m.name_a)}: {m.what}" for m in rows if m.verdict == UNCOMPARED]
    notes += [f"note: {shown_name(m.name_a)}: {m.what}" for m in rows if m.verdict == CLEAN and m.what]
    notes += [
        f"note: {shown_name(m.name_a)}: no other output was seen, but {w.name_a or w.name_b} {w.relation}"
        for m in rows
        for w in m.weights
        if m.verdict in (CLEAN, UNCALLED) and w.relation not in ("", MISSING, ADDED)
    ]
    for side, names in (("a", trace.unmatched_a), ("b", trace.unmatched_b)):
        if names:
            notes.append(f"only in {side}: {', '.join(names)}")
    if notes:
        sections.append("\n".join(map(plain, notes)))
    sections.append("\n".join(map(plain, verdict(trace))))
    if folder is not None:
        sections[-1] += f"\n{plain(str(folder))}"
    return "\n\n".join(sections) + "\n"


def _worth_showing(rows: list[Module], trace: Trace) -> list[Module]:
    first = next((i for i, m in enumerate(rows) if m.name_a in trace.guilty), len(rows))
    return [m for i, m in enumerate(rows) if m.verdict != CLEAN or not m.name_a or first - BEFORE <= i < first]


def shown_name(name: str) -> str:
    """A module's name; the whole model has none."""
    return name or "(model)"


def _cells(m: Module) -> list[str]:
    calls = str(m.calls_a) if m.calls_a == m.calls_b else f"{m.calls_a}/{m.calls_b}"
    figures = ["" if x is None else quantity(x) for x in (m.local, m.inherited, m.total, m.excess)]
    name_b = "=" if m.name_b == m.name_a else shown_name(m.name_b)
    return [plain(shown_name(m.name_a)), plain(name_b), calls, *figures, m.verdict]


def verdict(trace: Trace) -> list[str]:
    """Sentences: who is guilty and what is different there, or that rounding explains all that was compared."""
    by_name = {m.name_a: m for m in trace.modules}
    root = by_name[""]
    total = "" if root.total is None else f"the models differ by {quantity(root.total)} of the output's spread"
    if not trace.guilty:
        missing = [m for m in trace.modules if m.verdict == UNCOMPARED]
        tail = f", of those that could be compared ({len(missing)} could not)" if missing else ""
        lines = [f"no module is guilty{tail}: {total or 'the outputs could not be compared'}"]
        if root.inherited:
            lines.append(f"the inputs of the two models differ by {quantity(root.inherited)} of their spread")
        return lines
    lines = []
    for number, name in enumerate(trace.guilty[:LISTED]):
        m = by_name[name]
        place = "also guilty" if number else "first guilty"
        other = "" if m.name_b == m.name_a else f" = {shown_name(m.name_b)}"
        lines.append(f"{place}: {shown_name(name)}{other} ({m.kind_a}): {m.what}; {_size(m)}")
    if len(trace.guilty) > LISTED:
        lines.append(f"and {len(trace.guilty) - LISTED} more")
    return [*lines, total]


def _size(m: Module) -> str:
    if m.local is None or m.excess is None or m.excess == float("inf"):
        return "no rounding"
    return f"local error {quantity(m.local)}, {quantity(m.excess)} times what rounding may do"
