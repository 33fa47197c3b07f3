"""From a syntax tree to closures: checks every node, and gathers all that is wrong instead of stopping at the first.

Each kind of node that the language has is one method here; a node without a method is refused.
"""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable, Collection, Mapping
from typing import Any

from opfuzz.core.errors import Problem
from opfuzz.core.floats import NAMED_FORMATS
from opfuzz.spec.expression.casts import CAST, METHODS, format_named, remedy_for, remedy_for_attribute
from opfuzz.spec.expression.compiled import VARIES, Compiled, Frame, Run
from opfuzz.spec.expression.grammar import (
    COMPARISONS,
    DEPTH,
    NOUNS,
    OTHER_OPERATORS,
    REFUSED_KEYWORDS,
    SIGNS,
    ExpressionError,
    excerpt,
    nearest,
)
from opfuzz.spec.expression.limits import BITS, OPERATORS, LimitError, bounded
from opfuzz.spec.expression.signatures import wrong_arguments
from opfuzz.spec.expression.texts import USUAL, refusal_of

Comparison = Callable[[Frame, object, object], object]
_NUMBERS = frozenset({int, float, bool})


def _refused(frame: Frame) -> object:
    raise AssertionError("a refused expression is never run")


_REFUSED = Compiled(_refused, "?")


