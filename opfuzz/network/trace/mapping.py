"""What the user says of names: which module is which, which names begin otherwise, what has no counterpart."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from opfuzz.core.errors import OpfuzzError, did_you_mean

Names = Mapping[str, str | None]


@dataclass(frozen=True, slots=True)
class NameMap:
    """The names of the user, applied to the modules of a."""

    pairs: Mapping[str, str]  # written out, or by a pattern
    renamed: Mapping[str, str]  # what modules inside those would be called in b, if they kept the rest of their names
    alone: frozenset[str]  # have no counterpart


def read_mapping(a: Sequence[str], b: Sequence[str], names: Names) -> NameMap:
    """Raises OpfuzzError if an entry names nothing."""
    known_b = set(b)
    pairs: dict[str, str] = {}
    renamed: dict[str, str] = {}
    alone: set[str] = set()
    # Longer entries say more, and so does one written out beside a pattern: the last one wins.
    for entry, target in sorted(names.items(), key=lambda item: (len(item[0]), "*" not in item[0])):
        pattern = re.compile(re.escape(entry).replace(r"\*", r"([^.]*)") + r"(\..*)?")
        hits = {name: hit for name in a if (hit := pattern.fullmatch(name))}
        if not hits:
            raise OpfuzzError(f"names: a has no module '{entry}'{did_you_mean(entry, a)}")
        itself = {name for name, hit in hits.items() if hit.groups()[-1] is None}
        if target is None:
            alone |= itself
            pairs = {name: other for name, other in pairs.items() if name not in itself}
            continue
        if target.count("*") != entry.count("*"):
            raise OpfuzzError(f"names: '{entry}' and '{target}' must hold equally many *")
        changed = {}
        for name, hit in hits.items():
            stars = iter(hit.groups()[:-1])
            changed[name] = "".join(next(stars) if c == "*" else c for c in target) + (hit.groups()[-1] or "")
        if known_b.isdisjoint(changed.values()):
            remedy = did_you_mean(target, known_b - {target}) or f"; its modules: {', '.join(sorted(known_b))[:200]}"
            raise OpfuzzError(f"names: b has no module for '{entry}' at '{target}'{remedy}")
        renamed |= changed
        present = {name: changed[name] for name in itself if changed[name] in known_b}
        pairs = {name: other for name, other in pairs.items() if other not in present.values()} | present
        alone -= itself
    return NameMap(pairs, renamed, frozenset(alone))
