"""One call of one subject: whatever happens becomes an Outcome."""

from __future__ import annotations

import re

import numpy as np

from opfuzz.backends.base import Array, Backend
from opfuzz.backends.subject import Subject
from opfuzz.core.call import Call
from opfuzz.core.cause import Cause
from opfuzz.core.floats import FORMATS
from opfuzz.core.results import Outcome
from opfuzz.spec.expression.program import Program

# Words of torch, MLX and NumPy for "there is no kernel for this", as opposed to "this went wrong".
UNSUPPORTED = re.compile(
    r"not implemented|not supported|unsupported|isn't supported|does(n't| not) support|only supports?\b", re.IGNORECASE
)
OUT_OF_MEMORY = re.compile(
    r"out of memory|can't allocate|not enough memory|unable to allocate|attempting to allocate|bad_alloc", re.IGNORECASE
)


def perform(
    backend: Backend,
    subject: Subject,
    program: Program,
    call: Call,
    shape: tuple[int, ...],
    *,
    repeat: bool,
) -> Outcome:
    """What the subject makes of a call, whose inputs are contiguous where it says no layout.

    `shape` is what the spec says the output has, and its dtype is the format of the call.
    With `repeat` the call is made twice, each on tensors of its own, and `Outcome.repeated` says if the bits agree.
    """
    text = str(subject)
    if not backend.supports(call.format, subject.device):
        return Outcome(
            text, "unsupported", cause=unsupported(f"{subject.backend}:{subject.device} has no {call.format}")
        )
    names = {**call.dims, **call.params, **backend.constants(call.format)}

    def once() -> Array:
        tensors = {
            name: backend.put(array, call.layouts.get(name, "contiguous"), subject.device)
            for name, array in call.arrays.items()
        }
        return backend.get(backend.run(program, tensors, names, subject.device, subject.mode))

    try:
        output = once()
        again = once() if repeat else None
    except Exception as error:  # any failure of the subject is what is being looked for
        return Outcome(text, _status(error), cause=_cause(error))
    required = FORMATS[call.format].dtype
    if output.dtype != required:
        wrong = wrong_shape("dtype", f"returned {output.dtype}, the spec says {required}")
        return Outcome(text, "crash", cause=wrong)
    if output.shape != shape:
        return Outcome(
            text, "crash", cause=wrong_shape("shape", f"returned shape {output.shape}, the spec says {shape}")
        )
    return Outcome(text, "ok", output, repeated=None if again is None else same_bits(output, again))


def same_bits(a: Array, b: Array) -> bool:
    """Whether shapes, dtypes and bits are equal; all NaN count as one."""
    if a.dtype != b.dtype or a.shape != b.shape:
        return False
    if a.tobytes() == b.tobytes():  # as nearly always
        return True
    integers = np.dtype(f"uint{8 * a.dtype.itemsize}")
    agree = np.ascontiguousarray(a).view(integers) == np.ascontiguousarray(b).view(integers)
    return bool(np.all(agree | (np.isnan(a) & np.isnan(b))))


def _status(error: Exception) -> str:
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError" or OUT_OF_MEMORY.search(str(error)):
        return "out-of-memory"
    if isinstance(error, NotImplementedError) or UNSUPPORTED.search(str(error)):
        return "unsupported"
    return "crash"


def _cause(error: Exception) -> Cause:
    first = next((line.strip() for line in str(error).splitlines() if line.strip()), "")
    if isinstance(error, TypeError) and first.startswith("returned "):
        return wrong_shape("type", first)
    name = type(error).__name__
    return Cause("raises", name, figures={"words": f"raised {name}: {first}" if first else f"raised {name}"})


def unsupported(words: str) -> Cause:
    """That there is no such call, or no such format."""
    return Cause("unsupported", figures={"words": words})


def wrong_shape(what: str, words: str) -> Cause:
    """That something else was returned than the spec says: another `shape`, `dtype` or `type`."""
    return Cause("wrong-shape", what, figures={"words": words})
