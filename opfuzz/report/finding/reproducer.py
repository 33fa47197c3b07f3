"""The reproducer of a finding: a Python file that needs NumPy and the framework, and nothing of opfuzz."""

from __future__ import annotations

import ast
import re
import textwrap
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

from opfuzz.core.floats import NAMED_FORMATS
from opfuzz.core.layout import View
from opfuzz.core.results import Mark
from opfuzz.report.finding.source_text import SourceText, number_text
from opfuzz.spec.expression.program import Gradient

Call = Callable[..., Any]

HANG_SECONDS = 30.0  # how long a reproducer of a hang waits for one call


@dataclass(frozen=True, slots=True)
class ReproducedSubject:
    """What a reproducer must know of a backend. `recipe` is its text of imports, `load`, `view`, `bits` and `run`."""

    name: str
    recipe: str
    device: str
    mode: str
    functions: Mapping[str, Call]  # every function that the call uses, by the name it is written with
    replaced: frozenset[str] = frozenset()  # those that are not the framework's own
    gradient_recipe: str = ""  # text of `gradients`, and of another `run`
    plugin: str = ""  # path of the file that the backend came from; '': it came from none


@dataclass(frozen=True, slots=True)
class Written:
    """A call as a program writes it: its text, the format and shapes of its outputs, its numbers, its inputs as views.

    An output has its name, and '' where the call returns this one and no tuple.
    """

    text: str
    format: str
    shapes: Mapping[str, tuple[int, ...]]
    numbers: Mapping[str, object]
    views: Mapping[str, tuple[View, ...]]
    gradient: Gradient | None = None  # that is asked for in place of the values


@dataclass(frozen=True, slots=True)
class Manner:
    """How a call is made again: twice, many times as a hang may be intermittent, after a call on NaN; if it fails."""

    repeated: bool = False
    hangs: bool = False
    disturbed: bool = False
    fails: bool = False  # that it gives no result of the right kind is the fault
    raises: str = ""  # the class of the exception that it raises; '' where it raises none
    said: str = ""  # the first line of its message


def reproducer(title: str, subject: ReproducedSubject, call: Written, mark: Mark | None, manner: Manner) -> str:
    """Text of `repro.py`. It reads `inputs.safetensors` beside it, where an input of another layout lies as its buffer.

    It exits with 1 while the element at `mark` (or, without one, the call itself) is wrong, with 0 when right, and with
    2 where it cannot tell. One that hangs exits with 1 when one of its calls does not return.
    """
    text, names = renamed(call.text, subject)
    numbers, views, body = call.numbers, call.views, body_of(text)
    recipe = recipe_of(subject, call.gradient)
    source = SourceText({*_NAMES, *_defined(recipe), *defined(call.gradient), *numbers, *views})
    define_own(source, subject, names)
    settings = [f"{name} = {value!r}" for name, value in numbers.items()]
    words = {node.id for node in ast.walk(ast.parse(body)) if isinstance(node, ast.Name)}
    settings += [f"{name} = dtype_of({name!r})" for name in NAMED_FORMATS if name in words]
    inputs = [f"{name} = view(load(TENSORS[{name!r}]), {steps!r})" for name, steps in _steps(views).items()]
    taken = {*numbers, *views}
    return spare(_TEMPLATE, taken).format(
        title=_inert(title),
        recipe=spare(recipe, taken),
        functions=source.text(),
        device=subject.device,
        mode=subject.mode,
        format=call.format,
        settings="\n".join(settings) or "# no sizes and no parameters",
        inputs=spare("\n".join(inputs), taken) or "# no inputs",
        call="\n".join(definition(body, call.gradient)),
        shapes=dict(call.shapes),
        output=None if mark is None else mark.output,
        index=None if mark is None else mark.index,
        exact="None" if mark is None else number_text(mark.exact),
        ends=None if mark is None else mark.ends,
        bound="None" if mark is None else number_text(mark.bound),
        repeated=manner.repeated,
        other_work=spare(_OTHER_WORK, taken).format(steps=_steps(views)) if manner.disturbed else "",
        between="    other_work()\n" if manner.disturbed else "",
        hangs=manner.hangs,
        fails=manner.fails,
        raises=manner.raises,
        said=manner.said,
        seconds=HANG_SECONDS,
    )


def recipe_of(subject: ReproducedSubject, gradient: Gradient | None) -> str:
    """The text of the backend; with what gradients take in place of what they do not."""
    if gradient is None:
        return subject.recipe.strip()
    own = _defined(subject.gradient_recipe)
    return f"{without(subject.recipe, own).strip()}\n\n\n{subject.gradient_recipe.strip()}"


