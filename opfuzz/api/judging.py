"""`opfuzz.judge`: one output at hand, of any framework, held against the exact result."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from opfuzz.api.arguments import check_named, read_path, wrong
from opfuzz.api.notebook import preformatted
from opfuzz.backends import discover
from opfuzz.core.case import Value
from opfuzz.core.cause import Cause
from opfuzz.core.errors import OpfuzzError, did_you_mean
from opfuzz.core.files.user_module import said
from opfuzz.core.floats import FloatArray
from opfuzz.core.results import Mark, Score
from opfuzz.core.shipped import shipped
from opfuzz.core.verdicts import FAULT, SEVERITY
from opfuzz.engine.judging import judge_arrays
from opfuzz.engine.plan import vocabulary
from opfuzz.report.causes import word_cause
from opfuzz.report.causes.figures import right
from opfuzz.report.text import quantity
from opfuzz.spec import OpSpec, load_all

PLACE = "opfuzz.judge"
OWN_ARRAYS = {"torch": "torch", "mlx": "mlx", "jax": "jax", "jaxlib": "jax"}  # the backend of a class's package


@dataclass(frozen=True, slots=True)
class ArrayVerdict:
    """What one output is worth: the word, why, and how far it is from the exact result."""

    op: str
    format: str
    score: Score  # all of its figures
    exact: FloatArray | tuple[FloatArray, ...]  # the float64 nearest to each exact value, in the shape of the output

    @property
    def verdict(self) -> str:
        """One of the words of docs/verdicts.md, such as "faithful" or "wrong"."""
        return self.score.verdict

    @property
    def severity(self) -> str:
        """How grave that is: "fault", "note" or "clean"."""
        return SEVERITY[self.score.verdict]

    @property
    def is_fault(self) -> bool:
        """Whether no honest implementation gives this."""
        return self.severity == FAULT

    @property
    def cause(self) -> Cause:
        """What explains it, or what is wrong, as data."""
        return self.score.cause

    @property
    def max_ulp(self) -> float:
        """The largest error over elements whose exact result is a normal number, in ulp of that result.

        NaN where an error has no size, as between a number and NaN.
        """
        return self.score.ulp

    @property
    def excess(self) -> float:
        """The largest error in units of what honest arithmetic may do; above 1 it is beyond that."""
        return self.score.excess

    @property
    def element(self) -> Mark | None:
        """The element that decided, else the one with the largest error: index, computed, exact, ulp."""
        return self.score.deciding or self.score.largest

    def __str__(self) -> str:
        why = word_cause(self.cause)
        text = f"{self.op} in {self.format}: {self.verdict}{f': {why}' if why else ''}"
        if (mark := self.element) is None:
            return text
        value = f"computed {mark.computed!r}, exact {right(mark.exact, mark.ends, None)}"
        place = f"at {mark.element} " if mark.index or mark.output else ""
        return f"{text}; {place}{value}, {quantity(mark.ulp)} ulp"

    def __repr__(self) -> str:
        return f"<ArrayVerdict {self}>"

    def _repr_html_(self) -> str:
        return preformatted(str(self))


def judge(
    op: str | os.PathLike[str] | OpSpec,
    inputs: Any,
    output: Any,
    *,
    params: Mapping[str, Value] | None = None,
) -> ArrayVerdict:
    """What an output is worth that somebody has at hand, held against the exact result of its op.

    `op`: the name of a spec that comes with opfuzz, the path of a spec, or an OpSpec. `inputs`: arrays by the names of
    the spec, in a tuple in its order, or the only one. `output`: what the op returned, in a tuple where the spec has
    several. Arrays are of NumPy, torch, MLX or JAX, on any device; those of floats have the format of the output:
    float64, float32, float16 or bfloat16, which decides what an ulp is. An output of places or truth values may be of
    whole numbers or booleans. Shapes are those of the spec, with any number of axes, or none, for its batch. `params`:
    what differs from the first value of each parameter, and sizes that no input tells. Nothing is run but the
    reference, so an output of any machine will do; without a call, and without other ways to the same result, less is
    known of a cause than a run says.
    Raises OpfuzzError for what does not fit the spec, and if there is no such op.
    """
    spec = read_spec(op)
    given = _by_name(spec, inputs)
    check_named(params, f"{PLACE}: params")
    outputs = tuple(output) if isinstance(output, tuple | list) and len(spec.outputs) > 1 else (output,)
    arrays = {name: to_numpy(value, f"'{name}'") for name, value in given.items()}
    made = [to_numpy(value, "the output") for value in outputs]
    lifted = made
    if spec.single_input and all(array.ndim == 0 for array in arrays.values()):  # a number alone is a row of one
        arrays = {name: np.atleast_1d(array) for name, array in arrays.items()}
        lifted = [np.atleast_1d(array) for array in made]
    score, references = judge_arrays(spec, arrays, lifted, dict(params or {}), PLACE)
    shapes = {
        reference.output: (reference.shape, array.shape) for reference, array in zip(references, made, strict=True)
    }
    score = replace(score, largest=_as_given(score.largest, shapes), deciding=_as_given(score.deciding, shapes))
    exact = tuple(np.reshape(r.truth.hi, array.shape) for r, array in zip(references, made, strict=True))
    return ArrayVerdict(spec.op, references[0].fmt.name, score, exact[0] if len(exact) == 1 else exact)


def _as_given(mark: Mark | None, shapes: Mapping[str, tuple[tuple[int, ...], tuple[int, ...]]]) -> Mark | None:
    """An element whose index is in the output as somebody gave it, whose batch may have other axes than the spec's."""
    if mark is None or shapes[mark.output][0] == shapes[mark.output][1]:
        return mark
    own, given = shapes[mark.output]
    flat = int(np.ravel_multi_index(mark.index, own)) if own else 0
    return replace(mark, index=tuple(int(place) for place in np.unravel_index(flat, given)) if given else ())


