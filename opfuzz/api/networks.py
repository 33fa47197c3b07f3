"""`opfuzz.trace` and `opfuzz.localize`: two models at hand, or one and what was seen of the other."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from opfuzz.api.arguments import AnyPath, check_named, read_name, read_path, read_paths, read_truth, shown, wrong
from opfuzz.api.notebook import preformatted
from opfuzz.backends import discover, resolve
from opfuzz.core.shipped import shipped
from opfuzz.engine.drivers.localize import localize as localize_plan
from opfuzz.engine.drivers.pipeline_bench import LocalizePlan
from opfuzz.engine.drivers.trace import knowledge
from opfuzz.network.localize.observed import Observed, of_array, read_figures, read_tensor
from opfuzz.network.localize.result import Localization
from opfuzz.network.pipeline.dispatch import Array
from opfuzz.network.trace.backward import trace_gradients
from opfuzz.network.trace.pair import models_of
from opfuzz.network.trace.trace import Trace
from opfuzz.network.trace.trace import trace as trace_models
from opfuzz.report.network import localization as localization_text
from opfuzz.report.network.trace import render


@dataclass(frozen=True, slots=True)
class TracedPair:
    """Two models compared module by module. Its text, and what a notebook shows, is what `opfuzz trace` prints."""

    record: Trace  # all modules, with their errors

    @property
    def guilty(self) -> tuple[str, ...]:
        """Names in `a` of the modules that compute something else than their counterparts, the first to run first."""
        return self.record.guilty

    def __str__(self) -> str:
        return render(self.record, None, False, False)

    def _repr_html_(self) -> str:
        return preformatted(str(self))


@dataclass(frozen=True, slots=True)
class LocalizedDrift:
    """What could make a network drift as it was seen to. Its text is what `opfuzz localize` prints."""

    record: Localization  # attribution by op, variants and readings with how near each comes

    @property
    def verdict(self) -> tuple[str, ...]:
        """What it comes to, in sentences."""
        return self.record.verdict

    def __str__(self) -> str:
        return localization_text.render(self.record)

    def _repr_html_(self) -> str:
        return preformatted(str(self))


def trace(
    a: Any,
    b: Any,
    inputs: Any,
    *,
    inputs_b: Any = None,
    names: Mapping[str, str | None] | None = None,
    gradients: bool = False,
) -> TracedPair:
    """Which module of `b` computes something else than its counterpart in `a`, on what that one received.

    `a` and `b`: a torch.nn.Module or an mlx.nn.Module each, or the path of an exported model. `inputs`: NumPy arrays in
    a tuple, or in a dict by keyword, in shapes as `a` takes them; `inputs_b` where `b` wants other layouts. `names`:
    names of modules in `a` to those in `b`, or to None where `b` has none, where pairing by weights, names and order
    goes wrong. `gradients`: whether those are compared, and not values. Errors are relative: rms of the difference over
    rms of what is exact. Both models run in this process, in evaluation mode, and are left as they were.
    Raises OpfuzzError if a model is of another kind, raises, or could not be paired.
    """
    check_named(names, "opfuzz.trace: names")
    for side, model in (("a", a), ("b", b)):
        _check_model(model, f"opfuzz.trace: {side}")
    _check_inputs(inputs, "opfuzz.trace: inputs")
    _check_inputs(inputs_b, "opfuzz.trace: inputs_b")
    module = _module(a=a, b=b, inputs=inputs, inputs_b=inputs_b, names=dict(names or {}))
    follow = trace_gradients if read_truth(gradients, "gradients") else trace_models
    return TracedPair(follow(models_of(module, Path("opfuzz.trace")), knowledge()))


def localize(
    model: Any,
    inputs: Any = None,
    observed: Mapping[str, float] | AnyPath | Any = None,
    *,
    a: str = "torch:cpu",
    b: str = "mlx:cpu",
    specs: AnyPath | Iterable[AnyPath] = (),
    frames: tuple[int, int] | None = None,
    pairs: bool = False,
) -> LocalizedDrift:
    """Which op, or which wrong reading of the network, could make its output drift as it was seen to.

    `model`: a torch.nn.Module with its `inputs`, NumPy arrays in a tuple or in a dict by keyword; or "decoder", or the
    path of a file as `opfuzz localize` takes it. `observed`: figures of the drift (corr, mae, median, max, rms, in the
    unit of the output), or the other side's output, as an array in the shape of the model's or a file of tensors; None
    asks what rounding alone does. `a`: the subject that is right, `b` that which drifts. `specs`: of the ops, those
    that come with opfuzz if there are none. `pairs`: whether two readings are tried at once, too. `frames`: the places
    of the output's last axis that count, the second excluded. All passes are made in this process, one after another,
    so a large network takes minutes: `opfuzz localize` uses all cores.
    Raises OpfuzzError for a model of another kind, one that raises, figures that cannot be, and an absent subject.
    """
    if frames is not None and not _is_range(frames):
        raise wrong(frames, "frames", "two whole numbers such as (36, 96), the first below the other")
    _check_model(model, "opfuzz.localize: model")
    _check_inputs(inputs, "opfuzz.localize: inputs")
    backends = discover()
    is_named = isinstance(model, str | os.PathLike)
    plan = LocalizePlan(
        model=os.fspath(model) if is_named else "opfuzz.localize",
        a=str(resolve(read_name(a, "a", "torch:cpu"), backends)[0]),
        b=str(resolve(read_name(b, "b", "mlx:cpu"), backends)[0]),
        specs=read_paths(specs, "specs") or (shipped("specs"),),
        frames=frames,
        pairs=read_truth(pairs, "pairs"),
    )
    given = None if is_named else _module(model=model, inputs=inputs)
    return LocalizedDrift(localize_plan(plan, lambda output: _observed(observed, output), given=given))


def _is_range(given: object) -> bool:
    ends = given if isinstance(given, tuple | list) else ()
    return len(ends) == 2 and all(type(end) is int for end in ends) and 0 <= ends[0] < ends[1]


def _observed(given: Any, output: Array) -> Observed | None:
    if given is None:
        return None
    if isinstance(given, Mapping):
        words = {name: shown(value) if isinstance(value, int) else value for name, value in given.items()}
        return read_figures(",".join(f"{name}={value}" for name, value in words.items()))
    if isinstance(given, str | os.PathLike):
        path = read_path(given, "observed")
        if "=" in str(given) and not path.is_file():
            return read_figures(str(given))
        return read_tensor(path, output)
    return of_array(np.asarray(given), output)


def _check_model(given: object, what: str) -> None:
    """Raises OpfuzzError for what is neither a model nor a path; of what kind a model is, is seen when it is read."""
    if isinstance(given, str | os.PathLike):
        read_path(given, what)
    elif given is None:
        raise wrong(given, what, "a torch.nn.Module, an mlx.nn.Module or a path")


def _check_inputs(given: object, what: str) -> None:
    """Raises OpfuzzError for a number or a text alone; what is in it is seen when the model is."""
    if isinstance(given, bool | int | float | str | bytes):
        raise wrong(given, what, "a NumPy array, a tuple of arrays, or a dict of them by keyword")


def _module(**given: Any) -> ModuleType:
    """What a user's file would define."""
    module = ModuleType("given")
    vars(module).update({name: value for name, value in given.items() if value is not None})
    return module
