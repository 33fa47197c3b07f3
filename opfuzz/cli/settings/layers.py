"""What holds: a profile over the file, the file over what is built in, each checked, with where it is said."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from opfuzz.cli.settings.toml_file import OWN, SettingsFile, find_settings, read_settings
from opfuzz.core.errors import OpfuzzError, did_you_mean

DEFAULT = "default"
PATHS = frozenset({"specs", "plugins", "corpus", "accepted", "out", "tls-ca", "tls-cert", "tls-key"})
EXCLUSIVE = (frozenset({"cases", "time"}), frozenset({"gradients", "only-gradients"}))
BUILT_IN: Mapping[str, Mapping[str, Any]] = {  # profiles
    "default": {},
    "ci": {"cases": 100},  # a number, so that a slow machine tries the same as a fast one
    "nightly": {"time": "30m", "seed": "nightly"},
}
SHOWN = 60  # characters of a value in a message


@dataclass(frozen=True, slots=True)
class Setting:
    """One value, and where it is said: `pyproject.toml:12`, or a profile that is built in."""

    value: Any
    origin: str


@dataclass(frozen=True, slots=True)
class FileSettings:
    """All that files say, by key."""

    values: Mapping[str, Setting] = field(default_factory=dict)
    file: SettingsFile | None = None
    profile: str = DEFAULT

    def without(self, keys: Collection[str]) -> FileSettings:
        """The same, but for what somebody gave otherwise, and what excludes that."""
        gone = _excluded(keys)
        kept = {key: each for key, each in self.values.items() if key not in gone}
        return FileSettings(kept, self.file, self.profile)


def settings_of(named: Path | None, wants_none: bool, profile: str | None) -> FileSettings:
    """The settings of the file that is `named`, or of the nearest; with the profile of that name, or `default`.

    Raises OpfuzzError, a line for each mistake, for what is wrong in the file, and for a profile that is not there.
    """
    file = None if wants_none else find_settings(Path.cwd()) if named is None else read_settings(named)
    if file is None and profile is None:
        return FileSettings()
    table: dict[str, Any] = {} if file is None else _checked(file)
    profiles = table.pop("profile", {})
    chosen = profile or DEFAULT
    if chosen not in profiles and chosen not in BUILT_IN:
        known = sorted({*profiles, *BUILT_IN})
        remedy = did_you_mean(chosen[:SHOWN], known) or f"; known: {', '.join(known)}"
        place = f"{file.place('profile')}: " if file else ""
        raise OpfuzzError(f"{place}--settings: there is no profile '{chosen:.{SHOWN}}'{remedy}")
    layers: list[dict[str, Setting]] = [
        {}
        if file is None
        else {key: Setting(_placed(file, key, value), file.place(key)) for key, value in table.items()},
        {key: Setting(value, f"built-in profile {chosen}") for key, value in BUILT_IN.get(chosen, {}).items()},
    ]
    if file is not None:
        own = profiles.get(chosen, {})
        layers.append(
            {k: Setting(_placed(file, k, value), file.place("profile", chosen, k)) for k, value in own.items()}
        )
    holding: dict[str, Setting] = {}
    for layer in layers:
        gone = _excluded(layer)
        holding = {key: each for key, each in holding.items() if key not in gone} | layer
    return FileSettings(holding, file, chosen)


def profiles_here() -> list[str]:
    """Names of the profiles of the nearest file, and of those that are built in; of a broken file only these."""
    try:
        file = find_settings(Path.cwd())
    except OpfuzzError:
        file = None
    own = {} if file is None else file.table.get("profile", {})
    return sorted({*BUILT_IN, *(own if isinstance(own, dict) else ())})


def _excluded(keys: Collection[str]) -> set[str]:
    return {*keys}.union(*(group for group in EXCLUSIVE if group.intersection(keys)))


def _checked(file: SettingsFile) -> dict[str, Any]:
    """The table of a file. Raises OpfuzzError for unknown keys and for values of another type."""
    from pydantic import ValidationError

    from opfuzz.cli.settings.keys import SettingsKeys

    try:
        SettingsKeys.model_validate(file.table)
    except ValidationError as error:
        told = {_told(file, [str(part) for part in each["loc"]], each["type"]) for each in error.errors()}
        raise OpfuzzError("\n".join(words for _, words in sorted(told))) from None
    table = dict(file.table)
    for where, keys in ((), table), *((("profile", name), own) for name, own in table.get("profile", {}).items()):
        for group in EXCLUSIVE:
            if len(both := sorted(group.intersection(keys))) > 1:
                place = file.place(*where, both[1])
                raise OpfuzzError(f"{place}: '{both[1]}' excludes '{both[0]}', which stands beside it; leave one out")
    return table


def _told(file: SettingsFile, where: list[str], kind: str) -> tuple[int, str]:
    """The line of a mistake, for their order, and what is said of it."""
    from opfuzz.cli.settings.keys import LIKE

    depth = min(len(where), 3) if where[0] == "profile" else 1
    keys, value = where[:depth], file.table
    for key in keys[:-1]:
        value = value[key]
    key, place = keys[-1], file.place(*keys)
    if kind == "extra_forbidden":
        known = LIKE if depth == 1 else [name for name in LIKE if name != "profile"]
        remedy = did_you_mean(key[:SHOWN], known) or f"; known: {', '.join(sorted(known))}"
        if file.path.name == OWN and key == "tool":
            remedy = "; in opfuzz.toml keys stand alone: leave out 'tool.opfuzz.'"
        words = f"unknown key '{key:.{SHOWN}}'{remedy}"
    elif depth == 2:
        remedy = f"write [profile.{key:.{SHOWN}}] and keys below it"
        words = f"the profile '{key:.{SHOWN}}' is {_shown(value[key])}, not a table; {remedy}"
    else:
        like = LIKE[key]
        example = like.example if key == "profile" else f"{key} = {like.example}"
        words = f"'{key}' is {_shown(value[key])}, {like.words}; write {example}"
    return int(place.rpartition(":")[2]), f"{place}: {words}"


def _shown(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value!r:.{SHOWN}}"


def _placed(file: SettingsFile, key: str, value: Any) -> Any:
    """A value whose paths, which are relative to the file, are as they are from here."""
    if key in PATHS:
        return [*_from_here(file, value)] if isinstance(value, list) else next(_from_here(file, [value]))
    if (key == "baseline" and (file.path.parent / value).exists()) or (key == "baseline-python" and os.sep in value):
        return next(_from_here(file, [value]))
    return value


def _from_here(file: SettingsFile, paths: list[str]) -> Iterator[str]:
    folder = file.path.absolute().parent
    for path in paths:
        yield path if folder == Path.cwd() else str(folder / path)
