"""Regimes of floats: each makes what its name says, in every format and shape."""

from __future__ import annotations

import inspect
import math
from itertools import product
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from opfuzz.core.errors import OpfuzzError
from opfuzz.core.floats import BFLOAT16, FLOAT16, FLOAT32, FLOAT64, FORMATS, Format, ordinals, round_to
from opfuzz.generate import DEFAULT_REGIMES, REGIMES, harsh, indices, masks, mild
from opfuzz.generate.choices import Words
from opfuzz.generate.regimes import BY_KIND, FLOAT_REGIMES, check_regime
from opfuzz.spec.op import NEVER_NEGATIVE

formats = pytest.mark.parametrize("fmt", FORMATS.values(), ids=FORMATS)


def values_of(regime: str, fmt: Format, shape: tuple[int, ...] = (64, 64), seed: int = 0) -> NDArray[np.float64]:
    """What a kernel gets to see, as float64."""
    values = FLOAT_REGIMES[regime](Words(regime, seed), shape, fmt)
    assert values.dtype in (np.float64, fmt.dtype)
    rounded = values if values.dtype == fmt.dtype else round_to(values, fmt)
    assert np.shape(rounded) == shape
    return np.asarray(rounded, np.float64)


def many(regime: str, fmt: Format, count: int = 60) -> list[NDArray[np.float64]]:
    return [values_of(regime, fmt, (16, 16), seed) for seed in range(count)]


SHAPES: list[tuple[int, ...]] = [(), (0,), (1,), (7,), (3, 0), (0, 3), (1, 5), (2, 3, 4)]


@formats
@pytest.mark.parametrize("regime", FLOAT_REGIMES)
def test_every_shape(regime: str, fmt: Format) -> None:
    with np.errstate(all="raise", under="ignore"):
        for shape, seed in product(SHAPES, range(12)):
            values_of(regime, fmt, shape, seed)


@formats
@pytest.mark.parametrize("regime", [name for name in FLOAT_REGIMES if name != "specials"])
def test_only_specials_are_not_finite(regime: str, fmt: Format) -> None:
    assert all(np.isfinite(values).all() for values in many(regime, fmt))


@pytest.mark.parametrize("module", [mild, harsh, indices, masks])
def test_every_regime_is_in_the_table(module: Any) -> None:
    public = [name for name, f in inspect.getmembers(module, inspect.isfunction) if f.__module__ == module.__name__]
    assert {name for name in public if not name.startswith("_")} <= set(REGIMES)


def test_the_default_lists() -> None:
    assert {kind: sum(weights.values()) for kind, weights in DEFAULT_REGIMES.items()} == dict.fromkeys(BY_KIND, 100)
    assert DEFAULT_REGIMES["float"]["specials"] == 8
    assert all(weight > 0 for weights in DEFAULT_REGIMES.values() for weight in weights.values())
    listed = {
        "powers_of_two",
        "outliers",
        "one_hot",
        "alternating_index",
        "middle_index",
    }  # only where a spec names them
    assert set(REGIMES) - {name for weights in DEFAULT_REGIMES.values() for name in weights} == listed


@pytest.mark.parametrize("fmt", [FLOAT16, FLOAT32])
def test_regimes_that_make_no_negative_number(fmt: Format) -> None:
    made = {regime for regime in FLOAT_REGIMES if not any((values < 0).any() for values in many(regime, fmt))}
    assert made == NEVER_NEGATIVE


def test_a_regime_of_another_kind_is_refused() -> None:
    check_regime("causal_mask", "additive_mask", "m")
    with pytest.raises(OpfuzzError, match="input x: regime 'causal_mask' makes no float values; known: zeros, ones"):
        check_regime("causal_mask", "float", "x")
    with pytest.raises(OpfuzzError, match="input x: unknown regime 'norml'; did you mean 'normal'"):
        check_regime("norml", "float", "x")


def test_simple_values() -> None:
    assert not values_of("zeros", FLOAT32).any()
    assert (values_of("ones", FLOAT32) == 1).all()
    assert all(np.ptp(values) == 0 for values in many("constant", BFLOAT16))
    assert 0.3 < np.mean([values[0, 0] == 0.1 for values in many("constant", FLOAT64)]) < 0.7
    unit = values_of("unit", FLOAT32)
    assert 0 <= unit.min() < 0.01
    assert 0.99 < unit.max() <= 1


@formats
def test_integers_are_exact(fmt: Format) -> None:
    seen = many("integers", fmt)
    assert all((values == np.round(values)).all() for values in seen)
    assert max(np.abs(values).max() for values in seen) > 0.9 * min(2**fmt.precision, fmt.largest)
    assert any((values >= 0).all() for values in seen)


@formats
def test_powers_of_two_scale_exactly(fmt: Format) -> None:
    values = values_of("powers_of_two", fmt)
    assert set(np.unique(values)) == {2.0**e for e in range(-8, 9)}


def test_outliers_are_few_and_far_above_the_others() -> None:
    seen = many("outliers", FLOAT16)
    assert all(6 < np.abs(values).max() < FLOAT16.largest for values in seen)
    assert all(np.median(np.abs(values)) < 2 for values in seen)
    is_column = [(np.abs(values).max(axis=0) > 12).sum() == 1 for values in seen]
    assert 0.1 < np.mean(is_column) < 0.9


@formats
def test_full_range_reaches_the_extreme_exponents(fmt: Format) -> None:
    values = np.abs(values_of("full_range", fmt, (200, 200)))
    assert values.max() > fmt.largest / 8
    if fmt.bits == 16:
        assert values.min() == 0
        assert len(np.unique(values)) > 0.6 * ((2 * fmt.emax + 1) << (fmt.precision - 1))
    places = ordinals(np.asarray(round_to(values, fmt))) / float((2 * fmt.emax + 1) << (fmt.precision - 1))
    assert places.mean() == pytest.approx(0.5, abs=0.01)
    assert places.std() == pytest.approx(math.sqrt(1 / 12), abs=0.01)


