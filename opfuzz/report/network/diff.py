"""The comparison of two files of tensors in a terminal, made from what `--json` prints."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from tabulate import tabulate

from opfuzz.report.text import plain, quantity

RED, RESET = "\x1b[31m", "\x1b[0m"
HEADERS = ("tensor", "shape", "1 - corr", "mae", "median", "max", "max ulp", "relative", "what")
DB_HEADERS = ("mae dB", "max dB")
SHORT, AROUND, WORST = 30, 5, 8  # tables up to so long are shown whole; else so many before and after, and the worst
NAMES = 4  # names shown of those that only one file has

Document = Mapping[str, Any]
Row = Mapping[str, Any]


def render(document: Document, decibels: bool, whole: bool, colour: bool, width: int | None = None) -> str:
    """A table of tensors in order, then what diverges first, what it is, and what came before."""
    tensors: Sequence[Row] = document["tensors"]
    first = next((i for i, row in enumerate(tensors) if row["name"] == document["divergence"]), None)
    shown = range(len(tensors)) if whole or len(tensors) <= SHORT else _chosen(tensors, first)
    sections = [_table(tensors, shown, decibels, colour, width), "\n".join(_unmatched(document))]
    closing = _clean(tensors, document["excused"]) if first is None else _divergence(document, first)
    sections.append("\n".join(closing))
    return "\n\n".join(plain_lines(section) if i else section for i, section in enumerate(sections) if section) + "\n"


def plain_lines(text: str) -> str:
    """Lines without control characters, whatever a file named its tensors."""
    return "\n".join(plain(line) for line in text.split("\n"))


def _chosen(tensors: Sequence[Row], first: int | None) -> Sequence[int]:
    """Tensors around the first divergence, and the worst; the first and the last in any case."""
    near = {0, len(tensors) - 1} | (set() if first is None else set(range(first - AROUND, first + AROUND + 1)))
    worst = sorted(range(len(tensors)), key=lambda i: -_error(tensors[i]))[:WORST]
    return sorted((near | set(worst)) & set(range(len(tensors))))


def _error(row: Row) -> float:
    return float(row["relative"])


def _table(tensors: Sequence[Row], shown: Sequence[int], decibels: bool, colour: bool, width: int | None) -> str:
    headers = (*HEADERS[:-1], *(DB_HEADERS if decibels else ()), HEADERS[-1])
    rows, red, last = [], [], -1
    for index in shown:
        if index != last + 1:
            rows.append([f"… {index - last - 1} more", *[""] * (len(headers) - 1)])
            red.append(False)
        rows.append(_cells(tensors[index], decibels))
        red.append(tensors[index]["diverges"])
        last = index
    lines = tabulate(rows, headers, tablefmt="simple", disable_numparse=True).split("\n")
    if width is not None:
        lines = [line if len(line) <= width else line[: width - 1] + "…" for line in lines]
    if colour:
        lines[2:] = [RED + line + RESET if is_red else line for line, is_red in zip(lines[2:], red, strict=True)]
    return "\n".join(lines)


def _cells(row: Row, decibels: bool) -> list[str]:
    shapes = [_shape(row["shape_a"]), _shape(row["shape_b"])]
    return [
        plain(row["name"] or "(no name)"),
        " / ".join(dict.fromkeys(shapes)),
        *(_number(row[key]) for key in ("decorrelation", "mae", "median", "max", "max_ulp", "relative")),
        *(_number(row[key]) for key in ("mae_db", "max_db") if decibels),
        plain(row["explanation"]),
    ]


def _shape(shape: Sequence[int]) -> str:
    return "x".join(map(str, shape)) or "scalar"


def _number(value: float | str | None) -> str:
    return "" if value is None else quantity(float(value))


def _unmatched(document: Document) -> list[str]:
    prefixes = {side: document[f"prefix_{side}"] for side in "ab"}
    lines = [f"names of {side.upper()} are read without '{prefix}'" for side, prefix in prefixes.items() if prefix]
    lonely = {side: document[f"only_{side}"] for side in "ab"}
    lines += [f"{len(names)} only in {side.upper()}: {_some(names)}" for side, names in lonely.items() if names]
    inside = {name: module for name, module in document["excused"].items() if module is not None}
    faded = [name for name, module in document["excused"].items() if module is None]
    if inside:
        some = _some([f"{name} in {module or 'the model'}" for name, module in inside.items()])
        lines.append(f"{len(inside)} differ inside a module whose output agrees, and are not counted: {some}")
    if faded:
        lines.append(f"{len(faded)} hardly beyond rounding, which what follows is not, and not counted: {_some(faded)}")
    return lines


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:NAMES]) + (", …" if len(names) > NAMES else "")


def _clean(tensors: Sequence[Row], excused: Collection[str]) -> list[str]:
    worst = max((row for row in tensors if row["name"] not in excused), key=_error)
    count = f"{len(tensors)} tensors" if len(tensors) != 1 else "1 tensor"
    if not _error(worst):
        return [f"No divergence: {count}, all equal."]
    lines = [f"No divergence beyond rounding in {count}; the largest is a {_relative(worst)} in {worst['name']}."]
    if creeping := sum(bool(row["diverges"]) for row in tensors):
        lines.append(f"  {creeping} of them are a little beyond it, and no jump from what came before.")
    return lines


def _divergence(document: Document, place: int) -> list[str]:
    tensors: Sequence[Row] = document["tensors"]
    row, before, after = tensors[place], tensors[:place], tensors[place + 1 :]
    size = f", {_relative(row)}" if _error(row) else ""  # none where only one side is not finite, or scrambled
    is_known = document["first_divergence"] is not None
    lines = [f"First divergence: {row['name']}{size}."] if is_known else _without_order(tensors, row, size)
    lines.append(f"What it is: {row['explanation']}.")
    lines += [
        f"  {side.upper()}: mean {_number(row[f'mean_{side}'])}, std {_number(row[f'std_{side}'])}, "
        f"range {_number(row[f'min_{side}'])} .. {_number(row[f'max_{side}'])}, {row[f'dtype_{side}']}, "
        f"first {', '.join(_number(value) for value in row[f'first_{side}'])}"
        for side in "ab"
    ]
    if is_known:
        lines += _surroundings(document, before, after)
    if _is_input(row):
        lines.append("It is an input: nothing can be said of the rest until both sides get the same.")
    return lines


def _without_order(tensors: Sequence[Row], row: Row, size: str) -> list[str]:
    count = sum(bool(other["diverges"]) for other in tensors)
    return [
        f"{count} of {_counted(len(tensors))} diverge. Which of them did so before the others cannot be said: neither",
        "file has the order in which they were computed; `opfuzz dump` writes it, --order gives it.",
        f"Sorted by name, {row['name']} is at the top{size}; that does not say where the difference began.",
    ]


def _surroundings(document: Document, before: Sequence[Row], after: Sequence[Row]) -> list[str]:
    """What came before the first divergence, and what came of it."""
    lines = []
    compared = [row for row in before if row["name"] not in document["excused"]]
    if not compared:
        lines.append("Before it: nothing.")
    else:
        worst = max(compared, key=_error)
        error = f"at most a {_relative(worst)}, in {worst['name']}" if _error(worst) else "all equal"
        lines.append(f"Before it: {_counted(len(compared))}, {error}.")
        if document["within"]:
            is_own = document["within"] == document["module"]
            both = f"both are in {document['within']}, where the difference comes in"
            place = "which is inside it" if is_own else both
            lines.append(f"  The last of them is {before[-1]['name']}, {place}.")
    if not document["is_jump"]:
        lines.append("  No tensor jumps from what came before: errors creep, as rounding does in a deep network.")
    if creeping := sum(bool(other["diverges"]) for other in before):
        lines.append(f"  {creeping} of them are beyond rounding, but no jump from what came before.")
    if after:
        lines.append(f"After it: {sum(bool(other['diverges']) for other in after)} of {_counted(len(after))} diverge.")
    return lines


def _is_input(row: Row) -> bool:
    return "input" in str(row["name"]).split(".")[:2]


def _counted(count: int) -> str:
    return f"{count} {'tensor' if count == 1 else 'tensors'}"


def _relative(row: Row) -> str:
    """`relative error of 3.6e-7 (6.1 u)`, u being the unit roundoff of the coarser of the two formats."""
    error, unit = _error(row), float(row["unit"])
    if not math.isfinite(error):
        return "relative error infinite" if unit else "which cannot be compared by element"
    return f"relative error of {quantity(error)}" + (f" ({quantity(error / unit)} u)" if unit else "")
