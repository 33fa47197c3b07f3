"""Sweeps: planted errors are counted one by one, and every figure agrees with a judge of all inputs at once."""

from __future__ import annotations

import contextlib
import json
import math
import random

import numpy as np
import pytest
from bundled_ops import BUNDLED_OPS
from several_outputs import SPLIT, TOTAL

from opfuzz.backends import discover
from opfuzz.core.call import Call
from opfuzz.core.floats import BFLOAT16, FLOAT16, FLOAT32, FORMATS, from_bits, round_to, to_bits
from opfuzz.engine.plan import load_specs
from opfuzz.judge.score import score
from opfuzz.judge.settle import examine
from opfuzz.oracle.reference import references_of
from opfuzz.search.sweep.chunk import chunks, patterns, sweep_chunk
from opfuzz.search.sweep.reference import FlatReference, NotUnaryError, check_unary
from opfuzz.search.sweep.totals import merge, totals_from

EXP, RSQRT, SILU, RELU = (BUNDLED_OPS[op] for op in ("exp", "rsqrt", "silu", "relu"))


class Rounded:
    """A function in float64, rounded once, with `planted` results: bit pattern -> value."""

    def __init__(self, function, fmt, planted=None, tail=None):
        self.function, self.fmt, self.planted, self.planted_tail = function, fmt, planted or {}, tail

    def _give(self, inputs, planted):
        with np.errstate(all="ignore"):
            results = round_to(self.function(inputs.astype(np.float64)), self.fmt)
        bits = to_bits(inputs)
        for pattern, value in planted.items():
            results[bits == pattern] = value
        return results

    def body(self, inputs):
        return self._give(inputs, self.planted)

    def tail(self, inputs):
        return self._give(inputs, self.planted if self.planted_tail is None else self.planted_tail)


def swept(spec, fmt, subject, low=0, high=None):
    high = 2**fmt.bits if high is None else high
    oracle = FlatReference(spec, fmt.name, {})
    with np.errstate(all="ignore"):
        found = [sweep_chunk(a, b, subject, oracle, fmt, a == low) for a, b in chunks(fmt, low, high)]
    return merge(body for body, _, _ in found), merge(tail for _, tail, _ in found), sum(n for _, _, n in found)


def bits_of(value, fmt):
    return int(to_bits(np.array(value, fmt.dtype)))


@pytest.mark.parametrize("fmt", [FLOAT16, BFLOAT16], ids=lambda fmt: fmt.name)
def test_what_is_correctly_rounded_has_no_error(fmt):
    body, tail, differing = swept(EXP, fmt, Rounded(np.exp, fmt))
    assert body == tail
    assert differing == 0
    assert body.inputs == 2**16
    assert 0.499 < body.largest.value <= 0.5
    assert body.above == (0, 0, 0)
    assert set(body.mismatches.values()) == {0}
    assert (body.flushed, body.falls, body.unresolved) == (0, 0, 0)
    with np.errstate(all="ignore"):
        y = np.exp(patterns(0, 2**16, fmt).astype(np.float64))
        normal = (y >= fmt.smallest_normal) & (y <= fmt.largest)
    assert body.normal == np.count_nonzero(normal)


def test_each_planted_result_is_counted_in_its_class():
    fmt, one, far, low = FLOAT16, bits_of(1.0, FLOAT16), bits_of(20.0, FLOAT16), bits_of(-16.0, FLOAT16)
    ulp_of_e = 2.0**-9
    planted = {
        one: np.e + 20 * ulp_of_e,  # 20 ulp off
        one + 1: math.nan,
        one + 2: math.inf,
        one + 3: -math.inf,
        one + 4: 0.0,
        far: 7.0,  # infinity is right
        low: 0.0,  # exp(-16) is subnormal
    }
    body, _, _ = swept(EXP, fmt, Rounded(np.exp, fmt, planted))
    assert body.mismatches == {"nan": 1, "inf": 2, "zero": 1, "finite": 1, "sign": 0}
    assert body.flushed == 1
    assert body.above[1:] == (2, 2)  # the one 20 ulp off, and the zero
    assert body.largest.bits == one + 4  # a zero for 2.7 is as wrong as can be
    assert body.largest.value == pytest.approx(float(from_exp(one + 4)) / ulp_of_e, rel=1e-12)
    expected = {"nan": one + 1, "inf": one + 2, "zero": one + 4, "finite": far, "flushed": low}
    assert {name: body.examples[name] for name in expected} == expected


