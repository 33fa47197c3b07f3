"""An input with a format of its own: stored, fed and judged in it, whichever format is under test."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest

from opfuzz.backends.perform import perform
from opfuzz.backends.subject import Subject
from opfuzz.backends.torch import Torch
from opfuzz.core.call import Call
from opfuzz.core.errors import SpecError
from opfuzz.core.floats import BFLOAT16, FLOAT16, FORMATS, round_to
from opfuzz.generate import draw, inputs
from opfuzz.generate.regimes import REGIMES
from opfuzz.oracle import balls, models, working
from opfuzz.oracle.operations import REFERENCE_FUNCTIONS
from opfuzz.oracle.reference import references_of
from opfuzz.search.trigger.fills import remade
from opfuzz.spec import Vocabulary, load
from opfuzz.store.bundle.checking import dtype_of

SCALED = """
op: scaled
summary: A product with a scale that is always float32.
formats: [float32, float16, bfloat16]
dims: {n: 1..}
inputs:
  x: {shape: [n], regimes: [normal]}
  scale: {shape: [n], dtype: float32, regimes: [normal]}
output: {shape: [n]}
calls: {torch: {wide: "(x.float() * scale).to(dtype)", narrow: "x * scale.to(dtype)"}}
reference: x * scale
"""


def read(tmp_path: Path, text: str):
    path = tmp_path / "scaled.yaml"
    path.write_text(text)
    words = Vocabulary(REGIMES, REFERENCE_FUNCTIONS, {"torch": Torch().functions()})
    return load(path, words)


def call_of(spec, format):
    case = draw(spec, format, 3, 0)
    return Call.of(case, inputs(spec, case))


@pytest.mark.parametrize("format", ["float32", "float16", "bfloat16"])
def test_it_is_made_stored_and_filled_in_its_own_format(tmp_path, format):
    spec = read(tmp_path, SCALED)
    call = call_of(spec, format)
    x, scale = spec.inputs
    assert call.arrays["x"].dtype == FORMATS[format].dtype == dtype_of(x, format)
    assert call.arrays["scale"].dtype == np.float32 == dtype_of(scale, format)
    again = remade(
        spec,
        call,
        "normal",
        dims={"n": 7},
        params={},
        format="float16",
        layouts=dict.fromkeys(call.arrays, "contiguous"),
    )
    assert [again.arrays[name].dtype.name for name in ("x", "scale")] == ["float16", "float32"]
    assert not spec.single_input


@pytest.mark.parametrize("format", ["float16", "bfloat16"])
def test_a_subject_that_rounds_it_is_told_from_one_that_does_not(tmp_path, format):
    spec = read(tmp_path, SCALED)
    call = call_of(spec, format)
    call = call.with_arrays({"x": np.ones_like(call.arrays["x"])})
    (reference,) = references_of(spec, call)
    shapes = spec.output_shapes(call.dims, call.params)
    errors = []
    for name in ("wide", "narrow"):
        # A worker has its programs from another process.
        program = pickle.loads(pickle.dumps(spec.calls["torch"][name]))
        made = perform(Torch(), Subject("torch", "cpu"), program, call, shapes).outputs[0].astype(np.float64)
        errors.append(np.abs(made - round_to(reference.truth.hi, FORMATS[format]).astype(np.float64)).max())
    assert errors == [0, 0]  # x is 1: rounding the scale is then the one rounding there is
    (conditioned,) = balls.evaluate(reference.root, [models.conditioning(FORMATS[format])]).radii
    scale = call.arrays["scale"].astype(np.float64)
    u = FORMATS[format].unit_roundoff
    np.testing.assert_allclose(conditioned, np.abs(scale) * (u + 2.0**-24 + u * 2.0**-24))


def test_a_narrow_emulation_takes_it_as_it_is_and_rounds_what_comes_of_it(tmp_path):
    spec = read(tmp_path, SCALED)
    call = Call(
        "bfloat16",
        {"n": 1},
        {},
        {"x": np.array([3.0], BFLOAT16.dtype), "scale": np.array([1 + 2.0**-10], np.float32)},
        {"x": "contiguous", "scale": "contiguous"},
    )
    (reference,) = references_of(spec, call)
    values = working.emulate(reference.root, FLOAT16, 1).values
    assert values.dtype == np.float16
    assert float(values[0]) == float(np.float16(3 * (1 + 2.0**-10)))
    narrow = working.emulate(reference.root, BFLOAT16, 1).values
    assert float(narrow[0]) == 3.0


def test_the_meaning_of_other_specs_is_what_it_was(tmp_path):
    plain = read(tmp_path, SCALED.replace("dtype: float32, ", "")).digest
    assert plain != read(tmp_path, SCALED).digest
    assert read(tmp_path, SCALED).digest != read(tmp_path, SCALED.replace("dtype: float32", "dtype: float16")).digest


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("dtype: float32", "dtype: float", "unknown format 'float'; did you mean 'float64'?"),
        (
            "dtype: float32, regimes: [normal]",
            "kind: index(n), dtype: float32",
            "has no dtype: an index is whole numbers",
        ),
        ("dtype: float32, regimes: [normal]", "kind: mask, dtype: float32", "has no dtype: a mask is truth values"),
        ("dtype: float32", "dtyp: float32", "unknown key 'dtyp'"),
        ("dtype: float32", "dtype: [float32]", "must be text"),
    ],
)
def test_what_has_no_format_of_its_own_is_told(tmp_path, old, new, words):
    with pytest.raises(SpecError) as caught:
        read(tmp_path, SCALED.replace(old, new))
    assert words in str(caught.value)
