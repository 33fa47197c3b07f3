"""The parts of the HTML report: one section an op, the overview, and what each of them shows of a row or finding."""

from __future__ import annotations

import hashlib
import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from markupsafe import Markup

from opfuzz.core.findings import Finding
from opfuzz.core.floats import FORMATS
from opfuzz.core.layout import LAYOUTS
from opfuzz.core.results import Witness
from opfuzz.core.run import Row, Run
from opfuzz.core.verdicts import FAULT, NOTE, SEVERITIES
from opfuzz.report.causes.figures import right
from opfuzz.report.run.html_pictures import Cells, Range, axes, heat_map, ranges, shown_top
from opfuzz.report.text import plain, quantity

CODE_LIMIT = 20_000  # bytes of one reproducer
VALUES = 4  # of an input that a witness shows
_ID = re.compile(r"[0-9a-z]{1,64}")

Code = tuple[Markup | None, str]  # and where it is, in the folder of the run


@dataclass(frozen=True, slots=True)
class Detail:
    """How much a page shows: bytes of reproducers, and the rows whose maps it draws."""

    code: int
    maps: str  # all, not clean, faults, none

    def draws(self, row: Row) -> bool:
        """Whether a row gets its map."""
        kept = {"all": SEVERITIES, "not clean": (FAULT, NOTE), "faults": (FAULT,), "none": ()}[self.maps]
        return row.severity in kept

    @property
    def words(self) -> str:
        """What is left out of the maps; "": nothing."""
        return {"all": "", "not clean": "rows that are clean", "faults": "all rows but faults", "none": "all rows"}[
            self.maps
        ]


@dataclass(frozen=True, slots=True)
class Map:
    """Where in the range of the results one row's errors are."""

    row: Row
    picture: Markup | None  # None: nothing was measured, or it is left out
    table: tuple[Range, ...]


@dataclass(frozen=True, slots=True)
class Places:
    """Cases of one subject, in all formats, by layout and size: `faults` of `cases`."""

    subject: str
    sizes: tuple[str, ...]
    lines: tuple[tuple[str, tuple[tuple[int, int] | None, ...]], ...]  # by layout: faults and cases, None: not tried
    faults: int
    cases: int


@dataclass(frozen=True, slots=True)
class Told:
    """One finding, with its reproducer if it has one."""

    finding: Finding
    witness: tuple[Value, ...]
    code: Markup | None
    where: str  # of the reproducer, in the run's folder; "": there is none


@dataclass(frozen=True, slots=True)
class Value:
    """One number of a witness, as it is read and as it is stored."""

    name: str
    decimal: str
    bits: str


@dataclass(frozen=True, slots=True)
class Section:
    """One op."""

    op: str
    anchor: str
    rows: tuple[Row, ...]
    severity: str  # the worst
    summary: str
    subjects: tuple[str, ...]
    maps: Mapping[str, Mapping[str, Map]]  # by format, then by subject
    tops: Mapping[str, int]  # bands of the maps of a format
    worst: tuple[tuple[Row, tuple[Value, ...], Value, Value], ...]  # inputs, computed, exact
    places: tuple[Places, ...]
    findings: tuple[Told, ...]

    @property
    def has_maps(self) -> bool:
        """Whether any is drawn."""
        return any(each.picture is not None for maps in self.maps.values() for each in maps.values())


def slug(name: str) -> str:
    """A name as part of an anchor: equal for equal names, other for others."""
    safe = re.sub(r"[^A-Za-z0-9_-]+", "-", name)
    return safe if safe == name else f"{safe[:40]}-{hashlib.blake2b(name.encode(), digest_size=4).hexdigest()}"


def sections(run: Run, folder: Path, detail: Detail) -> list[Section]:
    """One for each op, in the order in which the ranking first names them.

    Raises ValueError for counts that no run has.
    """
    codes = _codes(run.findings, folder, detail.code)
    by_op: dict[str, list[Row]] = {}
    for row in run.ranking:
        by_op.setdefault(row.op, []).append(row)
    return [_section(op, rows, run, codes, detail) for op, rows in by_op.items()]


