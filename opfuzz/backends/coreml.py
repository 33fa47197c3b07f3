"""Core ML, on macOS: torch's exported calls on the processor, or on whatever units Core ML chooses."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

from opfuzz.backends.base import Tensor
from opfuzz.backends.exported import RECIPE as EXPORTED
from opfuzz.backends.exported import Exported, Model, RuntimeModel

UNITS = {"cpu": "CPU_ONLY", "all": "ALL"}  # by device, as coremltools names them

RECIPE = (
    """
import coremltools
"""
    + EXPORTED
    + """
WAYS = "open", "shaped"


def exported(program, inputs):
    return program.run_decompositions({})


def compiled(program, inputs):
    units = {"cpu": "CPU_ONLY", "all": "ALL"}[DEVICE]
    kind = np.dtype(FORMAT) if "FORMAT" in globals() else inputs[0].numpy().dtype
    model = coremltools.convert(
        program,
        compute_units=coremltools.ComputeUnit[units],
        compute_precision=coremltools.precision[{"float32": "FLOAT32", "float16": "FLOAT16"}[kind.name]],
        minimum_deployment_target=coremltools.target.macOS14,
    )
    names = [given.name for given in model.get_spec().description.input]
    found = model.predict({name: each.numpy() for name, each in zip(names, inputs)})
    return [np.asarray(found[each.name], kind) for each in model.get_spec().description.output]
"""
)


class CoreMl(Exported):
    """Core ML by coremltools, in the precision of the format: what it is left to choose is float16."""

    title = "coreml"
    libraries = ("coremltools",)
    extra = "coreml"
    modules = ("torch", "torch.export", "coremltools")
    distributions = ("torch", "coremltools")
    recipe = RECIPE

    def absent(self) -> str | None:
        """See Backend. coremltools converts elsewhere too, but runs models on macOS alone."""
        return super().absent() if sys.platform == "darwin" else f"{self.title}: needs macOS"

    def version(self) -> str:
        """See Backend."""
        return str(importlib.import_module("coremltools").__version__)

    def devices(self) -> Mapping[str, str | None]:
        """See Backend."""
        return dict.fromkeys(UNITS)

    def needs(self, device: str) -> str | None:
        """See Backend."""
        return self.title

    def supports(self, format: str, device: str) -> bool:
        """See Backend."""
        return format in ("float32", "float16")

    def compile(self, model: Model, tensors: Sequence[Tensor], device: str, mode: str) -> RuntimeModel:
        """See Exported."""
        tools = importlib.import_module("coremltools")
        kinds = {each.numpy().dtype for each in tensors if each.is_floating_point()}
        kind = np.dtype(np.float16) if kinds == {np.dtype(np.float16)} else np.dtype(np.float32)
        try:
            converted = tools.convert(
                model.run_decompositions({}),
                compute_units=tools.ComputeUnit[UNITS[device]],
                compute_precision=tools.precision[kind.name.upper()],
                minimum_deployment_target=tools.target.macOS14,
            )
        except NotImplementedError as error:
            raise NotImplementedError(f"the converter does not support it: {error}") from error
        described = converted.get_spec().description
        names = [each.name for each in described.input]
        outputs = [each.name for each in described.output]
        nodes = tuple(each.op_type for each in converted._mil_program.functions["main"].operations)
        run = partial(_run, converted, names, outputs, kind)
        return RuntimeModel(run, tuple(node for node in nodes if node != "const"))


def _run(
    model: Any, names: Sequence[str], outputs: Sequence[str], kind: np.dtype[Any], given: Sequence[Tensor]
) -> Sequence[Tensor]:
    torch = importlib.import_module("torch")
    found = model.predict({name: each.numpy() for name, each in zip(names, given, strict=True)})
    return [torch.from_numpy(np.array(found[name], dtype=kind, order="C")) for name in outputs]
