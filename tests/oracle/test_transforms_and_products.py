"""Running products, equations of products, and overlapping windows: against NumPy, and Fractions where it overflows."""

from __future__ import annotations

import importlib
from fractions import Fraction
from itertools import accumulate
from operator import mul

import numpy as np
import pytest
from bundled_ops import BUNDLED_OPS
from hypothesis import given
from hypothesis import strategies as st

from opfuzz.core.call import Call
from opfuzz.core.floats import FLOAT32
from opfuzz.oracle import balls, exact, graph, models, working
from opfuzz.oracle.operations import REFERENCE_FUNCTIONS as F
from opfuzz.oracle.reference import references_of

RNG = np.random.default_rng(3)
A, B, C = RNG.normal(size=(2, 3, 4)), RNG.normal(size=(2, 4, 5)), RNG.normal(size=(5, 3))


def x_of(array):
    return graph.leaf(np.asarray(array, np.float64), "input")


def value(node):
    return balls.evaluate(graph.as_node(node), []).mid


@pytest.mark.parametrize(
    ("equation", "arrays"),
    [
        ("bij,bjk->bik", (A, B)),
        ("bij, bjk, kl -> bil", (A, B, C)),
        ("bij->jb", (A,)),
        ("bij->", (A,)),
        ("bij,bij->", (A, A)),
        ("bij,bij->bji", (A, A)),
        ("bij,kl->ik", (A, C)),
        ("bij,bjk->kb", (A, B)),
        ("i,j->ij", (C[:, 0], C[0])),
    ],
)
def test_an_equation_means_what_numpy_makes_of_it(equation, arrays):
    np.testing.assert_allclose(value(F["einsum"](equation, *map(x_of, arrays))), np.einsum(equation, *arrays), 1e-12)


@pytest.mark.parametrize(
    ("equation", "arrays"), [("ij,jk->ik", (A[0], A[0])), ("ii->i", (A[0, :3, :3],)), ("i->i", (A,))]
)
def test_an_equation_that_does_not_fit_is_refused(equation, arrays):
    with pytest.raises(ValueError, match=r"ax[ie]s"):
        F["einsum"](equation, *map(x_of, arrays))


def products(row):
    return list(accumulate(map(Fraction, row), mul))


@pytest.mark.parametrize(
    "row",
    [
        RNG.normal(size=40),
        [1e-200, 1e-200, 1e300, 1e100, 2, -3],  # beyond float64 on the way, and back
        [1e200, 1e200, 1e-300, 1e-90, 5],
        [2.0, 0.0, 5.0, 7.0],
        [2.0**-1000, 2.0**-74, 1.5, 2.0**60],
        np.full(300, 1.1),
    ],
)
def test_a_running_product_is_inside_its_ball_and_settled_by_arb(row):
    node = F["cumprod"](x_of(row))
    ball = balls.evaluate(node, [models.TRUTH])
    places = np.arange(len(row))
    settled = exact.settle(node, places, lambda values: np.maximum(np.abs(values) * 1e-20, 2.0**-1074))
    for i, right in enumerate(products(row)):
        if abs(right) < Fraction(2) ** 1023:
            assert abs(right - Fraction(ball.mid[i])) <= Fraction(ball.radii[0][i])
            assert abs(right - Fraction(settled.hi[i]) - Fraction(settled.lo[i])) <= Fraction(settled.radius[i])
        else:
            assert settled.hi[i] in (np.inf, -np.inf)


def test_a_running_product_allows_what_float32_loses_among_subnormals_and_not_much_more():
    row = np.array([1e-30, 1e-12, 1e20, 1e15, 3], np.float32)
    made = np.multiply.accumulate(row)
    node = F["cumprod"](x_of(row))
    radius = balls.evaluate(node, [models.working("wide", FLOAT32)]).radii[0]
    off = np.abs(made - np.array([float(p) for p in products(row.tolist())]))
    assert (off <= 3 * (radius + np.abs(made) * 2.0**-24)).all()
    assert (radius[:1] == 0).all()
    assert (radius[2:] < 0.1 * made[2:]).all()
    assert working.emulate(node, FLOAT32, 1).values.tolist() == made.tolist()


def test_a_running_product_overflows_on_the_way_where_neighbours_do_or_where_a_zero_has_long_been_made_of_it():
    row = [1e-30, 1e-30, *[1e30] * 4, *[1e-30] * 2]  # 1e60 on the way to 1, and in two neighbours alone
    assert working.emulate(F["cumprod"](x_of(row)), FLOAT32, 1).overflowed.tolist() == [False] * 3 + [True] * 5
    after_zero = [2.0, 0.0, 1e30, 1e5, 1e5]  # a scan by doubling multiplies infinity and zero
    assert working.emulate(F["cumprod"](x_of(after_zero)), FLOAT32, 1).overflowed.tolist() == [False] * 4 + [True]


def by_doubling(row):
    step = 1
    while step < len(row):
        row = np.concatenate([row[:step], row[:-step] * row[step:]])
        step *= 2
    return row


def in_blocks(row, size=4):
    made, carried = [], np.float32(1)
    for start in range(0, len(row), size):
        made.append(np.multiply.accumulate(row[start : start + size]) * carried)
        carried = made[-1][-1]
    return np.concatenate(made)