def read_spec(op: str | os.PathLike[str] | OpSpec) -> OpSpec:
    """The spec of a name, or in a file. Raises OpfuzzError if there is none, or it has mistakes."""
    if isinstance(op, OpSpec):
        return op
    words = vocabulary(discover(), ())  # no framework is imported: calls are checked for their form
    text = os.fspath(op) if isinstance(op, str | os.PathLike) else None
    if not isinstance(text, str):
        raise wrong(op, "the op", "the name of a spec, the path of one, or an OpSpec")
    if text.endswith((".yaml", ".yml")) or os.sep in text:
        if (path := read_path(text, "the op")).is_dir():  # of which every file would be read
            raise OpfuzzError(f"the op is the folder {text}; give the path of one spec in it")
        (spec, *others) = load_all([path], words)
        if others:
            raise OpfuzzError(f"{text}: {1 + len(others)} specs; name the file of one")
        return spec
    found = {spec.op: spec for spec in load_all([shipped("specs")], words, [text])}
    if text not in found:
        raise OpfuzzError(f"unknown op '{text}'{did_you_mean(text, found) or '; known: ' + ', '.join(sorted(found))}")
    return found[text]


def to_numpy(value: Any, what: str) -> NDArray[Any]:
    """A NumPy array with the same bits, bfloat16 as ml_dtypes has it. Raises OpfuzzError for what is no array."""
    if isinstance(value, np.ma.MaskedArray) and np.ma.is_masked(value):  # what lies below its mask is nobody's claim
        raise OpfuzzError(f"{PLACE}: {what} has elements that are masked; give an array of what counts, or value.data")
    if isinstance(value, np.ndarray | np.generic):
        return np.asarray(value)
    name = OWN_ARRAYS.get(type(value).__module__.partition(".")[0])
    try:
        array = np.asarray(value) if name is None else discover()[name].get(value)
    except Exception as error:  # an object of any library
        raise OpfuzzError(f"{PLACE}: {what} is no array: {said(error)}") from error
    if array.dtype.kind not in "biufV":
        raise OpfuzzError(f"{PLACE}: {what} is of type {type(value).__name__}; give an array of numbers")
    return array


def _by_name(spec: OpSpec, inputs: Any) -> Mapping[str, Any]:
    if isinstance(inputs, Mapping):
        check_named(inputs, f"{PLACE}: the inputs")
        return inputs
    names = [item.name for item in spec.inputs]
    listed = tuple(inputs) if isinstance(inputs, tuple | list) else (inputs,)
    if len(listed) != len(names):
        raise OpfuzzError(f"{PLACE}: '{spec.op}' takes {len(names)} arrays ({', '.join(names)}), not {len(listed)}")
    return dict(zip(names, listed, strict=True))
