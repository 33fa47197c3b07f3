"""Windows, convolutions and resizing against torch in float64, which moves the same elements."""

from __future__ import annotations

import numpy as np
import pytest

from opfuzz.core.floats import FLOAT32, FLOAT64
from opfuzz.oracle import balls, models, movement
from opfuzz.oracle.graph import leaf
from opfuzz.oracle.rows import windows
from opfuzz.oracle.working import emulate

torch = pytest.importorskip("torch")
functional = torch.nn.functional


def drawn(*shape):
    return np.random.default_rng(sum(shape)).standard_normal(shape)


def values(node):
    return emulate(node, FLOAT64, 0).values


def agree(node, tensor):
    found = values(node)
    assert found.shape == tuple(tensor.shape)
    np.testing.assert_allclose(found, tensor.numpy(), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(
    ("stride", "padding", "dilation", "groups"), [(1, 0, 1, 1), ((2, 3), (1, 2), (2, 1), 2), (3, 2, 2, 4)]
)
def test_conv2d(stride, padding, dilation, groups):
    x, weight = drawn(2, 4, 9, 8), drawn(8, 4 // groups, 3, 2)
    expected = functional.conv2d(*map(torch.from_numpy, (x, weight)), None, stride, padding, dilation, groups)
    agree(windows.conv2d(leaf(x), leaf(weight), stride, padding, dilation, groups), expected)


def test_conv1d_and_conv3d():
    x, weight = drawn(2, 4, 9), drawn(6, 2, 3)
    agree(
        windows.conv1d(leaf(x), leaf(weight), 2, 1, 2, 2),
        functional.conv1d(*map(torch.from_numpy, (x, weight)), None, 2, 1, 2, 2),
    )
    agree(
        windows.conv1d(leaf(x), leaf(weight), 1, (2, 0), 1, 2),
        functional.conv1d(functional.pad(torch.from_numpy(x), (2, 0)), torch.from_numpy(weight), groups=2),
    )
    x, weight = drawn(1, 2, 5, 4, 6), drawn(3, 2, 2, 3, 2)
    agree(
        windows.conv3d(leaf(x), leaf(weight), (1, 2, 1), 1, (2, 1, 1)),
        functional.conv3d(*map(torch.from_numpy, (x, weight)), None, (1, 2, 1), 1, (2, 1, 1)),
    )


@pytest.mark.parametrize(
    ("stride", "padding", "extra", "dilation", "groups"),
    [(1, 0, 0, 1, 1), ((2, 3), (1, 0), (1, 2), (1, 2), 2), (2, 2, 0, 1, 2), (1, 1, 0, 1, 1)],
)
@pytest.mark.parametrize("lengths", [(4, 3), (2, 3), (1, 1)])  # more places than taps, or fewer
def test_conv_transpose2d(stride, padding, extra, dilation, groups, lengths):
    padding = padding if lengths == (4, 3) else 0
    x, weight = drawn(2, 4, *lengths), drawn(4, 3, 3, 2)
    tensors = map(torch.from_numpy, (x, weight))
    expected = functional.conv_transpose2d(*tensors, None, stride, padding, extra, groups, dilation)
    agree(windows.conv_transpose2d(leaf(x), leaf(weight), stride, padding, extra, dilation, groups), expected)


@pytest.mark.parametrize("size", [1, 3, 7, 10, 21])
@pytest.mark.parametrize("align", [False, True])
@pytest.mark.parametrize(("method", "mode"), [("linear", "bilinear"), ("cubic", "bicubic")])
def test_resize(size, align, method, mode):
    x = drawn(1, 2, 7, 3)
    expected = functional.interpolate(torch.from_numpy(x), size=(size, 5), mode=mode, align_corners=align)
    rows = windows.resize(leaf(x), 2, size, method, align)
    agree(windows.resize(rows, 3, 5, method, align), expected)


def test_a_long_kernel_over_few_positions_costs_what_they_are():
    node = windows.conv1d(leaf(np.ones((1, 1, 2))), leaf(np.ones((1, 1, 8192))), padding=(2 * 8191, 0), dilation=2)
    np.testing.assert_array_equal(values(node), [[[1.0, 1.0]]])


def test_a_source_that_is_whole_may_be_computed_as_less():
    """7 as 6.9999995: then the element before has a part, which an honest float32 is allowed."""
    x = np.eye(8)[6:7]
    node = windows.resize(leaf(x, "input"), 1, 24, align_corners=True)
    ball = balls.evaluate(node, [models.working("float32", FLOAT32)])
    expected = functional.interpolate(
        torch.from_numpy(x[None].astype(np.float32)), size=24, mode="linear", align_corners=True
    )
    assert ball.mid[0, -1] == 0
    assert abs(expected[0, 0, -1].item()) <= 3 * ball.radii[0][0, -1] < 1e-5


def test_resize_to_the_nearest():
    x = drawn(1, 2, 6)
    expected = functional.interpolate(torch.from_numpy(x), size=15, mode="nearest")
    agree(windows.resize(leaf(x), 2, 15, "nearest"), expected)


def test_windows_are_what_pools_look_through():
    x = drawn(2, 3, 11)
    seen = windows.windows(leaf(x), 2, 3, stride=2, dilation=2)
    expected = functional.max_pool1d(torch.from_numpy(x), 3, 2, 0, 2)
    np.testing.assert_array_equal(values(seen).max(-1), expected.numpy())


@pytest.mark.parametrize(("mode", "name"), [("reflect", "reflect"), ("edge", "replicate"), ("wrap", "circular")])
def test_padding_with_what_is_there(mode, name):
    x = drawn(1, 2, 4)
    agree(movement.pad(leaf(x), 3, 1, 2, mode=mode), functional.pad(torch.from_numpy(x), (3, 1), mode=name))


def test_every_other_element_sorted_and_the_place_of_the_largest():
    x = np.array([[3.0, -1.0, np.inf, 3.0, -np.inf], [0.0, 2.0, 2.0, -2.0, 1.0]])
    np.testing.assert_array_equal(values(movement.narrow(leaf(x), 1, 1, 2, step=3)), x[:, 1::3])
    np.testing.assert_array_equal(values(movement.sort(leaf(x), 1)), np.sort(x, 1))
    np.testing.assert_array_equal(values(movement.argmax(leaf(x), 1)), [[2], [1]])


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (lambda x: windows.windows(x, 1, 4), "a window of 4 elements, 1 apart, is longer than an axis of 3"),
        (lambda x: windows.conv2d(x, x), "convolution over 2 axes have 4 each, not shapes"),
        (lambda x: windows.resize(x, 1, 4, "area"), "no method 'area' of resize; there are nearest, linear, cubic"),
        (lambda x: movement.pad(x, 3, 0, 1, mode="reflect"), "cannot be padded by 3 and 0 with mode 'reflect'"),
        (lambda x: movement.pad(x, 1, 0, 1, mode="mirror"), "no mode 'mirror' of pad; there are constant, edge"),
        (lambda x: movement.narrow(x, 1, 0, 2, step=3), "has no 2 elements, 3 apart, from 0 on"),
    ],
)
def test_what_does_not_fit_is_refused(wrong, words):
    with pytest.raises(ValueError, match=words):
        wrong(leaf(drawn(2, 3)))


def test_what_is_computed_is_not_sorted():
    with pytest.raises(TypeError, match="sort needs an input as it was drawn"):
        movement.sort(leaf(drawn(2, 3)) * 2)
