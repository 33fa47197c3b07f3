"""The draft of a spec from one call: which names are arrays, which numbers, and what shapes fit, found by trying."""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from opfuzz.backends import Backend
from opfuzz.core.case import Value
from opfuzz.core.errors import OpfuzzError, did_you_mean
from opfuzz.core.floats import FORMATS, NAMED_FORMATS, round_to
from opfuzz.oracle import balls, graph
from opfuzz.oracle.meaning import FAILURES, graphs_of
from opfuzz.oracle.operations import REFERENCE_FUNCTIONS
from opfuzz.spec.expression.program import ExpressionError, Program, evaluate, parse
from opfuzz.spec.reader import RESERVED

Array = NDArray[Any]
Axes = tuple[str, ...]

TRIED = ("float32", "float16", "bfloat16")
# Two settings, so that what fits both is no coincidence.
SIZES: tuple[Mapping[str, int], ...] = ({"batch": 3, "n": 5, "m": 7, "k": 2}, {"batch": 2, "n": 9, "m": 4, "k": 3})
# Axes of the first input, of the second, and of all others.
FAMILIES: tuple[tuple[Axes, Axes, Axes], ...] = (
    (("batch", "n"), ("batch", "n"), ("batch", "n")),
    (("batch", "n"), ("n",), ("n",)),
    (("batch", "n"), ("n", "m"), ("m",)),
    (("batch", "n"), ("m", "n"), ("m",)),
    (("batch", "m", "n"), ("batch", "m", "n"), ("batch", "m", "n")),
    (("batch", "m", "n"), ("m",), ("m",)),
    (("batch", "m", "n"), ("m", "m", "k"), ("m",)),
    (("n", "n"), ("n", "n"), ("n",)),
    (("n",), ("n",), ("n",)),
)
SIZES_OF_AXES = (
    "batch", "n", "m", "k", "1", "n - k + 1", "n // 2 + 1", "n // 2", "2 * n", "batch * n", "m * n", "batch * m * n",
    "n + 1", "n - 1", "2 * m", "m + n", "n // k", "2", "3",
)  # fmt: skip
NUMBERS: tuple[Value, ...] = (1.0, 1, 2, -1, 0, 0.5)
USUAL: Mapping[str, Value] = {"dim": -1, "axis": -1, "eps": 1e-5}  # of a parameter without a default
MOST_NAMES = 6  # of a call whose names are tried as numbers, one after another


@dataclass(frozen=True, slots=True)
class Draft:
    """What trying a call says of it. Axes are expressions of the dims `batch`, `n`, `m` and `k`."""

    dialect: str
    call: str
    inputs: Mapping[str, Axes]
    params: Mapping[str, Value]
    outputs: tuple[Axes, ...]
    is_tuple: bool
    formats: tuple[str, ...]
    is_batched: bool  # whether the first slice is what the call makes of it alone
    reference: str | None  # a formula that gives the same on the arrays that were tried

    @property
    def function(self) -> str:
        """The function that it calls last, as it is written."""
        calls = [node for node in ast.walk(ast.parse(self.call.strip())) if isinstance(node, ast.Call)]
        written = [ast.unparse(node.func) for node in calls]
        return next((each for each in written if re.fullmatch(r"[\w.]+", each)), written[0])

    @property
    def name(self) -> str:
        """A name of an op: that of the function, without its module."""
        word = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", self.function.rpartition(".")[2]).lower()
        return re.sub(r"^[^a-z]+", "", word) or "op"

    @property
    def dims(self) -> tuple[str, ...]:
        """Those that it uses."""
        axes = [*self.inputs.values(), *self.outputs]
        words = {*re.findall(r"\w+", " ".join([*(axis for each in axes for axis in each), self.call]))}
        return tuple(name for name in SIZES[0] if name in words)


def draft_of(text: str, backends: Mapping[str, Backend]) -> Draft:
    """The draft of a call such as `torch.nn.functional.elu(x, alpha)`.

    Raises OpfuzzError if it calls what nobody publishes, fails on all that was tried, or returns no floats.
    """
    backend = _backend_of(text, backends)
    try:
        program = parse(text, names={*_words(text, backend), *RESERVED, *SIZES[0]}, functions=backend.functions())
    except ExpressionError as error:
        raise OpfuzzError("\n".join(f"--from-call: {problem.message}" for problem in error.problems)) from None
    names = _names_of(text, program)
    if not names:
        raise OpfuzzError(f"--from-call {text}: it takes no array; name those that it takes, as in torch.exp(x)")
    hints = _hints(text, names, backend)
    said = ""
    for params in _assignments(names, hints):
        inputs = [name for name in names if name not in params]
        for family in FAMILIES:
            axes = {name: family[min(place, 2)] for place, name in enumerate(inputs)}
            trial = _Trial(backend, program, axes, params)
            try:
                return _draft(text, trial)
            except _UnfitError as error:
                said = said or str(error)
    raise OpfuzzError(
        f"--from-call {text}: fails with arrays of every shape that was tried; first: {said}; "
        "write its spec with `opfuzz new op NAME`"
    )


