"""A wrong reading of the decoder: a subclass with one method in the place of the right one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from opfuzz.network.pipeline.decoder import Array, Config, Decoder
from opfuzz.network.pipeline.dispatch import Dispatcher
from opfuzz.network.pipeline.planting import Setup, Tensors, Variant

Method = Callable[..., Any]

READINGS: list[Variant] = []


@dataclass(frozen=True, slots=True)
class Decode:
    """The pipeline of a kind of decoder with its settings."""

    kind: type[Decoder]
    config: Config

    def __call__(self, run: Dispatcher, weights: Tensors, inputs: Tensors) -> Array:
        return self.kind(run, weights, inputs, self.config).decode()


def instead_of(method: Method, place: str) -> Callable[[Method], Method]:
    """Registers a function as a wrong reading of a method of Decoder, under its name, with its docstring as note."""

    def register(function: Method) -> Method:
        name = function.__name__.replace("_", "-")
        READINGS.append(reading(name, place, (function.__doc__ or "").rstrip("."), method, function))
        return function

    return register


# Each builds on what is planted already, so that two wrong readings can be planted together.


def reading(name: str, place: str, note: str, method: Method, function: Method) -> Variant:
    """The variant that puts a function in the place of a method of Decoder."""
    return Variant(name, place, note, partial(_rewired, {method.__name__: function}))


def _rewired(methods: dict[str, Method], setup: Setup) -> Setup:
    right = setup.pipeline
    assert isinstance(right, Decode)
    return replace(setup, pipeline=replace(right, kind=type("WrongDecoder", (right.kind,), methods)))


def guided(w: float) -> Variant:
    """The variant with another weight of guidance."""
    return Variant(f"guidance-{w:g}", "guidance", f"w is {w:g}", partial(_guided, w))


def _guided(w: float, setup: Setup) -> Setup:
    right = setup.pipeline
    assert isinstance(right, Decode)
    return replace(setup, pipeline=replace(right, config=replace(right.config, guidance=w)))
