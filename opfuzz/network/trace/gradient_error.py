"""How far the gradients of one call of a module are from its counterpart's, and how far rounding may take them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from opfuzz.core.floats import FORMATS, format_of
from opfuzz.network.rearrange import Rearrangement
from opfuzz.network.trace.feeds import Feed, feed, other_feeds
from opfuzz.network.trace.layouts import Broadcast, TensorSource, assign, wide
from opfuzz.network.trace.local_error import Runs, Sides, furthest, moved
from opfuzz.network.trace.recording import Array, Cotangents, ModuleCall, ModuleGradients

# The allowance of a gradient is that of a value, `local_error` has it, with the cotangents among the inputs; a sum over
# the rows of a batch has as many terms as there are rows.
NOTHING = 0.01  # relative error from which on a gradient is but rounding, as that of the bias of the keys of attention
NEAR = 4.0  # times the error of the values, to which a way of giving b what a had makes b right

# Where two inputs tie, as at the corner of a ReLU, all between the gradients of either side is right: the ties are
# broken in some ways, and what comes of that is no difference.
DRAWS = 8  # at first
MOST_DRAWS = 512  # as long as another one still explains more
STALE = 64  # that explain nothing more, after which that was all
TINY, SMALL = 2.0**-60, 2.0**-20  # what breaks a tie at zero, of the largest input: by turns, as sums absorb the first
SHAKEN = 1e-3  # relative change of a gradient that is more than a rounding of smooth inputs makes
SHAKEN_UNITS = 64  # the same in unit roundoffs of the inputs

Key = int | str  # of an input, or of a parameter by its name


@dataclass(frozen=True, slots=True)
class BackwardCall:
    """One call of a module on both sides, with what comes back to its outputs."""

    sides: Sides
    ours: ModuleCall
    theirs: ModuleCall
    back_a: Cotangents
    back_b: Cotangents  # in b's own run
    partners: Mapping[str, tuple[str, Rearrangement | Broadcast]]  # of a's parameters b's, and the order of its axes
    local: float  # the error of the values
    is_innermost: bool  # no module that is paired is inside


@dataclass(frozen=True, slots=True)
class GradientPair:
    """A gradient of a and that of b: what it is by, and a's axes in the order of b."""

    name: str  # `d/dweight`
    of_a: Key
    of_b: Key
    way: Rearrangement | Broadcast


@dataclass(frozen=True, slots=True)
class GradientDifference:
    """One gradient on both sides, a's in the layout of b; `excess`: its error in units of its allowance."""

    pair: GradientPair
    shape: tuple[int, ...]  # in a
    a: Array
    b: Array
    excess: float
    is_nothing: bool = False  # a's is rounding alone: it is zero, but for terms that cancel

    @property
    def local(self) -> float:
        """The relative error; none of what is rounding alone, and passes for it."""
        return 0.0 if self.is_nothing and self.excess <= 1 else off(self.a, self.b)

    @property
    def allowance(self) -> float:
        """The relative error that would pass for rounding; 0 where it is not known."""
        return self.local / self.excess if 0 < self.excess < np.inf else 0.0


@dataclass(frozen=True, slots=True)
class BackwardComparison:
    """The gradients of one call, compared; errors as of `CallComparison`."""

    given: Feed
    back: Cotangents  # that b was given
    differences: tuple[GradientDifference, ...]
    inherited: float
    total: float
    exact: Mapping[str, Array]  # a's in float64, where it has them
    is_kinked: bool = False  # what is off is right on the other side of a tie
    fickle: str = ""  # the side that gives other gradients when it runs again

    @property
    def local(self) -> float:
        """The largest relative error of a gradient."""
        return max((d.local for d in self.differences), default=0.0)

    @property
    def excess(self) -> float:
        """The largest of any gradient."""
        return max((d.excess for d in self.differences), default=0.0)


