"""What was observed: figures as text, tensors from files, and the distance between drifts."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import save_file

from opfuzz.core.errors import OpfuzzError
from opfuzz.network.drift import drift
from opfuzz.network.localize.observed import (
    FIGURES,
    Observed,
    distance,
    factor,
    figures_of,
    read_figures,
    read_tensor,
    with_figures,
)

seeds = st.integers(0, 2**32 - 1)


def pair(seed, amount=0.3):
    random = np.random.default_rng(seed)
    a = random.normal(-5, 2, (2, 200))
    return a, a + amount * random.normal(size=a.shape) + 0.02


def test_figures_are_read():
    seen = read_figures("corr=0.9817, mae=0.32,shift=-0.04")
    assert seen.figures == {"corr": 0.9817, "mae": 0.32, "shift": -0.04}
    assert seen.decorrelation == pytest.approx(0.0183)
    assert seen.rms is None


def test_the_root_mean_square_follows_from_correlation_and_spreads():
    a, b = pair(0)
    found = drift(a, b)
    seen = read_figures(f"corr={found.corr!r},std_a={found.std_a},std_b={found.std_b},shift={found.shift}")
    assert seen.rms == pytest.approx(found.rms, rel=1e-6)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("corr", "'corr' is no name=number"),
        ("cor=0.9", "'cor=0.9' is no name=number; did you mean 'corr'?"),
        ("mae=x", "'mae' is 'x', which it cannot be"),
        ("mae=-1", "'mae' is '-1', which it cannot be"),
        ("corr=1.5", "'corr' is '1.5', which it cannot be"),
        ("mae=nan", "'mae' is 'nan', which it cannot be"),
        ("std_a=0,mae=1", "'std_a' is '0', which it cannot be"),
        ("mae=1,mae=2", "'mae' is given twice"),
        ("shift=0.1", "no size of a difference in it"),
    ],
)
def test_wrong_figures_are_refused(text, message):
    with pytest.raises(OpfuzzError, match=f"--observed: .*{message}".replace("?", r"\?")):
        read_figures(text)


@given(seeds)
def test_a_drift_is_at_no_distance_from_its_own_figures(seed):
    a, b = pair(seed)
    found = drift(a, b)
    assert distance(Observed(figures_of(found)), found) < 1e-6
    assert distance(read_figures(f"mae={found.mae!r}"), found) < 1e-9


@given(seeds, st.floats(1.1, 100))
def test_a_larger_drift_is_farther_and_by_how_much(seed, factor):
    a, b = pair(seed, 0.01)
    found, larger = drift(a, b), drift(a, a + factor * (b - a))
    sizes = Observed({name: getattr(found, name) for name in ("mae", "median", "max")})
    # Three sizes are off by the factor, the one quotient of two of them that both know is not.
    assert distance(sizes, larger) == pytest.approx(math.log(factor) * math.sqrt(3 / 4), rel=1e-6)


def test_the_unit_is_the_standard_deviation():
    a, b = pair(1)
    one, scaled = drift(a, b), drift(1000 * a, 1000 * b)
    assert distance(Observed(figures_of(one)), scaled) < 1e-6


def test_the_shape_tells_few_large_errors_from_many_small_ones():
    a = np.linspace(-1, 1, 1000)
    few, many = a.copy(), a + 0.01 * np.sign(np.sin(1000 * a))
    few[:10] += 0.1
    assert drift(a, few).rms == pytest.approx(drift(a, many).rms, rel=0.01)
    assert distance(Observed(figures_of(drift(a, few))), drift(a, many)) > 1


def test_no_change_and_nan_are_infinitely_far():
    a, b = pair(2)
    seen = Observed(figures_of(drift(a, b)))
    assert distance(seen, drift(a, a)) == math.inf
    assert distance(seen, drift(a, b * np.nan)) == math.inf


@pytest.mark.parametrize("shape", [(1, 4, 6), (4, 6), (1, 6, 4), (6, 4)])
def test_a_tensor_is_found_with_axes_missing_or_exchanged(tmp_path, shape):
    output = np.arange(24, dtype=np.float32).reshape(1, 4, 6)
    turned = output[0] if shape[-2:] == (4, 6) else output[0].T
    save_file({"output.mel": np.ascontiguousarray(turned.reshape(shape))}, tmp_path / "m.safetensors")
    seen = read_tensor(tmp_path / "m.safetensors", output)
    np.testing.assert_array_equal(seen.tensor, output)
    assert with_figures(seen, output).figures["max"] == 0


@pytest.mark.parametrize(
    ("tensors", "message"),
    [
        ({"x": (2, 3)}, r"no tensor of the output's shape \[1, 4, 6\]; candidates: x \[2, 3\]"),
        ({"x": (4, 6), "y": (4, 6)}, "2 tensors of the output's shape"),
        ({"input.mu": (4, 6)}, "no tensor of the output's shape .* candidates: none"),
        ({"mel": None}, "'mel' has 1 values that are NaN or infinite"),
    ],
)
def test_another_tensor_is_refused(tmp_path, tensors, message):
    arrays = {n: np.zeros(s or (4, 6), np.float32) for n, s in tensors.items()}
    if "mel" in arrays:
        arrays["mel"][0, 0] = np.nan
    save_file(arrays, tmp_path / "m.safetensors")
    with pytest.raises(OpfuzzError, match=message):
        read_tensor(tmp_path / "m.safetensors", np.zeros((1, 4, 6), np.float32))


def test_figures_of_another_network_count_in_units_of_its_spread():
    a, b = pair(0)
    there = figures_of(drift(10 * a, 10 * a + 3 * 10 * (b - a)))
    for names in (FIGURES, ("corr", "std_a", "std_b"), ("mae", "std_a"), ("max", "std_a")):
        known = Observed({name: there[name] for name in names})
        assert factor(known, drift(a, b)) == pytest.approx(3, rel=0.2 if "std_b" in names else 1e-6)
    assert factor(Observed({"mae": there["mae"]}), drift(a, b)) == pytest.approx(30)
