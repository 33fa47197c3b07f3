"""A trace in a terminal: the verdict, the modules that matter in the order in which they run, and notes, folded."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tabulate import tabulate

from opfuzz.network.trace.modules import CLEAN, CONTAINS, GUILTY, UNCALLED, UNCOMPARED, Module
from opfuzz.network.trace.trace import Trace
from opfuzz.network.trace.weights import ADDED, EQUAL, MISSING
from opfuzz.report.causes.figures import counted
from opfuzz.report.text import plain, quantity

HEADERS = ("module", "of b", "calls", "local", "inherited", "total", "excess", "verdict")
SHORT, BEFORE = 20, 4  # a longer table shows what is off, and so many modules before the first guilty one
LISTED = 8  # kinds of guilty modules that are described
NAMED = 3  # modules that a note names
COLOURS = {GUILTY: "\x1b[31m", CONTAINS: "\x1b[33m", UNCOMPARED: "\x1b[33m"}
RESET = "\x1b[0m"


def render(trace: Trace, folder: Path | None, whole: bool = False, colour: bool = False) -> str:
    """The verdict, a table, and notes, folded unless `whole`; `folder` holds the first guilty module's call."""
    lines = verdict(trace) + modes(trace)
    if folder is not None:
        lines.append(f"the first guilty module's inputs, outputs and weights: {folder}")
    sections = ["\n".join(map(plain, lines))]
    rows = [m for m in trace.modules if m.verdict != UNCALLED or m.what]
    shown = rows if whole or len(rows) <= SHORT else _worth_showing(rows, trace)
    if shown:
        table = tabulate(map(_cells, shown), HEADERS, tablefmt="simple", disable_numparse=True).split("\n")
        if colour:
            marks = [COLOURS.get(m.verdict, "") for m in shown]
            table[2:] = [mark + line + (RESET if mark else "") for mark, line in zip(marks, table[2:], strict=True)]
        sections.append("\n".join(table))
    notes = _notes(trace, rows, len(trace.modules) if whole else NAMED)
    if len(shown) < len(rows) or any(" more)" in note for note in notes):
        notes.append("--all shows every module")
    if notes:
        sections.append("\n".join(map(plain, notes)))
    return "\n\n".join(sections) + "\n"


def render_names(trace: Trace) -> str:
    """The map that was found, as the user's file may hold it; modules of one name on both sides are left out."""
    entries = [f"    {name!r}: {other!r},\n" for name, other in trace.names.items() if name != other]
    return f"names = {{\n{''.join(entries)}}}\n".replace("'", '"')


def _worth_showing(rows: list[Module], trace: Trace) -> list[Module]:
    if not trace.guilty:
        return []
    firsts = {group[0].name_a for group in _groups(trace)[:LISTED]}
    start = next(i for i, m in enumerate(rows) if m.name_a in firsts)
    around = [m for m in rows if m.verdict == CONTAINS and any(_is_around(m, name) for name in firsts)]
    near = [m for m in rows[max(start - BEFORE, 0) : start] if m.verdict == CLEAN]
    return [m for m in rows if m.name_a in firsts or m in around or m in near]


def _is_around(m: Module, name: str) -> bool:
    return not m.name_a or name.startswith(f"{m.name_a}.")


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
    if root.verdict == UNCOMPARED and not trace.is_of_gradients:
        total = ""  # without a finite value the figure is 0
    if trace.is_of_gradients and total:
        total = f"the gradients of the models differ by {quantity(root.total or 0.0)} of their spread"
    clean = sum(m.verdict == CLEAN for m in trace.modules)
    if not trace.guilty:
        known = total or "the outputs could not be compared"
        lines = [f"no module is guilty: {known}; {counted(clean, 'module')} clean", *_values(trace)]
        if root.inherited:
            lines.append(f"the inputs of the two models differ by {quantity(root.inherited)} of their spread")
        return lines
    lines = []
    groups = _groups(trace)
    for number, group in enumerate(groups[:LISTED]):
        m = group[0]
        place = "also guilty" if number else "first guilty"
        other = "" if m.name_b == m.name_a else f" = {shown_name(m.name_b)}"
        lines.append(f"{place}: {shown_name(m.name_a)}{other} ({m.kind_a}): {m.what}{_left(m)}; {_size(m)}")
        if m.nodes:
            lines[-1] += f"; in the graph of b: {m.nodes}"
        if len(group) > 1:
            lines[-1] += f"; {_alike(group, trace)}"
    if len(groups) > LISTED:
        lines.append(f"and {counted(sum(map(len, groups[LISTED:])), 'module')} more")
    lines.append(f"{total}; {counted(clean, 'module')} clean" if total else f"{counted(clean, 'module')} clean")
    return [*lines, *_values(trace)]


