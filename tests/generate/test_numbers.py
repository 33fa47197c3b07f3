"""Distributions: their moments and ranges, and that a smaller array is the beginning of a larger one."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest

from opfuzz.generate import numbers
from opfuzz.generate.choices import Words

COUNT = 40_000


def test_uniform_is_exactly_the_word() -> None:
    word = Words("u").array(3)
    values = numbers.uniform(Words("u"), (3,))
    assert [Fraction(value) for value in values.tolist()] == [Fraction(w >> 11, 2**53) for w in word.tolist()]


def test_uniform_fills_its_range() -> None:
    values = numbers.uniform(Words("u"), (COUNT,))
    counts, _ = np.histogram(values, 20, (0, 1))
    assert np.abs(counts - COUNT / 20).max() < 5 * math.sqrt(COUNT / 20)
    values = numbers.symmetric(Words("u"), (COUNT,))
    assert -1 <= values.min() < -0.999
    assert 0.999 < values.max() < 1


def test_normal_has_the_moments_of_a_normal() -> None:
    values = numbers.normal(Words("n"), (COUNT,))
    assert values.mean() == pytest.approx(0, abs=0.02)
    assert values.std() == pytest.approx(1, abs=0.02)
    assert (values**3).mean() == pytest.approx(0, abs=0.06)
    # A sum of eight uniforms has a kurtosis of 3 - 6/5/8.
    assert (values**4).mean() == pytest.approx(2.85, abs=0.1)
    assert np.abs(values).max() < 4.9
    assert len(np.unique(values)) == COUNT


def test_the_scale_of_normal_is_its_deviation() -> None:
    variance = 8 * Fraction(256**2 - 1, 12) + Fraction(1, 12)
    assert pytest.approx(1 / math.sqrt(variance), rel=1e-15) == numbers._NORMAL_SCALE


def test_powers_are_as_likely_as_each_other() -> None:
    values = numbers.powers(Words("p"), (COUNT,), -3, 4)
    mantissa, exponent = np.frexp(np.abs(values))
    powers, counts = np.unique(exponent - 1, return_counts=True)
    assert powers.tolist() == list(range(-3, 5))
    assert np.abs(counts - COUNT / 8).max() < 5 * math.sqrt(COUNT / 8)
    assert mantissa.mean() == pytest.approx(0.75, abs=0.01)
    assert (values < 0).mean() == pytest.approx(0.5, abs=0.02)
    assert (numbers.powers(Words("p"), (COUNT,), -1022, 1023, signed=False) > 0).all()


def test_integers_reach_both_ends() -> None:
    values = numbers.integers(Words("i"), (COUNT,), -4, 4)
    assert np.unique(values).tolist() == list(range(-4, 5))


@pytest.mark.parametrize("make", [numbers.uniform, numbers.symmetric, numbers.normal])
def test_a_smaller_array_is_the_beginning_of_a_larger_one(make) -> None:  # type: ignore[no-untyped-def]
    large = make(Words("same"), (4, 5))
    np.testing.assert_array_equal(make(Words("same"), (7,)), large.reshape(-1)[:7])


@pytest.mark.parametrize("shape", [(), (0,), (2, 0), (1,), (2, 3, 4)])
def test_shapes(shape: tuple[int, ...]) -> None:
    made = [
        numbers.uniform(Words("s"), shape),
        numbers.symmetric(Words("s"), shape),
        numbers.normal(Words("s"), shape),
        numbers.powers(Words("s"), shape, -1, 1),
        numbers.integers(Words("s"), shape, 0, 5),
    ]
    assert all(np.shape(values) == shape for values in made)
