"""Which tensor of one file is which of another, and in which order they were computed."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

from opfuzz.core.errors import OpfuzzError, did_you_mean
from opfuzz.network.trace.names import words


@dataclass(frozen=True, slots=True)
class Matching:
    """Pairs of names in A and B, in order, and the names that only one has."""

    pairs: tuple[tuple[str, str], ...]
    only_a: tuple[str, ...]
    only_b: tuple[str, ...]
    prefix_a: str = ""  # names of A are compared without it
    prefix_b: str = ""


@dataclass(frozen=True, slots=True)
class NamePairs:
    """Names in A to names in B, and the prefixes without which they were compared."""

    pairs: Mapping[str, str]
    prefix_a: str
    prefix_b: str


def pair_names(names_a: Sequence[str], names_b: Sequence[str], renamed: Mapping[str, str]) -> NamePairs:
    """By `renamed`, then by name, then without a prefix that all of one side's matches have, then by other spellings.

    `params/a/kernel` is another spelling of `a.weight`, and `net.0` of `net.layers.0`, where no other name is.
    """
    prefix_a, prefix_b = _prefixes(names_a, names_b)
    known, given = set(names_b), set(renamed.values())
    found = {}
    for name in names_a:
        target = renamed.get(name, prefix_b + name.removeprefix(prefix_a))
        if target in known and (name in renamed or target not in given):
            found[name] = target
    for spell in (_spelling, lambda name: ".".join(words(_spelling(name)))):
        taken = set(found.values())
        left_a = _unique([name for name in names_a if name not in found and name not in renamed], spell)
        left_b = _unique([name for name in names_b if name not in taken and name not in given], spell)
        other_a, other_b = _prefixes(list(left_a), list(left_b))
        for key, name in left_a.items():
            target = other_b + key.removeprefix(other_a)
            if target in left_b:
                found[name] = left_b[target]
    return NamePairs(found, prefix_a, prefix_b)


# What the frameworks call the same thing: Flax and Haiku, TensorFlow, MLX and torch.
SPELLINGS = {
    "kernel": "weight",
    "embedding": "weight",
    "embeddings": "weight",
    "w": "weight",
    "scale": "weight",
    "gamma": "weight",
    "b": "bias",
    "beta": "bias",
    "mean": "running_mean",
    "moving_mean": "running_mean",
    "var": "running_var",
    "moving_variance": "running_var",
}
ROOTS = ("params.", "batch_stats.")


def _spelling(name: str) -> str:
    """A name with dots between its parts, without the root of a tree of parameters, its last word as torch has it."""
    spelt = name.replace("/", ".").removesuffix(":0")
    for root in ROOTS:
        spelt = spelt.removeprefix(root)
    head, dot, last = spelt.rpartition(".")
    return f"{head}{dot}{SPELLINGS.get(last, last)}" if dot else spelt


def _unique(names: Sequence[str], spell: Callable[[str], str]) -> dict[str, str]:
    """The spellings that one name alone has, to that name."""
    counts = Counter(map(spell, names))
    return {spell(name): name for name in names if counts[spell(name)] == 1 and spell(name)}


def arrange(
    found: Mapping[str, str],
    names_a: Sequence[str],
    names_b: Sequence[str],
    order: Sequence[str],
    prefixes: tuple[str, str] = ("", ""),
) -> Matching:
    """The pairs in the order of `order`; the other names by nature, block2 before block10 and a module after its parts.

    Names under `input` come first and those under `output` last, unless `order` has them.
    """
    prefix_a, prefix_b = prefixes
    place = {name: index for index, name in enumerate(order)}

    def key(name: str) -> tuple[object, ...]:
        bare = name.removeprefix(prefix_a)
        listed = min(place.get(name, len(place)), place.get(bare, len(place)))
        edge = 0 if listed < len(place) else {"input": -1, "output": 1}.get(bare.split(".")[0], 0)
        return edge, listed, _natural(bare)

    taken = set(found.values())
    return Matching(
        pairs=tuple((name, found[name]) for name in sorted(found, key=key)),
        only_a=tuple(name for name in sorted(names_a, key=key) if name not in found),
        only_b=tuple(name for name in sorted(names_b, key=_natural) if name not in taken),
        prefix_a=prefix_a,
        prefix_b=prefix_b,
    )


def _natural(name: str) -> tuple[object, ...]:
    """Numbers by their value; what goes on after a dot comes before what ends there."""
    parts = [
        tuple((0, int(p), "") if p.isdecimal() else (1, 0, p) for p in re.split(r"(\d+)", part) if p)
        for part in name.split(".")
    ]
    return (*parts, ((2, 0, ""),))


def _prefixes(names_a: Sequence[str], names_b: Sequence[str]) -> tuple[str, str]:
    """The prefix up to a dot that one side has more than the other, where more names match without it than with it."""
    best, matches = ("", ""), len(set(names_a) & set(names_b))
    for longer, shorter, in_a in ((names_a, set(names_b), True), (names_b, set(names_a), False)):
        counts = Counter(
            name[: dot.end()] for name in longer for dot in re.finditer(r"\.", name) if name[dot.end() :] in shorter
        )
        for prefix, count in counts.items():
            if count > matches:
                best, matches = ((prefix, "") if in_a else ("", prefix)), count
    return best


def read_map(path: Path, names_a: Sequence[str], names_b: Sequence[str]) -> dict[str, str]:
    """{name in A: name in B} from a JSON or YAML file, `*` filled in.

    Raises OpfuzzError if a name is in neither file, or two names of A are given one of B.
    """
    known, found = set(names_b), dict[str, str]()
    for key, value in _entries(path):
        if value.count("*") not in (0, key.count("*")) or (key.count("*") and "*" not in value):
            raise OpfuzzError(
                f"{path}: '{key}: {value}' has '*' {key.count('*')} and {value.count('*')} times; "
                "write as many on both sides"
            )
        pattern = re.compile("(.*)".join(map(re.escape, key.split("*"))))
        matches = [name for name in names_a if pattern.fullmatch(name)]
        if not matches:
            raise OpfuzzError(f"{path}: '{key}' is no tensor of the first file{did_you_mean(key, names_a)}")
        targets = {name: _filled(value, pattern, name) for name in matches}
        absent = [target for target in targets.values() if target not in known]
        if len(absent) == len(targets):  # with '*', a part that only A has is no mistake
            raise OpfuzzError(
                f"{path}: '{absent[0]}' is no tensor of the second file{did_you_mean(absent[0], names_b)}"
            )
        for name, target in targets.items():
            if "*" not in key or name not in found:  # a name written out counts before a pattern
                found[name] = target
    for target, count in Counter(target for target in found.values() if target in known).items():
        if count > 1:
            both = " and ".join(f"'{name}'" for name, other in found.items() if other == target)
            raise OpfuzzError(f"{path}: {both} are all given '{target}'; a tensor is compared once")
    return found


def _filled(value: str, pattern: re.Pattern[str], name: str) -> str:
    found = pattern.fullmatch(name)
    parts = iter(found.groups() if found else ())
    return re.sub(r"\*", lambda _: next(parts), value)


def _entries(path: Path) -> Iterable[tuple[str, str]]:
    text = _text(path)
    try:
        if path.suffix.lower() == ".json":
            entries = json.loads(text, object_pairs_hook=list)
        else:
            node = yaml.compose(text, Loader=yaml.SafeLoader)
            is_flat = isinstance(node, yaml.MappingNode) and all(
                isinstance(part, yaml.ScalarNode) for item in node.value for part in item
            )
            entries = [(key.value, value.value) for key, value in node.value] if node and is_flat else None
    except (ValueError, yaml.YAMLError) as error:
        raise OpfuzzError(
            f"{path}: not {'JSON' if path.suffix.lower() == '.json' else 'YAML'}: {_line(error)}"
        ) from None
    is_pairs = isinstance(entries, list) and all(isinstance(e, tuple) and isinstance(e[1], str) for e in entries)
    if not is_pairs or not entries:
        raise OpfuzzError(f"{path}: must be a mapping from names in the first file to names in the second")
    for key, count in Counter(key for key, _ in entries).items():
        if count > 1:
            raise OpfuzzError(f"{path}: '{key}' stands there {count} times")
    return [(str(key), str(value)) for key, value in entries]


def read_order(path: Path, names: Sequence[str]) -> tuple[str, ...]:
    """Names in order of execution from a JSON list. Raises OpfuzzError if it is none, or has no name of `names`."""
    try:
        order = json.loads(_text(path))
    except ValueError as error:
        raise OpfuzzError(f"{path}: not JSON: {_line(error)}") from None
    if not isinstance(order, list) or not all(isinstance(name, str) for name in order):
        raise OpfuzzError(f"{path}: must be a list of names in order of execution")
    if not any(name in names or any(known.endswith(f".{name}") for known in names) for name in order):
        raise OpfuzzError(f"{path}: none of its {len(order)} names is a tensor of the first file, such as '{names[0]}'")
    return tuple(order)


def _text(path: Path) -> str:
    try:
        return path.read_text("utf-8")
    except OSError as error:
        raise OpfuzzError(f"{path}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise OpfuzzError(f"{path}: not text in UTF-8") from None


def _line(error: Exception) -> str:
    return " ".join(str(error).split())
