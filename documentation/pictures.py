"""Pictures of the explanations, from what the program itself computes: light and dark, as SVG."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import erf

from documentation.judged import Array, reference
from opfuzz.core.rounding import round_to_bits
from opfuzz.judge.limits import EXCESS_LIMIT
from opfuzz.judge.settle import examine
from opfuzz.oracle.truth import TIGHT
from opfuzz.report.network.pictures import BLUE, GREY, ORANGE, picture

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

LIGHT = {"ink": "#333333", "grid": "#dddddd", "blue": BLUE, "orange": ORANGE}
DARK = {"ink": "#d5d8df", "grid": "#44485a", "blue": "#56b4e9", "orange": "#f0803c"}
RAISED = str.maketrans("0123456789-", "⁰¹²³⁴⁵⁶⁷⁸⁹⁻")
Colours = Mapping[str, str]
Paint = Callable[["Figure", Colours], None]


def pictures() -> dict[str, str]:
    """SVG by file name, each twice."""
    painters: dict[str, Paint] = {"raw-ulp": _raw_ulp, "allowance": _allowance, "truth": _truth}
    return {
        f"{name}-{shade}.svg": _drawn(paint, colours)
        for name, paint in painters.items()
        for shade, colours in (("light", LIGHT), ("dark", DARK))
    }


def _drawn(paint: Paint, colours: Colours) -> str:
    import matplotlib

    ink = dict.fromkeys(
        ("text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color", "ytick.color"), colours["ink"]
    )
    style = {**ink, "axes.grid": True, "grid.color": colours["grid"], "axes.facecolor": "none", "path.simplify": False}

    def painted(figure: Figure) -> None:
        matplotlib.rcParams.update(style)
        figure.patch.set_alpha(0)
        paint(figure, colours)

    # Points to a hundredth, and a path in one line: half as large.
    return re.sub(r"\n(?=[ML] )", " ", re.sub(r"(\d\.\d\d)\d+", r"\1", picture(painted, height=3.2)))


def _dots(axes: Axes, x: Array, y: Array, colour: str, label: str = "") -> None:
    """A dot a point, all of them one path: markers take four times the space."""
    gaps = np.full(len(x), np.nan)
    points = np.stack([x, x, gaps], axis=1).reshape(-1), np.stack([y, y, gaps], axis=1).reshape(-1)
    axes.plot(*points, color=colour, linewidth=2.6, solid_capstyle="round", label=label or None)


def _powers(axes: Axes, which: str) -> None:
    """A logarithmic axis of powers of ten, not too many."""
    from matplotlib.ticker import LogLocator, NullLocator

    getattr(axes, f"set_{which}scale")("log")
    axis = getattr(axes, f"{which}axis")
    axis.set_major_locator(LogLocator(numticks=7))
    axis.set_major_formatter(lambda value, place: f"10{str(round(np.log10(value))).translate(RAISED)}")
    axis.set_minor_locator(NullLocator())


# Why raw ulp misleads: dot products, the more of their terms cancel.

TERMS, COLUMNS, PRODUCTS = 256, 16, 120


def dot_products() -> Mapping[str, tuple[Array, Array, Array]]:
    """How much cancels, ulp error and excess, the largest of 16 dot products each: in float32, and with TF32."""
    random = np.random.default_rng(22)
    found: dict[str, list[tuple[float, float, float]]] = {"float32, honest": [], "TF32 inputs, a fault": []}
    for number in range(PRODUCTS):
        a = random.standard_normal((1, TERMS)).astype(np.float32)
        b = random.standard_normal((TERMS, COLUMNS)).astype(np.float32)
        rest = a[:, :-1].astype(np.float64) @ b[:-1]  # the last term takes off all but a share of the others
        a[0, -1], b[-1] = 1, -rest[0] * (1 - 10.0 ** (-7 * number / PRODUCTS))
        exact = reference("matmul", {"a": a[None], "b": b[None]}, {"batch": 1, "m": 1, "k": TERMS, "n": COLUMNS})
        wide = round_to_bits(a, 11).astype(np.float64) @ round_to_bits(b, 11)
        for name, output in zip(found, (a @ b, wide.astype(np.float32)), strict=True):
            measured = examine(output[None], exact)
            cancelled = np.abs(a.astype(np.float64)) @ np.abs(b) / np.abs(measured.truth.hi[0])
            found[name].append((float(np.median(cancelled)), measured.largest_ulp, measured.largest_excess))
    return {name: tuple(map(np.array, zip(*rows, strict=True))) for name, rows in found.items()}  # type: ignore[misc]


def _raw_ulp(figure: Figure, colours: Colours) -> None:
    left, right = figure.subplots(1, 2)
    for (name, (cancelled, ulps, excesses)), colour in zip(
        dot_products().items(), (colours["blue"], colours["orange"]), strict=True
    ):
        _dots(left, cancelled, np.maximum(ulps, 0.1), colour, name)
        _dots(right, cancelled, np.maximum(excesses, 1e-3), colour, name)
    right.axhline(EXCESS_LIMIT, color=GREY, linestyle="--")
    right.text(20, EXCESS_LIMIT * 0.4, f"the limit, {EXCESS_LIMIT:g}", fontsize=8)
    left.set_title("ulp: no line tells them apart")
    right.set_title("excess: one line does")
    left.set_ylabel("error in ulp")
    right.set_ylabel("error / (ulp/2 + allowance)")
    for axes in (left, right):
        _powers(axes, "x")
        _powers(axes, "y")
        axes.set_xlabel("terms' sizes added up / size of the result")
    left.legend(loc="upper left", fontsize=8, handlelength=0.8)


# What an allowance is: GELU, whose usual formula loses its left tail.


def gelus() -> tuple[Array, Array, Mapping[str, Array]]:
    """Arguments, the limit in ulp, and the errors in ulp of two float32 GELUs: the usual formula, and that by tanh."""
    x = np.linspace(-5.2, 4, 240).astype(np.float32)
    exact = reference("gelu", {"x": x.reshape(1, -1)}, {"batch": 1, "n": x.size})
    half, one, root = np.float32(0.5), np.float32(1), np.float32(np.sqrt(2))
    slope = np.float32(np.sqrt(2 / np.pi))
    outputs = {
        "the usual formula, honest": half * x * (one + erf(x / root)),
        "by tanh, a fault": half * x * (one + np.tanh(slope * (x + np.float32(0.044715) * x * x * x))),
    }
    errors = {name: examine(each.reshape(1, -1), exact).ulps[0] for name, each in outputs.items()}
    spacing = exact.truth.spacing[0]
    return x, EXCESS_LIMIT * (0.5 + exact.wide[0] / spacing), errors


def _allowance(figure: Figure, colours: Colours) -> None:
    x, limit, errors = gelus()
    axes = figure.subplots()
    axes.fill_between(x, 0.05, limit, color=colours["blue"], alpha=0.18, linewidth=0)
    axes.plot(x, limit, color=colours["blue"], label=f"the limit: {EXCESS_LIMIT:g} x (1/2 + allowance)")
    for (name, error), colour in zip(errors.items(), (colours["blue"], colours["orange"]), strict=True):
        _dots(axes, x, np.maximum(error, 0.06), colour, name)
    _powers(axes, "y")
    axes.set_ylim(0.05, None)
    axes.set_xlabel("x")
    axes.set_ylabel("ulp of float32")
    axes.set_title("GELU in float32: how far an honest implementation may be off, and two that are")
    axes.legend(loc="upper right", fontsize=8, handlelength=0.8)


# How truth is proved: how wide the enclosures of float64 are.


def enclosures() -> Mapping[str, Array]:
    """Radii of the first, float64 enclosure in ulp of float32, element by element, of some ops on some inputs."""
    random = np.random.default_rng(22)

    def normal(*shape: int) -> Array:
        return random.standard_normal(shape).astype(np.float32)

    a, b = normal(1, 12, 256), normal(1, 256, 12)
    cancelling = np.concatenate([a, -a * (1 + 2.0**-20 * normal(1, 12, 256))], axis=2).astype(np.float32)
    square = {"batch": 1, "m": 12, "n": 12}
    rows = {"batch": 12, "n": 64}
    calls = {
        "exp": ("exp", {"x": normal(12, 64)}, rows),
        "gelu": ("gelu", {"x": normal(12, 64)}, rows),
        "softmax": ("softmax", {"x": normal(12, 64)}, rows),
        "matmul": ("matmul", {"a": a, "b": b}, {**square, "k": 256}),
        "matmul, cancelling": ("matmul", {"a": cancelling, "b": np.concatenate([b, b], axis=1)}, {**square, "k": 512}),
    }
    found = {name: reference(*call).truth for name, call in calls.items()}
    return {name: (truth.radius / truth.spacing).reshape(-1)[:144] for name, truth in found.items()}


def _truth(figure: Figure, colours: Colours) -> None:
    axes = figure.subplots()
    random = np.random.default_rng(0)
    found = enclosures()
    for place, radii in enumerate(reversed(list(found.values()))):
        high = place + 0.5 * (random.random(radii.size) - 0.5)
        sure = radii <= TIGHT
        for which, colour in ((sure, colours["blue"]), (~sure, colours["orange"])):
            _dots(axes, radii[which], high[which], colour)
    _powers(axes, "x")
    axes.axvline(TIGHT, color=GREY, linestyle="--")
    axes.text(TIGHT * 1.3, len(found) - 0.5, f"{TIGHT:g} ulp: wider ones are computed again", fontsize=8)
    axes.set_yticks(range(len(found)), list(reversed(found)))
    axes.set_ylim(-0.6, len(found) - 0.2)
    axes.set_xlabel("radius of the float64 enclosure, in ulp of float32")
    axes.set_title("How exact the exact values are at first: a dot an element")
