"""Long graphs of elements or rows, cut into blocks: nothing is another number than in the whole."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from opfuzz.core.floats import FLOAT16, FLOAT32
from opfuzz.oracle import balls, graph
from opfuzz.oracle.arithmetic import blocks
from opfuzz.oracle.arithmetic.blocks import BLOCK
from opfuzz.oracle.models import TRUTH, conditioning, flushing, usual_arithmetic
from opfuzz.oracle.operations import REFERENCE_FUNCTIONS
from opfuzz.oracle.rows.sums import tree_sum

exp, erf, sigmoid, where, maximum, floor = (
    REFERENCE_FUNCTIONS[name] for name in ("exp", "erf", "sigmoid", "where", "maximum", "floor")
)
total, mean, sqrt, softmax, cumsum = (
    REFERENCE_FUNCTIONS[name] for name in ("sum", "mean", "sqrt", "softmax", "cumsum")
)
MODELS = [TRUTH, conditioning(FLOAT32), usual_arithmetic(FLOAT16), flushing(FLOAT16)]
FORMULAS = {
    "gelu": lambda x: 0.5 * x * (1 + erf(x / 2)),
    "silu": lambda x: x * sigmoid(x),
    "exp": exp,
    "pieces": lambda x: where(x > 0, x * x - 1 / x, maximum(-x, 3)),
    "steps": lambda x: floor(x) + x / 4,
    "layer norm": lambda x: normalised(x - mean(x, axis=-1)) * graph.leaf(np.linspace(0, 3, x.shape[-1]), "input"),
    "softmax": lambda x: softmax(x, axis=-1),
    "sum": lambda x: total(x, axis=-1, keepdims=False),
    "masked": lambda x: cumsum(where(np.arange(x.shape[-1]) % 3 == 0, x, 0), axis=-1),
}


def normalised(centred: graph.Node) -> graph.Node:
    return centred / sqrt(mean(centred**2, axis=-1) + 1e-5)


def graph_of(name: str, values) -> graph.Node:
    return FORMULAS[name](graph.leaf(values, "input"))


@pytest.mark.parametrize("name", FORMULAS)
@pytest.mark.parametrize("special", [(), (0.0, -0.0), (np.nan, np.inf, -np.inf), (1e308, 5e-324, 700.0, -750.0)])
def test_every_block_is_what_it_is_in_the_whole(name, special, monkeypatch):
    values = np.random.default_rng(len(special)).standard_normal((96, BLOCK // 32))
    values.flat[:: max(1, values.size // 7)][: len(special)] = special
    cut = balls.evaluate(graph_of(name, values), MODELS)
    monkeypatch.setattr(blocks, "BLOCK", values.size)
    whole = balls.evaluate(graph_of(name, values), MODELS)
    np.testing.assert_array_equal(cut.mid, whole.mid)
    assert np.array_equal(np.signbit(cut.mid), np.signbit(whole.mid))
    for mine, other in zip(cut.radii, whole.radii, strict=True):
        assert (mine is None) == (other is None)
        np.testing.assert_array_equal(mine, other)


@given(st.integers(1, 40), st.integers(1, 9), st.sampled_from(["silu", "layer norm"]))
def test_blocks_are_all_of_it_once(size, length, name):
    is_flat = name == "silu"
    root = graph_of(name, np.arange(float(size)) if is_flat else np.ones((size, 5)))
    before, blocks.BLOCK = blocks.BLOCK, length if is_flat else 5 * length
    try:
        found = blocks.blocks_of(root)
    finally:
        blocks.BLOCK = before
    assert (found is not None) == (size >= 2 * length)
    parts = list(found or [])
    assert not parts or [i for part, _ in parts for i in range(size)[part]] == list(range(size))
    assert all(block.shape == (part.stop - part.start, *root.shape[1:]) for part, block in parts)


def inputs(*shape: int) -> graph.Node:
    return graph.leaf(np.ones(shape), "input")


def test_what_is_short_or_of_which_rows_meet_is_not_cut():
    assert blocks.blocks_of(exp(inputs(2 * BLOCK))) is not None
    assert blocks.blocks_of(exp(inputs(2 * BLOCK - 1))) is None
    rows = inputs(8, BLOCK)
    assert blocks.blocks_of(total(rows, axis=-1)) is not None
    assert blocks.blocks_of(total(rows, axis=0)) is None
    assert blocks.blocks_of(rows - total(rows, axis=0)) is None
    assert blocks.blocks_of(exp(rows) - total(inputs(BLOCK, 8), axis=-1, keepdims=False)) is None, "rows of another"
    assert blocks.blocks_of(exp(inputs(8, 8, BLOCK)) + inputs(8, 1)) is not None, "eight of another axis"
    assert blocks.blocks_of(graph.dot(inputs(512, 512), inputs(512, 512))) is None


@given(st.integers(1, 3), st.integers(0, 70), st.integers(0, 9))
def test_a_row_is_added_up_by_halves(lines, width, seed):
    x = np.random.default_rng(seed).standard_normal((lines, width)) * 10.0 ** np.arange(width).clip(max=12)
    found, depth = tree_sum(x)
    for row, one in zip(x, found, strict=True):
        part, levels = row, 0
        while part.size > 1:
            half = part.size // 2
            folded = part[:half] + part[half : 2 * half]
            if part.size % 2:
                folded[0] += part[-1]
            part, levels = folded, levels + 1 + part.size % 2
        assert (one, depth) == (part[0] if width else 0.0, levels)
        assert abs(one - math.fsum(row)) <= (depth + 1) * 2.0**-53 * math.fsum(np.abs(row))
