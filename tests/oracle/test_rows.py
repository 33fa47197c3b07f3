"""Scans and Fourier transforms: values, balls that hold Arb's, and allowances that honest float32 stays within."""

import flint
import numpy as np
import pytest
import scipy.special
from flint import arb

from opfuzz.core.floats import FLOAT16, FLOAT32, ulp
from opfuzz.oracle import balls, exact, graph, models, working
from opfuzz.oracle.altered import carry
from opfuzz.oracle.dependencies import dependencies, undefined
from opfuzz.oracle.forms import lossy_forms
from opfuzz.oracle.operations import REFERENCE_FUNCTIONS as F

torch = pytest.importorskip("torch")
RNG = np.random.default_rng(5)


def x_of(array):
    return graph.leaf(np.asarray(array, np.float64), "input")


def pairs(numbers):
    return np.stack([numbers.real, numbers.imag], -1)


def truth_of(root, *more):
    ball = balls.evaluate(root, [models.TRUTH, *more])
    return ball.mid, [np.zeros(ball.mid.shape) if r is None else np.broadcast_to(r, ball.mid.shape) for r in ball.radii]


def holds(root, right):
    """Whether the ball and what Arb settles both hold these values, which are arbs of 300 bits."""
    mid, (radius,) = truth_of(root)
    settled = exact.settle(root, np.arange(root.size), lambda hi: np.abs(hi) * 2.0**-80 + 2.0**-1074)
    for m, r, hi, lo, rest, value in zip(
        mid.ravel(), radius.ravel(), settled.hi, settled.lo, settled.radius, right, strict=True
    ):
        assert not abs(value - m) > r
        assert not abs(value - arb(hi) - arb(lo)) > rest
        assert rest <= abs(hi) * 2.0**-79 + 2.0**-1000


ROWS = [
    RNG.normal(size=40),
    RNG.normal(size=40) * 100,
    np.sort(RNG.normal(size=40) * 50),
    np.full(30, -np.log(30.0)),  # the last sum is 1, and its logarithm nearly 0
    np.array([-745.0, -2000.0, 1e30, -1e30, 1e30, 5.0]),
]


@pytest.mark.parametrize("row", ROWS)
def test_logcumsumexp_is_the_logarithm_of_sums_at_300_bits(row, monkeypatch):
    monkeypatch.setattr(flint.ctx, "prec", 300)
    shift = [max(row[: i + 1]) for i in range(len(row))]
    right = [sum(((arb(t) - arb(s)).exp() for t in row[: i + 1]), arb(0)).log() + arb(s) for i, s in enumerate(shift)]
    holds(F["logcumsumexp"](x_of(row)), right)


def test_logcumsumexp_of_what_is_known_roughly_moves_by_no_more_than_it_may():
    x, off = RNG.normal(size=(2, 60)) * 3, np.abs(RNG.normal(size=(2, 60))) * 0.1
    # Products whose conditioning is an error of exactly that size.
    root = F["logcumsumexp"](x_of(x), axis=-1)
    rule = balls._RULES["logcumsumexp"]
    mid, radius_of, _ = rule(root, [x])
    bound = radius_of([off], models.conditioning(FLOAT32))
    for signs in (1, -1, RNG.choice([-1, 1], size=x.shape)):
        moved = np.logaddexp.accumulate(x + signs * off, axis=-1)
        assert (np.abs(moved - mid) <= bound * (1 + 1e-12)).all()
    assert (bound <= np.maximum.accumulate(off, -1) * (1 + 1e-12)).all()


def test_logcumsumexp_of_65536_is_settled_without_arb():
    x = RNG.normal(size=(2, 65536)).astype(np.float32)
    mid, (radius,) = truth_of(F["logcumsumexp"](x_of(x)))
    assert (radius <= 0.01 * ulp(mid, FLOAT32)).mean() > 0.999
    right = scipy.special.logsumexp(x.astype(np.float64), axis=-1)
    np.testing.assert_allclose(mid[:, -1], right, rtol=1e-13)


