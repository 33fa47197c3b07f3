"""Where a row errs, in characters: the ulp error against the size of the exact result, as in the page."""

from __future__ import annotations

from math import frexp, isfinite

from opfuzz.core.floats import FORMATS, Format
from opfuzz.core.metrics.magnitude import CLASS_BAND, binades, exponent, last_column, lowest, unpacked
from opfuzz.core.run import Row

ROWS = 9  # of the plot, beside that of errors without a size
SHADES = ((0.1, "#"), (0.01, "+"), (0.0, "."))  # at least this share of the elements of a size
LABEL = 9  # characters before the axis
LEGEND = "to the right: the size of exact results; # 10% of such elements, + 1%, . fewer"
POINTED = " the element above "
NO_SIZE = "NaN, inf"  # where a number is right, or the other way round


def error_plot(row: Row, exact: float | None) -> list[str]:
    """Lines of at most 80 characters; none of a row that has no counts, as one of an older opfuzz.

    Upwards the error, to the right the size of the exact result from zero over the smallest subnormal to the largest
    number; a caret is below `exact`.
    """
    if not row.by_magnitude or row.format not in FORMATS:
        return []
    fmt = FORMATS[row.format]
    cells = {(band, column): count for column, band, count in unpacked(row.by_magnitude)}
    sized = [band for band, _ in cells if band != CLASS_BAND]
    step = -(-(max(sized, default=0) + 1) // ROWS)  # bands in a line
    totals: dict[int, int] = {}
    merged: dict[tuple[int, int], int] = {}
    for (band, column), count in cells.items():
        totals[column] = totals.get(column, 0) + count
        line = -1 if band == CLASS_BAND else band // step
        merged[line, column] = merged.get((line, column), 0) + count
    width = last_column(fmt) + 1
    lines = ["ulp error"]
    if any(line < 0 for line, _ in merged):
        lines.append(f"{NO_SIZE:>{LABEL}}|{_marks(merged, totals, -1, width)}")
    lines += [
        f"{_up_to(line * step + step - 1):>{LABEL}}|{_marks(merged, totals, line, width)}"
        for line in range(max(sized, default=0) // step, -1, -1)
    ]
    lines.append(f"{'':{LABEL}}+{'-' * width}")
    lines.append(f"{'':{LABEL}} {_axis(fmt, width)}")
    if exact is not None and isfinite(exact):
        column = _column(exact, fmt)
        before, after = (POINTED, "") if column > len(POINTED) else ("", POINTED)
        lines.append(f"{'':{LABEL}} {before:>{column}}^{after}")
    return [*(line.rstrip() for line in lines), LEGEND]


def _marks(cells: dict[tuple[int, int], int], totals: dict[int, int], line: int, width: int) -> str:
    """The characters of one line."""
    return "".join(
        next(mark for share, mark in SHADES if cells[line, column] >= share * totals[column])
        if (line, column) in cells
        else " "
        for column in range(width)
    )


def _up_to(band: int) -> str:
    """The upper end of a band of errors: `0.5`, `1`, `1024`, `2^20`."""
    power = band - 1
    return f"{2.0**power:g}" if power < 17 else f"2^{power}"


def _column(exact: float, fmt: Format) -> int:
    """Where a number stands on the axis."""
    if exact == 0:
        return 0
    place = (frexp(abs(exact))[1] - 1 - lowest(fmt)) // binades(fmt)
    return min(max(place, 0), last_column(fmt) - 1) + 1


def _axis(fmt: Format, width: int) -> str:
    """`0 2^-149 ... 1 ... 2^127`."""
    told = {0: "0", 2: f"2^{exponent(1, fmt)}", _column(1.0, fmt): "1"}
    line = ""
    for place, text in sorted(told.items()):
        line = f"{line:{place}}{text}"
    last = f"2^{fmt.emax}"
    return f"{line:{width - len(last)}}{last}"
