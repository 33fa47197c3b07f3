"""The reproducer of a finding: a Python file that needs NumPy and the framework, and nothing of opfuzz."""

from __future__ import annotations

import ast
import builtins
import functools
import importlib
import inspect
import re
import textwrap
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from types import CodeType, FunctionType, ModuleType
from typing import Any

import numpy as np

from opfuzz.layout import View
from opfuzz.records import Mark

Call = Callable[..., Any]

HANG_SECONDS = 30.0  # how long a reproducer of a hang waits for one call


@dataclass(frozen=True, slots=True)
class Subject:
    """What a reproducer must know of a backend. `recipe` is its text of imports, `load`, `view`, `bits` and `run`."""

    name: str
    recipe: str
    device: str
    mode: str
    functions: Mapping[str, Call]  # every function that the call uses, by the name it is written with
    replaced: frozenset[str] = frozenset()  # those that are not the framework's own


def reproducer(
    title: str,
    subject: Subject,
    call: str,
    format: str,
    shape: tuple[int, ...],
    numbers: Mapping[str, object],
    views: Mapping[str, tuple[View, ...]],
    mark: Mark | None,
    repeated: bool,
    hangs: bool = False,
    disturbed: bool = False,
) -> str:
    """Text of `repro.py`. It reads `inputs.safetensors` beside it, where an input of another layout lies as its buffer.

    It exits with 1 while the element at `mark` (or, without one, the call itself) is wrong, and with 0 when right.
    With `disturbed` a call on NaN comes before the repeated one. With `hangs` it calls many times, as a hang may be
    intermittent, and exits with 1 when one call does not return.
    """
    text, names = renamed(call, subject)
    source = Source({*_NAMES, *_defined(subject.recipe), *numbers, *views})
    for name, own in names.items():
        source.define(own, subject.functions[name])
    settings = [f"{name} = {value!r}" for name, value in numbers.items()]
    inputs = [f"{name} = view(load(TENSORS[{name!r}]), {steps!r})" for name, steps in _steps(views).items()]
    return _TEMPLATE.format(
        title=_inert(title),
        recipe=subject.recipe.strip(),
        functions=source.text(),
        device=subject.device,
        mode=subject.mode,
        format=format,
        settings="\n".join(settings) or "# no sizes and no parameters",
        inputs="\n".join(inputs) or "# no inputs",
        call=textwrap.indent(body_of(text), "    "),
        shape=shape,
        index=None if mark is None else mark.index,
        exact="None" if mark is None else number_text(mark.exact),
        bound="None" if mark is None else number_text(mark.bound),
        repeated=repeated,
        other_work=_OTHER_WORK.format(steps=_steps(views)) if disturbed else "",
        between="    other_work()\n" if disturbed else "",
        hangs=hangs,
        seconds=HANG_SECONDS,
    )


def renamed(call: str, subject: Subject) -> tuple[str, dict[str, str]]:
    """The call with names of its own for functions that are not the framework's, and these by the name as written."""
    names = {}
    for name in subject.functions:
        if "." not in name or name in subject.replaced:
            names[name] = "replaced_" + re.sub(r"\W", "_", name) if "." in name else name
            call = re.sub(rf"(?<![\w.]){re.escape(name)}(?=\s*\()", names[name], call)
    return call, names


def _steps(views: Mapping[str, tuple[View, ...]]) -> dict[str, list[tuple[str, tuple[Any, ...]]]]:
    return {name: [(view.op, view.args) for view in steps] for name, steps in views.items()}


def body_of(call: str) -> str:
    """The block of a call as the body of a function: its last expression is returned."""
    lines = call.strip("\n").split("\n")
    last = ast.parse(call.strip("\n")).body[-1]
    first = last.lineno - 1
    return "\n".join([*lines[:first], "return (", *("    " + line for line in lines[first:]), ")"])


def number_text(value: float) -> str:
    """A float64 as Python text that reads back to the same value."""
    return repr(value) if value == value and abs(value) != float("inf") else f"float('{value}')"


