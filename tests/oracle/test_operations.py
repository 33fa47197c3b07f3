"""Reference functions against NumPy, SciPy and plain loops."""

from fractions import Fraction

import numpy as np
import pytest
import scipy.special
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from opfuzz.oracle import balls, graph, models
from opfuzz.oracle.operations import REFERENCE_FUNCTIONS as F

RNG = np.random.default_rng(11)
X = RNG.normal(size=(2, 3, 8))


def value(node):
    return balls.evaluate(graph.as_node(node), []).mid


def x_of(array):
    return graph.leaf(np.asarray(array, np.float64), "input")


@pytest.mark.parametrize(
    ("node", "right"),
    [
        (F["swapaxes"](x_of(X), 1, 2), X.swapaxes(1, 2)),
        (F["transpose"](x_of(X), (2, 0, 1)), X.transpose(2, 0, 1)),
        (F["flip"](x_of(X), -1), X[..., ::-1]),
        (F["narrow"](x_of(X), 2, 3, 4), X[..., 3:7]),
        (F["repeat"](x_of(X), 3, -1), X.repeat(3, -1)),
        (F["reshape"](x_of(X), (6, -1)), X.reshape(6, 8)),
        (F["expand_dims"](x_of(X), 1), X[:, None]),
        (F["broadcast_to"](x_of(X[0, 0]), (4, 8)), np.broadcast_to(X[0, 0], (4, 8))),
        (F["concatenate"]((x_of(X), x_of(X)), axis=1), np.concatenate([X, X], 1)),
        (F["pad"](x_of(X), 2, 1, -1), np.pad(X, ((0, 0), (0, 0), (2, 1)))),
        (F["take"](x_of(X), np.array([[2, 0], [1, 1]]), axis=1), X.take([[2, 0], [1, 1]], 1)),
        (F["sum"](x_of(X), axis=-1), X.sum(-1, keepdims=True)),
        (F["mean"](x_of(X), axis=(0, 2), keepdims=False), X.mean((0, 2))),
        (F["max"](x_of(X), axis=1), X.max(1, keepdims=True)),
        (F["min"](x_of(X)), X.min(keepdims=True)),
        (F["cumsum"](x_of(X), axis=1), X.cumsum(1)),
        (F["softmax"](x_of(X), axis=1), scipy.special.softmax(X, 1)),
        (F["log_softmax"](x_of(X)), scipy.special.log_softmax(X, -1)),
        (F["logsumexp"](x_of(X)), scipy.special.logsumexp(X, -1, keepdims=True)),
        (F["where"](x_of(X) > 0, x_of(X), 0), np.maximum(X, 0)),
        (F["linspace"](0, 1, 11), np.linspace(0, 1, 11)),
        (F["floor"](x_of(X) * 3), np.floor(X * 3)),
        (F["ceil"](x_of(X) * 3), np.ceil(X * 3)),
        (F["round"](x_of(np.arange(-8, 9) / 2)), np.rint(np.arange(-8, 9) / 2)),
        (F["sign"](x_of([-2, -0.0, 0, 5, np.nan])), np.array([-1, 0, 0, 1, np.nan])),
        (F["clip"](x_of(X), -0.5, 1), X.clip(-0.5, 1)),
        (F["clip"](x_of(X), None, 1), np.minimum(X, 1)),
        (F["clip"](x_of(X), 1), np.maximum(X, 1)),
        (F["clip"](x_of(X), 2, 1), np.ones_like(X)),
        (F["gather"](x_of(X), np.array([[[2] * 8]] * 2), axis=1), X[:, 2:]),
        (
            F["gather"](x_of(X), np.arange(24).reshape(2, 3, 4) % 8, -1),
            np.take_along_axis(X, np.arange(24).reshape(2, 3, 4) % 8, -1),
        ),
        (F["float16"](x_of(X)), X.astype(np.float16).astype(float)),
        (F["where"](graph.equal(x_of([0, 1, -0.0, np.nan]), 0), 1, 2), np.array([1, 2, 1, 2])),
        (F["where"](graph.equal(x_of([0, 1, np.nan]), 0, is_inverted=True), 1, 2), np.array([2, 1, 1])),
        (F["where"](x_of([0, 1, np.nan]) <= 0, 1, 2), np.array([1, 2, 2])),
        (F["where"](x_of([0, 1, np.nan]) >= 0, 1, 2), np.array([1, 1, 2])),
        (x_of(X) ** 5, X**5),
        (2 / x_of(X) - 1, 2 / X - 1),
        (x_of(X) @ x_of(X.swapaxes(1, 2)), X @ X.swapaxes(1, 2)),
    ],
)
def test_equals_numpy(node, right):
    assert node.shape == right.shape
    np.testing.assert_allclose(value(node), right, rtol=1e-12, atol=1e-14)


