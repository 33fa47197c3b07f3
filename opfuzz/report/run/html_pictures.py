"""Pictures of the HTML report: small inline SVG in the page's own colours, a few hundred bytes each."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from opfuzz.core.floats import Format
from opfuzz.core.metrics.magnitude import CLASS_BAND, LARGEST_BAND, Counts, binades, exponent, last_column, unpacked
from opfuzz.report.text import quantity

# Pixels. A picture has an axis at its left, the map, and a histogram of the same bands at its right.
LEFT, WIDTH, HEIGHT, GAP, BARS, BELOW = 40, 210, 120, 6, 46, 16
FULL = LEFT + WIDTH + GAP + BARS
CLASS_ROW, CLASS_GAP = 9, 4  # the row at the top for elements of a wrong class

SHADES = (0.1, 0.01, 0.001, 0.0)  # share of a column's elements, strongest first
DECADES = 6  # of the histogram's shares
LEAST_TOP, STEP = 12, 12  # bands that are shown at least, and what more of them come in
RANGES = 6  # lines of the table beside a map
SPARK_WIDTH, SPARK_HEIGHT = 120, 22


@dataclass(frozen=True, slots=True)
class Cells:
    """Elements of one row by magnitude and ulp error. Raises ValueError for counts that `packed` does not make."""

    counts: Mapping[tuple[int, int], int]  # by column and band
    fmt: Format

    @classmethod
    def of(cls, packed: Counts, fmt: Format) -> Cells:
        """The cells of a row of the ranking."""
        found = {(column, band): count for column, band, count in unpacked(packed)}
        for (column, band), count in found.items():
            if not (0 <= column <= last_column(fmt) and 0 <= band <= CLASS_BAND and count > 0):
                raise ValueError(f"no element of {fmt.name} is in column {column}, band {band}, {count} times")
        return cls(found, fmt)

    @property
    def total(self) -> int:
        """All elements."""
        return sum(self.counts.values())

    @property
    def top(self) -> int:
        """The largest band of errors that have a size."""
        return max((band for _, band in self.counts if band != CLASS_BAND), default=0)

    def columns(self) -> dict[int, dict[int, int]]:
        """Counts by band for each column."""
        found: dict[int, dict[int, int]] = {}
        for (column, band), count in sorted(self.counts.items()):
            found.setdefault(column, {})[band] = count
        return found

    def bands(self) -> dict[int, int]:
        """Counts by band."""
        found: dict[int, int] = {}
        for (_, band), count in self.counts.items():
            found[band] = found.get(band, 0) + count
        return found


def shown_top(cells: Sequence[Cells]) -> int:
    """How many bands the maps of one op in one format show, the same for all subjects."""
    largest = max((each.top for each in cells), default=0)
    return min(LARGEST_BAND, max(LEAST_TOP, -(-(largest + 1) // STEP) * STEP))


def _x(column: int, fmt: Format) -> float:
    """Left edge of a column; that of zero stands a little apart."""
    width = WIDTH / (last_column(fmt) + 2)
    return LEFT + width * (column + (column > 0))


def _y(band: float, top: int) -> float:
    """Upper edge of a band."""
    below = HEIGHT - CLASS_ROW - CLASS_GAP
    return HEIGHT - below * (band + 1) / (top + 1)


def axes_name(fmt: Format, top: int) -> str:
    """The id of `axes`."""
    return f"axes-{fmt.name}-{top}"


def axes(fmt: Format, top: int) -> Markup:
    """Frame, ticks and labels, which all maps of a format and height share."""
    lines, labels = [], []
    for band in (0, *range(11, top + 1, 10)):
        y = _y(band, top)
        lines.append(f"M{LEFT} {y:.1f}h{WIDTH}")
        labels.append(_label(LEFT - 4, y + 3, "end", _power(band - 1) if band else "1/2"))
    labels.append(_label(LEFT - 4, CLASS_ROW - 1, "end", "class"))
    first, last = exponent(1, fmt), exponent(last_column(fmt), fmt) + binades(fmt) - 1
    one = _x(1 + (0 - first) // binades(fmt), fmt)
    lines.append(f"M{one:.1f} {CLASS_ROW + CLASS_GAP}V{HEIGHT}")
    labels += [
        _label(LEFT, HEIGHT + 11, "start", "0"),
        _label(_x(1, fmt) + 6, HEIGHT + 11, "start", _power(first)),
        _label(one, HEIGHT + 11, "middle", "1"),
        _label(LEFT + WIDTH, HEIGHT + 11, "end", _power(min(last, fmt.emax))),
    ]
    frame = f"M{LEFT} {CLASS_ROW + CLASS_GAP}V{HEIGHT}h{WIDTH}M{LEFT + WIDTH + GAP} 0V{HEIGHT}"
    return Markup('<g id="{}" class="axes"><path class="grid" d="{}"/><path class="frame" d="{}"/>{}</g>').format(
        axes_name(fmt, top), "".join(lines), frame, Markup("").join(labels)
    )


def _label(x: float, y: float, anchor: str, text: str | Markup) -> Markup:
    return Markup('<text x="{:.0f}" y="{:.0f}" text-anchor="{}">{}</text>').format(x, y, anchor, text)


def _power(power: int) -> Markup:
    """2 to a power, the exponent raised."""
    sign = "\N{MINUS SIGN}" if power < 0 else ""
    return Markup('2<tspan dy="-3" class="up">{}{}</tspan>').format(sign, abs(power))


def heat_map(cells: Cells, top: int) -> Markup:
    """Where the errors are, stronger the larger the share of the elements of that size; and how many of each error."""
    fmt, width = cells.fmt, WIDTH / (last_column(cells.fmt) + 2)
    runs: dict[str, list[str]] = {}
    shades: dict[tuple[int, int], str] = {}
    for column, bands in cells.columns().items():
        total = sum(bands.values())
        for band, count in bands.items():
            shade = next(number for number, share in enumerate(SHADES) if count / total >= share)
            shades[band, column] = "hc" if band == CLASS_BAND else f"h{shade}"
    for (band, column), name in sorted(shades.items()):
        if column > 1 and shades.get((band, column - 1)) == name:
            continue  # part of the run that began before
        end = column + 1
        while column and shades.get((band, end)) == name:
            end += 1
        y, height = _row(band, top)
        left = _x(column, fmt)
        right = _x(end - 1, fmt) + width
        runs.setdefault(name, []).append(f"M{left:.1f} {y:.1f}h{right - left:.1f}v{height:.1f}H{left:.1f}z")
    paths = [Markup('<path class="{}" d="{}"/>').format(shade, "".join(parts)) for shade, parts in sorted(runs.items())]
    return Markup(
        '<svg class="map" width="{w}" height="{h}" viewBox="0 0 {w} {h}" role="img" aria-label="{label}">'
        '<use href="#{axes}"/>{paths}{bars}</svg>'
    ).format(
        w=FULL,
        h=HEIGHT + BELOW,
        label=in_words(cells),
        axes=axes_name(fmt, top),
        paths=Markup("").join(paths),
        bars=_bars(cells, top),
    )


def _row(band: int, top: int) -> tuple[float, float]:
    if band == CLASS_BAND:
        return 0.0, float(CLASS_ROW)
    return _y(band, top), (HEIGHT - CLASS_ROW - CLASS_GAP) / (top + 1)


def _bars(cells: Cells, top: int) -> Markup:
    """The histogram: lengths are logarithms of shares, DECADES of them."""
    parts: dict[str, list[str]] = {}
    left = LEFT + WIDTH + GAP
    for band, count in sorted(cells.bands().items()):
        length = BARS * max(0.03, 1 + math.log10(count / cells.total) / DECADES)
        y, height = _row(band, top)
        parts.setdefault("hc" if band == CLASS_BAND else "bar", []).append(
            f"M{left} {y:.1f}h{length:.1f}v{height:.1f}H{left}z"
        )
    paths = (Markup('<path class="{}" d="{}"/>').format(name, "".join(d)) for name, d in sorted(parts.items()))
    return Markup("").join(paths)


def in_words(cells: Cells) -> str:
    """What a map shows, for who cannot see it."""
    bands = cells.bands()
    right = bands.get(0, 0) / cells.total
    words = f"{_percent(right)} of {cells.total} elements correctly rounded"
    if cells.top:
        words += f", the largest error {band_words(cells.top)}"
    if wrong := bands.get(CLASS_BAND):
        words += f", {wrong} of a wrong class"
    return words


def _percent(share: float) -> str:
    """Never 100 % for less than all, nor 0 % for more than none."""
    if share in (0.0, 1.0):
        return f"{share:.0%}".replace("%", " %")
    return f"{min(max(100 * share, 0.01), 99.99):.4g} %"


def band_words(band: int) -> str:
    """The errors of a band: `at most 1/2 ulp`, `up to 8 ulp`."""
    if band == 0:
        return "at most 1/2 ulp"
    if band == LARGEST_BAND:
        return f"above {quantity(2.0 ** (band - 2))} ulp"
    return f"up to {quantity(2.0 ** (band - 1))} ulp"


@dataclass(frozen=True, slots=True)
class Range:
    """Neighbouring columns whose largest errors are in one band."""

    magnitudes: str
    largest: str
    elements: int
    right: str  # share of them that is correctly rounded
    wrong: int  # of a wrong class


def ranges(cells: Cells) -> list[Range]:
    """A map as a table: zero, then runs of columns of one largest error, merged until there are RANGES at most."""
    columns = cells.columns()
    runs: list[list[int]] = []
    worst = {column: max((b for b in bands if b != CLASS_BAND), default=-1) for column, bands in columns.items()}
    slack = 0
    while True:
        runs = _runs(worst, slack)
        if len(runs) <= RANGES:
            break
        slack += 1
    return [_range(run, {column: columns[column] for column in run}, cells.fmt) for run in runs]


def _runs(worst: Mapping[int, int], slack: int) -> list[list[int]]:
    """Columns whose largest bands differ by `slack` at most; zero is alone."""
    runs: list[list[int]] = []
    for column in sorted(worst):
        known = [worst[each] for each in runs[-1]] if runs and runs[-1] != [0] else []
        if known and max(*known, worst[column]) - min(*known, worst[column]) <= slack:
            runs[-1].append(column)
        else:
            runs.append([column])
    return runs


def _range(run: Sequence[int], columns: Mapping[int, Mapping[int, int]], fmt: Format) -> Range:
    counts = [(band, count) for bands in columns.values() for band, count in bands.items()]
    total = sum(count for _, count in counts)
    sized = [band for band, _ in counts if band != CLASS_BAND]
    wrong = sum(count for band, count in counts if band == CLASS_BAND)
    right = sum(count for band, count in counts if band == 0)
    return Range(
        magnitudes="0" if run == [0] else _between(exponent(run[0], fmt), exponent(run[-1], fmt) + binades(fmt)),
        largest=band_words(max(sized)) if sized else "no size",
        elements=total,
        right=_percent(right / total),
        wrong=wrong,
    )


def _between(low: int, high: int) -> str:
    return f"2^{low} to 2^{high}"


def log_bar(value: float, largest: float) -> Markup:
    """A bar as long as the logarithm of `value`, from 1/2 to `largest`; 0 for what is not above 1/2."""
    length = 0.0
    if value > 0.5:
        length = 60.0 if math.isinf(value) or largest <= 0.5 else 60 * math.log(2 * value) / math.log(2 * largest)
    return Markup(
        '<svg class="log" width="60" height="8" aria-hidden="true"><path d="M0 0h{:.0f}v8H0z"/></svg>'
    ).format(min(60.0, max(1.0, length)))


def sparkline(values: Sequence[float], label: str) -> Markup:
    """A line through the logarithms of positive values, with a dot at the last; zeros lie on the floor."""
    logs = [math.log2(min(max(value, 0.25), 2.0**80)) if value == value else -2.0 for value in values]
    low, high = min(logs), max(max(logs), min(logs) + 4)
    step = (SPARK_WIDTH - 8) / max(len(values) - 1, 1)
    points = [
        (4 + step * place, SPARK_HEIGHT - 4 - (SPARK_HEIGHT - 8) * (each - low) / (high - low))
        for place, each in enumerate(logs)
    ]
    line = " ".join(f"{x:.1f} {y:.1f}" for x, y in points)
    return Markup(
        '<svg class="spark" width="{}" height="{}" role="img" aria-label="{}">'
        '<polyline points="{}"/><circle cx="{:.1f}" cy="{:.1f}" r="2.5"/></svg>'
    ).format(SPARK_WIDTH, SPARK_HEIGHT, label, line, *points[-1])
