"""What a backend is: one framework on this machine, seen through the few things that a case needs."""

from __future__ import annotations

import ast
import inspect
import math
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Hashable, Mapping
from dataclasses import dataclass
from keyword import iskeyword
from pathlib import Path
from types import MappingProxyType
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from opfuzz.core.errors import OpfuzzError, did_you_mean
from opfuzz.core.floats import NAMED_FORMATS
from opfuzz.core.layout import LAYOUTS, View, memory
from opfuzz.spec.expression.program import Gradient, Program

Array = NDArray[Any]
Tensor = Any  # the framework's own array
Functions = Mapping[str, Callable[..., Any]]

COMPILE = "compile"
ARRAY_RECIPE = """
import importlib


def dtype_of(name):
    if name.startswith(("bfloat16", "float8", "float4")):  # which few calls need
        return np.dtype(getattr(importlib.import_module("ml_dtypes"), name))
    return np.dtype(name)


def load(tensor):
    array, kind = tensor
    return array.view(importlib.import_module("ml_dtypes").bfloat16).copy() if kind == "bfloat16" else array.copy()


def view(array, steps):
    for step, args in steps:
        if step == "transpose":
            array = array.transpose(args)
        elif step == "slice":
            array = array[tuple(map(slice, *args))]
        else:
            array = np.broadcast_to(array, args)
    return array


def bits(array):
    array = np.array(array, order="C")
    return array.view(f"uint{8 * array.dtype.itemsize}")
"""
REST_EVERY = 256  # calls: JAX keeps a program for each, some 1 MB
_PUBLISHABLE = re.compile(r"[A-Za-z]\w*(\.[A-Za-z]\w*)*", re.ASCII)


def _documented(text: str) -> dict[str, object]:
    """Parameters and defaults in a first line such as `exp(a: array, /, *, stream: Stream = None) -> array`."""
    line = next((each.strip() for each in text.splitlines() if each.strip()), "")
    try:
        (function,) = ast.parse(f"def {line}: pass").body
    except (SyntaxError, ValueError):
        return {}
    if not isinstance(function, ast.FunctionDef):
        return {}
    given = function.args
    places = [*given.posonlyargs, *given.args]
    found: dict[str, object] = {each.arg: inspect.Parameter.empty for each in (*places, *given.kwonlyargs)}
    defaults = zip([*reversed(places)], [*reversed(given.defaults)], strict=False)
    for each, default in (*defaults, *zip(given.kwonlyargs, given.kw_defaults, strict=True)):
        if isinstance(default, ast.Constant):
            found[each.arg] = default.value
    return found


@dataclass(frozen=True, slots=True)
class Graph:
    """What another program made of a call, where the framework is handed that."""

    nodes: tuple[str, ...] = ()  # its operations, in order; none where a call is made as it is written
    referred: Tensor | None = None  # its value by an evaluator that shares no kernel with the framework; None: no such


