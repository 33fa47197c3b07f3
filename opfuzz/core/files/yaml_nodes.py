"""YAML files as trees of nodes that know their place.

Refused: aliases, anchors and tags (so no bombs and no objects), duplicate keys, several documents, deep nesting, large
files, and what is no UTF-8. Positions are offsets into the text; `Source.report` turns them into lines and columns.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from yaml.scanner import Scanner

from opfuzz.core.errors import Problem, SpecError

_CORE_TAGS = "tag:yaml.org,2002:"
SIZE_LIMIT = 64 * 1024  # bytes
DEPTH_LIMIT = 10


@dataclass(frozen=True, slots=True)
class Scalar:
    """Text as it was meant: escapes and folding undone. `style` is None if plain, else the character that begins it."""

    text: str
    style: str | None
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Items:
    """A list."""

    items: tuple[Node, ...]
    start: int


@dataclass(frozen=True, slots=True)
class Table:
    """A mapping from text to nodes, in the order of the file."""

    entries: dict[str, tuple[Scalar, Node]]
    start: int


Node = Scalar | Items | Table


@dataclass(slots=True)
class YamlSource:
    """One file and what is wrong in it so far."""

    path: str
    text: str
    problems: list[Problem] = field(default_factory=list)

    def report(self, offset: int, message: str) -> None:
        """Note a problem at an offset into the text."""
        self.problems.append(self.problem(offset, message))

    def problem(self, offset: int, message: str) -> Problem:
        """A problem at an offset into the text."""
        line = self.text.count("\n", 0, offset) + 1
        return Problem(self.path, line, offset - self.text.rfind("\n", 0, offset), message)

    def offset_in(self, scalar: Scalar, line: int, column: int) -> int:
        """Offset of a place in the text of a scalar, given as line and column that count from 1.

        Folding and indentation change white space only, so the k-th visible character of the text is the k-th visible
        one of the source.
        """
        lines = scalar.text.split("\n")
        index = sum(len(before) + 1 for before in lines[: line - 1]) + column - 1
        visible = sum(not character.isspace() for character in scalar.text[:index])
        offset = scalar.start
        for number, (offset, length) in enumerate(self._visible(scalar)):
            if number == visible:
                return offset
            offset += length
        return offset

    def _visible(self, scalar: Scalar) -> Iterator[tuple[int, int]]:
        """Offset and length of whatever stands for a visible character of a scalar's text."""
        begin, end = scalar.start, scalar.end
        if scalar.style in ("|", ">"):
            begin = self.text.find("\n", begin, end) + 1 or end
        elif scalar.style is not None:
            begin, end = begin + 1, end - 1
        pattern = _PIECES.get(scalar.style or "", _PIECE)
        for piece in pattern.finditer(self.text, begin, end):
            if not _is_space(piece.group()):
                yield piece.start(), len(piece.group())


_DISPUTED = re.compile("[\t?!\ufeff]")  # where the parsers of PyYAML differ
_SURROGATE = re.compile("[\ud800-\udfff]")
_PIECE = re.compile(r".", re.DOTALL)
_PIECES = {
    "'": re.compile(r"''|.", re.DOTALL),
    '"': re.compile(r"\\(?:x.{2}|u.{4}|U.{8}|.)|.", re.DOTALL),
}


def _is_space(piece: str) -> bool:
    """Whether a character, or an escape in double quotes, stands for white space."""
    if len(piece) == 1:
        return piece.isspace()
    if piece[0] == "'":
        return False
    if piece[1] in Scanner.ESCAPE_CODES:
        return chr(int(piece[2:], 16)).isspace()
    return str(Scanner.ESCAPE_REPLACEMENTS.get(piece[1], piece[1])).isspace()


def read(path: Path, what: str = "spec", keys: str = "op, summary, formats, output, ...") -> tuple[YamlSource, Node]:
    """The file's text and tree. Duplicate keys and the like are noted in the source, and the first of them counts.

    `what` the file is to be, and the `keys` that it then has, are for messages.
    Raises SpecError where no tree can be made of the file, with what was found until there.
    """
    source = _decoded(path, what)
    events = _events(source, what)
    nodes = list(_documents(source, events))
    if not nodes:
        source.report(0, f"the file is empty; a {what} is a mapping with the keys {keys}")
        raise SpecError(source.problems)
    return source, nodes[0]


