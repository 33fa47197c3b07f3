"""What the expression language has and what it refuses, in the words that messages use."""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable, Collection, Mapping
from typing import Any

from opfuzz.core.errors import OpfuzzError, Problem, did_you_mean

DEPTH = 100
LISTING = 20  # known words that a message lists
EXCERPT = 72  # characters of an expression that a message repeats
REFUSED_KEYWORDS = ("out", "inplace")  # they write into an input, which other subjects would then see


class ExpressionError(OpfuzzError):
    """All that is wrong in one expression. Lines and columns count from 1 inside its text; the path is no file's."""

    def __init__(self, problems: Collection[Problem]) -> None:
        self.problems = tuple(sorted(problems))
        super().__init__("\n".join(str(problem) for problem in self.problems))

    def __reduce__(self) -> tuple[type[ExpressionError], tuple[tuple[Problem, ...]]]:
        return ExpressionError, (self.problems,)


# What is refused is named in the user's words, with what to write instead; a node that is missing here is named by its
# class.
_ITEMS = ("a comprehension", "write its items out, or compute on whole arrays")
_ONLY_COMPUTES = "an expression only computes"
NOUNS: Mapping[type[ast.AST], tuple[str, str]] = {
    ast.Lambda: ("a lambda", "name a step on a line of its own: y = ..."),
    ast.Subscript: ("a subscript", "take a part with a function, as narrow(x, axis, start, length) in a reference"),
    ast.ListComp: _ITEMS,
    ast.SetComp: _ITEMS,
    ast.DictComp: _ITEMS,
    ast.GeneratorExp: _ITEMS,
    ast.JoinedStr: ("an f-string", "a text is written as it is, as the value of a keyword: approximate='tanh'"),
    ast.Starred: ("a starred argument", "write the arguments out"),
    ast.NamedExpr: ("':='", "name it on a line of its own: y = ..."),
    ast.IfExp: ("'if ... else'", "where(condition, a, b) chooses element by element"),
    ast.Dict: ("a dict", "write a tuple, or arguments by keyword"),
    ast.Set: ("a set", "write a tuple"),
    ast.Await: ("await", _ONLY_COMPUTES),
    ast.Yield: ("yield", _ONLY_COMPUTES),
    ast.YieldFrom: ("yield", _ONLY_COMPUTES),
}
COMPARISONS: Mapping[type[ast.cmpop], tuple[str, Callable[[Any, Any], object]]] = {
    ast.Eq: ("==", operator.eq),
    ast.NotEq: ("!=", operator.ne),
    ast.Lt: ("<", operator.lt),
    ast.LtE: ("<=", operator.le),
    ast.Gt: (">", operator.gt),
    ast.GtE: (">=", operator.ge),
}
OTHER_OPERATORS: Mapping[type[ast.operator], str] = {
    ast.BitOr: "|",
    ast.BitAnd: "&",
    ast.BitXor: "^",
    ast.LShift: "<<",
    ast.RShift: ">>",
}
SIGNS: Mapping[type[ast.unaryop], tuple[str, Callable[[Any], object]]] = {
    ast.USub: ("neg", operator.neg),
    ast.UAdd: ("pos", operator.pos),
}


def nearest(word: str, known: Collection[str]) -> str:
    """The remedy for an unknown word: the nearest known one, or all if they are few."""
    listing = f"; known: {', '.join(sorted(known))}" if 0 < len(known) <= LISTING else ""
    return did_you_mean(word, known) or listing


def excerpt(text: str, line: int, column: int) -> str:
    """The line of `text` that a message repeats, without indentation, cut to EXCERPT characters around the column."""
    source = text.split("\n")[line - 1]
    begin = len(source) - len(source.lstrip())
    shown = source.strip()
    if len(shown) <= EXCERPT:
        return shown
    first = max(0, min(column - 1 - begin - EXCERPT // 3, len(shown) - EXCERPT))
    last = first + EXCERPT
    return ("..." if first else "") + shown[first:last] + ("..." if last < len(shown) else "")
