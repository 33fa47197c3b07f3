"""Inner modules that are left out, or that take another's weights."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import permutations

from opfuzz.network.observe.records import ModuleRun
from opfuzz.network.readings.reading import Reading, SeenModule

MOST_ALIKE = 6  # modules of one class that are taken for each other


def inner_modules(seen: SeenModule) -> Iterator[Reading]:
    """One that the module calls itself gives what it gets, or is another of its class."""
    children = list(_children(seen))
    for run in children:
        if run.takes and run.gives and run.gives[0] in run.takes:
            yield Reading(f"{run.path} is left out", {}, skipped=frozenset({run.path}))
        bias = seen.weights_of(run.path).get("bias")
        if bias is not None:
            yield Reading(f"the bias of {run.path} is lost", {}, weights={f"{run.path}.bias": bias * 0})
    kinds: dict[str, list[str]] = {}
    for run in children:
        if run.path not in kinds.setdefault(run.kind, []):
            kinds[run.kind].append(run.path)
    for paths in kinds.values():
        if len(paths) > MOST_ALIKE:
            continue
        for one, other in permutations(paths, 2):
            own, others = seen.weights_of(one), seen.weights_of(other)
            is_alike = own and {n: x.shape for n, x in own.items()} == {n: x.shape for n, x in others.items()}
            if is_alike:
                taken = {f"{one}.{n}": x for n, x in others.items()}
                yield Reading(f"{other} in the place of {one}", {}, weights=taken)
                if one < other:
                    both = taken | {f"{other}.{n}": x for n, x in own.items()}
                    yield Reading(f"{one} and {other} are exchanged", {}, weights=both)


def _children(seen: SeenModule) -> Iterator[ModuleRun]:
    """Runs of modules that are not inside one that is right, each module once."""
    told: set[str] = set()
    for run in seen.whole.modules:
        parts = run.path.split(".")
        above = {".".join(parts[:i]) for i in range(1, len(parts))}
        if run.path and above.isdisjoint(seen.cleared) and run.path not in told:
            told.add(run.path)
            yield run
