"""The call language: equal to Python where it is allowed, and closed everywhere else."""

from __future__ import annotations

import copy
import operator
import pickle
import re
from collections.abc import Mapping
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opfuzz.spec.expression.program import ExpressionError, Program, evaluate, parse


def mean(x: object, axis: int | None = None, keepdims: bool = True) -> tuple[object, int | None, bool]:
    return x, axis, keepdims


FUNCTIONS = {"torch.cos": lambda *args, **kwargs: (args, kwargs), "mean": mean}
NAMES = frozenset({"x", "c_in", "groups", "eps"})
PAIR = {"pair": lambda x: (x, 2 * x), "one": lambda x: x}
EINSUM = FUNCTIONS | {"torch.einsum": lambda equation, *arrays: (equation, *arrays)}


def value(text: str, **names: object) -> object:
    return evaluate(parse(text, names=names, functions=FUNCTIONS), names, FUNCTIONS)


def problems(text: str) -> list[tuple[int, int, str]]:
    with pytest.raises(ExpressionError) as caught:
        parse(text, names=NAMES, functions=FUNCTIONS, bind=True)
    return [(problem.line, problem.column, problem.message) for problem in caught.value.problems]


def sums(children: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    binary = st.tuples(children, st.sampled_from(["+", "-", "*", "/", "//", "%", "<", "==", ">="]), children)
    chain = st.tuples(children, children, children)
    return (
        binary.map(lambda parts: f"({' '.join(parts)})")
        | chain.map(lambda parts: f"({parts[0]} <= {parts[1]} < {parts[2]})")
        | children.map(lambda part: f"-{part}")
        | children.map(lambda part: f"{part}**2")
        | st.lists(children, max_size=2).map(lambda parts: f"len(({''.join(p + ',' for p in parts)}))")
    )


EXPRESSIONS = st.recursive(
    st.sampled_from(["a", "b", "True"]) | st.integers(0, 99).map(str) | st.sampled_from(["0.5", "1e-3", "2."]),
    sums,
    max_leaves=12,
)


@given(EXPRESSIONS, st.integers(-9, 9), st.floats(-9, 9))
def test_it_means_what_python_means(text: str, a: int, b: float) -> None:
    names = {"a": a, "b": b}
    try:
        expected = eval(text, {"len": len}, names)  # the truth from outside, on texts made here
    except (ZeroDivisionError, OverflowError):
        return
    try:
        program = parse(text, names=names, functions={"len": len})
    except ExpressionError:
        # A division by a literal zero, in a chain of comparisons that ends before it. Others were found above.
        assert re.search("[/%]", text)
        return
    try:
        value = repr(evaluate(program, names, {"len": len}))
    except ExpressionError as error:
        value = str(error)
    # Only a power that would take for ever is refused.
    assert value == repr(expected) or ("**" in text and "beyond 2**" in value)


def test_a_block_names_its_parts() -> None:
    program = parse("half = n // 2  # rounded down\nx = half + x\n(half, x)", names={"n", "x"}, functions={})
    assert program.names == {"n", "x"}
    assert evaluate(program, {"n": 9, "x": 1}, {}) == (4, 5)


def test_a_line_can_name_the_items_of_a_tuple() -> None:
    program = parse("most, _ = pair(x)\nmost + 1", names={"x"}, functions=PAIR)
    assert evaluate(program, {"x": 3}, PAIR) == 4
    assert pickle.loads(pickle.dumps(program)) == program
    assert program.meaning != parse("_, most = pair(x)\nmost + 1", names={"x"}, functions=PAIR).meaning


@pytest.mark.parametrize(("text", "found"), [("a, b = one(x)\na", "one str"), ("a, b, c = pair(x)\na", "2 values")])
def test_a_tuple_of_another_size_is_refused_when_it_is_seen(text: str, found: str) -> None:
    with pytest.raises(TypeError, match=f"values, not for {found}"):
        evaluate(parse(text, names={"x"}, functions=PAIR), {"x": "ab"}, PAIR)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a, b = mean(x)\na", "2 names for 1 value in 'a, b = mean(x)'"),
        ("a, b = (x, x, x)\na", "2 names for 3 values in 'a, b = (x, x, x)'"),
        ("a, a = (x, x)\na", "not of the form name = expression in 'a, a = (x, x)'"),
        ("a, *b = (x, x)\na", "not of the form name = expression in 'a, *b = (x, x)'"),
        ("a, b.c = (x, x)\na", "not of the form name = expression in 'a, b.c = (x, x)'"),
        ("a, (b, c) = (x, x)\na", "not of the form name = expression in 'a, (b, c) = (x, x)'"),
        ("a = b = x\na", "not of the form name = expression in 'a = b = x'"),
        ("a, b = (x, x)\nx", "'a, b' is never used in 'a, b = (x, x)'"),
        ("a, mean = (x, x)\na", "'mean' is a function and cannot be assigned in 'a, mean = (x, x)'"),
    ],
)
def test_refuses_other_targets(text: str, message: str) -> None:
    assert problems(text)[0][2].startswith(message)


