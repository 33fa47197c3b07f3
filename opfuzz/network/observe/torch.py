"""A run of a torch module, observed function by function, and made again with other results."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch

from opfuzz.network.observe.families import MOVES, ROUNDED_ONCE, is_in_place
from opfuzz.network.observe.records import (
    EXACT,
    MOVE,
    OP,
    OTHER,
    Array,
    Bound,
    CallResult,
    ConstantOperand,
    FunctionCall,
    InputOperand,
    ModuleRun,
    Observation,
    ObservedCall,
    Operand,
    PathLostError,
    Plant,
    PlantedCall,
    Routing,
    WeightOperand,
    role_of,
)
from opfuzz.network.observe.spec_reader import SpecReader
from opfuzz.network.observe.torch_mode import SeeingMode, may_bind, watched
from opfuzz.network.observe.torch_tensors import (
    array_of,
    device_of,
    in_format_of,
    named_modules,
    replaced,
    tensor_of,
    tensors_in,
    weights_of,
)
from opfuzz.network.trace.modes import evaluated
from opfuzz.network.trace.recording import named_arguments, replace_leaves

SEED = 0  # of what a model draws while it runs: the same in every run

Call = Callable[[tuple[Any, ...], dict[str, Any]], Any]


class TorchRun:
    """One run of a torch module that can be made again.

    `arguments` are (args, kwargs) with NumPy arrays in the place of tensors; `call` makes the run of them as tensors,
    such as the module itself, or a solver that calls it many times. Calls are attributed to the modules of `module`.
    """

    def __init__(self, module: Any, arguments: Any, reader: SpecReader, call: Call | None = None) -> None:
        self.module, self.reader = module, reader
        self._arguments = arguments
        self._call = call or (lambda args, kwargs: module(*args, **kwargs))
        self.named = named_modules(module)
        self._device = device_of(module)
        self.tensors = weights_of(module)

    def weights(self) -> dict[str, Array]:
        """Parameters and buffers by name, as copies; buffers without a name in the file, such as tables, among them."""
        return {name: np.array(array_of(tensor)) for name, tensor in self.tensors.items()}

    def observe(self) -> Observation:
        """One run, seen. Raises whatever the model raises, and leaves nothing behind in it."""
        recorder = _Recorder(self, copies=False)
        found = self._observed(recorder)
        if recorder.wrote:  # what was recorded may have been overwritten since: it has to be copied at once
            recorder = _Recorder(self, copies=True)
            found = self._observed(recorder)
        return found

    def _observed(self, recorder: _Recorder) -> Observation:
        outputs = self._run(recorder, {})
        return Observation(tuple(recorder.calls), outputs, tuple(recorder.modules), recorder.given)

    def replay(
        self,
        observation: Observation,
        plants: Mapping[int, Plant] | None = None,
        *,
        skipped: frozenset[str] = frozenset(),
        weights: Mapping[str, Array] | None = None,
        routing: Routing | None = None,
        until: int | None = None,
    ) -> tuple[Array, ...]:
        """The tensors that the run returns with other results for some calls, by their index.

        Calls before the first of them are answered from the observation. `skipped` modules give what they get;
        `weights` stand in place of the model's own; with them, and with a `routing`, nothing is answered from the
        observation. Raises PathLostError if the model takes another way before all is planted, and whatever the model
        raises when results have other shapes. `until` is the number of a call of a module, counted as they begin: the
        run ends there, with the tensors that this module is given.
        """
        known: Mapping[int, Array] = {} if routing is None else routing.known
        if not (weights or skipped or routing):
            before = observation.calls[: min(plants or {}, default=0)]
            known = {call.index: call.output for call in before if call.kind in (OP, OTHER) and len(call.outputs) == 1}
        player = _Player(self, observation, plants or {}, skipped, routing, known)
        player.until = until
        try:
            outputs = self._run(player, weights or {})
        except _ReachedError as reached:
            return tuple(np.array(array_of(tensor)) for tensor in reached.given)
        if player.pending:
            raise PathLostError(f"call {min(player.pending)} was not made again")
        return outputs

    def _run(self, mode: SeeingMode, weights: Mapping[str, Array]) -> tuple[Array, ...]:
        with (
            torch.no_grad(),
            evaluated(self.module),
            torch.random.fork_rng(devices=[]),
            replaced(self.tensors, weights),
            watched(self.named, mode),
        ):
            torch.default_generator.manual_seed(SEED)
            args, kwargs = self._arguments
            given = {name: self._tensors(value, name, mode) for name, value in named_arguments((args, {}), ()).items()}
            words = {name: self._tensors(value, name, mode) for name, value in kwargs.items()}
            with mode:
                output = self._call(tuple(given.values()), words)
        output = replace_leaves(output, _is_array, tensor_of)  # what makes the run may give arrays
        return tuple(np.array(array_of(tensor)) for tensor in tensors_in(output))

    def _tensors(self, tree: Any, place: str, mode: SeeingMode) -> Any:
        """The argument with tensors; real numbers become the format of the parameters, or float32."""

        count = 0

        def put(array: Array) -> Any:
            nonlocal count
            tensor = in_format_of(self.module, tensor_of(np.array(array)).to(self._device))
            mode.name(tensor, InputOperand(f"{place}.{count}" if count else place))
            count += 1
            return tensor

        return replace_leaves(tree, lambda node: isinstance(node, np.ndarray), put)


class _Recorder(SeeingMode):
    """Takes down every call."""

    def __init__(self, run: TorchRun, *, copies: bool) -> None:
        super().__init__(run.reader, run.module)
        self.run = run
        self.calls: list[ObservedCall] = []
        self.modules: list[ModuleRun] = []
        self.wrote = False
        self._copies = copies
        self.given: dict[InputOperand | WeightOperand, Array] = {}
        self._begun: list[int] = []
        self._operands: dict[int, Operand] = {}
        self._alive: list[Any] = []  # a tensor that is gone could give its identity to another
        for name, tensor in run.tensors.items():
            self.name(tensor, WeightOperand(name))

    def name(self, tensor: Any, operand: Operand) -> None:
        self._operands[id(tensor)] = operand
        self._alive.append(tensor)
        if isinstance(operand, InputOperand | WeightOperand):
            self.given[operand] = np.array(array_of(tensor)) if self._copies else array_of(tensor)

    def enter(self, path: str, module: Any, args: Any, kwargs: Any) -> None:
        super().enter(path, module, args, kwargs)
        self._begun.append(len(self.calls))

    def leave(self, output: Any, args: Any, kwargs: Any) -> Any:
        path, module = self.stack[-1]
        shapes = [tuple(tuple(t.shape) for t in tensors_in(tree)) for tree in ((args, kwargs), output)]
        self.modules.append(ModuleRun(path, type(module).__name__, self._begun.pop(), len(self.calls), *shapes))
        return super().leave(output, args, kwargs)

    def take(self, func: Any, dotted: str, family: str, args: Any, kwargs: Any) -> Any:
        writes = is_in_place(dotted, kwargs)
        function = _function(family, args, kwargs) if may_bind(self.run.reader, family) else None
        if function is not None and (writes or self._copies):
            function = replace_leaves(function, _is_array, np.array)
        referred = None
        if writes:  # the operand is what it was before
            referred = replace_leaves((args, dict(kwargs)), torch.is_tensor, self._operand)
        result = func(*args, **kwargs)
        tensors = tensors_in(result)
        if writes and not tensors and torch.is_tensor(args[0] if args else None):
            tensors = [args[0]]  # x[i] = y
        if not tensors or not isinstance(result, torch.Tensor | tuple | list | None):
            return result
        if referred is None:
            referred = replace_leaves((args, dict(kwargs)), torch.is_tensor, self._operand)
        self.wrote |= writes
        outputs = tuple(np.array(array_of(t)) if self._copies else array_of(t) for t in tensors)
        bound = None if function is None else self.run.reader.bind(function)
        if bound is not None and bound.finished(np.empty(bound.call.shape, np.float32)).shape != outputs[0].shape:
            bound = None
        index, (path, module) = len(self.calls), self.stack[-1]
        self.calls.append(
            ObservedCall(
                index,
                path,
                type(module).__name__,
                self._owner(),
                family,
                _kind(family, bound, args, outputs),
                referred[0],
                referred[1],
                bound.op if bound else "",
                bound.call.params if bound else {},
                bound.call.dims if bound else {},
                bound.call.arrays if bound else {},
                outputs,
                outputs[0].dtype.name,
            )
        )
        for part, tensor in enumerate(tensors):
            self.name(tensor, CallResult(index, part if len(tensors) > 1 else None))
        return result

    def _owner(self) -> str:
        path, _ = self.stack[-1]
        around = next(((p, m) for p, m in reversed(self.stack) if not type(m).__module__.startswith("torch.nn.")), None)
        if around is None:
            return ""
        inside = role_of(path.removeprefix(around[0]).strip("."))
        return f"{type(around[1]).__name__}{'.' if inside else ''}{inside}"

    def _operand(self, tensor: Any) -> Operand:
        known = self._operands.get(id(tensor))
        return known if known is not None else ConstantOperand(np.array(array_of(tensor)))


class _ReachedError(Exception):
    """A replay has come to the call of a module at which it was to end."""

    def __init__(self, given: list[Any]) -> None:
        super().__init__("reached")
        self.given = given


class _Player(SeeingMode):
    """Makes the calls of an observation again, some of them otherwise."""

    def __init__(
        self,
        run: TorchRun,
        observation: Observation,
        plants: Mapping[int, Plant],
        skipped: frozenset[str],
        routing: Routing | None,
        known: Mapping[int, Array],
    ) -> None:
        super().__init__(run.reader, run.module)
        self.run = run
        self.calls, self.plants = observation.calls, plants
        self.pending = set(plants)
        self._observation = observation
        self._made: dict[int, Any] = {}  # what calls gave, while something is still to be planted
        self._skipped, self._routing = skipped, routing
        self._known = known
        self._next = 0
        self.until: int | None = None
        self._entered = 0

    def enter(self, path: str, module: Any, args: Any, kwargs: Any) -> None:
        if self._entered == self.until:
            raise _ReachedError(tensors_in((args, kwargs)))
        self._entered += 1
        super().enter(path, module, args, kwargs)

    def leave(self, output: Any, args: Any, kwargs: Any) -> Any:
        path, _ = self.stack[-1]
        super().leave(output, args, kwargs)
        if path not in self._skipped:
            return output
        (given,), offered = tensors_in(output)[:1], tensors_in((args, kwargs))
        same = next((t for t in offered if t.shape == given.shape and t.dtype == given.dtype), None)
        if same is None:
            raise PathLostError(f"module {path} has no input like its output")
        return replace_leaves(output, lambda node: node is given, lambda node: same)

    def take(self, func: Any, dotted: str, family: str, args: Any, kwargs: Any) -> Any:
        seen = self.calls[self._next] if self._next < len(self.calls) else None
        result = self._taken(seen, func, dotted, family, args, kwargs)
        if seen is not None and self.pending:
            self._made[seen.index] = result if result is not None else args[0]
        return result

    def _now(self, operand: Operand) -> Array:
        """What an operand is in this replay: what was planted before may have changed it."""
        if isinstance(operand, CallResult) and operand.call in self._made:
            made = self._made[operand.call]
            return array_of(made if operand.part is None else tensors_in(made)[operand.part])
        known = self._observation.value(operand)
        assert known is not None
        return known

    def _taken(self, seen: ObservedCall | None, func: Any, dotted: str, family: str, args: Any, kwargs: Any) -> Any:
        if seen is None or seen.family != family:
            result = func(*args, **kwargs)
            if self.pending and tensors_in(result):
                raise PathLostError(f"'{family}' was called where '{seen.family if seen else 'nothing'}' was seen")
            return result
        writes = is_in_place(dotted, kwargs)
        if (answer := self._known.get(self._next)) is not None:
            self._next += 1
            return self._returned(seen, answer, args, kwargs, writes=writes)
        plant, routing = self.plants.get(self._next), self._routing
        self._next += 1
        if plant is None and (routing is None or seen.kind != OP or not _is_asked(routing, seen)):
            return self._kept(seen, func(*args, **kwargs))
        function = _function(family, args, kwargs)
        if writes:
            function = replace_leaves(function, _is_array, np.array)
        bound = self.run.reader.bind(function) if seen.kind == OP else None
        if plant is not None:
            self.pending.discard(seen.index)
            given = plant(PlantedCall(seen, function, functools.partial(_performed, func, writes), bound, self._now))
        elif bound is not None and routing is not None:
            given = bound.finish(routing.route(bound, seen))
            self._kept(seen, given)
        else:  # of other shapes than the spec has, since something was planted before
            return func(*args, **kwargs)
        return self._returned(seen, given, args, kwargs, writes=writes)

    def _kept(self, seen: ObservedCall, result: Any) -> Any:
        """The result of a call, after it was kept if that is wanted."""
        if self._routing is not None and self._routing.kept is not None and seen.kind == OP:
            self._routing.kept[seen.index] = np.array(array_of(result) if torch.is_tensor(result) else result)
        return result

    def _returned(self, seen: ObservedCall, given: Any, args: Any, kwargs: Any, *, writes: bool) -> Any:
        parts = given if isinstance(given, tuple | list) else (given,)
        tensors = [
            tensor_of(np.array(part, then.dtype)).to(self.run._device)
            for part, then in zip(parts, seen.outputs, strict=True)
        ]
        if writes:
            target = kwargs.get("out", args[0] if args else None)
            target.copy_(tensors[0])
            return None if seen.family == "setitem" else target
        return tuple(tensors) if len(seen.outputs) > 1 else tensors[0]


def _is_asked(routing: Routing, seen: ObservedCall) -> bool:
    return routing.asked is None or seen.index in routing.asked


def _performed(func: Any, writes: bool, function: FunctionCall) -> Any:
    """What torch's own function gives for arrays."""
    args, kwargs = replace_leaves(
        (function.args, dict(function.kwargs)), _is_array, lambda a: tensor_of(np.array(a) if writes else a)
    )
    result = func(*args, **kwargs)
    found = tensors_in(args[0] if result is None else result)
    arrays = tuple(array_of(tensor) for tensor in found)
    return arrays[0] if len(arrays) == 1 and not isinstance(result, tuple | list) else arrays


def _function(family: str, args: Any, kwargs: Any) -> FunctionCall:
    plain_args, plain_kwargs = replace_leaves((tuple(args), dict(kwargs)), torch.is_tensor, array_of)
    return FunctionCall(family, plain_args, plain_kwargs)


def _kind(family: str, bound: Bound | None, args: Any, outputs: tuple[Array, ...]) -> str:
    if bound is not None:
        return OP
    if family in MOVES:
        return MOVE
    is_root = family == "pow" and len(args) == 2 and isinstance(args[1], int | float) and args[1] in (0.5, 1, 2)
    is_rounded = any(array.dtype.kind in "fcV" for array in outputs)
    return EXACT if family in ROUNDED_ONCE or is_root or not is_rounded else OTHER


def _is_array(node: Any) -> bool:
    return isinstance(node, np.ndarray)
