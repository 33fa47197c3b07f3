"""Which spec a call is: the programs of the specs, read backwards."""

from __future__ import annotations

import ast
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from opfuzz.core.errors import OpfuzzError
from opfuzz.network.observe.families import ARITHMETIC, SIGNATURES, family_of, named_arguments
from opfuzz.network.observe.form import Form
from opfuzz.network.observe.forms import form_of
from opfuzz.network.observe.records import Array, Bound, FunctionCall
from opfuzz.network.pipeline.dispatch import bind
from opfuzz.spec import OpSpec
from opfuzz.spec.expression.program import ExpressionError, Program, evaluate, parse

# A program that is one call says which function the op is, and which argument is which input, param or dim: with
# `softmax(x, dim=-1)`, a call `softmax(scores, dim=-1)` is the op with x = scores. What a function may be given as None
# is then what changes nothing.
NEUTRAL = {"bias": 0.0, "weight": 1.0}
FORMATS_OF = {
    "float": "fV",
    "additive_mask": "f",
    "index": "iu",
    "mask": "b",
}  # NumPy's letters for what an input may be
CLOSE = 1e-12  # relative: numbers that a program computes, such as d**-0.5


@dataclass(frozen=True, slots=True)
class _Pattern:
    """One op whose program is one call."""

    spec: OpSpec
    arguments: Mapping[str, ast.expr]


class SpecReader:
    """All ops whose program in a dialect is one call, by the function that it calls."""

    def __init__(self, specs: Mapping[str, OpSpec], dialect: str = "torch") -> None:
        self._patterns: dict[str, list[_Pattern]] = {}
        for spec in specs.values():
            if [output.name for output in spec.outputs] != [""]:
                continue
            for program in spec.calls.get(dialect, {}).values():
                found = _pattern_of(program.text)
                if found is not None and found[0] not in ARITHMETIC:
                    self._patterns.setdefault(found[0], []).append(_Pattern(spec, found[1]))
        for patterns in self._patterns.values():  # the one that says the most first, such as gelu of approximate='tanh'
            patterns.sort(key=lambda pattern: -len(pattern.arguments))

    @property
    def families(self) -> frozenset[str]:
        """The functions that are ops."""
        return frozenset(self._patterns)

    def bind(self, call: FunctionCall) -> Bound | None:
        """The call as an op; None where there is no spec for it."""
        arguments = named_arguments(call.family, call.args, call.kwargs)
        if arguments is None:
            return None
        try:
            form = form_of(call.family, arguments)
        except (AttributeError, IndexError, KeyError, TypeError, ValueError):  # arguments that torch takes otherwise
            return None
        if form is None:
            return None
        for pattern in self._patterns.get(form.family, ()):
            given = _unify(pattern, form)
            if given is not None:
                try:
                    made, lead = bind(pattern.spec, given, f"op '{pattern.spec.op}'", 0, "", "")
                except OpfuzzError:  # other sizes than the spec allows, another format than float32
                    continue
                return Bound(pattern.spec, made, lead, form.finish)
        return None


def _pattern_of(text: str) -> tuple[str, dict[str, ast.expr]] | None:
    """Family and arguments of a program that is one call of plain arguments."""
    body = ast.parse(text).body
    if len(body) != 1 or not isinstance(body[0], ast.Expr) or not isinstance(call := body[0].value, ast.Call):
        return None
    values = [*call.args, *(word.value for word in call.keywords)]
    if any(isinstance(node, ast.Call) for value in values for node in ast.walk(value)):
        return None
    family = family_of(ast.unparse(call.func))
    names = list(SIGNATURES.get(family, map(str, range(len(call.args)))))
    if len(call.args) > len(names):
        return None
    words = {word.arg: word.value for word in call.keywords if word.arg is not None}
    return family, {**dict(zip(names, call.args, strict=False)), **words}


