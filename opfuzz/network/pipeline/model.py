"""A pipeline with weights and inputs: the bundled decoder, or what a user's file says."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from opfuzz.core.errors import OpfuzzError, did_you_mean
from opfuzz.core.files import user_module as python_file
from opfuzz.network.observe.records import Coverage
from opfuzz.network.pipeline.dispatch import Array, Dispatcher
from opfuzz.network.pipeline.planting import Pipeline, Setup, Tensors, Variant
from opfuzz.network.tensors import open_tensors


@dataclass(frozen=True, slots=True)
class PipelineModel:
    """What is localised. `variants` are its own wrong readings, besides those of its ops and of precision."""

    name: str
    pipeline: Pipeline
    weights: Tensors
    inputs: Tensors
    variants: tuple[Variant, ...] = ()
    described: str = ""  # in words, for reports: how large, with whose weights
    axes: tuple[str, str] = ("all other axes", "last axis")  # of the output, in words
    coverage: Coverage | None = None  # of a model whose calls were observed
    owners: Mapping[str, str] | None = None  # of such a model: the class that makes the calls of each place


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


def user_model(module: ModuleType, path: Path, weights: Path | None, inputs: Path | None, seed: int) -> PipelineModel:
    """The pipeline that a file describes, with tensors from files or from its own example.

    Raises OpfuzzError for what is missing in it or of another type.
    """
    pipeline = getattr(module, "pipeline", None)
    if not callable(pipeline):
        raise OpfuzzError(f"{path}: it has no model, and no function pipeline(run, weights, inputs)")
    drawn: tuple[Tensors, Tensors] = ({}, {})
    if weights is None or inputs is None:
        drawn = _example(module, path, seed)
    variants = getattr(module, "VARIANTS", ())
    if not isinstance(variants, list | tuple):
        raise OpfuzzError(f"{path}: VARIANTS is a {type(variants).__name__}; it must be a list of Variant objects")
    for variant in variants:
        if not isinstance(variant, Variant):
            raise OpfuzzError(f"{path}: VARIANTS holds a {type(variant).__name__}; it must hold Variant objects")
        if not all(isinstance(text, str) for text in (variant.name, variant.place, variant.note)):
            raise OpfuzzError(f"{path}: VARIANTS: name, place and note of {variant.name!r:.40} must be text")
    held = Named(_all(weights), str(weights)) if weights else Named(drawn[0], f"weights of example({seed})")
    given = Named(_all(inputs), str(inputs)) if inputs else Named(drawn[1], f"inputs of example({seed})")
    count = sum(weight.size for weight in held.values())
    origin = f"weights of {weights}" if weights else f"its example of seed {seed}"
    return PipelineModel(
        name=path.stem,
        pipeline=_guarded(pipeline, path, "pipeline"),
        weights=held,
        inputs=given,
        variants=tuple(_guarded_variant(variant, path) for variant in variants),
        described=f"{count / 1e6:.3g} M parameters, {origin}",
    )


def _guarded(pipeline: Pipeline, path: Path, what: str) -> Pipeline:
    """The pipeline, with whatever is raised in it and whatever else it returns as a mistake in the user's file.

    It takes more arguments by name, so that a variant can give the pipeline others than its defaults.
    """

    def run(dispatcher: Dispatcher, weights: Tensors, inputs: Tensors, **changed: Any) -> Array:
        try:
            output = pipeline(dispatcher, weights, inputs, **changed)
        except (Exception, SystemExit) as error:
            raise _blamed(error, path, what) from error
        if not isinstance(output, np.ndarray) or output.dtype.kind != "f":
            kind = f"an array of {output.dtype}" if isinstance(output, np.ndarray) else f"a {type(output).__name__}"
            raise OpfuzzError(f"{path}: {what} returns {kind}, not a NumPy array of floats")
        return output

    return run


def _guarded_variant(variant: Variant, path: Path) -> Variant:
    what = f"variant '{variant.title}'"

    def plant(setup: Setup) -> Setup:
        try:
            planted = variant.plant(setup)
        except (Exception, SystemExit) as error:
            raise _blamed(error, path, what) from error
        if not isinstance(planted, Setup):
            raise OpfuzzError(f"{path}: {what} plants a {type(planted).__name__}; it must return a Setup")
        return replace(planted, pipeline=_guarded(planted.pipeline, path, what))

    return replace(variant, plant=plant)


def _blamed(error: BaseException, path: Path, what: str) -> OpfuzzError:
    """The error with the line of the user's file, unless it has one."""
    place = python_file.place(path, error)
    if not isinstance(error, OpfuzzError):
        return OpfuzzError(f"{place}: {what} raised {python_file.said(error)}")
    return error if re.match(rf"{re.escape(str(path))}:\d", str(error)) else OpfuzzError(f"{place}: {error}")


def _example(module: ModuleType, path: Path, seed: int) -> tuple[Tensors, Tensors]:
    example = getattr(module, "example", None)
    if not callable(example):
        raise OpfuzzError(f"{path}: it has no function example(seed); write one, or give --weights and --inputs")
    try:
        given = example(seed)
    except (Exception, SystemExit) as error:
        raise _blamed(error, path, "example") from error
    if not isinstance(given, tuple) or len(given) != 2 or not all(isinstance(tensors, Mapping) for tensors in given):
        raise OpfuzzError(f"{path}: example must give two dicts of NumPy arrays, weights and inputs")
    weights, inputs = given
    for name, tensor in [*weights.items(), *inputs.items()]:
        if not isinstance(name, str) or not isinstance(tensor, np.ndarray):
            raise OpfuzzError(
                f"{path}: example gives {name!r:.40} as a {type(tensor).__name__}, not a NumPy array by name"
            )
    return weights, inputs


def _all(path: Path) -> dict[str, NDArray[Any]]:
    file = open_tensors(path)
    return {name: np.ascontiguousarray(file.read(name)) for name in file.names()}