def compare_backward(call: BackwardCall) -> BackwardComparison | None:
    """The gradients of b's module, on a's inputs and cotangents, against those of a's; None where it has none.

    Raises what a module raises.
    """
    given, outputs = _fed(call)
    back = tuple(_brought(way, call.back_a) for way in assign(call.ours.outputs, outputs, habits=call.sides.habits))
    pairs = _pairs(call, given)
    if all(c is None for c in back) or not pairs:
        return None
    a, b = _of_a(call, call.ours.inputs), _of_b(call, given, back)
    exact = _attempt(lambda: _of_a(call, call.ours.inputs, is_exact=True))
    runs = _Measured(call, a, b, exact, given, back)
    differences = [found for pair in pairs if (found := runs.difference(pair)) is not None]
    own = _attempt(lambda: call.sides.b.differentiate(call.theirs.name, *_own(call.theirs), call.back_b))
    result = BackwardComparison(
        given,
        back,
        tuple(differences),
        max((off(x, y) for x, y in _known(back, call.back_b)), default=0.0),
        np.inf if own is None else _total(differences, own),
        {d.pair.name: x for d in differences if exact and (x := _get(exact, d.pair.of_a)) is not None},
    )
    if result.excess <= 1:
        return result
    fickle = "b" if _varies(b, lambda: _of_b(call, given, back), result.local) else ""
    fickle = "a" if _varies(a, lambda: _of_a(call, call.ours.inputs), result.local) else fickle
    result = replace(result, fickle=fickle)
    return runs.without_ties(result) if call.is_innermost and not fickle else result


def without_ties(call: BackwardCall, result: BackwardComparison) -> BackwardComparison:
    """The same comparison, in which all between the gradients of both sides of a tie is right."""
    a, b = _of_a(call, call.ours.inputs), _of_b(call, result.given, result.back)
    exact = _attempt(lambda: _of_a(call, call.ours.inputs, is_exact=True))
    return _Measured(call, a, b, exact, result.given, result.back).without_ties(result)


def _total(differences: Sequence[GradientDifference], own: ModuleGradients) -> float:
    """How far the gradients of b's own run are off, but for what is rounding alone."""
    told = [(d.a, _get(own, d.pair.of_b)) for d in differences if not d.is_nothing]
    return max((off(x, y) for x, y in told if y is not None), default=0.0)


def _known(a: Cotangents, b: Cotangents) -> Iterator[tuple[Array, Array]]:
    return ((x, y) for x, y in zip(a, b, strict=False) if x is not None and y is not None)


def _own(call: ModuleCall) -> tuple[object, Sequence[Array]]:
    return call.arguments, call.inputs


def _of_a(
    call: BackwardCall, inputs: Sequence[Array], back: Cotangents | None = None, is_exact: bool = False
) -> ModuleGradients:
    ours = call.ours
    return call.sides.a.differentiate(
        ours.name, ours.arguments, inputs, call.back_a if back is None else back, is_exact
    )


def _of_b(call: BackwardCall, given: Feed, back: Cotangents, is_exact: bool = False) -> ModuleGradients:
    return call.sides.b.differentiate(call.theirs.name, given.arguments, given.tensors, back, is_exact)


def _fed(call: BackwardCall) -> tuple[Feed, tuple[Array, ...]]:
    """What b is given of a's inputs, in the way in which its values are right, and what it makes of that."""
    sides, ours, theirs = call.sides, call.ours, call.theirs
    straight = feed(ours, theirs, sides.habits)
    first: tuple[Feed, tuple[Array, ...]] | None = None
    for given in (straight, *other_feeds(ours, theirs, straight, sides.accepts)):
        try:
            outputs = sides.b.replay(theirs.name, given.arguments, given.tensors)
        except Exception:  # not every module takes every form
            if given is straight:
                raise
            continue
        ways = assign(ours.outputs, outputs, habits=sides.habits)
        if any(ways) and furthest(ours.outputs, outputs, ways) <= NEAR * call.local:
            return given, outputs
        first = first or (given, outputs)
    assert first is not None
    return first


def _brought(way: TensorSource | None, back: Cotangents) -> Array | None:
    given = None if way is None else back[way.index]
    return None if way is None or given is None else np.ascontiguousarray(way.way.apply(given))


def _pairs(call: BackwardCall, given: Feed) -> list[GradientPair]:
    found = [
        GradientPair(f"d/d{place}", source.index, j, source.way)
        for j, (source, place) in enumerate(zip(given.sources, call.theirs.places, strict=False))
        if source is not None and isinstance(source.way, Rearrangement) and _is_float(given.tensors[j])
    ]
    return found + [GradientPair(f"d/d{n}", n, other, way) for n, (other, way) in call.partners.items()]


