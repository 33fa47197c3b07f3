"""The first module that computes something else: every module of b is run on what its counterpart in a received."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from opfuzz.floats import FLOAT32, FORMATS, FloatArray, format_of
from opfuzz.localize.layouts import Source, assign, wide
from opfuzz.localize.match import Signature, match
from opfuzz.localize.recording import Array, Call, Part, TracedModel
from opfuzz.localize.trace_pair import Models
from opfuzz.localize.weights import Weight, compare

# For a module M of a, its counterpart N of b, and the inputs x that M received:
#     local error  rms(N(x) - M(x)) / std(M(x)),   inherited error  rms(y - x) / std(x)  for the inputs y of N,
#     total error  rms(N(y) - M(x)) / std(M(x)),   all in the layout of b.
# What rounding does in M is measured: against M in float64, and by moving each input by one unit roundoff u. With the
# larger of the two as noise, N may be off from M in float64 by
#     allowance = 8 noise + (4 + sqrt(K) / 2) 2^-24 rms(M(x)),    K: the longest dot product of a parameter.
# Measured against torch, honest MLX layers have 1 to 3 times the noise; its convolutions on the processor, which add
# up one by one, 0.3 sqrt(K) u. The mildest fault to be told, an eps of 1e-6 for 1e-5, is 4.5e-6 at a variance of 1.
NOISES, ROUNDINGS, PER_ROOT = 8.0, 4.0, 0.5
SUSPICIOUS = 1e-4  # a local error that must not come from random numbers, which look like noise of a

GUILTY, CONTAINS, CLEAN, UNCOMPARED, UNCALLED = "guilty", "contains", "clean", "not compared", "not called"


@dataclass(frozen=True, slots=True)
class Module:
    """One pair of modules; errors are the largest over calls and outputs, None where there is nothing to compare."""

    name_a: str
    name_b: str
    kind_a: str
    kind_b: str
    calls_a: int
    calls_b: int
    local: float | None
    inherited: float | None
    total: float | None
    excess: float | None  # local error in units of its allowance; beyond 1 it is no rounding
    verdict: str
    weights: tuple[Weight, ...]
    what: str  # in words: what is different, or why it was not compared


@dataclass(frozen=True, slots=True)
class Captured:
    """One call of a guilty module: what it received in a, what both sides and the float64 run made of it."""

    call: int  # from 1
    inputs: Mapping[str, Array]  # 0
    outputs: Mapping[str, Array]  # a.0, b.0, exact.0
    weights: Mapping[str, Array]  # a.weight, b.weight


@dataclass(frozen=True, slots=True)
class Trace:
    """All pairs in the order in which a runs them, and what has no counterpart."""

    frameworks: tuple[str, str]
    modules: tuple[Module, ...]
    guilty: tuple[str, ...]  # names in a, the first to run first
    unmatched_a: tuple[str, ...]
    unmatched_b: tuple[str, ...]
    captured: Captured | None  # of the first guilty module


@dataclass(frozen=True, slots=True)
class _Comparison:
    """One call on both sides."""

    local: float
    inherited: float
    total: float
    excess: float
    what: str
    outputs_b: tuple[Array, ...] = ()
    exact: tuple[Array, ...] | None = None
    number: int = 1
    fickle: str = ""  # the side that gives other outputs when it runs again


def trace(models: Models) -> Trace:
    """Runs both models, compares all their modules, and names the guilty ones.

    A module is guilty if its local error is no rounding and none of the modules inside it is guilty.
    Raises OpfuzzError if a model raises, or the names map what is not there.
    """
    recorded_a, recorded_b = models.record()
    parts_a, parts_b = ({part.name: part for part in side.parts()} for side in (models.a, models.b))
    calls_a, calls_b = _by_name(recorded_a), _by_name(recorded_b)
    names = match(_signatures(parts_a, calls_a), _signatures(parts_b, calls_b), models.names)
    rest = {f"{p.name}.{n}": array for p in parts_a.values() for n, array in p.parameters.items()}
    frameworks = (models.a.framework, models.b.framework)
    order = sorted(names, key=lambda name: calls_a[name][0].order if name in calls_a else len(recorded_a))
    modules: list[Module] = []
    worst: dict[str, _Comparison] = {}
    for name in order:
        a, b = parts_a[name], parts_b[names[name]]
        ours, theirs = calls_a.get(name, ()), calls_b.get(names[name], ())
        root = _longest_product(parts_a, name) ** 0.5
        compared, failed = _compare_calls(models, ours, theirs, root)
        module = Module(
            name, b.name, a.kind, b.kind, len(ours), len(theirs), None, None, None, None, UNCALLED,
            compare(a, b, frameworks, rest), failed,
        )  # fmt: skip
        if compared:
            worst[name] = max(compared, key=lambda c: c.excess)
            module = _judged(module, compared)
        elif ours and theirs:
            module = replace(module, verdict=UNCOMPARED)
        elif len(ours) != len(theirs):
            module = replace(module, verdict=UNCOMPARED, what=f"runs in {'a' if ours else 'b'} only")
        modules.append(module)
    modules = _blame(modules, {m.name_a: (parts_a[m.name_a], parts_b[m.name_b]) for m in modules}, worst)
    guilty = tuple(m.name_a for m in modules if m.verdict == GUILTY)
    captured = None
    if guilty:
        found = worst[guilty[0]]
        captured = _capture(calls_a[guilty[0]][found.number - 1], found, parts_a[guilty[0]], parts_b[names[guilty[0]]])
    return Trace(
        frameworks,
        tuple(modules),
        guilty,
        _unmatched(parts_a, calls_a, set(names)),
        _unmatched(parts_b, calls_b, set(names.values())),
        captured,
    )


def _by_name(calls: Sequence[Call]) -> dict[str, list[Call]]:
    found: dict[str, list[Call]] = {}
    for call in calls:
        found.setdefault(call.name, []).append(call)
    return found


def _unmatched(parts: Mapping[str, Part], calls: Mapping[str, Sequence[Call]], matched: set[str]) -> tuple[str, ...]:
    """A list of modules, which neither runs nor holds anything, needs no counterpart."""
    return tuple(n for n, part in parts.items() if n not in matched and (n in calls or part.parameters))


def _signatures(parts: Mapping[str, Part], calls: Mapping[str, Sequence[Call]]) -> list[Signature]:
    held = {part.name: [_dims(array) for array in part.parameters.values()] for part in parts.values()}
    found = []
    for name in parts:
        first = calls[name][0] if name in calls else None
        below = sorted(dims for other, own in held.items() if _is_inside(other, name) for dims in own)
        output = _dims(first.outputs[0]) if first and first.outputs else ()
        found.append(Signature(name, tuple(below), output, first.order if first else None))
    return found


def _dims(array: Array) -> tuple[int, ...]:
    return tuple(sorted(length for length in array.shape if length != 1))


def _is_inside(name: str, ancestor: str) -> bool:
    """Whether a module is another, or is somewhere in it."""
    return not ancestor or name == ancestor or name.startswith(f"{ancestor}.")


def _longest_product(parts: Mapping[str, Part], name: str) -> int:
    inside = (array for part in parts.values() if _is_inside(part.name, name) for array in part.parameters.values())
    return max((array.size // array.shape[0] for array in inside if array.ndim > 1 and array.size), default=1)


def _compare_calls(
    models: Models, ours: Sequence[Call], theirs: Sequence[Call], root: float
) -> tuple[list[_Comparison], str]:
    """Calls of one number on both sides, and why one could not be compared."""
    compared = []
    for number, (a, b) in enumerate(zip(ours, theirs, strict=False), 1):
        try:
            compared.append(replace(_compare(models, a, b, root), number=number))
        except Exception as error:  # the user's module, on inputs that it did not expect
            return compared, f"b raised {type(error).__name__} on a's input: {' '.join(str(error).split())}"
    return compared, ""


def _compare(models: Models, a: Call, b: Call, root: float) -> _Comparison:
    sources = assign(a.inputs, b.inputs)
    fed = [s.take(a.inputs).astype(y.dtype) if s else y for s, y in zip(sources, b.inputs, strict=True)]
    outputs = models.b.replay(b.name, b.arguments, fed)
    kept = [str(i) for i, source in enumerate(sources) if source is None]
    what = [f"b keeps its own input {', '.join(kept)}, for which a has nothing"] if kept else []
    ways = assign(a.outputs, outputs)
    if (a.outputs or outputs) and not any(ways):
        shapes = " against ".join(
            ", ".join(str(list(x.shape)) for x in side) or "none" for side in (outputs, a.outputs)
        )
        return _Comparison(
            np.inf, _furthest(a.inputs, b.inputs, sources), np.inf, np.inf, f"outputs have shapes {shapes}"
        )
    lone = [str(i) for i, way in enumerate(ways) if way is None]
    what += [f"b's output {', '.join(lone)} has no counterpart in a"] if lone else []
    left = [str(i) for i in range(len(a.outputs)) if i not in {way.index for way in ways if way}]
    what += [f"a's output {', '.join(left)} has no counterpart in b"] if left else []
    local = _furthest(a.outputs, outputs, ways)
    is_fitting = [x.shape for x in b.outputs] == [x.shape for x in outputs]
    total = _furthest(a.outputs, b.outputs, ways) if is_fitting else np.inf
    inherited = _furthest(a.inputs, b.inputs, sources)
    if local == 0:
        return _Comparison(local, inherited, total, 0.0, "; ".join(what))
    exact = _attempt(lambda: models.a.replay(a.name, a.arguments, a.inputs, exact=True))
    if exact is not None and [x.shape for x in exact] != [x.shape for x in a.outputs]:
        exact = None
    excess = _excess(a, outputs, exact, None, ways, root)
    if excess > 1:
        moved = _attempt(lambda: models.a.replay(a.name, a.arguments, [_moved(x) for x in a.inputs]))
        excess = _excess(a, outputs, exact, moved, ways, root)
    fickle = ""
    if excess > 1 or local > SUSPICIOUS:
        fickle = next(
            (side for side, m, call in (("a", models.a, a), ("b", models.b, b)) if _varies(m, call, local)), ""
        )
    return _Comparison(local, inherited, total, excess, "; ".join(what), outputs, exact, fickle=fickle)


def _varies(model: TracedModel, call: Call, local: float) -> bool:
    """Whether the module gives other outputs when it is called again: a large part of the local error."""
    again = _attempt(lambda: model.replay(call.name, call.arguments, call.inputs))
    return again is not None and _furthest(call.outputs, again, assign(call.outputs, again)) > local / 2


def _furthest(a: Sequence[Array], b: Sequence[Array], sources: Sequence[Source | None]) -> float:
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


def _excess(
    a: Call,
    outputs: Sequence[Array],
    exact: Sequence[Array] | None,
    moved: Sequence[Array] | None,
    ways: Sequence[Source | None],
    root: float,
) -> float:
    """Error of b against the exact run, or against a where there is none, in units of the allowance; the largest."""
    found = 0.0
    for way, y in zip(ways, outputs, strict=True):
        if way is None:
            continue
        x = way.take(a.outputs)
        truth = x if exact is None else way.take(exact)
        noise = _gap(x, truth)
        if moved is not None:
            noise = max(noise, _gap(x, way.take(moved)))
        allowance = NOISES * noise + (ROUNDINGS + PER_ROOT * root) * FLOAT32.unit_roundoff * _rms(_finite(x))
        error = _gap(truth, y)
        if error:
            found = max(found, error / allowance if allowance else float("inf"))
    return found


def _moved(x: Array) -> Array:
    """Each element up or down by one unit roundoff of its format, by a fixed draw."""
    if x.dtype.name not in FORMATS:
        return x
    signs = np.random.default_rng(0).choice((-1.0, 1.0), x.shape)
    u = format_of(x).unit_roundoff
    return np.asarray(wide(x) * (1 + u * signs)).astype(x.dtype)


def _attempt(run: Callable[[], tuple[Array, ...]]) -> tuple[Array, ...] | None:
    # An exact run may fail where a layer insists on a format: then noise is measured by moved inputs alone.
    try:
        return run()
    except Exception:  # the user's module
        return None


def _judged(module: Module, compared: Sequence[_Comparison]) -> Module:
    local, inherited, total, excess = (
        max(getattr(c, field) for c in compared) for field in ("local", "inherited", "total", "excess")
    )
    worst = max(compared, key=lambda c: c.excess)
    words = [worst.what] if worst.what else []
    if module.calls_a != module.calls_b:
        words.append(f"runs {module.calls_a} times in a and {module.calls_b} times in b")
    verdict = GUILTY if excess > 1 else CLEAN
    fickle = next((c.fickle for c in compared if c.fickle), "")
    if fickle:
        verdict = UNCOMPARED
        words.append(f"{fickle} gives other values when it runs again: it draws random numbers or keeps a state")
    return replace(
        module, local=local, inherited=inherited, total=total, excess=excess, verdict=verdict, what="; ".join(words)
    )


def _blame(
    modules: Sequence[Module], parts: Mapping[str, tuple[Part, Part]], worst: Mapping[str, _Comparison]
) -> list[Module]:
    """Guilt goes to the innermost module; those around it contain it. Says of each guilty one what is different."""
    suspects = {m.name_a for m in modules if m.verdict == GUILTY}
    blamed = []
    for m in modules:
        if m.name_a in suspects:
            if any(other != m.name_a and _is_inside(other, m.name_a) for other in suspects):
                m = replace(m, verdict=CONTAINS)
            else:
                m = replace(m, what="; ".join(_differences(m, modules, parts, worst[m.name_a])))
        blamed.append(m)
    return blamed


def _differences(
    m: Module, modules: Sequence[Module], parts: Mapping[str, tuple[Part, Part]], found: _Comparison
) -> list[str]:
    words = []
    # A module inside that never ran by itself is used by this one, as torch's attention uses its projection.
    for own in [m, *(x for x in modules if x.verdict == UNCALLED and _is_inside(x.name_a, m.name_a))]:
        prefix = own.name_a[len(m.name_a) :].lstrip(".")
        prefix = f"{prefix}." if prefix else ""
        words += [f"{prefix}{w.name_a or w.name_b} {w.relation}" for w in own.weights if w.relation]
        a, b = (part.settings for part in parts[own.name_a])
        words += [f"{prefix}{n} is {a[n]} in a and {b[n]} in b" for n in a if n in b and a[n] != b[n]]
    has_children = any(x.name_a != m.name_a and _is_inside(x.name_a, m.name_a) for x in modules)
    if not words and not has_children and m.kind_a.lower() != m.kind_b.lower():
        words.append(f"a has {m.kind_a}, b has {m.kind_b}")
    if not words and not found.what:
        inside = "the modules inside it are clean, " if has_children else ""
        weights = "its weights are equal, " if m.weights else ""
        words.append(f"{inside}{weights}it computes something else")
    return [*words, found.what] if found.what else words


def _capture(call: Call, found: _Comparison, a: Part, b: Part) -> Captured:
    outputs = {"a": call.outputs, "b": found.outputs_b, "exact": found.exact or ()}
    return Captured(
        found.number,
        {str(i): array for i, array in enumerate(call.inputs)},
        {f"{side}.{i}": array for side, arrays in outputs.items() for i, array in enumerate(arrays)},
        {f"{side}.{n}": array for side, part in (("a", a), ("b", b)) for n, array in part.parameters.items()},
    )