def conv_by_loops(x, w, stride, left, right, dilation, groups):
    n, _, length = x.shape
    c_out, per_group, k = w.shape
    positions = (length + left + right - dilation * (k - 1) - 1) // stride + 1
    y = np.zeros((n, c_out, positions))
    for o in range(c_out):
        first = o // (c_out // groups) * per_group
        for t in range(positions):
            for j in range(k):
                at = t * stride + j * dilation - left
                if 0 <= at < length:
                    y[:, o, t] += x[:, first : first + per_group, at] @ w[o, :, j]
    return y


sizes = st.fixed_dictionaries(
    {
        "n": st.integers(0, 2), "groups": st.integers(1, 3), "c": st.integers(1, 2), "o": st.integers(1, 2),
        "length": st.integers(1, 9), "k": st.integers(1, 4), "stride": st.integers(1, 3), "padding": st.integers(0, 3),
        "dilation": st.integers(1, 2),
    }
)  # fmt: skip


@given(sizes)
def test_conv1d_equals_plain_loops(s):
    if s["length"] + 2 * s["padding"] < s["dilation"] * (s["k"] - 1) + 1:
        return
    x = RNG.normal(size=(s["n"], s["groups"] * s["c"], s["length"]))
    w = RNG.normal(size=(s["groups"] * s["o"], s["c"], s["k"]))
    node = F["conv1d"](x_of(x), x_of(w), s["stride"], s["padding"], s["dilation"], s["groups"])
    right = conv_by_loops(x, w, s["stride"], s["padding"], s["padding"], s["dilation"], s["groups"])
    assert node.shape == right.shape
    np.testing.assert_allclose(value(node), right, rtol=1e-12, atol=1e-12)


@given(sizes)
def test_conv_transpose1d_is_the_adjoint_of_conv1d(s):
    s["padding"] = min(s["padding"], (s["k"] - 1) * s["dilation"] // 2)
    x = RNG.normal(size=(1, s["groups"] * s["c"], s["length"]))
    w = RNG.normal(size=(s["groups"] * s["c"], s["o"], s["k"]))
    options = (s["stride"], s["padding"])
    node = F["conv_transpose1d"](x_of(x), x_of(w), *options, 0, s["dilation"], s["groups"])
    y = RNG.normal(size=node.shape)
    if 0 in node.shape:
        return
    back = F["conv1d"](x_of(y), x_of(w), *options, s["dilation"], s["groups"])
    assert back.shape == x.shape
    # <A x, y> = <x, A* y>
    assert np.sum(value(node) * y) == pytest.approx(np.sum(x * value(back)), rel=1e-9, abs=1e-9)


def test_conv1d_pads_the_two_sides_differently():
    x, w = RNG.normal(size=(1, 2, 5)), RNG.normal(size=(3, 2, 3))
    node = F["conv1d"](x_of(x), x_of(w), padding=(2, 0))
    np.testing.assert_allclose(value(node), conv_by_loops(x, w, 1, 2, 0, 1, 1), rtol=1e-12)


@given(st.integers(1, 5), st.integers(0, 40), st.integers(0, 2**32 - 1))
def test_scatter_add_is_torchs(n, m, seed):
    torch = pytest.importorskip("torch")
    draws = np.random.default_rng(seed)
    x, source = draws.normal(size=(n, 3)), draws.normal(size=(m, 3))
    indices = draws.integers(0, n, (m, 2))
    right = torch.scatter_add(*map(torch.from_numpy, (x,)), 0, torch.from_numpy(indices), torch.from_numpy(source))
    node = F["scatter_add"](x_of(x), indices, x_of(source))
    np.testing.assert_allclose(value(node), right.numpy(), rtol=1e-12, atol=1e-14)
    assert sum(each.size for each in graph.topological(node)) <= 4 * (x.size + source.size) + 4 * x.size + 10


def test_a_chain_of_values_is_refused_where_it_would_be_half_of_it():
    with pytest.raises(TypeError, match="write where"):
        bool(x_of(X) > 0)


@given(hnp.arrays(np.float64, st.tuples(st.integers(1, 4), st.integers(1, 6)), elements=st.floats(-1e3, 1e3)))
def test_ball_of_sums_holds_numpys_fsum(x):
    import math

    ball = balls.evaluate(F["sum"](x_of(x), axis=-1), [models.TRUTH])
    radii = np.zeros(len(x)) if ball.radii[0] is None else ball.radii[0][:, 0]
    for row, mid, radius in zip(x, ball.mid[:, 0], radii, strict=True):
        assert abs(math.fsum(row) - mid) <= radius + math.ulp(mid)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: F["narrow"](x_of(X), 2, 5, 4), "no 4 elements from 5"),
        (lambda: F["sum"](x_of(X), axis=3), "no axis 3"),
        (lambda: x_of(X) @ x_of(X), "cannot multiply matrices"),
        (lambda: x_of(X) ** 0.5, "whole number from 1 to 64"),
        (lambda: F["reshape"](x_of(X), (7,)), "cannot reshape"),
        (lambda: F["conv1d"](x_of(X), x_of(np.ones((2, 2, 1)))), "do not fit a kernel"),
        (lambda: F["max"](x_of(np.ones((2, 0))), axis=1), "max over no elements"),
        (lambda: F["take"](x_of(X), np.array([3]), axis=1), "indices from 3 to 3 into an axis of 3 elements"),
        (lambda: F["take"](x_of(X), np.array([-1]), axis=1), "indices from -1 to -1"),
        (lambda: F["gather"](x_of(X), np.array([[[9]]])), "indices from 9 to 9"),
        (lambda: F["gather"](x_of(X), np.array([1])), r"\[1\] do not fit"),
        (lambda: F["scatter_add"](x_of([1, 2]), np.array([0, 1, 1]), x_of([1, 2])), "too few"),
        (lambda: F["fft"](x_of(X)), "last axis of size 2"),
        (lambda: F["rfft"](x_of(np.ones((2, 0)))), "no elements"),
        (lambda: F["irfft"](x_of(np.ones((2, 2))), 9), "a transform of 5 pairs, not of 2"),
    ],
)
def test_says_what_does_not_fit(make, words):
    with pytest.raises(ValueError, match=words):
        make()