class _Measured:
    """The gradients of both sides, and what their allowances depend on, each computed once."""

    def __init__(
        self,
        call: BackwardCall,
        a: ModuleGradients,
        b: ModuleGradients,
        exact: ModuleGradients | None,
        given: Feed,
        back: Cotangents,
    ) -> None:
        self.call, self.a, self.b, self.exact = call, a, b, exact
        shaken = [c if c is None else moved(c) for c in call.back_a]
        self.moved = _attempt(lambda: _of_a(call, [moved(x) for x in call.ours.inputs], shaken))
        self.exact_b = _attempt(lambda: _of_b(call, given, back, is_exact=True))
        self.root = call.sides.root
        self.inputs = sum(x.size for x in (*call.ours.inputs, *(c for c in call.back_a if c is not None)))

    def difference(self, pair: GradientPair) -> GradientDifference | None:
        """One of the gradients; None where a side has none, or in another shape."""
        x, y = _get(self.a, pair.of_a), _get(self.b, pair.of_b)
        if x is None or y is None or pair.way.apply(x).shape != y.shape:
            return None
        exact = None if self.exact is None else _get(self.exact, pair.of_a)
        is_nothing = exact is not None and exact.shape == x.shape and off(exact, x) > NOTHING
        return GradientDifference(pair, x.shape, pair.way.apply(x), y, self._excess(pair, x, y), is_nothing)

    def _excess(self, pair: GradientPair, x: Array, y: Array) -> float:
        source = TensorSource(0, pair.way)
        runs = Runs([x], [y], _listed(self.exact, pair.of_a), [source], self.root, self.inputs)
        return runs.excess(_listed(self.moved, pair.of_a), _listed(self.exact_b, pair.of_b))

    def without_ties(self, result: BackwardComparison) -> BackwardComparison:
        """b's elements count as a's if they lie between those that a has when ties are broken.

        Where the last draws still explained more, nothing is known, and it is kinked without being right.
        """
        bands = [Band(d.a, d.b, d.pair.way) for d in result.differences]
        last = 0
        for draw in range(MOST_DRAWS):
            made = self._untied(draw, bands, result.differences)
            for band, d in zip(bands, result.differences, strict=True):
                y = None if made is None else _get(made, d.pair.of_a)
                if y is not None and band.take(y) > 0:
                    last = draw
            if draw + 1 < DRAWS:
                continue
            if draw + 1 == DRAWS and not any(band.is_tie.any() for band in bands):
                return result
            differences = tuple(self._settled(*each) for each in zip(bands, result.differences, strict=True))
            if max(d.excess for d in differences) <= 1:
                return replace(result, differences=differences, is_kinked=True)
            if draw - last >= STALE:
                return result
        return replace(result, is_kinked=True)

    def _settled(self, band: Band, d: GradientDifference) -> GradientDifference:
        exact = None if self.exact is None else _get(self.exact, d.pair.of_a)
        right = d.a if exact is None else d.pair.way.apply(exact)
        x = _get(self.a, d.pair.of_a)
        assert x is not None
        return replace(d, excess=self._excess(d.pair, x, np.where(band.excused(self.call.is_innermost), right, d.b)))

    def _untied(
        self, draw: int, bands: Sequence[Band], differences: Sequence[GradientDifference]
    ) -> ModuleGradients | None:
        """a's gradients where ties are broken in one way: at random, or every second time for those that are off."""
        favoured = {d.pair.of_a: band.places(d.shape) for band, d in zip(bands, differences, strict=True) if draw % 2}
        inputs = [untied(x, draw, favoured.get(i)) for i, x in enumerate(self.call.ours.inputs)]
        return _attempt(lambda: _of_a(self.call, inputs))


