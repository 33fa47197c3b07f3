"""ONNX Runtime, on the processor: calls of torch exported to ONNX, optimised or not, or by ONNX's own evaluator."""

from __future__ import annotations

import importlib
import io
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy as np

from opfuzz.backends.base import Tensor
from opfuzz.backends.exported import OPEN, SHAPED, TRACED, Exported, Model, NotExportedError, RuntimeModel
from opfuzz.backends.exported import RECIPE as EXPORTED

UNOPTIMISED = "noopt"
REFERENCE = "reference"
QUIET = 4  # of its log: fatal errors only; all others are raised as well

RECIPE = (
    """
import io

import onnx
import onnxruntime
"""
    + EXPORTED
    + """
WAYS = "open", "shaped", "traced"


def exported(program, inputs):
    if isinstance(program, torch.export.ExportedProgram):
        return torch.onnx.export(program, inputs, dynamo=True, verbose=False).model_proto
    file = io.BytesIO()
    torch.onnx.export(program, inputs, file, dynamo=False, input_names=[f"x{place}" for place in range(len(inputs))])
    return onnx.load_from_string(file.getvalue())


def compiled(model, inputs):
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
    ways = (OPEN, SHAPED, TRACED)

    def version(self) -> str:
        """See Backend."""
        return str(importlib.import_module("onnxruntime").__version__)

    def devices(self) -> Mapping[str, str | None]:
        """See Backend."""
        return {"cpu": None}

    def supports(self, format: str, device: str) -> bool:
        """See Backend. Hardly any kernel for processors takes bfloat16, and NumPy, which carries results, has none.

        To float8 is cast on the way alone.
        """
        return format in ("float32", "float16", "float64", "float8_e4m3fn", "float8_e5m2")

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
    """The model in ONNX, by the exporter of traces if it is none that was exported.

    Raises NotExportedError for what torch does not export.
    """
    torch, file = importlib.import_module("torch"), io.BytesIO()
    try:
        if isinstance(model, torch.export.ExportedProgram):
            return torch.onnx.export(model, tuple(tensors), dynamo=True, verbose=False).model_proto
        names = [f"x{place}" for place in range(len(tensors))]
        with _muted():
            torch.onnx.export(model, tuple(tensors), file, dynamo=False, input_names=names)
    except torch.onnx.errors.OnnxExporterError as error:
        reason: BaseException = error
        while reason.__cause__ is not None:  # what it lacks is said by the last of a chain
            reason = reason.__cause__
        raise NotExportedError(f"the exporter does not support it: {reason}") from error
    return importlib.import_module("onnx").load_from_string(file.getvalue())


@contextmanager
def _muted() -> Iterator[None]:
    """Without what code in C++ prints on standard output: the graph of each call that the exporter does not know."""
    kept, nowhere = os.dup(1), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 1)
        yield
    finally:
        os.dup2(kept, 1)
        os.close(kept)
        os.close(nowhere)


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
