"""Who is guilty once all modules are seen together, and of what."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

from opfuzz.network.trace.causes import Knowledge, find_cause
from opfuzz.network.trace.feeds import TRIES
from opfuzz.network.trace.local_error import CallComparison, compare_call
from opfuzz.network.trace.modules import CLEAN, CONTAINS, GUILTY, UNCALLED, UNCOMPARED, Module, ModulePair
from opfuzz.network.trace.names import are_alike, is_inside, role
from opfuzz.network.trace.recording import Setting
from opfuzz.network.trace.weights import ADDED, MISSING
from opfuzz.network.trace.whereabouts import find_first_wrong, is_made_up_for

# A module that is off by more than this many allowances of a module around it would show there.
HIDDEN = 100.0
TRIED_ALIKE = 2  # modules of one class that nothing explains, before the others are not searched
# What one side keeps as a table, the other may compute; a weight or a bias it can only lack.
PLAIN = ("weight", "bias")
NOTHING_KNOWN = "it computes something else"
NOT_ALL = "not all readings were tried, as it calls so many functions"


def blame(
    modules: Sequence[Module], pairs: Mapping[str, ModulePair], knowledge: Knowledge | None = None
) -> list[Module]:
    """The modules with their final verdicts: a clean module has no guilty one inside, and the innermost is guilty."""
    found = [_explained(m, modules, pairs) if m.verdict == GUILTY else m for m in modules]
    found = _without_unlike(without_wrong_pairs(found, pairs), pairs)
    found = [_acquitted(m, found, pairs) if m.verdict == GUILTY else m for m in found]
    suspects = {m.name_a for m in found if m.verdict == GUILTY}
    blamed: list[Module] = []
    known: list[str] = []
    unknown: Counter[tuple[str, str]] = Counter()  # modules of which nothing was found, by their classes
    for m in found:
        if m.name_a in suspects and any(x != m.name_a and is_inside(x, m.name_a) for x in suspects):
            m = replace(m, verdict=CONTAINS, what="", cause="", residual=None)
        elif m.name_a in suspects and (not m.cause or _is_open(m, found, pairs)):
            is_hopeless = unknown[m.kind_a, m.kind_b] >= TRIED_ALIKE
            m, readings = _named(m, found, pairs, None if is_hopeless else knowledge, known)
            m = replace(m, is_searched=False) if is_hopeless and m.residual is None else m
            known.extend(readings)
            unknown[m.kind_a, m.kind_b] += m.residual is None
        blamed.append(m)
    return blamed


def _named(
    m: Module,
    modules: Sequence[Module],
    pairs: Mapping[str, ModulePair],
    knowledge: Knowledge | None,
    known: Collection[str],
) -> tuple[Module, Sequence[str]]:
    """The module with what it computes instead, or between which of its own the difference begins; and the readings.

    `known` are the readings that explain other modules.
    """
    handed = m.cause or _handed(m, modules)
    classes = _classes(m, modules, pairs[m.name_a])
    found, is_whole = None, True
    if knowledge is not None:
        inside = (x for x in modules if x.name_a != m.name_a and is_inside(x.name_a, m.name_a))
        cleared = [pairs[x.name_a] for x in inside if x.verdict == CLEAN]
        search = find_cause(pairs[m.name_a], cleared, knowledge, known)
        found, is_whole = search.cause, search.is_whole
    if found is None:
        what = handed or _unknown(m, modules, pairs)
        what = what if is_whole else f"{what}; {NOT_ALL}"
        return replace(m, cause=handed, what=what, is_searched=is_whole), ()
    if m.cause and not found.readings:  # the weights are all of it, or what else there is nobody knows
        return replace(m, residual=found.residual), ()
    cause = "; ".join(words for words in (handed, found.words) if words and words not in classes)
    return replace(m, cause=cause, what=cause, residual=found.residual, beside=found.beside), found.readings


def _is_open(m: Module, modules: Sequence[Module], pairs: Mapping[str, ModulePair]) -> bool:
    """Whether more can be found out: its classes say little, and of its weights nobody knows whether they are all."""
    c = pairs[m.name_a]
    is_known = m.residual is not None or bool(c.compared[c.worst].narrower)
    return not is_known and (bool(c.values) or m.cause in _classes(m, modules, c))


def without_wrong_pairs(modules: Sequence[Module], pairs: Mapping[str, ModulePair]) -> list[Module]:
    """Without those that differ inside a module that does not, and those that play their part in other layers."""
    clean = [m for m in modules if m.verdict == CLEAN]
    dropped: dict[str, str] = {}
    wrong: set[tuple[str, str]] = set()
    for m in modules:
        if m.verdict != GUILTY:
            continue
        differs = _unlike(pairs[m.name_a]) or f"it differs from b's {m.name_b or '(model)'}"
        around = [c for c in clean if c is not m and is_inside(m.name_a, c.name_a) and is_inside(m.name_b, c.name_b)]
        for c in reversed(around):
            if m.local is None or m.local > HIDDEN * pairs[c.name_a].allowance:
                wrong.add((role(m.name_a), role(m.name_b)))
                dropped[m.name_a] = (
                    f"{differs}, yet {c.name_a or '(model)'} around it is clean: "
                    "b does its work elsewhere, or names say which it is"
                )
                break
            if not m.cause:
                dropped[m.name_a] = (
                    f"it is off by {m.excess:.2g} allowances, and {c.name_a or '(model)'} around it is clean"
                )
    found = []
    for m in modules:
        if m.name_a in dropped:
            m = replace(m, verdict=UNCOMPARED, what=dropped[m.name_a], cause="", residual=None)
        elif m.verdict == GUILTY and not m.cause and (role(m.name_a), role(m.name_b)) in wrong:
            what = f"it differs from b's {m.name_b}, as in other layers, which are clean"
            m = replace(m, verdict=UNCOMPARED, what=what)
        found.append(m)
    return found


def _without_unlike(modules: Sequence[Module], pairs: Mapping[str, ModulePair]) -> list[Module]:
    """Without those whose outputs cannot be set side by side, where another module explains why the models differ.

    A padding that is lost changes a shape, and so does a port that returns what its caller computes in a.
    """

    def is_unlike(m: Module) -> bool:
        return bool(pairs[m.name_a].compared[pairs[m.name_a].worst].unlike)

    suspects = [m for m in modules if m.verdict == GUILTY]
    strong = [m for m in suspects if not is_unlike(m)]
    return [
        replace(m, verdict=UNCOMPARED, what=_unlike(pairs[m.name_a]), cause="")
        if m.verdict == GUILTY and is_unlike(m) and any(not is_inside(m.name_a, x.name_a) for x in strong)
        else m
        for m in modules
    ]


def _acquitted(m: Module, modules: Sequence[Module], pairs: Mapping[str, ModulePair]) -> Module:
    """The module, not compared if what takes its output gets the same on both sides."""
    around = [x for x in modules if x is not m and is_inside(m.name_a, x.name_a) and pairs[x.name_a].compared]
    if around:
        outer = around[-1].name_a
        inside = [
            pairs[x.name_a]
            for x in modules
            if x.name_a != outer and is_inside(x.name_a, outer) and x.excess is not None
        ]
        if is_made_up_for(pairs[m.name_a], pairs[outer], inside):
            what = f"it differs from b's {m.name_b}, yet what takes its output gets the same: b does its work elsewhere"
            return replace(m, verdict=UNCOMPARED, what=what, cause="", residual=None)
    return m


def _unlike(c: ModulePair) -> str:
    return c.compared[c.worst].unlike


def _explained(m: Module, modules: Sequence[Module], pairs: Mapping[str, ModulePair]) -> Module:
    """The module with the cause of its error, if one is certain: its weights, its class, a setting that mends it."""
    c = pairs[m.name_a]
    causes, residual = _other_weights(m, modules, pairs), None
    if not causes:
        causes, residual = _settings(c, modules, pairs)
    worst = c.compared[c.worst]
    causes = causes or _classes(m, modules, c)
    causes += [worst.narrower] if worst.narrower else []
    cause = "; ".join(causes)
    return replace(m, cause=cause, what=cause, residual=residual)


def _classes(m: Module, modules: Sequence[Module], c: ModulePair) -> list[str]:
    """Its classes, where they are all that is known of it."""
    has_children = any(x.name_a != m.name_a and is_inside(x.name_a, m.name_a) for x in modules)
    is_plain = not has_children and not c.a.parameters
    return [f"a has {m.kind_a}, b has {m.kind_b}"] if is_plain and not are_alike(m.kind_a, m.kind_b) else []


def _other_weights(m: Module, modules: Sequence[Module], pairs: Mapping[str, ModulePair]) -> list[str]:
    """What is different in its weights, and in those of modules inside that it uses without running them."""
    usual = {
        (x.kind_a, x.kind_b, w.name_a, w.relation)
        for x in modules
        if x.verdict == CLEAN
        for w in x.weights
        if w.relation
    }
    words = []
    for own in [m, *(x for x in modules if x.verdict == UNCALLED and is_inside(x.name_a, m.name_a))]:
        prefix = own.name_a[len(m.name_a) :].lstrip(".")
        prefix = f"{prefix}." if prefix else ""
        words += [
            f"{prefix}{w.name_a or w.name_b} {w.relation}"
            for w in own.weights
            if w.relation
            and (w.relation != MISSING or w.name_a.rpartition(".")[2] in PLAIN)
            and (w.relation != ADDED or _is_right_without(pairs[m.name_a], f"{own.name_b}.{w.name_b}".lstrip(".")))
            and not ("." in (w.name_a or w.name_b) and w.relation in (MISSING, ADDED))  # its owner has no counterpart
            and (own.kind_a, own.kind_b, w.name_a, w.relation) not in usual
        ]
    return words


def _is_right_without(c: ModulePair, weight: str) -> bool:
    """Whether b is right once a weight that a has not is zero."""
    owner, _, name = weight.rpartition(".")
    try:
        with c.sides.b.without(owner, name):
            return compare_call(c.sides, c.ours[c.worst], c.theirs[c.worst]).excess <= 1
    except Exception:  # the user's module, without a weight
        return False


def _settings(
    c: ModulePair, modules: Sequence[Module], pairs: Mapping[str, ModulePair]
) -> tuple[list[str], float | None]:
    """The settings that make b right once they are a's, and the error that is left then."""
    usual = {
        (x.kind_a, x.kind_b, name, values)
        for x in modules
        if x.verdict == CLEAN
        for name, values in pairs[x.name_a].setting_differences.items()
    }
    differing = {
        name: values
        for name, values in c.setting_differences.items()
        if (c.a.kind, c.b.kind, name, values) not in usual
    }
    attempts = [({n: a}, f"{n} is {a} in a and {b} in b") for n, (a, b) in differing.items()]
    if len(differing) > 1:
        attempts.append(({n: a for n, (a, _) in differing.items()}, "; ".join(words for _, words in attempts)))
    attempts += [
        ({name: a}, f"{name} is {b} in b, and a's {other} is {a}")
        for name, b in c.b.settings.items()
        for other, a in c.a.settings.items()
        if isinstance(a, float) and isinstance(b, float) and a != b and name not in c.a.settings
    ]
    for settings, words in attempts[:TRIES]:
        mended = _mended(c, settings)
        if mended is not None and mended.excess <= 1:
            return [words], mended.local
    return [], None


