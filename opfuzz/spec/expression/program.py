"""The checked call language: Python's syntax for arithmetic and calls, and nothing else of Python.

A text is parsed once, checked node by node, and turned into closures, which `evaluate` runs. Nothing is handed to
`eval`, and no attribute of a value is ever read: a dotted name is a key of the mapping of functions.
"""

from __future__ import annotations

import ast
import operator
import re
import warnings
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

from opfuzz.core.errors import Problem
from opfuzz.spec.expression.compiled import Frame, Function, Run
from opfuzz.spec.expression.compiler import Compiler
from opfuzz.spec.expression.grammar import DEPTH, ExpressionError, excerpt
from opfuzz.spec.expression.limits import BITS

__all__ = ["Code", "ExpressionError", "Gradient", "Program", "code_of", "evaluate", "parse"]

TEXT_LIMIT = 10_000
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f\ud800-\udfff]")  # Python takes some for ends of lines
_BRACKET = re.compile(r"[(\[{}\])]")
BLOCK_RULE = "; a block is lines of name = expression, then one expression"

Names = tuple[str, ...]
Place = tuple[str, str, int]  # of a size: its name, an input, and the axis of that which has it


@dataclass(frozen=True, slots=True)
class Code:
    """The closures of a program: of each line that names values, and of the last."""

    steps: tuple[tuple[str | Names, Run], ...]
    result: Run


@dataclass(frozen=True, slots=True)
class Gradient:
    """That not the values of a program are meant, but the gradients of the sum of cotangents times values.

    A program gives as many values as there are cotangents, and has a gradient for each of the inputs, in their order.
    Without any cotangent they are ones.
    """

    inputs: Names
    cotangents: Names
    is_usual: bool = False  # of a formula: written as libraries compute it, and not as exactly as it can be
    by_powers: bool = False  # and then with the square of what divides, the cube of the reciprocal of a root
    cut: int | None = None  # of a formula: the step, in its order, through which none is handed back


@dataclass(frozen=True, slots=True)
class Program:
    """One checked text: lines of `name = expression` or `name, name = expression`, then one expression."""

    text: str
    names: frozenset[str]  # that it takes from outside
    functions: frozenset[str]  # that it calls, dotted
    meaning: str  # canonical form: equal for texts that differ in layout, comments or redundant parentheses only
    is_comparison: bool
    divides: bool  # has a `/`
    gradient: Gradient | None = None  # that is meant; None: its values
    sizes: tuple[Place, ...] = ()  # where sizes that it may take are those of inputs
    code: Code | None = field(default=None, repr=False, compare=False)  # None: in a process that it was sent to

    def __reduce__(self) -> tuple[type[Program], tuple[object, ...]]:
        # Closures cannot be pickled.
        own = self.text, self.names, self.functions, self.meaning, self.is_comparison, self.divides
        return Program, (*own, self.gradient, self.sizes)


def parse(
    text: str,
    *,
    names: Collection[str] | None,
    functions: Mapping[str, Function] | None,
    bind: bool = False,
    gives: Sequence[str] | None = None,
) -> Program:
    """The program that `text` says.

    `names` are those it may use, `functions` those it may call, by dotted name; None accepts any. With `bind`,
    arguments are checked against the signatures of the functions, each of which gives one value.
    `gives` are the outputs that its value has to be: the names of a tuple's items, ('',) for one value that is no
    tuple; it is checked as far as the text shows it, and not at all without.
    Raises ExpressionError with all problems of the text.
    """
    tree = _syntax(text)
    compiler = Compiler(text, names, functions, bind)
    steps: list[tuple[str | Names, Run]] = []
    forms: list[str] = []
    items: dict[str, int | None] = {}  # of each name that a line gives
    nodes = list(ast.walk(tree))
    used = {node.id for node in nodes if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)}
    for statement in tree.body[:-1]:
        targets = _targets(statement)
        if not isinstance(statement, ast.Assign) or not targets:
            compiler.refuse(statement, "not of the form name = expression", BLOCK_RULE)
            compiler.locals.update(_assigned(statement))
            continue
        value = compiler.compile(statement.value)
        count = _items(statement.value, items, bind)
        given = tuple(target.id for target in targets)
        is_tuple = isinstance(statement.targets[0], ast.Tuple)
        if is_tuple and count is not None and count != len(given):
            compiler.refuse(statement, f"{len(given)} names for {count or 1} value{'s' * (count > 1)}", BLOCK_RULE)
        for target in targets:
            if functions is not None and any(word.partition(".")[0] == target.id for word in functions):
                compiler.refuse(target, f"'{target.id}' is a function and cannot be assigned", "; choose another name")
        if used.isdisjoint(given):
            compiler.refuse(targets[0], f"'{', '.join(given)}' is never used")
        compiler.locals.update(given)
        items |= dict.fromkeys(given) if is_tuple else {given[0]: count}
        steps.append((given if is_tuple else given[0], value.run))
        forms.append(f"{' '.join(('tuple', *given)) if is_tuple else given[0]}={value.form}")
    last = tree.body[-1]
    if not isinstance(last, ast.Expr):
        compiler.refuse(last, "no expression at the end", BLOCK_RULE)
        raise ExpressionError(compiler.problems)
    result = compiler.compile(last.value)
    if gives is not None and (count := _items(last.value, items, bind)) is not None:
        _check_items(compiler, last.value, count, gives)
    if compiler.problems:
        raise ExpressionError(compiler.problems)
    return Program(
        text,
        frozenset(compiler.free),
        frozenset(compiler.called),
        "\n".join([*forms, result.form]),
        isinstance(last.value, ast.Compare),
        any(isinstance(node, ast.Div) for node in nodes),
        code=Code(tuple(steps), result.run),
    )


