"""Models that another program exported, as torch modules: files of torch.export (.pt2) and of ONNX (.onnx).

An ONNX file has its nodes in a row. Where it says from which module each came, as torch's exporters write it, the
modules are there again: each runs its own nodes, one by one, and those inside it. A module that was called several
times has nodes for each call, and is told which it is.
"""

from __future__ import annotations

import ast
import importlib
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import takewhile
from pathlib import Path
from typing import Any

import numpy as np
import torch

from opfuzz.core.errors import OpfuzzError
from opfuzz.network.trace.recording import Array

SUFFIXES = (".onnx", ".pt2")
SCOPES, CLASSES = "pkg.torch.onnx.name_scopes", "pkg.torch.onnx.class_hierarchy"  # keys of a node's metadata

Values = dict[str, Any]
CALL = "@call"  # an argument of modules, which no input is called: which call it is, from 0
Around = list[tuple[str, str]]  # the names of modules around a node, the outer ones first, with their classes


def load_exported(path: Path) -> Any:
    """The model in a file as a torch module with the modules that it was exported from.

    Raises OpfuzzError if the file cannot be read, or what reads it is not installed.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return _unflattened(path) if path.suffix == ".pt2" else _module_of(path)
    except ImportError as error:
        raise OpfuzzError(f"{path}: {error}: pip install 'opfuzz[onnx]'") from error
    except Exception as error:  # of whichever library reads it
        raise OpfuzzError(f"{path}: cannot be read as an exported model: {type(error).__name__}: {error}") from error


def _unflattened(path: Path) -> Any:
    return torch.export.unflatten(torch.export.load(path))


@dataclass
class _Scope:
    """One call of a module: its nodes, and calls of modules inside, in order."""

    name: str
    kind: str
    call: int = 0  # of the module of this name, from 0
    items: list[Any] = field(default_factory=list)  # nodes, or scopes
    inputs: list[str] = field(default_factory=list)
    outputs: list[str] = field(default_factory=list)

    def inside(self) -> Iterator[_Scope]:
        """All calls of modules inside it."""
        for item in self.items:
            if isinstance(item, _Scope):
                yield item
                yield from item.inside()

    def nodes(self) -> Iterator[Any]:
        """All nodes at or below it."""
        for item in self.items:
            if isinstance(item, _Scope):
                yield from item.nodes()
            else:
                yield item


def _module_of(path: Path) -> Any:
    onnx = importlib.import_module("onnx")
    proto = onnx.load(str(path))
    helper = importlib.import_module("onnx.numpy_helper")
    constants: dict[str, Array] = {each.name: helper.to_array(each) for each in proto.graph.initializer}
    nodes = []
    for node in proto.graph.node:
        tensor = next((each.t for each in node.attribute if each.name == "value"), None)
        if node.op_type == "Constant" and tensor is not None:
            constants[node.output[0]] = helper.to_array(tensor)
        else:
            nodes.append(node)
    root = _scopes(nodes)
    _bound(root, constants, {each.name for each in proto.graph.output})
    root.inputs = [each.name for each in proto.graph.input if each.name not in constants]
    root.outputs = [each.name for each in proto.graph.output]
    runner = _Runner(proto)
    by_name: dict[str, list[_Scope]] = {}
    for scope in (root, *root.inside()):
        by_name.setdefault(scope.name, []).append(scope)
    modules = {name: _GraphModule.of(scopes, constants, runner) for name, scopes in by_name.items()}
    for name in sorted(by_name, key=lambda name: name.count(".")):
        modules[name].adopt(modules)
        if name:
            _place(modules[""], name, modules[name])
    return modules[""].eval()


def _scopes(nodes: Sequence[Any]) -> _Scope:
    """The calls of modules that nodes came from."""
    root = _Scope("", "Model")
    open_scopes, counts = [root], {"": 1}
    for node, path in zip(nodes, _paths(nodes), strict=True):
        depth = 0
        while depth < len(path) and depth + 1 < len(open_scopes) and open_scopes[depth + 1].name == path[depth][0]:
            depth += 1
        del open_scopes[depth + 1 :]
        for name, kind in path[depth:]:
            count = counts.get(name, 0)
            counts[name] = count + 1
            scope = _Scope(name, kind, count)
            open_scopes[-1].items.append(scope)
            open_scopes.append(scope)
        open_scopes[-1].items.append(node)
    return root


def _paths(nodes: Sequence[Any]) -> list[Around]:
    """The modules around each node. One that says nothing was made of others, and is where both its neighbours are."""
    known = [_path(node) for node in nodes]
    found: list[Around] = []
    for place, path in enumerate(known):
        if path is None:
            before = found[-1] if found else []
            after = next((each for each in known[place:] if each is not None), [])
            shared = zip(before, after, strict=False)
            path = [one for one, other in takewhile(lambda pair: pair[0] == pair[1], shared)]
        found.append(path)
    return found


def _path(node: Any) -> Around | None:
    """The modules around a node, the outer ones first, each with its class; None where the file does not say."""
    known = {each.key: each.value for each in node.metadata_props}
    if SCOPES in known:
        names = ast.literal_eval(known[SCOPES])[1:-1]  # without the model itself, and the function that was called
        kinds = ast.literal_eval(known[CLASSES])[1:-1] if CLASSES in known else [""] * len(names)
        return [(name, kind.rpartition(".")[2]) for name, kind in zip(names, kinds, strict=True)]
    if not node.name.startswith("/"):
        return None
    parts = node.name.strip("/").split("/")[:-1]  # as an older exporter has it
    return [(".".join(parts[: end + 1]), "") for end in range(len(parts))]


def _used(node: Any) -> list[str]:
    """Names that a node takes, those that graphs inside it take from around them as well."""
    inside = [graph for each in node.attribute for graph in (each.g, *each.graphs)]
    made = {name for graph in inside for other in graph.node for name in other.output}
    deep = [name for graph in inside for other in graph.node for name in _used(other) if name not in made]
    return [name for name in (*node.input, *deep) if name]


def _bound(scope: _Scope, constants: Mapping[str, Array], wanted_outside: set[str]) -> None:
    """Note for each scope which values go in and come out; `wanted_outside` are those that are used around it."""
    nodes = list(scope.nodes())
    made = [name for node in nodes for name in node.output if name]
    taken = dict.fromkeys(name for node in nodes for name in _used(node))
    scope.inputs = [name for name in taken if name not in {*made, *constants}]
    scope.outputs = [name for name in made if name in wanted_outside]
    for item in scope.items:
        if isinstance(item, _Scope):
            own = {id(node) for node in item.nodes()}
            around = {name for node in nodes if id(node) not in own for name in _used(node)}
            _bound(item, constants, wanted_outside | around)


class _Runner:
    """Runs nodes one by one: by ONNX Runtime, and in float64, or where it has no kernel, by ONNX's own evaluator."""

    def __init__(self, proto: Any) -> None:
        self.proto = proto
        self.sessions: dict[Any, Any] = {}
        self.is_wide = False

    def __deepcopy__(self, memo: dict[int, Any]) -> _Runner:
        # A copy is made to be run in float64; sessions cannot be copied, and are none of that.
        made = _Runner(self.proto)
        made.is_wide = True
        return made

    def run(self, node: Any, values: Mapping[str, Array]) -> list[Array]:
        """The outputs of a node. Raises what the runtime raises."""
        names = list(dict.fromkeys(_used(node)))
        given = {name: np.ascontiguousarray(values[name]) for name in names}
        key = (node.name, tuple(node.output), tuple((each.dtype.name, each.ndim) for each in given.values()))
        if key not in self.sessions:
            self.sessions[key] = self._session(node, given)
        found: list[Array] = [np.asarray(each) for each in self.sessions[key].run(None, given)]
        return found

    def _session(self, node: Any, given: Mapping[str, Array]) -> Any:
        helper = importlib.import_module("onnx.helper")
        inputs = [
            helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(each.dtype), [None] * each.ndim)
            for name, each in given.items()
        ]
        outputs = [helper.make_empty_tensor_value_info(name) for name in node.output if name]
        graph = helper.make_graph([node], "node", inputs, outputs)
        model = helper.make_model(graph, opset_imports=self.proto.opset_import, functions=self.proto.functions)
        model.ir_version = self.proto.ir_version
        if not self.is_wide:
            try:
                runtime = importlib.import_module("onnxruntime")
                options = runtime.SessionOptions()
                options.intra_op_num_threads = 1
                options.log_severity_level = 4
                return runtime.InferenceSession(model.SerializeToString(), options, ["CPUExecutionProvider"])
            except Exception:  # it is not here, or has no such kernel
                pass
        return importlib.import_module("onnx.reference").ReferenceEvaluator(model)


