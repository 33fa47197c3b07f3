"""PyTorch, on the processor, on Apple's GPU (MPS) and on CUDA, eager or compiled."""

from __future__ import annotations

import importlib
import inspect
import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import cache, partial
from types import MappingProxyType
from typing import Any, ClassVar

import ml_dtypes
import numpy as np

from opfuzz.backends.base import COMPILE, Array, Backend, Functions, Tensor
from opfuzz.backends.sized_call import SizedCall
from opfuzz.core.layout import View
from opfuzz.spec.expression.program import Gradient, Program, code_of, evaluate

MOST_PROGRAMS = 10_000  # compiled ones; all are given up long before
NAMESPACES = ("torch", "torch.nn.functional", "torch.special", "torch.linalg", "torch.fft")
FACTORIES = (
    "arange",
    "eye",
    "full",
    "linspace",
    "logspace",
    "ones",
    "tensor",
    "zeros",
    "hann_window",
    "hamming_window",
)
EVALUATED = ("dropout", "dropout1d", "dropout2d", "alpha_dropout", "rrelu")  # random only while they train
UNLISTED = ("hardsigmoid", "hardswish")  # of torch.nn.functional: pure functions that torch's list leaves out

# Private, in-place, random, uninitialised, vendor-only, or unchecked as to memory: never for a spec.
LEFT_OUT = re.compile(
    r"_.*|.*_|.*dropout.*|bernoulli|binomial|multinomial|poisson|rrelu|lobpcg|gumbel_softmax|fractional_.*|empty_like"
    r"|miopen_.*|fbgemm_.*|.*quantize.*|quantized_.*|fake_quantize_.*|fused_moving_avg_.*|as_strided.*|unsafe_.*"
    r"|batch_norm_update_stats|choose_qparams_.*|.*_with_distance_loss"
)


RECIPE = """
import torch


def dtype_of(name):
    return getattr(torch, name)


def load(tensor):
    array, kind = tensor
    if kind == "bfloat16":
        return torch.from_numpy(array.view("int16").copy()).view(torch.bfloat16).to(DEVICE)
    return torch.from_numpy(array.copy()).to(DEVICE)


def view(tensor, steps):
    for step, args in steps:
        if step == "transpose":
            tensor = tensor.permute(args)
        elif step == "slice":
            tensor = tensor[tuple(map(slice, *args))]
        else:
            tensor = tensor.expand(args)
    return tensor


def run(call):
    torch.set_num_threads(1)
    with torch.inference_mode(), torch.device(DEVICE):
        return torch.compile(call, dynamic=True)() if MODE == "compile" else call()


def bits(tensor):
    here = tensor.detach().cpu().contiguous()
    signed = {1: torch.int8, 2: torch.int16, 4: torch.int32, 8: torch.int64}[here.element_size()]
    return here.view(signed).numpy().view(f"uint{8 * here.element_size()}")
"""


GRADIENT_RECIPE = """
def run(call):
    torch.set_num_threads(1)
    with torch.device(DEVICE):
        return call()


def gradients(function, inputs, cotangents):
    inputs = [each.detach().requires_grad_() for each in inputs]
    found = (torch.compile(function, dynamic=True) if MODE == "compile" else function)(*inputs)
    found = found if isinstance(found, (tuple, list)) else (found,)
    pairs = [pair for pair in zip(found, cotangents) if pair[0].requires_grad]
    values, given = zip(*pairs)
    return torch.autograd.grad(values, inputs, given, materialize_grads=True)
"""


@cache  # asked for with every call
def _torch() -> Any:
    return importlib.import_module("torch")