@pytest.mark.parametrize("equation", ["bij,bjk->bik", "bhqd, bhkd -> bhqk", "i,j->ij", "ij->", "Ab,bc,cA->"])
def test_einsum_takes_its_equation_by_place(equation: str) -> None:
    others = ["x"] * (equation.count(",") + 1)
    program = parse(f"torch.einsum('{equation}', {', '.join(others)})", names={"x"}, functions=EINSUM)
    assert evaluate(program, {"x": 1}, EINSUM) == (equation, *[1] * len(others))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("torch.einsum('ij,jk', x, x)", "no equation of einsum"),
        ("torch.einsum('...j,jk->...k', x, x)", "no equation of einsum"),
        ("torch.einsum('ij,jk->ik; import os', x, x)", "no equation of einsum"),
        ("torch.einsum('__import__->i', x)", "no equation of einsum"),
        ("torch.einsum('i\\n->i', x)", "no equation of einsum"),
        ("torch.einsum('éj->j', x)", "no equation of einsum"),
        ("torch.einsum('%s->i', x)", "no equation of einsum"),
        (f"torch.einsum('{'i' * 99}->i', x)", "no equation of einsum"),
        ("torch.einsum('ij->ii', x)", "an axis of the result that is there twice, or in no array,"),
        ("torch.einsum('ij->k', x)", "an axis of the result that is there twice, or in no array,"),
        ("torch.einsum('ij->i', x, x)", "an equation of 1 arrays, with 2 behind it,"),
        ("torch.einsum(x, 'ij->i')", "a text is not allowed"),
        ("torch.einsum('ij->i' * 9, x)", "a text is not allowed"),
        ("torch.einsum(('ij->i', x))", "a text is not allowed"),
        ("torch.load('ij->i', x)", "unknown function 'torch.load'"),
        ("torch.cos('ij->i', x)", "a text is not allowed"),
    ],
)
def test_no_other_text_stands_by_place(text: str, message: str) -> None:
    with pytest.raises(ExpressionError) as caught:
        parse(text, names={"x"}, functions=EINSUM)
    assert caught.value.problems[0].message.startswith(message)


def test_calls_receive_their_arguments() -> None:
    program = parse("torch.cos(x, [2, 3], mode='tanh', p=(1, None, -2.5))", names={"x"}, functions=FUNCTIONS)
    assert program.functions == {"torch.cos"}
    assert evaluate(program, {"x": 7}, FUNCTIONS) == ((7, [2, 3]), {"mode": "tanh", "p": (1, None, -2.5)})


def test_arrays_keep_their_own_comparison() -> None:
    class Array:
        def __lt__(self, other: object) -> str:
            return "element by element"

        def __bool__(self) -> bool:
            raise ValueError("the truth of an array is ambiguous")

    assert value("x < 2", x=Array()) == "element by element"


