"""What one model did: every call of every submodule, with its tensors as NumPy arrays, the same for each framework."""

from __future__ import annotations

import contextlib
import copy
import dataclasses
import inspect
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from opfuzz.network.observe.spec_reader import SpecReader
    from opfuzz.network.observe.torch import TorchRun

Array = NDArray[Any]
Setting = bool | int | float | str | tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Leaf:
    """Where a tensor was in the arguments of a call; `index` counts the tensors of the call."""

    index: int


@dataclass(frozen=True, slots=True)
class ModuleCall:
    """One call of a submodule. Tensors keep their format; bfloat16 is that of ml_dtypes."""

    name: str  # as in `named_modules()`; the whole model is ""
    order: int  # among all calls of the model, by when they began
    arguments: Any  # (args, kwargs) with a Leaf in the place of each tensor
    inputs: tuple[Array, ...]
    outputs: tuple[Array, ...]
    places: tuple[str, ...] = ()  # by which argument each input came: `mask`, `embeddings.0`


@dataclass(frozen=True, slots=True)
class TracedPart:
    """One submodule as it was built: its class, its own parameters and buffers, and its plain attributes."""

    name: str
    kind: str
    parameters: Mapping[str, Array]
    settings: Mapping[str, Setting]
    accepts: tuple[str, ...] = ()  # the arguments of its call, by name


@dataclass(frozen=True, slots=True)
class ModuleGradients:
    """The gradients of one call of a submodule: by its inputs, None where one is no number, and by its parameters."""

    inputs: tuple[Array | None, ...]
    parameters: Mapping[str, Array]  # by name from the submodule on, those inside it among them


Cotangents = Sequence[Array | None]  # of the tensors that a call gives; None: of one that is no number, or is not used


