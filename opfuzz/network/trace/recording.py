"""What one model did: every call of every submodule, with its tensors as NumPy arrays, the same for each framework."""

from __future__ import annotations

import contextlib
import copy
import dataclasses
import inspect
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from numpy.typing import NDArray

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


class TracedModel(ABC):
    """A model of one framework, in its evaluation mode."""

    framework: ClassVar[str]

    @abstractmethod
    def parts(self) -> tuple[TracedPart, ...]:
        """Every submodule, the whole model first, parents before children."""

    @abstractmethod
    def record(self, arguments: Any) -> tuple[ModuleCall, ...]:
        """Every call of every submodule while the model runs on (args, kwargs) of NumPy arrays, by `order`.

        Raises whatever the model raises, and leaves nothing behind in it.
        """

    @abstractmethod
    def replay(self, name: str, arguments: Any, inputs: Sequence[Array], exact: bool = False) -> tuple[Array, ...]:
        """Outputs of one submodule for a call's arguments with these tensors in them.

        `exact`: parameters and arithmetic in float64. Raises whatever the submodule raises.
        """

    @abstractmethod
    def record_inside(self, name: str, arguments: Any, inputs: Sequence[Array]) -> tuple[ModuleCall, ...]:
        """As `record`, while one submodule runs on a call's arguments with these tensors in them."""

    @abstractmethod
    def copies_of(self, name: str) -> tuple[Any, ...]:
        """The submodule itself, and its float64 copy if there is one."""

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
        self._open.append((name, self._begun, _kept(arguments), inputs, _places(arguments, accepts)))
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
    return replace_leaves(_kept(arguments), lambda node: isinstance(node, Leaf), lambda leaf: tensors[leaf.index])


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


def _kept(arguments: Any) -> Any:
    # A cache would go on growing: each run gets the state that the module got.
    def is_state(node: Any) -> bool:
        return hasattr(node, "__dict__") and not callable(node) and not dataclasses.is_dataclass(node)

    def copied(node: Any) -> Any:
        try:
            return copy.deepcopy(node)
        except Exception:  # an object of any library
            return node

    return replace_leaves(arguments, is_state, copied)


def _places(arguments: Any, accepts: Sequence[str]) -> tuple[str, ...]:
    found: dict[int, str] = {}

    def walk(node: Any, place: str) -> None:
        if isinstance(node, Leaf):
            found[node.index] = place
        elif isinstance(node, dict):
            for key, value in node.items():
                walk(value, f"{place}.{key}")
        elif isinstance(node, list | tuple):
            for i, value in enumerate(node):
                walk(value, f"{place}.{i}")
        elif dataclasses.is_dataclass(node) and not isinstance(node, type):
            for field in dataclasses.fields(node):
                walk(getattr(node, field.name), f"{place}.{field.name}")

    for name, value in named_arguments(arguments, accepts).items():
        walk(value, name)
    return tuple(found[i] for i in sorted(found))


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
