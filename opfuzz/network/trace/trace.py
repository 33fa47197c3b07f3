"""The first module that computes something else: every module of b is run on what its counterpart in a received."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from opfuzz.core.files.user_module import said
from opfuzz.network.trace.local_error import CallComparison, compare_call
from opfuzz.network.trace.match import Signature, match
from opfuzz.network.trace.pair import Models
from opfuzz.network.trace.recording import Array, ModuleCall, TracedPart
from opfuzz.network.trace.weights import Weight, compare

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
    modules: list[Module] = []
    compared: dict[str, list[CallComparison]] = {}
    for name in sorted(names, key=lambda name: calls_a[name][0].order if name in calls_a else len(recorded_a)):
        a, b = parts_a[name], parts_b[names[name]]
        ours, theirs = calls_a.get(name, []), calls_b.get(b.name, [])
        compared[name], failed = _compare_calls(models, ours, theirs, _longest_sum(parts_a, calls_a, name) ** 0.5)
        weights = compare(a, b, frameworks, rest)
        modules.append(_judged(a, b, (len(ours), len(theirs)), compared[name], failed, weights))
    modules = _blame(modules, {name: (parts_a[name], parts_b[names[name]]) for name in names}, compared)
    guilty = tuple(m.name_a for m in modules if m.verdict == GUILTY)
    captured = None
    if guilty:
        first = guilty[0]
        number = _worst(compared[first])
        found = compared[first][number]
        captured = _capture(number, calls_a[first][number], found, parts_a[first], parts_b[names[first]])
    return Trace(
        frameworks,
        tuple(modules),
        guilty,
        _unmatched(parts_a, calls_a, set(names)),
        _unmatched(parts_b, calls_b, set(names.values())),
        captured,
    )


def _by_name(calls: Sequence[ModuleCall]) -> dict[str, list[ModuleCall]]:
    found: dict[str, list[ModuleCall]] = {}
    for call in calls:
        found.setdefault(call.name, []).append(call)
    return found


def _unmatched(
    parts: Mapping[str, TracedPart], calls: Mapping[str, Sequence[ModuleCall]], matched: set[str]
) -> tuple[str, ...]:
    """A list of modules, which neither runs nor holds anything, needs no counterpart."""
    return tuple(n for n, part in parts.items() if n not in matched and (n in calls or part.parameters))


def _signatures(parts: Mapping[str, TracedPart], calls: Mapping[str, Sequence[ModuleCall]]) -> list[Signature]:
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


def _longest_sum(parts: Mapping[str, TracedPart], calls: Mapping[str, Sequence[ModuleCall]], name: str) -> int:
    """Most terms that a layer of the module adds up: of a product with a parameter, of a group that is normalised."""
    longest = 1
    for part in parts.values():
        if not _is_inside(part.name, name):
            continue
        for array in part.parameters.values():
            if array.ndim > 1 and array.size:
                longest = max(longest, array.size // array.shape[0])
        groups = part.settings.get("num_groups")
        first = next((call.inputs[0] for call in calls.get(part.name, ()) if call.inputs), None)
        if isinstance(groups, int) and groups > 0 and first is not None and first.ndim:
            longest = max(longest, first.size // max(first.shape[0], 1) // groups)
    return longest


def _compare_calls(
    models: Models, ours: Sequence[ModuleCall], theirs: Sequence[ModuleCall], root: float
) -> tuple[list[CallComparison], str]:
    """Calls of one number on both sides, and why one could not be compared."""
    compared: list[CallComparison] = []
    for a, b in zip(ours, theirs, strict=False):
        try:
            compared.append(compare_call(models.a, models.b, a, b, root))
        except Exception as error:  # the user's module, on inputs that it did not expect
            return compared, f"b raised {said(error)} on a's input"
    return compared, ""


def _worst(compared: Sequence[CallComparison]) -> int:
    """Which call is the furthest from rounding."""
    return max(range(len(compared)), key=lambda i: compared[i].excess)


def _judged(
    a: TracedPart,
    b: TracedPart,
    calls: tuple[int, int],
    compared: Sequence[CallComparison],
    failed: str,
    weights: tuple[Weight, ...],
) -> Module:
    """One row, as if every module were judged by itself."""
    words = [*(compared[_worst(compared)].notes if compared else ()), *([failed] if failed else [])]
    if 0 in calls and any(calls):
        words.append(f"runs in {'a' if calls[0] else 'b'} only")
    elif calls[0] != calls[1]:
        words.append(f"runs {calls[0]} times in a and {calls[1]} times in b")
    local, inherited, total, excess = (
        max((getattr(c, figure) for c in compared), default=None)
        for figure in ("local", "inherited", "total", "excess")
    )
    fickle = next((c.fickle for c in compared if c.fickle), "")
    if fickle:
        words.append(f"{fickle} gives other values when it runs again: it draws random numbers or keeps a state")
    is_blank = bool(compared) and all(c.is_blank for c in compared)
    if is_blank:
        words.append("a gives no finite value, so there is nothing to compare")
    if not any(calls):
        verdict = UNCALLED
    elif excess is None or fickle or is_blank:
        verdict = UNCOMPARED
    else:
        verdict = GUILTY if excess > 1 else CLEAN
    return Module(
        a.name, b.name, a.kind, b.kind, *calls, local, inherited, total, excess, verdict, weights, "; ".join(words)
    )


def _blame(
    modules: Sequence[Module],
    parts: Mapping[str, tuple[TracedPart, TracedPart]],
    compared: Mapping[str, Sequence[CallComparison]],
) -> list[Module]:
    """Guilt goes to the innermost module; those around it contain it. Says of each guilty one what is different."""
    suspects = {m.name_a for m in modules if m.verdict == GUILTY}
    blamed = []
    for m in modules:
        if m.name_a in suspects:
            if any(other != m.name_a and _is_inside(other, m.name_a) for other in suspects):
                m = replace(m, verdict=CONTAINS)
            else:
                found = compared[m.name_a][_worst(compared[m.name_a])]
                m = replace(m, what="; ".join(_differences(m, modules, parts, found)))
        blamed.append(m)
    return blamed


def _differences(
    m: Module, modules: Sequence[Module], parts: Mapping[str, tuple[TracedPart, TracedPart]], found: CallComparison
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
    words += [found.narrower] if found.narrower else []
    if not words and found.has_fitting_outputs:
        inside = "the modules inside it are clean, " if has_children else ""
        weights = "its weights are equal, " if m.weights else ""
        words.append(f"{inside}{weights}it computes something else")
    return [*words, *found.notes]


def _capture(number: int, call: ModuleCall, found: CallComparison, a: TracedPart, b: TracedPart) -> Captured:
    outputs = {"a": call.outputs, "b": found.outputs_b, "exact": found.exact or ()}
    return Captured(
        number + 1,
        {str(i): array for i, array in enumerate(call.inputs)},
        {f"{side}.{i}": array for side, arrays in outputs.items() for i, array in enumerate(arrays)},
        {f"{side}.{n}": array for side, part in (("a", a), ("b", b)) for n, array in part.parameters.items()},
    )
