"""A rotation of pairs of channels by an angle for each position, as RoPE is, read otherwise.

Whatever its calls are, a rotation is a sum of x * cos and y * sin, where y holds the channels of x in another order,
half of them with the other sign. Which channel goes with which is read from the values.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from opfuzz.network.observe.records import CallResult, ObservedCall, Plant
from opfuzz.network.pipeline.planting import UnfitError
from opfuzz.network.readings.reading import Array, Reading, SeenModule, is_float, one

PARTS = (0.25, 0.4, 0.5, 0.75)  # of the channels, that are turned
UNIT = 1e-5  # cos^2 + sin^2 is 1 to this


@dataclass(frozen=True, slots=True)
class Rotation:
    """x turned: channel i by -partner[i] * sin, or plus; angles are those of the first channel of each pair."""

    call: ObservedCall  # the sum
    x: Array
    cos: Array
    sin: Array
    pairs: Array  # [width / 2, 2]: x0 cos - x1 sin, x1 cos + x0 sin

    @property
    def angles(self) -> Array:
        """Of each pair, in the shape of cos without its last axis, and the pairs."""
        return np.arctan2(self.sin, self.cos)[..., self.pairs[:, 0]]

    def turn(self, x: Array, pairs: Array, angles: Array) -> Array:
        """x with these pairs turned by these angles."""
        found = np.array(x, np.float64)
        first, second = x[..., pairs[:, 0]], x[..., pairs[:, 1]]
        c, s = np.cos(angles), np.sin(angles)
        found[..., pairs[:, 0]] = first * c - second * s
        found[..., pairs[:, 1]] = second * c + first * s
        return found


def rotations(seen: SeenModule) -> Iterator[Rotation]:
    """Every sum that is one."""
    for call in seen.of("add"):
        parts = [_product(seen, operand) for operand in call.args[:2] if isinstance(operand, CallResult)]
        if len(parts) != 2 or any(part is None for part in parts):
            continue
        ways = ((first, second) for first in _factors(parts[0]) for second in _factors(parts[1]))
        found = next((r for first, second in ways if (r := _read(call, first, second))), None)
        if found:
            yield found


def _product(seen: SeenModule, operand: CallResult) -> tuple[Array, Array] | None:
    made = seen.whole.calls[operand.call]
    if made.family != "mul" or len(made.args) != 2:
        return None
    values = [seen.value(x) for x in made.args]
    return (values[0], values[1]) if all(is_float(x) for x in values) else None  # type: ignore[return-value]


def _factors(part: tuple[Array, Array] | None) -> Iterator[tuple[Array, Array]]:
    if part:
        yield part
        yield part[1], part[0]


def _read(call: ObservedCall, first: tuple[Array, Array], second: tuple[Array, Array]) -> Rotation | None:
    (x, cos), (y, sin) = first, second
    width = x.shape[-1] if x.ndim else 0
    if x.shape != y.shape or width % 2 or not width or cos.shape != sin.shape or cos.shape[-1:] != (width,):
        return None
    if np.abs(cos.astype(np.float64) ** 2 + sin.astype(np.float64) ** 2 - 1).max() > UNIT:
        return None
    rows, others = (np.ascontiguousarray(z).reshape(-1, width) for z in (x, y))
    pairs = []
    for i in range(width):
        partner = next((j for j in range(width) if j != i and np.array_equal(others[:, i], -rows[:, j])), None)
        if partner is not None:
            pairs.append((i, partner))
        elif not any(np.array_equal(others[:, i], rows[:, j]) for j in range(width)):
            return None
    listed = np.array(pairs)
    is_whole = len(pairs) == width // 2 and len(set(listed.ravel())) == width
    return Rotation(call, x, cos, sin, listed) if is_whole else None


def turned_otherwise(seen: SeenModule) -> Iterator[Reading]:
    """Other pairs, the other direction, other positions, or none."""
    for r in rotations(seen):
        width = r.x.shape[-1]
        halves = np.stack((np.arange(width // 2), np.arange(width // 2) + width // 2), axis=-1)
        neighbours = np.arange(width).reshape(-1, 2)
        known = {"halves": halves, "neighbours": neighbours}
        own = next((name for name, pairs in known.items() if np.array_equal(r.pairs, pairs)), "")
        for pairs, words, instead in (
            (neighbours, "RoPE turns neighbouring channels, not halves", "neighbours"),
            (halves, "RoPE turns halves, not neighbouring channels", "halves"),
        ):
            if own and own != instead:
                yield one(r.call, words, _turned(r, pairs, r.angles))
        yield one(r.call, "RoPE is left out", _turning(r, lambda x: x))
        yield one(r.call, "RoPE turns the other way", _turned(r, r.pairs, -r.angles))
        yield one(r.call, "RoPE has sine and cosine exchanged", _turned(r, r.pairs, np.pi / 2 - r.angles))
        once = _frequencies(r)
        if once is not None:
            positions, rates = once
            for by in (1, -1):
                words = f"RoPE counts positions from {int(positions.flat[0]) + by}"
                turn = _at(r, positions + by, rates)
                yield one(r.call, words, turn)
            yield one(r.call, "RoPE counts positions from the end", _at(r, positions[..., ::-1, :], rates))
            yield one(r.call, "RoPE's frequencies are in the other order", _at(r, positions, rates[::-1]))
            base = base_of(r)
            for part in PARTS if base else ():
                count = int(width * part) // 2 * 2
                if 0 < count < width and base:
                    yield one(r.call, f"RoPE turns the first {count} of {width} channels", _first(r, count, base, own))


def _turned(r: Rotation, pairs: Array, angles: Array) -> Plant:
    return _turning(r, lambda x: r.turn(x, pairs, angles))


def _turning(r: Rotation, change: Callable[[Array], Array]) -> Plant:
    """The change of what is turned; that is what this call's operands were made of, as it was observed."""
    return lambda call: change(r.x.astype(np.float64))