def from_exp(pattern):
    return math.exp(float(from_bits(np.array(pattern), FLOAT16)))


def test_zeros_of_the_wrong_sign_are_found():
    negative = {bits_of(-3.0, FLOAT16): -0.0, bits_of(-4.0, FLOAT16): -0.0}
    body, _, _ = swept(
        RELU, FLOAT16, Rounded(lambda x: np.where(x > 0, x, np.where(x <= 0, 0.0, x)), FLOAT16, negative)
    )
    assert body.mismatches["sign"] == 2
    assert body.examples["sign"] == bits_of(-3.0, FLOAT16)


def test_zeros_of_either_sign_are_right_where_the_op_leaves_it_open():
    spec, x = BUNDLED_OPS["hardshrink"], np.arange(0.0, 0.5, 2.0**-11)
    oracle = FlatReference(spec, "float16", {"limit": 0.5})
    for zero, sign, wrong in ((0.0, 1, 0), (-0.0, -1, 0), (0.0, -1, 0), (-0.0, 1, len(x) - 1)):
        bits = np.sort(to_bits(np.array(sign * x, np.float16))[1:])
        low, high = int(bits[0]), int(bits[-1]) + 1
        subject = Rounded(lambda x, zero=zero: np.full(x.shape, zero), FLOAT16)
        body, _, _ = sweep_chunk(low, high, subject, oracle, FLOAT16, True)
        assert (body.mismatches["sign"] > 0) == (wrong > 0), (zero, sign)


def test_a_fall_between_neighbours_is_counted_also_across_a_border():
    fmt, border = FLOAT32, bits_of(1.0, FLOAT32)
    assert len(list(chunks(fmt, border - 100, border + 100))) == 2
    for place in (border + 10, border):
        right = np.float32(np.exp(float(from_bits(np.array(place), fmt))))
        planted = {place - 1: np.nextafter(right, np.float32(4))}
        body, _, _ = swept(EXP, fmt, Rounded(np.exp, fmt, planted), border - 100, border + 100)
        assert (body.falls, body.examples) == (1, {"falls": place})


def test_body_and_tail_are_told_apart():
    at = bits_of(2.0, BFLOAT16)
    body, tail, differing = swept(EXP, BFLOAT16, Rounded(np.exp, BFLOAT16, {}, {at: 8.0}))
    assert differing == 1
    assert body.above[1] == 0
    assert tail.above[1] == 1
    assert tail.largest.bits == at
    assert tail.largest.value == pytest.approx((8 - math.exp(2)) / 2.0**-5, rel=1e-12)


def judged(spec, fmt, subject, inputs):
    given = inputs.reshape(1, -1)
    (reference,) = references_of(spec, Call(fmt.name, {"batch": 1, "n": inputs.size}, {}, {"x": given}, {}))
    output = subject.body(inputs).reshape(1, -1)
    return score(output, reference), examine(output, reference)


@pytest.mark.parametrize("spec", [EXP, SILU, RSQRT], ids=lambda spec: spec.op)
@pytest.mark.parametrize("fmt", [FLOAT16, BFLOAT16], ids=lambda fmt: fmt.name)
def test_figures_are_those_of_a_judge_of_all_inputs(spec, fmt):
    functions = {
        "exp": lambda x: np.exp2(np.float32(1.4427) * x.astype(np.float32)),
        "silu": lambda x: x / (1 + np.exp(-x)),  # NaN at -infinity
        "rsqrt": lambda x: np.float32(1) / np.sqrt(np.abs(x.astype(np.float32))),  # no NaN for what is negative
    }
    subject = Rounded(lambda x: functions[spec.op](x).astype(np.float64), fmt)
    body, _, _ = swept(spec, fmt, subject)
    with np.errstate(all="ignore"):
        told, judge = judged(spec, fmt, subject, patterns(0, 2**16, fmt))
        wrong = int(np.count_nonzero(judge.is_special_wrong))
    assert sum(n for name, n in body.mismatches.items() if name != "zero") == wrong
    assert (body.normal, body.unresolved) == (told.normal, told.unresolved)
    assert body.largest.value == pytest.approx(told.ulp, rel=1e-9)
    assert body.ulp_sum == pytest.approx(told.ulp_total, rel=1e-9)
    assert body.excess.value == pytest.approx(told.excess, rel=1e-9)
    assert body.inputs == told.elements


