"""A localisation in pictures, each an SVG whose bytes are the same on every run."""

from __future__ import annotations

import io
import math
import re
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from opfuzz.network.localize.matching import FLOOR, MATCH
from opfuzz.network.localize.observed import Observed
from opfuzz.network.localize.result import Localization, Tried
from opfuzz.network.pipeline.dispatch import Array
from opfuzz.report.text import plain, quantity

if TYPE_CHECKING:  # importing it takes half a second, which only a command that draws shall spend
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure

WIDTH = 8.5  # inches of 72 points: what a README shows without scaling
CELLS = (80, 180)  # of a heat map at most, rows and columns; each takes two bytes of the file
DECADES = 9  # of a heat map at most
SHOWN = 15  # variants
LONGEST = 52  # letters of a label
BLUE, ORANGE, GREEN, GREY = "#0072b2", "#d55e00", "#009e73", "#767676"  # told apart by colour-blind people
STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",  # text stays text
    "svg.hashsalt": "opfuzz",
    "text.parse_math": False,  # names come from files
    "font.size": 9.0,
    "axes.titlesize": 10.0,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "grid.color": "#dddddd",
    "legend.frameon": False,
}


def draw(found: Localization) -> dict[str, str]:
    """SVG by file name; left out is what there is nothing to draw for, such as steps where nothing was recorded."""
    painters: dict[str, tuple[Callable[..., None], object]] = {
        "error.svg": (_error, found.errors),
        "steps.svg": (_steps, _series(found)),
        "attribution.svg": (_attribution, found.attribution),
        "variants.svg": (_variants, _measured(found)[0]),
    }
    return {name: picture(partial(paint, found=found)) for name, (paint, is_there) in painters.items() if is_there}


def picture(paint: Callable[[Figure], None], height: float = 3.0, is_laid_out: bool = False) -> str:
    """SVG of what `paint` draws in an empty figure, WIDTH by `height` inches.

    Margins are made to fit, for which all is drawn twice, unless `paint` lays it out.
    """
    import matplotlib
    from matplotlib.figure import Figure

    with matplotlib.rc_context():
        matplotlib.rcdefaults()  # a person's own settings change no report
        matplotlib.rcParams.update(STYLE)
        figure = Figure(figsize=(WIDTH, height), layout=None if is_laid_out else "constrained")
        paint(figure)
        return _svg(figure)


def _svg(figure: Figure) -> str:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None})
    lines = buffer.getvalue().decode().splitlines()
    return "\n".join(line.rstrip() for line in lines) + "\n"


# The output's error.


def _error(figure: Figure, found: Localization) -> None:
    from matplotlib.colors import LogNorm
    from matplotlib.ticker import MaxNLocator

    maps = {title: np.abs(_flat(error)) for title, error in found.errors.items()}
    figure.set_size_inches(WIDTH, 1.0 + 1.7 * len(maps))
    finite = np.concatenate([error[np.isfinite(error) & (error > 0)] for error in maps.values()])
    top = float(finite.max()) if finite.size else 1.0
    low = max(float(np.quantile(finite, 0.01)) if finite.size else 0.1, top * 10.0**-DECADES)
    low = min(low, top / 10)
    norm = LogNorm(low, top)
    all_axes = figure.subplots(len(maps), 1, sharex=True, squeeze=False)[:, 0]
    start = found.frames[0] if found.frames else 0
    for axes, (title, error) in zip(all_axes, maps.items(), strict=True):
        rows, columns = error.shape
        image = axes.imshow(
            np.maximum(_coarse(error), low),  # NaN stays NaN, and is drawn in nothing
            norm=norm,
            cmap="viridis",
            aspect="auto",
            interpolation="none",
            origin="lower",
            extent=(start - 0.5, start + columns - 0.5, -0.5, rows - 0.5),
        )
        largest = float(np.nanmax(error)) if np.isfinite(error).any() else math.nan
        axes.set_title(f"{_short(_in_words(title, found), 80)}: at most {quantity(largest)}")
        axes.set_ylabel(found.axes[0])
        axes.set_facecolor("#bbbbbb")
    for axis in (*(axes.yaxis for axes in all_axes), all_axes[-1].xaxis):
        axis.set_major_locator(MaxNLocator("auto", integer=True, steps=(1, 2, 5, 10)))
    all_axes[-1].set_xlabel(found.axes[1])
    bar = figure.colorbar(image, ax=list(all_axes), pad=0.01)
    _ticks(bar.ax.yaxis, top / low)
    bar.set_label("difference, in the output's unit")


