"""One call of one subject: whatever happens becomes an Outcome."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from opfuzz.backends.base import Array, Backend, Tensor
from opfuzz.backends.subject import Subject
from opfuzz.core.call import Call
from opfuzz.core.cause import Cause, words_of
from opfuzz.core.floats import FORMATS, NAMED_FORMATS, SMALL_FORMATS
from opfuzz.core.results import Outcome
from opfuzz.spec.expression.program import Program

Shape = tuple[int, ...]

# A kernel there is, but not for inputs without elements, which the spec has: it went wrong.
EMPTY = re.compile(
    r"\bempty\b|\b(zero|0)[- ](sized?|elements?|length)\b|\bno elements\b|\bsize (0|zero)\b", re.IGNORECASE
)
OUT_OF_MEMORY = re.compile(
    r"out of memory|can't allocate|not enough memory|unable to allocate|attempting to allocate|bad_alloc", re.IGNORECASE
)


def perform(
    backend: Backend,
    subject: Subject,
    program: Program,
    call: Call,
    shapes: Mapping[str, Shape],
    *,
    repeat: bool = False,
) -> Outcome:
    """What the subject makes of a call, each input in its layout ('contiguous' if none is given).

    `shapes` are what the spec says of its outputs, in their order; their dtype is the format. The program gives a tuple
    of them, or the one array whose name is ''.
    With `repeat` the call is made twice, each on tensors of its own, and `Outcome.repeated` says if the bits agree.
    """
    text, prepared = str(subject), _prepared(backend, subject, program, call)
    if prepared.refusal is not None:
        return Outcome(text, "unsupported", cause=prepared.refusal)
    gradient, names = program.gradient, {**call.dims, **call.params, **prepared.names}
    backend.count()

    def once() -> tuple[Array, ...]:
        tensors = _tensors(backend, subject, call)
        if gradient is None:
            result = backend.run(program, tensors, names, subject.device, subject.mode)
        else:
            result = backend.differentiate(program, gradient, tensors, names, subject.device, subject.mode)
        items = _items(result, shapes)
        return tuple([_taken(backend, item, name) for name, item in zip(shapes, items, strict=True)])

    try:
        outputs = once()
        again = once() if repeat else None
    except _UnlikeSpecError as error:
        return Outcome(text, "crash", cause=error.cause)
    except Exception as error:  # any failure of the subject is what is being looked for
        return Outcome(text, _status(error, backend.refusals), cause=_cause(error))
    required = FORMATS[call.format].dtype
    for (name, shape), output in zip(shapes.items(), outputs, strict=True):
        if (cause := unlike_spec(name, (output.dtype, output.shape), (required, shape))) is not None:
            return Outcome(text, "crash", cause=cause)
    return Outcome(text, "ok", outputs, repeated=None if again is None else same_outputs(outputs, again))


def exported_graph(
    backend: Backend, subject: Subject, program: Program, call: Call, shapes: Mapping[str, Shape]
) -> tuple[tuple[str, ...], Outcome | None]:
    """Operations of the graph that another program makes of a call that `perform` makes, and what that graph gives by
    an evaluator that shares no kernel with the subject; None where there is no such, or it fails.

    Raises what the call raises.
    """
    names = {**call.dims, **call.params, **_names(backend, program, call.format)}
    tensors = _tensors(backend, subject, call)
    graph = backend.graph(program, tensors, names, subject.device, subject.mode)
    if graph.referred is None:
        return graph.nodes, None
    outputs = tuple(backend.get(item) for item in _items(graph.referred, shapes))
    is_alike = [each.shape for each in outputs] == [*shapes.values()]
    return graph.nodes, Outcome(str(subject), "ok", outputs) if is_alike else None


@dataclass(frozen=True, slots=True)
class Prepared:
    """What a program comes to on a device, whatever the sizes and values."""

    refusal: Cause | None  # why it cannot be run at all
    names: Mapping[str, object]  # constants and formats that it may use


def _prepared(backend: Backend, subject: Subject, program: Program, call: Call) -> Prepared:
    """Found once for each program, format, and formats of the inputs, and kept by the backend."""
    kinds = tuple([_name(array.dtype) for array in call.arrays.values()])
    key = (program, subject.backend, subject.device, call.format, kinds)
    if key not in backend.prepared:
        refusal = _refusal(backend, subject, program, (call.format, *kinds))
        names = _names(backend, program, call.format) if refusal is None else {}
        backend.prepared[key] = Prepared(refusal, names)
    found: Prepared = backend.prepared[key]
    return found


def _refusal(backend: Backend, subject: Subject, program: Program, formats: Sequence[str]) -> Cause | None:
    """What a backend lacks for a program on numbers of these formats; the first is the one under test."""
    where = f"{subject.backend}:{subject.device}"
    if not backend.supports(formats[0], subject.device):
        return unsupported(f"{where} has no {formats[0]}")
    for name in sorted(program.functions):
        if name not in backend.functions():
            return unsupported(f"{subject.backend} publishes no {name}")
    for kind in (*[each for each in formats if each in FORMATS], *sorted(program.names & SMALL_FORMATS.keys())):
        if not backend.supports(kind, subject.device):
            return unsupported(f"{where} has no {kind}")
    if program.gradient is not None and not backend.has_gradients:
        return unsupported(f"{subject.backend} has no gradients")
    return None


def _names(backend: Backend, program: Program, format: str) -> dict[str, object]:
    """Constants and formats that a call may use, beside its sizes and parameters."""
    formats = {name: backend.dtype(name) for name in NAMED_FORMATS if name in program.names}
    return {**backend.constants(format), **formats}


def _tensors(backend: Backend, subject: Subject, call: Call) -> dict[str, Tensor]:
    return {
        name: backend.put(array, call.layouts.get(name, "contiguous"), subject.device)
        for name, array in call.arrays.items()
    }


@lru_cache(maxsize=64)  # NumPy makes it anew each time
def _name(dtype: np.dtype[Any]) -> str:
    return dtype.name


class _UnlikeSpecError(Exception):
    """Something else was returned than arrays in the number that the spec says."""

    def __init__(self, cause: Cause) -> None:
        super().__init__(cause)
        self.cause = cause


def _items(result: Tensor, shapes: Mapping[str, Shape]) -> Sequence[Tensor]:
    """What a program gave, one item an output."""
    if "" in shapes:
        return (result,)
    wanted = f"a tuple of {len(shapes)}: {', '.join(shapes)}"
    if not isinstance(result, tuple | list):
        words = f"returned {type(result).__name__}, the spec says {wanted}"
        raise _UnlikeSpecError(wrong_shape("type", words, next(iter(shapes))))
    if len(result) != len(shapes):
        # The first that is missing; what is too much has no name.
        missing = [*shapes, ""][min(len(result), len(shapes))]
        words = f"returned {len(result)} output{'s' * (len(result) != 1)}, the spec says {wanted}"
        raise _UnlikeSpecError(wrong_shape("count", words, missing))
    return result


def _taken(backend: Backend, item: Tensor, output: str) -> Array:
    try:
        return backend.get(item)
    except TypeError as error:
        raise _UnlikeSpecError(wrong_shape("type", f"{_first_line(error)}{_as(output)}", output)) from None


def unlike_spec(output: str, given: tuple[object, Shape], wanted: tuple[object, Shape]) -> Cause | None:
    """What is wrong with the dtype and the shape that an output has; None where they are those of the spec."""
    if given[0] != wanted[0]:
        return wrong_shape("dtype", f"returned {given[0]}{_as(output)}, the spec says {wanted[0]}", output)
    if given[1] != wanted[1]:
        return wrong_shape("shape", f"returned shape {given[1]}{_as(output)}, the spec says {wanted[1]}", output)
    return None


def _as(output: str) -> str:
    return f" as output {output}" if output else ""


def same_outputs(a: Sequence[Array], b: Sequence[Array]) -> tuple[bool, ...]:
    """Of each output, whether shape, dtype and bits are equal."""
    return tuple(map(same_bits, a, b))


def same_bits(a: Array, b: Array) -> bool:
    """Whether shapes, dtypes and bits are equal; all NaN count as one."""
    if a.dtype != b.dtype or a.shape != b.shape:
        return False
    if a.tobytes() == b.tobytes():  # as nearly always
        return True
    integers = np.dtype(f"uint{8 * a.dtype.itemsize}")
    agree = np.ascontiguousarray(a).view(integers) == np.ascontiguousarray(b).view(integers)
    return bool(np.all(agree | (np.isnan(a) & np.isnan(b))))


def _status(error: Exception, refusals: re.Pattern[str]) -> str:
    words = _words(error)
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError" or OUT_OF_MEMORY.search(words):
        return "out-of-memory"
    is_refusal = isinstance(error, NotImplementedError) or refusals.search(words)
    if is_refusal and not EMPTY.search(words):
        return "unsupported"
    return "crash"


def _cause(error: Exception) -> Cause:
    first = _first_line(error)
    name = type(error).__name__
    return Cause("raises", name, figures={"words": f"raised {name}: {first}" if first else f"raised {name}"})


def _first_line(error: Exception) -> str:
    return words_of(next((line.strip() for line in _words(error).splitlines() if line.strip()), ""))


def _words(error: Exception) -> str:
    try:
        return str(error)
    except Exception:  # of an exception of somebody's own, whose words fail as well
        return ""


def unsupported(words: str) -> Cause:
    """That there is no such call, or no such format."""
    return Cause("unsupported", figures={"words": words})


def not_spoken(backend: Backend, implementation: str = "") -> Cause:
    """That a spec has no call, or none of this name, in any dialect of a backend."""
    missing = f"no call '{implementation}'" if implementation else "no call"
    return unsupported(f"the spec has {missing} for the dialect {' or '.join(backend.dialects)}")


def wrong_shape(what: str, words: str, output: str = "") -> Cause:
    """That something else was returned than the spec says: another `shape`, `dtype`, `type` or `count` of outputs."""
    return Cause("wrong-shape", what, figures={"words": words, **({"output": output} if output else {})})
