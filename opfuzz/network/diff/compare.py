"""One tensor of two files: the figures of their difference, and what it is."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from opfuzz.core.floats import FORMATS, ulp_distance
from opfuzz.network.diff.explanations import explain
from opfuzz.network.diff.orders import cropped, exchanged_axes
from opfuzz.network.diff.pair import Mismatch, Pair, make_pair, relative_error
from opfuzz.network.drift import Drift
from opfuzz.network.rearrange import Rearrangement

FIRST = 4  # values of each side that are shown


@dataclass(frozen=True, slots=True)
class Side:
    """One of the two tensors, over its finite elements; NaN where there are none."""

    name: str
    shape: tuple[int, ...]
    dtype: str
    mean: float
    std: float
    min: float
    max: float
    first: tuple[float, ...]  # in memory, finite or not


@dataclass(frozen=True, slots=True)
class TensorComparison:
    """How far tensor B is from tensor A. Figures are over the elements finite in both."""

    a: Side
    b: Side
    drift: Drift | None  # None: shapes that cannot be matched, or nothing finite in both
    max_ulp: float | None  # over elements normal in both; None: formats that differ, or are no floats
    relative: float  # the larger of rms(b - a) / rms(a) and max |b - a| / max |a|
    unit: float  # unit roundoff u of the coarser format
    mismatch: Mismatch | None
    diverges: bool  # more than rounding
    explanation: str
    # Where B is A with axes of equal lengths exchanged: the comparison in that order, in which it does not diverge.
    exchanged: TensorComparison | None = None
    is_excused: bool = False  # it differs, and the module that it is inside of gives the same

    @property
    def name(self) -> str:
        """The name in the first file."""
        return self.a.name

    @property
    def is_input(self) -> bool:
        """Whether it is an input of the whole model, by its name."""
        return is_input(self.name)

    @property
    def inherited(self) -> float:
        """Root mean square of the difference over the spread of A: what a next layer takes over."""
        if self.drift is None or self.mismatch:
            return float("inf") if self.diverges else 0.0
        spread = self.drift.std_a or abs(self.a.mean)  # a constant has no spread
        return self.drift.rms / spread if spread else float("inf") if self.drift.rms else 0.0


def is_input(name: str) -> bool:
    """Whether a tensor is an input of the whole model, by its name."""
    return "input" in name.split(".")[:2]


def compare(a: NDArray[Any], b: NDArray[Any], names: tuple[str, str], *, is_given: bool = False) -> TensorComparison:
    """Figures and explanation for two tensors of any shapes and dtypes; `is_given`: nothing computes them."""
    sides = _side(names[0], a), _side(names[1], b)
    pair = make_pair(a, b)
    if pair is None:
        words = f"shapes {list(a.shape)} and {list(b.shape)} do not fit"
        found = cropped(a, b)
        return TensorComparison(
            *sides, None, None, float("inf"), 0.0, None, True, f"{words}; {found}" if found else words
        )
    pair = replace(pair, is_given=is_given)
    straight = _compared(a, b, sides, pair)
    if straight.diverges and (way := exchanged_axes(pair)):
        again = replace(pair, a=way.apply(pair.a), layout=way)
        return replace(straight, exchanged=_compared(a, b, sides, again))
    return straight


def _compared(a: NDArray[Any], b: NDArray[Any], sides: tuple[Side, Side], pair: Pair) -> TensorComparison:
    relative, max_ulp = relative_error(pair.a, pair.b), _largest_distance(a, b, pair.layout)
    if pair.mismatch:
        found = _one_sided(pair.mismatch, relative, pair)
    elif relative == 0:
        found = "equal bits" if a.dtype == b.dtype and a.tobytes() == b.tobytes() else "equal values"
    elif pair.is_rounding:
        found = f"rounding: {max_ulp:.0f} ulp at most" if max_ulp is not None else "rounding"
        if a.dtype != b.dtype:
            found = f"rounding of {sides[0].dtype} against {sides[1].dtype}"
    else:
        found = explain(pair)
    return TensorComparison(
        *sides,
        drift=pair.drift,
        max_ulp=max_ulp,
        relative=relative,
        unit=pair.unit,
        mismatch=pair.mismatch,
        diverges=bool(pair.mismatch) or not pair.is_rounding or pair.layout.is_scrambled,
        explanation=_with_layout(found, pair),
    )


def _with_layout(found: str, pair: Pair) -> str:
    """What the difference is, and the layout: as a cause only where B is A in it, else as how they were compared."""
    layout, use = pair.layout.describe(), pair.layout.describe_use()
    if not layout:
        return found
    return f"{layout}; {found}" if pair.is_rounding and not pair.mismatch else f"{found} ({use})"


def _side(name: str, array: NDArray[Any]) -> Side:
    flat = array.ravel()
    with np.errstate(invalid="ignore", over="ignore"):
        values = np.abs(flat) if flat.dtype.kind == "c" else flat.astype(np.float64)
        first = tuple(float(x) for x in values[:FIRST])
        finite = values[np.isfinite(values)]
        if not finite.size:
            nothing = float("nan")
            return Side(name, array.shape, array.dtype.name, nothing, nothing, nothing, nothing, first)
        figures = (float(finite.mean()), float(finite.std()), float(finite.min()), float(finite.max()))
    return Side(name, array.shape, array.dtype.name, *figures, first)


def _one_sided(mismatch: Mismatch, relative: float, pair: Pair) -> str:
    count = (
        f"{mismatch.count} of {pair.a.size} elements are NaN or infinite in one tensor and not the same in the other"
    )
    where = f"first at {list(mismatch.index)}: A {mismatch.a:.6g}, B {mismatch.b:.6g}"
    rest = "only rounding" if pair.is_rounding else f"a relative error of {relative:.2g}"
    return f"not finite: {count} ({where}); between the others {rest}"


def _largest_distance(a: NDArray[Any], b: NDArray[Any], layout: Rearrangement) -> float | None:
    """Largest ulp distance over elements where both are normal numbers; 0 where there are none."""
    if a.dtype != b.dtype or a.dtype.name not in FORMATS:
        return None
    fmt, a = FORMATS[a.dtype.name], layout.apply(a)
    with np.errstate(invalid="ignore"):
        size = np.minimum(np.abs(a), np.abs(b)), np.maximum(np.abs(a), np.abs(b))
        normal = (size[0] >= fmt.dtype.type(fmt.smallest_normal)) & np.isfinite(size[1])
    return float(ulp_distance(a, b)[normal].max(initial=0.0))
