"""Wrong readings of the solver: time grid, stepping, guidance, conditions, and the order of the input's channels."""

from __future__ import annotations

from dataclasses import replace
from itertools import permutations

import numpy as np

from opfuzz.network.localize.reading import READINGS, instead_of, reading
from opfuzz.network.pipeline.decoder import Array, Decoder
from opfuzz.network.pipeline.planting import Variant

CHANNELS = ("x", "mu", "speaker", "cond")

# Time grid and stepping.


def _grid_of(self: Decoder, steps: int) -> Array:
    return Decoder(self.run, self.weights, self.inputs, replace(self.config, steps=steps)).grid()


@instead_of(Decoder.grid, "time grid")
def one_step_more(self: Decoder) -> Array:
    """the grid has one step more"""
    return _grid_of(self, self.config.steps + 1)


@instead_of(Decoder.grid, "time grid")
def one_step_fewer(self: Decoder) -> Array:
    """the grid has one step fewer"""
    return _grid_of(self, max(self.config.steps - 1, 1))


@instead_of(Decoder.grid, "time grid")
def last_step_not_taken(self: Decoder) -> Array:
    """the last step is not taken"""
    return Decoder.grid(self)[:-1]


@instead_of(Decoder.grid, "time grid")
def grid_in_half(self: Decoder) -> Array:
    """the grid is computed in float16"""
    t = np.linspace(0, 1, self.config.steps + 1, dtype=np.float16)
    bent = t if self.config.schedule == "linear" else 1 - np.cos(t * np.float16(np.pi / 2))
    return np.asarray(bent, np.float32)


@instead_of(Decoder.time, "stepping")
def time_at_the_end_of_the_step(self: Decoder, grid: Array, step: int) -> Array:
    """the velocity is taken at the time where the step ends"""
    return grid[step + 1 : step + 2]


@instead_of(Decoder.time, "stepping")
def time_in_the_middle_of_the_step(self: Decoder, grid: Array, step: int) -> Array:
    """the velocity is taken at the time in the middle of the step"""
    return (grid[step : step + 1] + grid[step + 1 : step + 2]) / 2


@instead_of(Decoder.time, "stepping")
def time_accumulated(self: Decoder, grid: Array, step: int) -> Array:
    """time is the sum of the steps before, not read from the grid"""
    return np.cumsum(np.concatenate((grid[:1], np.diff(grid))), dtype=np.float32)[step : step + 1]


@instead_of(Decoder.time, "stepping")
def time_of_an_even_grid(self: Decoder, grid: Array, step: int) -> Array:
    """the network is told the time of an even grid, the steps follow the bent one"""
    return np.linspace(0, 1, len(grid), dtype=np.float32)[step : step + 1]


# Guidance and conditions. What is lost is lost in both halves of the batch.


def _keeping(self: Decoder, *kept: str) -> tuple[Array, Array, Array]:
    given = {name: self.inputs[name] for name in ("mu", "spks", "cond")}
    mu, spks, cond = (np.concatenate((a, a if n in kept else np.zeros_like(a))) for n, a in given.items())
    return mu, spks, cond


@instead_of(Decoder.conditions, "guidance")
def unconditional_keeps_mu(self: Decoder) -> tuple[Array, Array, Array]:
    """the unconditional half keeps mu"""
    return _keeping(self, "mu")


@instead_of(Decoder.conditions, "guidance")
def unconditional_keeps_speaker(self: Decoder) -> tuple[Array, Array, Array]:
    """the unconditional half keeps the speaker"""
    return _keeping(self, "spks")


@instead_of(Decoder.conditions, "guidance")
def unconditional_keeps_cond(self: Decoder) -> tuple[Array, Array, Array]:
    """the unconditional half keeps cond, the prompt"""
    return _keeping(self, "cond")


@instead_of(Decoder.conditions, "guidance")
def unconditional_keeps_all(self: Decoder) -> tuple[Array, Array, Array]:
    """the unconditional half keeps every condition"""
    return _keeping(self, "mu", "spks", "cond")


@instead_of(Decoder.conditions, "input")
def mu_lost(self: Decoder) -> tuple[Array, Array, Array]:
    """mu is zero"""
    mu, spks, cond = Decoder.conditions(self)
    return np.zeros_like(mu), spks, cond


@instead_of(Decoder.conditions, "input")
def speaker_lost(self: Decoder) -> tuple[Array, Array, Array]:
    """the speaker is zero"""
    mu, spks, cond = Decoder.conditions(self)
    return mu, np.zeros_like(spks), cond


@instead_of(Decoder.conditions, "input")
def cond_lost(self: Decoder) -> tuple[Array, Array, Array]:
    """cond, the prompt, is zero"""
    mu, spks, cond = Decoder.conditions(self)
    return mu, spks, np.zeros_like(cond)


@instead_of(Decoder.conditions, "input")
def speaker_norm_plus_eps(self: Decoder) -> tuple[Array, Array, Array]:
    """a speaker vector of length 1 was divided by its norm + 1e-8"""
    mu, spks, cond = Decoder.conditions(self)
    return mu, (spks.astype(np.float64) / (1 + 1e-8)).astype(np.float32), cond


def _orders() -> list[Variant]:
    """The channels of the input in every other order."""
    found = []
    for order in list(permutations(range(4)))[1:]:

        def join(self: Decoder, x: Array, *others: Array, order: tuple[int, ...] = order) -> Array:
            parts = np.split(Decoder.join(self, x, *others), 4, axis=1)
            return np.concatenate([parts[i] for i in order], axis=1)

        named = [CHANNELS[i] for i in order]
        note = f"the input is {', '.join(named)}"
        found.append(reading(f"channels-{'-'.join(named)}", "input", note, Decoder.join, join))
    return found


READINGS += _orders()
