"""A rotation of pairs of channels by an angle for each position, as RoPE is, read otherwise.

Whatever its calls are, a rotation is a sum of x * cos and y * sin, where y holds the channels of x in another order,
half of them with the other sign. Which channel goes with which is read from the values.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from opfuzz.network.observe.records import CallResult, ObservedCall, Operand, Plant, PlantedCall
from opfuzz.network.pipeline.planting import UnfitError
from opfuzz.network.readings.reading import Array, Reading, SeenModule, argument, is_float, one

PARTS = (0.25, 0.4, 0.5, 0.75)  # of the channels, that are turned
UNIT = 1e-5  # cos^2 + sin^2 is 1 to this


@dataclass(frozen=True, slots=True)
class Rotation:
    """x turned: channel i by -partner[i] * sin, or plus; angles are those of the first channel of each pair."""

    call: ObservedCall  # the sum
    operand: Operand  # what is turned
    x: Array  # its value
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
    for call in seen.of("cat", "stack"):
        joined = _read_joined(seen, call)
        if joined:
            yield joined


PASSING = ("to", "contiguous", "clone", "float", "detach", "type_as", "view", "reshape", "unsqueeze", "squeeze")
PARTING = ("getitem", "chunk", "split", "tensor_split", "unbind", "narrow", "select")


def _read_joined(seen: SeenModule, call: ObservedCall) -> Rotation | None:
    """The other way of writing it: x1 cos - x2 sin and x2 cos + x1 sin, joined in the order in which x has them."""
    parts = argument(call, "tensors") or ()
    made = [seen.whole.source(part) for part in parts if isinstance(part, CallResult)]
    if len(made) != 2 or [m.family if m else "" for m in made] != ["sub", "add"] or call.output.ndim < 3:
        return None
    products = [_product(seen, x) for m in made if m for x in m.args[:2] if isinstance(x, CallResult)]
    if len(products) != 4:
        return None
    for (first, x1), (_, cos) in _factors(products[0]):
        for (second, x2), (_, sin) in _factors(products[1]):
            others = [operand for product in products[2:] for operand, _ in product or ()]
            if first in others and second in others:
                found = _read_whole(seen, call, (first, second), (x1, x2), (cos, sin))
                if found:
                    return found
    return None


def _read_whole(
    seen: SeenModule, call: ObservedCall, operands: Sequence[Operand], halves: Sequence[Array], turn: Sequence[Array]
) -> Rotation | None:
    """Both halves as parts of one array."""
    sources = [_parted(seen, operand) for operand in operands]
    half = halves[0].shape[-1]
    whole = sources[0]
    x = None if whole is None or whole != sources[1] else seen.value(whole)
    if whole is None or x is None or halves[0].shape != halves[1].shape or half < 2:
        return None
    x = x.reshape(*x.shape[:-2], -1) if x.shape[-1] == 2 else x
    channels = np.arange(2 * half)
    pairs = channels.reshape(2, -1).T if call.family == "cat" else channels.reshape(-1, 2)
    cos, sin = turn
    is_known = x.shape[-1] == 2 * half and all(np.array_equal(x[..., pairs[:, i]], halves[i]) for i in (0, 1))
    if not is_known or cos.shape != sin.shape or cos.shape[-1] != half:
        return None
    if np.abs(cos.astype(np.float64) ** 2 + sin.astype(np.float64) ** 2 - 1).max() > UNIT:
        return None
    wide = np.argsort(np.concatenate((pairs[:, 0], pairs[:, 1])))
    cos, sin = (np.concatenate((y, y), -1)[..., wide] for y in (cos, sin))
    return Rotation(call, whole, x, cos, sin, pairs)


def _parted(seen: SeenModule, operand: Operand) -> Operand | None:
    """Of what an operand is a part."""
    made = seen.whole.source(operand)
    while made is not None and made.family in PASSING:
        made = seen.whole.source(made.operands[0]) if made.operands else None
    return made.operands[0] if made is not None and made.family in PARTING and made.operands else None


Factor = tuple[Operand, Array]


def _product(seen: SeenModule, operand: CallResult) -> tuple[Factor, Factor] | None:
    made = seen.whole.calls[operand.call]
    if made.family != "mul" or len(made.args) != 2:
        return None
    one, other = made.args
    x, y = seen.value(one), seen.value(other)
    if x is None or y is None or not (is_float(x) and is_float(y)):
        return None
    return (one, x), (other, y)


def _factors(part: tuple[Factor, Factor] | None) -> Iterator[tuple[Factor, Factor]]:
    if part:
        yield part
        yield part[1], part[0]


def _read(call: ObservedCall, first: tuple[Factor, Factor], second: tuple[Factor, Factor]) -> Rotation | None:
    ((operand, x), (_, cos)), ((_, y), (_, sin)) = first, second
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
    return Rotation(call, operand, x, cos, sin, listed) if is_whole else None


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
            if base:
                yield from _of_all(seen, r, base, own)


def _turned(r: Rotation, pairs: Array, angles: Array) -> Plant:
    return _turning(r, lambda x: r.turn(x, pairs, angles))


def _turning(r: Rotation, change: Callable[[Array], Array]) -> Plant:
    """The change of what is turned."""

    def plant(call: PlantedCall) -> Array:
        x = np.array(call.now(r.operand), np.float64).reshape(r.x.shape)
        return change(x).reshape(call.observed.output.shape)

    return plant


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


def _of_all(seen: SeenModule, r: Rotation, base: float, own: str) -> Iterator[Reading]:
    """The rotation of all channels, where this one is of some, to which the others are joined."""
    once = _frequencies(r)
    if once is None:
        return
    for joined in seen.whole.users.get(r.call.index, ()):
        parts: Sequence[Operand] = argument(joined, "tensors") or ()
        if joined.family != "cat" or len(parts) != 2 or parts[0] != CallResult(r.call.index):
            continue
        width, rest = joined.output.shape[-1], parts[1]
        if width % 2 or width == r.x.shape[-1]:
            continue
        channels = np.arange(width)
        pairs = channels.reshape(-1, 2) if own == "neighbours" else channels.reshape(2, -1).T
        angles = np.asarray(once[0] * once[1][0] * base ** (-np.arange(width // 2) / (width // 2)))

        def plant(call: PlantedCall, rest: Operand = rest, pairs: Array = pairs, angles: Array = angles) -> Array:
            return r.turn(np.concatenate((call.now(r.operand), call.now(rest)), -1), pairs, angles)

        yield one(joined, f"RoPE turns all {width} channels, not the first {r.x.shape[-1]}", plant)


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