class Torch(Backend):
    """PyTorch. What a spec may call is torch's own list of functions on tensors, and a few factories."""

    dialects = ("torch",)
    modules: ClassVar[tuple[str, ...]] = ("torch",)
    # With SymPy, by the first gradient of a process: 0.4 s, and a crash of another subject ends the process.
    gradient_modules: ClassVar[tuple[str, ...]] = ("torch.fx.experimental.symbolic_shapes",)
    distributions: ClassVar[tuple[str, ...]] = ("torch",)
    modes: ClassVar[tuple[str, ...]] = ("", COMPILE)
    has_gradients = True
    refusals = re.compile(
        r"not implemented|not supported|unsupported|isn't supported|does(n't| not) support|only supports?\b"
        r"|not differentiable",
        re.IGNORECASE,
    )
    recipe = RECIPE
    gradient_recipe = GRADIENT_RECIPE

    def __init__(self, name: str | None = None, replace: Functions = MappingProxyType({})) -> None:
        self._programs: dict[object, Callable[[Sequence[Tensor]], Tensor]] = {}  # that were compiled
        super().__init__(name, replace)

    def absent(self) -> str | None:
        """See Backend."""
        try:
            importlib.import_module("torch")
        except ModuleNotFoundError:
            return "torch: not installed: pip install torch"
        except (ImportError, OSError) as error:
            return f"torch: installed, but it fails to import: {error}"
        return None

    def version(self) -> str:
        """See Backend."""
        return str(_torch().__version__)

    def devices(self) -> Mapping[str, str | None]:
        """See Backend."""
        torch = _torch()
        cuda = None if torch.cuda.is_available() else "no CUDA device, or a build of torch without CUDA"
        mps = None if torch.backends.mps.is_available() else "needs macOS 14 or later on Apple silicon"
        return {"cpu": None, "cuda": cuda, "mps": mps}

    def needs(self, device: str) -> str | None:
        """See Backend."""
        return None if device == "cpu" else device

    def supports(self, format: str, device: str) -> bool:
        """See Backend. Apple's GPU has no float64; float4 is there in pairs only, to which nothing is cast."""
        return not (format == "float64" and device == "mps") and hasattr(_torch(), format)

    def dtype(self, format: str) -> object:
        """See Backend."""
        return getattr(_torch(), format)

    def limit_threads(self, count: int) -> None:
        """See Backend."""
        _torch().set_num_threads(count)

    def rest(self) -> None:
        """See Backend."""
        if self._programs:
            self._programs.clear()
            _torch().compiler.reset()

    def threads(self) -> int | None:
        """See Backend."""
        return int(_torch().get_num_threads())

    def published(self) -> Functions:
        """See Backend. `torch.os` is a module: each name is kept by the object it resolves to, never by its prefix.

        `int8_linear_dynamic` is what torch has as a module only.
        """
        torch = _torch()
        overridable = torch.overrides.get_overridable_functions()
        found = {f"torch.{name}": getattr(torch, name) for name in FACTORIES}
        found |= {f"torch.nn.functional.{name}": getattr(torch.nn.functional, name) for name in UNLISTED}
        for name in EVALUATED:
            found[f"torch.nn.functional.{name}"] = _evaluated(getattr(torch.nn.functional, name))
        for namespace in NAMESPACES:
            module = importlib.import_module(namespace)
            allowed = {id(function) for function in overridable[module]}
            for name in dir(module):
                value = getattr(module, name)
                if id(value) in allowed and not inspect.isclass(value) and not LEFT_OUT.fullmatch(name):
                    found[f"{namespace}.{name}"] = value
        found["int8_linear_dynamic"] = partial(_int8_linear_dynamic, torch)
        return found | {"cast": _cast, ".to": _to, **{f".{word}": cast for word, cast in _CASTS.items()}}

    def parameters(self, name: str) -> Mapping[str, object]:
        """See Backend. Functions in C++ have no signature; the ones that torch tests overriding with have theirs."""
        stated = _torch().overrides.get_testing_overrides().get(self.functions().get(name))
        if stated is None:
            return super().parameters(name)
        return {each.name: each.default for each in inspect.signature(stated).parameters.values()}

    def load(self, base: Array, device: str) -> Tensor:
        """See Backend. NumPy's bfloat16 is unknown to torch: its bits travel as int16."""
        torch = _torch()
        own = np.array(base, order="C", copy=True)
        if own.dtype == ml_dtypes.bfloat16:
            tensor = torch.from_numpy(own.view(np.int16)).view(torch.bfloat16)
        else:
            tensor = torch.from_numpy(own)
        return tensor if device == "cpu" else tensor.to(device)

    def lay_out(self, base: Tensor, views: tuple[View, ...], device: str) -> Tensor:
        """See Backend."""
        tensor = base
        for view in views:
            match view.op:
                case "transpose":
                    tensor = tensor.permute(view.args)
                case "slice":
                    tensor = tensor[tuple(map(slice, *view.args))]
                case _:
                    tensor = tensor.expand(view.args)
        return tensor

    def get(self, tensor: Tensor) -> Array:
        """See Backend."""
        torch = _torch()
        if not isinstance(tensor, torch.Tensor):
            raise TypeError(f"returned a {type(tensor).__name__}, not a torch.Tensor")
        if tensor.dtype == torch.bfloat16:
            bits = tensor.detach().resolve_neg().view(torch.int16)
            return np.array(bits.numpy(force=True), order="C", copy=True).view(ml_dtypes.bfloat16)
        return np.array(tensor.numpy(force=True), order="C", copy=True)

    def run(
        self, program: Program, tensors: Mapping[str, Tensor], names: Mapping[str, object], device: str, mode: str
    ) -> Tensor:
        """See Backend."""
        torch = _torch()
        # Factories such as torch.linspace make their tensors where the inputs lie.
        where: AbstractContextManager[Any] = nullcontext() if device == "cpu" else torch.device(device)
        with torch.inference_mode(), where:
            if mode == COMPILE:
                call = SizedCall.of(program, tensors, names, self.functions())
                result = self._compiled(call, [tensors[name] for name in call.inputs])
            else:
                result = evaluate(code_of(program), {**names, **tensors}, self.functions())
            if device != "cpu":
                getattr(torch, device).synchronize()
        return result

    def differentiate(
        self,
        program: Program,
        gradient: Gradient,
        tensors: Mapping[str, Tensor],
        names: Mapping[str, object],
        device: str,
        mode: str,
    ) -> tuple[Tensor, ...]:
        """See Backend. Values that depend on none of the inputs, such as indices, have no part in it."""
        torch = _torch()
        where: AbstractContextManager[Any] = nullcontext() if device == "cpu" else torch.device(device)
        with torch.enable_grad(), where:
            asked = {name: tensors[name].detach().requires_grad_() for name in gradient.inputs}
            given = {name: tensors[name] for name in tensors if name not in gradient.cotangents} | asked
            if mode == COMPILE:
                call = SizedCall.of(program, given, names, self.functions())
                values = self._compiled(call, [given[name] for name in call.inputs])
            else:
                values = evaluate(code_of(program), {**names, **given}, self.functions())
            values = values if isinstance(values, tuple | list) else (values,)
            cotangents = [tensors[name] for name in gradient.cotangents] or list(map(torch.ones_like, values))
            pairs = zip(values, cotangents, strict=True)
            heeded = [(value, cotangent) for value, cotangent in pairs if value.requires_grad]
            if not heeded:
                raise NotImplementedError("it is not supported: no value of the call requires a gradient")
            made = torch.autograd.grad(
                [value for value, _ in heeded],
                list(asked.values()),
                [cotangent for _, cotangent in heeded],
                materialize_grads=True,
            )
            if device != "cpu":
                getattr(torch, device).synchronize()
        return tuple(made)

    def _compiled(self, call: SizedCall, given: Sequence[Tensor]) -> Tensor:
        """What a compiled call returns: one program for all sizes, where what it becomes does not rest on them."""
        torch = _torch()
        importlib.import_module("torch._dynamo")
        importlib.import_module("torch.fx.experimental._config")
        if call.key not in self._programs:

            def program(given: Sequence[Tensor]) -> Tensor:
                return call(given)

            self._programs[call.key] = torch.compile(program, dynamic=True)
        # Sizes of 0 and 1, and equal ones, have no programs of their own. After so many of the same code torch would go
        # on eagerly, in silence.
        sizes = torch.fx.experimental._config.patch(backed_size_oblivious=True, use_duck_shape=False)
        limits = torch._dynamo.config.patch(recompile_limit=MOST_PROGRAMS, accumulated_recompile_limit=MOST_PROGRAMS)
        with sizes, limits:
            return self._programs[call.key](given)


