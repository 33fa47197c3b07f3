"""Which submodule of one model is which of the other: by a mapping, by name, by what it holds and when it runs."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Collection, Hashable, Mapping, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher

from opfuzz.core.errors import OpfuzzError, did_you_mean

# Containers whose own name says nothing: torch's Sequential has `0` where MLX's has `layers.0`.
SILENT = frozenset({"layers", "net", "module", "modules", "model", "_orig_mod"})

Dims = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Signature:
    """What a submodule can be known by, whatever it is called. Lengths are sorted, so that layouts do not matter."""

    name: str
    parameters: tuple[Dims, ...]  # of the submodule and all below it, sorted; without axes of length 1
    output: Dims  # of its first call; without axes of length 1
    order: int | None  # among all calls of its model; None: it never ran


def match(a: Sequence[Signature], b: Sequence[Signature], names: Mapping[str, str]) -> dict[str, str]:
    """Names in a to names in b; those that have no counterpart are left out.

    `names` are parts of the mapping: `encoder` maps `encoder.0` too, and `*` is any part of a name between dots.
    Raises OpfuzzError if an entry of it names nothing.
    """
    found = {"": ""} | _mapped(a, b, names)
    for key in (lambda s: s.name, _spoken):
        _pair_unique(found, a, b, key)
    _pair_by_suffix(found, a, b)
    _pair_parents(found, a, b)
    # A lost bias changes what its whole ancestry holds, so each way of alignment asks for less than the one before.
    for signs in (
        lambda s: (s.parameters, s.output),
        lambda s: (tuple(p for p in s.parameters if len(p) > 1), s.output),
        lambda s: (bool(s.parameters), s.output),
    ):
        _align(found, a, b, signs)
    return found


def _mapped(a: Sequence[Signature], b: Sequence[Signature], names: Mapping[str, str]) -> dict[str, str]:
    known_b = {s.name for s in b}
    found: dict[str, str] = {}
    # Longer entries say more, and so does one written out beside a pattern: the last one wins.
    for entry, target in sorted(names.items(), key=lambda item: (len(item[0]), "*" not in item[0])):
        pattern = re.compile(re.escape(entry).replace(r"\*", r"([^.]*)") + r"(\..*)?")
        if target.count("*") != entry.count("*"):
            raise OpfuzzError(f"names: '{entry}' and '{target}' must hold equally many *")
        hits = {s.name: hit for s in a if (hit := pattern.fullmatch(s.name))}
        if not hits:
            raise OpfuzzError(f"names: a has no module '{entry}'{did_you_mean(entry, (s.name for s in a))}")
        renamed = {}
        for name, hit in hits.items():
            stars = iter(hit.groups()[:-1])
            renamed[name] = "".join(next(stars) if c == "*" else c for c in target) + (hit.groups()[-1] or "")
        present = {name: other for name, other in renamed.items() if other in known_b}
        if not present:
            remedy = did_you_mean(target, known_b - {target}) or f"; its modules: {', '.join(sorted(known_b))[:200]}"
            raise OpfuzzError(f"names: b has no module for '{entry}' at '{target}'{remedy}")
        taken = set(present.values())
        found = {name: other for name, other in found.items() if other not in taken} | present
    return found


def _left(found: Mapping[str, str], a: Sequence[Signature], b: Sequence[Signature]) -> tuple[list[Signature], ...]:
    taken = set(found.values())
    return [s for s in a if s.name not in found], [s for s in b if s.name not in taken]


def _words(name: str) -> tuple[str, ...]:
    return tuple(word for word in name.lower().split(".") if word not in SILENT)


def _spoken(signature: Signature) -> Hashable:
    return _words(signature.name) or None


def _pair_unique(
    found: dict[str, str], a: Sequence[Signature], b: Sequence[Signature], key: Callable[[Signature], Hashable]
) -> None:
    """Pairs those whose key no other has on its side."""
    left_a, left_b = _left(found, a, b)
    count_a, count_b = Counter(map(key, left_a)), Counter(map(key, left_b))
    by_key = {key(s): s.name for s in left_b}
    for s in left_a:
        k = key(s)
        if k is not None and count_a[k] == count_b[k] == 1:
            found[s.name] = by_key[k]


def _pair_by_suffix(found: dict[str, str], a: Sequence[Signature], b: Sequence[Signature]) -> None:
    """Pairs those that hold the same, and whose names end alike for longer than with any other."""
    left_a, left_b = _left(found, a, b)
    scores = {
        (s.name, t.name): _common_end(s.name, t.name)
        for s in left_a
        for t in left_b
        if (s.parameters, s.output) == (t.parameters, t.output)
    }
    rows: dict[str, list[int]] = {}
    for (s, t), score in scores.items():
        rows.setdefault(f"a {s}", []).append(score)
        rows.setdefault(f"b {t}", []).append(score)
    for (s, t), score in scores.items():
        is_best = all(row.count(score) == 1 and max(row) == score for row in (rows[f"a {s}"], rows[f"b {t}"]))
        if score and is_best and _are_in_a_pair(s, t, found):
            found[s] = t


def _pair_parents(found: dict[str, str], a: Sequence[Signature], b: Sequence[Signature]) -> None:
    """Pairs the parents of paired modules, by the votes of their children, up to the whole model."""
    while True:
        left_a, left_b = ({s.name for s in side} for side in _left(found, a, b))
        votes = Counter((s.rpartition(".")[0], t.rpartition(".")[0]) for s, t in found.items() if s and t)
        pairs = {(s, t): n for (s, t), n in votes.items() if s in left_a and t in left_b}
        if not pairs:
            return
        s, t = max(pairs, key=lambda pair: pairs[pair])
        found[s] = t


def _common_end(first: str, second: str) -> int:
    """How many last words two names share, if one of them is a word and not a number."""
    length = 0
    for one, other in zip(reversed(_words(first)), reversed(_words(second)), strict=False):
        if one != other:
            break
        length += 1
    return length if any(not word.isdecimal() for word in _words(first)[len(_words(first)) - length :]) else 0


def _align(
    found: dict[str, str], a: Sequence[Signature], b: Sequence[Signature], signs: Callable[[Signature], Hashable]
) -> None:
    """Pairs those inside one pair that look alike, in the order in which they begin; then what is inside those."""
    is_growing = True
    while is_growing:
        is_growing = False
        inside: dict[tuple[str, str], tuple[list[Signature], list[Signature]]] = {
            pair: ([], []) for pair in found.items()
        }
        left_a, left_b = _left(found, a, b)
        back = {other: name for name, other in found.items()}
        for s in left_a:
            above = _ancestor(s.name, found)
            inside[above, found[above]][0].append(s)
        for t in left_b:
            above = _ancestor(t.name, back)
            inside[back[above], above][1].append(t)
        for ours, theirs in inside.values():
            first, second = (
                sorted((s for s in side if s.order is not None), key=lambda s: s.order or 0) for side in (ours, theirs)
            )
            blocks = SequenceMatcher(None, [signs(s) for s in first], [signs(s) for s in second], autojunk=False)
            for start_a, start_b, length in blocks.get_matching_blocks():
                for s, t in zip(first[start_a:], second[start_b : start_b + length], strict=False):
                    if _are_in_a_pair(s.name, t.name, found):  # not if the block has paired what is around one of them
                        found[s.name] = t.name
                        is_growing = True


def _are_in_a_pair(name_a: str, name_b: str, found: Mapping[str, str]) -> bool:
    """Whether the nearest ancestors that have a counterpart are each other's."""
    return found[_ancestor(name_a, found)] == _ancestor(name_b, set(found.values()))


def _ancestor(name: str, known: Collection[str]) -> str:
    """The nearest module above that is in `known`; the whole model is above all."""
    while name:
        name = name.rpartition(".")[0]
        if name in known:
            return name
    return ""