class Band:
    """All between the gradients that a has when ties are broken, in the layout of b."""

    def __init__(self, a: Array, b: Array, way: Rearrangement | Broadcast) -> None:
        self._b, self._way, self._roundoff = wide(b), way, format_of(b).unit_roundoff
        self._low = self._high = wide(a)

    def take(self, other: Array) -> int:
        """Takes another gradient in, in the layout of a; how many more of b's elements are inside than before."""
        taken, before = wide(self._way.apply(other)), np.count_nonzero(self.inside)
        self._low, self._high = np.minimum(self._low, taken), np.maximum(self._high, taken)
        return int(np.count_nonzero(self.inside) - before)

    @property
    def is_tie(self) -> Array:
        """Where they differ by more than a rounding of smooth inputs makes."""
        largest = np.maximum(np.abs(self._low), np.abs(self._high))
        return np.asarray(self._high - self._low > max(SHAKEN, SHAKEN_UNITS * self._roundoff) * largest)

    def excused(self, is_innermost: bool) -> Array:
        """Where b's element is no fault: inside, or at any tie, of which a module around others may make many."""
        return self.inside if is_innermost else self.is_tie

    @property
    def inside(self) -> Array:
        """Where b's element is right by one side of a tie."""
        # Of max(x, 0) + c min(x, 0) both may hand on what they get at 0, or neither.
        ends = np.stack([self._low, self._high, self._low + self._high, np.zeros(self._low.shape)])
        slack = 4 * self._roundoff * np.abs(ends).max(0)
        return np.asarray(self.is_tie & (ends.min(0) - slack <= self._b) & (self._b <= ends.max(0) + slack))

    def places(self, shape: tuple[int, ...]) -> Array:
        """Where in the layout of a, of that shape, b's element is another and no tie is known that explains it."""
        is_off = ~self.inside & (np.abs(self._b - self._low) > SHAKEN * np.abs(self._b).max(initial=0.0))
        found = np.zeros(shape, bool)
        found.ravel()[self._way.apply(np.arange(found.size).reshape(shape))[is_off]] = True
        return found


def untied(x: Array, draw: int, favoured: Array | None) -> Array:
    """Each element up or down by one unit roundoff, and zeros by next to nothing, no two by as much.

    Every second draw the other way. With `favoured` those go one way, and all others the other.
    """
    if x.dtype.name not in FORMATS or not x.size:
        return x
    fmt, drawn = format_of(x), np.random.default_rng(draw // 2)
    signs = (-1) ** draw * drawn.choice((-1.0, 1.0), x.shape)
    if favoured is not None:
        signs = (-1) ** (draw // 2) * np.where(favoured, 1.0, -1.0)
    largest = float(np.abs(wide(x)).max(initial=0.0))
    least = max(fmt.unit_roundoff, SMALL) * largest if draw // 2 % 2 else TINY * largest
    zeros = max(least, fmt.smallest_normal) * signs * (1 + drawn.random(x.shape))
    return np.asarray(np.where(x == 0, zeros, wide(x) * (1 + fmt.unit_roundoff * signs))).astype(x.dtype)


def _get(gradients: ModuleGradients, key: Key) -> Array | None:
    return gradients.inputs[key] if isinstance(key, int) else gradients.parameters.get(key)


def _listed(gradients: ModuleGradients | None, key: Key) -> list[Array] | None:
    found = None if gradients is None else _get(gradients, key)
    return None if found is None else [found]


def off(x: Array, y: Array) -> float:
    """The relative error of y; infinite where it has another shape."""
    return furthest([x], [y], [TensorSource(0, Broadcast(y.shape))]) if x.shape == y.shape else np.inf


def longest_back(back: Cotangents) -> int:
    """Most terms of a sum over all but the channels, which are the last axis or the second."""
    sizes = [c.size // max(1, min(c.shape[-1], c.shape[1])) for c in back if c is not None and c.ndim > 1]
    return max(sizes, default=1)


def _varies(gradients: ModuleGradients, again: Callable[[], ModuleGradients], local: float) -> bool:
    """Whether gradients, asked for again, are off by a large part of the error."""
    other = _attempt(again)
    return other is not None and any(off(x, y) > local / 2 for x, y in _both(gradients, other))


def _both(a: ModuleGradients, b: ModuleGradients) -> Iterator[tuple[Array, Array]]:
    yield from _known(a.inputs, b.inputs)
    for name, x in a.parameters.items():
        yield x, b.parameters[name]


def _is_float(array: Array) -> bool:
    return array.dtype.name in FORMATS


def _attempt(run: Callable[[], ModuleGradients]) -> ModuleGradients | None:
    # As in `local_error`: a layer may insist on a format.
    try:
        return run()
    except Exception:  # the user's module
        return None