class _GraphModule(torch.nn.Module):  # type: ignore[misc]  # torch is untyped here
    """A module by the nodes of its calls and by the modules inside it. Weights of its own nodes are buffers."""

    def __init__(self, scopes: Sequence[_Scope], constants: Mapping[str, Array], runner: _Runner) -> None:
        super().__init__()
        # A setting, which traces tell, a line for each call. What is in the modules inside it is told of these.
        self.nodes = "\n".join(map(_told, scopes))
        self._scopes, self._runner = tuple(scopes), runner
        self._constants: dict[str, Array] = {}
        self._held: dict[str, str] = {}  # the names of buffers, by those of the file
        self._children: list[Mapping[str, Any]] = []  # in a list, so that torch does not take them for submodules
        for scope in scopes:
            for item in scope.items:
                for name in () if isinstance(item, _Scope) else _used(item):
                    if name in constants:
                        self._keep(name, constants[name])

    @classmethod
    def of(cls, scopes: Sequence[_Scope], constants: Mapping[str, Array], runner: _Runner) -> _GraphModule:
        """A module of a class that is called as the one that was exported."""
        kind = type(scopes[0].kind or "Module", (cls,), {})
        made: _GraphModule = kind(scopes, constants, runner)
        return made

    def _keep(self, name: str, value: Array) -> None:
        if value.ndim == 0 or not np.issubdtype(value.dtype, np.floating):
            self._constants[name] = value
        elif name not in self._held:
            own = name.rpartition(".")[2].replace("/", "_").replace(":", "_") or "value"
            own = own if own not in self._buffers and not hasattr(self, own) else f"{own}_{len(self._held)}"
            self.register_buffer(own, torch.from_numpy(np.array(value)))
            self._held[name] = own

    def adopt(self, modules: Mapping[str, Any]) -> None:
        """Let those modules run, by their names, whose calls stand among its nodes."""
        inside = {item.name for scope in self._scopes for item in scope.items if isinstance(item, _Scope)}
        self._children = [{name: modules[name] for name in inside}]

    def forward(self, *given: Any, **named: Any) -> Any:
        """The outputs in the order of the file; a tuple where there are several. Inputs by place, or by name."""
        scope = self._scopes[named.pop(CALL, 0)]
        values: Values = dict(zip(scope.inputs, given, strict=False))
        values |= named
        missing = [name for name in scope.inputs if name not in values]
        if missing or len(given) > len(scope.inputs):
            raise TypeError(f"the graph takes {', '.join(scope.inputs)}; it got {len(given)} and {', '.join(named)}")
        values |= {name: getattr(self, own) for name, own in self._held.items()}
        values |= {name: torch.from_numpy(np.array(value)) for name, value in self._constants.items()}
        for item in scope.items:
            if isinstance(item, _Scope):
                which = {CALL: item.call} if item.call else {}
                found = self._children[0][item.name](*(values[name] for name in item.inputs), **which)
                found = found if isinstance(found, tuple) else (found,)
                values |= dict(zip(item.outputs, found, strict=True))
            else:
                arrays = {name: values[name].detach().numpy() for name in dict.fromkeys(_used(item))}
                results = self._runner.run(item, arrays)
                names = [name for name in item.output if name]
                values |= {name: torch.from_numpy(np.array(each)) for name, each in zip(names, results, strict=True)}
        outputs = tuple(values[name] for name in scope.outputs)
        return outputs[0] if len(outputs) == 1 else outputs


def _told(scope: _Scope) -> str:
    own = [item for item in scope.items if not isinstance(item, _Scope)] or [*scope.nodes()]
    return ", ".join(f"{node.op_type} {node.name}".strip() for node in own)


def _place(root: Any, name: str, module: Any) -> None:
    """Hang a module below the root by its name."""
    *outer, last = name.split(".")
    above = root
    for part in outer:
        if part not in above._modules:
            above.add_module(part, torch.nn.Module())
        above = above._modules[part]
    above.add_module(last, module)