def _in_words(title: str, found: Localization) -> str:
    """`b against a` as `mlx:cpu against torch:cpu, nothing planted`."""
    sides = {"a": found.a, "b": found.b}
    words = " ".join(sides.get(word, word) for word in title.split(" ", 3)[:3])
    rest = title.split(" ", 3)[3:]
    return f"{words} {rest[0]} planted" if rest else f"{words}, nothing planted"


def _flat(array: Array) -> Array:
    """Two axes: all but the last become rows."""
    return array.reshape(-1, array.shape[-1]) if array.ndim else array.reshape(1, 1)


def _coarse(error: Array) -> Array:
    """The largest value of each block, of as many blocks as CELLS admits."""
    for axis, most in enumerate(CELLS):
        size = error.shape[axis]
        if size > most:
            starts = np.linspace(0, size, most, endpoint=False).astype(int)
            error = np.maximum.reduceat(error, starts, axis=axis)
    return error


# Growth on the way.


def _series(found: Localization) -> dict[str, list[float]]:
    """Drifts in standard deviations by family of names: `ode.step0.x`, `ode.step1.x` are one."""
    families: dict[str, list[float]] = {}
    for name, drift in found.per_step.items():
        families.setdefault(re.sub(r"\d+", "#", name), []).append(drift.rms / drift.std_a if drift.std_a else math.nan)
    return {name: values for name, values in families.items() if len(values) > 1 and any(value > 0 for value in values)}