class TracedModel(ABC):
    """A model of one framework, in the mode in which it was given."""

    framework: ClassVar[str]
    can_be_observed: ClassVar[bool] = False  # the functions that its modules call can be seen, and given other results

    def __init__(self, module: Any, named: Mapping[str, Any]) -> None:
        """A model, and all its submodules by name, parents before children."""
        self._module, self._named = module, named
        self._copies: dict[str, Any] | None = None  # in float64, made when first asked for

    def observed(self, name: str, arguments: Any, reader: SpecReader) -> TorchRun:
        """A run of one submodule on (args, kwargs) of arrays, that can be made again. Raises where that cannot be."""
        raise NotImplementedError(f"the functions that a model of {self.framework} calls cannot be seen")

    @abstractmethod
    def parts(self) -> tuple[TracedPart, ...]:
        """Every submodule, the whole model first, parents before children."""

    def kinds(self) -> dict[str, str]:
        """The class of every submodule, by its name, in the order of `parts`; no parameter is read."""
        return {name: type(module).__name__ for name, module in self._named.items()}

    @property
    def module(self) -> Any:
        """The model itself, as its framework knows it."""
        return self._module

    def put(self, tree: Any) -> Any:
        """The tree with a tensor of the framework in the place of each NumPy array; see `put_array`."""
        return replace_leaves(tree, lambda node: isinstance(node, np.ndarray), self.put_array)

    @abstractmethod
    def put_array(self, array: Array) -> Any:
        """An array of the user's: real numbers become the format of the parameters, or float32 if they have several."""

    @abstractmethod
    def from_numpy(self, array: Array) -> Any:
        """The array as a tensor of its own format, where the model is."""

    @abstractmethod
    def is_tensor(self, value: Any) -> bool:
        """Whether a value is a tensor of the framework."""

    @abstractmethod
    def to_numpy(self, tensor: Any) -> Array:
        """A copy of a tensor's values. Raises whatever the framework raises where there are none."""

    @abstractmethod
    def watched(self, recorder: CallRecorder) -> AbstractContextManager[None]:
        """While the block runs, the recorder is told of every call of every submodule; nothing is differentiated."""

    def record(self, arguments: Any) -> tuple[ModuleCall, ...]:
        """Every call of every submodule while the model runs on (args, kwargs) of NumPy arrays, by `order`.

        Raises whatever the model raises, and leaves nothing behind in it.
        """
        return self._recorded("", self.put(arguments))

    @abstractmethod
    def replay(self, name: str, arguments: Any, inputs: Sequence[Array], exact: bool = False) -> tuple[Array, ...]:
        """Outputs of one submodule for a call's arguments with these tensors in them.

        `exact`: parameters and arithmetic in float64. Raises whatever the submodule raises.
        """

    @abstractmethod
    def parameter_names(self) -> Iterable[tuple[str, Any]]:
        """Every parameter under each of its names; one that is tied has several."""

    def tied(self) -> dict[str, frozenset[str]]:
        """Of the name of each parameter all names of the same one."""
        names: dict[int, set[str]] = {}
        for name, parameter in self.parameter_names():
            names.setdefault(id(parameter), set()).add(name)
        return {name: frozenset(group) for group in names.values() for name in group}

    @abstractmethod
    def cotangents(self, arguments: Any, calls: Sequence[ModuleCall], given: Cotangents) -> tuple[Cotangents, ...]:
        """What comes back to the outputs of each of the calls of `record`, where `given` comes to those of the model.

        Raises whatever the framework raises, and NotImplementedError where no output depends on a number.
        """

    @abstractmethod
    def differentiate(
        self, name: str, arguments: Any, inputs: Sequence[Array], cotangents: Cotangents, exact: bool = False
    ) -> ModuleGradients:
        """Gradients of one submodule for a call's arguments with these tensors in them, and cotangents of its outputs.

        `exact`: parameters and arithmetic in float64. Raises whatever the submodule raises.
        """

    def record_inside(self, name: str, arguments: Any, inputs: Sequence[Array]) -> tuple[ModuleCall, ...]:
        """As `record`, while one submodule runs on a call's arguments with these tensors in them."""
        return self._recorded(name, fill(arguments, [self.from_numpy(array) for array in inputs]))

    def _recorded(self, name: str, arguments: Any) -> tuple[ModuleCall, ...]:
        recorder = ModuleRecorder(self.is_tensor, self.to_numpy)
        args, kwargs = arguments
        with self.watched(recorder):
            self._named[name](*args, **kwargs)
        return tuple(sorted(recorder.calls, key=lambda call: call.order))

    def copies_of(self, name: str) -> tuple[Any, ...]:
        """The submodule itself, and its float64 copy if there is one."""
        return tuple(modules[name] for modules in (self._named, self._copies) if modules and name in modules)

    @contextlib.contextmanager
    def planted(self, name: str, settings: Mapping[str, Setting]) -> Iterator[None]:
        """The submodule with other settings, while the block runs."""
        changed: list[tuple[Any, str, Any]] = []
        try:
            for module in self.copies_of(name):
                for key, value in settings.items():
                    before = getattr(module, key)
                    changed.append((module, key, before))
                    is_listed = isinstance(before, list | tuple) and not isinstance(value, tuple)
                    setattr(module, key, type(before)([value] * len(before)) if is_listed else value)
            yield
        finally:
            for module, key, before in reversed(changed):
                setattr(module, key, before)

    @contextlib.contextmanager
    def without(self, name: str, weight: str) -> Iterator[None]:
        """The submodule with zeros for one of its own weights, while the block runs."""
        before = [(module, self.exchange(module, weight, None)) for module in self.copies_of(name)]
        try:
            yield
        finally:
            for module, value in before:
                self.exchange(module, weight, value)

    @abstractmethod
    def exchange(self, module: Any, weight: str, value: Any) -> Any:
        """Puts a value, or zeros for None, in the place of a module's weight; what was there."""


class CallRecorder(Protocol):
    """Who is told of the calls of submodules, as they begin and end."""

    def begin(self, name: str, args: tuple[Any, ...], kwargs: Mapping[str, Any], accepts: Sequence[str]) -> None:
        """A submodule that accepts these arguments is about to run."""

    def end(self, name: str, output: Any) -> None:
        """The submodule has returned. One begun after it that has not, raised what its caller caught."""


class ModuleRecorder:
    """Takes the calls down as they begin and end; a call's inputs are copied before the submodule could change them."""

    def __init__(self, is_tensor: Callable[[Any], bool], to_numpy: Callable[[Any], Array]) -> None:
        self._is_tensor, self._to_numpy = is_tensor, to_numpy
        self._open: list[tuple[str, int, Any, tuple[Array, ...], tuple[str, ...]]] = []
        self._begun = 0
        self.calls: list[ModuleCall] = []

    def begin(self, name: str, args: tuple[Any, ...], kwargs: Mapping[str, Any], accepts: Sequence[str] = ()) -> None:
        """A submodule that accepts these arguments is about to run."""
        arguments, inputs = self.split((args, dict(kwargs)))
        self._open.append((name, self._begun, kept(arguments), inputs, _places(arguments, accepts)))
        self._begun += 1

    def end(self, name: str, output: Any) -> None:
        """The submodule has returned. One begun after it that has not, raised what its caller caught."""
        while self._open[-1][0] != name:
            self._open.pop()
        _, order, arguments, inputs, places = self._open.pop()
        self.calls.append(ModuleCall(name, order, arguments, inputs, self.split(output)[1], places))

    def split(self, tree: Any) -> tuple[Any, tuple[Array, ...]]:
        """The tree with a Leaf in the place of each tensor, and the tensors."""
        found: list[Array] = []

        def take(tensor: Any) -> Leaf:
            found.append(self._to_numpy(tensor))
            return Leaf(len(found) - 1)

        return replace_leaves(tree, self._is_tensor, take), tuple(found)


