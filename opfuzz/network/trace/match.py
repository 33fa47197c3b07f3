"""Which submodule of one model is which of the other: by a mapping, by equal weights, by name, by class and order."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Hashable, Mapping, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher

from opfuzz.network.trace.chains import pair_by_weights
from opfuzz.network.trace.mapping import Names, read_mapping
from opfuzz.network.trace.names import ancestor, are_alike, common_end, words

SAME = 2.0

Dims = tuple[int, ...]
Likeness = Callable[[str, str], float]  # of a module of a and one of b; from SAME on they compute the same


@dataclass(frozen=True, slots=True)
class Signature:
    """What a submodule can be known by, whatever it is called. Lengths are sorted, so that layouts do not matter."""

    name: str
    parameters: tuple[Dims, ...]  # of the submodule and all below it, sorted; without axes of length 1
    output: Dims  # of its first call; without axes of length 1
    order: int | None  # among all calls of its model; None: it never ran
    kind: str = ""
    weights: frozenset[str] = frozenset()  # those at or below it that have a partner, by their names in a


def match(a: Sequence[Signature], b: Sequence[Signature], names: Names, likeness: Likeness) -> dict[str, str]:
    """Names in a to names in b; those that have no counterpart are left out.

    `names` are parts of the mapping: `encoder` renames `encoder.0` too, `*` is any part of a name between dots, and
    None is said of a module that has no counterpart. Raises OpfuzzError if an entry of it names nothing.
    """
    mapping = read_mapping([s.name for s in a], [s.name for s in b], names)
    matching = _Matching(
        [s for s in a if s.name not in mapping.alone], b, {"": "", **mapping.pairs}, mapping.renamed, likeness
    )
    held_a, held_b = ({s.name: s.weights for s in side} for side in (matching.a, b))
    pair_by_weights(matching.found, held_a, held_b, likeness)
    matching.undo_exchanges(fixed=set(mapping.pairs))
    matching.pair_rest()
    return matching.found


class _Matching:
    """What is paired so far, and the ways to pair more; each of them keeps to what is inside one pair."""

    def __init__(
        self,
        a: Sequence[Signature],
        b: Sequence[Signature],
        found: dict[str, str],
        renamed: Mapping[str, str],
        likeness: Likeness,
    ) -> None:
        self.a, self.b, self.found, self._renamed, self._likeness = a, b, found, renamed, likeness

    def pair_rest(self) -> None:
        """Pairs what the weights have left: by names, by ends of names, then by what looks alike in order."""
        self._pair_named(lambda s: self._renamed.get(s.name, s.name), lambda t: t.name)
        self._pair_named(self._spoken, lambda t: words(t.name) or None)
        self._pair_by_suffix()
        self._pair_parents()
        # A lost bias changes what its whole ancestry holds, so each way of alignment asks for less than the one before.
        for signs in (
            lambda s: (s.parameters, s.output, s.kind.lower()),
            lambda s: (s.parameters, s.output),
            lambda s: (tuple(p for p in s.parameters if len(p) > 1), s.output),
            lambda s: (bool(s.parameters), s.output),
        ):
            self._align(signs)

    def undo_exchanges(self, fixed: Collection[str]) -> None:
        """Pairs by name again where the weights go round in a circle, against the names and the order of the calls.

        Then the port has loaded the weights of one module into another.
        """
        named_a = {self._spoken(s): s for s in self.a}
        by_name = {t.name: named_a[words(t.name)] for t in self.b if words(t.name) in named_a}
        of_a, of_b = {s.name: s for s in self.a}, {t.name: t for t in self.b}
        for start in list(self.found):
            circle = [start]
            while self.found.get(circle[-1]) in by_name and len(circle) <= len(self.a):
                following = by_name[self.found[circle[-1]]].name
                if following == start:
                    break
                circle.append(following)
            else:
                continue
            if len(circle) == 1 or set(circle) & set(fixed) or any(s not in self.found for s in circle):
                continue
            right = {by_name[self.found[s]].name: self.found[s] for s in circle}
            orders = [
                (of_a[s].order, of_b[t].order, of_a[s].parameters == of_b[t].parameters) for s, t in right.items()
            ]
            ranks = [sorted(range(len(orders)), key=lambda i: orders[i][side] or 0) for side in (0, 1)]
            if ranks[0] == ranks[1] and all(is_same for *_, is_same in orders):
                self.found.update(right)

    def _spoken(self, s: Signature) -> Hashable:
        return words(self._renamed.get(s.name, s.name)) or None

    def _left(self) -> tuple[list[Signature], list[Signature]]:
        taken = set(self.found.values())
        return [s for s in self.a if s.name not in self.found], [t for t in self.b if t.name not in taken]

    def _pair_named(self, key_a: Callable[[Signature], Hashable], key_b: Callable[[Signature], Hashable]) -> None:
        """Pairs those whose key no other has on its side, parents first."""
        left_a, left_b = self._left()
        count_a, count_b = Counter(map(key_a, left_a)), Counter(map(key_b, left_b))
        by_key = {key_b(t): t for t in left_b}
        for s in sorted(left_a, key=lambda s: s.name.count(".")):
            k = key_a(s)
            if k is not None and count_a[k] == count_b[k] == 1 and self._may_pair(s, by_key[k]):
                self.found[s.name] = by_key[k].name

    def _may_pair(self, s: Signature, t: Signature) -> bool:
        """Whether both are inside one pair, and no weight of one has its partner elsewhere."""
        has_own = not s.weights.isdisjoint(t.weights) or not (s.weights or t.weights)
        return has_own and self.found[ancestor(s.name, self.found)] == ancestor(t.name, set(self.found.values()))

    def _pair_by_suffix(self) -> None:
        """Pairs those that hold the same, and whose names end alike for longer than with any other."""
        left_a, left_b = self._left()
        scores = {
            (s.name, t.name): common_end(s.name, t.name)
            for s in left_a
            for t in left_b
            if (s.parameters, s.output) == (t.parameters, t.output) and self._may_pair(s, t)
        }
        rows: dict[str, list[int]] = {}
        for (s, t), score in scores.items():
            rows.setdefault(f"a {s}", []).append(score)
            rows.setdefault(f"b {t}", []).append(score)
        of_a, of_b = {s.name: s for s in left_a}, {t.name: t for t in left_b}
        for (s, t), score in scores.items():
            is_best = all(row.count(score) == 1 and max(row) == score for row in (rows[f"a {s}"], rows[f"b {t}"]))
            if score and is_best and self._may_pair(of_a[s], of_b[t]):
                self.found[s] = t

    def _pair_parents(self) -> None:
        """Pairs the parents of paired modules, by the votes of their children, up to the whole model."""
        while True:
            left_a, left_b = ({s.name: s for s in side} for side in self._left())
            votes = Counter((s.rpartition(".")[0], t.rpartition(".")[0]) for s, t in self.found.items() if s and t)
            pairs = {
                (s, t): n
                for (s, t), n in votes.items()
                if s in left_a and t in left_b and self._may_pair(left_a[s], left_b[t])
            }
            if not pairs:
                return
            s, t = max(pairs, key=lambda pair: pairs[pair])
            self.found[s] = t

    def _align(self, signs: Callable[[Signature], Hashable]) -> None:
        """Pairs those inside one pair that look alike, in the order in which they begin; then what is inside those."""
        is_growing = True
        while is_growing:
            is_growing = False
            for ours, theirs in self._inside():
                first, second = (
                    sorted((s for s in side if s.order is not None), key=lambda s: s.order or 0)
                    for side in (ours, theirs)
                )
                blocks = SequenceMatcher(None, [signs(s) for s in first], [signs(t) for t in second], autojunk=False)
                for start_a, start_b, length in blocks.get_matching_blocks():
                    for s, t in zip(first[start_a:], second[start_b : start_b + length], strict=False):
                        # Not if the block has paired what is around one of them.
                        if self._may_pair(s, t) and self._look_alike(s, t):
                            self.found[s.name] = t.name
                            is_growing = True

    def _inside(self) -> Sequence[tuple[list[Signature], list[Signature]]]:
        """What is left on both sides, by the pair that it is in."""
        inside: dict[tuple[str, str], tuple[list[Signature], list[Signature]]] = {
            pair: ([], []) for pair in self.found.items()
        }
        left_a, left_b = self._left()
        back = {other: name for name, other in self.found.items()}
        for s in left_a:
            above = ancestor(s.name, self.found)
            inside[above, self.found[above]][0].append(s)
        for t in left_b:
            above = ancestor(t.name, back)
            inside[back[above], above][1].append(t)
        return [pair for pair in inside.values() if all(pair)]

    def _look_alike(self, s: Signature, t: Signature) -> bool:
        """Order says nothing of what has no weights: its class must, or what it makes of the same inputs."""
        return bool(s.parameters) or are_alike(s.kind, t.kind) or self._likeness(s.name, t.name) >= SAME