def _decoded(path: Path, what: str) -> YamlSource:
    try:
        with path.open("rb") as file:
            data = file.read(SIZE_LIMIT + 1)
    except OSError as error:
        raise SpecError([Problem(str(path), 1, 1, f"cannot be read: {error.strerror}")]) from None
    if len(data) > SIZE_LIMIT:
        raise SpecError([Problem(str(path), 1, 1, f"more than {SIZE_LIMIT} bytes, which no {what} needs")])
    try:
        return YamlSource(str(path), data.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        before = data[: error.start].decode("utf-8", errors="replace")
        place = YamlSource(str(path), before + "?").problem(len(before), f"byte 0x{data[error.start]:02x} is not UTF-8")
        raise SpecError([place]) from None


def _events(source: YamlSource, what: str) -> Iterator[yaml.Event]:
    """Events of the file. Raises SpecError at the first thing that is no YAML, or that is refused and has no end."""
    depth = documents = 0
    aliases: set[str] = set()
    refused = False  # then nothing can be said about the values
    try:
        for event in _parsed(source.text):
            start = _offset(event.start_mark)
            if isinstance(event, yaml.DocumentStartEvent):
                documents += 1
                if documents > 1:
                    source.report(start, f"a second document; a {what} is one document in a file of its own")
                    raise SpecError(source.problems)
            elif isinstance(event, yaml.AliasEvent):
                if event.anchor not in aliases:
                    source.report(start, f"alias '*{event.anchor}' is not allowed; write the value out")
                aliases.add(str(event.anchor))
                refused = True
            elif isinstance(event, yaml.ScalarEvent | yaml.CollectionStartEvent):
                if event.anchor is not None:
                    source.report(start, f"anchor '&{event.anchor}' is not allowed; write the value where it is needed")
                    refused = True
                if event.tag is not None:
                    refused = True
                    tag = event.tag.replace(_CORE_TAGS, "!!")
                    source.report(start, f"tag '{tag}' is not allowed; a {what} has text, numbers, lists and mappings")
            if isinstance(event, yaml.ScalarEvent) and _SURROGATE.search(event.value):
                source.report(start, "half of a surrogate pair; write the character itself")
                refused = True
            if isinstance(event, yaml.CollectionStartEvent):
                depth += 1
                if depth > DEPTH_LIMIT:
                    source.report(start, f"more than {DEPTH_LIMIT} levels of lists and mappings")
                    raise SpecError(source.problems)
            elif isinstance(event, yaml.CollectionEndEvent):
                depth -= 1
            elif isinstance(event, yaml.StreamEndEvent) and refused:
                raise SpecError(source.problems)
            yield event
    except yaml.MarkedYAMLError as error:
        # What is wrong with an unfinished quote is its beginning, not the end of the file.
        is_quote = error.context == "while scanning a quoted scalar"
        mark = error.context_mark if is_quote else error.problem_mark or error.context_mark
        message = ", ".join(part for part in (error.context, error.problem) if part)
        tab = "; indent with spaces" if "'\\t'" in message else ""
        source.report(_offset(mark), f"not YAML: {message}{tab}")
        raise SpecError(source.problems) from None
    except (ValueError, OverflowError):
        # PyYAML makes characters of escapes without asking whether there are such.
        found = re.search(r"\\U(?!000|0010)", source.text)
        source.report(found.start() if found else 0, "not YAML: an escape beyond the last character of Unicode")
        raise SpecError(source.problems) from None
    except yaml.reader.ReaderError as error:
        source.report(error.position, f"character U+{_code(error.character):04X} is not allowed in YAML")
        raise SpecError(source.problems) from None


def _parsed(text: str) -> Iterable[yaml.Event]:
    """Events of a text, as the parser written in Python has them.

    The one written in C takes a tenth of the time: it is asked first, and believed where both say the same. It has
    other words for what it refuses, other places for values that are left out, and takes a little more.
    """
    if yaml.__with_libyaml__ and not _DISPUTED.search(text):
        with contextlib.suppress(yaml.YAMLError, ValueError):
            events = list(yaml.parse(text, Loader=yaml.CSafeLoader))
            if not any(isinstance(event, yaml.ScalarEvent) and _is_left_out(event) for event in events):
                return events
    return yaml.parse(text, Loader=yaml.SafeLoader)


def _is_left_out(event: yaml.ScalarEvent) -> bool:
    return _offset(event.start_mark) == _offset(event.end_mark)


def _offset(mark: Any) -> int:  # yaml.Mark, the one written in C, or None
    return int(mark.index) if mark else 0


def _code(character: object) -> int:
    return character if isinstance(character, int) else ord(str(character))


def _documents(source: YamlSource, events: Iterator[yaml.Event]) -> Iterator[Node]:
    for event in events:
        if isinstance(event, yaml.NodeEvent):
            yield _node(source, event, events)


def _node(source: YamlSource, event: yaml.Event, events: Iterator[yaml.Event]) -> Node:
    start = _offset(event.start_mark)
    if isinstance(event, yaml.ScalarEvent):
        return Scalar(event.value, event.style or None, start, _offset(event.end_mark))
    if isinstance(event, yaml.SequenceStartEvent):
        items: list[Node] = []
        while not isinstance(event := next(events), yaml.SequenceEndEvent):
            items.append(_node(source, event, events))
        return Items(tuple(items), start)
    if isinstance(event, yaml.MappingStartEvent):
        return _table(source, start, events)
    return Scalar("", None, start, start)  # an alias: the file is refused when all of it is read


def _table(source: YamlSource, start: int, events: Iterator[yaml.Event]) -> Table:
    entries: dict[str, tuple[Scalar, Node]] = {}
    while not isinstance(event := next(events), yaml.MappingEndEvent):
        key = _node(source, event, events)
        value = _node(source, next(events), events)
        if not isinstance(key, Scalar):
            source.report(key.start, "a key must be text")
        elif key.text in entries:
            first = source.problem(entries[key.text][0].start, "").line
            source.report(key.start, f"duplicate key '{key.text}'; it is already in line {first}")
        else:
            entries[key.text] = (key, value)
    return Table(entries, start)
