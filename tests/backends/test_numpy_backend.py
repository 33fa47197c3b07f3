"""NumPy's layers against definitions written as loops, and that SciPy's functions keep the format."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy import special

from opfuzz.backends import discover

F = discover()["numpy"].functions()
RNG = np.random.Generator(np.random.Philox(11))


def slow_conv1d(x, weight, stride, padding, dilation, groups):
    n, _, length = x.shape
    c_out, per_group, k = weight.shape
    positions = (length + 2 * padding - dilation * (k - 1) - 1) // stride + 1
    out = np.zeros((n, c_out, positions))
    for b, o, t, c, j in itertools.product(range(n), range(c_out), range(positions), range(per_group), range(k)):
        at = t * stride + j * dilation - padding
        if 0 <= at < length:
            out[b, o, t] += x[b, o // (c_out // groups) * per_group + c, at] * weight[o, c, j]
    return out


CONV = [(1, 0, 1, 1), (2, 1, 1, 1), (3, 4, 2, 2), (1, 2, 3, 4)]


@pytest.mark.parametrize(("stride", "padding", "dilation", "groups"), CONV)
def test_conv1d(stride, padding, dilation, groups):
    x, weight = RNG.standard_normal((2, 4, 9)), RNG.standard_normal((8, 4 // groups, 3))
    expected = slow_conv1d(x, weight, stride, padding, dilation, groups)
    assert F["conv1d"](x, weight, stride, padding, dilation, groups) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(("stride", "padding", "dilation", "groups"), CONV)
def test_conv_transpose1d_is_the_adjoint(stride, padding, dilation, groups):
    """<conv(x), y> = <x, conv_transpose(y)> for all x and y."""
    x, weight = RNG.standard_normal((2, 4, 13)), RNG.standard_normal((8, 4 // groups, 3))
    convolved = slow_conv1d(x, weight, stride, padding, dilation, groups)
    y = RNG.standard_normal(convolved.shape)
    back = F["conv_transpose1d"](y, weight, stride, padding, 0, dilation, groups)
    missing = x.shape[2] - back.shape[2]
    back = F["conv_transpose1d"](y, weight, stride, padding, missing, dilation, groups)
    assert back.shape == x.shape
    assert np.vdot(convolved, y) == pytest.approx(np.vdot(x, back), rel=1e-12)


def test_norms_and_attention():
    x, w, b = RNG.standard_normal((2, 6, 5)), RNG.standard_normal(6), RNG.standard_normal(6)
    normed = F["group_norm"](x, 2, np.ones(6), np.zeros(6), 0.0).reshape(2, 2, 15)
    assert normed.mean(axis=-1) == pytest.approx(np.zeros((2, 2)), abs=1e-12)
    assert normed.var(axis=-1) == pytest.approx(np.ones((2, 2)), abs=1e-12)
    affine = F["group_norm"](x, 2, w, b, 0.0)
    assert affine[0, 3] == pytest.approx(normed.reshape(x.shape)[0, 3] * w[3] + b[3])
    assert F["layer_norm"](x, np.ones(5), np.zeros(5), 0.0).var(axis=-1) == pytest.approx(np.ones((2, 6)))
    assert (F["rms_norm"](x, np.ones(5), 0.0) ** 2).mean(axis=-1) == pytest.approx(np.ones((2, 6)))
    assert F["softmax"](x, axis=1) == pytest.approx(special.softmax(x, axis=1))
    q, k, v = RNG.standard_normal((3, 2, 4, 8))
    mask = np.tri(4, dtype=bool)
    causal = F["attention"](q, k, v, 0.5, mask)
    assert causal[:, 0] == pytest.approx(v[:, 0])
    assert F["attention"](q, k, v, 0.5, np.where(mask, 0.0, -np.inf)) == pytest.approx(causal)


@pytest.mark.parametrize("format", ["float16", "float32", "float64"])
def test_everything_keeps_the_format(format):
    x, w = np.ones((2, 4, 8), format), np.ones((4, 4, 3), format)
    assert F["scipy.special.erf"](x).dtype == format
    assert F["scipy.special.logsumexp"](x, axis=-1).dtype == format
    assert F["conv1d"](x, w).dtype == format
    assert F["conv_transpose1d"](x, w).dtype == format
    assert F["group_norm"](x, 2, w[0, :, 0], w[0, :, 0], 1e-5).dtype == format
    assert F["attention"](x, x, x, 0.1).dtype == format


def test_bfloat16_is_declared_missing():
    assert not discover()["numpy"].supports("bfloat16", "cpu")
