"""The ranking with one row an op: the largest ulp error of each subject and format, and how grave it is."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from math import isnan

from opfuzz.core.run import Row, Run
from opfuzz.core.verdicts import CLEAN, FAULT, NOTE, SEVERITIES
from opfuzz.judge.gather import FORMATS_FIRST
from opfuzz.report.run.cause_lines import SHORT, cut
from opfuzz.report.text import quantity

Paint = Callable[[str, str], str]  # a text, by the severity of what it says

MARKS = {FAULT: "!", NOTE: "~", CLEAN: ""}
LEGEND = "largest ulp; ! fault, ~ note, - not supported; --rows all prints every row"
UNSUPPORTED = "-"
NAME = 24  # characters of an op

Column = tuple[str, str]  # subject without its implementation, format


@dataclass(frozen=True, slots=True)
class Cell:
    """All rows of one op, subject and format: those of several implementations."""

    text: str
    severity: str

    @classmethod
    def of(cls, rows: Sequence[Row]) -> Cell:
        """The gravest of them, and the largest error; the verdict where nothing was measured."""
        if not rows:
            return cls("", CLEAN)
        grave = min(rows, key=lambda row: SEVERITIES.index(row.severity))
        measured = [row.max_ulp for row in rows if row.elements]
        if not measured:
            return cls(UNSUPPORTED, CLEAN) if grave.verdict == "unsupported" else cls(grave.verdict, grave.severity)
        largest = float("nan") if any(map(isnan, measured)) else max(measured)
        return cls(quantity(float(f"{largest:.3g}")) + MARKS[grave.severity], grave.severity)


@dataclass(frozen=True, slots=True)
class OpTable:
    """The ops in the order of the ranking, and a cell for each of the columns."""

    columns: tuple[Column, ...]
    ops: tuple[tuple[str, tuple[Cell, ...]], ...]
    width: int

    @classmethod
    def of(cls, run: Run, width: int) -> OpTable:
        """The table of a run, for lines of `width` characters."""
        rows: dict[str, dict[Column, list[Row]]] = {}
        for row in run.ranking:
            column = _whole(row.subject, run), row.format
            rows.setdefault(row.op, {}).setdefault(column, []).append(row)
        known = {column for cells in rows.values() for column in cells}
        subjects = [*dict.fromkeys([*run.subjects, *sorted(subject for subject, _ in known)])]
        formats = [fmt for fmt in FORMATS_FIRST if any(column[1] == fmt for column in known)]
        columns = [(subject, fmt) for subject in subjects for fmt in formats if (subject, fmt) in known]
        return cls(
            tuple(columns),
            tuple((op, tuple(Cell.of(cells.get(column, ())) for column in columns)) for op, cells in rows.items()),
            width,
        )

    def named(self, severity: str) -> list[str]:
        """The ops whose gravest cell has that severity, as they are ranked."""
        return [op for op, cells in self.ops if _gravest(cells) == severity]

    def without(self, ops: Collection[str]) -> OpTable:
        """The same without those."""
        return replace(self, ops=tuple(row for row in self.ops if row[0] not in ops))

    def lines(self, paint: Paint) -> list[str]:
        """Two lines of headers, one an op, and what the marks mean; tables below each other where one is too wide."""
        if not self.ops:
            return []
        name = min(max(len(op) for op, _ in self.ops), NAME)
        sizes = [max(len(cells[i].text) for _, cells in self.ops) for i in range(len(self.columns))]
        sizes = [max(size, len(SHORT.get(fmt, fmt)), 6) for size, (_, fmt) in zip(sizes, self.columns, strict=True)]
        for subject in dict.fromkeys(subject for subject, _ in self.columns):  # its name stands over its formats
            own = [i for i, column in enumerate(self.columns) if column[0] == subject]
            sizes[own[0]] += max(len(subject) - sum(sizes[i] for i in own) - 2 * len(own) + 2, 0)
        lines: list[str] = []
        gap = "  " if name + sum(sizes) + 2 * len(sizes) <= self.width else " "
        for part in self._parts(name, sizes, len(gap)):
            subjects = [self.columns[i][0] for i in part]
            head = [" " * name]
            for subject in dict.fromkeys(subjects):
                room = sum(sizes[i] + len(gap) for i in part if self.columns[i][0] == subject) - len(gap)
                head.append(cut(subject, room).ljust(room))
            formats = [SHORT.get(self.columns[i][1], self.columns[i][1]).rjust(sizes[i]) for i in part]
            lines += [gap.join(head).rstrip(), gap.join(["op".ljust(name), *formats])]
            for op, cells in self.ops:
                fitted = [paint(cells[i].text.rjust(sizes[i]), cells[i].severity) for i in part]
                lines.append(gap.join([cut(op, name).ljust(name), *fitted]).rstrip())
        return [*lines, cut(LEGEND, self.width)]

    def _parts(self, name: int, sizes: Sequence[int], gap: int) -> list[list[int]]:
        """Columns that fit beside each other."""
        parts: list[list[int]] = [[]]
        room = self.width - name
        for i, size in enumerate(sizes):
            if parts[-1] and sum(sizes[k] + gap for k in parts[-1]) + size + gap > room:
                parts.append([])
            parts[-1].append(i)
        return parts


def _gravest(cells: Iterable[Cell]) -> str:
    """What was measured nowhere is not clean."""
    measured = [cell.severity for cell in cells if cell.text not in ("", UNSUPPORTED)]
    return min(measured, key=SEVERITIES.index, default=NOTE)


def _whole(subject: str, run: Run) -> str:
    """The subject that was asked for, of which this is an implementation."""
    whole, _, _ = subject.rpartition("/")
    return whole if whole in run.subjects else subject
