"""Faults that people reported of other software, as small functions: what is said of them is true, or nothing is."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from opfuzz.backends import discover
from opfuzz.core.call import Call
from opfuzz.core.cause import UNEXPLAINED, Cause
from opfuzz.core.floats import FORMATS, round_to
from opfuzz.core.layout import memory
from opfuzz.core.results import Score
from opfuzz.engine.plan import load_specs
from opfuzz.engine.triage.diagnose import Exact
from opfuzz.judge.diagnose import Evidence, diagnose
from opfuzz.judge.settle import examine
from opfuzz.judge.verdict import decide_verdict

RUNNING = """
op: logcumsumexp
summary: Logarithm of the running sum of exp(x).
formats: [float32, float16, bfloat16]
dims: {batch: 0.., n: 1..}
batch: [batch]
inputs:
  x: {shape: [batch, n]}
output: {shape: [batch, n]}
calls: {numpy: x}
reference: log(cumsum(exp(x), axis=-1))
"""
GRADIENT = """
op: logsumexp_dx
summary: Gradient of logsumexp, 0 where a whole row is -inf.
formats: [float32]
dims: {batch: 0.., n: 1..}
batch: [batch]
inputs:
  x: {shape: [batch, n]}
output: {shape: [batch, n]}
calls: {numpy: x}
reference: where(max(x, axis=-1) > -inf, softmax(x, axis=-1), 0)
"""
GROUPED = """
op: grouped_linear
summary: A product with weights in 4 bits, a scale and a zero for each group of 32 inputs.
formats: [float32, bfloat16]
dims: {m: 0.., n: 1.., groups: 1..}
batch: [m]
inputs:
  x:     {shape: [m, groups * 32]}
  q:     {shape: [n, groups * 32], kind: index(16)}
  scale: {shape: [n, groups], regimes: [normal, ones]}
  zero:  {shape: [n, groups], regimes: [normal, zeros]}
output: {shape: [m, n]}
calls: {numpy: x}
reference: matmul(x, swapaxes((q - 8) * repeat(scale, 32, 1) + repeat(zero, 32, 1), 0, 1))
variants:
  first-group:
    reference: matmul(x, swapaxes((q - 8) * narrow(scale, 1, 0, 1) + narrow(zero, 1, 0, 1), 0, 1))
