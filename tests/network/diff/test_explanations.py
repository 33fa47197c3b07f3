"""Planted differences are named with their figures, and noise is named nothing."""

from __future__ import annotations

import re
from collections.abc import Callable

import ml_dtypes
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from opfuzz.network.diff.compare import compare
from opfuzz.network.diff.explanations import EXPLANATIONS, NOTHING, explain
from opfuzz.network.diff.pair import make_pair

seeds = st.integers(0, 2**32 - 1)
shapes = st.lists(st.integers(2, 9), min_size=1, max_size=3).filter(lambda shape: np.prod(shape) >= 12).map(tuple)


def draw(seed: int, shape: tuple[int, ...]) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def rounded_again(array: np.ndarray, seed: int) -> np.ndarray:
    """The array with the errors that another order of summation makes: a few units of the largest value."""
    noise = np.random.default_rng(seed).normal(size=array.shape) * 4 * 2.0**-24 * np.abs(array).max()
    return (array + noise).astype(array.dtype)


def told(a: np.ndarray, b: np.ndarray) -> str:
    pair = make_pair(a, b)
    assert pair is not None
    return explain(pair)


PLANTED: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    r"negated: B is -A": lambda a: -a,
    r"flipped: B is A backwards along axis 0": lambda a: a[::-1],
    r"scaled: B is 0\.66[67]\d* times A": lambda a: a * np.float32(0.667),
    r"offset: B is A \+0\.125": lambda a: a + np.float32(0.125),
    r"scaled and offset: B is 1\.(7|69)\d* times A -0\.(3|29)\d*": lambda a: a * np.float32(1.7) - np.float32(0.3),
    r"constant: B is 0 everywhere, A is not": np.zeros_like,
}


@given(seeds, shapes)
@pytest.mark.parametrize("sentence", PLANTED)
def test_planted_differences_are_named(sentence, seed, shape):
    a = draw(seed, shape)
    assert re.fullmatch(sentence, told(a, PLANTED[sentence](a)))


@given(seeds, shapes)
@pytest.mark.parametrize("sentence", [s for s in PLANTED if not s.startswith("constant")])
def test_and_still_are_where_rounding_differs_too(sentence, seed, shape):
    a = draw(seed, shape)
    assert re.match(sentence.split(":")[0], told(a, rounded_again(PLANTED[sentence](a), seed + 1)))


@given(seeds, shapes, st.floats(1e-5, 0.3))
def test_noise_is_explained_by_nothing(seed, shape, amount):
    a = draw(seed, shape)
    b = (a + amount * np.random.default_rng(seed + 1).normal(size=shape) * np.abs(a)).astype(np.float32)
    pair = make_pair(a, b)
    assert pair is not None
    assume(not pair.is_rounding)
    assert explain(pair) == NOTHING


@pytest.mark.parametrize("shape", [(4096,), (64, 64), (16, 16, 16)])
@pytest.mark.parametrize("amount", [1e-5, 1e-4, 1e-3, 1e-2, 0.1])
def test_noise_on_large_tensors_is_explained_by_nothing(shape, amount):
    a = draw(3, shape)
    for noise in (draw(4, shape), draw(4, shape) * a, np.cumsum(draw(4, shape), axis=0) / 8):
        assert told(a, a + np.float32(amount) * noise) == NOTHING


def test_noise_beside_a_large_mean_is_no_offset():
    # At 1e6 rounding allows differences of 4: an offset of 1e6 would "explain" any values at all.
    assert told(draw(1, (500,)), draw(2, (500,)) + np.float32(1e6)) == NOTHING


@given(seeds, st.integers(3, 8), st.sampled_from([(0, 2, 1), (1, 0, 2), (1, 2, 0), (2, 0, 1), (2, 1, 0)]))
def test_axes_of_equal_lengths_in_another_order(seed, length, order):
    a = draw(seed, (length,) * 3)
    assert told(a, a.transpose(order)) == f"transposed: B is A with its axes in the order {list(order)}"


@given(seeds, st.integers(3, 6), st.integers(7, 9))
def test_a_transposed_array_saved_without_its_strides(seed, rows, columns):
    a = draw(seed, (rows, columns))
    b = np.frombuffer(a.T.tobytes(), a.dtype).reshape(rows, columns)
    assert told(a, b).startswith("scrambled: B has the elements of A as they lie in memory in the axis order [1, 0]")


@given(seeds, st.integers(2, 5), st.integers(12, 40), st.integers(-4, 4).filter(bool))
def test_shift_in_time(seed, channels, frames, step):
    a = draw(seed, (channels, frames))
    b = draw(seed + 1, (channels, frames))  # what comes in at the edge is anything
    if step > 0:
        b[:, step:] = a[:, :-step]
    else:
        b[:, :step] = a[:, -step:]
    where = "later" if step > 0 else "earlier"
    assert told(a, b).startswith(f"shifted: B is A {abs(step)} {where} along axis 1; ")
    assert told(a, np.roll(a, step, 1)).startswith(f"rolled: B is A {abs(step)} {where} along axis 1")


