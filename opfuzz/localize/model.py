"""A pipeline with weights and inputs: the bundled decoder, or what a user's file says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from opfuzz import python_file
from opfuzz.errors import OpfuzzError, did_you_mean
from opfuzz.localize.planting import Pipeline, Tensors, Variant
from opfuzz.localize.tensors import open_tensors


@dataclass(frozen=True, slots=True)
class Model:
    """What is localised. `variants` are its own wrong readings, besides those of its ops and of precision."""

    name: str
    pipeline: Pipeline
    weights: Tensors
    inputs: Tensors
    variants: tuple[Variant, ...] = ()
    described: str = ""  # in words, for reports: how large, with whose weights


class Named(dict[str, NDArray[Any]]):
    """Tensors by name, from a file; one that is missing is the user's mistake."""

    def __init__(self, tensors: Mapping[str, NDArray[Any]], origin: str) -> None:
        super().__init__(tensors)
        self.origin = origin

    def __missing__(self, name: str) -> NDArray[Any]:
        raise OpfuzzError(f"{self.origin}: there is no tensor '{name}'{did_you_mean(name, self)}")


# A pipeline of a user's is a Python file:
#
#     def pipeline(run, weights, inputs): ...      # returns the output; run is the dispatcher
#     def example(seed): ...                       # returns weights and inputs, used where no file gives them
#     VARIANTS = [...]                             # if there are wrong readings besides those of its ops


def user_model(module: ModuleType, path: Path, weights: Path | None, inputs: Path | None, seed: int) -> Model:
    """The pipeline that a file describes, with tensors from files or from its own example.

    Raises OpfuzzError for what is missing in it or of another type.
    """
    pipeline = getattr(module, "pipeline", None)
    if not callable(pipeline):
        raise OpfuzzError(f"{path}: it has no function pipeline(run, weights, inputs)")
    drawn: tuple[Tensors, Tensors] = ({}, {})
    if weights is None or inputs is None:
        drawn = _example(module, path, seed)
    variants = getattr(module, "VARIANTS", ())
    for variant in variants:
        if not isinstance(variant, Variant):
            raise OpfuzzError(f"{path}: VARIANTS holds a {type(variant).__name__}; it must hold Variant objects")
    held = Named(_all(weights), str(weights)) if weights else Named(drawn[0], f"{path}: weights of example({seed})")
    given = Named(_all(inputs), str(inputs)) if inputs else Named(drawn[1], f"{path}: inputs of example({seed})")
    count = sum(weight.size for weight in held.values())
    origin = f"weights of {weights}" if weights else f"its example of seed {seed}"
    return Model(path.stem, pipeline, held, given, tuple(variants), f"{count / 1e6:.3g} M parameters, {origin}")


def _example(module: ModuleType, path: Path, seed: int) -> tuple[Tensors, Tensors]:
    example = getattr(module, "example", None)
    if not callable(example):
        raise OpfuzzError(f"{path}: it has no function example(seed); write one, or give --weights and --inputs")
    try:
        weights, inputs = example(seed)
    except (TypeError, ValueError) as error:
        raise OpfuzzError(f"{python_file.place(path, error)}: example: {python_file.said(error)}") from error
    for name, tensor in [*weights.items(), *inputs.items()]:
        if not isinstance(tensor, np.ndarray):
            raise OpfuzzError(f"{path}: example gives '{name}' as a {type(tensor).__name__}, not a NumPy array")
    return weights, inputs


def _all(path: Path) -> dict[str, NDArray[Any]]:
    file = open_tensors(path)
    return {name: np.ascontiguousarray(file.read(name)) for name in file.names()}