def from_the_right(row):
    return np.array([np.multiply.accumulate(row[i::-1])[-1] for i in range(len(row))])


@pytest.mark.parametrize("scan", [by_doubling, in_blocks, from_the_right, np.multiply.accumulate])
@given(st.lists(st.floats(-37, 37), min_size=1, max_size=33), st.integers(-1, 32))
def test_a_running_product_allows_what_is_lost_however_its_factors_are_grouped(scan, powers, zero):
    row = (10.0 ** np.array(powers)).astype(np.float32)
    if 0 <= zero < len(row):
        row[zero] = 0
    node = F["cumprod"](x_of(row))
    with np.errstate(all="ignore"):
        made = scan(row).astype(np.float64)
    mid, radius = value(node), balls.evaluate(node, [models.working("wide", FLOAT32)]).radii[0]
    counted = ~working.emulate(node, FLOAT32, 1).overflowed
    assert np.isfinite(made[counted]).all()
    allowed = 3 * (radius + np.maximum(np.abs(mid) * 2.0**-24, 2.0**-150))
    assert (np.abs(made - mid) <= allowed)[counted].all()


def test_a_factor_that_may_not_be_zero_moves_what_follows():
    x = x_of([3.0, 1.0, 5.0])
    node = F["cumprod"](x - x_of([0.0, 1.0, 0.0]))  # 1 - 1, each off by what its input is
    (radius,) = balls.evaluate(node, [models.conditioning(FLOAT32)]).radii
    u = FLOAT32.unit_roundoff
    assert radius[0] == pytest.approx(3 * u)
    assert 15 * u <= radius[2] <= 40 * u


@pytest.mark.parametrize("stride", [1, 2, 3, 4, 7])
def test_windows_laid_over_each_other_are_added_up(stride):
    frames = RNG.normal(size=(2, 3, 4))
    made = np.zeros((2, 2 * stride + 4))
    for i in range(3):
        made[:, i * stride : i * stride + 4] += frames[:, i]
    np.testing.assert_allclose(value(F["overlap_add"](x_of(frames), stride)), made, rtol=1e-13, atol=1e-15)
    with pytest.raises(ValueError, match="cannot be laid 0 apart"):
        F["overlap_add"](x_of(frames), 0)


def test_frames_of_the_transform_are_those_of_scipy():
    signal = importlib.import_module("scipy.signal")  # which takes every process a second to load
    x, window = RNG.normal(size=64), signal.get_window("hann", 16)
    right = signal.ShortTimeFFT(window, 4, fs=1, phase_shift=None).stft(x, p0=2, p1=15)
    z = value(F["rfft"](F["windows"](x_of(x), 0, 16, 4) * x_of(window), axis=-1))
    np.testing.assert_allclose(z[..., 0] + 1j * z[..., 1], right.T, atol=1e-12)


def test_what_an_inverse_of_frames_may_be_off_is_within_a_hundred_times_what_float32_is():
    rng, (frames, n_fft, hop) = np.random.default_rng(1), (24, 64, 16)
    parts = rng.normal(size=(2, n_fft // 2 + 1, frames)).astype(np.float32)
    dims = {"batch": 1, "frames": frames, "n_fft": n_fft, "hop": hop}
    call = Call("float32", dims, {"normalized": False}, {"re": parts[:1], "im": parts[1:]}, {})
    (reference,) = references_of(BUNDLED_OPS["istft"], call)
    turns = np.arange(n_fft, dtype=np.float32) * np.float32(2 * np.pi / n_fft)
    window = np.float32(0.5) - np.float32(0.5) * np.cos(turns)
    y = np.fft.irfft((parts[0] + 1j * parts[1]).astype(np.complex64).T, n_fft).astype(np.float32) * window
    total, share = np.zeros((2, hop * (frames - 1) + n_fft), np.float32)
    for i in range(frames):
        total[i * hop : i * hop + n_fft] += y[i]
        share[i * hop : i * hop + n_fft] += window**2
    made = (total / np.where(share == 0, 1, share))[n_fft // 2 : -(n_fft // 2)]
    excess = np.abs(made - reference.truth.hi[0]) / reference.wide[0]
    assert 0.01 < excess.max() < 1
    assert reference.truth.open_places.size == 0


def test_a_transform_that_leaves_float64_on_the_way_overflows_inside():
    parts = np.where(np.arange(63) % 2, -8e307, 8e307)[None]
    (reference,) = references_of(
        BUNDLED_OPS["ifft"], Call("float64", {"batch": 1, "n": 63}, {}, {"re": parts, "im": parts}, {})
    )
    assert np.isnan(reference.truth.hi).any()  # not known to balls, and no right answer
    assert reference.overflows.all()


def test_the_logarithm_of_a_long_running_sum_is_known_where_exp_overflows():
    row = (RNG.normal(size=2**12) * 300).astype(np.float32)
    node = F["log"](F["cumsum"](F["exp"](x_of(row))))
    right = np.logaddexp.accumulate(row.astype(np.longdouble))
    settled = exact.settle(node, np.array([0, 5, 100, row.size - 1]), lambda values: np.abs(values) * 1e-12)
    np.testing.assert_allclose(settled.hi, right[[0, 5, 100, -1]].astype(np.float64), 1e-10)
    assert (settled.radius < 1e-8).all()