class _UnfitError(Exception):
    """These shapes and numbers are none for this call."""


@dataclass(frozen=True, slots=True)
class _Trial:
    """A call with its names shared out: arrays with these axes, and numbers."""

    backend: Backend
    program: Program
    axes: Mapping[str, Axes]
    params: Mapping[str, Value]

    def arrays(self, sizes: Mapping[str, int], format: str) -> dict[str, Array]:
        """Values between 1/4 and 1, where nearly every function is defined."""
        draws = np.random.default_rng(0)
        shapes = {name: tuple(sizes[axis] for axis in axes) for name, axes in self.axes.items()}
        return {name: round_to(draws.uniform(0.25, 1, shape), FORMATS[format]) for name, shape in shapes.items()}

    def outputs(self, sizes: Mapping[str, int], arrays: Mapping[str, Array], format: str) -> tuple[list[Array], bool]:
        """What the call returns, and whether as a tuple. Raises _UnfitError with the words of what it raised."""
        backend = self.backend
        formats = {name: backend.dtype(name) for name in NAMED_FORMATS if name in self.program.names}
        names = {**sizes, **self.params, **backend.constants(format), **formats}
        try:
            tensors = {name: backend.put(array, "contiguous", "cpu") for name, array in arrays.items()}
            made = backend.run(self.program, tensors, names, "cpu", "")
            is_tuple = isinstance(made, tuple | list)
            return [backend.get(each) for each in (made if is_tuple else (made,))], is_tuple
        except Exception as error:  # whatever a framework raises for arrays that do not fit
            first = next((line.strip() for line in str(error).splitlines() if line.strip()), "")
            raise _UnfitError(f"{type(error).__name__}: {first}") from None


def _draft(text: str, trial: _Trial) -> Draft:
    made = [trial.outputs(sizes, trial.arrays(sizes, "float32"), "float32") for sizes in SIZES]
    (first, is_tuple), (second, _) = made
    for output in first:
        if output.dtype.name != "float32":
            raise OpfuzzError(
                f"--from-call {text}: returns {output.dtype.name}, and an op returns the format under test; "
                f"{_remedy(trial.backend.dialect, output)}"
            )
    outputs = tuple(_axes_of(a, b) for a, b in zip(first, second, strict=True))
    axes = trial.axes
    return Draft(
        trial.backend.dialect,
        text,
        axes,
        trial.params,
        outputs,
        is_tuple,
        tuple(format for format in TRIED if _is_supported(trial, format)),
        _is_batched(trial, outputs, first),
        None if is_tuple else _reference(text, trial, first[0]),
    )


def _axes_of(first: Array, second: Array) -> Axes:
    axes = []
    for one, other in zip(first.shape, second.shape, strict=True) if first.ndim == second.ndim else ():
        fitting = (text for text in SIZES_OF_AXES if [_size(text, sizes) for sizes in SIZES] == [one, other])
        found = next(fitting, None)
        if found is None:
            raise _UnfitError(f"an output axis of {one} elements, which is none of the sizes of its inputs")
        axes.append(found)
    if first.ndim != second.ndim:
        raise _UnfitError("a number of axes that depends on the sizes")
    return tuple(axes)


def _size(text: str, sizes: Mapping[str, int]) -> object:
    return evaluate(parse(text, names=sizes, functions={}), sizes, {})


def _is_supported(trial: _Trial, format: str) -> bool:
    if not trial.backend.supports(format, "cpu"):
        return False
    try:
        outputs, _ = trial.outputs(SIZES[0], trial.arrays(SIZES[0], format), format)
    except _UnfitError:
        return False
    return all(output.dtype.name == format for output in outputs)


def _is_batched(trial: _Trial, outputs: Sequence[Axes], whole: Sequence[Array]) -> bool:
    """Whether slices along `batch` are independent as far as one of them tells."""
    if "batch" in trial.program.names or not any("batch" in axes for axes in outputs):
        return False
    if not all(axes[:1] == ("batch",) for axes in outputs) or any("batch" in axes[1:] for axes in trial.axes.values()):
        return False
    arrays = trial.arrays(SIZES[0], "float32")
    cut = {name: array[:1] if trial.axes[name][:1] == ("batch",) else array for name, array in arrays.items()}
    try:
        alone, _ = trial.outputs({**SIZES[0], "batch": 1}, cut, "float32")
    except _UnfitError:
        return False
    return all(np.allclose(a[:1], b, rtol=1e-4, equal_nan=True) for a, b in zip(whole, alone, strict=True))


