"""Models of arithmetic: how a result errs, as settings of one walk of the graph."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from math import sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray

from opfuzz.core.floats import BFLOAT16, FLOAT16, FLOAT32, FLOAT64, FloatArray, Format
from opfuzz.core.metrics.ulp import NOTHING, flat
from opfuzz.oracle.graph import Node

Radius = FloatArray | None  # None: exactly zero everywhere
TINY = 2.0**-1074
U64 = 2.0**-53


@dataclass(frozen=True, slots=True, eq=False)
class Arithmetic:
    """How one arithmetic errs. Roundoffs are relative; `underflow` is the absolute error of a result near zero.

    Each is itself alone: the usual ones are made once, and what is known of numbers under them is found by them.
    """

    name: str
    roundoff: float = 0.0  # of + - * / sqrt and of constants
    elementary: float | None = None  # of exp, erf ...; None: the tested bounds of float64
    inputs: float = 0.0  # of every input, before anything is computed
    factors: float = 0.0  # of both factors of a matrix product or convolution
    underflow: float = 0.0
    independent: bool = False  # roundings behave as independent: sums grow as sqrt(n) + 2
    quadrature: bool = False  # and so do the radii of what is added up
    repeats: float = 1.0  # how many terms of a sum are equal, whose roundings are then the same and add up
    flush: float = 0.0  # inputs smaller than this may be taken for zero
    format: Format | None = None  # in which it computes, where that is one
    sums: float | None = None  # roundoff inside sums, which are then rounded once; None: as everywhere
    saved: float = 0.0  # roundoff of what is kept for the way back
    tables: Arithmetic | None = None  # for whole numbers and what no input has a part in; None: as everywhere

    @property
    def in_sums(self) -> float:
        """Roundoff of the partial sums."""
        return self.roundoff if self.sums is None else self.sums

    def grown(self, count: int) -> float:
        """How many roundings a sum of so many terms comes to where they behave as independent."""
        return (sqrt(count) if self.repeats == 1.0 else min(sqrt(count * self.repeats), count)) + 2

    def joined(self, squares: FloatArray, count: int) -> FloatArray:
        """The radius of a sum of so many terms, from the sum of the squares of theirs."""
        return np.sqrt(squares) if self.repeats == 1.0 else np.sqrt(squares * min(self.repeats, count))

    @property
    def is_truth(self) -> bool:
        """Whether the radius must be a proof."""
        return self.name == "truth"


TRUTH = Arithmetic("truth", roundoff=U64, underflow=TINY)


@cache
def conditioning(fmt: Format) -> Arithmetic:
    """Each input rounded once to `fmt`, exact operations."""
    return Arithmetic("conditioning", inputs=fmt.unit_roundoff)


def working(name: str, fmt: Format, factors: float = 0.0) -> Arithmetic:
    """An honest implementation that computes in `fmt`, elementary functions within 2 ulp (4 u).

    `factors`: the factors of products are rounded to fewer bits first, as TF32 (2^-11) and bfloat16 (2^-8) units do.
    """
    u = fmt.unit_roundoff
    # Sums grow as sqrt(n) + 2, not n: n would hide TF32 inputs at K = 4096 (excess 0.09 instead of 5.5).
    return Arithmetic(
        name,
        u,
        4 * u,
        factors=factors,
        underflow=fmt.smallest_subnormal / 2,
        independent=True,
        quadrature=True,
        format=fmt,
    )


def wide_format(fmt: Format) -> Format:
    """What an honest implementation computes in: float32 for the half formats, the format itself otherwise."""
    return FLOAT32 if fmt.bits == 16 else fmt


@cache
def usual_arithmetic(fmt: Format) -> Arithmetic:
    """An honest implementation of an op on numbers of a format."""
    return working("wide", wide_format(fmt))


@cache
def flushing(fmt: Format) -> Arithmetic:
    """An honest implementation in `fmt` that takes subnormal inputs and intermediates for zero.

    Flushing errs towards zero every time, so its radii add up linearly.
    """
    smallest = fmt.smallest_normal
    return replace(working("flushing", fmt), underflow=smallest, flush=smallest, quadrature=False)


@cache
def rounded(fmt: Format, wide: Format) -> Arithmetic:
    """One that rounds every intermediate to a half format, as many do, but no partial sum, count or table.

    With the exponents of the wide format also its subnormals, which may be taken for zero.
    """
    model = flushing(fmt) if fmt.emin == wide.emin else working("narrow", fmt)
    return replace(model, name="narrow", sums=wide.unit_roundoff, tables=working("tables", wide))


def lower_than(wide: Format, fmt: Format, has_products: bool) -> list[Arithmetic]:
    """Models of less than the arithmetic that is usual in a format, nearest first: what a subject may behave like."""
    found: list[Arithmetic] = []
    if fmt.bits == 16:
        found.append(rounded(fmt, wide))
    if fmt is FLOAT64:
        # float64 that a float32 function computes also loses what that function flushes to zero.
        found.append(replace(flushing(FLOAT32), name="float32 inside"))
    if has_products:
        found += [
            working(f"factors of {bits} bits", wide, factors=2.0**-bits) for bits in (11, 8) if bits < fmt.precision
        ]
    if fmt.bits > 16:
        found += [working("float16 inside", FLOAT16), working("bfloat16 inside", BFLOAT16)]
    return found


@cache
def kernels() -> Any:
    """The compiled passes, imported when the first ball is made."""
    return importlib.import_module("opfuzz.oracle.arithmetic.kernels")


def row(array: FloatArray | None, shape: tuple[int, ...]) -> FloatArray:
    """The elements of a shape in a row, as passes take them; none for a radius that is zero throughout."""
    if array is None:
        return NOTHING
    if array.shape == shape:
        return array.ravel()
    filled = np.empty(shape)  # takes a third of the time of broadcasting
    filled[...] = array
    return filled.ravel()


# A rule takes the midpoints and returns: the midpoint, a function from the radii of the arguments and a model to the
# radius, and where the result is an IEEE pole, which is asked for only where a result is not finite.

RadiusOf = Callable[[list[Radius], Arithmetic], Radius]
PoleOf = Callable[[], NDArray[np.bool_]] | None
Rule = Callable[[Node, list[FloatArray]], tuple[FloatArray, RadiusOf, PoleOf]]


def added(*parts: Radius) -> Radius:
    present = [p for p in parts if p is not None]
    if len(present) < 2:
        return present[0] if present else None
    total = present[0] + present[1]
    for part in present[2:]:
        if part.shape in (total.shape, ()):
            total += part
        else:
            total = total + part
    return total


def times(factor: FloatArray, radius: Radius) -> Radius:
    return None if radius is None else np.abs(factor) * radius


class Rounding:
    """What one rounding of a midpoint may do under each model; its size is taken once."""

    __slots__ = ("_size", "mid")

    def __init__(self, mid: FloatArray) -> None:
        self.mid = mid
        self._size: FloatArray | None = None

    @property
    def size(self) -> FloatArray:
        """abs(mid)."""
        if self._size is None:
            self._size = np.abs(self.mid)
        return self._size

    def of(self, model: Arithmetic, relative: float | None = None, underflows: bool = True) -> Radius:
        """The radius; `relative` stands for the model's own roundoff."""
        roundoff = model.roundoff if relative is None else relative
        if roundoff == 0.0:
            return None
        underflow, flush = (model.underflow, model.flush) if underflows else (0.0, 0.0)
        rounding = np.empty(self.mid.shape)
        kernels().rounding(flat(self.mid), roundoff, underflow, flush, rounding.reshape(-1))
        return rounding


def filled(radius: Radius, mid: FloatArray) -> FloatArray:
    return np.zeros(mid.shape) if (found := full(radius, mid)) is None else found


def full(radius: Radius, mid: FloatArray) -> Radius:
    # Asked for with every operation: broadcasting costs as much as adding a thousand numbers.
    return radius if radius is None or radius.shape == mid.shape else np.broadcast_to(radius, mid.shape)
