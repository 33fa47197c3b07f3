"""ONNX Runtime, on the processor: calls of torch exported to ONNX, optimised or not, or by ONNX's own evaluator."""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

from opfuzz.backends.base import Tensor
from opfuzz.backends.exported import RECIPE as EXPORTED
from opfuzz.backends.exported import Exported, Model, RuntimeModel

UNOPTIMISED = "noopt"
REFERENCE = "reference"
QUIET = 4  # of its log: fatal errors only; all others are raised as well

RECIPE = (
    """
import onnxruntime
"""
    + EXPORTED
    + """
def compiled(program, inputs):
    model = torch.onnx.export(program, inputs, dynamo=True, verbose=False).model_proto
    print("exported graph:", *(node.op_type for node in model.graph.node if node.op_type != "Constant"))
    feeds = {given.name: each.numpy() for given, each in zip(model.graph.input, inputs)}
    if MODE == "reference":
        import onnx.reference

        return onnx.reference.ReferenceEvaluator(model).run(None, feeds)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    if MODE == "noopt":
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    return onnxruntime.InferenceSession(model.SerializeToString(), options).run(None, feeds)
"""
)


class OnnxRuntime(Exported):
    """ONNX Runtime with its provider for processors, which computes neither bfloat16 nor gradients."""

    title = "onnxruntime"
    libraries = ("onnx", "onnxscript", "onnxruntime")
    extra = "onnx"
    modules = ("torch", "torch.export", "torch.onnx", "onnxscript", "onnxruntime", "onnx.reference")
    distributions = ("torch", "onnx", "onnxscript", "onnxruntime")
    modes = ("", UNOPTIMISED, REFERENCE)
    recipe = RECIPE

    def version(self) -> str:
        """See Backend."""
        return str(importlib.import_module("onnxruntime").__version__)

    def devices(self) -> Mapping[str, str | None]:
        """See Backend."""
        return {"cpu": None}

    def supports(self, format: str, device: str) -> bool:
        """See Backend. Hardly any kernel for processors takes bfloat16, and NumPy, which carries results, has none."""
        return format in ("float32", "float16", "float64")

    def compile(self, model: Model, tensors: Sequence[Tensor], device: str, mode: str) -> RuntimeModel:
        """See Exported."""
        proto = _onnx(model, tensors)
        nodes = tuple(node.op_type for node in proto.graph.node if node.op_type != "Constant")
        names = [given.name for given in proto.graph.input]
        refer = partial(_refer, _Lazy(proto), names)
        if mode == REFERENCE:
            return RuntimeModel(refer, nodes)
        return RuntimeModel(partial(_run, self._session(proto, mode), names), nodes, refer)

    def _session(self, proto: Any, mode: str) -> Any:
        ort = importlib.import_module("onnxruntime")
        state = importlib.import_module("onnxruntime.capi.onnxruntime_pybind11_state")
        options = ort.SessionOptions()
        options.intra_op_num_threads = self._threads
        options.log_severity_level = QUIET
        options.enable_cpu_mem_arena = False  # a session of each of hundreds of programs keeps its own
        if mode == UNOPTIMISED:
            options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
        try:
            return ort.InferenceSession(proto.SerializeToString(), options, providers=["CPUExecutionProvider"])
        except state.NotImplemented as error:
            raise NotImplementedError(f"not implemented: {error}") from error


def _onnx(model: Model, tensors: Sequence[Tensor]) -> Any:
    """The model in ONNX. Raises NotImplementedError for a function that torch does not export."""
    onnx = importlib.import_module("torch.onnx")
    try:
        return onnx.export(model, tuple(tensors), dynamo=True, verbose=False).model_proto
    except onnx.errors.OnnxExporterError as error:
        reason: BaseException | None = error
        while reason is not None:  # what it lacks is said by the last of a chain
            if type(reason).__name__ == "DispatchError":
                raise NotImplementedError(f"the exporter does not support it: {reason}") from error
            reason = reason.__cause__
        raise


class _Lazy:
    """ONNX's evaluator of a model, which is made when it is asked."""

    def __init__(self, proto: Any) -> None:
        self.proto = proto
        self.evaluator: Any = None

    def run(self, feeds: Mapping[str, Any]) -> Sequence[Any]:
        if self.evaluator is None:
            reference = importlib.import_module("onnx.reference")
            self.evaluator = reference.ReferenceEvaluator(self.proto)
        found: Sequence[Any] = self.evaluator.run(None, feeds)
        return found


def _refer(evaluator: _Lazy, names: Sequence[str], given: Sequence[Tensor]) -> Sequence[Tensor]:
    feeds = {name: each.numpy() for name, each in zip(names, given, strict=True)}
    return _tensors(evaluator.run(feeds))


def _run(session: Any, names: Sequence[str], given: Sequence[Tensor]) -> Sequence[Tensor]:
    return _tensors(session.run(None, {name: each.numpy() for name, each in zip(names, given, strict=True)}))


def _tensors(found: Sequence[Any]) -> Sequence[Tensor]:
    torch = importlib.import_module("torch")
    return [torch.from_numpy(np.array(each, order="C", copy=True)) for each in found]
