"""Functions written down again as text that runs by itself, with all that they use."""

from __future__ import annotations

import ast
import builtins
import functools
import importlib
import inspect
import textwrap
from collections.abc import Collection
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import Any

import numpy as np


def number_text(value: float) -> str:
    """A float64 as Python text that reads back to the same value."""
    return repr(value) if value == value and abs(value) != float("inf") else f"float('{value}')"


class SourceText:
    """Source of functions and of what they use: other functions of their module, imports, and closed-over values."""

    def __init__(self, taken: Collection[str] = ()) -> None:
        self._taken = taken  # names that mean something else in the file
        self._lines: list[str] = []
        self._known: dict[str, object] = {}
        self._before: tuple[list[str], dict[str, object]] = [], {}
        self._gave_up = False

    def text(self) -> str:
        """All definitions, in an order in which they can run."""
        return "\n".join(self._lines) or "# every function is the framework's own"

    def define(self, name: str, value: object) -> bool:
        """Make `name` stand for `value`; whether that could be written down.

        What cannot ends the file with a word on it and status 2, unless `load` follows.
        """
        self._before = list(self._lines), dict(self._known)
        self._gave_up = False
        self._define(name, value)
        return not self._gave_up

    def load(self, name: str, plugin: str, backend: str, word: str) -> None:
        """In place of what `define` could not write down: the function that a plugin publishes as `word`."""
        self._lines, self._known = self._before
        if "_plugin" not in self._known:
            self._known["_plugin"] = plugin
            self._lines += [
                f"# The source of {word} is not at hand: the plugin itself is loaded, which needs opfuzz.",
                "import importlib.util",
                "import sys",
                f"_spec = importlib.util.spec_from_file_location('plugin', {plugin!r})",
                "_plugin = importlib.util.module_from_spec(_spec)",
                f"sys.path.insert(0, {str(Path(plugin).parent)!r})",
                "_spec.loader.exec_module(_plugin)",
            ]
        chosen = f"next(each for each in _plugin.BACKENDS if each.name == {backend!r})"
        self._lines.append(f"{name} = {chosen}.functions()[{word!r}]")

    def _define(self, name: str, value: object) -> None:
        if name in self._known:
            if self._known[name] is not value:
                self._give_up(f"two different things have the name {name}")
            return
        self._known[name] = value
        if isinstance(value, ModuleType):
            self._lines.append(f"import {value.__name__} as {name}")
        elif name in self._taken:
            self._give_up(f"two different things have the name {name}")
        elif isinstance(value, functools.partial):
            self._define_partial(name, value)
        elif inspect.isfunction(value) and (found := _source_of(value)) is not None:
            self._define_function(name, value, found)
        elif (path := _import_path(value)) is not None:
            module, attribute = path
            self._lines.append(f"from {module} import {attribute} as {name}")
        elif (literal := _literal(value)) is not None:
            self._lines.append(f"{name} = {literal}")
        else:
            self._give_up(f"the source of {name} is not at hand: it needs the plugin")

    def _give_up(self, reason: str) -> None:
        self._gave_up = True
        self._lines += [f"print({reason!r}, file=sys.stderr)", "sys.exit(2)"]

    def _define_global(self, name: str, user: FunctionType) -> None:
        """A name of the module of `user`: a container or an iterator that is assigned once, as it was at first."""
        value = user.__globals__[name]
        if _is_state(value) and name not in self._known and name not in self._taken:
            first = _assigned(name, user.__code__.co_filename)
            if first is not None:
                self._known[name] = value
                for node in ast.walk(first):
                    if isinstance(node, ast.Name) and not hasattr(builtins, node.id) and node.id in user.__globals__:
                        self._define_global(node.id, user)
                self._lines.append(f"{name} = {ast.unparse(first)}")
                return
        self._define(name, value)

    def _define_partial(self, name: str, value: functools.partial[Any]) -> None:
        inner = f"_{name}_function"
        self._define(inner, value.func)
        arguments = []
        for place, argument in enumerate(value.args):
            self._define(f"_{name}_{place}", argument)
            arguments.append(f"_{name}_{place}")
        for keyword, argument in value.keywords.items():
            self._define(f"_{name}_{keyword}", argument)
            arguments.append(f"{keyword}=_{name}_{keyword}")
        self._lines += ["import functools", f"{name} = functools.partial({', '.join([inner, *arguments])})"]

    def _define_function(self, name: str, value: FunctionType, source: ast.FunctionDef) -> None:
        if self._known.get(source.name) is value and source.name != name:
            self._lines.append(f"{name} = {source.name}")
            return
        written = inspect.unwrap(value)  # without its decorators, which the source applies again
        used = _names_of(written.__code__) | _names_around(source)
        for other in sorted(used & written.__globals__.keys()):
            if not hasattr(builtins, other) and written.__globals__[other] is not value:
                self._define_global(other, written)
        closed = dict(zip(written.__code__.co_freevars, written.__closure__ or (), strict=True))
        for other, cell in closed.items():
            if cell.cell_contents is not value:
                self._define(other, cell.cell_contents)
        if source.name != name and (source.name in self._known or source.name in self._taken):
            self._give_up(f"two different things have the name {source.name}")
        self._known[source.name] = value
        self._lines.append(ast.unparse(source))
        if name != source.name:
            self._lines.append(f"{name} = {source.name}")


