"""The condition of a fault: which elements, from which size on, and for which values of an elementwise function."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from opfuzz.core.call import Call
from opfuzz.core.case import Value
from opfuzz.core.cause import Cause, Figure
from opfuzz.core.floats import FloatArray, Format
from opfuzz.judge.diagnose.evidence import Array, Evidence, alike, ordinary
from opfuzz.judge.diagnose.probing import one_input, probe, probes
from opfuzz.judge.limits import (
    CLASSES_SHOWN,
    DENSE_SHARE,
    EXCESS_LIMIT,
    HISTORY_OTHERS,
    HISTORY_STEP,
    LANDMARK_NEAR,
    LEAST_SIZE,
    MOST_CHOICES,
    MOST_ELEMENTS,
    REPETITIONS,
)
from opfuzz.spec.expression.program import evaluate


def elements(evidence: Evidence) -> Cause | None:
    """Which elements of the output are wrong, where they are a part of an axis; else how many are."""
    wrong = evidence.is_wrong
    count, size = int(np.count_nonzero(wrong)), wrong.size
    if not count or size == 1:
        return None
    figures: dict[str, Figure] = {"wrong": count, "elements": size}
    if count == size:
        return Cause("depends-on", "place", figures=figures)
    parts = tuple(part for axis in range(wrong.ndim) if (part := _part(evidence, wrong, axis)) is not None)
    first, vector = int(np.flatnonzero(wrong)[0]), next((v for v in (64, 32, 16, 8) if size % v and size >= 4 * v), 0)
    if vector and not parts and any(first >= size - size % v for v in (64, 32, 16, 8) if v <= vector):
        tail = min(v for v in (8, 16, 32, 64) if size % v and first >= size - size % v)
        return Cause("depends-on", "tail", figures={**figures, "vector": tail})
    return Cause("depends-on", "place", figures={**figures, "parts": parts} if parts else figures)


def _part(evidence: Evidence, wrong: NDArray[np.bool_], axis: int) -> tuple[Figure, ...] | None:
    """Which part of an axis is wrong: how, size and name of the axis, and the indices that say where."""
    size = wrong.shape[axis]
    guilty = np.flatnonzero(wrong.any(axis=tuple(i for i in range(wrong.ndim) if i != axis)))
    if size < LEAST_SIZE or len(guilty) == size:
        return None
    name = evidence.axes[axis].text
    along = (size, name if name.isidentifier() else f"axis {axis}")
    first, last = int(guilty[0]), int(guilty[-1])
    inside = np.take(wrong, range(first, last + 1), axis=axis)
    if inside.mean() < DENSE_SHARE:
        strides = set(np.diff(guilty).tolist())
        if len(guilty) >= LEAST_SIZE and len(strides) == 1 and first < (step := strides.pop()) and last + step >= size:
            return "every", *along, step, first
        return None
    if last == size - 1 and first > 0:
        return "from", *along, first
    if first == 0 and last < size - 1:
        return "up to", *along, last
    return ("between", *along, first, last) if len(guilty) >= LEAST_SIZE and first > 0 else None


def sizes(evidence: Evidence) -> Cause | None:
    """The smallest size of each dim at which the call, cut down, is still at fault; None if it is at any size."""
    call = evidence.call
    found: list[tuple[str, str, int]] = []
    if sum(array.size for array in call.arrays.values()) > MOST_ELEMENTS:
        return None
    for dim in evidence.spec.dims:
        low, high = 1, call.dims[dim.name]
        if high < LEAST_SIZE or not (axes := _axes(evidence, dim.name)) or not evidence.fails(call):
            continue
        if not _can_cut(evidence, call, dim.name, axes, low):
            continue
        while low < high:  # the smallest size that fails, if all above it fail
            middle = (low + high) // 2
            if _fails_at(evidence, call, dim.name, axes, middle):
                high = middle
            else:
                low = middle + 1
        is_boundary = high > LEAST_SIZE and not any(
            _fails_at(evidence, call, dim.name, axes, size) for size in {high - 1, high * 3 // 4, high // 2}
        )
        # A cut through random values may be right by chance; sizes at which code changes its path are round.
        is_boundary = is_boundary and _is_round(high) and _rights_what_stays(evidence, dim.name, high - 1)
        is_boundary = is_boundary and _is_right_below(evidence, dim.name, high)
        if is_boundary and (bound := _bound(evidence, dim.name, high - 1)) is not None:
            found.append((dim.name, *bound))
    return Cause("depends-on", "size", figures={"conditions": tuple(found)}) if found else None


def _bound(evidence: Evidence, dim: str, step: int) -> tuple[str, int] | None:
    """How sizes beyond `step` are wrong: all, those that are no multiple of it, or no power of two; None: otherwise."""
    twice, *beside = _fail_at(evidence, dim, (2 * step, step + 1, 2 * step - 1, 2 * step + 1)) or [True]
    if twice or True not in beside:
        return ">=", step + 1  # nothing speaks against it
    thrice, fourfold = _fail_at(evidence, dim, (3 * step, 4 * step)) or [False, False]
    if True not in beside[1:] or fourfold:
        return None
    if not thrice:
        return "is no multiple of", step
    return ("is no power of", 2) if step & (step - 1) == 0 else None


def _fail_at(evidence: Evidence, dim: str, sizes: Sequence[int]) -> list[bool]:
    """Whether ordinary values are wrong at each of some sizes of a dim; nothing where there are no such calls."""
    if not evidence.takes_numbers:
        return []
    calls = [ordinary(evidence, dims={**evidence.call.dims, dim: size}) for size in sizes]
    if any(call is None or call.dims[dim] != size for call, size in zip(calls, sizes, strict=True)):
        return []
    return [evidence.fails(call) for call in calls if call is not None]


def single(evidence: Evidence) -> Cause | None:
    """Dims of size 1 without which ordinary values are right."""
    found = []
    if not evidence.takes_numbers:
        return None
    for name, size in evidence.call.dims.items():
        first = ordinary(evidence, dims=evidence.call.dims) if size == 1 else None
        second = ordinary(evidence, dims={**evidence.call.dims, name: 2}) if first else None
        if first and second and second.dims[name] == 2 and evidence.fails(first) and not evidence.fails(second):
            found.append((name, "=", 1))
    return Cause("depends-on", "size", figures={"conditions": tuple(found)}) if found else None


def params(evidence: Evidence) -> Cause | None:
    """The values of each parameter of a few at which ordinary values are wrong, where they are right at others."""
    found = []
    for param in evidence.spec.params if evidence.takes_numbers else ():
        own = evidence.call.params[param.name]
        choices = param.values if param.values is not None else range(param.low or 0, (param.high or 0) + 1)
        if len(choices) > MOST_CHOICES:
            continue
        wrong = [value for value in choices if _is_wrong_with(evidence, param.name, value)]
        if own in wrong and len(wrong) < len(choices):
            found.append((param.name, *_among(wrong, choices)))
    return Cause("depends-on", "size", figures={"conditions": tuple(found)}) if found else None


def _among(wrong: Sequence[Value], choices: Sequence[Value]) -> tuple[str, Value]:
    """How values stand out among all that there are: from one number on, or one by one."""
    numbers = [value for value in choices if isinstance(value, int | float)]
    least = min((value for value in numbers if value in wrong), default=0)
    if len(wrong) > 1 and len(numbers) == len(choices) and len(wrong) == sum(value >= least for value in numbers):
        return ">=", least
    return "is", " or ".join(map(str, wrong))


def _is_wrong_with(evidence: Evidence, name: str, value: Value) -> bool:
    """Whether one of two calls on ordinary values is wrong; where there is none, nothing says that it is right."""
    other = replace(evidence, call=replace(evidence.call, params={**evidence.call.params, name: value}))
    calls = [ordinary(other, seed=seed) or ordinary(other, dims=evidence.call.dims, seed=seed) for seed in range(2)]
    return any(call is None or not evidence.spec.allows(call.dims, call.params) or other.fails(call) for call in calls)


def history(evidence: Evidence) -> Cause | None:
    """Whether a call is wrong only after another of the same shapes, tried at sizes that were not used before."""
    if not evidence.takes_numbers:
        return None
    for dim in evidence.spec.dims:
        if dim.name in evidence.spec.batch:
            continue
        seen = []
        for turn in range(4):  # after another call, and before any, twice each
            size = evidence.call.dims[dim.name] + HISTORY_STEP * (1 + turn)
            dims = {**{name: min(n, HISTORY_OTHERS) for name, n in evidence.call.dims.items()}, dim.name: size}
            before, after = ordinary(evidence, 64.0, dims, 1), ordinary(evidence, 1.0, dims, 2)
            if before is None or after is None or after.dims != dims:
                break
            if turn % 2 == 0:
                evidence.run(before)
            seen.append(evidence.fails(after))
            if seen[-1] == bool(turn % 2):
                break
        if seen == [True, False, True, False]:
            return Cause("depends-on", "history")
    return None


def _rights_what_stays(evidence: Evidence, dim: str, size: int) -> bool:
    """Whether something wrong is left in the part that is right when it is called alone; else the cut removed it."""
    axis = next((axis for axis, text in enumerate(evidence.axes) if text.text == dim), None)
    if axis is None:  # it is summed over, and the cut may have removed what the fault needs
        return evidence.score.verdict != "special"
    return bool(evidence.is_wrong[(slice(None),) * axis + (slice(size),)].any())


def _is_right_below(evidence: Evidence, dim: str, size: int) -> bool:
    """Whether values like those of the call are right at one less than a size; nothing is said of indices and masks.

    What a cut leaves of a mean, or of a sum that cancels, may be right by chance.
    """
    if not evidence.takes_numbers:
        return True
    calls = (alike(evidence, {**evidence.call.dims, dim: size - 1}, seed) for seed in range(3))
    return not any(evidence.fails(call) for call in calls if call is not None and call.dims[dim] == size - 1)


def _is_round(size: int) -> bool:
    """Whether a size, or one next to it, is a multiple of a power of two that is a quarter of it."""
    power = 2 ** max(2, size.bit_length() - 3)
    return size > 8 and any(near % power == 0 for near in (size - 1, size, size + 1))


def _axes(evidence: Evidence, dim: str) -> dict[str, int]:
    """The axis of each input that a dim sizes; empty where some size is made of it otherwise."""
    found = {}
    for item in evidence.spec.inputs:
        for axis, size in enumerate(item.shape):
            if size.text == dim:
                found[item.name] = axis
            elif dim in size.names:
                return {}
    return found


def _can_cut(evidence: Evidence, call: Call, dim: str, axes: dict[str, int], size: int) -> bool:
    return evidence.spec.allows({**call.dims, dim: size}, call.params)


def _fails_at(evidence: Evidence, call: Call, dim: str, axes: dict[str, int], size: int) -> bool:
    dims = {**call.dims, dim: size}
    if not evidence.spec.allows(dims, call.params):
        return True
    cut = {
        name: array[(slice(None),) * axes[name] + (slice(size),)] if name in axes else array
        for name, array in call.arrays.items()
    }
    for item in evidence.spec.inputs:  # an index points at what is left
        if item.kind == "index" and cut[item.name].size:
            assert item.below is not None  # the loader gives every index a limit
            below = evaluate(item.below, {**dims, **call.params}, {})
            cut[item.name] = cut[item.name] % np.asarray(below, cut[item.name].dtype)
    return evidence.fails(replace(call, dims=dims, arrays=cut))


def values(evidence: Evidence) -> Cause | None:
    """For an elementwise function of one input: for which of its values it is wrong, tried on values of all sizes."""
    if one_input(evidence) is None:
        return None
    is_special = evidence.score.verdict == "special"
    tried = probe(evidence, probes(evidence.fmt))
    if tried is None:
        return None
    x, computed, exact, excess = tried.x, tried.computed, tried.exact, tried.excess
    wrong = tried.is_special if is_special else excess > EXCESS_LIMIT
    if not wrong.any():
        return None
    if is_special:
        return _classes(evidence, x, computed, exact, wrong)
    worst = int(np.argmax(np.where(wrong, excess, 0.0)))
    figures: dict[str, Figure] = {"ranges": _ranges(x, wrong, np.isfinite(x))}
    return Cause("depends-on", "values", figures={**figures, "most": float(x[worst]), "excess": float(excess[worst])})


def _classes(evidence: Evidence, x: FloatArray, computed: FloatArray, exact: FloatArray, wrong: Array) -> Cause:
    groups: dict[tuple[str, str], list[int]] = {}
    for place in np.flatnonzero(wrong):
        classes = (f"{_class_of(computed[place])}", f"{_class_of(exact[place])}")  # texts: NaN is no key
        groups.setdefault(classes, []).append(int(place))
    found = []
    for places in list(groups.values())[:CLASSES_SHOWN]:
        got, right = _class_of(computed[places[0]]), _class_of(exact[places[0]])
        mask = np.zeros(x.shape, np.bool_)
        mask[places] = True
        is_limit = not np.isfinite(x[places]).any() and evidence.reference.is_unary
        ranges = _ranges(x, mask, ~np.isnan(x))
        found.append((ranges, got, right, is_limit, landmark(x[places], evidence.fmt)))
    return Cause("depends-on", "values", figures={"classes": tuple(found)})


def landmark(x: FloatArray, fmt: Format) -> tuple[str, float] | None:
    """What overflows from here on, and where that begins, where it is plain from the size of values."""
    first = np.abs(x[np.isfinite(x)]).min(initial=np.inf)
    for value, what in ((fmt.largest / 2, "2 x"), (fmt.largest**0.5, "x^2")):
        if abs(first / value - 1) < LANDMARK_NEAR:
            return what, float(value)
    return None


def _class_of(value: float) -> float | None:
    """What stands for a class: 0, -0, NaN, an infinity, or None for a number."""
    return None if value != 0 and np.isfinite(value) else float(value)


def _ranges(x: FloatArray, wrong: Array, tried: Array) -> tuple[tuple[float, float, float], ...]:
    """The values of each sign that are wrong, as ends and the share of those tried between; infinities apart."""
    found = [(value, value, 1.0) for value in (-np.inf, np.inf) if wrong[x == value].any()]
    for is_side in ((x < 0) & np.isfinite(x), (x == 0), (x > 0) & np.isfinite(x)):
        side = np.sort(x[is_side & wrong])
        if not len(side):
            continue
        low, high = float(side[0]), float(side[-1])
        inside = is_side & tried & (x >= low) & (x <= high)
        found.append((low, high, float(np.count_nonzero(wrong & inside) / np.count_nonzero(inside))))
    return tuple(found)


def holders(evidence: Evidence) -> Cause | None:
    """What is special about the inputs that the deciding element depends on."""
    mark = evidence.score.deciding
    if mark is None or evidence.reference.is_unary:
        return None
    place = np.unravel_index(int(np.argmax(evidence.is_wrong)), evidence.is_wrong.shape) if evidence.output.ndim else ()
    found: list[tuple[Figure, ...]] = []
    for name, places in evidence.reference.sources(tuple(int(i) for i in place)).items():
        array = evidence.call.arrays[name]
        if name not in evidence.floats or not len(places):
            continue
        held = array.ravel()[places].astype(np.float64)
        finite = np.abs(held[np.isfinite(held)])
        if (held == -np.inf).all() or (held == np.inf).all():
            found.append((name, "throughout", float(held[0])))
        elif np.isnan(held).any():
            found.append((name, "holds", float("nan")))
        elif not np.isfinite(held).all():
            found.append((name, "holds", *map(float, np.unique(held[np.isinf(held)]))))
        elif evidence.score.verdict == "special" and finite.max(initial=0.0) > np.sqrt(evidence.fmt.largest):
            found.append((name, "reaches", float(finite.max())))
        elif len(held) > 1 and np.ptp(held) == 0:
            found.append((name, "throughout", float(held[0])))
    return Cause("depends-on", "holders", figures={"inputs": tuple(found)}) if found else None


def unsteady(evidence: Evidence) -> Cause | None:
    """That equal calls give something else by more than two right results may differ, as memory that nobody wrote does.

    Sums in another order change less.
    """
    numbers = {name: np.full_like(evidence.call.arrays[name], np.nan) for name in evidence.floats}
    unit = 2 * EXCESS_LIMIT * (evidence.judged.spacing / 2 + evidence.reference.wide)
    first, changed = evidence.judged.computed, np.zeros(evidence.output.shape, np.bool_)
    for _ in range(REPETITIONS):
        evidence.again(**numbers)  # which may leave other numbers behind
        made = evidence.run(evidence.call)
        if made is None:
            return None
        with np.errstate(invalid="ignore"):
            changed |= ~(np.abs(made.astype(np.float64) - first) <= unit) & ~_same_values(made, evidence.output)
    return broken(evidence) if changed.any() else None


def _same_values(a: Array, b: Array) -> Array:
    return np.asarray((a == b) | ((a != a) & (b != b)))


def broken(evidence: Evidence) -> Cause:
    """How many elements change when a call is repeated."""
    first, runs = evidence.output, [evidence.run(evidence.call) for _ in range(REPETITIONS)]
    changed = np.zeros(first.shape, np.bool_)
    for made in runs:
        if made is not None:
            a, b = made.astype(np.float64), first.astype(np.float64)
            changed |= (a != b) & ~(np.isnan(a) & np.isnan(b))
    return Cause("depends-on", "repetition", figures={"changed": int(changed.sum()), "elements": changed.size})