def test_a_plateau_is_no_evidence_for_a_shift():
    a, b = np.zeros(64, np.float32), np.zeros(64, np.float32)
    a[-1], b[0] = 1.0, 2.0
    assert told(a, b) == NOTHING


@given(seeds, shapes)
def test_another_order(seed, shape):
    a = draw(seed, shape)
    b = np.random.default_rng(seed).permuted(a.ravel()).reshape(shape)
    assume(not np.array_equal(a, b))
    assert told(a, b).split(":")[0] in ("reordered", "flipped", "transposed", "rolled", "shifted")


@given(seeds, shapes, st.sampled_from([np.float16, ml_dtypes.bfloat16]))
def test_half_precision(seed, shape, dtype):
    a = draw(seed, shape)
    b = a.astype(dtype).astype(np.float32)
    name = np.dtype(dtype).name
    assert told(a, b).startswith(f"rounded: B is A rounded to {name}")
    assert told(b, a).startswith(f"rounded: A is B rounded to {name}")


def test_single_neighbours_of_what_was_rounded_are_counted():
    a = draw(0, (500,))
    b = a.astype(np.float16)
    b[:3] = np.nextafter(b[:3], np.float16(np.inf))
    assert told(a, b.astype(np.float32)).endswith("float16 or TF32, but 3 of 500 elements by 1 ulp more")


def test_tf32_where_the_exponents_exceed_those_of_float16():
    a = draw(0, (500,)) * np.float32(1e-6)
    bits = a.view(np.uint32)
    b = ((bits + 0xFFF + (bits >> 13 & 1)) & 0xFFFFE000).view(np.float32)  # 10 bits of mantissa, ties to even
    assert told(a, b) == "rounded: B is A rounded to TF32"


@given(seeds, st.sampled_from([2, 3, 4, 5, 6, 8]), st.sampled_from([128, 64, 32]))
@settings(max_examples=40)
def test_affine_quantisation_in_groups(seed, bits, group):
    a = draw(seed, (8, 256)) * np.float32(0.05)
    x = a.reshape(-1, group)
    low, high = x.min(axis=1, keepdims=True), x.max(axis=1, keepdims=True)
    step = (high - low) / np.float32(2**bits - 1)
    b = (np.rint((x - low) / step) * step + low).astype(np.float32).reshape(a.shape)
    sentence = f"quantised: B is A in int{bits} in groups of {group}, 0.50 steps away at most"
    assert told(a, b) == sentence
    assert told(b, a) == sentence.replace("B is A", "A is B")


@pytest.mark.parametrize("bits", [3, 4, 5, 6, 8])
@pytest.mark.parametrize(("axis", "words"), [(None, "per tensor"), (1, "per slice of 96 of the first axis")])
def test_symmetric_quantisation(bits, axis, words):
    a = draw(bits, (24, 96))
    step = np.abs(a).max(axis=axis, keepdims=True) / np.float32(2 ** (bits - 1) - 1)
    b = np.rint(a / step) * step
    assert told(a, b) == f"quantised: B is A in int{bits} {words}, 0.50 steps away at most"


def test_a_grid_far_from_the_values_is_no_quantisation():
    a = draw(0, (64, 64))
    b = np.rint(draw(1, (64, 64)) * 4) / 4
    assert not told(a, b.astype(np.float32)).startswith("quantised")


@given(seeds, st.floats(0.2, 1.0), st.booleans())
def test_clipped(seed, limit, both):
    a = draw(seed, (200,))
    b = np.clip(a, -limit if both else None, limit, dtype=np.float32)
    found = re.fullmatch(r"clipped: B is A with (.*) brought back to it", told(a, b))
    assert found
    count = f"{np.count_nonzero(a > np.float32(limit))} above" if both else f"{np.count_nonzero(a > limit)} above"
    assert count in found[1]
    assert ("below" in found[1]) == both


def test_one_element_at_the_edge_is_no_clipping():
    a = np.linspace(-1, 1, 200, dtype=np.float32) ** 3
    b = a.copy()
    b[-1] = 0.999
    assert told(a, b) == NOTHING


@given(seeds)
def test_another_draw_is_no_drift(seed):
    a, b = draw(seed, (80, 96)), draw(seed + 1, (80, 96))
    assert told(a, b).startswith("unrelated: correlation ")
    assert told(a, 3 * b) == NOTHING  # another spread is more than another draw


def test_not_finite_on_one_side_is_a_divergence_and_on_both_is_not():
    a = draw(0, (6, 7))
    b = a.copy()
    b[2, 3] = np.inf
    found = compare(a, b, ("x", "x"))
    assert found.diverges
    assert "1 of 42 elements" in found.explanation
    assert "first at [2, 3]" in found.explanation
    a[2, 3] = np.inf
    assert not compare(a, b, ("x", "x")).diverges
    b[2, 3] = -np.inf
    assert compare(a, b, ("x", "x")).diverges