def test_the_largest_error_is_exact_where_float64_cannot_tell():
    # Two neighbours whose errors differ by 3e-9 ulp, far less than the ball is wide: Arb decides.
    low = bits_of(0.5, FLOAT32)
    body, _, _ = swept(EXP, FLOAT32, Rounded(np.exp, FLOAT32), low, low + 2**16)
    assert 0.4999 < body.largest.value < 0.5
    assert body.ceiling == body.largest.value
    exact = FlatReference(EXP, "float32", {}).exact(from_bits(np.array([body.largest.bits]), FLOAT32))
    truth = exact.settle(np.array([0]))
    error = abs(body.largest.computed - truth.hi[0, 0] - truth.lo[0, 0])
    assert body.largest.value == error / 2.0**-23


def test_far_ranges_are_settled_as_a_whole_and_a_wrong_result_there_is_found():
    at = bits_of(1e30, FLOAT32)
    low, high = at - 50, at + 50
    body, _, _ = swept(EXP, FLOAT32, Rounded(np.exp, FLOAT32), low, high)
    assert set(body.mismatches.values()) == {0}
    body, _, _ = swept(EXP, FLOAT32, Rounded(np.exp, FLOAT32, {at: 3e38, at + 1: math.nan}), low, high)
    assert (body.mismatches["finite"], body.mismatches["nan"]) == (1, 1)
    body, _, _ = swept(RSQRT, FLOAT32, Rounded(lambda x: 1 / np.sqrt(np.abs(x)), FLOAT32), low + 2**31, high + 2**31)
    assert body.mismatches["finite"] == 100


def test_float64_is_judged_by_arb():
    low = int(np.float64(1.0).view(np.uint64))
    subject = Rounded(lambda x: np.exp(x) * (1 + 2.0**-51), FORMATS["float64"])
    body, _, _ = swept(EXP, FORMATS["float64"], subject, low, low + 200)
    assert body.normal == 200
    assert 2 <= body.largest.value <= 4


def test_parts_add_up_to_the_same_in_any_order_and_survive_json():
    low = bits_of(0.25, FLOAT32)
    subject = Rounded(lambda x: np.exp(x) * (1 + 2.0**-24), FLOAT32)
    parts = [swept(EXP, FLOAT32, subject, low + 1000 * i, low + 1000 * (i + 1))[0] for i in range(8)]
    whole = merge(parts)
    shuffled = random.Random(0).sample(parts, len(parts))
    assert merge(shuffled) == whole
    assert [totals_from(json.loads(json.dumps(p.plain()))) for p in parts] == parts
    assert whole.inputs == 8000


def test_no_op_that_comes_with_opfuzz_is_anything_but_swept_or_left_out():
    swept = set()
    for op, spec in BUNDLED_OPS.items():
        with contextlib.suppress(NotUnaryError):
            check_unary(spec, spec.formats[0], {param.name: param.default for param in spec.params})
            swept.add(op)
    assert {"exp", "gelu", "hardshrink", "to_float8_e5m2", "nan_to_num"} <= swept
    assert not {"rope", "alibi", "glu", "softmax", "pad_reflect", "hypot"} & swept


ALONE = """
op: alone
summary: A number without axes.
formats: [float32]
inputs: {x: {shape: []}}
output: {shape: []}
calls: {numpy: np.tanh(x)}
reference: tanh(x)
"""


def test_what_has_several_outputs_or_no_axes_cannot_be_swept(tmp_path):
    with pytest.raises(NotUnaryError, match="'split' cannot be swept: it has the outputs y, mean, and a sweep"):
        check_unary(SPLIT, "float32", {})
    with pytest.raises(NotUnaryError, match="'total' cannot be swept: it does not take one float array of any shape"):
        check_unary(TOTAL, "float32", {})
    (tmp_path / "alone.yaml").write_text(ALONE)
    (spec,) = load_specs([tmp_path], discover())
    with pytest.raises(NotUnaryError, match="'alone' cannot be swept: its input has to take any number of elements"):
        check_unary(spec, "float32", {})
