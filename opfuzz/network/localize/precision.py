"""What a lower precision does to any pipeline: rounded factors, half formats, quantised weights."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from opfuzz.core.floats import FORMATS
from opfuzz.core.rounding import round_to_bits
from opfuzz.network.pipeline.dispatch import Array, OpCall
from opfuzz.network.pipeline.planting import EVERYWHERE, Setup, Tensors, Variant

# Significant bits of the factors of a product: TF32 keeps 11, as float16 does, bfloat16 8.
FACTORS = {"TF32": 11, "bfloat16 factors": 8}
STORED = ("float16", "bfloat16")
QUANTISED = tuple((bits, group) for bits in (8, 6, 4, 3) for group in (64, 32))
PRODUCTS = ("matmul", "linear", "conv1d", "causal_conv1d", "conv_transpose1d")
ATTENTION = ("attention", "attention_mask", "attention_additive_mask", "attention_written_out")

Rounding = Callable[[Array], Array]


def variants(weights: Tensors) -> list[Variant]:
    """Every lower precision that these weights admit."""
    found = [
        Variant(name, EVERYWHERE, f"the factors of every product have {bits} bits", _factors(bits))
        for name, bits in FACTORS.items()
    ]
    for name in STORED:
        found += [
            Variant(name, EVERYWHERE, f"all inputs and results of ops are {name}", _stored(name)),
            Variant(f"{name} weights", "weights", f"all weights are {name}", _weights(name)),
            Variant(f"{name} softmax", "attention", f"scores and weights of attention are {name}", _softmax(name)),
        ]
    for bits, group in QUANTISED:
        if any(_is_quantised(weight, group) for weight in weights.values()):
            note = f"matrices of the weights have {bits} bits, in groups of {group}"
            found.append(Variant(f"int{bits} in groups of {group}", "weights", note, _quantised(bits, group)))
    return found


def _rounded(name: str) -> Rounding:
    kind = FORMATS[name].dtype

    def rounded(array: Array) -> Array:
        with np.errstate(over="ignore"):
            return array.astype(kind).astype(array.dtype)

    return rounded


def _factors(bits: int) -> Callable[[Setup], Setup]:
    def plant(setup: Setup) -> Setup:
        def compute(call: OpCall) -> Array:
            if call.op in PRODUCTS:
                kept = {name: a if name == "bias" else round_to_bits(a, bits) for name, a in call.arrays.items()}
                return setup.compute(replace(call, arrays=kept))
            if call.op in ATTENTION:
                return attention(call.arrays, factors=lambda array: round_to_bits(array, bits))
            return setup.compute(call)

        return setup.computing(compute)

    return plant


def _stored(name: str) -> Callable[[Setup], Setup]:
    rounded = _rounded(name)

    def plant(setup: Setup) -> Setup:
        def compute(call: OpCall) -> Array:
            if name not in call.spec.formats:  # such as angles that a half format cannot hold
                return rounded(setup.compute(call))
            arrays = {key: rounded(a) if a.dtype == np.float32 else a for key, a in call.arrays.items()}
            return rounded(setup.compute(replace(call, arrays=arrays)))

        return setup.computing(compute)

    return plant


def _softmax(name: str) -> Callable[[Setup], Setup]:
    def plant(setup: Setup) -> Setup:
        def compute(call: OpCall) -> Array:
            return attention(call.arrays, weights=_rounded(name)) if call.op in ATTENTION else setup.compute(call)

        return setup.computing(compute)

    return plant


def attention(
    arrays: Mapping[str, Array], factors: Rounding = lambda array: array, weights: Rounding = lambda array: array
) -> Array:
    """softmax(q k^T / sqrt(d) + mask) v in float32, with `factors` rounding q, k, v and the weights where they are
    multiplied, and `weights` rounding the scores and the weights where they are stored."""
    q, k, v = (factors(arrays[name]) for name in ("q", "k", "v"))
    scores = np.matmul(q, np.swapaxes(k, -1, -2)) * np.float32(q.shape[-1] ** -0.5)
    mask = arrays.get("mask")
    if mask is not None:
        scores = np.where(mask, scores, -np.inf) if mask.dtype == np.bool_ else scores + mask
    scores = weights(scores)
    raised = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return np.asarray(np.matmul(factors(weights(raised / raised.sum(axis=-1, keepdims=True))), v), q.dtype)


def _weights(name: str) -> Callable[[Setup], Setup]:
    rounded = _rounded(name)

    def plant(setup: Setup) -> Setup:
        weights = {key: rounded(w) if w.dtype.kind == "f" else w for key, w in setup.weights.items()}
        return replace(setup, weights=weights)

    return plant


def _is_quantised(weight: NDArray[Any], group: int) -> bool:
    """Frameworks quantise the matrices of Linear and Embedding whose rows are made of whole groups, nothing else."""
    return weight.dtype.kind == "f" and weight.ndim == 2 and weight.size > 0 and weight.shape[1] % group == 0


def _quantised(bits: int, group: int) -> Callable[[Setup], Setup]:
    def plant(setup: Setup) -> Setup:
        weights = {
            name: quantised(weight, bits, group) if _is_quantised(weight, group) else weight
            for name, weight in setup.weights.items()
        }
        return replace(setup, weights=weights)

    return plant


# Affine quantisation as MLX does it: in each group, the value of the largest size is a point of the grid, and so is
# zero where the group has both signs; 2^bits - 1 steps reach from end to end.


def quantised(weight: NDArray[Any], bits: int, group: int) -> NDArray[Any]:
    """Nearest values of `weight` on a grid of 2^bits points for each `group` of a row, in float32."""
    rows = weight.astype(np.float32).reshape(-1, group)
    low, high = rows.min(axis=1, keepdims=True), rows.max(axis=1, keepdims=True)
    is_low = np.abs(low) > np.abs(high)
    steps = np.float32(2**bits - 1)
    size = np.maximum((high - low) / steps, np.float32(1e-7))
    scale = np.where(is_low, size, -size)
    edge = np.where(is_low, low, high)
    count = np.rint(edge / scale)
    scale = np.where(count != 0, edge / np.where(count != 0, count, 1), scale)
    offset = np.where(count != 0, edge, np.float32(0))
    places = np.clip(np.rint((rows - offset) / scale), 0, steps)
    return np.asarray(places * scale + offset, np.float32).reshape(weight.shape)
