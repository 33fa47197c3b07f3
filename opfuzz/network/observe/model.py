"""A torch model as a pipeline: its calls of ops go through the dispatcher, all else it does itself."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np

from opfuzz.core.errors import OpfuzzError
from opfuzz.core.files.user_module import place, said
from opfuzz.network.observe.records import OP, Array, Bound, Observation, ObservedCall, Plant, Routing
from opfuzz.network.observe.spec_reader import SpecReader
from opfuzz.network.pipeline.dispatch import Dispatcher
from opfuzz.network.pipeline.model import PipelineModel
from opfuzz.network.pipeline.planting import TIERS, Setup, Tensors, UnfitError, Variant, groups_of
from opfuzz.network.readings.all_readings import readings_of_model
from opfuzz.network.readings.reading import Reading, SeenModule
from opfuzz.network.readings.weights import WeightReading, module_readings, users_of, weight_readings
from opfuzz.network.trace.pair import as_written, read_inputs, read_model
from opfuzz.spec import OpSpec

if TYPE_CHECKING:
    from opfuzz.network.observe.torch import TorchRun

WHOLE = "(model)"  # what is called outside every module, or by the outermost
NAMES = ("model", "a", "model_a")


# A file of a model is a Python file, that of `opfuzz trace` among them:
#
#     model = ...                        # or a, or a function model() or model_a() that makes it: a torch.nn.Module
#     inputs = (array, ...)              # or a dict of arrays by the names of the arguments
#     def run(model, inputs): ...        # where the model is not just called: a solver, a generation


def has_model(module: ModuleType) -> bool:
    """Whether a file has a model."""
    return any(hasattr(module, name) for name in NAMES)


def observed_model(module: ModuleType, path: Path, specs: Mapping[str, OpSpec], seed: int) -> PipelineModel:
    """The model that a file makes, as it computes its inputs. Raises OpfuzzError for a mistake in the file."""
    model = _model_of(module, path)
    run = _run_of(model, module, path, specs)
    try:
        seen = run.observe()
    except OpfuzzError:
        raise
    except (Exception, SystemExit) as error:
        raise OpfuzzError(f"{place(path, error)}: the model raised {said(error)}") from error
    if not any(array.dtype.kind in "fV" for array in seen.outputs):
        raise OpfuzzError(f"{path}: the model returns no tensor of real numbers, so there is nothing to compare")
    if not any(call.kind == OP for call in seen.calls):
        remedy = "" if any(call.format == "float32" for call in seen.calls) else "; make it float32: model.float()"
        raise OpfuzzError(f"{path}: none of the calls of the model is an op with a spec in float32{remedy}")
    weights = run.weights()
    places = _places(seen)
    pipeline = ObservedPipeline(run, seen, weights, places, path)
    count = sum(array.size for array in weights.values())
    return PipelineModel(
        name=path.stem,
        pipeline=pipeline,
        weights=weights,
        inputs={},
        variants=tuple(_variants(seen, weights, specs, seed)),
        described=f"{type(model).__name__}, {count / 1e6:.3g} M parameters",
        coverage=seen.coverage,
        owners={places[call.index]: call.owner for call in seen.calls},
    )


def _model_of(module: ModuleType, path: Path) -> Any:
    side = "model" if hasattr(module, "model") else "a"
    model = read_model(module, path, side)
    if model.framework != "torch":
        remedy = "; only torch models are observed: name the torch model `model`, and give the output of this one"
        raise OpfuzzError(f"{path}: '{side}' is an MLX model{remedy} with --observed")
    return model.module


def _run_of(model: Any, module: ModuleType, path: Path, specs: Mapping[str, OpSpec]) -> TorchRun:
    from opfuzz.network.observe.torch import TorchRun  # only where a model of torch is there

    run = getattr(module, "run", None)
    if run is not None and not callable(run):
        raise OpfuzzError(f"{path}: 'run' is a {type(run).__name__}; it must be a function run(model, inputs)")
    arguments = read_inputs(module, path, "inputs_a", has_run=run is not None)
    written = type(getattr(module, "inputs_a", getattr(module, "inputs", None)))

    def call(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        return model(*args, **kwargs) if run is None else run(model, as_written(written, args, kwargs))

    return TorchRun(model, arguments, SpecReader(specs), call)


@dataclass(frozen=True)
class ObservedPipeline:
    """The pipeline of a model that was observed, with what is planted in it."""

    run: TorchRun
    seen: Observation
    weights: Tensors  # its own
    places: tuple[str, ...]  # of each call
    path: Path  # of the user's file
    plants: Mapping[int, Plant] = field(default_factory=dict)
    skipped: frozenset[str] = frozenset()
    # What ops gave in the pass that was kept, by the index of the call.
    recorded: dict[int, Array] = field(default_factory=dict)

    def __call__(self, dispatcher: Dispatcher, weights: Tensors, inputs: Tensors) -> Array:
        """The first tensor of real numbers that the run returns.

        Raises UnfitError where the model cannot be computed with what is planted in it.
        """
        changed = {name: weight for name, weight in weights.items() if weight is not self.weights[name]}

        def route(bound: Bound, call: ObservedCall) -> Array:
            role, at = call.role or WHOLE, self.places[call.index]
            placed = replace(bound.call, number=self.seen.numbers[call.index], role=role, at=at)
            return dispatcher.compute(placed, bound.lead)

        own = [call for call in self.seen.calls if call.kind == OP]
        reuse = dispatcher.reuse
        asked = {c.index for c in own if reuse.asks(c.op, c.role or WHOLE, self.places[c.index])}
        known = {index: output for index, output in self.recorded.items() if self.seen.numbers[index] < reuse.begin}
        kept = self.recorded if reuse.keeps else None
        try:
            outputs = self.run.replay(
                self.seen,
                self.plants,
                skipped=self.skipped,
                weights=changed,
                routing=Routing(route, frozenset(asked), known, kept),
            )
        except OpfuzzError:
            raise
        except Exception as error:
            if self.plants or self.skipped or changed:
                raise UnfitError(said(error)) from error
            raise OpfuzzError(f"{place(self.path, error)}: the model raised {said(error)}") from error
        return next(array.astype(np.float32) for array in outputs if array.dtype.kind in "fV")


def _places(seen: Observation) -> tuple[str, ...]:
    """Where each call is: its module, and which of its calls of the function it is, if it makes several.

    Calls that a module makes in one run after another have one place.
    """
    inside: dict[int, int] = {}  # the run of a module that a call belongs to: the innermost, which ended first
    for number, run in enumerate(seen.modules):
        for index in range(run.first, run.end):
            inside.setdefault(index, number)
    counted: dict[tuple[int | None, str], int] = defaultdict(int)
    ordinals = []
    for call in seen.calls:
        key = (inside.get(call.index), call.family)
        counted[key] += 1
        ordinals.append(counted[key])
    several = {(call.path, call.family) for call, ordinal in zip(seen.calls, ordinals, strict=True) if ordinal > 1}
    return tuple(
        (call.path or WHOLE) + (f", {call.family} {ordinal}" if (call.path, call.family) in several else "")
        for call, ordinal in zip(seen.calls, ordinals, strict=True)
    )


# What can be planted.


def _variants(seen: Observation, weights: Tensors, specs: Mapping[str, OpSpec], seed: int) -> Iterator[Variant]:
    whole = SeenModule(seen, seen.calls, seen.given, is_whole=True)
    yield from _of_calls(seen, readings_of_model(whole, specs))
    users = users_of(seen)
    own = {call.index for call in seen.calls if call.kind == OP}
    for reading in (*weight_readings(seen, weights, specs), *module_readings(seen, weights, seed)):
        calls = [call.index for name in reading.weights for call in users.get(name, ())]
        calls += [run.first for run in seen.modules if run.path in reading.skipped]
        if calls and own:
            yield Variant(
                reading.name,
                reading.place,
                reading.note,
                _weights_planter(reading),
                first=seen.numbers[min(calls)],
                tier=1,
            )


def _of_calls(seen: Observation, readings: Iterable[tuple[int, Reading]]) -> Iterator[Variant]:
    """The readings in each words: everywhere, in the calls of each class and role, and in each place alone."""
    places = _places(seen)
    owners = {places[call.index]: call.owner for call in seen.calls}
    said: dict[tuple[int, str], list[_PlacedReading]] = defaultdict(list)
    for tier, reading in readings:
        call = seen.calls[max(reading.plants)]
        said[tier, reading.words].append(_PlacedReading(call.role or WHOLE, places[call.index], reading))
    for (tier, words), found in said.items():
        for group in groups_of(found, found, owners):
            chosen = [placed.reading for placed in found if group.has(placed.role, placed.at)]
            plants = {index: plant for reading in chosen for index, plant in reading.plants.items()}
            first = seen.numbers[min(plants)]
            yield Variant(words, group.place, "", _planter(plants), first=first, tier=TIERS * tier + group.tier)


@dataclass(frozen=True, slots=True)
class _PlacedReading:
    """A reading, and where its call is."""

    role: str
    at: str
    reading: Reading


def _planter(plants: Mapping[int, Plant]) -> Callable[[Setup], Setup]:
    def plant(setup: Setup) -> Setup:
        own = setup.pipeline
        assert isinstance(own, ObservedPipeline)
        return replace(setup, pipeline=replace(own, plants={**own.plants, **plants}))

    return plant


def _weights_planter(reading: WeightReading) -> Callable[[Setup], Setup]:
    def plant(setup: Setup) -> Setup:
        own = setup.pipeline
        assert isinstance(own, ObservedPipeline)
        pipeline = replace(own, skipped=own.skipped | reading.skipped)
        return replace(setup, pipeline=pipeline, weights={**setup.weights, **reading.weights})

    return plant