def _mended(c: ModulePair, settings: Mapping[str, Setting]) -> CallComparison | None:
    try:
        with c.sides.b.planted(c.b.name, settings):
            return compare_call(c.sides, c.ours[c.worst], c.theirs[c.worst])
    except Exception:  # the user's module, with settings that it was not built for
        return None


def _handed(m: Module, modules: Sequence[Module]) -> str:
    """What this module gives to modules inside it that are right when they get what a's got."""
    inside = [x for x in modules if x.name_a != m.name_a and is_inside(x.name_a, m.name_a)]
    return next((f"it gives {x.name_a} another {x.instead}" for x in inside if x.verdict == CLEAN and x.instead), "")


def _unknown(m: Module, modules: Sequence[Module], pairs: Mapping[str, ModulePair]) -> str:
    c = pairs[m.name_a]
    found = c.compared[c.worst]
    if found.unlike:
        return found.unlike
    inside = [x for x in modules if x.name_a != m.name_a and is_inside(x.name_a, m.name_a) and x.excess is not None]
    words = "the modules inside it are clean, " if inside and all(x.verdict == CLEAN for x in inside) else ""
    place = find_first_wrong(c, [pairs[x.name_a] for x in inside]) if words else ""
    weights = "its weights are equal, " if m.weights and not any(w.relation for w in m.weights) else ""
    return f"{words}{weights}{NOTHING_KNOWN} {place}".rstrip()