"""
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
    own = tmp_path_factory.mktemp("own")
    for number, text in enumerate((RESIZE, RUNNING, GRADIENT, GROUPED)):
        (own / f"{number}.yaml").write_text(text)
    bundled = Path(__file__).parents[2] / "specs"
    paths = [own, bundled / "norm" / "rms_norm.yaml", bundled / "reduce" / "softmax.yaml"]
    return {spec.op: spec for spec in load_specs(paths, discover(()), dialects=())}


def told(spec, function, arrays, layouts=None, params=None, wider=None, **sizes) -> list[Cause]:
    """The causes of a call of a function on the arrays of an op, which is seen with NaN in the gaps of its views.

    `wider`: evidence of a larger call, if there is one.
    """
    return list(diagnose(evidence_of(spec, function, arrays, layouts, params, wider, **sizes)))


def evidence_of(spec, function, arrays, layouts=None, params=None, wider=None, **sizes) -> Evidence:
    """What there is to see of such a call."""
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
        exact, output = Exact(spec, 0), run(call)
        found = decide_verdict(examine(output, exact(call)), exact(call))
        return Evidence(spec, Score(found.word, found.cause), call, output, run, exact, wider)


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


def in_float32(x, weight, eps, **sizes):
    return rescaled(np.float32(x), np.float32(weight), eps).astype(np.float32)


@pytest.mark.parametrize(
    ("function", "format", "size"),
    [
        (rescaled, "float32", 1e-3),
        (rescaled, "float32", 2.0),
        (rescaled, "float16", 1e-3),
        (rescaled, "bfloat16", 1e-5),
        (in_float32, "float64", 1.0),  # whose roundings hide it from what float64 may be off
    ],
)
def test_an_eps_that_grows_with_the_input_is_no_other_eps(known, function, format, size):
    dtype = FORMATS[format].dtype
    x = (size * np.random.default_rng(0).standard_normal((2, 8))).astype(dtype)
    arrays = {"x": x, "weight": np.ones(8, dtype)}
    (cause, *_) = told(known["rms_norm"], function, arrays, params={"eps": 1e-5}, batch=2, d=8)
    assert (cause.kind, cause.name) == ("is-setting", "eps")
    assert cause.figures["how"] == ("times", "the largest square of x")


def over_count(x, weight, eps, d, **sizes):
    return x / np.sqrt(np.mean(np.square(x, dtype=np.float64), -1, keepdims=True) + eps / d) * weight


def without(x, weight, eps, **sizes):
    return over_count(x, weight, 0.0, 1)


def at_least(x, weight, eps, **sizes):
    return x / np.sqrt(np.maximum(np.mean(np.square(x, dtype=np.float64), -1, keepdims=True), eps)) * weight


@pytest.mark.parametrize(
    ("function", "kind", "how"),
    [
        (over_count, "is-setting", ("times", "one over the number of elements")),  # 1.25e-6 here, which looks like 1e-6
        (without, "is-setting", ("at most", 1e-7)),
        (at_least, "unexplained", None),  # it counts nothing here, and much where values are small
    ],
)
def test_what_an_eps_is_taken_for_holds_where_it_is_told_from_others(known, function, kind, how):
    arrays = {
        "x": np.random.default_rng(1).standard_normal((2, 8)).astype(np.float32),
        "weight": np.ones(8, np.float32),
    }
    (cause, *_) = told(known["rms_norm"], function, arrays, params={"eps": 1e-5}, batch=2, d=8)
    assert (cause.kind, cause.figures.get("how")) == (kind, how)


def first_of_one(x, n, length, out):
    if out == 1:
        return x[:, :1]
    source = np.clip((np.arange(out) + 0.5) * length / out - 0.5, 0, length - 1)
    return x.astype(np.float64) @ np.maximum(1 - np.abs(source[:, None] - np.arange(length)), 0).T


def test_a_variant_of_one_size_is_found_where_other_sizes_are_right(known):
    x = np.float32([[1, 3], [2, 7]])
    (cause, *_) = told(known["resize"], first_of_one, {"x": x}, n=2, length=2, out=1)
    assert (cause.kind, cause.name) == ("is-variant", "align-corners")


def running(x, n, **sizes):
    """Each result is made of the last one, as the format holds it."""
    fmt, results = FORMATS[x.dtype.name], x.astype(np.float64)
    for place in range(1, n):
        made = np.logaddexp(results[:, place - 1], results[:, place])
        results[:, place] = round_to(made, fmt).astype(np.float64)
    return results


@pytest.mark.parametrize("format", ["float16", "bfloat16"])
def test_a_running_result_that_is_kept_in_the_format(known, format):
    arrays = {"x": np.zeros((1, 300), FORMATS[format].dtype)}
    (cause, *_) = told(known["logcumsumexp"], running, arrays, batch=1, n=300)
    assert (cause.kind, cause.name, cause.figures["are_results"]) == ("accumulates-in", format, True)


def test_a_running_result_that_is_nan_is_told_from_one_that_stalls(known):
    def unguarded(x, n, **sizes):
        results = running(x, n).astype(np.float32)
        return np.where(np.cumsum(x == -np.inf, -1) > 1, np.nan, results)  # -inf - -inf

    arrays = {"x": np.float32([[-np.inf, -np.inf, 1.0]])}
    (cause, *_) = told(known["logcumsumexp"], unguarded, arrays, batch=1, n=3)
    assert cause.kind == "special-at"


def test_a_softmax_by_a_rounded_logsumexp(known):
    def by_logsumexp(x, **sizes):
        wide = x.astype(np.float64)
        largest = wide.max(-1, keepdims=True)
        total = largest + np.log(np.exp(wide - largest).sum(-1, keepdims=True))
        return np.exp((x - total.astype(np.float32)).astype(np.float64))

    arrays = {"x": np.float32([[128, 140]])}
    (cause, *_) = told(known["logsumexp_dx"], by_logsumexp, arrays, batch=1, n=2)
    assert (cause.kind, cause.name) == ("formula", "exp(x - logsumexp(x))")


def first_group(x, q, scale, zero, m, **sizes):
    chosen = slice(0, 1) if m == 1 else np.repeat(np.arange(scale.shape[1]), 32)
    weight = ((q - 8) * scale.astype(np.float32)[:, chosen] + zero.astype(np.float32)[:, chosen]).astype(x.dtype)
    return x.astype(np.float32) @ weight.astype(np.float32).T


@pytest.mark.parametrize("format", ["float32", "bfloat16"])
def test_a_variant_beneath_what_rounded_weights_do(known, format):
    """In a half format, the weights are rounded to it, which hides the variant from what float32 may be off."""
    dtype, draw = FORMATS[format].dtype, np.random.default_rng(0)
    arrays = {
        "x": draw.standard_normal((1, 64)).astype(dtype),
        "q": draw.integers(0, 16, (4, 64)),
        "scale": draw.standard_normal((4, 2)).astype(dtype),
        "zero": draw.standard_normal((4, 2)).astype(dtype),
    }
    (cause, *_) = told(known["grouped_linear"], first_group, arrays, m=1, n=4, groups=2)
    assert (cause.kind, cause.name) == ("is-variant", "first-group")


def test_a_variant_that_overflows_is_found_on_ordinary_values(known):
    x = np.zeros((1, 64), np.float32)
    x[0, 32] = 4.5e37  # right is -9e37, with the scale of the first group -3.6e38
    arrays = {
        "x": x,
        "q": np.zeros((1, 64), np.int64),
        "scale": np.float32([[1, 0.25]]),
        "zero": np.zeros((1, 2), np.float32),
    }
    special, cause, *_ = told(known["grouped_linear"], first_group, arrays, m=1, n=1, groups=2)
    assert (special.kind, cause.kind, cause.name) == ("special-at", "is-variant", "first-group")


def test_memory_that_nobody_wrote_gives_other_bits_in_equal_calls(known):
    junk = np.random.default_rng(0)

    def unwritten(x, **sizes):
        return junk.standard_normal(x.shape) * 1e10

    (cause, *_) = told(known["logsumexp_dx"], unwritten, {"x": np.float32([[1, 2]])}, batch=1, n=2)
    assert (cause.kind, cause.name) == ("depends-on", "repetition")


def test_memory_that_was_right_by_chance_is_told_all_the_same(known):
    spec, arrays, calls = known["logsumexp_dx"], {"x": np.float32([[0, 0]])}, iter(range(100))
    call = Call("float32", {"batch": 1, "n": 2}, {}, arrays, {"x": "contiguous"})

    def unwritten(call):
        return np.full((1, 2), 0.5 if next(calls) % 3 == 0 else 7.5, np.float32)

    evidence = Evidence(spec, Score("wrong", UNEXPLAINED), call, unwritten(call), unwritten, Exact(spec, 0))
    (cause,) = diagnose(evidence)
    assert (cause.kind, cause.name) == ("depends-on", "repetition")


def test_nan_for_nan_is_right_whatever_a_comparison_chooses(known):
    arrays = {"x": np.float32([[np.nan, 1]])}
    exact = Exact(known["logsumexp_dx"], 0)(Call("float32", {"batch": 1, "n": 2}, {}, arrays, {"x": "contiguous"}))
    assert decide_verdict(examine(np.float32([[np.nan, np.nan]]), exact), exact).word in ("exact", "faithful", "stable")


def half_softmax(x, **sizes):
    raised = np.exp(np.float64(x) - x.max(-1, keepdims=True)).astype(x.dtype)
    return raised / np.add.accumulate(raised, axis=-1, dtype=x.dtype)[..., -1:]


def test_the_larger_call_that_a_smallest_came_from_holds_no_other_values(known):
    """The sum has 30 terms of exp(-1), each of which float16 rounds up: in all it is off by about one more of them."""
    row = np.repeat(np.float16([0, 1, 0.003906]), (30, 15, 65))
    wide = np.tile(np.append(row, np.full(14, -30, np.float16)), (2, 1))
    wider = evidence_of(known["softmax"], half_softmax, {"x": wide}, batch=2, n=124)
    causes = told(known["softmax"], half_softmax, {"x": row[None]}, wider=wider, batch=1, n=110)
    assert causes[0].kind == "accumulates-in", causes
