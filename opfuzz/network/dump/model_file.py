"""The user's file for a dump: one model, its inputs, and how it is run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from opfuzz.core.errors import OpfuzzError, did_you_mean
from opfuzz.core.files.user_module import load, place, said
from opfuzz.network.trace.modes import evaluated
from opfuzz.network.trace.pair import as_written, read_inputs, read_model
from opfuzz.network.trace.recording import CallRecorder, TracedModel

SIDES = ("a", "b")


@dataclass(frozen=True, slots=True)
class ModelFile:
    """One model, which is run in evaluation mode, and (args, kwargs) of NumPy arrays."""

    path: Path
    side: str  # `model`, `a` or `b`: what it is called in the file
    model: TracedModel
    inputs: Any
    run: Callable[[Any, Any], Any] | None = None  # of the model and its inputs; None: the model is called with them
    written: type = dict  # what the inputs are in the file: a dict, a tuple or list, or else one array

    def compute(self, inputs: Any, recorder: CallRecorder) -> Any:
        """What comes back for inputs of the framework, (args, kwargs), while a recorder is told of all calls.

        Raises OpfuzzError, with the line of the user's file, if anything of it raises.
        """
        args, kwargs = inputs
        try:
            with evaluated(self.model.module), self.model.watched(recorder):
                if self.run is None:
                    return self.model.module(*args, **kwargs)
                return self.run(self.model.module, as_written(self.written, args, kwargs))
        except OpfuzzError:  # the disk is full, say
            raise
        except Exception as error:  # the user's model
            raise OpfuzzError(f"{place(self.path, error)}: {self.side} raised {said(error)}") from error


def read_model_file(path: Path, side: str | None) -> ModelFile:
    """`model`, or the side that is asked for; `inputs` or `inputs_a`; `run` or `run_a`, if one is there.

    Raises OpfuzzError if anything is missing or of the wrong kind, or two models are there and no side is named.
    """
    module = load(path, "model")
    side = side or _only_side(module, path)
    run = getattr(module, f"run_{side}", getattr(module, "run", None))
    if run is not None and not callable(run):
        raise OpfuzzError(
            f"{path}: 'run' is of type {type(run).__name__}; it must be a function, def run(model, inputs)"
        )
    model = read_model(module, path, side)
    inputs = read_inputs(module, path, f"inputs_{side}", has_run=run is not None)
    written = getattr(module, f"inputs_{side}", getattr(module, "inputs", None))
    return ModelFile(path, side, model, inputs, run, type(written))


def _only_side(module: ModuleType, path: Path) -> str:
    if getattr(module, "model", None) is not None:
        return "model"
    sides = [side for side in SIDES if hasattr(module, side) or hasattr(module, f"model_{side}")]
    if len(sides) > 1:
        raise OpfuzzError(f"{path}: there are two models, 'a' and 'b'; choose one with --side a or --side b")
    if not sides:
        near = did_you_mean("model", (name for name in vars(module) if not name.startswith("_")))
        raise OpfuzzError(f"{path}: there is no 'model'; write model = ... or def model(){near}")
    return sides[0]
