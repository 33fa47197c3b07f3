"""What holds for every fault: candidates are valid and smaller, the end is a fixed point, limits are kept."""

from __future__ import annotations

import numpy as np
import pytest
from bundled_ops import BUNDLED_OPS
from hypothesis import given, settings
from hypothesis import strategies as st
from shrunk_calls import call_of, shrunk
from toy_specs import TOYS, UNARY

from opfuzz.core.call import Call
from opfuzz.generate import draw, inputs
from opfuzz.search.shrink import Enough, drive, shrink
from opfuzz.search.shrink.values import rounded
from opfuzz.spec.order import call_key

SPECS = (
    *TOYS,
    *(BUNDLED_OPS[op] for op in ("conv_transpose1d", "group_norm", "linear", "embedding", "attention_mask")),
)


def conditions(call):
    """Faults that the call shows, each a predicate over calls."""
    for name, size in call.dims.items():
        yield lambda c, name=name, size=size: c.dims[name] >= size
        yield lambda c, name=name, size=size: c.dims[name] >= size // 2
        yield lambda c, name=name, size=size: c.dims[name] % 4 == size % 4
        for other in call.dims:
            if call.dims[other] >= size:
                yield lambda c, name=name, other=other: c.dims[other] >= c.dims[name]
    for name, layout in call.layouts.items():
        yield lambda c, name=name, layout=layout: c.layouts[name] == layout
    for name, array in call.arrays.items():
        values = array.astype(np.float64)
        top = np.max(np.abs(values), initial=0)
        if values.any():
            yield lambda c, name=name: bool(c.arrays[name].any())
        if top > 0 and np.isfinite(top):
            yield lambda c, name=name, top=top: bool((np.abs(c.arrays[name].astype(np.float64)) > top / 2).any())
    for name, value in call.params.items():
        yield lambda c, name=name, value=value: c.params[name] == value


@settings(max_examples=40)
@given(st.sampled_from(SPECS), st.integers(0, 60), st.data())
def test_the_end_is_interesting_smaller_and_a_fixed_point(spec, number, data):
    case = draw(spec, "float32", 0, number)
    arrays = inputs(spec, case)
    if sum(array.size for array in arrays.values()) > 3000:
        return
    start = Call(case.format, case.dims, case.params, arrays, case.layouts)
    found = list(conditions(start))
    picked = data.draw(st.lists(st.integers(0, len(found) - 1), min_size=1, max_size=3))
    chosen = [found[index] for index in picked]

    def is_interesting(call):
        return all(condition(call) for condition in chosen)

    best, _ = shrunk(spec, start, is_interesting, limit=10_000)
    assert is_interesting(best)
    assert call_key(spec, best) <= call_key(spec, start)
    again, _ = shrunk(spec, best, is_interesting, limit=10_000)
    assert again is best


@pytest.mark.parametrize("limit", [0, 1, 7, 25])
def test_the_limit_is_kept_and_the_best_so_far_returned(limit):
    start = call_of(UNARY, {"n": 70000})
    asked = []

    def is_interesting(call):
        asked.append(call)
        return call.dims["n"] >= 1025

    best, count = drive(shrink(UNARY, start), is_interesting, limit)
    assert count == len(asked) == limit
    good = [call for call in asked if call.dims["n"] >= 1025]
    assert best is (good[-1] if good else start)


def test_a_call_without_smaller_ones_is_returned_itself():
    start = call_of(UNARY, {"n": 70000})
    best, count = drive(shrink(UNARY, start), lambda call: False, 10_000)
    assert best is start
    assert 20 < count < 150


def test_enough_ends_the_attempts():
    attempts = shrink(UNARY, call_of(UNARY, {"n": 100}))
    first = next(attempts)
    attempts.send(True)
    with pytest.raises(StopIteration) as stop:
        attempts.throw(Enough())
    assert stop.value.value is first


def test_the_same_questions_are_asked_each_time():
    def asked():
        calls = []
        drive(shrink(UNARY, call_of(UNARY, {"n": 913})), lambda c: calls.append(c) or c.dims["n"] >= 40, 1000)
        return [(call.dims["n"], call.arrays["x"].tobytes()) for call in calls]

    assert asked() == asked()


@given(st.floats(-1e30, 1e30), st.integers(1, 20))
def test_rounding_to_few_bits(x, bits):
    near, up = (float(rounded(np.array(x), bits, towards)) for towards in (np.rint, np.ceil))
    assert abs(near - x) <= abs(x) * 2.0**-bits
    assert abs(x) <= abs(up) <= abs(x) * (1 + 2.0 ** (1 - bits))
    assert np.frexp(near)[0] * 2**bits == np.rint(np.frexp(near)[0] * 2**bits)


@pytest.mark.filterwarnings("error")
def test_rounding_up_from_the_largest_number_is_infinity_without_a_word():
    assert rounded(np.array([-1.7e308, 1.0]), 1, np.ceil).tolist() == [-np.inf, 1.0]
