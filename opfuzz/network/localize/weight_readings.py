"""Wrong readings of the decoder's weights and of its noise: each is a function of the tensors."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np

from opfuzz.network.pipeline.decoder import Array
from opfuzz.network.pipeline.planting import Setup, Tensors, Variant

TEMPERATURES = (0.5, 0.667, 0.8, 0.9, 1.1)
# A transformer block, a resnet: what a port finds or does not find as a whole.
BLOCK = re.compile(r"((down|mid|up)_blocks\.\d+\.(0|1\.\d+)|time_mlp|final_block)\.")


def readings(weights: Tensors, seed: int) -> list[Variant]:
    """All of them. Random numbers that nobody can know, of another generator or another start, come from the seed."""
    found = [
        _noise(f"temperature-{factor:g}", f"the noise is {factor:g} times as large", _times(factor))
        for factor in TEMPERATURES
    ]
    found += [
        _noise("other-generator", "other random numbers for the noise", _redrawn(seed)),
        _noise("noise-by-frames", "the noise was drawn as (frames, mel)", _by_frames),
        _noise("no-noise", "the noise is zero", np.zeros_like),
    ]
    for block in sorted({match[1] for name in weights if (match := BLOCK.match(name))}):
        note = f"{block} was left at a random start"
        found.append(Variant("left-at-random-start", block, note, _restarted(block, seed)))
    return found


def _noise(name: str, note: str, change: Callable[[Array], Array]) -> Variant:
    def plant(setup: Setup) -> Setup:
        return replace(setup, inputs={**setup.inputs, "noise": change(setup.inputs["noise"])})

    return Variant(name, "noise", note, plant)


def _times(factor: float) -> Callable[[Array], Array]:
    return lambda noise: noise * np.float32(factor)


def _redrawn(seed: int) -> Callable[[Array], Array]:
    return lambda noise: np.random.default_rng([seed, 2]).standard_normal(noise.shape, np.float32)


def _by_frames(noise: Array) -> Array:
    batch, mel, frames = noise.shape
    return np.swapaxes(noise.reshape(batch, frames, mel), 1, 2)


def _restarted(block: str, seed: int) -> Callable[[Setup], Setup]:
    def plant(setup: Setup) -> Setup:
        return replace(setup, weights=_with_start(setup.weights, block, seed))

    return plant


def _with_start(weights: Tensors, block: str, seed: int) -> Mapping[str, Array]:
    """PyTorch's start of a layer: uniform within 1 / sqrt(fan in), norms one and zero."""
    random = np.random.default_rng([seed, 3])
    changed = dict(weights)
    for name, weight in weights.items():
        if not name.startswith(f"{block}."):
            continue
        matrix = weights.get(re.sub(r"bias$", "weight", name), weight)
        if matrix.ndim == 1:
            changed[name] = np.full_like(weight, float(name.endswith("weight")))
        else:
            limit = 1 / np.sqrt(np.prod(matrix.shape[1:]))
            changed[name] = random.uniform(-limit, limit, weight.shape).astype(np.float32)
    return changed