def _values(trace: Trace) -> list[str]:
    """A sentence, in a trace of gradients, on modules whose values differ already."""
    differing = [shown_name(name) for name in trace.values_differ or ()]
    told = "the values differ already, opfuzz trace without --gradients says how"
    return [f"{told}: {_listed(differing, NAMED)}"] if differing else []


def modes(trace: Trace) -> list[str]:
    """A sentence for each side that alone was in training mode, where that changes what it computes."""
    return [
        f"{each.side} was in training mode, as the file gives it ({counted(len(each.modules), 'module')} in which that "
        f"matters: {_listed([shown_name(name) for name in each.modules], NAMED)}); both were run in evaluation mode"
        for each in trace.in_training
    ]


def _groups(trace: Trace) -> list[list[Module]]:
    """Guilty modules that play one part and are off in the same way; all that are off by their format are one."""
    groups: dict[tuple[str, ...], list[Module]] = {}
    for m in trace.modules:
        if m.verdict == GUILTY:
            key = (m.narrower,) if m.narrower else (_part(m), m.kind_a, m.cause)
            groups.setdefault(key, []).append(m)
    return list(groups.values())


def _alike(group: Sequence[Module], trace: Trace) -> str:
    if group[0].narrower:
        return f"{group[0].narrower}, in {counted(len(group), 'module')}"
    part = _part(group[0])
    same = sum(_part(m) == part and m.kind_a == group[0].kind_a and bool(m.calls_a) for m in trace.modules)
    count = f"all {same}" if same == len(group) else f"{len(group)} of {same}"
    return f"{count} `{part}` alike"


def _part(m: Module) -> str:
    """The end of a name that says what a module is: `attn1`, `block.0`."""
    pieces = m.name_a.split(".")
    return ".".join(pieces[-2:]) if pieces[-1].isdecimal() else pieces[-1]


def _size(m: Module) -> str:
    if m.local is None or m.excess is None or m.excess == float("inf"):
        return "no rounding"
    return f"local error {quantity(m.local)}, {quantity(m.excess)} times what rounding may do"


def _left(m: Module) -> str:
    """What is left of the error once the cause is gone, and by the next best reading."""
    if m.residual is None:
        return ""
    return f" (residual {quantity(m.residual)}{'; ' + m.beside if m.beside else ''})"


def _notes(trace: Trace, rows: Sequence[Module], most: int) -> list[str]:
    """A line for each thing to know, with the names of some of the modules that it is true of."""
    found: dict[str, list[str]] = {}

    def note(words: str, name: str) -> None:
        found.setdefault(words, []).append(shown_name(name))

    for name, why in trace.not_compared:
        note(f"not compared, {why}", name)
    for m in rows:
        if m.verdict == CLEAN and m.what:
            note(m.what, m.name_a)
        if m.own:
            note("b keeps an input that a has not", m.name_a)
        if m.lone:
            note("one side returns more than the other", m.name_a)
        if m.instead and m.verdict == CLEAN:
            note(f"right, once it gets a's {m.instead}", m.name_a)
        for setting in m.settings if m.verdict == CLEAN else ():
            note(f"{setting}, and no other output was seen", m.name_a)
        for w in m.weights:
            is_other = w.relation not in ("", MISSING, ADDED) and not w.relation.startswith(EQUAL)
            if m.verdict in (CLEAN, UNCALLED) and is_other:
                note(f"{w.name_a or w.name_b} {w.relation}, and no other output was seen", m.name_a)
    return [f"{words}: {_listed(names, most)}" for words, names in found.items()]


def _listed(names: Sequence[str], most: int) -> str:
    if len(names) <= most:
        return ", ".join(names)
    return f"{', '.join(names[:most])} ({len(names) - most} more)"