def _at(r: Rotation, positions: Array, rates: Array) -> Plant:
    return _turning(r, lambda x: r.turn(x, r.pairs, positions * rates))


def _first(r: Rotation, count: int, base: float, own: str) -> Plant:
    """The rotation of some channels only, whose frequencies are those of so many."""
    once = _frequencies(r)
    assert once is not None
    rates = once[1][0] * base ** (-np.arange(count // 2) / (count // 2))
    channels = np.arange(count)
    pairs = channels.reshape(-1, 2) if own == "neighbours" else channels.reshape(2, -1).T
    return _turning(r, lambda x: r.turn(x, pairs, once[0] * rates))


def with_positions_times(r: Rotation, factor: float) -> Plant:
    """The rotation with its angles multiplied, as positions that are scaled are."""
    return _turning(r, lambda x: r.turn(x, r.pairs, _unwrapped(r) * factor))


def _unwrapped(r: Rotation) -> Array:
    once = _frequencies(r)
    if once is None:
        raise UnfitError
    return once[0] * once[1]


def base_of(r: Rotation) -> float | None:
    """The base of the frequencies, where they are its powers in even steps."""
    once = _frequencies(r)
    if once is None or len(once[1]) < 2:
        return None
    rates = once[1]
    steps = np.log(rates[0]) - np.log(rates)
    expected = np.arange(len(rates)) / len(rates)
    base = float(steps[-1] / expected[-1])
    return float(np.exp(base)) if np.allclose(steps, base * expected, rtol=1e-3, atol=1e-3) else None


def with_base(r: Rotation, base: float) -> Plant:
    """The rotation with another base of its frequencies."""
    once = _frequencies(r)
    if once is None:
        raise UnfitError
    positions, rates = once
    with np.errstate(all="ignore"):
        other = rates[0] * base ** (-np.arange(len(rates)) / len(rates))
    return _at(r, positions, other)


def _frequencies(r: Rotation) -> tuple[Array, Array] | None:
    """Positions [..., positions, 1] and the angle for each step of one, where angles are their products."""
    angles = r.angles
    if angles.ndim < 2 or angles.shape[-2] < 2:
        return None
    rows = angles.reshape(-1, *angles.shape[-2:])[0]
    rates = np.mod(rows[1] - rows[0], 2 * np.pi)
    if rates[0] > np.pi:
        rates = rates - 2 * np.pi * (rates > np.pi)
    start = np.round(rows[0] / rates) if (np.abs(rates) > 0).all() else np.zeros(1)
    first = float(start[-1])
    positions = (first + np.arange(rows.shape[0]))[:, None]
    apart = np.exp(1j * positions * rates) - np.exp(1j * rows)
    if np.abs(apart).max() > 1e-2:  # float32 keeps a rate to 1e-7, and positions count to thousands
        return None
    # The mean over all positions says more of a rate than one step does.
    last = positions[-1, 0] - positions[0, 0]
    whole = np.round(((positions[-1] - positions[0]) * rates - (rows[-1] - rows[0])) / (2 * np.pi))
    rates = (rows[-1] - rows[0] + 2 * np.pi * whole) / last
    shape = (*(1,) * (angles.ndim - 2), rows.shape[0], 1)
    return positions.reshape(shape), rates