def _reference(text: str, trial: _Trial, computed: Array) -> str | None:
    """The reference function of the same name, where it gives the same."""
    try:
        call = ast.parse(text.strip(), mode="eval").body
    except SyntaxError:
        return None
    if not isinstance(call, ast.Call):
        return None
    name = ast.unparse(call.func).rpartition(".")[2]
    words = {"dim": "axis", "keepdim": "keepdims"}
    keywords = [ast.keyword(words.get(each.arg or "", each.arg), each.value) for each in call.keywords]
    formula = ast.unparse(ast.Call(ast.Name(name), call.args, keywords))
    arrays = trial.arrays(SIZES[0], "float32")
    try:
        program = parse(formula, names={*SIZES[0], *trial.params, *arrays}, functions=REFERENCE_FUNCTIONS, bind=True)
        tensors = {each: graph.leaf(array.astype(np.float64), "input") for each, array in arrays.items()}
        (root,) = graphs_of(program, SIZES[0], trial.params, tensors)
        values = balls.evaluate(root, []).mid
    except (*FAILURES, OpfuzzError):
        return None
    return formula if values.shape == computed.shape and np.allclose(values, computed, rtol=1e-4) else None


def _remedy(dialect: str, output: Array) -> str:
    if output.dtype.kind == "c":
        parts = "torch.view_as_real(...)" if dialect == "torch" else "its parts, stacked along a last axis of 2"
        return f"give {parts}"
    return f"cast what it returns, as in {'(...).to(dtype)' if dialect == 'torch' else 'cast(..., dtype)'}"


def _words(text: str, backend: Backend) -> set[str]:
    """Names in a text that nothing published begins with; none where it is no Python, which its parser tells."""
    try:
        nodes = [*ast.walk(ast.parse(text.strip()))]
    except (SyntaxError, ValueError):
        return set()
    roots = {name.partition(".")[0] for name in backend.functions()}
    return {node.id for node in nodes if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)} - roots


def _backend_of(text: str, backends: Mapping[str, Backend]) -> Backend:
    """The first backend that publishes something under the names that the text begins calls with."""
    roots = dict.fromkeys(re.findall(r"(?<![\w.])([A-Za-z_]\w*)(?:\.\w+)*\s*\(", text))
    known: dict[str, Backend] = {}
    absent = []
    for backend in backends.values():
        if (reason := backend.absent()) is not None:
            absent.append(reason)
            continue
        for name in backend.functions():
            known.setdefault(name.partition(".")[0], backend)
    for root in roots:
        if root in known:
            return known[root]
    if not roots:
        raise OpfuzzError(f"--from-call {text}: calls nothing; write a call such as torch.nn.functional.elu(x, alpha)")
    dotted = sorted({n.partition(".")[0] for backend in known.values() for n in backend.functions() if "." in n[1:]})
    word = next(iter(roots))
    missing = "".join(f"; {reason}" for reason in absent)
    guess = did_you_mean(word, dotted) or f"; functions begin with {', '.join(dotted)}"
    raise OpfuzzError(f"--from-call {text}: nobody publishes '{word}'{guess}{missing}")


def _names_of(text: str, program: Program) -> list[str]:
    """Names that are neither sizes nor constants, as they come in the text."""
    free = program.names - {*RESERVED, *SIZES[0]}
    return [name for name in dict.fromkeys(re.findall(r"(?<![\w.])[A-Za-z_]\w*", text)) if name in free]


def _hints(text: str, names: Sequence[str], backend: Backend) -> dict[str, Value]:
    """Numbers for the names that stand where a function has one by default, or an axis."""
    hints: dict[str, Value] = {}
    for call in (node for node in ast.walk(ast.parse(text.strip())) if isinstance(node, ast.Call)):
        known = backend.parameters(ast.unparse(call.func))
        given = dict(zip(known, call.args, strict=False)) | {k.arg: k.value for k in call.keywords if k.arg}
        for word, value in given.items():
            if not isinstance(value, ast.Name) or value.id not in names:
                continue
            default = known.get(word, inspect.Parameter.empty)
            if type(default) in (int, float, bool):
                hints[value.id] = default  # type: ignore[assignment]
            elif word in USUAL:
                hints[value.id] = USUAL[word]
    return hints


def _assignments(names: Sequence[str], hints: Mapping[str, Value]) -> Iterator[dict[str, Value]]:
    """Which names are numbers: those that are by default; all, then one by one from the last on, other names too."""
    start = dict(hints)
    yield start
    others = [name for name in reversed(names[1:]) if name not in start]
    for count in range(1, len(others[:MOST_NAMES]) + 1):
        for number in NUMBERS:
            yield start | dict.fromkeys(islice(others, count), number)
    for name in others if len(others) > 1 else ():
        for number in NUMBERS:
            yield start | {name: number}
