"""The user's file for a trace: two models and their inputs."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import yaml

from opfuzz.core.errors import OpfuzzError, did_you_mean
from opfuzz.core.files.user_module import load, place, said
from opfuzz.network.trace.mapping import Names
from opfuzz.network.trace.recording import ModuleCall, TracedModel

KNOWN = ("a", "b", "model_a", "model_b", "inputs", "inputs_a", "inputs_b", "names")


@dataclass(frozen=True, slots=True)
class Models:
    """Two models as they were given, and (args, kwargs) of NumPy arrays for each."""

    path: Path
    a: TracedModel
    b: TracedModel
    inputs_a: Any
    inputs_b: Any
    names: Names = field(default_factory=dict)

    def record(self) -> tuple[tuple[ModuleCall, ...], tuple[ModuleCall, ...]]:
        """Both recordings. Raises OpfuzzError, with the line of the user's file, if a model raises."""
        return self._record(self.a, "a", self.inputs_a), self._record(self.b, "b", self.inputs_b)

    def _record(self, model: TracedModel, side: str, inputs: Any) -> tuple[ModuleCall, ...]:
        try:
            return model.record(inputs)
        except Exception as error:  # the user's model
            raise OpfuzzError(f"{place(self.path, error)}: {side} raised {said(error)}") from error


def read_models(path: Path, mapping: Path | None = None) -> Models:
    """What the file defines: `a`, `b` or `model_a()`, `model_b()`; `inputs` or `inputs_a`, `inputs_b`; `names`.

    `mapping` is a JSON or YAML file with more names. Raises OpfuzzError if anything is missing or of the wrong kind.
    """
    return models_of(load(path, "pair"), path, mapping)


def models_of(module: ModuleType, path: Path, mapping: Path | None = None) -> Models:
    """The same of a module that is there already; `path` is what it is called in messages."""
    names = {**_names(getattr(module, "names", {}), str(path)), **(_names_in(mapping) if mapping else {})}
    return Models(
        path,
        read_model(module, path, "a"),
        read_model(module, path, "b"),
        read_inputs(module, path, "inputs_a"),
        read_inputs(module, path, "inputs_b"),
        names,
    )


def read_model(module: ModuleType, path: Path, side: str) -> TracedModel:
    """The model of a side, `a`, `b` or `model`, or what a function of that name, or `model_a`, gives.

    Raises OpfuzzError if there is none, or it is of the wrong kind.
    """
    name = f"model_{side}" if getattr(module, side, None) is None else side
    given = getattr(module, name, None)
    if given is None:
        raise OpfuzzError(
            f"{path}: there is no '{side}'; write {side} = ... or def model_{side}(){_nearest(module, side)}"
        )
    if not _frameworks(given) and callable(given) and not isinstance(given, type):
        try:
            given = given()
        except (Exception, SystemExit) as error:
            raise OpfuzzError(f"{place(path, error)}: {name}() raised {said(error)}") from error
    if isinstance(given, str | Path):
        given = _exported(path, side, Path(given))
    roots = _frameworks(given)
    if "torch" in roots:
        from opfuzz.network.trace.torch import TorchModel

        return TorchModel(given)
    if "mlx" in roots:
        from opfuzz.network.trace.mlx import MlxModel

        return MlxModel(given)
    kind = f"the class {given.__name__}; call it" if isinstance(given, type) else f"of type {type(given).__name__}"
    raise OpfuzzError(f"{path}: '{side}' is {kind}; it must be a torch.nn.Module, an mlx.nn.Module or an exported file")


def _exported(path: Path, side: str, given: Path) -> Any:
    """The model in a file that lies where the user's file says, from its own folder on."""
    from opfuzz.network.observe.exported import SUFFIXES, load_exported

    place = path.parent / given
    if place.suffix not in SUFFIXES:
        raise OpfuzzError(f"{path}: '{side}' is the file {given}; exported models are {' or '.join(SUFFIXES)} files")
    if not place.is_file():
        raise OpfuzzError(f"{path}: '{side}' is the file {given}, and there is no {place}")
    return load_exported(place)


def _frameworks(given: Any) -> set[str]:
    """Of which framework it is a module. Asked of the class, so that only the one that is used is imported."""
    return {kind.__module__.split(".")[0] for kind in type(given).__mro__ if kind.__name__ == "Module"}


def read_inputs(module: ModuleType, path: Path, name: str, has_run: bool = False) -> Any:
    """(args, kwargs). Whatever NumPy can read as an array of numbers becomes one.

    Raises OpfuzzError if there are none, or they hold what is no array, or are one number or word; a `run` of the
    user's may take such a one.
    """
    name = name if hasattr(module, name) else "inputs"
    given = getattr(module, name, None)
    if given is None:
        raise OpfuzzError(f"{path}: there is no 'inputs'; write inputs = (array, ...){_nearest(module, 'inputs')}")
    if isinstance(given, Mapping):
        return (), {key: _array(value, path, f"{name}['{key}']") for key, value in given.items()}
    if isinstance(given, bool | int | float | str) and not has_run:
        raise OpfuzzError(
            f"{path}: '{name}' is {given!r}, of type {type(given).__name__}; it must be a NumPy array, a tuple of "
            f"arrays or a dict of them by keyword: write {name} = (array, ...)"
        )
    listed = given if isinstance(given, list | tuple) else (given,)
    return tuple(_array(value, path, f"{name}[{i}]") for i, value in enumerate(listed)), {}


def as_written(kind: type, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """The inputs for a `run` of the user's: a dict, a list or tuple, or one array, as they are in the file."""
    if issubclass(kind, Mapping):
        return kwargs
    return kind(args) if issubclass(kind, list | tuple) else args[0]


def _array(value: Any, path: Path, where: str) -> Any:
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, list | tuple):
        return type(value)(_array(item, path, f"{where}[{i}]") for i, item in enumerate(value))
    if isinstance(value, dict):
        return {key: _array(item, path, f"{where}['{key}']") for key, item in value.items()}
    try:
        array = np.asarray(value)
    except Exception as error:  # an object of any library
        raise OpfuzzError(f"{path}: {where} is no array: {said(error)}") from error
    if array.dtype.kind not in "biufcV" or array.dtype == np.object_:
        raise OpfuzzError(
            f"{path}: {where} is of type {type(value).__name__}; inputs are NumPy arrays, numbers or None"
        )
    return array


def _nearest(module: ModuleType, name: str) -> str:
    return did_you_mean(name, (n for n in vars(module) if not n.startswith("_") and n not in KNOWN))


def _names_in(mapping: Path) -> dict[str, str | None]:
    try:
        text = mapping.read_text(encoding="utf-8")
        given = json.loads(text) if mapping.suffix == ".json" else yaml.safe_load(text)
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise OpfuzzError(f"{mapping}: cannot read names: {said(error)}") from error
    return _names(given, str(mapping))


def _names(given: Any, origin: str) -> dict[str, str | None]:
    if not isinstance(given, dict) or not all(
        isinstance(n, str) and isinstance(other, str | None) for n, other in given.items()
    ):
        raise OpfuzzError(f"{origin}: names must be a mapping of names in a to names in b, or to None where b has none")
    return dict(given)