def _inert(text: str) -> str:
    """Text that may stand in a docstring, whatever a framework put into its messages."""
    return "".join(c if c.isprintable() or c == "\n" else " " for c in text).replace("\\", "/").replace('"""', "'''")


class Source:
    """Source of functions and of what they use: other functions of their module, imports, and closed-over values."""

    def __init__(self, taken: Collection[str] = ()) -> None:
        self._taken = taken  # names that mean something else in the file
        self._lines: list[str] = []
        self._known: dict[str, object] = {}

    def text(self) -> str:
        """All definitions, in an order in which they can run."""
        return "\n".join(self._lines) or "# every function is the framework's own"

    def define(self, name: str, value: object) -> None:
        """Make `name` stand for `value`. What cannot be written down ends the file with a word on it and status 2."""
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
        self._lines += [f"print({reason!r}, file=sys.stderr)", "sys.exit(2)"]

    def _define_partial(self, name: str, value: functools.partial[Any]) -> None:
        inner = f"_{name}_function"
        self.define(inner, value.func)
        arguments = []
        for place, argument in enumerate(value.args):
            self.define(f"_{name}_{place}", argument)
            arguments.append(f"_{name}_{place}")
        for keyword, argument in value.keywords.items():
            self.define(f"_{name}_{keyword}", argument)
            arguments.append(f"{keyword}=_{name}_{keyword}")
        self._lines += ["import functools", f"{name} = functools.partial({', '.join([inner, *arguments])})"]

    def _define_function(self, name: str, value: FunctionType, source: ast.FunctionDef) -> None:
        written = inspect.unwrap(value)  # without its decorators, which the source applies again
        used = _names_of(written.__code__) | _names_around(source)
        for other in sorted(used & written.__globals__.keys()):
            if not hasattr(builtins, other) and written.__globals__[other] is not value:
                self.define(other, written.__globals__[other])
        closed = dict(zip(written.__code__.co_freevars, written.__closure__ or (), strict=True))
        for other, cell in closed.items():
            if cell.cell_contents is not value:
                self.define(other, cell.cell_contents)
        if source.name != name and (source.name in self._known or source.name in self._taken):
            self._give_up(f"two different things have the name {source.name}")
        self._lines.append(ast.unparse(source))
        if name != source.name:
            self._lines.append(f"{name} = {source.name}")


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


def _defined(recipe: str) -> set[str]:
    """Names of the functions in a text."""
    return {node.name for node in ast.parse(recipe).body if isinstance(node, ast.FunctionDef)}


# What the text below defines.
_NAMES = [
    "BOUND",
    "DEVICE",
    "EXACT",
    "FORMAT",
    "HANGS",
    "INDEX",
    "KINDS",
    "MODE",
    "NAN",
    "REPEATED",
    "STEPS",
    "SECONDS",
    "SHAPE",
    "TENSORS",
    "WIDTHS",
    "call",
    "computed",
    "error",
    "first",
    "limit",
    "nan_like",
    "other_work",
    "read",
    "second",
    "size",
    "ulp_of",
    "value_of",
    "wrong",
]

_OTHER_WORK = '''STEPS = {steps!r}
NAN = {{"float64": np.nan, "float32": np.nan, "float16": np.nan, "bfloat16": 0x7FC0}}


def nan_like(stored, kind):
    """NaN in place of numbers; indices and masks as they are."""
    return np.full_like(stored, NAN[kind]) if kind in NAN else stored, kind


def other_work():
    """One call on NaN; what it gives or raises does not matter, only what it leaves behind."""
    given = {{name: globals()[name] for name in STEPS}}
    globals().update({{name: view(load(nan_like(*TENSORS[name])), steps) for name, steps in STEPS.items()}})
    try:
        bits(run(call))
    except Exception as error:
        print(f"the call on NaN raised {{type(error).__name__}}")
    globals().update(given)


'''

