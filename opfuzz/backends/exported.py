"""Runtimes that take torch's calls as exported programs: what ONNX Runtime, OpenVINO and Core ML have in common."""

from __future__ import annotations

import importlib
import io
import logging
import warnings
from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from importlib.util import find_spec
from types import MappingProxyType
from typing import Any, ClassVar

from opfuzz.backends.base import Array, Functions, Graph, Tensor
from opfuzz.backends.sized_call import Key, SizedCall
from opfuzz.backends.torch import RECIPE as TORCH_RECIPE
from opfuzz.backends.torch import Torch
from opfuzz.core.layout import LAYOUTS
from opfuzz.spec.expression.program import Program

# Tensors are made as torch's are, but stay with the processor. A runtime adds WAYS, `exported`, what it is handed, of a
# program and its inputs, and `compiled`, the results of that.
RECIPE = f"""
import types

import torch._subclasses.fake_tensor
import torch.fx.experimental._config
import torch.fx.experimental.symbolic_shapes
import torch.onnx
{TORCH_RECIPE.partition("def run")[0].replace(".to(DEVICE)", "")}
def run(call):
    # The call is exported for any sizes, where that, or what comes of it, fails, for its own; else as WAYS says: its
    # values but the first's are constants, or, where it cannot be exported, it is traced as it is for its values.
    world = call.__globals__
    names = [name for name in call.__code__.co_names if isinstance(world.get(name), torch.Tensor)]
    every = tuple(world[name].contiguous() for name in names)
    returned = []
    on_values = torch.fx.experimental.symbolic_shapes.GuardOnDataDependentSymNode
    not_exported = on_values, torch._subclasses.fake_tensor.DataDependentOutputException, torch.onnx.OnnxExporterError

    class Call(torch.nn.Module):
        def forward(self, *given):
            returned.append(types.FunctionType(call.__code__, {{**world, **dict(zip(names, given))}})())
            return returned[-1]

    for way in WAYS:
        inputs = every[:1] if way == "valued" else every
        axes = tuple(dict.fromkeys(range(each.dim()), torch.export.Dim.AUTO) for each in inputs)
        try:
            with torch.no_grad(), torch.fx.experimental._config.patch(backed_size_oblivious=way == "open"):
                shapes = (axes,) if way == "open" and axes else None
                program = Call() if way == "traced" else torch.export.export(Call(), inputs, dynamic_shapes=shapes)
                made = exported(program, inputs)
            found = compiled(made, inputs)
            return found if isinstance(returned[-1], (tuple, list)) else found[0]
        except Exception as error:
            if way == WAYS[-1] or WAYS[WAYS.index(way) + 1] == "traced" and not isinstance(error, not_exported):
                raise


def bits(array):
    return np.ascontiguousarray(array).view(f"uint{{8 * array.dtype.itemsize}}")


"""

# What is left open in an export: sizes and values; values alone; of the first input alone, its values. What cannot be
# exported may be traced: each operation is noted that is made for these values.
OPEN, SHAPED, VALUED, TRACED = "open", "shaped", "valued", "traced"

Model = Any  # a torch.export.ExportedProgram; where it is to be traced, a torch.nn.Module
Run = Callable[[Sequence[Tensor]], Sequence[Tensor]]


class NotExportedError(NotImplementedError):
    """There is no way to make a program of a call that a runtime could be handed."""


@dataclass(frozen=True, slots=True)
class RuntimeModel:
    """A model as a runtime has it."""

    run: Run
    nodes: tuple[str, ...]  # operations of the exported graph, in its order
    refer: Run | None = None  # the same graph by an evaluator that shares no kernel with the runtime


