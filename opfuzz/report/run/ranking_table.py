"""The ranking as a table: a column a figure, the same in a terminal and in Markdown."""

from __future__ import annotations

from opfuzz.core.run import Row, Run
from opfuzz.report.causes import word_row
from opfuzz.report.text import plain, quantity, shown

HEADERS = (
    "op", "subject", "format", "verdict", "max ulp", "p99 ulp", "conditioned", "excess", "drift", "bits", "witness",
)  # fmt: skip


def headers(run: Run) -> tuple[str, ...]:
    """HEADERS; without `drift` where no profile was given."""
    return tuple(name for name in HEADERS if name != "drift" or run.profile is not None)


def cells(run: Run) -> list[list[str]]:
    """The ranking, under `headers`."""
    kept = [HEADERS.index(name) for name in headers(run)]
    return [[cell[place] for place in kept] for cell in map(_cells, run.ranking)]


def _cells(row: Row) -> list[str]:
    op = f"{row.op} (not by {', '.join(row.lacking)})" if row.lacking else row.op
    if not row.elements:  # nothing was measured
        return [op, row.subject, row.format, row.verdict, *[""] * 6, plain(word_row(row))]
    return [
        op,
        row.subject,
        row.format,
        row.verdict,
        quantity(row.max_ulp),
        quantity(row.p99_ulp),
        quantity(row.conditioned),
        quantity(row.excess),
        "" if row.drift is None else quantity(row.drift),
        f"{row.effective_bits:.1f}",
        shown(row.witness),
    ]
