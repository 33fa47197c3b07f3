"""Differences of structure are named when they are planted, also under rounding, and their likes are not."""

from __future__ import annotations

import numpy as np
import pytest

from opfuzz.network.diff.compare import compare
from opfuzz.network.diff.explanations import NOTHING

T, H, D = 24, 4, 16


def draw(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def drawn_complex(seed: int, *shape: int) -> np.ndarray:
    return (draw(seed, *shape) + 1j * draw(seed + 100, *shape)).astype(np.complex64)


def told(a: np.ndarray, b: np.ndarray, **options: bool) -> str:
    """What is said of B with the noise of another order of summation."""
    noise = 2.0**-22 * np.abs(b).max() * np.random.default_rng(9).normal(size=b.shape)
    return compare(a, (b + noise).astype(b.dtype), ("x", "x"), **options).explanation


def rope(x: np.ndarray, is_halved: bool, base: float = 10_000.0) -> np.ndarray:
    """Rotary position embedding of x [..., T, D], from its definition: pair i at t turns by t base^(-2 i / D)."""
    half = x.shape[-1] // 2
    angle = np.arange(x.shape[-2])[:, None] * base ** (-2 * np.arange(half) / x.shape[-1])
    first = slice(half) if is_halved else slice(None, None, 2)
    second = slice(half, None) if is_halved else slice(1, None, 2)
    turned = np.empty_like(x)
    turned[..., first] = np.cos(angle) * x[..., first] - np.sin(angle) * x[..., second]
    turned[..., second] = np.sin(angle) * x[..., first] + np.cos(angle) * x[..., second]
    return turned


Z = drawn_complex(0, 3, 40)


@pytest.mark.parametrize(
    ("b", "words"),
    [
        (np.conj(Z), "conjugate: B is the complex conjugate of A"),
        (Z.imag + 1j * Z.real, "exchanged: B is A with real and imaginary parts exchanged"),
        (Z * np.exp(0.5j), "turned: B is A with every complex value turned by 28.6479 degrees"),
        (2 * np.conj(Z), "conjugate: B is the complex conjugate of A and scaled by 2"),
        (-Z, "negated: B is -A"),
        (3 * Z, "scaled: B is "),
        (
            Z * np.exp(1j * draw(1, 3, 40)),
            "turned: every complex value of B has the size that it has in A; what differs are angles",
        ),
        (np.abs(Z) + 0j, "absolute: B is the absolute value of A"),
        (drawn_complex(7, 3, 40), NOTHING),
    ],
)
def test_complex_values(b, words):
    assert told(Z, b.astype(np.complex64)).startswith(words)


def test_parts_of_complex_values_in_real_tensors():
    parts = draw(0, 5, 2, 30)
    conjugate = parts * np.float32([1, -1])[:, None]
    words = "conjugate: B is the complex conjugate of A, if axis 1 holds real and imaginary parts"
    assert told(parts, conjugate) == words
    joined = draw(1, 5, 60)
    negated = np.concatenate((joined[:, :30], -joined[:, 30:]), 1)
    assert told(joined, negated).startswith("negated in part: B is A with the second half of axis 1 negated")
    negated[0, 0] *= -1
    assert "negated in part" not in told(joined, negated)


def test_heads_and_positions():
    x = draw(0, T, H, D)
    right, wrong = x.reshape(T, H * D), x.swapaxes(0, 1).reshape(T, H * D)
    assert told(right, wrong).startswith(
        "heads and positions exchanged: axis 1 of A is [4, 16], and B has the 4 where axis 0 is: not transposed back"
    )
    exchanged = x.swapaxes(1, 2).reshape(T, H * D)
    assert told(right, exchanged) == ("heads and channels exchanged: axis 1 is [4, 16] in A and [16, 4] in B")
    other = np.random.default_rng(1).permuted(right, axis=1)
    assert told(right, other).startswith("reordered: ")


def test_pairs_as_neighbours_and_as_halves():
    x = draw(0, T, D)
    halves = np.concatenate((x[:, ::2], x[:, 1::2]), 1)
    assert told(x, halves) == (
        "pairs taken apart: along axis 1, what are neighbours (2i, 2i + 1) in A are halves (i, i + 8) in B"
    )
    assert told(halves, x).endswith("what are neighbours (2i, 2i + 1) in B are halves (i, i + 8) in A")
    heads = draw(1, T, H * D)
    apart = heads.reshape(T, H, D // 2, 2).swapaxes(2, 3).reshape(T, H * D)
    assert "in each of 4 heads of 16, what are neighbours (2i, 2i + 1) in A are halves" in told(heads, apart)


@pytest.mark.parametrize("base", [10_000.0, 1_000_000.0])
def test_rope_of_the_other_pairs(base):
    x = draw(0, 2, H, T, D)
    a, b = rope(x, True, base), rope(x, False, base)
    words = f"pairs of another kind: RoPE of base {base:.0f} along axis 2 turns (i, i + 8) in A and (2i, 2i + 1) in B"
    assert told(a, b) == words
    assert told(b, a).endswith("turns (2i, 2i + 1) in A and (i, i + 8) in B")
    assert "pairs" not in told(a, rope(draw(1, 2, H, T, D), False, base))


def test_rope_of_another_base_or_at_other_positions_is_a_turn():
    x = draw(0, H, T, D)
    said = told(rope(x, True), rope(x, True, 500_000.0))
    assert said == (
        "turned: each pair (i, i + 8) of the last axis of B has the length that it has in A; what differs are angles"
    )
    shifted = rope(np.concatenate((x[:, :1], x), 1), True)[:, 1:]
    assert told(rope(x, True), shifted) == said
    assert told(x, rope(x, False)).startswith("turned: each pair (2i, 2i + 1) of the last axis")


def test_a_factor_nearly_everywhere():
    a = draw(0, 80, 40)
    b = np.float32(0.5) * a
    b[3, :20] = draw(1, 20)
    said = told(a, b)
    assert said.startswith("scaled nearly everywhere: B is 0.5 times A but in 20 of 3200 elements, first at [3, 0]")
    b[:20] = draw(2, 20, 40)
    assert told(a, b) == NOTHING
    assert "nearly" not in told(np.sign(a), np.sign(a) * np.where(np.arange(40) == 3, 1, 2).astype(np.float32))


def test_a_difference_at_one_edge():
    a = draw(0, 1, 8, 32)
    b = a.copy()
    b[..., -1] = draw(1, 1, 8)
    assert told(a, b) == "at one end: B is A but for rounding, save at the last of 32 places along axis 2"
    b[..., 15] += 1
    assert told(a, b) == NOTHING


def test_a_shift_by_one_frame_and_a_frame_less():
    a = draw(0, 1, 8, 33)
    assert told(a[..., :-1], a[..., 1:]) == "shifted: B is A 1 earlier along axis 2; 1 of 32 at the edge are new"
    assert told(a, a[..., 1:]).endswith("cropped: B is A without the first 1 along axis 2")


def test_another_seed_is_said_of_draws_only():
    def said(a, b, is_given=True):
        return compare(a, b, ("x", "x"), is_given=is_given).explanation

    a, b = draw(0, 80, 96), draw(1, 80, 96)
    assert said(a, b).endswith("another random generator or seed, not drift")
    assert "seed" not in said(a, b, is_given=False)
    assert said(a, b, is_given=False).startswith("unrelated: correlation ")
    uniform = np.random.default_rng(2).uniform(-(3**0.5), 3**0.5, (80, 96)).astype(np.float32)
    assert said(a, uniform) == NOTHING  # the same spread, another distribution
    scales = np.linspace(0.2, 2, 80, dtype=np.float32)[:, None]
    assert said(draw(3, 80, 1) + a, draw(4, 80, 1) + b) == NOTHING  # channels have means of their own
    smooth = [np.cumsum(scales * x, axis=1) for x in (a, b)]
    assert said(*smooth) == NOTHING
    normed = [(x - x.mean(1, keepdims=True)) / x.std(1, keepdims=True) for x in (a, b)]
    assert said(*normed) == NOTHING  # no draw has rows of mean zero


@pytest.mark.parametrize("amount", [1e-5, 1e-3, 1e-1])
def test_noise_on_a_mask_or_on_few_elements_is_explained_by_nothing(amount):
    mask = (draw(0, 16, 32) > 0).astype(np.float32)
    assert told(mask, mask * (1 + np.float32(amount) * draw(1, 16, 32))) == NOTHING
    few = np.zeros((8, 8), np.float32)
    few[2, 3], few[5, 1], few[7, 7] = 0.9, 2.3, 3.1
    assert told(few, few * (1 + np.float32(amount) * draw(2, 8, 8))) == NOTHING
    assert told(mask, np.random.default_rng(0).permuted(mask.ravel()).reshape(mask.shape)) == NOTHING