def _evaluated(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """A function that draws random numbers while it trains, for calls that say `training=False`."""

    def evaluated(x: Tensor, *settings: Any, training: bool) -> Tensor:
        if training is not False:
            raise ValueError("it draws random numbers while it trains: write training=False")
        return function(x, *settings, training=False)

    return evaluated


def _cast(x: Tensor, dtype: Any) -> Tensor:
    return x.to(dtype)


def _to(x: Tensor, dtype: Any) -> Tensor:
    torch = _torch()
    if not isinstance(x, torch.Tensor) or not isinstance(dtype, torch.dtype):
        raise TypeError(f"a cast of a {type(x).__name__} to {dtype}: it is of a tensor, to a type")
    return x.to(dtype)


def _int8_linear_dynamic(torch: Any, x: Tensor, codes: Tensor, scale: Tensor, bias: Tensor) -> Tensor:
    """x times the transpose of a weight of 8 bits and one scale, as `torch.ao.nn.quantized.dynamic.Linear` has it."""
    weight = torch._make_per_tensor_quantized_tensor(codes.to(torch.int8).contiguous(), scale.item(), 0)
    packed = torch.ops.quantized.linear_prepack(weight, bias)
    return torch.ops.quantized.linear_dynamic(x, packed, reduce_range=True)


def _cast_to(format: str) -> Callable[[Tensor], Tensor]:
    def cast(x: Tensor) -> Tensor:
        return _to(x, getattr(_torch(), format))

    return cast


_CASTS = {
    word: _cast_to(format)
    for word, format in {"float": "float32", "double": "float64", "half": "float16", "bfloat16": "bfloat16"}.items()
}
