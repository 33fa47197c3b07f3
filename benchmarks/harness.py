"""What opfuzz is compared with: a plain Hypothesis test of torch against MLX, and the two calls alone.

The harness is what a competent engineer writes first: Hypothesis draws sizes and arrays, both frameworks are called,
`torch.testing.assert_close` compares them. Arrays come from `hypothesis.extra.numpy`, as is usual, or from a seed,
which costs less and can no longer be shrunk. Sizes come from strategies of whole numbers, or from a list, so that
opfuzz's own sizes can be given to it.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import mlx.core as mx
import mlx.nn as nn
import numpy as np
import torch
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays as arrays_of
from numpy.typing import NDArray
from torch.nn import functional

Dims = Mapping[str, int]
Array = NDArray[np.float32]

# torch and MLX are both honest here, so these only have to be wide enough; how wide costs no time.
RTOL, ATOL = 1e-2, 1e-2
ELEMENTS = st.floats(-1, 1, width=32)


@dataclass(frozen=True)
class Comparison:
    """One op: its sizes, the shapes of its inputs for them, and the call of each framework on its own tensors."""

    sizes: Mapping[str, st.SearchStrategy[int]]
    shapes: Callable[[Dims], Sequence[tuple[int, ...]]]
    torch: Callable[..., torch.Tensor]
    mlx: Callable[..., mx.array]


def _upto(most: int) -> st.SearchStrategy[int]:
    return st.integers(1, most)


def _rows(d: Dims) -> list[tuple[int, ...]]:
    return [(d["batch"], d["n"])]


def _conv1d(x: mx.array, weight: mx.array) -> mx.array:
    return mx.swapaxes(mx.conv1d(mx.swapaxes(x, 1, 2), mx.swapaxes(weight, 1, 2)), 1, 2)


# By the names that the specs give the op and its dims; parameters are the specs' defaults.
COMPARISONS: Mapping[str, Comparison] = {
    "matmul": Comparison(
        {"batch": _upto(4), "m": _upto(64), "k": _upto(256), "n": _upto(64)},
        lambda d: [(d["batch"], d["m"], d["k"]), (d["batch"], d["k"], d["n"])],
        lambda a, b: torch.matmul(a, b),
        lambda a, b: mx.matmul(a, b),
    ),
    "softmax": Comparison(
        {"batch": _upto(16), "n": _upto(512)}, _rows, lambda x: torch.softmax(x, -1), lambda x: mx.softmax(x, axis=-1)
    ),
    "gelu": Comparison({"batch": _upto(16), "n": _upto(512)}, _rows, functional.gelu, nn.gelu),
    "silu": Comparison({"batch": _upto(16), "n": _upto(512)}, _rows, functional.silu, nn.silu),
    "layer_norm": Comparison(
        {"batch": _upto(16), "d": _upto(512)},
        lambda d: [(d["batch"], d["d"]), (d["d"],), (d["d"],)],
        lambda x, weight, bias: functional.layer_norm(x, [x.shape[-1]], weight, bias, 1e-5),
        lambda x, weight, bias: mx.fast.layer_norm(x, weight, bias, 1e-5),
    ),
    "conv1d": Comparison(
        {"n": _upto(4), "c_in": _upto(16), "c_out": _upto(16), "k": _upto(7), "length": st.integers(7, 128)},
        lambda d: [(d["n"], d["c_in"], d["length"]), (d["c_out"], d["c_in"], d["k"])],
        functional.conv1d,
        _conv1d,
    ),
    "cosine_schedule": Comparison(
        {"steps": _upto(1000)},
        lambda d: [],
        lambda steps: 1 - torch.cos(torch.linspace(0, 1, steps + 1) * (math.pi / 2)),
        lambda steps: 1 - mx.cos(mx.linspace(0, 1, steps + 1) * (math.pi / 2)),
    ),
}


def _seeded(op: str, dims: Dims, seed: int) -> list[Array]:
    draw = np.random.default_rng(seed)
    return [draw.standard_normal(shape, np.float32) for shape in COMPARISONS[op].shapes(dims)]


@st.composite
def _examples(draw: st.DrawFn, op: str, sizes: st.SearchStrategy[Dims], by_seed: bool) -> tuple[Dims, list[Array]]:
    dims = draw(sizes)
    if by_seed:
        return dims, _seeded(op, dims, draw(st.integers(0, 2**32 - 1)))
    return dims, [draw(arrays_of(np.float32, shape, elements=ELEMENTS)) for shape in COMPARISONS[op].shapes(dims)]


def _given(dims: Dims, tensors: Sequence[Any]) -> Sequence[Any]:
    """The arguments of a call: its tensors, or the sizes where it has none."""
    return tensors or list(dims.values())


def compare(op: str, dims: Dims, arrays: Sequence[Array]) -> None:
    """One example of the harness. Raises AssertionError where the frameworks are apart."""
    comparison = COMPARISONS[op]
    expected = comparison.torch(*_given(dims, [torch.from_numpy(a) for a in arrays]))
    actual = comparison.mlx(*_given(dims, [mx.array(a) for a in arrays]))
    torch.testing.assert_close(torch.from_numpy(np.array(actual)), expected, rtol=RTOL, atol=ATOL, equal_nan=True)


def run(op: str, examples: int, sizes: Sequence[Dims] = (), *, by_seed: bool = False) -> tuple[float, list[Dims]]:
    """Seconds that the harness takes for its examples, and the sizes that it drew.

    With `sizes`, these are what it draws from instead of its own; the seconds include what Hypothesis does.
    Raises AssertionError where the frameworks are apart.
    """
    drawn: list[Dims] = []
    known = st.sampled_from(sizes) if sizes else st.fixed_dictionaries(dict(COMPARISONS[op].sizes))

    @settings(
        max_examples=examples,
        deadline=None,
        database=None,
        derandomize=True,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(_examples(op, known, by_seed))
    def test(example: tuple[Dims, list[Array]]) -> None:
        drawn.append(example[0])
        compare(op, *example)

    small = dict.fromkeys(COMPARISONS[op].sizes, 8)
    compare(op, small, _seeded(op, small, 0))  # the first call of a framework takes longer
    started = time.perf_counter()
    test()
    return time.perf_counter() - started, drawn


def calls_alone(op: str, sizes: Sequence[Dims]) -> float:
    """Seconds for the two calls on these sizes, on tensors that are already there, the results left where they are."""
    comparison = COMPARISONS[op]
    total = 0.0
    for seed, dims in enumerate(sizes):
        arrays = _seeded(op, dims, seed)
        ours = _given(dims, [torch.from_numpy(a) for a in arrays])
        theirs = _given(dims, [mx.array(a) for a in arrays])
        mx.eval(*[each for each in theirs if isinstance(each, mx.array)])
        started = time.perf_counter()
        with torch.inference_mode():
            comparison.torch(*ours)
        mx.eval(comparison.mlx(*theirs))
        total += time.perf_counter() - started
    return total