def _section(op: str, rows: Sequence[Row], run: Run, codes: Mapping[str, Code], detail: Detail) -> Section:
    cells = {
        (row.format, row.subject): Cells.of(row.by_magnitude, FORMATS[row.format])
        for row in rows
        if row.by_magnitude and row.format in FORMATS
    }
    tops = {fmt: shown_top([each for (name, _), each in cells.items() if name == fmt]) for fmt, _ in cells}
    maps: dict[str, dict[str, Map]] = {}
    for row in sorted(rows, key=lambda row: (_place(row.format), row.format)):
        known = cells.get((row.format, row.subject))
        picture = heat_map(known, tops[row.format]) if known and detail.draws(row) else None
        table = tuple(ranges(known)) if known and detail.draws(row) else ()
        maps.setdefault(row.format, {})[row.subject] = Map(row, picture, table)
    shown = [(row, values(row.witness)) for row in rows if row.witness is not None]
    worst = [(row, inputs, computed, exact) for row, (*inputs, computed, exact) in shown]
    return Section(
        op=op,
        anchor=f"op-{slug(op)}",
        rows=tuple(rows),
        severity=min((row.severity for row in rows), key=SEVERITIES.index),
        summary=_summary(rows),
        subjects=_subjects(rows, run),
        maps=maps,
        tops=tops,
        worst=tuple((row, tuple(inputs), computed, exact) for row, inputs, computed, exact in worst),
        places=tuple(_places(rows, run)),
        findings=tuple(
            Told(finding, values(finding.witness), *codes.get(finding.id, (None, "")))
            for finding in run.findings
            if finding.op == op
        ),
    )


def _place(fmt: str) -> int:
    return list(FORMATS).index(fmt) if fmt in FORMATS else len(FORMATS)


def _subjects(rows: Iterable[Row], run: Run) -> tuple[str, ...]:
    """In the order in which they were asked for; implementations behind the subject they belong to."""

    order = {name: place for place, name in enumerate(run.subjects)}
    return tuple(sorted({row.subject for row in rows}, key=lambda s: (order.get(_whole(s, run), len(order)), s)))


def _summary(rows: Sequence[Row]) -> str:
    """`3 wrong, 1 special, 8 faithful; at most 1.68e7 ulp`."""
    counts = Counter(row.verdict for row in rows)
    order = {row.verdict: SEVERITIES.index(row.severity) for row in rows}
    words = ", ".join(f"{counts[verdict]} {verdict}" for verdict in sorted(order, key=lambda v: (order[v], v)))
    measured = [row.max_ulp for row in rows if row.elements]
    return f"{words}; at most {quantity(max(measured))} ulp" if measured else words


def values(witness: Witness | None) -> tuple[Value, ...]:
    """Inputs, what was computed and what is exact, in decimal and as bits."""
    if witness is None:
        return ()
    found = []
    for name, numbers in witness.inputs.items():
        bits = witness.inputs_hex.get(name, ())
        more = " …" if len(numbers) > VALUES else ""
        decimal = ", ".join(f"{number:.9g}" for number in numbers[:VALUES])
        found.append(Value(name, decimal + more, ", ".join(bits[:VALUES]) + (more if bits else "")))
    mark = witness.mark
    at = f" {mark.element}" if mark.index or mark.output else ""
    found.append(Value(f"computed{at}", f"{mark.computed:.9g}", mark.computed_hex))
    is_one = mark.ends is None and math.isfinite(mark.exact)
    found.append(Value("exact", right(mark.exact, mark.ends, 17), mark.exact.hex() if is_one else ""))
    return tuple(found)