def definition(body: str, gradient: Gradient | None) -> list[str]:
    """Lines that define `call`, of the body of a function: of that, or of its gradients."""
    lines = textwrap.indent(body, "    ").split("\n")
    if gradient is None:
        return ["def call():", *lines]
    given, cotangents = (f"({', '.join(names)},)" for names in (gradient.inputs, gradient.cotangents))
    return [
        f"def forward({', '.join(gradient.inputs)}):",
        *lines,
        "",
        "",
        "def call():",
        f"    return gradients(forward, {given}, {cotangents})",
    ]


def defined(gradient: Gradient | None) -> frozenset[str]:
    """Names of functions that a call, or the gradients of one, are made of."""
    return frozenset({"call"}) if gradient is None else frozenset({"call", "forward", "gradients"})


def without(recipe: str, names: Collection[str]) -> str:
    """The text of a recipe without some of its functions."""
    kept = [node for node in ast.parse(recipe).body if getattr(node, "name", None) not in names]
    parts = [str(ast.get_source_segment(recipe, node)) for node in kept]
    gaps = ["\n\n\n" if isinstance(node, ast.FunctionDef) else "\n" for node in kept]
    return "".join(gap + part for gap, part in zip(gaps, parts, strict=True)).strip("\n") + "\n\n"


def renamed(call: str, subject: ReproducedSubject) -> tuple[str, dict[str, str]]:
    """The call with names of its own for functions that are not the framework's, and these by the name as written."""
    names, modules = {}, _imported(subject.recipe)
    for name in subject.functions:
        is_method = name.startswith(".")
        if not is_method and (name.partition(".")[0] not in modules or name in subject.replaced):
            names[name] = "replaced_" + re.sub(r"\W", "_", name) if "." in name else name
            call = re.sub(rf"(?<![\w.]){re.escape(name)}(?=\s*\()", names[name], call)
    return call, names


def define_own(source: SourceText, subject: ReproducedSubject, names: Mapping[str, str]) -> None:
    """Write down functions that are not the framework's, by their names in the call and in the text.

    One of which there is no source is taken from the plugin, which the text then loads.
    """
    for name, own in names.items():
        if not source.define(own, subject.functions[name]) and subject.plugin:
            source.load(own, subject.plugin, subject.name, name)


def spare(text: str, taken: Collection[str]) -> str:
    """Text with other names for the functions of a recipe where a size, a parameter or an input has theirs."""
    for name in RECIPE_FUNCTIONS & set(taken):
        text = re.sub(rf"(?<![\w.]){name}(?=\()|(?<=map\(){name}\b", f"{name}_", text)
    return text


def _steps(views: Mapping[str, tuple[View, ...]]) -> dict[str, list[tuple[str, tuple[Any, ...]]]]:
    return {name: [(view.op, view.args) for view in steps] for name, steps in views.items()}


def body_of(call: str) -> str:
    """The block of a call as the body of a function: its last expression is returned."""
    lines = call.strip("\n").split("\n")
    last = ast.parse(call.strip("\n")).body[-1]
    first = last.lineno - 1
    return "\n".join([*lines[:first], "return (", *("    " + line for line in lines[first:]), ")"])


def _inert(text: str) -> str:
    """Text that may stand in a docstring, whatever a framework put into its messages."""
    return "".join(c if c.isprintable() or c == "\n" else " " for c in text).replace("\\", "/").replace('"""', "'''")


def _imported(recipe: str) -> set[str]:
    """Names under which a text has modules, and NumPy's, which every reproducer has."""
    nodes = [node for node in ast.walk(ast.parse(recipe)) if isinstance(node, ast.Import | ast.ImportFrom)]
    return {"np", *((alias.asname or alias.name).partition(".")[0] for node in nodes for alias in node.names)}


def _defined(recipe: str) -> set[str]:
    """Names of the functions in a text."""
    return {node.name for node in ast.parse(recipe).body if isinstance(node, ast.FunctionDef)}