_TEMPLATE = '''"""{title}

Needs NumPy and the framework only. Exits with 1 while the result is wrong, with 0 when it is right.
"""

import faulthandler
import json
import math
import pathlib
import sys

import numpy as np

{recipe}

DEVICE, MODE, FORMAT = {device!r}, {mode!r}, {format!r}
WIDTHS = {{"float64": (64, 53, 1023), "float32": (32, 24, 127), "float16": (16, 11, 15), "bfloat16": (16, 8, 127)}}
KINDS = {{"F64": "float64", "F32": "float32", "F16": "float16", "BF16": "bfloat16", "I64": "int64", "BOOL": "bool"}}


def read(path):
    """Arrays of a safetensors file with the names of their formats; bfloat16 as its bits."""
    raw = path.read_bytes()
    start = 8 + int.from_bytes(raw[:8], "little")
    tensors = {{}}
    for name, entry in json.loads(raw[8:start]).items():
        if name != "__metadata__":
            kind = KINDS[entry["dtype"]]
            first, last = entry["data_offsets"]
            stored = np.frombuffer(raw[start + first : start + last], "uint16" if kind == "bfloat16" else kind)
            tensors[name] = stored.reshape(entry["shape"]), kind
    return tensors


def value_of(bits):
    """The float64 with the value of a bit pattern of FORMAT."""
    if FORMAT == "bfloat16":
        return float(np.array([int(bits) << 16], np.uint32).view(np.float32)[0])
    return float(np.array([bits]).view(FORMAT)[0])


def ulp_of(exact):
    """Spacing of FORMAT at a finite value."""
    _, precision, emax = WIDTHS[FORMAT]
    exponent = math.frexp(exact)[1] - 1 if exact else 1 - emax
    return math.ldexp(1.0, min(max(exponent, 1 - emax), emax) - precision + 1)


{functions}

TENSORS = read(pathlib.Path(__file__).with_name("inputs.safetensors"))
pi, inf, dtype = math.pi, math.inf, dtype_of(FORMAT)
{settings}
{inputs}


def call():
{call}


{other_work}SHAPE, INDEX, EXACT, BOUND, REPEATED = {shape!r}, {index!r}, {exact}, {bound}, {repeated!r}
HANGS, SECONDS = {hangs!r}, {seconds!r}
try:
    if HANGS:
        for _ in range(1000):  # a hang may be intermittent
            faulthandler.dump_traceback_later(SECONDS, exit=True)  # exits with 1 if this call does not return
            bits(run(call))
        faulthandler.cancel_dump_traceback_later()
        print("1000 calls returned")
        sys.exit(0)
    first = bits(run(call))
except Exception as error:  # whatever the framework raises is what is shown
    print(f"raised {{type(error).__name__}}: {{error}}")
    sys.exit(1)
if first.shape != SHAPE or first.dtype != np.dtype(f"uint{{WIDTHS[FORMAT][0]}}"):
    print(f"returned shape {{first.shape}} in {{first.dtype.itemsize * 8}} bits, right is {{SHAPE}} in {{FORMAT}}")
    sys.exit(1)
if REPEATED:
{between}    second = bits(run(call))
    print(f"{{np.count_nonzero(first != second)}} of {{first.size}} elements have other bits in a second call")
    sys.exit(int((first != second).any()))
if INDEX is None:
    print("the call returned what it should")
    sys.exit(0)
computed = value_of(first[INDEX])
print(f"computed {{computed!r}} (0x{{int(first[INDEX]):0{{WIDTHS[FORMAT][0] // 4}}x}})")
print(f"exact    {{EXACT!r}}")
if math.isfinite(computed) and math.isfinite(EXACT):
    error = abs(computed - EXACT)
    size, limit = error / ulp_of(EXACT), BOUND / ulp_of(EXACT)
    print(f"error    {{size:.6g}} ulp of {{FORMAT}}; honest arithmetic stays below {{limit:.6g}}")
    wrong = error > BOUND or (EXACT == computed == 0 and math.copysign(1, EXACT) != math.copysign(1, computed))
else:
    wrong = computed != EXACT and not (math.isnan(computed) and math.isnan(EXACT))
sys.exit(int(wrong))
'''