def test_literals_and_divisions_can_be_kept_exact() -> None:
    program = parse("x * 0.1 + 1 / 3 + 2", names={"x"}, functions={})
    exact = evaluate(program, {"x": Fraction(1, 2)}, {}, literal=Fraction, divide=Fraction)
    assert exact == Fraction(1, 2) * Fraction(0.1) + Fraction(1, 3) + 2
    assert evaluate(parse("-0.5", names=(), functions={}), {}, {}, literal=lambda v: [v].index(v) + 3) == -3
    seen: list[tuple[object, object]] = []
    evaluate(program, {"x": 0.5}, {}, divide=lambda a, b: seen.append((a, b)) or operator.truediv(a, b))
    assert seen == [(1, 3)]


REFUSED = {
    "c_in % group == 0": (1, 8, "unknown name 'group' in 'c_in % group == 0'; did you mean 'groups'?"),
    "torch.os.system(x)": (
        1,
        1,
        "unknown function 'torch.os.system' in 'torch.os.system(x)'; did you mean 'torch.cos'?",
    ),
    "x.__class__": (
        1,
        3,
        "attribute '__class__' is not allowed in 'x.__class__'; values have none here: call a function",
    ),
    "(x).real": (
        1,
        5,
        "attribute 'real' is not allowed in '(x).real'; "
        "values have none here: write a function, as torch.view_as_real(x) or mx.real(x)",
    ),
    "x.sum()": (1, 1, "'x.sum' is a method of a value in 'x.sum()'; call a function instead"),
    "torch.cos": (1, 1, "function 'torch.cos' is not called in 'torch.cos'; write torch.cos(...)"),
    "1 + mean": (1, 5, "function 'mean' is not called in '1 + mean'; write mean(...)"),
    "mean(x)(x)": (1, 1, "only a function's plain dotted name can be called in 'mean(x)(x)'; write one such as exp(x)"),
    "lambda: 1": (1, 1, "a lambda is not allowed in 'lambda: 1'; name a step on a line of its own: y = ..."),
    "x[0]": (
        1,
        1,
        "a subscript is not allowed in 'x[0]'; "
        "take a part with a function, as narrow(x, axis, start, length) in a reference",
    ),
    "[i for i in x]": (
        1,
        1,
        "a comprehension is not allowed in '[i for i in x]'; write its items out, or compute on whole arrays",
    ),
    "{'a': x}": (1, 1, "a dict is not allowed in '{'a': x}'; write a tuple, or arguments by keyword"),
    "mean(f'{x}')": (
        1,
        6,
        "an f-string is not allowed in 'mean(f'{x}')'; "
        "a text is written as it is, as the value of a keyword: approximate='tanh'",
    ),
    "mean(x, out=x)": (1, 9, "keyword 'out' is not allowed in 'mean(x, out=x)'; a call never writes into its inputs"),
    "mean(*x)": (1, 6, "a starred argument is not allowed in 'mean(*x)'; write the arguments out"),
    "mean('a')": (
        1,
        6,
        "a text is not allowed in 'mean('a')'; only as the value of a keyword, or in a tuple there: approximate='tanh'",
    ),
    "mean(x, axis=['a'])": (
        1,
        15,
        "a text is not allowed in 'mean(x, axis=['a'])'; "
        "only as the value of a keyword, or in a tuple there: approximate='tanh'",
    ),
    "x if x else x": (
        1,
        1,
        "'if ... else' is not allowed in 'x if x else x'; where(condition, a, b) chooses element by element",
    ),
    "x < 1 and x > 0": (1, 1, "'and' or 'or' is not allowed in 'x < 1 and x > 0'; write two conditions"),
    "not x": (1, 1, "'not' or '~' is not allowed in 'not x'; only + and - stand before a value"),
    "x is None": (1, 1, "'is' or 'in' is not allowed in 'x is None'; only == != < <= > >="),
    "x << 2": (1, 1, "operator '<<' is not allowed in 'x << 2'; only + - * / // % ** @"),
    "(y := 3)": (1, 2, "':=' is not allowed in '(y := 3)'; name it on a line of its own: y = ..."),
    "1j * x": (1, 1, "1j is not allowed in '1j * x'; only numbers, None, True and False"),
    "x + ...": (1, 5, "Ellipsis is not allowed in 'x + ...'; only numbers, None, True and False"),
    "1e400": (1, 1, "a number beyond float64 in '1e400'; write inf"),
    "x + 9**9**9": (1, 5, "an integer beyond 2**1024 in 'x + 9**9**9'"),
    "2**100000": (1, 1, "an integer beyond 2**1024 in '2**100000'"),
    "10**-1": (1, 1, "an integer to a negative power, which is 1 / a**b, in '10**-1'"),
    "[0]*10**9": (1, 1, "a list of more than 10000 items in '[0]*10**9'"),
    "x / 0": (1, 1, "division by zero in 'x / 0'; an infinity is written inf"),
    "mean(x, axs=-1)": (1, 9, "mean() has no argument 'axs' in 'mean(x, axs=-1)'; did you mean 'axis'?"),
    "mean()": (1, 1, "mean() lacks 'x' in 'mean()'; it is mean(x, axis=None, keepdims=True)"),
    "mean(x, x=3)": (1, 9, "mean() gets 'x' twice in 'mean(x, x=3)'; it is mean(x, axis=None, keepdims=True)"),
    "mean(x, axis='é') + xx": (1, 21, "unknown name 'xx' in 'mean(x, axis='é') + xx'; did you mean 'x'?"),
    "": (1, 1, "an expression is missing"),
    "# only a comment": (1, 1, "an expression is missing"),
    "x\rx": (1, 2, "control character '\\r' is not allowed"),
    "y = x": (
        1,
        1,
        "no expression at the end in 'y = x'; a block is lines of name = expression, then one expression",
    ),
    "import os\nx": (
        1,
        1,
        "not of the form name = expression in 'import os'; a block is lines of name = expression, then one expression",
    ),
    "mean = mean(x)\nmean": (
        1,
        1,
        "'mean' is a function and cannot be assigned in 'mean = mean(x)'; choose another name",
    ),
    "y = x\nx": (1, 1, "'y' is never used in 'y = x'"),
    "9" * 5000: (1, 1, f"an integer beyond 2**1024 in '{'9' * 72}...'"),
    "x +" * 4000: (1, 1, "12000 characters; an expression has at most 10000"),
}