def test_axes_of_other_lengths_are_a_layout_and_no_divergence():
    a = draw(0, (2, 80, 96))
    found = compare(a, rounded_again(a.transpose(0, 2, 1), 1), ("x", "x"))
    assert not found.diverges
    assert found.explanation.startswith("transposed: B is A with its axes in the order [0, 2, 1]; rounding")
    assert compare(a, a.reshape(160, 96), ("x", "x")).relative == 0
    # Two layouts of one activation that has drifted are still compared element by element.
    drifted = compare(a, a.transpose(0, 2, 1) + np.float32(0.1) * draw(1, (2, 96, 80)), ("x", "x"))
    assert drifted.diverges
    assert drifted.drift is not None
    assert drifted.drift.rms == pytest.approx(0.1, rel=0.02)


def channels_last(maps: np.ndarray) -> np.ndarray:
    """Feature maps [batch, channels, height, width] with the channels last."""
    return np.ascontiguousarray(maps.transpose(0, 2, 3, 1))


def test_a_layout_is_no_explanation_of_values_that_differ():
    """Average for max pooling, in a port that keeps its channels last."""
    maps = np.maximum(draw(0, (2, 8, 16, 12)), 0)
    blocks = maps.reshape(2, 8, 8, 2, 6, 2)
    largest, mean = blocks.max(axis=(3, 5)), blocks.mean(axis=(3, 5))
    found = compare(largest, channels_last(mean), ("x", "x"))
    assert found.diverges
    assert found.relative > 0.3
    assert found.explanation == "no explanation found (compared with A's axes in the order [0, 2, 3, 1])"
    assert compare(largest, channels_last(largest), ("x", "x")).explanation.startswith("transposed: B is A with")


@pytest.mark.parametrize("shape", [(2, 5, 8, 6), (2, 5, 8, 8)])
@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda a: np.float32(2) * a, "scaled: B is 2 times A"),
        (lambda a: np.clip(a, -1, 1), "clipped: B is A with"),
        (lambda a: -a, "negated: B is -A"),
        (np.abs, "absolute: B is the absolute value of A"),
        (np.zeros_like, "constant: B is 0 everywhere, A is not"),
        (lambda a: np.where(a > 2, np.float32(np.nan), a), "not finite: "),
        (lambda a: draw(1, a.shape), NOTHING),
    ],
)
def test_what_differs_is_looked_for_in_another_layout_too(shape, change, words):
    a = draw(0, shape)
    found = compare(a, channels_last(change(a)), ("x", "x"))
    assert found.diverges
    assert found.explanation.startswith(words)
    assert "transposed" not in found.explanation
    assert "(compared with A's axes in the order [0, " in found.explanation


def test_constants_in_two_layouts_are_not_scrambled():
    zeros = np.zeros((2, 5, 8, 6), np.float32)
    assert not compare(zeros, channels_last(zeros), ("x", "x")).diverges
    by_channel = np.broadcast_to(draw(0, (2, 5, 1, 1)), zeros.shape)
    assert not compare(by_channel, channels_last(by_channel), ("x", "x")).diverges


def test_an_order_of_memory_is_no_cause_where_values_differ_too():
    a = draw(0, (8, 5, 3))
    found = compare(a, a.reshape(8, 3, 5) + np.float32(0.1) * draw(1, (8, 3, 5)), ("x", "x"))
    assert found.explanation == (
        "no explanation found (compared with A's elements as they lie in memory, under the shape [8, 3, 5])"
    )


def test_of_too_many_axes_no_order_is_guessed():
    a = draw(0, (2, 3, 2, 2, 3, 4))
    assert compare(a, a.transpose(5, 0, 1, 2, 3, 4), ("x", "x")).explanation.endswith("do not fit")


def test_a_scrambled_array_of_another_shape_diverges():
    weight = draw(0, (8, 5, 3))
    found = compare(weight, weight.reshape(8, 3, 5), ("w", "w"))  # meant: weight.transpose(0, 2, 1)
    assert found.diverges
    assert found.explanation.startswith("scrambled: B has the elements of A as they lie in memory in its own order")


@pytest.mark.parametrize(
    ("b", "words"),
    [
        (lambda a: a[:, :-4], "cropped: B is A without the last 4 along axis 1"),
        (lambda a: a[:, 4:], "cropped: B is A without the first 4 along axis 1"),
        (lambda a: draw(9, (7, 3)), "shapes [80, 96] and [7, 3] do not fit"),
    ],
)
def test_shapes_that_do_not_fit_diverge(b, words):
    a = draw(0, (80, 96))
    found = compare(a, b(a), ("x", "x"))
    assert found.diverges
    assert words in found.explanation


def test_every_explanation_says_what_it_is():
    assert all(explanation.__doc__ for explanation in EXPLANATIONS)
