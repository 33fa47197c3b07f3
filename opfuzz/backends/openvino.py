"""OpenVINO, on Intel's processors: torch's exported calls, computed in the precision that they say."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

from opfuzz.backends.base import Tensor
from opfuzz.backends.exported import RECIPE as EXPORTED
from opfuzz.backends.exported import SHAPED, VALUED, Exported, Model, RuntimeModel

NO_OPERATION = ("Parameter", "Constant", "Result")

RECIPE = (
    """
import sys

sys.modules.setdefault("openvino_telemetry", None)

import openvino
"""
    + EXPORTED
    + """
WAYS = "shaped", "valued"


def exported(program, inputs):
    return openvino.convert_model(program)


def compiled(model, inputs):
    operations = [each.get_type_name() for each in model.get_ordered_ops()]
    print("exported graph:", *(each for each in operations if each not in ("Parameter", "Constant", "Result")))
    settings = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": 1, "NUM_STREAMS": 1}
    request = openvino.Core().compile_model(model, "CPU", settings).create_infer_request()
    request.infer([openvino.Tensor(each.numpy()) for each in inputs])
    return [each.data.copy() for each in request.output_tensors]
"""
)


class OpenVino(Exported):
    """OpenVINO with its plugin for processors, told to compute in float32 what it may compute in fewer bits."""

    title = "openvino"
    libraries = ("openvino",)
    extra = "openvino"
    modules = ("torch", "torch.export")
    distributions = ("torch", "openvino")
    recipe = RECIPE
    # A program of open sizes gives results of a call before in other shapes; convolutions take known weights alone.
    ways = (SHAPED, VALUED)

    def absent(self) -> str | None:
        """See Backend."""
        _keep_to_itself()
        return super().absent()

    def version(self) -> str:
        """See Backend."""
        return str(_openvino().__version__).partition("-")[0]

    def devices(self) -> Mapping[str, str | None]:
        """See Backend."""
        return {"cpu": None}

    def supports(self, format: str, device: str) -> bool:
        """See Backend. What is float64 is computed in float32 there."""
        return format in ("float32", "float16")

    def compile(self, model: Model, tensors: Sequence[Tensor], device: str, mode: str) -> RuntimeModel:
        """See Exported."""
        openvino = _openvino()
        settings = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": self._threads, "NUM_STREAMS": 1}
        refusals = openvino.frontend.OpConversionFailure, openvino.frontend.NotImplementedFailure
        try:
            converted = openvino.convert_model(model)
            nodes = [each.get_type_name() for each in converted.get_ordered_ops()]
            compiled = openvino.Core().compile_model(converted, "CPU", settings)
        except refusals as error:
            raise NotImplementedError(f"the converter does not support it: {_told(error)}") from error
        except RuntimeError as error:
            raise RuntimeError(_told(error)) from error
        kept = tuple(node for node in nodes if node not in NO_OPERATION)
        return RuntimeModel(partial(_run, openvino, compiled), kept)


def _openvino() -> Any:
    _keep_to_itself()
    return importlib.import_module("openvino")


def _keep_to_itself() -> None:
    """Let it tell its makers nothing: it would of every model that it converts, from a process of its own for each."""
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]


def _run(openvino: Any, compiled: Any, given: Sequence[Tensor]) -> Sequence[Tensor]:
    torch = importlib.import_module("torch")
    # A request that was used in another size was seen to give the shape of that.
    request = compiled.create_infer_request()
    try:
        request.infer([openvino.Tensor(each.numpy()) for each in given])
    except RuntimeError as error:
        raise RuntimeError(_told(error)) from error
    return [torch.from_numpy(np.array(each.data, order="C", copy=True)) for each in request.output_tensors]


def _told(error: Exception) -> str:
    """What a message says in one line, without the places in the sources that it came through."""
    lines = [line.strip() for line in str(error).splitlines()]
    return " ".join(line for line in lines if line and not line.startswith(("Exception from ", "Check '")))