class Backend(ABC):
    """One framework on this machine. `dialects` are keys under `calls:` in a spec; `functions` is all a spec may call.

    A backend of another name, with some functions replaced or others published beside them, speaks the same dialect:
    `derive` makes it.
    Constructing one imports no framework; `absent` and everything after it does.
    """

    dialects: ClassVar[tuple[str, ...]]  # the first that a spec has is read; the first of all is its own
    modules: ClassVar[tuple[str, ...]]  # what to import before workers fork
    gradient_modules: ClassVar[tuple[str, ...]] = ()  # the same where gradients are asked for
    modes: ClassVar[tuple[str, ...]] = ("",)
    distributions: ClassVar[tuple[str, ...]] = ()  # whose versions decide what is published; (): nobody says
    requirements: ClassVar[tuple[str, ...]] = ()  # of an installer: packages for which their name is not enough
    has_gradients: ClassVar[bool] = False  # whether `differentiate` gives any
    # For reproducers of gradients: `gradients` of a function of its inputs, and another `run` where it needs one.
    gradient_recipe: ClassVar[str] = ""
    # For reproducers: imports under the names of specs, and load, view, bits, run, dtype_of. What takes NumPy's arrays
    # begins with ARRAY_RECIPE, which has all of these but `run`.
    recipe: ClassVar[str]
    # Modules under the names that calls of another dialect have for them, and what they are here: {"np": "jnp"}.
    spelling: ClassVar[Mapping[str, str]] = MappingProxyType({})
    layouts: ClassVar[frozenset[str]] = frozenset(LAYOUTS)  # that its tensors have; what copies has the first alone
    # Words in which it says that there is no kernel for a call, as opposed to what goes wrong in one.
    refusals: ClassVar[re.Pattern[str]] = re.compile(r"not implemented|not supported|unsupported", re.IGNORECASE)
    compiles: ClassVar[bool] = False  # a program for each shape, which takes longer than the call
    exports: ClassVar[bool] = False  # whether `graph` tells of another program that a call goes through
    environment: ClassVar[Mapping[str, str]] = MappingProxyType({})  # of workers, where the user has set nothing else

    def __init__(self, name: str | None = None, replace: Functions = MappingProxyType({})) -> None:
        self.name = self.dialect if name is None else name
        if not re.fullmatch(r"[\w.-]+", self.name):
            raise OpfuzzError(f"{self.name!r} is no backend name; write letters, digits, '_', '.' and '-' only")
        for word, function in replace.items():
            if word.startswith("."):
                raise OpfuzzError(f"{self.name}: '{word}' is a method of values, which cannot be replaced; use 'cast'")
            if not callable(function):
                raise OpfuzzError(f"{self.name}: '{word}' is replaced by a {type(function).__name__}, not a function")
        self.plugin: Path | None = None  # the file that it came from, where that is no package
        self._replaced = dict(replace)
        self._own: dict[str, Callable[..., Any]] = {}
        self._functions: Functions | None = None
        self._calls = 0  # since it rested
        self.prepared: dict[Hashable, Any] = {}  # by program, what `perform` has found out of it
        if not replace or self.absent() is not None:
            return
        known = self.published()
        for word in replace:
            if word not in known:
                raise OpfuzzError(f"{self.name}: {self.dialect} publishes no '{word}'{did_you_mean(word, known)}")

    @property
    def dialect(self) -> str:
        """Its own dialect: calls of a spec that stand under it are read before those of any other."""
        return self.dialects[0]

    def dialect_in(self, calls: Collection[str]) -> str:
        """The first of its dialects that is among those of a spec's calls; its own where none is."""
        return next((dialect for dialect in self.dialects if dialect in calls), self.dialect)

    def functions(self) -> Functions:
        """All that a spec may call, by the dotted name as specs write it. Raises ImportError if absent."""
        if self._functions is None:
            self._functions = MappingProxyType({**self.published(), **self._own, **self._replaced})
        return self._functions

    @property
    def replaced(self) -> frozenset[str]:
        """Names of the functions that are not the framework's own: replaced, or published beside them."""
        return frozenset({*self._replaced, *self._own})

    def derived(self, name: str, replace: Functions, publish: Functions = MappingProxyType({})) -> Backend:
        """This backend under another name with more functions replaced, and others published beside them.

        Raises OpfuzzError for an unknown function, and for one to publish that specs could not call.
        """
        mine = {word: function for word, function in replace.items() if word in self._own}
        made = type(self)(name, {**self._replaced, **{w: f for w, f in replace.items() if w not in mine}})
        made._publish({**self._own, **mine, **publish}, known={*self._own})
        return made

    def _publish(self, functions: Functions, known: Collection[str]) -> None:
        for word, function in functions.items():
            if not callable(function):
                raise OpfuzzError(f"{self.name}: '{word}' is published as a {type(function).__name__}, not a function")
            if not _PUBLISHABLE.fullmatch(word) or any(map(iskeyword, word.split("."))):
                raise OpfuzzError(
                    f"{self.name}: specs cannot call '{word}'; publish it under a dotted name such as 'mylib.norm', "
                    "of words that do not begin with '_'"
                )
            if word in NAMED_FORMATS or word in ("dtype", "pi", "inf"):
                raise OpfuzzError(
                    f"{self.name}: '{word}' has a meaning of its own in calls; publish it as 'mylib.{word}'"
                )
            if word not in known and self.absent() is None and word in self.published():
                raise OpfuzzError(f"{self.name}: {self.dialect} publishes '{word}' itself; name it in 'replace'")
        self._own = dict(functions)

    def parameters(self, name: str) -> Mapping[str, object]:
        """Parameters of a published function and what they are by default, `inspect.Parameter.empty` for nothing.

        None at all where neither the function nor the first line of its documentation says.
        """
        function = self.functions().get(name)
        try:
            known = inspect.signature(function).parameters.values() if function is not None else ()
        except (TypeError, ValueError):
            return _documented(str(function.__doc__ or ""))
        return {each.name: each.default for each in known}

    def put(self, array: Array, layout: str, device: str) -> Tensor:
        """Tensor with the same bits as `array`, laid out in memory as `layout` says, sharing no memory with `array`.

        A layout that is none of `layouts` means contiguous.
        """
        # `load` copies: what lies as it should is not copied twice.
        held = self.held(layout)
        base, views = (np.asarray(array, order="C"), ()) if held == LAYOUTS[0] else memory(array, held)
        return self.lay_out(self.load(base, device), views, device)

    def held(self, layout: str) -> str:
        """The layout that a tensor has which is asked for in this one."""
        return layout if layout in self.layouts else LAYOUTS[0]

    def spelled(self, call: str) -> str:
        """A call as a program of this framework has it, which may be written in another dialect."""
        for word, own in self.spelling.items():
            call = re.sub(rf"(?<![\w.]){re.escape(word)}(?=\.)", own, call)
        return call

    def constants(self, format: str) -> Mapping[str, object]:
        """The names besides inputs, dims and parameters that a call may use; pi is the float64 nearest to it."""
        return {"dtype": self.dtype(format), "pi": math.pi, "inf": math.inf}

    def limit_threads(self, count: int) -> None:  # noqa: B027 - most frameworks have nothing to set
        """Use at most so many threads in one operation, where the framework lets one choose."""

    def count(self) -> None:
        """One more call is about to be made; before one in so many it rests."""
        self._calls += 1
        if self._calls > REST_EVERY:
            self._calls = 1
            self.rest()

    def rest(self) -> None:  # noqa: B027 - most frameworks keep nothing that grows
        """Give up what it keeps of calls that were made, such as compiled programs; asked for between calls."""

    def threads(self) -> int | None:
        """Threads that one operation may use on the processor, where the framework tells."""
        return None

    def needs(self, device: str) -> str | None:
        """What a machine must have so that calls can be made on the device, in one word; None: the processor does."""
        return None

    def differentiate(
        self,
        program: Program,
        gradient: Gradient,
        tensors: Mapping[str, Tensor],
        names: Mapping[str, object],
        device: str,
        mode: str,
    ) -> tuple[Tensor, ...]:
        """The gradients of a call by some of its tensors, fully computed; the cotangents are among the tensors.

        An input that no value depends on has zeros. Whatever the framework raises goes through.
        """
        raise NotImplementedError(f"{self.dialect} has no gradients")

    def graph(
        self, program: Program, tensors: Mapping[str, Tensor], names: Mapping[str, object], device: str, mode: str
    ) -> Graph:
        """What another program makes of a call before it is made; of most frameworks nothing.

        Raises what `run` does.
        """
        return Graph()

    @abstractmethod
    def absent(self) -> str | None:
        """Why the framework cannot be used here and the remedy; None if it can."""

    @abstractmethod
    def version(self) -> str:
        """Version as the framework itself gives it. Raises ImportError if absent."""

    @abstractmethod
    def devices(self) -> Mapping[str, str | None]:
        """Every device the framework may have; None if it is usable here, else why it is not."""

    @abstractmethod
    def supports(self, format: str, device: str) -> bool:
        """Whether tensors of this format can exist on the device."""

    @abstractmethod
    def dtype(self, format: str) -> object:
        """The framework's own name of a format."""

    @abstractmethod
    def published(self) -> Functions:
        """The functions before any is replaced: a positive list of resolved objects, none of which reads or writes
        files, imports, draws random numbers or changes its arguments. A cast that is a method, `x.to(float32)`, is
        `.to`: a function of the value and the framework's own type."""

    @abstractmethod
    def load(self, base: Array, device: str) -> Tensor:
        """Copy of a C-contiguous array, of the same shape and bits, on the device."""

    def lay_out(self, base: Tensor, views: tuple[View, ...], device: str) -> Tensor:
        """`base` seen through the views, one after another, with no element moved: none, where nothing but contiguous
        tensors can be."""
        if views:
            raise NotImplementedError(f"{self.dialect} is said to hold views, and has no way to make them")
        return base

    @abstractmethod
    def get(self, tensor: Tensor) -> Array:
        """The same bits as a C-contiguous NumPy array of its own. Raises TypeError if it is no such tensor."""

    @abstractmethod
    def run(
        self, program: Program, tensors: Mapping[str, Tensor], names: Mapping[str, object], device: str, mode: str
    ) -> Tensor:
        """Value of a call, fully computed. `names` holds dims, parameters and constants.

        Whatever the framework raises goes through: `perform` gives it a name.
        """