def test_too_many_elements_are_refused():
    index = np.broadcast_to(np.int64(0), (2**25 + 1,))
    with pytest.raises(ValueError, match=r"^33554433 elements are more than a reference may have$"):
        graph.gather((x_of([1.0]),), index)


@pytest.mark.parametrize(
    "make",
    [
        lambda x: F["arange"](10**12),
        lambda x: F["linspace"](0, 1, 10**12),
        lambda x: F["zeros"]((10**6, 10**6)),
        lambda x: F["ones"]((10**6, 10**6)),
        lambda x: F["pad"](x, 10**12, 0, 0),
        lambda x: F["resize"](x, 0, 10**12),
    ],
    ids=["arange", "linspace", "zeros", "ones", "pad", "resize"],
)
def test_what_is_far_too_large_is_refused_before_memory_is_taken_for_it(make):
    with pytest.raises(ValueError, match=r"^1000000000000 elements are more than a reference may have$"):
        make(graph.leaf(np.array([1.0]), "input"))


@pytest.mark.parametrize(
    ("name", "args", "said"),
    [
        ("repeat", (x_of(X[0]), Fraction(3, 2), 1), "repeat takes a whole number for 'times', not 1.5"),
        ("windows", (x_of(X[0]), Fraction(3, 2), 2), "windows takes a whole number for 'axis', not 1.5"),
        ("resize", (x_of(X[0]), 1, Fraction(5, 2)), "resize takes a whole number for 'size', not 2.5"),
        ("cummax", (x_of(X[0]), (0, 1)), r"cummax takes a whole number for 'axis', not \(0, 1\)"),
        ("overlap_add", (x_of(X[0]), Fraction(1, 2)), "overlap_add takes a whole number for 'stride', not 0.5"),
        ("overlap_add", (graph.number(3), 1), r"windows have axes \(..., count, size\), not the shape \[\]"),
        ("windows", (x_of(X[0]), 1, 0), "a size of 0, a stride of 1"),
        ("windows", (x_of(X[0]), 1, 2, -1), "a stride of -1"),
        ("conv1d", (graph.number(1), graph.number(1)), "have 3 each"),
        ("einsum", (x_of(X[0]), x_of(X[0])), "einsum takes an equation first"),
    ],
)
def test_what_is_no_whole_number_or_below_one_is_refused_by_its_name(name, args, said):
    with pytest.raises((TypeError, ValueError), match=said):
        F[name](*args)
