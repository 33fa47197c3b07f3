"""Samples of a sweep: they are even, try what is hard, and come near the largest error of all inputs."""

from __future__ import annotations

import numpy as np
import pytest
from bundled_ops import BUNDLED_OPS

from opfuzz.core.floats import FLOAT32, from_bits, round_to, to_bits
from opfuzz.search.sweep.reference import FlatReference
from opfuzz.search.sweep.sample import spread, sweep_sample

LOW, HIGH = 0x3F000000, 0x3F400000  # 0.5 to 0.75, 2^22 floats
LAST = 0x42B17217  # the largest float of which exp is below infinity


class Wrong:
    """A function in float64, rounded once, and then so many floats further on as `errors` says of each input."""

    def __init__(self, function, errors):
        self.function, self.errors = function, errors

    def body(self, inputs):
        with np.errstate(all="ignore"):
            right = round_to(self.function(inputs.astype(np.float64)), FLOAT32)
        return from_bits(to_bits(right) + self.errors(to_bits(inputs)).astype(np.uint32), FLOAT32)

    tail = body


def sampled(op, function, errors, low, high, count):
    oracle = FlatReference(BUNDLED_OPS[op], "float32", {})
    with np.errstate(all="ignore"):
        return sweep_sample(low, high, count, Wrong(function, errors), oracle, FLOAT32)[0]


@pytest.mark.parametrize(("low", "high", "count"), [(0, 2**32, 1000), (5, 105, 100), (7, 8, 1)])
def test_one_of_each_run_of_neighbours_is_tried(low, high, count):
    found = spread(low, high, count)
    assert found.size == count
    width = (high - low) / count
    assert [int((bits - low) // width) for bits in found.tolist()] == list(range(count))
    ends = np.bincount((found & np.uint64(7)).astype(np.int64), minlength=8)
    assert count < 1000 or ends.min() > 80  # floats that end in zeros are not typical


def test_the_largest_error_of_a_peak_is_found_and_its_surroundings_are_tried_whole():
    peak = LOW + 1_234_567  # of 4 million; one in 512 is tried at first

    def errors(bits):
        away = np.abs(bits.astype(np.int64) - peak)
        return np.maximum(0, 9 - away // 4096) + 20 * (away == 3)  # two floats of some thousand stand out

    found = sampled("exp", np.exp, errors, LOW, HIGH, 8192)
    assert found.largest.bits in (peak - 3, peak + 3)
    assert found.largest.value == pytest.approx(29, abs=0.5)
    assert 2**20 < found.inputs < 2**21


def test_the_last_floats_before_infinity_are_tried():
    found = sampled(
        "exp", np.exp, lambda bits: 2**20 * ((bits > LAST - 3) & (bits <= LAST)), 0x42000000, 0x43000000, 64
    )
    assert (found.mismatches["inf"] + found.mismatches["nan"], found.mismatches["finite"]) == (3, 0)


def test_what_a_sine_cancels_most_is_tried():
    # 16367173 2^72 is the float nearest, for its size, to a multiple of pi/2.
    hardest = int(to_bits(np.array(16367173 * 2.0**72, np.float32)))
    found = sampled("cos", np.cos, lambda bits: 64 * (bits == hardest), hardest - 10**6, hardest + 10**6, 64)
    assert found.largest.bits == hardest


def test_no_input_is_counted_twice():
    found = sampled("exp", np.exp, lambda bits: 0 * bits, LOW, LOW + 1024, 1024)
    assert found.inputs == 1024