class Compiler:
    """Compiles the nodes of one text and gathers its problems, free names and functions.

    `names` and `functions` of None accept any. With `bind`, arguments are checked against the functions' signatures.
    """

    def __init__(
        self,
        text: str,
        names: Collection[str] | None,
        functions: Mapping[str, object] | None,
        bind: bool,
    ) -> None:
        self.text = text
        self.names = names
        self.functions = functions
        self.bind = bind
        self.locals: set[str] = set()
        self.free: set[str] = set()
        self.called: set[str] = set()
        self.problems: list[Problem] = []
        self._lines = text.split("\n")
        self._too_deep = False
        self._unknown: set[str] = set()

    def refuse(self, node: ast.expr | ast.stmt | ast.keyword, message: str, remedy: str = "") -> Compiled:
        """Note a problem at the node: `message in 'the line'; remedy`."""
        self.problems.append(self._problem(node, message, remedy))
        return _REFUSED

    def _problem(self, node: ast.expr | ast.stmt | ast.keyword, message: str, remedy: str = "") -> Problem:
        line = node.lineno
        # ast counts columns in bytes of UTF-8.
        column = len(self._lines[line - 1].encode()[: node.col_offset].decode(errors="replace")) + 1
        return Problem("<expression>", line, column, f"{message} in '{excerpt(self.text, line, column)}'{remedy}")

    def compile(self, node: ast.expr, depth: int = 0) -> Compiled:
        """Closure of one node and all below it; a problem for each node that the language does not have."""
        if depth > DEPTH:
            if self._too_deep:
                return _REFUSED
            self._too_deep = True
            return self.refuse(node, f"more than {DEPTH} levels of nesting", "; name a part of it on a line of its own")
        match node:
            case ast.Name():
                return self._name(node)
            case ast.Constant():
                return self._constant(node)
            case ast.BinOp():
                return self._binary(node, depth)
            case ast.UnaryOp():
                return self._unary(node, depth)
            case ast.Compare():
                return self._comparison(node, depth)
            case ast.Call():
                return self._call(node, depth)
            case ast.Tuple() | ast.List():
                return self._sequence(node, depth)
            case ast.Attribute():
                return self._attribute(node)
            case ast.BoolOp():
                return self.refuse(node, "'and' or 'or' is not allowed", "; write two conditions")
        noun, remedy = NOUNS.get(type(node), (type(node).__name__, "write names, numbers, arithmetic and calls"))
        return self.refuse(node, f"{noun} is not allowed", f"; {remedy}")

    def _attribute(self, node: ast.Attribute) -> Compiled:
        name = _dotted(node)
        if name is not None and self.functions is not None and name in self.functions:
            return self.refuse(node, f"function '{name}' is not called", f"; write {name}(...)")
        fmt = None if name is None or self._is_value(name) else format_named(name, self.functions)
        if fmt is not None and (self.names is None or fmt in self.names):
            self.free.add(fmt)
            return Compiled(lambda frame: frame.names[fmt], fmt)
        # The word itself is pointed at, where the node begins with what it is an attribute of.
        start = (node.end_col_offset or 0) - len(node.attr.encode())
        word = ast.Name(node.attr, lineno=node.end_lineno or node.lineno, col_offset=start)
        return self.refuse(word, f"attribute '{node.attr}' is not allowed", remedy_for_attribute(node.attr))

    def _name(self, node: ast.Name) -> Compiled:
        name = node.id
        if name not in self.locals:
            self.free.add(name)
            if self.names is not None and name not in self.names:
                if name in self._unknown:
                    return _REFUSED
                self._unknown.add(name)
                if self.functions is not None and name in self.functions:
                    return self.refuse(node, f"function '{name}' is not called", f"; write {name}(...)")
                return self.refuse(node, f"unknown name '{name}'", nearest(name, {*self.names, *self.locals}))

        def run(frame: Frame) -> object:
            return frame.names[name]

        return Compiled(run, name)

    def _constant(self, node: ast.Constant) -> Compiled:
        value = node.value
        if isinstance(value, float):
            if value == float("inf"):
                return self.refuse(node, "a number beyond float64", "; write inf")

            def literal(frame: Frame, number: float = value) -> object:
                return frame.literal(number)

            return Compiled(literal, repr(value))
        if isinstance(value, int):
            if value.bit_length() > BITS:
                return self.refuse(node, f"an integer beyond 2**{BITS}", "; write inf, or a number with an exponent")
            return _fixed(value)
        if value is None:
            return Compiled(lambda frame: None, "None")
        if isinstance(value, str):
            return self.refuse(node, "a text is not allowed", USUAL)
        return self.refuse(node, f"{value!r} is not allowed", "; only numbers, None, True and False")

    def _sequence(self, node: ast.Tuple | ast.List, depth: int) -> Compiled:
        return self._joined(node, [self.compile(item, depth + 1) for item in node.elts])

    def _joined(self, node: ast.Tuple | ast.List, items: list[Compiled]) -> Compiled:
        """A tuple or list of items that are compiled."""
        runs = tuple(item.run for item in items)
        form = f"({' '.join(['list' if isinstance(node, ast.List) else 'tuple', *(i.form for i in items)])})"
        problem = self._problem(node, "")
        if isinstance(node, ast.List):

            def run(frame: Frame) -> object:
                return _limited(bounded, problem, [item(frame) for item in runs])

        else:

            def run(frame: Frame) -> object:
                return _limited(bounded, problem, tuple([item(frame) for item in runs]))

        known = all(item.constant is not VARIES for item in items)
        return Compiled(run, form, self._fold(run) if known else VARIES)

    def _binary(self, node: ast.BinOp, depth: int) -> Compiled:
        left, right = self.compile(node.left, depth + 1), self.compile(node.right, depth + 1)
        kind = type(node.op)
        if kind not in OPERATORS:
            return self.refuse(node, f"operator '{OTHER_OPERATORS[kind]}' is not allowed", "; only + - * / // % ** @")
        form = f"({kind.__name__} {left.form} {right.form})"
        apply, first, second, problem = OPERATORS[kind], left.run, right.run, self._problem(node, "")

        def run(frame: Frame) -> object:
            a, b = first(frame), second(frame)
            try:
                return apply(a, b)
            except LimitError as error:
                raise _at(problem, error) from None

        def divide(frame: Frame) -> object:
            a, b = first(frame), second(frame)
            if type(a) in _NUMBERS and type(b) in _NUMBERS:
                return frame.divide(a, b)
            try:
                return apply(a, b)
            except LimitError as error:
                raise _at(problem, error) from None

        if kind in (ast.Div, ast.FloorDiv, ast.Mod) and right.constant == 0:
            return self.refuse(node, "division by zero", "; an infinity is written inf")
        if kind is ast.Div:
            return Compiled(divide, form)
        if left.constant is VARIES or right.constant is VARIES:
            return Compiled(run, form)
        value = self._fold(run)
        return _fixed(value, form) if isinstance(value, int) else Compiled(run, form, value)

    def _unary(self, node: ast.UnaryOp, depth: int) -> Compiled:
        operand = self.compile(node.operand, depth + 1)
        if type(node.op) not in SIGNS:
            return self.refuse(node, "'not' or '~' is not allowed", "; only + and - stand before a value")
        word, sign = SIGNS[type(node.op)]
        form, inner = f"({word} {operand.form})", operand.run
        if isinstance(operand.constant, int):
            return _fixed(-operand.constant if word == "neg" else operand.constant, form)
        return Compiled(lambda frame: sign(inner(frame)), form)

    def _comparison(self, node: ast.Compare, depth: int) -> Compiled:
        first = self.compile(node.left, depth + 1)
        links: list[tuple[Comparison, Run]] = []
        form = first.form
        for kind, other in zip(node.ops, node.comparators, strict=True):
            value = self.compile(other, depth + 1)
            if type(kind) not in COMPARISONS:
                return self.refuse(node, "'is' or 'in' is not allowed", "; only == != < <= > >=")
            symbol, compare = COMPARISONS[type(kind)]
            links.append((_heeding(type(kind), compare), value.run))
            form += f" {symbol} {value.form}"
        start = first.run
        first_link, end = links[0]
        if len(links) == 1:
            return Compiled(lambda frame: first_link(frame, start(frame), end(frame)), f"({form})")

        def chain(frame: Frame) -> object:
            left, answer = start(frame), None
            for index, (link, right_of) in enumerate(links):
                right = right_of(frame)
                # As in Python, the last comparison is the result and is not asked whether it is true.
                answer = link(frame, left, right)
                if index < len(links) - 1 and not answer:
                    break
                left = right
            return answer

        return Compiled(chain, f"({form})")

    def _call(self, node: ast.Call, depth: int) -> Compiled:
        name = _dotted(node.func)
        if isinstance(node.func, ast.Attribute) and (name is None or self._is_value(name)):
            return self._method(node, node.func, depth)
        if name is None:
            self.refuse(node.func, "only a function's plain dotted name can be called", "; write one such as exp(x)")
        else:
            self._check_function(node, name)
        arguments = tuple(self._argument(node, name, place, depth) for place in range(len(node.args)))
        named = [keyword for keyword in node.keywords if keyword.arg is not None]
        keywords = tuple((str(keyword.arg), self._keyword(keyword, depth)) for keyword in named)
        for keyword in node.keywords:
            if keyword.arg is None:
                self.refuse(keyword, "'**' before an argument is not allowed", "; write the arguments out")
        if name is None:
            return _REFUSED
        if name == CAST:
            words = [
                (each.value, value) for each, (word, value) in zip(named, keywords, strict=True) if word == "dtype"
            ]
            for argument, fmt in (*zip(node.args[1:2], arguments[1:2], strict=True), *words):
                self._check_format(argument, name, fmt)
        if self.bind and self.functions is not None and name in self.functions:
            self._check_arguments(node, name, self.functions[name])
        parts = [f"call {name}", *(a.form for a in arguments), *(f"{word}={value.form}" for word, value in keywords)]
        runs = tuple(argument.run for argument in arguments)
        by_word = tuple((word, value.run) for word, value in keywords)

        def plain(frame: Frame) -> object:
            return frame.functions[name](*[run(frame) for run in runs])

        def worded(frame: Frame) -> object:
            named = {word: run(frame) for word, run in by_word}
            return frame.functions[name](*[run(frame) for run in runs], **named)

        return Compiled(worded if by_word else plain, f"({' '.join(parts)})")

    def _argument(self, node: ast.Call, name: str | None, place: int, depth: int) -> Compiled:
        argument = node.args[place]
        if not isinstance(argument, ast.Constant) or not isinstance(argument.value, str):
            return self.compile(argument, depth + 1)
        refusal = refusal_of(name, place, argument.value, len(node.args) - 1)
        return _text(argument.value) if refusal is None else self.refuse(argument, *refusal)

    def _is_value(self, dotted: str) -> bool:
        """Whether a dotted name begins with a value, and not with a module."""
        root = dotted.partition(".")[0]
        return root in self.locals or (self.names is not None and root in self.names)

    def _method(self, node: ast.Call, function: ast.Attribute, depth: int) -> Compiled:
        """A cast: the function that the dialect publishes for this method, of the value and a format."""
        name = f".{function.attr}"
        value = self.compile(function.value, depth + 1)
        published = METHODS if self.functions is None else self.functions
        is_there = name in METHODS and name in published
        if not is_there or (self.functions is not None and not callable(self.functions[name])):
            text = _dotted(function) or name
            return self.refuse(node, f"'{text}' is a method of a value", remedy_for(name, self.functions))
        self.called.add(name)
        if value.form in NAMED_FORMATS:
            return self.refuse(node, f"'{value.form}' is a format, not a value,", f"; write x{name}(...)")
        for keyword in node.keywords:
            self.refuse(keyword, f"{name}() takes a format, and no keyword,", "; write x.to(float32), for instance")
        formats = [self.compile(argument, depth + 1) for argument in node.args]
        for argument, fmt in zip(node.args, formats, strict=True):
            self._check_format(argument, name, fmt)
        if self.functions is not None:
            for place, message, remedy in wrong_arguments(name, self.functions[name], 1 + len(formats), ()):
                self.refuse(node.args[place - 1] if isinstance(place, int) else node, message, remedy)
        runs = (value.run, *(fmt.run for fmt in formats))
        parts = (f"call {name}", value.form, *(fmt.form for fmt in formats))
        return Compiled(lambda frame: frame.functions[name](*[run(frame) for run in runs]), f"({' '.join(parts)})")

    def _check_format(self, argument: ast.expr, name: str, fmt: Compiled) -> None:
        if fmt is not _REFUSED and fmt.form not in (*NAMED_FORMATS, "dtype"):
            self.refuse(argument, f"{name}() takes a format", f"; known: {', '.join(NAMED_FORMATS)}, dtype")

    def _keyword(self, keyword: ast.keyword, depth: int) -> Compiled:
        if keyword.arg in REFUSED_KEYWORDS:
            self.refuse(keyword, f"keyword '{keyword.arg}' is not allowed", "; a call never writes into its inputs")
        value = keyword.value
        if isinstance(value, ast.Constant) and isinstance(value.value, str):
            return _text(value.value)
        if isinstance(value, ast.Tuple) and all(map(_is_text, value.elts)):
            texts = [_text(item.value) for item in value.elts if isinstance(item, ast.Constant)]
            if value.elts:  # as dimension_numbers=('NCH', 'OIH', 'NCH')
                return self._joined(value, texts)
        return self.compile(value, depth + 1)

    def _check_function(self, node: ast.Call, name: str) -> None:
        self.called.add(name)
        if any(part.startswith("_") for part in name.split(".")):
            self.refuse(node, f"unknown function '{name}'", "; names that begin with '_' are private")
        elif self.functions is not None and not callable(self.functions.get(name)):
            known = [word for word, function in self.functions.items() if callable(function) and word not in METHODS]
            remedy = nearest(name, known) if known else "; no function can be called here"
            self.refuse(node, f"unknown function '{name}'", remedy)

    def _check_arguments(self, node: ast.Call, name: str, function: object) -> None:
        if any(isinstance(argument, ast.Starred) for argument in node.args):
            return
        words: dict[object, ast.keyword] = {k.arg: k for k in node.keywords if k.arg not in (None, *REFUSED_KEYWORDS)}
        for place, message, remedy in wrong_arguments(name, function, len(node.args), [str(word) for word in words]):
            where = node.args[place] if isinstance(place, int) else words.get(place) or node
            self.refuse(where, message, remedy)

    def _fold(self, run: Run) -> object:
        """Value of a node whose parts are all integers or lists, or a problem if it goes beyond the limits."""
        try:
            return run(Frame({}, {}, float, operator.truediv))
        except ExpressionError as error:
            self.problems.extend(error.problems)
        except (ArithmeticError, TypeError, ValueError):
            pass  # 1 + [2]: it fails as clearly, with the framework's own words, when it is run
        return VARIES