def _places(rows: Sequence[Row], run: Run) -> Iterable[Places]:
    for subject in _subjects(rows, run):
        totals: Counter[tuple[str, int]] = Counter()
        faults: Counter[tuple[str, int]] = Counter()
        for row in rows:
            for layout, sizes in row.layouts.items() if row.subject == subject else ():
                for size, cases, bad in sizes:
                    totals[layout, size] += cases
                    faults[layout, size] += bad
        if not totals:
            continue
        sizes_seen = range(min(size for _, size in totals), max(size for _, size in totals) + 1)
        layouts = [layout for layout in LAYOUTS if any(name == layout for name, _ in totals)]
        yield Places(
            subject=subject,
            sizes=tuple(size_words(size) for size in sizes_seen),
            lines=tuple(
                (
                    layout,
                    tuple(
                        (faults[layout, size], totals[layout, size]) if (layout, size) in totals else None
                        for size in sizes_seen
                    ),
                )
                for layout in layouts
            ),
            faults=sum(faults.values()),
            cases=sum(totals.values()),
        )


def size_words(size: int) -> str:
    """The smallest number of elements in a size class: `0`, `1`, `4`, `16`, `1k`, `64k`."""
    if size == 0:
        return "0"
    least = 4 ** (size - 1)
    return f"{least // 1024}k" if least >= 1024 else str(least)


def _codes(findings: Sequence[Finding], folder: Path, budget: int) -> Mapping[str, Code]:
    """Reproducers of faults, and where they are; None for the code of those beyond the budget."""
    found: dict[str, Code] = {}
    for finding in findings:
        if not _ID.fullmatch(finding.id):  # it would be a path to somewhere else
            continue
        where = f"findings/{finding.id}/repro.py"
        path = folder / where
        try:
            size = path.stat().st_size
            text = path.read_text(encoding="utf-8", errors="replace") if size <= min(CODE_LIMIT, budget) else None
        except OSError:  # there is none
            continue
        if finding.severity != FAULT:
            text = None
        if text is not None:
            budget -= size
        found[finding.id] = (None if text is None else _lines(text), where)
    return found


def _lines(text: str) -> Markup:
    """Code without control characters but tabs and line ends. Its quotes stay: it is never in an attribute."""
    shown = "".join(each if each in "\n\t" else plain(each) for each in re.split(r"([\n\t])", text))
    return Markup(shown.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;"))


def axes_of(found: Sequence[Section]) -> list[Markup]:
    """What the maps of a page share, each once."""
    needed = {
        (fmt, section.tops[fmt])
        for section in found
        for fmt, maps in section.maps.items()
        if any(each.picture is not None for each in maps.values())
    }
    return [axes(FORMATS[fmt], top) for fmt, top in sorted(needed)]


def largest_of(run: Run) -> float:
    """The largest finite error of the run, where bars end."""
    return max((row.max_ulp for row in run.ranking if math.isfinite(row.max_ulp)), default=1.0)


@dataclass(frozen=True, slots=True)
class Glance:
    """Every op on every subject in every format; the worst of a subject's implementations stands for them all."""

    subjects: tuple[str, ...]
    formats: tuple[str, ...]
    lines: tuple[tuple[str, str, tuple[Row | None, ...]], ...]  # op, anchor, rows by subject and format


def at_a_glance(run: Run) -> Glance:
    """All verdicts in one table, worst ops first."""
    formats = tuple(sorted({row.format for row in run.ranking}, key=lambda fmt: (_place(fmt), fmt)))
    places: dict[tuple[str, str, str], Row] = {}
    for row in run.ranking:  # the worst first
        places.setdefault((row.op, _whole(row.subject, run), row.format), row)
    subjects = tuple(dict.fromkeys((*run.subjects, *(subject for _, subject, _ in places))))
    return Glance(
        subjects,
        formats,
        tuple(
            (op, f"op-{slug(op)}", tuple(places.get((op, subject, fmt)) for subject in subjects for fmt in formats))
            for op in dict.fromkeys(row.op for row in run.ranking)
        ),
    )


def _whole(subject: str, run: Run) -> str:
    """The subject that an implementation belongs to."""
    return next((name for name in run.subjects if subject.startswith(f"{name}/")), subject)