def test_infinities_and_nan_in_a_running_sum():
    x = [-np.inf, -np.inf, 1, np.inf, 2, np.nan, 3]
    right = [-np.inf, -np.inf, 1, np.inf, np.inf, np.nan, np.nan]
    root = F["logcumsumexp"](x_of(x))
    mid, (radius,) = truth_of(root)
    settled = exact.settle(root, np.arange(7), lambda hi: hi * 0)
    np.testing.assert_array_equal(mid, right)
    np.testing.assert_array_equal(settled.hi, right)
    assert radius[~np.isfinite(right)].max() == 0


def test_running_extremes():
    x = RNG.normal(size=(3, 4, 5))
    np.testing.assert_array_equal(truth_of(F["cummax"](x_of(x), axis=1))[0], np.maximum.accumulate(x, 1))
    np.testing.assert_array_equal(truth_of(F["cummin"](x_of(x)))[0], np.minimum.accumulate(x, -1))
    settled = exact.settle(F["cummax"](x_of(x), axis=1), np.arange(60), lambda hi: hi * 0)
    np.testing.assert_array_equal(settled.hi.reshape(x.shape), np.maximum.accumulate(x, 1))


def dft_at_300_bits(numbers, sign):
    n = len(numbers)
    found = []
    for k in range(n):
        angles = [arb.pi() * 2 * sign * j * k / n for j in range(n)]
        terms = [(arb(z.real), arb(z.imag), a.cos(), a.sin()) for z, a in zip(numbers, angles, strict=True)]
        found += [
            sum((x * c - y * s for x, y, c, s in terms), arb(0)),
            sum((x * s + y * c for x, y, c, s in terms), arb(0)),
        ]
    return found