class Exported(Torch):
    """A runtime that is handed torch's calls as exported programs, by torch's dialect.

    A call is exported once for its text, params, formats and numbers of axes, with sizes that are left open; where that
    fails, in the next of its `ways`. What comes of it is kept until `rest`. Tensors are copied to the runtime and back.
    """

    title: ClassVar[str]  # its name among subjects
    libraries: ClassVar[tuple[str, ...]]  # that it needs besides torch
    extra: ClassVar[str]  # of opfuzz, that installs them
    modes: ClassVar[tuple[str, ...]] = ("",)
    has_gradients = False
    gradient_recipe = ""
    layouts = frozenset(LAYOUTS[:1])
    exports = True
    compiles = True
    ways: ClassVar[tuple[str, ...]] = (OPEN, SHAPED)
    most: ClassVar[int] = 64  # programs that a rest leaves alone: each took 1 CPU s to make, and holds some 0.1 MB

    def __init__(self, name: str | None = None, replace: Functions = MappingProxyType({})) -> None:
        self._kept: dict[tuple[Key, str, str], _Programs] = {}
        self._threads = 1
        super().__init__(self.title if name is None else name, replace)

    @abstractmethod
    def compile(self, model: Model, tensors: Sequence[Tensor], device: str, mode: str) -> RuntimeModel:
        """The model as the runtime has it. `tensors` are inputs that it was exported with.

        Raises NotImplementedError for an operation or a format that it does not have, NotExportedError for what is not
        even handed to it.
        """

    def absent(self) -> str | None:
        """See Backend."""
        missing = next((library for library in self.libraries if find_spec(library) is None), None)
        if missing is not None:  # said without importing torch, which takes seconds
            return f"{self.title}: {missing} is not installed: pip install 'opfuzz[{self.extra}]'"
        if (reason := super().absent()) is not None:
            return reason
        for library in self.libraries:
            try:
                importlib.import_module(library)
            except (ImportError, OSError) as error:
                return f"{self.title}: {library} is installed, but it fails to import: {error}"
        return None

    def limit_threads(self, count: int) -> None:
        """See Backend. It holds for what is compiled later."""
        super().limit_threads(count)
        self._threads = count

    def threads(self) -> int | None:
        """See Backend."""
        return self._threads

    def load(self, base: Array, device: str) -> Tensor:
        """See Backend. The runtime copies it to the device."""
        return super().load(base, "cpu")

    def rest(self) -> None:
        """See Backend. All programs go, and with them what the runtime holds for each, unless these are few."""
        if sum(len(programs.variants) for programs in self._kept.values()) > self.most:
            self._kept.clear()

    def run(
        self, program: Program, tensors: Mapping[str, Tensor], names: Mapping[str, object], device: str, mode: str
    ) -> Tensor:
        """See Backend. Raises NotImplementedError for what the exporter or the runtime does not have."""
        return self._performed(program, tensors, names, device, mode)[0]

    def graph(
        self, program: Program, tensors: Mapping[str, Tensor], names: Mapping[str, object], device: str, mode: str
    ) -> Graph:
        """See Backend."""
        _, made, given = self._performed(program, tensors, names, device, mode)
        refer = made.compiled.refer
        return Graph(made.compiled.nodes, None if refer is None else made.whole(refer(given)))

    def _performed(
        self, program: Program, tensors: Mapping[str, Tensor], names: Mapping[str, object], device: str, mode: str
    ) -> tuple[Tensor, _Made, Sequence[Tensor]]:
        """What a call returns, the export that gave it, and the inputs of that.

        That much is left open is to spare time: what fails then is exported once more, with less of it.
        """
        source = SizedCall.of(program, tensors, names, self.functions())
        given = [tensors[name].contiguous() for name in source.inputs]
        programs = self._kept.setdefault((source.key, device, mode), _Programs(self.ways))
        while True:
            made = programs.taking(given)
            if made is None:
                made = self._make(source, given, device, mode, programs)
            if made.error is not None:
                raise made.error
            asked = given[: made.count]
            try:
                return made.whole(made.compiled.run(asked)), made, asked
            except Exception as error:  # of the runtime, which has classes of its own
                if not programs.give_up(made.way, error):
                    raise

    def _make(self, source: SizedCall, given: Sequence[Tensor], device: str, mode: str, programs: _Programs) -> _Made:
        """The call exported and compiled in the first way that succeeds, kept among its programs.

        So is what is refused in all ways: a call of other sizes would take seconds to be refused too.
        Raises what the last way raises.
        """
        with _quiet(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            while True:
                way = programs.ways[0]
                try:
                    made = self._exported(source, given, device, mode, way)
                    break
                except Exception as error:  # of the exporter or the runtime, each with classes of its own
                    if programs.give_up(way, error):
                        continue
                    # What is not traced either is refused in the words of the exporter that leaves values open.
                    error = programs.refusal or error
                    if not isinstance(error, NotImplementedError) and not self.refusals.search(str(error)):
                        raise
                    made = _Made(lambda given: True, way, error=error)
                    break
        programs.variants.append(made)
        return made

    def _exported(self, source: SizedCall, given: Sequence[Tensor], device: str, mode: str, way: str) -> _Made:
        torch = importlib.import_module("torch")
        importlib.import_module("torch.fx.experimental._config")
        example = tuple(given[:1] if way == VALUED else given)
        model, returned = _module(torch, source, given[len(example) :], way)
        axes = tuple(dict.fromkeys(range(each.dim()), torch.export.Dim.AUTO) for each in example)
        # Sizes of 0 and 1 are left open as well, as torch does where it exports to ONNX.
        with torch.no_grad(), torch.fx.experimental._config.patch(backed_size_oblivious=way == OPEN):
            try:
                if way == TRACED:
                    compiled = self.compile(model, example, device, mode)
                    return _Made(_like(given, 0), way, compiled, returned.is_tuple, len(example))
                exported = torch.export.export(model, example, dynamic_shapes=(axes,) if way == OPEN and axes else None)
            except _branches_on_values() as error:
                raise NotExportedError(f"to export a branch on values is not supported: {error}") from error
        module = exported.module()
        takes = _guarded(getattr(module, "_guards_fn", module)) if way == OPEN else _like(given, len(example))
        return _Made(takes, way, self.compile(exported, example, device, mode), returned.is_tuple, len(example))


@dataclass(frozen=True, slots=True)
class _Made:
    """What came of one export: `takes` says for which inputs it is right, of which it is given the first so many."""

    takes: Callable[[Sequence[Tensor]], bool]
    way: str
    _compiled: RuntimeModel | None = None
    is_tuple: bool = False
    count: int = 0
    error: Exception | None = None

    @property
    def compiled(self) -> RuntimeModel:
        assert self._compiled is not None
        return self._compiled

    def whole(self, found: Sequence[Tensor]) -> Tensor:
        """What the call returns, of the outputs of its graph."""
        return tuple(found) if self.is_tuple else found[0]


@dataclass(slots=True)
class _Programs:
    """What came of one call, in sizes that need programs of their own; `ways` are those that have not failed."""

    ways: tuple[str, ...]
    variants: list[_Made] = field(default_factory=list)
    refusal: NotExportedError | None = None  # for which calls are traced

    def taking(self, given: Sequence[Tensor]) -> _Made | None:
        return next((made for made in self.variants if made.takes(given)), None)

    def give_up(self, way: str, error: Exception) -> bool:
        """Whether there is another way, which is taken from here on. Only what could not be exported is traced."""
        following = self.ways[self.ways.index(way) + 1 :]
        if following[:1] == (TRACED,):
            if not isinstance(error, NotExportedError):
                return False
            self.refusal = error
        if not following:
            return False
        self.ways = following
        self.variants = [made for made in self.variants if made.way != way]
        return True


@dataclass(slots=True)
class _Returned:
    """What a call was seen to return when it was traced."""

    is_tuple: bool = False


def _module(torch: Any, source: SizedCall, held: Sequence[Tensor], way: str) -> tuple[Any, _Returned]:
    """The call as a module of its inputs, but for the last ones, which it holds."""
    returned = _Returned()

    class Call(torch.nn.Module):  # type: ignore[misc]
        def forward(self, *given: Tensor) -> Tensor:
            result = source((*given, *held), is_open=way == OPEN)
            returned.is_tuple = isinstance(result, tuple | list)
            return result

    return Call(), returned


def _branches_on_values() -> tuple[type[Exception], ...]:
    """What torch raises where the way that a call takes depends on values, which an export does not know."""
    symbolic = importlib.import_module("torch.fx.experimental.symbolic_shapes")
    fake = importlib.import_module("torch._subclasses.fake_tensor")
    return symbolic.GuardOnDataDependentSymNode, fake.DataDependentOutputException


def _guarded(guard: Callable[..., object]) -> Callable[[Sequence[Tensor]], bool]:
    """Whether inputs have sizes that a program leaves open."""

    def takes(given: Sequence[Tensor]) -> bool:
        try:
            guard(*given)
        except Exception:  # whichever a guard raises
            return False
        return True

    return takes


def _like(example: Sequence[Tensor], count: int) -> Callable[[Sequence[Tensor]], bool]:
    """Whether inputs have the shapes of others, and all but the first so many their bits as well."""
    shapes, held = [each.shape for each in example], [_bytes(each) for each in example[count:]]
    return lambda given: [each.shape for each in given] == shapes and list(map(_bytes, given[count:])) == held


def _bytes(tensor: Tensor) -> bytes:
    content: bytes = tensor.numpy().tobytes()
    return content


@contextmanager
def _quiet() -> Iterator[None]:
    """Without what exporters print and log: they warn of every library that they do not find."""
    before = logging.root.manager.disable
    logging.disable(logging.ERROR)
    try:
        with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
            yield
    finally:
        logging.disable(before)
