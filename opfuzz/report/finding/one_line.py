"""The call of a finding as one line of code: `mx.exp(mx.array([[88.5]]))`."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from dataclasses import dataclass
from math import pi
from typing import Any

import numpy as np
from numpy.typing import NDArray

from opfuzz.core.call import Call
from opfuzz.core.floats import NAMED_FORMATS
from opfuzz.core.layout import LAYOUTS
from opfuzz.spec.expression.program import Program

Array = NDArray[Any]

VALUES = 6  # of an input that are written; more, if all are the same or it is constant along its rows
LONGEST = 400  # characters
ELLIPSIS = "… (all of it is in repro.py)"


@dataclass(frozen=True, slots=True)
class Dialect:
    """How a framework writes an array: of values in a format, and of one value in a shape."""

    module: str
    array: str
    full: str
    gradient: str  # of a function of some names, for values of these and cotangents
    is_default: frozenset[str] = frozenset()  # formats that need not be written


NUMPY = Dialect(
    "np",
    "np.array({values}, {kind})",
    "np.full({shape}, {value}, {kind})",
    "grad(lambda {names}: {call}, ({inputs},), ({cotangents},))",  # which NumPy has not
    frozenset({"float64", "int64", "bool"}),
)
DIALECTS: Mapping[str, Dialect] = {
    "torch": Dialect(
        "torch",
        "torch.tensor({values}, dtype={kind})",
        "torch.full({shape}, {value}, dtype={kind})",
        "torch.autograd.functional.vjp(lambda {names}: {call}, ({inputs},), ({cotangents},))",
        frozenset({"float32", "int64", "bool"}),
    ),
    "mlx": Dialect(
        "mx",
        "mx.array({values}, {kind})",
        "mx.full({shape}, {value}, {kind})",
        "mx.vjp(lambda {names}: {call}, [{inputs}], [{cotangents}])",
        frozenset({"float32", "int32", "bool"}),
    ),
    "jax": Dialect(
        "jnp",
        "jnp.array({values}, {kind})",
        "jnp.full({shape}, {value}, {kind})",
        "jax.vjp(lambda {names}: {call}, {inputs})[1](({cotangents}))",
        frozenset({"float32", "int32", "bool"}),
    ),
    "numpy": NUMPY,
}


def one_line(program: Program, dialect: str, call: Call) -> str:
    """The call with its values written into it, in the words of a dialect, or in NumPy's.

    What is too large to write stands as its shape: `mx.sum(x[4097])`; a view has its layout behind it. A gradient is
    that of a function of the names of its inputs. Of what is too long the beginning is given, and where all of it is.
    """
    words = DIALECTS.get(dialect, NUMPY)
    numbers = {name: _number(value, words) for name, value in {**call.dims, **call.params}.items()}
    arrays = {name: _array(array, words) for name, array in call.arrays.items()}
    kinds = {name: f"{words.module}.{name}" for name in NAMED_FORMATS}
    asked = () if program.gradient is None else program.gradient.inputs
    constants = {**kinds, "dtype": kinds[call.format], "inf": f"{words.module}.inf", "pi": repr(pi)}
    given = {**constants, **numbers, **{k: v for k, v in arrays.items() if v and k not in asked}}
    tree = _Written({**given, **{name: name for name in asked}}, call).visit(ast.parse(program.text.strip()))
    text = "; ".join(" ".join(ast.unparse(statement).split()) for statement in tree.body)
    if program.gradient is not None:
        shown = {name: arrays[name] or _shape(name, array) for name, array in call.arrays.items()}
        inputs, cotangents = (", ".join(shown[n] for n in names) for names in (asked, program.gradient.cotangents))
        body = _expression(tree.body)
        if body is None:
            text = f"{text}  # differentiated by {', '.join(asked)} at {inputs}, for {cotangents}"
        else:
            text = words.gradient.format(names=", ".join(asked), call=body, inputs=inputs, cotangents=cotangents)
    views = [f"{name} {layout}" for name, layout in call.layouts.items() if layout != LAYOUTS[0]]
    text += f"  # {', '.join(views)}" if views else ""
    return text if len(text) <= LONGEST else f"{text[: LONGEST - len(ELLIPSIS)]}{ELLIPSIS}"


def differentiated(text: str) -> tuple[str, bool]:
    """The call in a line that asks for its gradient, and whether it does; any other line as it is."""
    for words in DIALECTS.values():
        before, _, _ = words.gradient.partition("{names}")
        if text.startswith(before):
            return text.partition(": ")[2], True
    return text, False


def _expression(body: list[ast.stmt]) -> str | None:
    """Statements as one expression, `(rows := x.T, rows + 1)[-1]`; None where several names are given at once."""
    parts = []
    for statement in body:
        text = " ".join(ast.unparse(statement).split())
        if isinstance(statement, ast.Assign):
            if not isinstance(statement.targets[0], ast.Name):
                return None
            text = text.replace(" = ", " := ", 1)
        parts.append(text)
    return parts[0] if len(parts) == 1 else f"({', '.join(parts)})[-1]"


class _Written(ast.NodeTransformer):
    """Names replaced by what they stand for; an input that is too large, by its name and shape."""

    def __init__(self, texts: Mapping[str, str], call: Call) -> None:
        self.texts, self.call = texts, call

    def visit_Name(self, node: ast.Name) -> ast.expr:
        if not isinstance(node.ctx, ast.Load):
            return node
        if (text := self.texts.get(node.id)) is not None:
            return ast.parse(text, mode="eval").body
        if (array := self.call.arrays.get(node.id)) is not None:
            return ast.parse(_shape(node.id, array), mode="eval").body
        return node

    def visit_BinOp(self, node: ast.BinOp) -> ast.expr:
        """Arithmetic of sizes is done."""
        left, right = (self.visit(each) for each in (node.left, node.right))
        numbers = [each.value for each in (left, right) if isinstance(each, ast.Constant)]
        if len(numbers) == 2 and all(type(number) is int for number in numbers):
            a, b = (int(str(number)) for number in numbers)
            if isinstance(node.op, ast.FloorDiv) and b:
                return ast.Constant(a // b)
            done = {ast.Add: a + b, ast.Sub: a - b, ast.Mult: a * b}.get(type(node.op))
            if done is not None:
                return ast.Constant(done)
        return ast.BinOp(left, node.op, right)


def _shape(name: str, array: Array) -> str:
    """An input that is too large to write."""
    shape = ", ".join(map(str, array.shape))
    return f"{name}[{shape}]" if shape else name


def _number(value: object, words: Dialect) -> str:
    return _value(value, None, words) if isinstance(value, float) else repr(value)


def _array(array: Array, words: Dialect) -> str:
    """An array as code; '' if it has too many values."""
    kind = array.dtype.name
    told = f"{words.module}.{kind if kind != 'bool' or words.module == 'torch' else 'bool_'}"
    values = [_value(value, array.dtype, words) for value in np.ravel(array)[: VALUES + 1]]
    if array.size > 1 and (array == np.ravel(array)[0]).all():
        text = words.full.format(shape=tuple(array.shape), value=values[0], kind=told)
    elif 0 in array.shape and array.ndim > 1:
        text = words.full.format(shape=tuple(array.shape), value="0.0", kind=told)
    elif array.size <= VALUES:
        text = words.array.format(values=_nested(values, array.shape), kind=told)
    else:
        return ""
    return text.replace(f", dtype={told}", "").replace(f", {told}", "") if kind in words.is_default else text


def _nested(values: list[str], shape: tuple[int, ...]) -> str:
    if not shape:
        return values[0]
    if len(shape) == 1:
        return f"[{', '.join(values)}]"
    step = len(values) // shape[0]
    return f"[{', '.join(_nested(values[k * step : (k + 1) * step], shape[1:]) for k in range(shape[0]))}]"


def _value(value: Any, dtype: np.dtype[Any] | None, words: Dialect) -> str:
    """A number as the shortest text that reads back to the same in its format."""
    if isinstance(value, bool | np.bool) or (dtype is not None and dtype.kind in "iu"):
        return str(value)
    number = float(value)
    if number != number:
        return f"{words.module}.nan"
    if abs(number) == float("inf"):
        return f"{'-' if number < 0 else ''}{words.module}.inf"
    if dtype is None:
        return repr(number)
    texts = (f"{number:.{digits}g}" for digits in range(1, 18))
    with np.errstate(over="ignore"):  # the largest number, rounded up
        short = next((text for text in texts if float(np.float64(text).astype(dtype)) == number), repr(number))
    return short if any(letter in short for letter in ".e") else f"{short}.0"
