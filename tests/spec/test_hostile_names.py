"""Every node of Python's expressions is either in the language or refused, and no published name leads any further."""

from __future__ import annotations

import ast

import pytest

from opfuzz.backends import discover
from opfuzz.core.floats import NAMED_FORMATS
from opfuzz.oracle.operations import REFERENCE_FUNCTIONS
from opfuzz.spec.expression.casts import METHODS
from opfuzz.spec.expression.program import ExpressionError, parse

NAMES = frozenset({"x", "n", "dtype", "pi", "inf", *NAMED_FORMATS})
# What each kind of node looks like. Those in the language come first: with them a text is accepted.
ACCEPTED = {
    ast.Name: "x",
    ast.Constant: "3",
    ast.BinOp: "x + 1",
    ast.UnaryOp: "-x",
    ast.Compare: "x == n",
    ast.Call: "f(x)",
    ast.Tuple: "(x, n)",
    ast.List: "[x, n]",
    ast.Attribute: "x.to(torch.float32)",
}
REFUSED = {
    ast.BoolOp: "x and n",
    ast.NamedExpr: "(y := x)",
    ast.Lambda: "lambda: x",
    ast.IfExp: "x if n else x",
    ast.Dict: "{n: x}",
    ast.Set: "{x}",
    ast.ListComp: "[y for y in x]",
    ast.SetComp: "{y for y in x}",
    ast.DictComp: "{y: y for y in x}",
    ast.GeneratorExp: "f(y for y in x)",
    ast.Await: "await x",
    ast.Yield: "(yield x)",
    ast.YieldFrom: "(yield from x)",
    ast.FormattedValue: "f'{x}'",
    ast.JoinedStr: "f'{x!r}'",
    ast.Subscript: "x[0]",
    ast.Slice: "x[0:n]",
    ast.Starred: "f(*x)",
}
OPERATORS = {"+", "-", "*", "/", "//", "%", "**", "@"}
OTHER_OPERATORS = {"<<", ">>", "|", "&", "^"}
COMPARISONS = {"==", "!=", "<", "<=", ">", ">="}
OTHER_COMPARISONS = {"is", "is not", "in", "not in"}
FUNCTIONS = {"f": lambda x: x, ".to": lambda x, dtype: x, "torch.f": lambda x: x}
STATEMENTS = [
    "import os\nx", "from os import system\nx", "del x\nx", "assert x\nx", "raise x\nx", "x += 1\nx", "y: int = x\ny",
    "global x\nx", "nonlocal x\nx", "pass\nx", "for y in x: y\nx", "while x: x\nx", "if x: x\nx", "with x: x\nx",
    "def f(): pass\nx", "class y: pass\nx", "try: x\nexcept: x\nx", "return x", "async def f(): pass\nx",
    "match x:\n case _: x\nx", "x\nx", "y = z = x\ny", "f.y = x\nx", "x[0] = x\nx", "(y,), z = x\ny + z", "break\nx",
]  # fmt: skip


def is_accepted(text, functions=FUNCTIONS, names=NAMES):
    try:
        parse(text, names=names, functions=functions)
    except ExpressionError:
        return False
    return True


def test_every_kind_of_expression_is_known_to_be_in_the_language_or_refused():
    later = {"TemplateStr", "Interpolation"}  # of Python 3.14, and refused as all that has no method
    kinds = {kind for kind in ast.expr.__subclasses__() if kind.__name__ not in later}
    assert kinds == ACCEPTED.keys() | REFUSED.keys()


@pytest.mark.parametrize("kind", [*ACCEPTED, *REFUSED])
def test_only_some_kinds_are_in_the_language(kind):
    text = {**ACCEPTED, **REFUSED}[kind]
    assert any(isinstance(node, kind) for node in ast.walk(ast.parse(text)))
    assert is_accepted(text) == (kind in ACCEPTED)


def test_operators_and_comparisons_are_those_listed():
    assert {sign for sign in OPERATORS | OTHER_OPERATORS if is_accepted(f"x {sign} n")} == OPERATORS
    assert {sign for sign in COMPARISONS | OTHER_COMPARISONS if is_accepted(f"x {sign} n")} == COMPARISONS
    assert {sign for sign in ("+", "-", "~", "not ") if is_accepted(f"{sign}x")} == {"+", "-"}


@pytest.mark.parametrize("text", STATEMENTS)
def test_a_line_gives_names_to_values_and_nothing_else(text):
    assert not is_accepted(text)


def published():
    """Every dialect's functions that are installed, and those of references."""
    found = {name: dict(backend.functions()) for name, backend in discover().items() if backend.absent() is None}
    return {**found, "references": dict(REFERENCE_FUNCTIONS)}


def names_in(dialect):
    return NAMES - {"dtype", *NAMED_FORMATS} if dialect == "references" else NAMES


PUBLISHED = published()
# What reaches further than a call, from the name of a function, plain or dotted, whose arguments are left out.
FURTHER = (
    "{name}.__globals__", "{name}.__call__(x)", "{name}.__self__", "{name}(x).__class__", "{name}(x)(x)",
    "{name}(x)[0]", "{name}(*x)", "{name}(**x)", "{name}(x, out=x)", "{name}(x, inplace=True)", "{name}(lambda: x)",
    "{name}({name})", "x.{last}(x)", "{name}(x).tofile(n)", "{name} = x\n{name}",
)  # fmt: skip


@pytest.mark.parametrize("dialect", PUBLISHED)
def test_no_published_name_leads_further_than_its_call(dialect):
    functions = PUBLISHED[dialect]
    names = sorted(name for name in functions if not name.startswith("."))
    assert len(names) > 50
    for name in names:
        for further in FURTHER:
            text = further.format(name=name, last=name.rpartition(".")[2])
            assert not is_accepted(text, functions, names_in(dialect)), text
    assert not any(is_accepted(f"{name}.func(x)", functions, names_in(dialect)) for name in names[:: len(names) // 20])


@pytest.mark.parametrize("dialect", PUBLISHED)
def test_methods_are_the_casts_and_nothing_else(dialect):
    functions = PUBLISHED[dialect]
    methods = {name for name in functions if name.startswith(".")}
    assert methods <= METHODS
    for name in methods:
        for text in ("x{name}", "x{name}.__call__(float32)", "x{name}('float32')", "x{name}(n)", "x{name}(*n)"):
            assert not is_accepted(text.format(name=name), functions), text


def test_every_name_is_callable_and_public():
    for dialect, functions in PUBLISHED.items():
        for name, function in functions.items():
            assert callable(function), (dialect, name)
            assert not any(part.startswith("_") for part in name.split(".")), (dialect, name)