def replace_leaves(tree: Any, is_leaf: Callable[[Any], bool], change: Callable[[Any], Any]) -> Any:
    """The tree, rebuilt, with each leaf changed; looks into lists, tuples, dicts and dataclasses, and nothing else."""

    def walk(node: Any) -> Any:
        if is_leaf(node):
            return change(node)
        if isinstance(node, dict):
            rebuilt = copy.copy(node)
            for key, value in node.items():
                rebuilt[key] = walk(value)
            return rebuilt
        if isinstance(node, tuple) and hasattr(node, "_fields"):
            return type(node)(*map(walk, node))
        if isinstance(node, list | tuple):
            return type(node)(map(walk, node))
        if dataclasses.is_dataclass(node) and not isinstance(node, type):
            record = copy.copy(node)
            for field in dataclasses.fields(node):
                object.__setattr__(record, field.name, walk(getattr(node, field.name)))
            return record
        return node

    return walk(tree)


def fill(arguments: Any, tensors: Sequence[Any]) -> Any:
    """The arguments of a call with these tensors in the places of its leaves, and states as they were then."""
    return replace_leaves(kept(arguments), lambda node: isinstance(node, Leaf), lambda leaf: tensors[leaf.index])


def named_arguments(arguments: Any, accepts: Sequence[str]) -> dict[str, Any]:
    """The arguments of a call by name; those that were given by position and have none are `0`, `1`."""
    args, kwargs = arguments
    found = {(accepts[i] if i < len(accepts) else str(i)): value for i, value in enumerate(args)}
    return {**found, **kwargs}


def accepted(function: Callable[..., Any]) -> tuple[str, ...]:
    """The names of a method's arguments after `self`, up to the first that takes any number."""
    try:
        found = list(inspect.signature(function).parameters.values())[1:]
    except (TypeError, ValueError):  # not written in Python
        return ()
    return tuple(p.name for p in found if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD))


def kept(arguments: Any) -> Any:
    """The arguments with states, but not tensors, as copies."""

    # A cache would go on growing: each run gets the state that the module got.
    def is_state(node: Any) -> bool:
        is_tensor = hasattr(node, "shape") and hasattr(node, "dtype")
        return hasattr(node, "__dict__") and not (callable(node) or dataclasses.is_dataclass(node) or is_tensor)

    def copied(node: Any) -> Any:
        try:
            return copy.deepcopy(node)
        except Exception:  # an object of any library
            return node

    return replace_leaves(arguments, is_state, copied)


def _places(arguments: Any, accepts: Sequence[str]) -> tuple[str, ...]:
    named = named_arguments(arguments, accepts)
    found = {leaf.index: place for place, leaf in leaves(named) if isinstance(leaf, Leaf)}
    return tuple(found[i] for i in sorted(found))


def leaves(tree: Any, place: str = "") -> Iterator[tuple[str, Any]]:
    """All that is in a tree and holds nothing itself, with its place: `past.0.1`, `logits`; the tree itself has ""."""
    inside: Iterable[tuple[Any, Any]]
    if isinstance(tree, Mapping):
        inside = tree.items()
    elif isinstance(tree, tuple) and hasattr(tree, "_fields"):
        inside = zip(tree._fields, tree, strict=True)
    elif isinstance(tree, list | tuple):
        inside = enumerate(tree)
    elif dataclasses.is_dataclass(tree) and not isinstance(tree, type | Leaf):
        inside = [(field.name, getattr(tree, field.name)) for field in dataclasses.fields(tree)]
    else:
        yield place, tree
        return
    for key, value in inside:
        yield from leaves(value, f"{place}.{key}" if place else str(key))


def settings_of(attributes: Mapping[str, Any]) -> dict[str, Setting]:
    """The plain public attributes: eps, stride, number of heads. A tuple of equal numbers is that number."""
    found: dict[str, Setting] = {}
    for name, value in attributes.items():
        if name.startswith("_") or name == "training":
            continue
        if isinstance(value, list | tuple) and value and all(isinstance(item, int | float) for item in value):
            found[name] = value[0] if len(set(value)) == 1 else tuple(value)
        elif isinstance(value, bool | int | float | str):
            found[name] = value
    return found
