"""The file of settings: which one holds, what is in it, and in which line each key stands."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from opfuzz.core.errors import OpfuzzError

OWN, SHARED = "opfuzz.toml", "pyproject.toml"
TABLE = ("tool", "opfuzz")  # of the shared one
SIZE_LIMIT = 2**20  # bytes
_AT = re.compile(r" \(at line (\d+), column \d+\)$| \(at end of document\)$")
# Texts of several lines and of one, as they stand and with escapes; comments, brackets and ends of lines.
_TOKEN = re.compile(
    r'''"""(?:\\.|[^\\])*?"{3,5}|\'{3}.*?\'{3,5}|"(?:\\.|[^"\\])*"|\'[^\']*\'|#[^\n]*|[][{}\n]''', re.DOTALL
)

KeyPath = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class SettingsFile:
    """What a file says of opfuzz; `lines`: where each table and key stands, by its path from the root of the file."""

    path: Path
    table: Mapping[str, Any]
    lines: Mapping[KeyPath, int]
    root: KeyPath = ()  # of opfuzz's own table

    def place(self, *keys: str) -> str:
        """`pyproject.toml:12`, of a key, or of the nearest table around it."""
        where = (*self.root, *keys)
        while where and where not in self.lines:
            where = where[:-1]
        return f"{self.path}:{self.lines.get(where, 1)}"


def find_settings(folder: Path) -> SettingsFile | None:
    """The nearest file of settings, from `folder` upwards; in one folder opfuzz.toml comes before pyproject.toml.

    A pyproject.toml without a table tool.opfuzz is none. Raises OpfuzzError for one that is broken.
    """
    for place in (folder, *folder.parents):
        if (place / OWN).is_file():
            return read_settings(_near(place / OWN))
        if (place / SHARED).is_file() and (found := _shared(_near(place / SHARED))) is not None:
            return found
    return None


def read_settings(path: Path) -> SettingsFile:
    """The settings of a file that somebody named. Raises OpfuzzError if it is broken, or has none."""
    if path.name != SHARED:
        text = _text(path)
        return SettingsFile(path, _parsed(path, text), _lines(text))
    found = _shared(path)
    if found is None:
        raise OpfuzzError(f"{path}:1: it has no table [tool.opfuzz]; add one, or name another file with --config")
    return found


def _shared(path: Path) -> SettingsFile | None:
    text = _text(path)
    if "opfuzz" not in text:  # whatever else is wrong in it is none of our business
        return None
    tool = _parsed(path, text).get(TABLE[0], {})
    table = tool.get(TABLE[1]) if isinstance(tool, dict) else None
    if table is None:
        return None
    lines = _lines(text)
    if not isinstance(table, dict):
        raise OpfuzzError(f"{path}:{lines.get(TABLE, 1)}: 'opfuzz' is {table!r:.40}, not a table; write [tool.opfuzz]")
    return SettingsFile(path, table, lines, TABLE)


def _near(path: Path) -> Path:
    """As a person would write it, where that is short."""
    here = Path.cwd()
    return path.relative_to(here) if path.is_relative_to(here) else path


def _text(path: Path) -> str:
    try:
        with path.open("rb") as file:
            data = file.read(SIZE_LIMIT + 1)
    except OSError as error:
        raise OpfuzzError(f"{path}: cannot be read: {error.strerror}; name another file with --config") from None
    if len(data) > SIZE_LIMIT:
        raise OpfuzzError(f"{path}:1: more than {SIZE_LIMIT} bytes, which no settings need; name another with --config")
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise OpfuzzError(
            f"{path}:{line}: byte 0x{data[error.start]:02x} is not UTF-8; save the file as UTF-8"
        ) from None


def _parsed(path: Path, text: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        said = str(error)
        found = _AT.search(said)
        line = int(found[1]) if found and found[1] else max(text.rstrip().count("\n"), 0) + 1
        what = _AT.sub("", said)
        raise OpfuzzError(
            f"{path}:{line}: not TOML: {what}; mend the line, or leave the file out with --no-config"
        ) from None
    except RecursionError:
        raise OpfuzzError(
            f"{path}:1: not TOML that can be read: too many levels; leave it out with --no-config"
        ) from None


def _lines(text: str) -> dict[KeyPath, int]:
    """Where each table and key of a valid file stands, counted from 1.

    tomllib says nothing of lines, so each statement is cut out, and handed to it alone.
    """
    found: dict[KeyPath, int] = {}
    table: KeyPath = ()
    for first, statement in _statements(text):
        paths = list(_paths(tomllib.loads(statement)))
        if statement.lstrip().startswith("["):
            table = max(paths, key=len)
            paths = [table]
        else:
            paths = [(*table, *path) for path in paths]
        for path in paths:
            for end in range(1, len(path) + 1):
                found.setdefault(path[:end], first)
    return found


def _statements(text: str) -> Iterator[tuple[int, str]]:
    """Each key with its value, and each table's name, of a valid file, and the line where it begins.

    It ends with the first line on which no bracket is open: one look at each letter, however long an array is.
    """
    # As TOML has lines, whose texts may hold what Python takes for ends of others.
    text = text.replace("\r\n", "\n") + "\n"
    begin, depth, line = 0, 0, 1
    for token in _TOKEN.finditer(text):
        depth += {"[": 1, "{": 1, "]": -1, "}": -1}.get(token[0], 0)
        if token[0] != "\n" or depth:
            continue
        statement, begin = text[begin : token.end()], token.end()
        if statement.strip(" \t\n")[:1] not in ("", "#"):
            yield line, statement
        line += statement.count("\n")


def _paths(value: Any) -> Iterator[KeyPath]:
    """Every key below a value, those of tables in lists too."""
    if isinstance(value, list):
        for item in value:
            yield from _paths(item)
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield (key,)
            yield from ((key, *path) for path in _paths(inner))