def _steps(figure: Figure, found: Localization) -> None:
    from matplotlib.ticker import MaxNLocator

    axes = figure.subplots()
    series = _series(found)
    figure.set_size_inches(WIDTH, 3 + 0.2 * (len(series) // 4))
    for number, (name, values) in enumerate(series.items()):
        positive = [value if value > 0 else math.nan for value in values]  # zero has no place on this axis
        colour, marker = (BLUE, ORANGE, GREEN, GREY)[number % 4], "osD^v"[number // 4 % 5]
        axes.plot(range(len(values)), positive, color=colour, marker=marker, markersize=4, label=_short(name))
    levels = {f"output of {found.b}": (found.rounding or 0.0, "--")}
    if found.observed is not None and found.drift.std_a:
        unit = found.observed.get("std_a", found.drift.std_a)  # figures may be those of another network
        levels["output that was observed"] = ((Observed(found.observed).rms or 0.0) / unit, ":")
    for label, (level, style) in levels.items():
        if level > 0:
            axes.axhline(level, color="black", linewidth=1, linestyle=style, label=label)
    _log(axes, "y")
    axes.set_title(f"How far {found.b} drifts from {found.a} on the way")
    axes.set_xlabel("# in the name, counted from 0")
    axes.set_ylabel("rms, in standard deviations")
    axes.xaxis.set_major_locator(MaxNLocator("auto", integer=True, steps=(1, 2, 5, 10)))
    axes.grid(axis="y")
    figure.legend(loc="outside lower center", ncols=4)


# What each op does.


def _attribution(figure: Figure, found: Localization) -> None:
    rows = found.attribution
    figure.set_size_inches(WIDTH, 1.3 + 0.22 * len(rows))
    output, local = figure.subplots(1, 2, sharey=True, width_ratios=(3, 2))
    _dots(output, [row.all_but.rms for row in rows], ORANGE, "s", f"all ops but this one on {found.b}")
    _dots(output, [row.only.rms for row in rows], BLUE, "o", f"this op alone on {found.b}")
    if found.drift.rms > 0:
        output.axvline(found.drift.rms, color="black", linewidth=1, linestyle="--", label=f"all ops on {found.b}")
    output.set_title("Error of the output")
    output.set_xlabel("rms difference, in the output's unit")
    _dots(local, [row.local_error for row in rows], GREEN, "o", "")
    local.set_title("Local error of a call")
    local.set_xlabel("rms difference / rms, the largest call")
    _rows(output, [row.op for row in rows])
    figure.legend(loc="outside lower center", ncols=3)


# Variants.


def _measured(found: Localization) -> tuple[list[tuple[Tried, float]], str]:
    """The best variants with the figure that ranks them, and what it is."""
    tensor, figures = (any(getattr(v, n) is not None for v in found.variants) for n in ("residual", "distance"))

    def measure(tried: Tried) -> float | None:
        if tensor:
            return tried.residual
        if figures:
            return None if tried.distance is None or tried.distance > 700 else math.exp(tried.distance)
        return tried.drift.rms

    named = "rms of what is left unexplained, in standard deviations" if tensor else "rms change, in the output's unit"
    named = "factor by which its figures are off those observed" if figures else named
    values = [(tried, measure(tried)) for tried in found.variants]
    return [(tried, v) for tried, v in values if v is not None and math.isfinite(v)][:SHOWN], named


def _variants(figure: Figure, found: Localization) -> None:
    best, named = _measured(found)
    axes = figure.subplots()
    figure.set_size_inches(WIDTH, 1.2 + 0.24 * len(best))
    for is_match, colour, marker in ((True, GREEN, "D"), (False, BLUE, "o")):
        _dots(axes, [value if tried.match == is_match else None for tried, value in best], colour, marker)
    for row, (_, value) in enumerate(best):
        if value > 0:
            axes.annotate(quantity(value), (value, row), (7, 0), textcoords="offset points", va="center", fontsize=8)
    if found.observed is None:
        axes.set_title(f"Wrong readings: the {len(best)} of {len(found.variants)} that change the output most")
    else:
        axes.set_title(f"Wrong readings: the {len(best)} of {len(found.variants)} that come nearest")
    if best[0][0].residual is not None and found.rounding is not None and found.observed is not None:
        limit = MATCH * max(found.rounding, FLOOR)
        axes.axvline(limit, color=GREEN, linewidth=1, linestyle="--", label="rounding explains what lies to the left")
        nothing = (Observed(found.observed).rms or 0.0) / found.observed["std_b"]
        axes.axvline(nothing, color="black", linewidth=1, linestyle=":", label="nothing planted")
        figure.legend(loc="outside lower center", ncols=2)
    elif found.observed is not None:
        axes.axvline(1, color="black", linewidth=1, linestyle=":", label="as observed")
        figure.legend(loc="outside lower center")
    axes.margins(x=0.12)
    _log(axes, "x")
    _rows(axes, [tried.title for tried, _ in best])
    axes.set_xlabel(named)


# What pictures share.


def _dots(axes: Axes, values: Sequence[float | None], colour: str, marker: str, label: str = "") -> None:
    """One dot a row on a logarithmic axis, none for None; what is zero stands as a 0 at its left end."""
    shown = [value or math.nan for value in values]
    axes.plot(shown, range(len(values)), marker, color=colour, markersize=5, label=label)
    for row, value in enumerate(values):
        if value == 0:
            axes.annotate(
                "0", (0.0, row), (3, 0), ("axes fraction", "data"), "offset points", va="center", color=colour
            )
    axes.margins(x=0.1)
    _log(axes, "x")


def _rows(axes: Axes, labels: Sequence[str]) -> None:
    axes.set_yticks(range(len(labels)), [_short(label) for label in labels])
    axes.set_ylim(len(labels) - 0.4, -0.6)  # the first row on top
    for each in axes.figure.axes:
        each.grid(axis="both")
        each.tick_params(axis="y", length=0)


def _log(axes: Axes, name: str) -> None:
    """A logarithmic axis, long enough for two ticks."""
    from matplotlib.ticker import NullLocator

    axes.set(**{f"{name}scale": "log"})
    axis = getattr(axes, f"{name}axis")
    if math.isinf(getattr(axes.dataLim, f"minpos{name}")):  # all is zero, or unknown
        axis.set_major_locator(NullLocator())
        axis.set_minor_locator(NullLocator())
        return
    low, high = getattr(axes, f"get_{name}lim")()
    if high < 6 * low:
        middle = math.sqrt(low * high)
        low, high = middle / math.sqrt(6), middle * math.sqrt(6)
        axes.set(**{f"{name}lim": (low, high)})
    _ticks(axis, high / low)


def _ticks(axis: Axis, span: float) -> None:
    """Powers of ten; where they are few, ticks between them."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    if span < 1000:
        axis.set_major_locator(LogLocator(subs=(1, 2, 5) if span < 30 else (1, 3)))
    axis.set_major_formatter(FuncFormatter(lambda value, _: quantity(value)))
    axis.set_minor_formatter(NullFormatter())


def _short(label: str, longest: int = LONGEST) -> str:
    label = plain(label)
    return label if len(label) <= longest else label[: longest - 1] + "…"
