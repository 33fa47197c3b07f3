"""Faults that people reported of other software, as small functions: what is said of them is true, or nothing is."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
import pytest

from opfuzz.backends import discover
from opfuzz.core.call import Call
from opfuzz.core.cause import Cause
from opfuzz.core.layout import memory
from opfuzz.core.results import Score
from opfuzz.engine.plan import load_specs
from opfuzz.engine.triage.diagnose import refer
from opfuzz.judge.diagnose import Evidence, diagnose
from opfuzz.judge.settle import examine
from opfuzz.judge.verdict import decide_verdict

RESIZE = """
op: resize
summary: Linear interpolation of the last axis to another length, at the centres of pixels.
formats: [float32]
dims: {n: 0.., length: 1.., out: 1..}
batch: [n]
inputs:
  x: {shape: [n, length]}
output: {shape: [n, out]}
calls: {numpy: x}
reference: |
  source = minimum(maximum((arange(out) + 1 / 2) * length / out - 1 / 2, 0), length - 1)
  distance = abs(reshape(source, (out, 1)) - reshape(arange(length), (1, length)))
  matmul(x, swapaxes(maximum(1 - distance, 0), 0, 1))
variants:
  align-corners:
    reference: |
      source = arange(out) * (length - 1) / maximum(out - 1, 1)
      distance = abs(reshape(source, (out, 1)) - reshape(arange(length), (1, length)))
      matmul(x, swapaxes(maximum(1 - distance, 0), 0, 1))
"""
STRIDES = {"reads-as-contiguous", "ignores-offset", "ignores-gaps"}


@pytest.fixture(scope="module")
def known(tmp_path_factory):
    own = tmp_path_factory.mktemp("own") / "resize.yaml"
    own.write_text(RESIZE)
    paths = [own, Path(__file__).parents[2] / "specs" / "norm" / "rms_norm.yaml"]
    return {spec.op: spec for spec in load_specs(paths, discover(()), dialects=())}


def told(spec, function, arrays, layouts=None, params=None, **sizes) -> list[Cause]:
    """The causes of a call of a function on the arrays of an op, which is seen with NaN in the gaps of its views."""
    settings = {param.name: param.default for param in spec.params} | (params or {})
    placed = dict.fromkeys(arrays, "contiguous") | (layouts or {})
    call = Call(next(iter(arrays.values())).dtype.name, sizes, settings, arrays, placed)

    def run(call):
        for name, layout in call.layouts.items():
            memory(call.arrays[name], layout)  # raises where the array does not lie so
        with np.errstate(all="ignore"):
            made = function(*call.arrays.values(), **call.params, **call.dims)
        return made.astype(next(iter(call.arrays.values())).dtype)

    with np.errstate(all="ignore"):
        exact, output = partial(refer, spec, 0), run(call)
        found = decide_verdict(examine(output, exact(call)), exact(call))
        return list(diagnose(Evidence(spec, Score(found.word, found.cause), call, output, run, exact)))


def nan_rows(x, weight, eps, **sizes):
    y = x / np.sqrt(np.mean(np.square(x, dtype=np.float64), -1, keepdims=True) + eps) * weight
    return np.where(np.isinf(x).any(-1, keepdims=True), np.nan, y)


@pytest.mark.parametrize("layout", ["stepped", "offset", "transposed"])
def test_nan_whatever_lies_there_is_no_stride(known, layout):
    x = np.float32([[1, np.inf, 2, -1], [1, 2, 3, 4], [np.inf, 1, 1, 1]])
    arrays = {"x": x, "weight": np.ones(4, np.float32)}
    causes = told(known["rms_norm"], nan_rows, arrays, {"x": layout}, batch=3, d=4)
    assert causes[0].kind == "special-at"
    assert not STRIDES & {cause.kind for cause in causes}


def rescaled(x, weight, eps, **sizes):
    wide = x.astype(np.float64)
    largest = np.maximum(np.abs(wide).max(-1, keepdims=True), 1e-30)
    return wide / (np.sqrt(np.mean((wide / largest) ** 2, -1, keepdims=True) + eps) * largest) * weight


@pytest.mark.parametrize("format", ["float32", "float16"])
def test_an_eps_that_hardly_counts_is_no_other_eps(known, format):
    x = (1e-3 * np.random.default_rng(0).standard_normal((2, 8))).astype(format)
    arrays = {"x": x, "weight": np.ones(8, format)}
    (cause, *_) = told(known["rms_norm"], rescaled, arrays, params={"eps": 1e-5}, batch=2, d=8)
    assert (cause.kind, cause.name) == ("is-setting", "eps")
    assert cause.figures["how"][0] in ("times", "at most")


def first_of_one(x, n, length, out):
    if out == 1:
        return x[:, :1]
    source = np.clip((np.arange(out) + 0.5) * length / out - 0.5, 0, length - 1)
    return x.astype(np.float64) @ np.maximum(1 - np.abs(source[:, None] - np.arange(length)), 0).T


def test_a_variant_of_one_size_is_found_where_other_sizes_are_right(known):
    x = np.float32([[1, 3], [2, 7]])
    (cause, *_) = told(known["resize"], first_of_one, {"x": x}, n=2, length=2, out=1)
    assert (cause.kind, cause.name) == ("is-variant", "align-corners")