def _items(node: ast.expr, known: Mapping[str, int | None], is_bound: bool) -> int | None:
    """How many items the tuple has that an expression gives; 0 where it is none, None where only running it tells."""
    match node:
        case ast.Tuple():
            return len(node.elts)
        case ast.Call():
            return 0 if is_bound else None
        case ast.Name():
            return known.get(node.id, 0)
        case ast.BinOp():  # tuples can be joined
            return 0 if _items(node.left, known, is_bound) == _items(node.right, known, is_bound) == 0 else None
    return 0


def _check_items(compiler: Compiler, node: ast.expr, count: int, gives: Sequence[str]) -> None:
    outputs = f"'outputs' has {', '.join(gives)}"
    if gives[0] == "":
        if count:
            compiler.refuse(node, f"a tuple of {count}", "; name what it returns under 'outputs', or give one value")
    elif not count:
        compiler.refuse(node, "no tuple", f"; {outputs}: write ({', '.join(gives)}{',' * (len(gives) == 1)})")
    elif count != len(gives):
        compiler.refuse(node, f"a tuple of {count}", f"; {outputs}: give {len(gives)}, in this order")


def _targets(statement: ast.stmt) -> list[ast.Name]:
    """The names that a line gives: of one, or of each item of a tuple; none where it is no such line."""
    if not isinstance(statement, ast.Assign) or len(statement.targets) != 1:
        return []
    target = statement.targets[0]
    items = target.elts if isinstance(target, ast.Tuple) else [target]
    names = [item for item in items if isinstance(item, ast.Name)]
    return names if len({name.id for name in names}) == len(items) else []


def _assigned(statement: ast.stmt) -> set[str]:
    """Names that a refused statement would have assigned; that they are then unknown is no problem of its own."""
    return {node.id for node in ast.walk(statement) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}


def code_of(program: Program) -> Code:
    """Its closures; in a process that it was sent to, made where it is run: most programs of many specs never are."""
    return program.code or _compiled(program.text, program.names)


@lru_cache(maxsize=1 << 14)
def _compiled(text: str, names: frozenset[str]) -> Code:
    # The text was checked; its names tell x.float() from torch.exp(x).
    code = parse(text, names=names, functions=None).code
    assert code is not None
    return code


def _syntax(text: str) -> ast.Module:
    """Python's syntax tree. Raises ExpressionError where there is none."""
    if len(text) > TEXT_LIMIT:
        raise _error(1, 1, f"{len(text)} characters; an expression has at most {TEXT_LIMIT}")
    control = _CONTROL.search(text)
    if control:
        raise _error_at(text, control.start(), f"control character {control.group()!r} is not allowed")
    level = 0
    for bracket in _BRACKET.finditer(text):
        level += 1 if bracket.group() in "([{" else -1
        if level > DEPTH:
            raise _error_at(text, bracket.start(), f"more than {DEPTH} levels of nesting")
    if not text.strip():
        raise _error(1, 1, "an expression is missing")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(text)
    except SyntaxError as error:
        lines = text.split("\n")
        line = min(max(error.lineno or 1, 1), len(lines))
        column = min(max(error.offset or 1, 1), len(lines[line - 1]) + 1)
        # A number of more than 4300 digits ends here, with advice that is of no use in a spec.
        reason = f"an integer beyond 2**{BITS}" if error.msg.startswith("Exceeds the limit") else error.msg
        raise _error(line, column, f"{reason} in '{excerpt(text, line, column)}'") from None
    except (ValueError, MemoryError, RecursionError):
        raise _error(1, 1, f"nested too deeply in '{excerpt(text, 1, 1)}'") from None
    if not tree.body:
        raise _error(1, 1, "an expression is missing")
    return tree


def _error_at(text: str, index: int, message: str) -> ExpressionError:
    return _error(text.count("\n", 0, index) + 1, index - text.rfind("\n", 0, index), message)


def _error(line: int, column: int, message: str) -> ExpressionError:
    return ExpressionError([Problem("<expression>", line, column, message)])


def _identity(number: float) -> object:
    return number


def evaluate(
    program: Program | Code,
    names: Mapping[str, object],
    functions: Mapping[str, Function],
    *,
    literal: Callable[[float], object] = _identity,
    divide: Callable[[object, object], object] = operator.truediv,
    equal: Callable[[object, object], object] = operator.eq,
    unequal: Callable[[object, object], object] = operator.ne,
) -> object:
    """Value of the program; of its code where it must not be looked for, as inside of what a framework compiles.

    `literal` makes the value of every float written in the text (integers stay integers); `divide` is called for `/`
    between two plain Python numbers. With these two a reference stays exact. `equal` and `unequal` are asked for
    `==` and `!=`.
    Raises ExpressionError where a number or list grows beyond the limits, KeyError for a name or function not given,
    and what the functions and operators raise.
    """
    code = program if isinstance(program, Code) else code_of(program)
    if not code.steps:
        return code.result(Frame(names, functions, literal, divide, equal, unequal))
    values = dict(names)
    frame = Frame(values, functions, literal, divide, equal, unequal)
    for target, run in code.steps:
        if isinstance(target, str):
            values[target] = run(frame)
        else:
            values.update(zip(target, _items_of(run(frame), target), strict=True))
    return code.result(frame)


def _items_of(value: object, names: Names) -> Sequence[object]:
    """The items of a tuple or list, one a name. Raises TypeError for anything else, an array among it."""
    if isinstance(value, tuple | list) and len(value) == len(names):
        return value
    found = f"{len(value)} values" if isinstance(value, tuple | list) else f"one {type(value).__name__}"
    raise TypeError(f"'{', '.join(names)}' stand for {len(names)} values, not for {found}")
