"""Names of modules: their words, their ends, what is inside what."""

from __future__ import annotations

import re
from collections.abc import Collection

# Containers whose own name says nothing: torch's Sequential has `0` where MLX's has `layers.0`.
SILENT = frozenset({"layers", "net", "module", "modules", "model", "_orig_mod"})


def words(name: str) -> tuple[str, ...]:
    """The parts of a name that say something."""
    return tuple(word for word in name.lower().split(".") if word not in SILENT)


def is_inside(name: str, other: str) -> bool:
    """Whether a module is another, or is somewhere in it."""
    return not other or name == other or name.startswith(f"{other}.")


def members(names: Collection[str]) -> dict[str, list[str]]:
    """Of every name those that are it or inside it, in their order."""
    found: dict[str, list[str]] = {name: [] for name in names}
    for name in names:
        above = name
        while above:
            if above in found:
                found[above].append(name)
            above = above.rpartition(".")[0]
        if "" in found:
            found[""].append(name)
    return found


def ancestor(name: str, known: Collection[str]) -> str:
    """The nearest module above that is in `known`; the whole model is above all."""
    while name:
        name = name.rpartition(".")[0]
        if name in known:
            return name
    return ""


def common_end(first: str, second: str) -> int:
    """How many last words two names share, if one of them is a word and not a number."""
    length = 0
    for one, other in zip(reversed(words(first)), reversed(words(second)), strict=False):
        if one != other:
            break
        length += 1
    return length if any(not word.isdecimal() for word in words(first)[len(words(first)) - length :]) else 0


def are_alike(kind: str, other: str) -> bool:
    """Whether one class is called as the other with more words, as `GELU` and `GELUActivation` are."""
    first, second = kind.lower(), other.lower()
    return first in second or second in first


def role(name: str) -> str:
    """A name without the numbers that count equal layers."""
    return re.sub(r"\d+", "*", name)