def test_log_magnitude_spans_forty_binades() -> None:
    values = values_of("log_magnitude", FLOAT32)
    exponents = np.frexp(np.abs(values))[1] - 1
    assert (exponents.min(), exponents.max()) == (-20, 20)
    assert (values_of("positive", FLOAT16) > 0).all()


def test_offset_has_its_ratios() -> None:
    ratios = [abs(values.mean()) / values.std() for values in many("offset", FLOAT32, 200)]
    assert min(ratios) < 8
    assert max(ratios) > 2**16
    assert sum(np.ptp(values) == 0 for values in many("offset", BFLOAT16)) == 0


def test_tiny_variance_goes_below_what_an_eps_can_hide() -> None:
    variances = [values.var() for values in many("tiny_variance", FLOAT32, 100)]
    assert max(variances) < 1e-5
    assert sum(variance < 1e-6 for variance in variances) > 50
    assert sum(0 < variance < 1e-11 for variance in variances) > 5


def test_spread_goes_beyond_the_exponentials() -> None:
    seen = many("spread", BFLOAT16)
    assert all(values.max() > 80 and values.min() < -80 for values in seen)
    assert max(values.max() for values in seen) > 180


@formats
def test_large_overflows_in_three_ways(fmt: Format) -> None:
    seen = many("large", fmt)
    with np.errstate(over="ignore"):
        assert all((round_to(values**2, fmt) == np.inf).any() for values in seen)
        assert any(np.isfinite(round_to(np.abs(values).sum(keepdims=True), fmt)).all() for values in seen)
    assert any(np.abs(values).max() > 0.9 * fmt.largest for values in seen)
    if fmt.emax == 127:
        deviations = [values.std() for values in seen]
        assert any(1e19 < deviation < 3e19 for deviation in deviations)


@formats
def test_small_holds_subnormals_of_all_lengths(fmt: Format) -> None:
    values = np.abs(values_of("small", fmt))
    assert values.max() <= 16 * fmt.smallest_normal
    subnormal = values[(values > 0) & (values < fmt.smallest_normal)]
    assert 0.2 < len(subnormal) / values.size < 0.9
    assert subnormal.min() <= 4 * fmt.smallest_subnormal
    assert (values_of("small", fmt) < 0).any()


def test_near_zero() -> None:
    values = values_of("near_zero", FLOAT32)
    assert np.abs(values).min() < 2e-12
    assert np.abs(values).max() > 1e-3
    assert (values_of("near_zero", FLOAT16) != 0).all()


def test_angles_lie_next_to_multiples_of_half_pi() -> None:
    values = np.concatenate([values.reshape(-1) for values in many("angles", FLOAT64)])
    assert 9000 < np.abs(values).max() <= 1e4
    steps = values / (math.pi / 2)
    near = (np.abs(steps - np.round(steps)) < 1e-9) & (values != 0)
    assert 0.3 < near.mean() < 0.6


@formats
@pytest.mark.parametrize("length", [8, 9])
def test_cancelling_pairs_cancel(fmt: Format, length: int) -> None:
    """All but the odd one out: what a row (or column) sums to is small against what it holds."""
    for seed in range(40):
        values = values_of("cancelling", fmt, (length, length), seed)
        for lines in (values, values.T):
            left = [row for row in lines if abs(_pair_sum(row)) <= 40 * fmt.unit_roundoff * np.abs(row).sum()]
            if len(left) == length:
                break
        else:
            pytest.fail(f"nothing cancels with seed {seed}")


def _pair_sum(row: NDArray[np.float64]) -> float:
    """Sum of a row without the element that has no partner: the one whose removal leaves the least."""
    if len(row) % 2 == 0:
        return float(row.sum())
    return min((float(row.sum() - element) for element in row), key=abs)


def test_specials_keep_mostly_normal_values_and_come_one_kind_at_a_time() -> None:
    seen = many("specials", FLOAT32, 200)
    has = {
        "nan": [np.isnan(values).any() for values in seen],
        "inf": [np.isinf(values).any() for values in seen],
        "negative zero": [((values == 0) & np.signbit(values)).any() for values in seen],
        "subnormal": [((values != 0) & (np.abs(values) < FLOAT32.smallest_normal)).any() for values in seen],
        "largest": [(np.abs(values) == FLOAT32.largest).any() for values in seen],
    }
    assert all(0.1 < np.mean(flags) < 0.6 for flags in has.values())
    assert np.mean([np.isfinite(values).mean() for values in seen]) > 0.9
    assert any((values == -np.inf).all(axis=-1).any() for values in seen)
    ordinary = np.concatenate([values[np.abs(values) < 5] for values in seen])
    assert ordinary.std() == pytest.approx(1, abs=0.1)
    shortest = [values_of("specials", FLOAT32, (1,), seed)[0] for seed in range(50)]
    assert all(not np.isfinite(v) or v == 0 or abs(v) == FLOAT32.largest or abs(v) < 1e-37 for v in shortest)


def test_a_running_sum_of_ones_stops_in_a_half_format() -> None:
    """Why ones are in the list: with 257 elements bfloat16 shows it."""
    total = np.zeros((), BFLOAT16.dtype)
    for one in values_of("ones", BFLOAT16, (257,)).astype(BFLOAT16.dtype):
        total = np.asarray(total + one, BFLOAT16.dtype)
    assert float(total) == 256
