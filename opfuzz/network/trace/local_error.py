"""How far one call of a module is from its counterpart's on the same inputs, and how far rounding may take it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from opfuzz.core.floats import FLOAT32, FORMATS, FloatArray, format_of
from opfuzz.network.trace.feeds import Feed, feed, other_feeds
from opfuzz.network.trace.layouts import NO_HABITS, Habits, TensorSource, assign, wide
from opfuzz.network.trace.recording import Array, ModuleCall, TracedModel

# For a module M of a, its counterpart N of b, the inputs x that M received and y that N received:
#     local error  rms(N(x) - M(x)) / std(M(x)),   inherited error  rms(y - x) / std(x),
#     total error  rms(N(y) - M(x)) / std(M(x)),   all in the layout of b.
# Rounding is measured. Noise of a: M against M in float64, or M moved by one unit roundoff u of each input, whichever
# is larger. Noise of b: N against N in float64, as far as sums one by one explain it, which is u sqrt(n) / 2 for n
# inputs; what is beyond that, as where N rounds to a half format, is no excuse. N may be off from M in float64 by
#     allowance = 8 noise of a + 2 noise of b + (4 + sqrt(K) / 2) 2^-24 rms(M(x)),   K: terms of the longest sum.
# Torch and MLX on a processor, 24 kinds of layers at scales from 1e-3 to 100, K up to 3584, norms over 20,000 elements:
# excess 0.5 at most in float32, 0.4 in half formats. Beyond are MLX's ELU, exp(x) - 1, at 1e-3 (13), and its SELU,
# whose constants have six digits (2). The mildest fault to be told, an eps of 1e-6 for 1e-5, is 4.3 at a variance of 1.
NOISES, NOISES_B, ROUNDINGS, PER_ROOT = 8.0, 2.0, 4.0, 0.5
CLOSE = 0.25  # an excess from which on the costlier measurements are made
SHAPES = 3  # that are listed
SUSPICIOUS = 1e-4  # a local error that must not come from random numbers, which look like noise of a


@dataclass(frozen=True, slots=True)
class CallComparison:
    """One call on both sides. `excess`: local error in units of its allowance; beyond 1 it is no rounding."""

    local: float
    inherited: float
    total: float
    excess: float
    outputs_b: tuple[Array, ...]  # on a's inputs
    own: tuple[str, ...] = ()  # inputs that b keeps, as a has none like them
    lone: tuple[str, ...] = ()  # outputs that one side alone has: `output 1 of b`
    instead: str = ""  # an argument that b's caller gave otherwise: with a's, the module is right
    unlike: str = ""  # in words, if no output of b has the shape of one of a's
    exact: tuple[Array, ...] | None = None  # a in float64
    narrower: str = ""  # in words, if b's outputs are in a narrower format
    fickle: str = ""  # the side that gives other outputs when it runs again
    is_blank: bool = False  # a gives numbers, and none of them is finite

    @property
    def allowance(self) -> float:
        """The local error from which on it is no rounding; that of a module without error is not known."""
        return self.local / self.excess if 0 < self.excess < np.inf else 0.0


@dataclass(frozen=True, slots=True)
class Sides:
    """A module of a and its counterpart, with the models that they are in."""

    a: TracedModel
    b: TracedModel
    accepts: tuple[tuple[str, ...], tuple[str, ...]]  # names of arguments
    root: float  # sqrt(K)
    habits: Habits = NO_HABITS


def compare_call(sides: Sides, ours: ModuleCall, theirs: ModuleCall) -> CallComparison:
    """A call of a's module against one of b's. Raises what b's module raises on a's inputs."""
    kept = feed(ours, theirs, sides.habits)
    first: CallComparison | None = None
    failed: Exception | None = None
    try:
        first = _compare(sides, ours, theirs, kept)
    except Exception as error:  # the user's module
        failed = error
    if first is not None and first.excess <= 1:
        return first
    for other in other_feeds(ours, theirs, kept, sides.accepts):
        try:
            found = _compare(sides, ours, theirs, other)
        except Exception:  # not every module takes every form
            continue
        if found.excess <= 1:
            return found
    if first is None:
        raise failed or AssertionError
    return first


def _compare(sides: Sides, ours: ModuleCall, theirs: ModuleCall, given: Feed) -> CallComparison:
    a, b = sides.a, sides.b
    outputs = b.replay(theirs.name, given.arguments, given.tensors)
    count = len(theirs.inputs)
    sources = given.sources[:count]
    own = tuple(place for place, source in zip(theirs.places, sources, strict=True) if source is None)
    inherited = furthest(ours.inputs, theirs.inputs, sources)
    ways = assign(ours.outputs, outputs, habits=sides.habits)
    if (ours.outputs or outputs) and not any(ways):
        shapes = (_shapes(side) for side in (outputs, ours.outputs))
        unlike = f"outputs have other shapes: {' against '.join(shapes)}"
        return CallComparison(np.inf, inherited, np.inf, np.inf, outputs, own, unlike=unlike)
    used = {way.index for way in ways if way}
    lone = tuple(f"output {i} of b" for i, way in enumerate(ways) if way is None)
    lone += tuple(f"output {i} of a" for i in range(len(ours.outputs)) if i not in used)
    local = furthest(ours.outputs, outputs, ways)
    is_alike = [x.shape for x in theirs.outputs] == [x.shape for x in outputs]
    total = furthest(ours.outputs, theirs.outputs, ways) if is_alike else np.inf
    found = CallComparison(local, inherited, total, 0.0, outputs, own, lone, given.instead)
    if local == 0:
        is_blank = any(x.size for x in ours.outputs) and not any(_finite(x).size for x in ours.outputs)
        return replace(found, is_blank=is_blank)

    exact = attempt(ours.outputs, lambda: a.replay(ours.name, ours.arguments, ours.inputs, exact=True))
    runs = Runs(ours.outputs, outputs, exact, ways, sides.root, sum(x.size for x in ours.inputs))
    excess = runs.excess(None, None)
    if excess > CLOSE:
        moved = attempt(ours.outputs, lambda: a.replay(ours.name, ours.arguments, [moved(x) for x in ours.inputs]))
        exact_b = attempt(outputs, lambda: b.replay(theirs.name, given.arguments, given.tensors, exact=True))
        excess = runs.excess(moved, exact_b)
    fickle = ""
    if excess > 1 or local > SUSPICIOUS:
        fickle = "a" if _varies(a, ours, local) else "b" if _varies(b, theirs, local) else ""
    return replace(found, excess=excess, exact=exact, narrower=_narrower(ours, outputs), fickle=fickle)


def _shapes(tensors: Sequence[Array]) -> str:
    shown = ", ".join(str(list(x.shape)) for x in tensors[:SHAPES]) or "nothing"
    return f"{shown} and {len(tensors) - SHAPES} more" if len(tensors) > SHAPES else shown


def _narrower(ours: ModuleCall, outputs: Sequence[Array]) -> str:
    first, second = (
        next((x.dtype.name for x in side if x.dtype.name in FORMATS), "") for side in (ours.outputs, outputs)
    )
    if first and second and FORMATS[second].unit_roundoff > FORMATS[first].unit_roundoff:
        return f"b gives {second}, a {first}"
    return ""


@dataclass(frozen=True, slots=True)
class Runs:
    """Outputs of M(x), N(x) and M in float64, and what their allowance depends on."""

    a: Sequence[Array]
    b: Sequence[Array]
    exact: Sequence[Array] | None
    ways: Sequence[TensorSource | None]
    root: float
    inputs: int

    def excess(self, moved: Sequence[Array] | None, exact_b: Sequence[Array] | None) -> float:
        """Error of b, against the exact run or a where there is none, in units of the allowance; the largest."""
        found = 0.0
        for place, (way, y) in enumerate(zip(self.ways, self.b, strict=True)):
            if way is None:
                continue
            x = way.take(self.a)
            truth = x if self.exact is None else way.take(self.exact)
            size = _rms(_finite(x))
            noise = max(_gap(x, truth), _gap(x, way.take(moved)) if moved else 0.0)
            allowance = NOISES * noise + (ROUNDINGS + PER_ROOT * self.root) * FLOAT32.unit_roundoff * size
            if exact_b is not None and x.dtype.name in FORMATS:
                most = format_of(x).unit_roundoff * self.inputs**0.5 / 2 * size
                allowance += NOISES_B * min(_gap(exact_b[place], y), most)
            error = _gap(truth, y)
            if error:
                found = max(found, error / allowance if allowance else float("inf"))
        return found


def _varies(model: TracedModel, call: ModuleCall, local: float) -> bool:
    """Whether the module, called again, is off from itself by a large part of the local error."""
    again = attempt(call.outputs, lambda: model.replay(call.name, call.arguments, call.inputs))
    return again is not None and any(
        _gap(x, y) / _spread(x) > local / 2 for x, y in zip(call.outputs, again, strict=True)
    )


def furthest(a: Sequence[Array], b: Sequence[Array], sources: Sequence[TensorSource | None]) -> float:
    """Largest relative error of a tensor of b whose source is known."""
    errors = [_gap(x, y) / _spread(x) for s, y in zip(sources, b, strict=True) if s for x in [s.take(a)]]
    return max(errors, default=0.0)


def _gap(a: Array, b: Array) -> float:
    """rms(b - a); infinities and NaN must be the same."""
    x, y = wide(a), wide(b)
    same = (x == y) | (np.isnan(x) & np.isnan(y))
    with np.errstate(all="ignore"):
        return _rms(np.where(same, 0.0, y - x))


def _rms(x: FloatArray) -> float:
    if not np.isfinite(x).all():
        return float("inf")
    return float(np.sqrt(np.mean(x**2))) if x.size else 0.0


def _finite(a: Array) -> FloatArray:
    x = wide(a)
    return x[np.isfinite(x)]


def _spread(a: Array) -> float:
    """Standard deviation; the size of a constant, 1 of zeros."""
    x = _finite(a)
    return (float(x.std()) or abs(float(x[0])) or 1.0) if x.size else 1.0


def moved(x: Array) -> Array:
    """Each element up or down by one unit roundoff of its format, by a fixed draw."""
    if x.dtype.name not in FORMATS:
        return x
    signs = np.random.default_rng(0).choice((-1.0, 1.0), x.shape)
    return np.asarray(wide(x) * (1 + format_of(x).unit_roundoff * signs)).astype(x.dtype)


def attempt(like: Sequence[Array], run: Callable[[], tuple[Array, ...]]) -> tuple[Array, ...] | None:
    # An exact run may fail where a layer insists on a format: then noise is what the other measurements say.
    try:
        outputs = run()
    except Exception:  # the user's module
        return None
    return outputs if [x.shape for x in outputs] == [x.shape for x in like] else None
