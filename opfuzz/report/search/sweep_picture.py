"""A sweep in a picture: the largest ulp error against the input, on a signed logarithmic axis."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from opfuzz.core.floats import FORMATS, FloatArray, Format, from_bits
from opfuzz.report.network.pictures import BLUE, GREY, ORANGE, picture
from opfuzz.report.text import plain, quantity

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

POINTS_BITS = 10  # leading bits of an input that share a point of the picture: 1024 of them
FLOOR = 1e-3  # ulp: what is smaller stands at the lower edge
GAP = 4.0  # octaves between the two halves of the axis

Buckets = Mapping[int, float]


def draw(document: Mapping[str, Any], body: Buckets, tail: Buckets) -> str:
    """SVG. `body` and `tail` have the largest ulp error by the 12 leading bits of the input."""

    def paint(figure: Figure) -> None:
        _paint(figure, document, body, tail)

    return picture(paint, height=3.2, is_laid_out=True)


def _paint(figure: Figure, document: Mapping[str, Any], body: Buckets, tail: Buckets) -> None:
    fmt = FORMATS[document["format"]]
    axes = figure.subplots()
    figure.subplots_adjust(left=0.09, right=0.98, top=0.92, bottom=0.24)  # the same for all: a folder has hundreds
    is_same = not document["tail"]["differing"]
    for buckets, colour, width, label in (
        (tail, ORANGE, 2.4, "scalar tail"),
        (body, BLUE, 0.9, "vector body and scalar tail, same bits" if is_same else "vector body"),
    ):
        if buckets is tail and is_same:
            continue
        for number, (places, values) in enumerate(_lines(buckets, fmt)):
            name = label if number == 0 else ""
            axes.plot(places, np.maximum(values, FLOOR), color=colour, linewidth=width, label=name)
    axes.axhline(0.5, color=GREY, linewidth=0.8, linestyle=":", label="0.5: correctly rounded")
    axes.set_yscale("log")
    axes.minorticks_off()
    low, high = axes.get_ylim()
    axes.set_ylim(max(low, FLOOR / 1.5), max(high, 2.0))
    axes.yaxis.set_major_formatter(lambda value, _: quantity(value))
    _signed_log(axes, fmt)
    axes.grid(axis="y")
    name = plain(f"{document['op']} on {document['subject']}, {document['format']}")
    largest = max((document, document["tail"]), key=lambda figures: figures["max_ulp"])
    axes.set_title(f"{name}: at most {largest['max_ulp']:.6g} ulp, at {largest['at']:.9g}", y=1.01)
    axes.set_ylabel("largest error, in ulp")
    axes.set_xlabel("input")
    figure.legend(loc="lower center", ncols=3)


def _lines(buckets: Buckets, fmt: Format) -> list[tuple[FloatArray, FloatArray]]:
    """Places and values for negative and positive inputs, broken where there is no normal result."""
    coarse: dict[int, float] = {}
    for bucket, value in buckets.items():
        coarse[bucket >> 2] = max(value, coarse.get(bucket >> 2, 0.0))
    half = 2 ** (POINTS_BITS - 1)
    lines = []
    for sign in (0, half):
        present = [bucket for bucket in range(sign, sign + half) if bucket in coarse]
        if not present:
            continue
        every = range(present[0], present[-1] + 1)
        middles = (np.array(every, np.uint64) * np.uint64(2) + np.uint64(1)) << np.uint64(fmt.bits - POINTS_BITS - 1)
        with np.errstate(all="ignore"):
            places = _place(from_bits(middles, fmt).astype(np.float64), fmt)
        lines.append((places, np.array([coarse.get(bucket, math.nan) for bucket in every])))
    return lines


def _place(inputs: FloatArray, fmt: Format) -> FloatArray:
    """Octaves above the smallest number, with the sign of the input; the smallest stands GAP from the middle."""
    start = math.log2(fmt.smallest_subnormal)
    return np.asarray(np.sign(inputs) * (np.log2(np.abs(inputs)) - start + GAP))


def _signed_log(axes: Axes, fmt: Format) -> None:
    low, high = math.log10(fmt.smallest_subnormal), math.log10(fmt.largest)
    step = 2 if high - low < 20 else (10 if high - low < 100 else 100)
    exponents = [e for e in range(-400, 401, step) if low + step / 2 <= e <= high]
    values = np.array([sign * 10.0**e for sign in (-1, 1) for e in exponents])
    labels = [f"{'-' if v < 0 else ''}1e{e}" for v, e in zip(values, [*exponents, *exponents], strict=True)]
    axes.set_xticks(_place(values, fmt), labels)
    edge = float(_place(np.array([fmt.largest]), fmt)[0])
    axes.set_xlim(-edge - GAP, edge + GAP)
    axes.axvline(0, color=GREY, linewidth=0.8)
