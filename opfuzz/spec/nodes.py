"""Checked access to the nodes of a spec file: what is asked for, or a noted problem and None."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

from opfuzz.core.errors import did_you_mean
from opfuzz.core.files.yaml_nodes import Items, Node, Scalar, Table, YamlSource
from opfuzz.core.files.yaml_scalars import Value, misread, value_of
from opfuzz.spec.expression.program import ExpressionError, Program, parse
from opfuzz.spec.schema import Keys, keys_of

_WORD = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


class NodeReader:
    """Reads nodes of one source. `used` gathers the names that expressions use, right or wrong."""

    def __init__(self, source: YamlSource) -> None:
        self.source = source
        self.used: set[str] = set()

    def report(self, node: Node, message: str) -> None:
        """Note a problem at the beginning of a node."""
        self.source.report(node.start, message)

    def unknown(self, node: Node, noun: str, word: str, known: Collection[str]) -> None:
        """Note a word that is none of those known, with the nearest of them or all."""
        remedy = did_you_mean(word, known) or f"; known: {', '.join(sorted(known)) or 'none'}"
        self.report(node, f"unknown {noun} '{word}'{remedy}")

    def table(self, node: Node, what: str) -> Table | None:
        """A mapping."""
        if isinstance(node, Table):
            return node
        self.report(node, f"{what} must be a mapping, not {description(node)}")
        return None

    def items(self, node: Node, what: str, *, minimum: int = 0) -> tuple[Node, ...] | None:
        """A list."""
        if not isinstance(node, Items):
            self.report(node, f"{what} must be a list, not {description(node)}")
        elif len(node.items) < minimum:
            self.report(node, f"{what} must not be empty")
        else:
            return node.items
        return None

    def text(self, node: Node, what: str) -> str | None:
        """Text that is neither empty nor a number or the like."""
        if isinstance(node, Scalar) and node.text.strip() and isinstance(value_of(node), str):
            return node.text
        self.report(node, f"{what} must be text, not {description(node)}")
        return None

    def value(self, node: Node, what: str) -> tuple[Value] | None:
        """A number, truth value, text or None, hence in a tuple. Refuses what YAML 1.1 reads otherwise."""
        if not isinstance(node, Scalar):
            self.report(node, f"{what} must be a single value, not {description(node)}")
            return None
        reason = misread(node)
        if reason is not None:
            self.report(node, reason)
            return None
        value = value_of(node)
        if isinstance(value, int) and abs(value) >= 1 << 63:
            self.report(node, f"{what} is {node.text}, which does not fit in 64 bits")
        elif isinstance(value, float) and not abs(value) < float("inf"):
            self.report(node, f"{what} must be finite, not '{node.text}'; inf is a name in expressions")
        else:
            return (value,)
        return None

    def fields(self, node: Node, model: type[Keys], what: str) -> dict[str, Node] | None:
        """Nodes of a mapping with the keys of `model`; notes unknown and missing ones."""
        table = self.table(node, what)
        if table is None:
            return None
        known, required = keys_of(model)
        unknown = [key for key, _ in table.entries.values() if key.text not in known]
        for key in unknown:
            remedy = did_you_mean(key.text, known) or f"; known: {', '.join(known)}"
            self.report(key, f"unknown key '{key.text}' in {what}{remedy}")
        for name in required:
            is_misspelt = any(did_you_mean(key.text, known).endswith(f"'{name}'?") for key in unknown)
            if name not in table.entries and not is_misspelt:
                self.report(node, f"missing key '{name}' in {what}")
        self._check_alternatives(table, model.alternatives, unknown, what)
        return {name: value for name, (_, value) in table.entries.items() if name in known}

    def _check_alternatives(
        self, table: Table, alternatives: Sequence[str], unknown: Sequence[Scalar], what: str
    ) -> None:
        """Notes that none of the alternatives is there, or two."""
        given = [name for name in alternatives if name in table.entries]
        if len(given) > 1:
            key = table.entries[given[1]][0]
            self.report(key, f"{what} has '{given[0]}' and '{given[1]}'; one of them says what it returns")
        elif alternatives and not given and not any(did_you_mean(key.text, alternatives) for key in unknown):
            self.report(table, f"missing key '{alternatives[0]}' in {what}, or '{alternatives[1]}' for a tuple")

    def one_of(self, node: Node, noun: str, known: Collection[str]) -> str | None:
        """A known word."""
        word = self.text(node, f"a {noun}")
        if word is None or word in known:
            return word
        self.unknown(node, noun, word, known)
        return None

    def several_of(
        self, node: Node, what: str, noun: str, known: Collection[str], *, minimum: int = 1
    ) -> tuple[str, ...]:
        """A list of different known words."""
        words: list[str] = []
        for item in self.items(node, what, minimum=minimum) or ():
            word = self.one_of(item, noun, known)
            if word is None:
                continue
            if word in words:
                self.report(item, f"{noun} '{word}' is listed twice in {what}")
            words.append(word)
        return tuple(words)

    def program(
        self,
        node: Node,
        what: str,
        names: Iterable[str] | None,
        functions: Mapping[str, Callable[..., object]] | None,
        *,
        bind: bool = False,
        inside: slice = slice(None),
        gives: Sequence[str] | None = None,
    ) -> Program | None:
        """The expression that a scalar is, or that lies `inside` it; `bind` and `gives` as `parse` has them."""
        if not isinstance(node, Scalar):
            self.report(node, f"{what} must be an expression, not {description(node)}")
            return None
        text = node.text[inside]
        try:
            known = None if names is None else set(names)
            program = parse(text, names=known, functions=functions, bind=bind, gives=gives)
        except ExpressionError as error:
            self.used.update(_WORD.findall(text))
            is_cut = node.style is None and text.count("(") > text.count(")")
            remedy = "; a comma inside { } or [ ] ends an entry: quote the expression" if is_cut else ""
            for problem in error.problems:
                column = problem.column + (inside.start or 0) * (problem.line == 1)
                self.source.report(self.source.offset_in(node, problem.line, column), problem.message + remedy)
            return None
        self.used |= program.names
        return program


def description(node: Node) -> str:
    """A node in the words of a message."""
    if isinstance(node, Items):
        return "a list"
    if isinstance(node, Table):
        return "a mapping"
    if not node.text:
        return "nothing"
    shown = node.text if len(node.text) <= 40 else node.text[:37] + "..."
    return f"'{shown}'"
