"""What a run tried of each op, and what not: cases by format, layout, size and regime of values, over all subjects."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from opfuzz.core.floats import FORMATS
from opfuzz.core.layout import LAYOUTS
from opfuzz.core.run import Row, Run
from opfuzz.report.run.html_sections import size_words, slug

Place = tuple[str, str]  # group and name


@dataclass(frozen=True, slots=True)
class TriedMap:
    """A column for each thing that may be tried, in groups; a line for each op with its cases, 0 for what was not."""

    groups: tuple[tuple[str, tuple[str, ...]], ...]
    lines: tuple[tuple[str, str, tuple[int, ...]], ...]  # op, its anchor, cases

    @classmethod
    def of(cls, run: Run) -> TriedMap:
        """All formats and layouts that there are, and the sizes and regimes that any op was tried with."""
        counts: dict[str, Counter[Place]] = {}
        sizes: set[int] = set()
        for row in run.ranking:
            counts.setdefault(row.op, Counter()).update(dict(_places(row)))
            sizes |= {size for places in row.layouts.values() for size, _, _ in places}
        regimes = sorted({name for found in counts.values() for group, name in found if group == "values"})
        groups = (
            ("format", tuple(FORMATS)),
            ("layout", LAYOUTS),
            ("elements", tuple(size_words(size) for size in range(max(sizes, default=-1) + 1))),
            ("values", tuple(regimes)),
        )
        columns = [(group, name) for group, names in groups for name in names]
        return cls(
            tuple((group, names) for group, names in groups if names),
            tuple((op, f"op-{slug(op)}", tuple(found[column] for column in columns)) for op, found in counts.items()),
        )


def _places(row: Row) -> Iterable[tuple[Place, int]]:
    """What one row was tried with, and how many cases."""
    found: Counter[Place] = Counter()
    if row.verdict != "unsupported":
        found["format", row.format] += row.cases
    for layout, places in row.layouts.items():
        for size, cases, _ in places:
            found["layout", layout] += cases
            found["elements", size_words(size)] += cases
    for regime, cases in row.regimes.items():
        found["values", regime] += cases
    return found.items()
