"""Long elementwise graphs, cut into blocks: nothing is another number than in the whole."""

from __future__ import annotations

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

exp, erf, sigmoid, where, maximum, floor = (
    REFERENCE_FUNCTIONS[name] for name in ("exp", "erf", "sigmoid", "where", "maximum", "floor")
)
MODELS = [TRUTH, conditioning(FLOAT32), usual_arithmetic(FLOAT16), flushing(FLOAT16)]
FORMULAS = {
    "gelu": lambda x: 0.5 * x * (1 + erf(x / 2)),
    "silu": lambda x: x * sigmoid(x),
    "exp": exp,
    "pieces": lambda x: where(x > 0, x * x - 1 / x, maximum(-x, 3)),
    "steps": lambda x: floor(x) + x / 4,
}


def graph_of(name: str, values) -> graph.Node:
    return FORMULAS[name](graph.leaf(values, "input"))


@pytest.mark.parametrize("name", FORMULAS)
@pytest.mark.parametrize("special", [(), (0.0, -0.0), (np.nan, np.inf, -np.inf), (1e308, 5e-324, 700.0, -750.0)])
def test_every_block_is_what_it_is_in_the_whole(name, special, monkeypatch):
    values = np.random.default_rng(len(special)).standard_normal((3, BLOCK))
    values.flat[:: max(1, values.size // 7)][: len(special)] = special
    cut = balls.evaluate(graph_of(name, values), MODELS)
    monkeypatch.setattr(blocks, "BLOCK", values.size)
    whole = balls.evaluate(graph_of(name, values), MODELS)
    np.testing.assert_array_equal(cut.mid, whole.mid)
    assert np.array_equal(np.signbit(cut.mid), np.signbit(whole.mid))
    for mine, other in zip(cut.radii, whole.radii, strict=True):
        assert (mine is None) == (other is None)
        np.testing.assert_array_equal(mine, other)


@given(st.integers(0, 40), st.integers(1, 9))
def test_blocks_are_all_of_it_once(size, length):
    root = graph_of("silu", np.arange(float(size)))
    before, blocks.BLOCK = blocks.BLOCK, length
    try:
        parts = list(blocks.blocks_of(root))
    finally:
        blocks.BLOCK = before
    assert [i for part, _ in parts for i in range(size)[part]] == list(range(size))
    assert all(block.shape == (part.stop - part.start,) for part, block in parts)


def test_what_is_short_or_not_elementwise_is_not_cut():
    assert blocks.is_long(graph_of("exp", np.zeros(2 * BLOCK)))
    assert not blocks.is_long(graph_of("exp", np.zeros(2 * BLOCK - 1)))
    total = REFERENCE_FUNCTIONS["sum"](graph.leaf(np.zeros((2, 2 * BLOCK)), "input"), axis=-1)
    assert not blocks.is_long(exp(graph.leaf(np.zeros((2, 2 * BLOCK)), "input")) - total)
