"""How the parameters of one submodule relate to those of its counterpart."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from opfuzz.core.floats import FloatArray
from opfuzz.network.diff.explanations import NOTHING, explain
from opfuzz.network.diff.pair import make_pair, relative_error
from opfuzz.network.trace.recording import Array, TracedPart

# Independent values of n elements correlate by about 1 / sqrt(n).
SIGMAS = 5.0

MISSING, ADDED = "is in a only", "is in b only"


@dataclass(frozen=True, slots=True)
class Weight:
    """One parameter of a, and what b has in its place. `relation` is empty where b has the same values."""

    name_a: str
    name_b: str
    relation: str


def compare(a: TracedPart, b: TracedPart, frameworks: tuple[str, str], rest: Mapping[str, Array]) -> tuple[Weight, ...]:
    """Every parameter of a submodule of a against its counterpart; `rest`: all parameters of a, by full name."""
    pairs = {name: name for name in a.parameters if name in b.parameters}
    left_a = [name for name in a.parameters if name not in pairs]
    left_b = [name for name in b.parameters if name not in pairs]
    for name in left_a:
        size = sorted(a.parameters[name].shape)
        ours = [n for n in left_a if sorted(a.parameters[n].shape) == size]
        theirs = [n for n in left_b if sorted(b.parameters[n].shape) == size]
        if len(ours) == len(theirs) == 1:
            pairs[name] = theirs[0]

    def usual(array: Array) -> Array:
        return array.transpose(_usual_order(a.kind, array.ndim, frameworks))

    found = [
        Weight(n, pairs[n], _relation(x, b.parameters[pairs[n]], usual, rest)) if n in pairs else Weight(n, "", MISSING)
        for n, x in a.parameters.items()
    ]
    return tuple(found + [Weight("", n, ADDED) for n in b.parameters if n not in pairs.values()])


def _usual_order(kind: str, axes: int, frameworks: tuple[str, str]) -> Sequence[int]:
    """The axes of a's parameter in the order in which the framework of b keeps them.

    A convolution is (out, in, kernel) in torch, and (in, out, kernel) if transposed; (out, kernel, in) in MLX.
    """
    if axes < 3 or "conv" not in kind.lower() or frameworks[0] == frameworks[1]:
        return range(axes)
    is_transposed = "transpose" in kind.lower()
    if frameworks[1] == "mlx":
        return (1, *range(2, axes), 0) if is_transposed else (0, *range(2, axes), 1)
    return (axes - 1, 0, *range(1, axes - 1)) if is_transposed else (0, axes - 1, *range(1, axes - 1))


def _relation(a: Array, b: Array, usual: Callable[[Array], Array], rest: Mapping[str, Array]) -> str:
    expected = usual(a)
    if expected.shape == b.shape and _same(expected, b):
        return ""
    if not a.size or not b.size or sorted(_lengths(a)) != sorted(_lengths(b)):
        return f"shape {list(b.shape)} against {list(a.shape)}"
    if np.ptp(b) == 0 and np.ptp(a) != 0:
        return f"is {float(b.flat[0]) + 0.0:g} everywhere: left at its start, or not loaded"
    for name, other in rest.items():
        if other.shape == a.shape and usual(other).shape == b.shape and _same(usual(other), b) and np.ptp(b) != 0:
            return f"holds a's {name}"
    pair = make_pair(expected, b)
    if pair is None:
        return "differs"
    if pair.mismatch:
        lost = pair.mismatch
        return f"is {lost.b:g} where a is {lost.a:g}, at {list(lost.index)} and {lost.count - 1} other places"
    if np.array_equal(pair.a, pair.b):
        return f"has the same values, {pair.layout.describe() or 'in another shape'}"
    sentence = explain(pair)
    if sentence == NOTHING or sentence.startswith("unrelated"):
        return _likeness(pair.a, pair.b)
    return re.sub(r"\b[AB]\b", lambda side: side[0].lower(), sentence)


def _lengths(array: Array) -> list[int]:
    return [length for length in array.shape if length != 1]


def _same(a: Array, b: Array) -> bool:
    # Most arrays that differ do so at their first elements.
    return all(np.array_equal(x, y, equal_nan=True) for x, y in ((a.flat[:16], b.flat[:16]), (a, b)))


def _likeness(a: FloatArray, b: FloatArray) -> str:
    x, y = a - a.mean(), b - b.mean()
    lengths = float(np.linalg.norm(x) * np.linalg.norm(y))
    correlation = float(np.vdot(x, y)) / lengths if lengths else 0.0
    if a.size > 3 and abs(correlation) < min(0.9, SIGMAS / a.size**0.5):
        return f"unrelated (correlation {correlation:.2g}): left at its random start, or another layer's"
    return f"differs by {relative_error(a, b):.2g} of its size (correlation {correlation:.6g})"