@pytest.mark.parametrize("n", [1, 2, 7, 12])
def test_fourier_transforms_are_the_sums_that_define_them(n, monkeypatch):
    monkeypatch.setattr(flint.ctx, "prec", 300)
    z = RNG.normal(size=n) + 1j * RNG.normal(size=n)
    holds(F["fft"](x_of(pairs(z))), dft_at_300_bits(z, -1))
    holds(F["ifft"](x_of(pairs(z))), [value / n for value in dft_at_300_bits(z, 1)])
    holds(F["rfft"](x_of(z.real)), dft_at_300_bits(z.real + 0j, -1)[: 2 * (n // 2 + 1)])


@pytest.mark.parametrize("axis", [0, 1, -1])
@pytest.mark.parametrize("n", [1, 2, 5, 6])
def test_real_transforms_are_numpys_along_any_axis(n, axis):
    x = np.moveaxis(RNG.normal(size=(2, 3, n)), -1, axis)
    right = np.fft.rfft(x, axis=axis)
    node = F["rfft"](x_of(x), axis=axis)
    assert node.shape == (*right.shape, 2)
    np.testing.assert_allclose(truth_of(node)[0], pairs(right), atol=1e-13)
    noisy = pairs(right) + RNG.normal(size=node.shape)  # what cannot be of real numbers does not count
    back = F["irfft"](x_of(noisy), n, axis)
    np.testing.assert_allclose(truth_of(back)[0], np.fft.irfft(noisy[..., 0] + 1j * noisy[..., 1], n, axis), atol=1e-13)


def test_the_imaginary_parts_that_are_zero_are_exactly_zero():
    mid, (radius,) = truth_of(F["rfft"](x_of(RNG.normal(size=8))))
    assert mid[[0, 4], 1].tolist() == [0, 0]
    assert radius[[0, 4], 1].tolist() == [0, 0]


def test_what_a_transform_makes_of_infinities_is_not_judged():
    x = np.ones((2, 6))
    x[0, 3] = np.inf
    root = F["rfft"](x_of(x)) * 2
    assert undefined(root)[0].any()
    assert not undefined(root)[1].any()
    assert undefined(F["exp"](x_of(x))) is None
    assert set(dependencies(root, 3)) == {id(node) for node in graph.topological(root) if node.op == "input"}


SHAPES = {
    "normal": lambda n: RNG.normal(size=(2, n)),
    "positive": lambda n: RNG.random((2, n)),
    "rising": lambda n: np.sort(RNG.normal(size=(2, n)) * 20),
    "offset": lambda n: RNG.normal(size=(2, n)) + 1000,
    "magnitudes": lambda n: np.exp(RNG.normal(size=(2, n)) * 15),
    "sine": lambda n: np.sin(10 * np.pi * np.arange(n) / n) + np.zeros((2, 1)),
}


def excess(root, computed):
    mid, (_, wide) = truth_of(root, models.working("wide", FLOAT32))
    error, unit = np.abs(computed.astype(np.float64) - mid), ulp(mid, FLOAT32) / 2 + wide
    return (error / unit).max(), (wide / np.maximum(error.max(), unit / 100)).max()


@pytest.mark.parametrize("n", [2, 97, 1000, 4096])
@pytest.mark.parametrize("shape", SHAPES)
def test_honest_float32_stays_within_allowances_that_are_not_far_away(n, shape):
    x = SHAPES[shape](n).astype(np.float32)
    t = torch.from_numpy(x)
    running = F["logcumsumexp"](x_of(x))
    assert excess(running, torch.logcumsumexp(t, -1).numpy())[0] < 1
    assert excess(running, np.logaddexp.accumulate(x, -1))[0] < 2
    for computed in (torch.view_as_real(torch.fft.rfft(t)).numpy(), pairs(np.fft.rfft(x))):
        over, loose = excess(F["rfft"](x_of(x)), computed)
        assert over < 2
        assert loose < 200


def test_a_transform_with_twiddles_of_16_bits_is_out_of_its_allowance():
    x = RNG.normal(size=(1, 64))
    w = np.exp(-2j * np.pi * np.outer(np.arange(64), np.arange(33)) / 64)
    rough = np.asarray(w.real, np.float16).astype(float) + 1j * np.asarray(w.imag, np.float16).astype(float)
    assert excess(F["rfft"](x_of(x)), pairs(x @ rough))[0] > 30


def test_the_working_formats_round_as_they_go():
    x = np.full(4000, -1.0)
    stalled = working.emulate(F["logcumsumexp"](x_of(x)), FLOAT16, 1).values
    assert stalled.dtype == np.float16
    assert stalled[-1] == stalled[-1000]  # a step is below half an ulp
    assert working.emulate(F["logcumsumexp"](x_of(x)), FLOAT16, 0).values[-1] == np.float16(np.log(4000) - 1)
    spectrum = working.emulate(F["rfft"](x_of(np.full(8, 3e38))), FLOAT32, 1)
    assert spectrum.values[0, 0] == np.inf
    assert spectrum.overflowed[0, 0]


def test_a_running_sum_of_exponentials_that_loses_is_told_by_its_formula():
    x = np.array([[0.0, 200.0, -200.0]])
    written = {
        text: working.emulate(root, FLOAT32, 1).values for _, text, root in lossy_forms(F["logcumsumexp"](x_of(x)))
    }
    np.testing.assert_array_equal(written["log(cumsum(exp(x)))"], [[0, np.inf, np.inf]])
    np.testing.assert_array_equal(written["log(cumsum(exp(x - max(x)))) + max(x)"], [[-np.inf, 200, 200]])


def test_results_that_are_kept_in_a_half_format_are_made_of_one_another():
    x = np.full((1, 3000), -1.0)
    kept = carry(F["logcumsumexp"](x_of(x)), FLOAT16)
    assert kept[0, -1] == kept[0, -500] < np.log(3000) - 1.1
    spelt = F["log"](F["cumsum"](F["exp"](x_of(x)), -1))
    np.testing.assert_array_equal(kept, carry(spelt, FLOAT16))
