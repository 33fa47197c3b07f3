"""One model run once: what goes into it, what every module makes, and what comes out, straight to a file."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import numpy as np

from opfuzz.core.errors import OpfuzzError, did_you_mean
from opfuzz.core.files.user_module import said
from opfuzz.network.dump.model_file import ModelFile
from opfuzz.network.dump.spool import Stored, TensorSpool, code_of
from opfuzz.network.execution import Execution, ModuleOf
from opfuzz.network.trace.names import is_inside
from opfuzz.network.trace.recording import TracedModel, leaves, named_arguments


@dataclass(frozen=True, slots=True)
class Dump:
    """A file that was written."""

    path: Path
    tensors: int
    modules: int  # that ran
    bytes: int  # of the tensors
    left_out: Mapping[str, str]  # names of values that are not in the file, and why


def dump(given: ModelFile, path: Path, only: Sequence[str] = ()) -> Dump:
    """Runs the model and writes its tensors, in the order in which they were there.

    A module's output is there when the module returns, so what is inside a module comes before it. `only`: patterns of
    the names of modules, `*` is any part; inputs and output are written in any case. Raises OpfuzzError if the model
    raises, a pattern fits no module, nothing is there to write, or the disk refuses; then there is no file.
    """
    kinds = given.model.kinds()
    for pattern in only:
        if not any(fnmatchcase(name, pattern) for name in kinds if name):
            raise OpfuzzError(f"{given.path}: no module '{pattern}'{did_you_mean(pattern, kinds)}")
    with TensorSpool(path) as spool:
        recorder = DumpRecorder(given.model, spool, only, has_steps=given.run is not None)
        inputs = given.model.put(given.inputs)
        if given.run is not None:
            args, kwargs = inputs
            recorder.take(INPUT, "", dict(enumerate(args)) | kwargs)
        output = given.compute(inputs, recorder)
        if given.run is not None:
            recorder.take(OUTPUT, "", output)
        tensors, left_out = recorder.named(kinds)
        if not tensors:
            raise OpfuzzError(f"{given.path}: {given.side} computed no tensor, so there is nothing to write")
        modules = {name: ModuleOf(value.module, kinds[value.module]) for name, value in tensors.items()}
        stored = {name: value.stored for name, value in tensors.items() if isinstance(value.stored, Stored)}
        spool.save(stored, Execution(tuple(stored), modules, left_out).metadata())
    return Dump(path, len(tensors), len(recorder.ran), sum(each.bytes for each in stored.values()), left_out)


# Roles of what is no output of a module inside. Where `run` calls the model, its calls are steps of what is computed.
INPUT, OUTPUT, STEP_INPUT, STEP_OUTPUT = "input", "output", "model.input", "model.output"


@dataclass(frozen=True, slots=True)
class _Value:
    """One value of a call: a tensor, or why there is none."""

    source: str  # a module's name, or a role
    module: str
    call: int  # from 1
    place: str  # in what was given or returned; "" where that is the tensor itself
    stored: Stored | str


class DumpRecorder:
    """Writes the outputs of modules as they return, and what the whole model is given and returns."""

    def __init__(self, model: TracedModel, spool: TensorSpool, only: Sequence[str], has_steps: bool) -> None:
        self._model, self._spool, self._only = model, spool, only
        self._roles = (STEP_INPUT, STEP_OUTPUT) if has_steps else (INPUT, OUTPUT)
        self._calls: Counter[tuple[str, str]] = Counter()  # of a source that is this module or none
        self._values: list[_Value] = []
        self.ran: set[str] = set()

    def begin(self, name: str, args: tuple[Any, ...], kwargs: Mapping[str, Any], accepts: Sequence[str]) -> None:
        """A module is about to run; what the whole model is given is written."""
        if not name:
            self.take(self._roles[0], "", named_arguments((args, kwargs), accepts))

    def end(self, name: str, output: Any) -> None:
        """A module has returned."""
        self.ran.add(name)
        if not name:
            self.take(self._roles[1], "", output)
        elif not self._only or any(fnmatchcase(name, pattern) for pattern in self._only):
            self.take(name, name, output)

    def take(self, source: str, module: str, tree: Any) -> None:
        """Writes what one call was given or returned."""
        self._calls[source, module] += 1
        for place, value in leaves(tree):
            stored = self._stored(value)
            self._values.append(_Value(source, module, self._calls[source, module], place, stored))

    def _stored(self, value: Any) -> Stored | str:
        if not self._model.is_tensor(value) and not isinstance(value, np.ndarray):
            return "None" if value is None else f"of type {type(value).__name__}, no tensor"
        try:
            array = value if isinstance(value, np.ndarray) else self._model.to_numpy(value)
        except Exception as error:  # a tensor without values, or of a format that NumPy has not
            return f"a tensor that cannot be read: {said(error)}"
        if code_of(array.dtype) is None:
            return f"{array.dtype.name}, which safetensors has no name for"
        return self._spool.add(array)

    def named(self, modules: Collection[str]) -> tuple[dict[str, _Value], dict[str, str]]:
        """All tensors by name, in order, and why what is not there is not; `modules` are all that the model has.

        `attn`, `attn#2` for the second call, `attn:0` for the first of several values of an output, `input.x`.
        """
        tensors_of = Counter((v.source, v.module, v.call) for v in self._values if not isinstance(v.stored, str))
        tensors, left_out = dict[str, _Value](), dict[str, str]()
        for value in self._values:
            name = value.source if value.module else _free(value.source, modules)
            if value.source in (INPUT, STEP_INPUT) and not value.module:
                name = f"{name}.{value.place}"
            if self._calls[value.source, value.module] > 1:
                name += f"#{value.call}"
            is_alone = tensors_of[value.source, value.module, value.call] == 1 and not isinstance(value.stored, str)
            if value.place and not is_alone and (value.module or value.source not in (INPUT, STEP_INPUT)):
                name += f":{value.place}"
            if isinstance(value.stored, str):
                left_out[name] = value.stored
            else:
                tensors[name] = value
        return tensors, left_out


def _free(role: str, modules: Collection[str]) -> str:
    """A name that no module has, nor is inside a module that has it."""
    while any(is_inside(name, role) for name in modules if name):
        role += "_"
    return role
