"""Causes that a few elements, huge or tiny values, or a chance would tell, and that are not told."""

from __future__ import annotations

import numpy as np
from diagnosed_arrays import diagnosis

CHANCE = np.random.default_rng(5)


def test_a_mask_that_is_filled_with_too_little_for_huge_scores_alone_is_no_variant_that_fills_with_less():
    def filled(q, k, v, mask, layouts):
        scores = np.where(mask, q @ np.swapaxes(k, -1, -2) / np.sqrt(q.shape[-1]), -1e4)
        raised = np.exp(scores - scores.max(-1, keepdims=True))
        return raised / raised.sum(-1, keepdims=True) @ v

    arrays = {"q": np.full((1, 1, 1, 1), -300.0), "k": np.full((1, 1, 3, 1), 300.0), "v": np.array([1.5, 2, 7])}
    arrays |= {"v": arrays["v"].reshape(1, 1, 3, 1), "mask": np.array([[[[True, True, False]]]])}
    said = diagnosis("attention_mask", filled, arrays, batch=1, heads=1, queries=1, keys=3, d=1)
    assert "is-variant" not in {kind for kind, _ in said}, said


def test_an_eps_that_a_half_format_takes_for_zero_overflows_nothing():
    def of_float16(x, weight, bias, layouts, groups, eps):
        x = x.astype(np.float16)
        centred = x - x.mean(-1, keepdims=True)
        return centred / np.sqrt((centred * centred).mean(-1, keepdims=True) + np.float16(eps))

    arrays = {"x": np.zeros((1, 1, 2)), "weight": np.ones(1), "bias": np.zeros(1)}
    params = {"groups": 1, "eps": 1e-12}
    said = diagnosis("group_norm", of_float16, arrays, "float16", params=params, n=1, c=1, length=2)
    assert said[0] == ("special-at", ""), said
    assert "overflows-inside" not in {kind for kind, _ in said}


def test_sums_that_are_rounded_to_a_half_format_are_no_rounded_input_that_is_the_only_term():
    def of_halves(x, codes, scales, biases, layouts, bits, group):
        weight = codes * np.repeat(scales, group, 1) + np.repeat(biases, group, 1)
        total = np.zeros((len(x), len(weight)), np.float32)
        for i in range(0, x.shape[1], 16):
            part = x[:, i : i + 16] @ weight[:, i : i + 16].T
            total = (total + part).astype(np.float16).astype(np.float32)
        return total

    arrays = {"x": np.eye(1, 32) * 1.2345, "codes": np.ones((1, 32), np.int64)}
    arrays |= {"scales": np.ones((1, 1)), "biases": np.zeros((1, 1))}
    said = diagnosis("quantized_matmul", of_halves, arrays, params={"bits": 4, "group": 32}, m=1, n=1, k=32)
    assert "rounds-inputs" not in {kind for kind, _ in said}, said


def test_a_count_of_what_nearly_ties_loses_no_bits():
    def with_ties(edge, x, layouts):
        return np.searchsorted(np.sort(edge), x, side="right").astype(np.float64)

    arrays = {"edge": np.repeat([0.1, 1.0], 100), "x": np.array([0.1, 0.1, 1.0, 0.1])}
    said = diagnosis("searchsorted", with_ties, arrays, edges=200, n=4)
    assert all(cause.figures.get("bits") != 24 for cause in said.causes), said


def test_an_eps_that_many_larger_ones_would_explain_is_none_of_them():
    """Where the weight is small, any eps from 1e-4 on leaves nothing but the bias of small values."""

    def of_more(x, weight, bias, layouts, groups, eps):
        flat = x.reshape(len(x), groups, -1)
        centred = flat - flat.mean(-1, keepdims=True)
        made = centred / np.sqrt((centred * centred).mean(-1, keepdims=True) + 1e-4)
        return made.reshape(x.shape) * weight[:, None] + bias[:, None]

    arrays = {
        "x": CHANCE.normal(0.003, 0.0014, (1, 2, 512)),
        "weight": np.full(2, 0.0115),
        "bias": np.array([0.5, 1.2]),
    }
    said = diagnosis("group_norm", of_more, arrays, "bfloat16", params={"groups": 2, "eps": 1e-6}, n=1, c=2, length=512)
    assert all(cause.figures.get("how") in (None, ("value", 1e-4)) for cause in said.causes), said.causes


def test_wrong_sums_of_ones_are_no_quantised_results():
    def of_blocks(x, layouts):
        return np.concatenate([np.cumsum(x[:, i : i + 256], -1) for i in range(0, x.shape[1], 256)], -1)

    said = diagnosis("cumsum", of_blocks, {"x": np.ones((1, 1023))}, batch=1, n=1023)
    assert "quantises" not in {kind for kind, _ in said}, said


def test_a_cut_that_is_right_by_chance_is_no_bound():
    def off(x, layouts):
        mean = x.mean(-1)
        return mean + 1e-3 * (mean != np.rint(mean))

    said = diagnosis("mean", off, {"x": np.array([[*np.ones(32), 1.5]])}, batch=1, n=33)
    assert ("depends-on", "size") not in said, said


def test_a_tie_that_goes_the_other_way_is_no_rounded_argument():
    def away(x, layouts):
        step = np.exp2(np.maximum(np.floor(np.log2(np.abs(x))), -6) - 3)
        return np.copysign(np.floor(np.abs(x) / step + 0.5) * step, x)

    said = diagnosis("to_float8_e4m3fn", away, {"x": np.array([[1.0625, 1.1875, 17.0, -19.0, 1.0]])}, batch=1, d=5)
    assert said[0] == ("unexplained", ""), said


def test_a_gate_of_straight_lines_is_no_half_format():
    def hard(x, h, w, u, b, c, layouts):
        d = h.shape[1]
        p, q = x @ w.T + b, h @ u.T + c
        r, z = (np.clip((p + q)[:, i * d : (i + 1) * d] / 6 + 0.5, 0, 1) for i in range(2))
        n = np.tanh(p[:, 2 * d :] + r * q[:, 2 * d :])
        return (1 - z) * n + z * h

    shapes = {"x": (9, 2), "h": (9, 4), "w": (12, 2), "u": (12, 4), "b": (12,), "c": (12,)}
    arrays = {name: CHANCE.normal(size=shape) for name, shape in shapes.items()} | {"w": np.ones((12, 2))}
    said = diagnosis("gru_cell", hard, arrays, batch=9, d_in=2, d=4)
    assert "behaves-like" not in {kind for kind, _ in said}, said
