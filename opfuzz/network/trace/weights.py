"""How the parameters of one submodule relate to those of its counterpart."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from opfuzz.core.floats import FLOAT32, FloatArray
from opfuzz.network.diff.explanations import NOTHING, explain
from opfuzz.network.diff.pair import make_pair, relative_error
from opfuzz.network.trace.recording import Array

# Independent values of n elements correlate by about 1 / sqrt(n).
SIGMAS = 5.0

# A weight that both sides make from others, as from its norm and direction, is off by the rounding of two products.
ROUNDED = 4 * FLOAT32.unit_roundoff

# Of a quotient of variances: how near to (n - 1)/n, where n is at most so large that few others are as near.
NEAR_SHARE, MOST_TERMS = 2e-6, 256
MISSING, ADDED, EQUAL = "is in a only", "is in b only", "has the same values, "


@dataclass(frozen=True, slots=True)
class Weight:
    """One parameter of a, and what b has in its place. `relation` is empty where b has the same values."""

    name_a: str
    name_b: str
    relation: str


@dataclass(frozen=True, slots=True)
class Held:
    """A parameter that a module holds, itself or in a wrapper inside it."""

    name: str  # from the module on
    full_name: str
    kind: str  # the class of the module that owns it
    array: Array


@dataclass(frozen=True, slots=True)
class Origins:
    """What is known of all weights: a's by full name, their partners in b by value, and the frameworks."""

    a: Mapping[str, Array]
    partners: Mapping[str, str]
    frameworks: tuple[str, str]


def compare(a: Sequence[Held], b: Sequence[Held], origins: Origins) -> tuple[Weight, ...]:
    """Every parameter of a module of a against its counterpart in b: by value, by name, by a size of its own.

    One whose partner is in another module is not missing here.
    """
    of_b = {held.full_name: held for held in b}
    pairs: dict[str, Held] = {}

    def left() -> tuple[list[Held], list[Held]]:
        taken = {held.full_name for held in pairs.values()}
        return [x for x in a if x.full_name not in pairs], [y for y in b if y.full_name not in taken]

    for x in a:
        if (partner := origins.partners.get(x.full_name)) in of_b:
            pairs[x.full_name] = of_b[partner]
    for key in (lambda h: h.name, lambda h: h.name.rpartition(".")[2], lambda h: sorted(h.array.shape)):
        rest_a, rest_b = left()
        for x in rest_a:
            same = [[h for h in side if key(h) == key(x)] for side in (rest_a, rest_b)]
            if all(len(side) == 1 for side in same):
                pairs[x.full_name] = same[1][0]
    rest_a, rest_b = left()
    found = [
        Weight(x.name, pairs[x.full_name].name, _relation(x, pairs[x.full_name], origins))
        for x in a
        if x.full_name in pairs
    ]
    found += [Weight(x.name, "", MISSING) for x in rest_a if x.full_name not in origins.partners]
    elsewhere = set(origins.partners.values())
    return tuple(found + [Weight("", y.name, ADDED) for y in rest_b if y.full_name not in elsewhere])


def values_of_b(a: Sequence[Held], b: Sequence[Held], found: Sequence[Weight], origins: Origins) -> dict[str, Array]:
    """What b has in the place of the weights that differ, by their names in a and in the order of axes that a has.

    Zeros for a bias that is in a only. Left out is what has another size.
    """
    ours, theirs = {held.name: held for held in a}, {held.name: held for held in b}
    values = {}
    for w in found:
        if w.relation == MISSING and w.name_a.rpartition(".")[2] == "bias":
            values[w.name_a] = np.zeros_like(ours[w.name_a].array)
        if not w.relation or not w.name_a or not w.name_b:
            continue
        x, y = ours[w.name_a], theirs[w.name_b]
        order = np.argsort(_usual_order(f"{x.kind} {y.kind}", x.array.ndim, origins.frameworks))
        if x.array.ndim == y.array.ndim and y.array.transpose(order).shape == x.array.shape:
            values[w.name_a] = np.ascontiguousarray(y.array.transpose(order))
    return values


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


def _relation(held: Held, other: Held, origins: Origins) -> str:
    def usual(array: Array) -> Array:
        return array.transpose(_usual_order(f"{held.kind} {other.kind}", array.ndim, origins.frameworks))

    a, b = held.array, other.array
    expected = usual(a)
    if _lengths(expected) == _lengths(b) and _same(expected.reshape(b.shape), b):
        return ""
    if not a.size or not b.size or sorted(_lengths(a)) != sorted(_lengths(b)):
        return f"shape {list(b.shape)} against {list(a.shape)}"
    if not _varies(b) and b.dtype.kind != "c" and _varies(a):
        return f"is {float(b.flat[0]) + 0.0:g} everywhere: left at its start, or not loaded"
    for name, x in origins.a.items():
        is_like = x.shape == a.shape and usual(x).shape == b.shape and _varies(b)
        if is_like and name != held.full_name and _same(usual(x), b):
            return f"holds a's {name}"
    if {a.dtype.kind, b.dtype.kind} & {"b", "c"}:
        return "differs"
    pair = make_pair(expected, b)
    if pair is None:
        return "differs"
    if pair.mismatch:
        lost = pair.mismatch
        return f"is {lost.b:g} where a is {lost.a:g}, at {list(lost.index)} and {lost.count - 1} other places"
    if np.array_equal(pair.a, pair.b):
        return f"{EQUAL}{pair.layout.describe() or 'in another shape'}"
    if relative_error(pair.a, pair.b) <= ROUNDED:
        return ""
    sentence = explain(pair)
    if sentence == NOTHING or sentence.startswith("unrelated"):
        return _likeness(pair.a, pair.b)
    return re.sub(r"\b[AB]\b", lambda side: side[0].lower(), sentence) + _correction(held.full_name, pair.a, pair.b)


def _correction(name: str, a: FloatArray, b: FloatArray) -> str:
    """Of variances, that one is the sum of squares over n and the other over n - 1, as their quotient tells."""
    if "var" not in name.rpartition(".")[2]:
        return ""
    x, y = a - a.mean(), b - b.mean()
    factor = float(np.vdot(x, y) / np.vdot(x, x))
    for side, share in (("b", factor), ("a", 1 / factor if factor > 0 else 0.0)):
        count = round(1 / (1 - share)) if 0.5 - NEAR_SHARE < share < 1 - 1 / MOST_TERMS else 0
        if count > 1 and abs(share - (count - 1) / count) < NEAR_SHARE:
            return f": {side}'s is biased, {count - 1}/{count} of the variance of {count} values"
    return ""


def _varies(array: Array) -> bool:
    return bool((array != array.flat[0]).any())


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