@pytest.mark.parametrize("text", REFUSED, ids=lambda text: text[:30] or "empty")
def test_refuses(text: str) -> None:
    assert problems(text) == [REFUSED[text]]


def test_all_problems_come_at_once() -> None:
    found = problems("y = xs * 2\nmean(y[0], axs=1) + torch.load(y) +\\\n  beta")
    assert [(line, column) for line, column, _ in found] == [(1, 5), (2, 6), (2, 12), (2, 21), (3, 3)]


def test_long_lines_are_cut_around_the_problem() -> None:
    line, column, message = problems("x + " * 40 + "zz" + " + x" * 40)[0]
    assert (line, column) == (1, 161)
    assert message.startswith("unknown name 'zz' in '...x + ")
    assert " zz " in message


@pytest.mark.parametrize("text", ["mean(" * 101 + "x" + ")" * 101, "-" * 101 + "x", "-" * 9000 + "x", "(" * 400 + "x"])
def test_nesting_is_limited(text: str) -> None:
    assert any("nest" in message for _, _, message in problems(text))


def test_nesting_is_possible() -> None:
    assert value("-" * 100 + "x", x=1) == 1
    assert value("(" * 99 + "x" + ")" * 99, x=1) == 1


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("a**b", {"a": 2, "b": 2000}),
        ("a**b**b", {"a": 9, "b": 9}),
        ("a**b", {"a": Fraction(1, 3), "b": 10**9}),
        ("[0] * a", {"a": 10**9}),
        ("(0, 0) * a", {"a": 10**9}),
        ("a * [0]", {"a": 10**9}),
        ("a % b", {"a": "%9999999999d", "b": 1}),
        ("a * b", {"a": "text", "b": 10**9}),
        ("a ** b", {"a": 10, "b": -1}),
        # Each line doubles: 2^400 bits, items, or copies of one list inside another.
        ("\n".join(["c = a * a", *["c = c * c"] * 400, "c"]), {"a": 3}),
        ("\n".join(["c = [a]", *["c = c + c"] * 400, "c"]), {"a": 3}),
        ("\n".join(["c = [a]", *["c = [c, c]"] * 400, "c"]), {"a": 3}),
        ("\n".join(["c = a / 7", *["c = c * c"] * 400, "c"]), {"a": Fraction(1, 3)}),
    ],
)
def test_growth_is_limited_when_evaluated(text: str, names: Mapping[str, object]) -> None:
    program = parse(text, names=names, functions={})
    with pytest.raises(ExpressionError):
        evaluate(program, names, {})