RECIPE_FUNCTIONS = frozenset({"load", "view", "run", "bits", "dtype_of", "gradients"})  # that every recipe defines
# What the text below defines.
_NAMES = [
    "BOUND",
    "DEVICE",
    "ENDS",
    "EXACT",
    "FORMAT",
    "HANGS",
    "INDEX",
    "KINDS",
    "MODE",
    "NAN",
    "OUTPUT",
    "FAILS",
    "OWN",
    "RAISES",
    "SAID",
    "REPEATED",
    "STEPS",
    "SECONDS",
    "SHAPES",
    "TENSORS",
    "WIDTHS",
    "array",
    "call",
    "computed",
    "differing",
    "error",
    "first",
    "found",
    "is_same",
    "is_zero",
    "limit",
    "name",
    "nan_like",
    "nearest",
    "other_work",
    "outputs_of",
    "read",
    "second",
    "size",
    "ulp_of",
    "unit",
    "unable",
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
        outputs_of(run(call))
    except Exception as error:
        print(f"the call on NaN raised {{type(error).__name__}}")
    globals().update(given)


'''

_TEMPLATE = '''"""{title}

Needs NumPy and the framework only. Exits with 1 while the result is wrong, with 0 when it is right, and with 2 if
something else fails, such as this file or the framework's import, which says nothing of the result.
"""

import faulthandler
import json
import math
import os
import pathlib
import sys


def unable(kind, error, trace):
    """What is no part of the fault went wrong."""
    print(f"cannot tell: {{kind.__name__}}: {{error}}", flush=True)
    os._exit(2)


sys.excepthook = unable

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


{call}


SHAPES, OUTPUT, INDEX = {shapes!r}, {output!r}, {index!r}


def outputs_of(result):
    """The bits of each output by its name; one without a name is no part of a tuple."""
    if "" in SHAPES:
        return {{"": bits(result)}}
    if not isinstance(result, (tuple, list)) or len(result) != len(SHAPES):
        raise TypeError(f"returned no tuple of {{len(SHAPES)}}: {{', '.join(SHAPES)}}")
    return dict(zip(SHAPES, map(bits, result)))


{other_work}EXACT, BOUND, REPEATED = {exact}, {bound}, {repeated!r}
ENDS = {ends!r}  # where all of a range is right
HANGS, SECONDS = {hangs!r}, {seconds!r}
FAILS, RAISES = {fails!r}, {raises!r}  # whether an exception is the fault, and of which class it was
SAID = {said!r}
OWN = NameError, AttributeError, ImportError, SyntaxError  # of this file, or of a framework of another version, as well
try:
    if HANGS:
        for _ in range(1000):  # a hang may be intermittent
            faulthandler.dump_traceback_later(SECONDS, exit=True)  # exits with 1 if this call does not return
            outputs_of(run(call))
        faulthandler.cancel_dump_traceback_later()
        print("1000 calls returned")
        sys.exit(0)
    first = outputs_of(run(call))
except Exception as error:
    is_same = RAISES in [kind.__name__ for kind in type(error).__mro__]
    if not FAILS or not is_same or (isinstance(error, OWN) and SAID not in str(error)):
        raise  # another failure than the one that is shown
    print(f"raised {{type(error).__name__}}: {{error}}")
    sys.exit(1)
for name, array in first.items():
    if array.shape != SHAPES[name] or array.dtype != np.dtype(f"uint{{WIDTHS[FORMAT][0]}}"):
        found = f"{{name + ' of ' if name else ''}}shape {{array.shape}} in {{array.dtype.itemsize * 8}} bits"
        print(f"returned {{found}}, right is {{SHAPES[name]}} in {{FORMAT}}")
        sys.exit(1)
if REPEATED:
{between}    second = outputs_of(run(call))
    differing = sum(np.count_nonzero(array != second[name]) for name, array in first.items())
    print(f"{{differing}} of {{sum(array.size for array in first.values())}} elements have other bits in a second call")
    sys.exit(int(differing > 0))
if INDEX is None:
    print("the call returned what it should")
    sys.exit(0)
found = first[OUTPUT][INDEX]
computed = value_of(found)
if OUTPUT:
    print(f"output   {{OUTPUT}} at {{list(INDEX)}}")
print(f"computed {{computed!r}} (0x{{int(found):0{{WIDTHS[FORMAT][0] // 4}}x}})")
print(f"exact    {{EXACT!r}}" if ENDS is None else f"exact    {{ENDS[0]!r}} to {{ENDS[1]!r}}")
if math.isfinite(computed) and math.isfinite(EXACT):
    nearest = EXACT if ENDS is None else min(max(computed, ENDS[0]), ENDS[1])
    error, unit = abs(computed - nearest), ulp_of(EXACT if ENDS is None else sum(ENDS) / 2)
    size, limit = error / unit, BOUND / unit
    print(f"error    {{size:.6g}} ulp of {{FORMAT}}; honest arithmetic stays below {{limit:.6g}}")
    is_zero = ENDS is None and EXACT == computed == 0  # then its sign counts
    wrong = error > BOUND or (is_zero and math.copysign(1, EXACT) != math.copysign(1, computed))
else:
    wrong = computed != EXACT and not (math.isnan(computed) and math.isnan(EXACT))
sys.exit(int(wrong))
'''
