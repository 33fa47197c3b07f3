"""One pair of modules: what was measured of it, and one verdict, as if every module were judged by itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from opfuzz.core.files.user_module import said
from opfuzz.network.trace.local_error import CallComparison, Sides, compare_call
from opfuzz.network.trace.recording import Array, ModuleCall, Setting, TracedPart
from opfuzz.network.trace.weights import Weight

NODES = "nodes"  # the setting of a module that was read from an exported graph: a line for each of its calls
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
    what: str = ""  # in words: what is different, or why it was not compared
    cause: str = ""  # of a guilty one, in words; empty where it is not known
    residual: float | None = None  # the local error that is left once the cause is gone
    beside: str = ""  # in words, what would explain it next best, and what that leaves
    is_searched: bool = True  # False: no cause was found, and not all readings were tried
    narrower: str = ""  # in words, if b's outputs are in a narrower format
    settings: tuple[str, ...] = ()  # in words, those of one name that have other values
    own: tuple[str, ...] = ()  # inputs that b keeps, as a has none like them
    lone: tuple[str, ...] = ()  # outputs that one side alone has
    instead: str = ""  # an argument that b's caller gives otherwise: with a's, the module is right
    nodes: str = ""  # of the graph of b, where that was exported: those that the module became


@dataclass(frozen=True, slots=True)
class ModulePair:
    """A pair of modules with all its calls compared."""

    a: TracedPart
    b: TracedPart
    ours: Sequence[ModuleCall]
    theirs: Sequence[ModuleCall]
    sides: Sides
    compared: Sequence[CallComparison]
    failed: str  # why a call could not be compared
    weights: tuple[Weight, ...]
    values: Mapping[str, Array]  # of b's weights that differ, by their names in a, as a would hold them

    @property
    def worst(self) -> int:
        """Which call is the furthest from rounding."""
        return max(range(len(self.compared)), key=lambda i: self.compared[i].excess)

    @property
    def allowance(self) -> float:
        """The largest local error that would pass for rounding in some call."""
        return max((c.allowance for c in self.compared), default=0.0)

    @property
    def setting_differences(self) -> Mapping[str, tuple[Setting, Setting]]:
        """The plain attributes that have one name and other values."""
        a, b = self.a.settings, self.b.settings
        return {n: (a[n], b[n]) for n in a if n in b and a[n] != b[n]}


def compare_modules(
    parts: tuple[TracedPart, TracedPart],
    calls: tuple[Sequence[ModuleCall], Sequence[ModuleCall]],
    sides: Sides,
    weights: tuple[Weight, ...],
    values: Mapping[str, Array],
) -> ModulePair:
    """All calls of one number on both sides; `values` are b's in the place of the weights that differ."""
    compared: list[CallComparison] = []
    failed = ""
    for ours, theirs in zip(*calls, strict=False):
        try:
            compared.append(compare_call(sides, ours, theirs))
        except Exception as error:  # the user's module, on inputs that it did not expect
            failed = f"b raised {said(error)} on a's input"
            break
    return ModulePair(*parts, *calls, sides, compared, failed, weights, values)


def judge(c: ModulePair) -> Module:
    """One row. Guilty is what is off on a's inputs; not so what kept inputs of its own, or gives the same in pieces."""
    calls = len(c.ours), len(c.theirs)
    why = [c.failed] if c.failed else []
    if 0 in calls and any(calls):
        why.append(f"runs in {'a' if calls[0] else 'b'} only")
    elif calls[0] != calls[1]:
        why.append(f"runs {calls[0]} times in a and {calls[1]} times in b")
    excess = max((x.excess for x in c.compared), default=None)
    worst = c.compared[c.worst] if c.compared else None
    fickle = next((x.fickle for x in c.compared if x.fickle), "")
    if fickle:
        why.append(f"{fickle} gives other values when it runs again: it draws random numbers or keeps a state")
    is_blank = bool(c.compared) and all(x.is_blank for x in c.compared)
    if is_blank:
        why.append("a gives no finite value, so there is nothing to compare")
    is_off = excess is not None and excess > 1
    blameless = _innocence(c) if is_off else ""
    if not any(calls):
        verdict = UNCALLED
    elif excess is None or fickle or is_blank or blameless:
        verdict = UNCOMPARED
        why += [blameless] if blameless else []
    else:
        verdict = GUILTY if is_off else CLEAN
    local, inherited, total = (
        max((getattr(x, figure) for x in c.compared), default=None) for figure in ("local", "inherited", "total")
    )
    return Module(
        c.a.name,
        c.b.name,
        c.a.kind,
        c.b.kind,
        *calls,
        local,
        inherited,
        total,
        excess,
        verdict,
        c.weights,
        "; ".join(why),
        narrower=worst.narrower if worst else "",
        settings=tuple(f"{name} is {a} in a and {b} in b" for name, (a, b) in c.setting_differences.items()),
        own=worst.own if worst else (),
        lone=worst.lone if worst else (),
        instead=worst.instead if worst else "",
        nodes=_nodes(c),
    )


def _nodes(c: ModulePair) -> str:
    """What the call that is the furthest off became in the graph of b, where that was exported."""
    told = str(c.b.settings.get(NODES, "")).split("\n")
    return told[c.worst] if c.compared and c.worst < len(told) else ""


def _innocence(c: ModulePair) -> str:
    """Why a module that is off cannot be blamed for it."""
    found = c.compared[c.worst]
    # Masks come in so many forms that a has none to give; the module has failed with each of them.
    own = [place for place in found.own if "mask" not in place]
    if own:
        return f"b keeps its own {', '.join(own)}, and a has none like it"
    if found.unlike:
        sizes = [sum(x.size for x in side) for side in (c.ours[c.worst].outputs, found.outputs_b)]
        return found.unlike if sizes[0] == sizes[1] else ""
    return ""