def _unify(pattern: _Pattern, form: Form) -> dict[str, Any] | None:
    """Inputs, params and dims of the op, so that its program makes this call; None where none do."""
    spec, signature = pattern.spec, SIGNATURES.get(form.family, {})
    inputs = {item.name: item.kind for item in spec.inputs}
    numbers = {param.name for param in spec.params} | {dim.name for dim in spec.dims}
    found: dict[str, Any] = {}
    missing: list[str] = []
    later: list[tuple[ast.expr, Any]] = []

    def meet(node: ast.expr, value: Any) -> bool:
        if isinstance(node, ast.Name) and node.id in inputs:
            if value is None and node.id in NEUTRAL:
                missing.append(node.id)
                return True
            is_right = isinstance(value, np.ndarray) and value.dtype.kind in FORMATS_OF[inputs[node.id]]
            return is_right and found.setdefault(node.id, value) is value
        if isinstance(value, np.ndarray):
            return False
        if isinstance(node, ast.Name) and node.id in numbers:
            return value is not None and bool(found.setdefault(node.id, value) == value)
        if isinstance(node, ast.Name) and node.id == "dtype":
            return value is None or str(value).rpartition(".")[2] == "float32"
        if isinstance(node, ast.List | ast.Tuple):
            is_alike = isinstance(value, list | tuple) and len(value) == len(node.elts)
            return is_alike and all(map(meet, node.elts, value))
        later.append((node, value))
        return True

    for name in {**pattern.arguments, **form.arguments}:
        value = form.arguments.get(name, signature.get(name))
        if name in pattern.arguments:
            if not meet(pattern.arguments[name], value):
                return None
        elif isinstance(value, np.ndarray) or value != signature.get(name):
            return None
    if not all(_is_equal(node, value, found) for node, value in later):
        return None
    return _with_neutral(spec, {**found, **_unsaid_sizes(spec, found)}, missing)


@lru_cache(maxsize=1024)
def _program(text: str) -> Program:
    return parse(text, names=None, functions=None)


def _is_equal(node: ast.expr, value: Any, names: Mapping[str, Any]) -> bool:
    if isinstance(node, ast.Constant):
        wanted: Any = node.value
        return bool(wanted == value) and isinstance(wanted, bool) == isinstance(value, bool)
    try:
        wanted = evaluate(_program(ast.unparse(node)), names, {})
    except (ExpressionError, KeyError, TypeError, ZeroDivisionError):
        return False
    if type(wanted) in (int, float) and type(value) in (int, float):
        return math.isclose(float(str(wanted)), value, rel_tol=CLOSE)
    return bool(wanted == value) and type(wanted) is type(value)


def _unsaid_sizes(spec: OpSpec, found: Mapping[str, Any]) -> dict[str, int]:
    """Dims that an input tells only by their quotient, such as `c_out // groups`."""
    sizes: dict[str, int] = {}
    known = {axis.text for item in spec.inputs for axis in item.shape}
    for item in spec.inputs:
        for axis, size in zip(item.shape, np.shape(found.get(item.name, 0)), strict=False):
            whole, part = _quotient(axis.text)
            if whole and whole not in known | found.keys() and isinstance(factor := found.get(part), int):
                sizes[whole] = size * factor
    return sizes


@lru_cache(maxsize=1024)
def _quotient(text: str) -> tuple[str, str]:
    """The two names of `c_out // groups`; '' of anything else."""
    match ast.parse(text, mode="eval").body:
        case ast.BinOp(ast.Name(whole), ast.FloorDiv(), ast.Name(part)):
            return whole, part
    return "", ""


def _with_neutral(spec: OpSpec, found: dict[str, Any], missing: list[str]) -> dict[str, Any] | None:
    """The arguments with what changes nothing for the inputs that were None."""
    if not missing:
        return found
    sizes = {dim.name: found[dim.name] for dim in spec.dims if dim.name in found}
    for item in spec.inputs:
        if item.name in found:
            shape = np.shape(found[item.name])
            for axis, size in zip(reversed(item.shape), reversed(shape), strict=False):
                sizes.setdefault(axis.text, size)
    shapes = {item.name: item.shape for item in spec.inputs if item.name in missing}
    if any(axis.text not in sizes for shape in shapes.values() for axis in shape):
        return None
    made: dict[str, Array] = {
        name: np.full([sizes[axis.text] for axis in shape], NEUTRAL[name], np.float32) for name, shape in shapes.items()
    }
    return {**found, **made}


Binder = Callable[[FunctionCall], Bound | None]