def test_a_refusal_when_evaluated_names_its_place() -> None:
    program = parse("b = a + 1\n1 + a**b", names={"a"}, functions={})
    with pytest.raises(ExpressionError) as caught:
        evaluate(program, {"a": 4000}, {})
    assert str(caught.value) == "<expression>:2:5: an integer beyond 2**1024 in '1 + a**b'"


def test_attributes_of_values_are_never_read() -> None:
    class Guarded:
        def __getattr__(self, name: str) -> object:
            raise AssertionError(f"read {name}")

    guarded = Guarded()
    assert value("torch.cos(x, p=[x])", x=guarded) == ((guarded,), {"p": [guarded]})


def test_without_lists_only_the_syntax_is_checked() -> None:
    program = parse("mx.fast.norm(x, eps)", names=None, functions=None)
    assert (program.names, program.functions) == ({"x", "eps"}, {"mx.fast.norm"})
    for text in ("mx.__loader__.load_module(x)", "__import__(x)", "x = 1\nx.sum()", "x.y"):
        with pytest.raises(ExpressionError):
            parse(text, names=None, functions=None)


def test_what_is_published_but_no_function_is_unknown() -> None:
    with pytest.raises(ExpressionError, match=r"unknown function 'torch\.os'"):
        parse("torch.os(x)", names={"x"}, functions={"torch.os": operator})


def test_is_missing_what_was_not_given() -> None:
    program = parse("torch.cos(x)", names=None, functions=None)
    with pytest.raises(KeyError, match="x"):
        evaluate(program, {}, FUNCTIONS)
    with pytest.raises(KeyError, match=r"torch\.cos"):
        evaluate(program, {"x": 1}, {})


@pytest.mark.parametrize("text", ["x + 1", "y = mean(x, axis=-1)\ny", "torch.cos(x, mode='tanh') / 0.5"])
def test_programs_travel(text: str) -> None:
    program = parse(text, names=NAMES, functions=FUNCTIONS)
    for twin in (pickle.loads(pickle.dumps(program)), copy.deepcopy(program)):
        assert isinstance(twin, Program)
        assert twin == program
        assert hash(twin) == hash(program)
    twin = pickle.loads(pickle.dumps(program))
    functions = {"mean": lambda x, axis: x + axis, "torch.cos": lambda x, mode: x + len(mode)}
    assert evaluate(twin, {"x": 3}, functions) == evaluate(program, {"x": 3}, functions)


def test_errors_travel() -> None:
    with pytest.raises(ExpressionError) as caught:
        parse("a + b", names=(), functions={})
    twin = pickle.loads(pickle.dumps(caught.value))
    assert twin.problems == caught.value.problems


def test_meaning_ignores_layout_only() -> None:
    def meaning(text: str) -> str:
        return parse(text, names=None, functions=None).meaning

    assert meaning("y = f(x,\n  axis=-1)  # why\n(y + 1e-5)") == meaning("y=f(x, axis=-1)\ny + 0.00001")
    different = ["x - y - z", "x - (y - z)", "x + 1", "x + 1.0", "f(x)", "f(x, x)", "f(a=x)", "f(a='x')", "(x,)", "[x]"]
    assert len({meaning(text) for text in different}) == len(different)


def test_knows_comparisons_and_divisions() -> None:
    assert parse("a % 2 == 0", names=None, functions={}).is_comparison
    assert not parse("a % 2", names=None, functions={}).is_comparison
    assert parse("b = a / 2\nb + 1", names=None, functions={}).divides
    assert not parse("a // 2", names=None, functions={}).divides
