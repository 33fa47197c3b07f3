"""Modules paired by the weights that they hold: those of the same weights are wrappers around each other."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence

from opfuzz.network.trace.names import is_inside

HALF = 0.5  # two modules are one only if they share more than half of their weights

Weights = Mapping[str, frozenset[str]]  # of every module, by name: those at or below it


def pair_by_weights(found: dict[str, str], a: Weights, b: Weights, likeness: Callable[[str, str], float]) -> None:
    """Adds the pairs of modules that hold the same weights, and then of those that share most of them.

    A chain of modules with the same weights, such as `conv` and `conv.conv`, is laid along its counterpart's so that
    the likeness is largest; what has no place in the other chain has no counterpart.
    """
    chains_a, chains_b = _chains(a), _chains(b)
    above: dict[str, list[frozenset[str]]] = {}
    for held in chains_b:
        for weight in held:
            above.setdefault(weight, []).append(held)
    shares = []
    for held in chains_a:
        for other, shared in Counter(o for weight in held for o in above.get(weight, ())).items():
            share = 2 * shared / (len(held) + len(other))
            if share > HALF:
                shares.append((share, held, other))
    done_a: set[frozenset[str]] = set()
    done_b: set[frozenset[str]] = set()
    order = [(-share, -len(held), chains_a[held], chains_b[other], held, other) for share, held, other in shares]
    for *_, held, other in sorted(order, key=lambda entry: entry[:4]):
        if held not in done_a and other not in done_b:
            done_a.add(held)
            done_b.add(other)
            taken = set(found.values())
            first = [s for s in chains_a[held] if s not in found]
            second = [t for t in chains_b[other] if t not in taken]
            for s, t in _lay(first, second, likeness):
                if all(
                    is_inside(s, x) == is_inside(t, y) and is_inside(x, s) == is_inside(y, t) for x, y in found.items()
                ):
                    found[s] = t


def _chains(side: Weights) -> dict[frozenset[str], list[str]]:
    """The modules by what they hold, outer ones first."""
    chains: dict[frozenset[str], list[str]] = {}
    for name in sorted(side, key=lambda name: name.count(".") + bool(name)):
        if side[name]:
            chains.setdefault(side[name], []).append(name)
    return chains


def _lay(a: Sequence[str], b: Sequence[str], likeness: Callable[[str, str], float]) -> list[tuple[str, str]]:
    """Pairs in order, as many as there can be, so that the sum of their likenesses is largest."""
    if len(a) == len(b) == 1:
        return [(a[0], b[0])]
    best: dict[tuple[int, int], tuple[int, float, list[tuple[str, str]]]] = {}
    for i in range(len(a) + 1):
        for j in range(len(b) + 1):
            if not i or not j:
                best[i, j] = (0, 0.0, [])
                continue
            count, score, pairs = best[i - 1, j - 1]
            options = [best[i - 1, j], best[i, j - 1]]
            if (gain := likeness(a[i - 1], b[j - 1])) > -math.inf:
                options.append((count + 1, score + gain, [*pairs, (a[i - 1], b[j - 1])]))
            best[i, j] = max(options, key=lambda entry: entry[:2])
    return best[len(a), len(b)][2]