def _heeding(kind: type[ast.cmpop], compare: Callable[[Any, Any], object]) -> Comparison:
    """A comparison as an evaluation has it, which may have a meaning of its own for what is equal."""
    if kind is ast.Eq:
        return lambda frame, a, b: frame.equal(a, b)
    if kind is ast.NotEq:
        return lambda frame, a, b: frame.unequal(a, b)
    return lambda frame, a, b: compare(a, b)


def _fixed(value: int, form: str = "") -> Compiled:
    return Compiled(lambda frame: value, form or repr(value), value)


def _is_text(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, str)


def _text(text: object) -> Compiled:
    return Compiled(lambda frame: text, repr(text))


def _at(problem: Problem, error: LimitError) -> ExpressionError:
    """The refusal of an operation, at its place in the text."""
    return ExpressionError([Problem(problem.path, problem.line, problem.column, f"{error}{problem.message}")])


def _limited(check: Callable[[object], object], problem: Problem, value: object) -> object:
    try:
        return check(value)
    except LimitError as error:
        raise _at(problem, error) from None


def _dotted(node: ast.expr) -> str | None:
    """`torch.nn.functional.gelu` of a chain of attributes that starts at a name, else None."""
    parts: list[str] = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    return ".".join([node.id, *reversed(parts)]) if isinstance(node, ast.Name) else None