def _is_state(value: object) -> bool:
    """Whether it is neither code nor a plain value that never changes."""
    if isinstance(value, ModuleType | FunctionType | type | functools.partial) or _import_path(value) is not None:
        return False
    return isinstance(value, list) or _literal(value) is None


def _assigned(name: str, path: str) -> ast.expr | None:
    """What a file assigns to a name of its own, once; None if that is not to be seen, or something else fills it."""
    try:
        statements = ast.parse(Path(path).read_text(encoding="utf-8")).body
    except (OSError, SyntaxError, ValueError):
        return None
    functions = [each for each in statements if isinstance(each, ast.FunctionDef | ast.ClassDef)]
    users = {each.name for each in functions if name in _mentioned(each)}
    found: list[ast.expr | None] = []
    for statement in statements:
        if statement in functions:
            continue
        calls = [node.func for node in ast.walk(statement) if isinstance(node, ast.Call)]
        if any(isinstance(called, ast.Name) and called.id in users for called in calls):
            return None  # it may be filled there
        if name in _mentioned(statement):
            targets = statement.targets if isinstance(statement, ast.Assign) else [getattr(statement, "target", None)]
            is_plain = len(targets) == 1 and isinstance(targets[0], ast.Name) and targets[0].id == name
            found.append(getattr(statement, "value", None) if is_plain else None)
    return found[0] if len(found) == 1 else None


def _mentioned(node: ast.AST) -> set[str]:
    return {each.id for each in ast.walk(node) if isinstance(each, ast.Name)}


def _names_of(code: CodeType) -> set[str]:
    """Global names that a function and the functions inside it use."""
    inner = [c for c in code.co_consts if isinstance(c, CodeType)]
    return set(code.co_names).union(*map(_names_of, inner))


def _names_around(definition: ast.FunctionDef) -> set[str]:
    """Names that are looked up when a function is defined: in its decorators and defaults."""
    defaults = [node for node in definition.args.kw_defaults if node is not None]
    around = [*definition.decorator_list, *definition.args.defaults, *defaults]
    return {node.id for part in around for node in ast.walk(part) if isinstance(node, ast.Name)}


def _literal(value: object) -> str | None:
    """A value as Python text, after `import math` and `import numpy as np`; None for what is no plain value."""
    if value is None or isinstance(value, int | str):
        return repr(value)
    if isinstance(value, np.number | np.bool):
        literal = _literal(value.item())
        return None if literal is None else f"np.{value.dtype.name}({literal})"
    if isinstance(value, float):
        return number_text(value)
    if isinstance(value, tuple | list):
        parts = [_literal(item) for item in value]
        if None in parts:
            return None
        inner = "".join(f"{part}, " for part in parts)
        return f"({inner})" if isinstance(value, tuple) else f"[{inner}]"
    return None


def _source_of(function: FunctionType) -> ast.FunctionDef | None:
    """Source of a function without annotations, which would need more imports; None where there is no `def` of it."""
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    except (OSError, TypeError, SyntaxError):
        return None
    definition = tree.body[0]
    if not isinstance(definition, ast.FunctionDef):
        return None
    definition.returns = None
    for node in ast.walk(definition):
        if isinstance(node, ast.arg):
            node.annotation = None
    return definition


def _import_path(value: object) -> tuple[str, str] | None:
    """Module and name under which a public class, function or ufunc is found again."""
    name = getattr(value, "__name__", None)
    for module in (getattr(value, "__module__", None), "numpy", "scipy.special"):
        if isinstance(name, str) and isinstance(module, str) and not module.startswith("opfuzz"):
            try:
                if getattr(importlib.import_module(module), name, None) is value:
                    return module, name
            except ImportError:
                continue
    return None
