"""What a program hands to a public function, read: of a wrong type, a message says what was given and what is taken."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from numbers import Integral
from pathlib import Path

from opfuzz.core.errors import OpfuzzError

AnyPath = str | os.PathLike[str]
Names = str | Iterable[str]
SHOWN = 60  # characters of what was given
LONGEST, LONGEST_NAME = 4096, 255  # bytes of a path and of a name in it, beyond which no system has one


def shown(given: object) -> str:
    """The beginning of what was given as Python writes it, or its type where Python cannot."""
    try:
        return f"{given!r:.{SHOWN}}"
    except Exception:  # a whole number of more than 4300 digits, or an object of any library
        return f"of type {type(given).__name__}"


def wrong(given: object, what: str, remedy: str) -> OpfuzzError:
    """The mistake that an argument is something else than what is taken."""
    return OpfuzzError(f"{what} is {shown(given)}; give {remedy}")


def read_path(given: object, what: str) -> Path:
    """A path. Raises OpfuzzError for what is none."""
    text = os.fspath(given) if isinstance(given, str | os.PathLike) else None
    # A NUL and what is too long raise at the first look at the disk, and an empty one would be this folder.
    if not isinstance(text, str) or not text or "\0" in text or not _is_short(text):
        raise wrong(given, what, "a path, as text or as a Path")
    return Path(text)


def _is_short(text: str) -> bool:
    names = (os.fsencode(name) for name in Path(text).parts)
    return len(os.fsencode(text)) <= LONGEST and all(len(name) <= LONGEST_NAME for name in names)


def read_paths(given: object, what: str) -> tuple[Path, ...]:
    """A path, or several. Raises OpfuzzError for what is neither."""
    if isinstance(given, str | os.PathLike):
        return (read_path(given, what),)
    if isinstance(given, bytes | Mapping) or not isinstance(given, Iterable):
        raise wrong(given, what, "a path, or a list of them")
    return tuple(read_path(each, f"one of {what}") for each in given)


def read_name(given: object, what: str, such: str) -> str:
    """A name, `such` as the remedy says. Raises OpfuzzError for what is no text."""
    if not isinstance(given, str):
        raise wrong(given, what, f'a text such as "{such}"')
    return given


def read_names(given: object, what: str, such: str) -> tuple[str, ...]:
    """Names in a list, or with commas between them as in a command. Raises OpfuzzError for what is neither."""
    if isinstance(given, str):
        given = given.split(",")
    elif isinstance(given, bytes | Mapping) or not isinstance(given, Iterable):
        raise wrong(given, what, f'names such as "{such}", in a list or with commas between them')
    return tuple(name.strip() for each in given if (name := read_name(each, f"one of {what}", such)).strip())


def read_count(given: object, what: str, least: int) -> int:
    """A whole number, of Python or NumPy. Raises OpfuzzError for what is none, or below `least`."""
    if isinstance(given, bool) or not isinstance(given, Integral) or not least <= int(given) < 2**63:
        raise wrong(given, what, f"a whole number from {least}")
    return int(given)


def read_truth(given: object, what: str) -> bool:
    """Raises OpfuzzError for what is neither True nor False."""
    if not isinstance(given, bool):
        raise wrong(given, what, "True or False")
    return given


def check_named(given: object, what: str) -> None:
    """Raises OpfuzzError for what is neither None nor values by their names."""
    if given is not None and not (isinstance(given, Mapping) and all(isinstance(name, str) for name in given)):
        raise OpfuzzError(f"{what}: {shown(given)} is no mapping from names; give them as a dict")
