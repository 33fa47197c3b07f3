"""A few lines of Python that show one finding: the inputs are written out, so they need no file beside them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from opfuzz.core.floats import FORMATS, NAMED_FORMATS, to_bits
from opfuzz.core.layout import View
from opfuzz.core.results import Mark
from opfuzz.report.causes.figures import right
from opfuzz.report.finding.reproducer import (
    ReproducedSubject,
    Written,
    body_of,
    define_own,
    defined,
    definition,
    recipe_of,
    renamed,
    spare,
    without,
)
from opfuzz.report.finding.source_text import SourceText, number_text
from opfuzz.spec.expression.program import Program

Array = NDArray[Any]

ELEMENTS = 64  # of all inputs that are no constant: more is not read by a person


def snippet(
    subject: ReproducedSubject,
    program: Program,
    call: Written,
    buffers: Mapping[str, Array],
    mark: Mark | None,
    repeated: bool,
) -> str | None:
    """The code, which prints what is computed at `mark` and what is exact; None if the inputs are too many to write.

    `call` is that of `program`, `buffers` are its inputs as they lie in memory. It needs NumPy and the framework only.
    """
    numbers, views = call.numbers, call.views
    if sum(array.size for array in buffers.values() if not _is_constant(array)) > ELEMENTS:
        return None
    text, names = renamed(program.text, subject)
    taken = {"np", "load", "view", "run", "bits", "dtype_of", *defined(program.gradient), *numbers, *buffers}
    source = SourceText(taken)
    define_own(source, subject, names)
    kinds = {"dtype", *NAMED_FORMATS} & program.names
    unused = {name for name, used in (("dtype_of", kinds), ("view", any(views.values()))) if not used}
    words = {"DEVICE": subject.device, "MODE": subject.mode}
    settings: dict[str, object] = {name: value for name, value in words.items() if name in subject.recipe}
    settings |= {name: value for name, value in numbers.items() if name in program.names}
    given = {*settings, *buffers}
    lines = [
        "import numpy as np",
        spare(without(recipe_of(subject, program.gradient), unused), given),
        *(f"{name} = {value!r}" for name, value in settings.items()),
        *(f"{name} = {text}" for name, text in _constants(call.format).items() if name in program.names),
        *([source.text()] if names else []),
        *(spare(f"{name} = {_input(array, views[name])}", given) for name, array in buffers.items()),
        "\n",
        *definition(body_of(text), program.gradient),
        "\n",
        *(spare(line, given) for line in _shown(call, mark, repeated)),
    ]
    return "\n".join(lines) + "\n"


def _constants(format: str) -> dict[str, str]:
    kinds = {"dtype": format} | {name: name for name in NAMED_FORMATS}
    return {"pi": repr(math.pi), "inf": "float('inf')"} | {own: f"dtype_of({kind!r})" for own, kind in kinds.items()}


def _shown(call: Written, mark: Mark | None, repeated: bool) -> list[str]:
    outputs = list(call.shapes)
    output = mark.output if mark is not None else outputs[0]
    taken = f"bits(run(call){f'[{outputs.index(output)}]' if output else ''})"  # of a tuple, the one that it is in
    named = f" of {output}" if output else ""
    if repeated:
        return [f"print(np.count_nonzero({taken} != {taken}), 'elements{named} differ in a second call')"]
    values = f"({taken}.astype('uint32') << 16).view('float32')"
    lines = [f"got = {values if call.format == 'bfloat16' else f'{taken}.view({call.format!r})'}"]
    if mark is None:
        return [*lines, "print(got.dtype, got.shape)"]
    exact = number_text(mark.exact) if mark.ends is None else repr(right(mark.exact, mark.ends))
    return [*lines, f"print('computed', float(got[{mark.index!r}]))", f"print('exact   ', {exact})"]


def _input(array: Array, views: tuple[View, ...]) -> str:
    kind = array.dtype.name
    loaded = f"load(({_literal(array)}, {kind!r}))"
    return f"view({loaded}, {[(view.op, view.args) for view in views]!r})" if views else loaded


def _literal(array: Array) -> str:
    """NumPy code for an array of the same bits; bfloat16 as its bits, which is how recipes take it."""
    kind = array.dtype.name
    is_float = kind in FORMATS
    through = "float32" if kind == "bfloat16" else kind
    if is_float and not _is_kept(array, through):
        width = FORMATS[kind].bits
        digits = [f"0x{int(value):0{width // 4}x}" for value in to_bits(array).ravel()]
        made = f"np.array([{', '.join(digits)}], 'uint{width}')"
        return f"{made if kind == 'bfloat16' else made + f'.view({kind!r})'}{_shaped(array.shape)}"
    values = [_item(value, is_float) for value in array.ravel()[: 1 if _is_constant(array) else None]]
    if _is_constant(array) and array.size > 1:
        made = f"np.full({array.shape}, {values[0]}, {through!r})"
    else:
        made = f"np.array([{', '.join(values)}], {through!r}){_shaped(array.shape)}"
    return f"({made}.view('uint32') >> 16).astype('uint16')" if kind == "bfloat16" else made


def _is_kept(array: Array, through: str) -> bool:
    """Whether a number's usual text reads back to the same bits: a NaN has others than the usual ones."""
    values = np.array([float(value) for value in array.ravel()[: 1 if _is_constant(array) else None]], np.float64)
    again = np.where(np.isnan(values), np.nan, values).astype(through).astype(array.dtype)
    return again.tobytes() == np.ascontiguousarray(array.ravel()[: again.size]).tobytes()


def _is_constant(array: Array) -> bool:
    """Whether all elements have the same bits."""
    if array.size < 2:
        return array.size == 1
    whole = np.ascontiguousarray(array).ravel().view(np.uint8).reshape(array.size, array.itemsize)
    return bool((whole == whole[0]).all())


def _item(value: Any, is_float: bool) -> str:
    return number_text(float(value)) if is_float else repr(value.item())


def _shaped(shape: tuple[int, ...]) -> str:
    return "" if len(shape) == 1 else f".reshape({shape})"
