"""A torch module, recorded through its own hooks."""

from __future__ import annotations

import contextlib
import copy
import functools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import ml_dtypes
import numpy as np
import torch
from torch.overrides import TorchFunctionMode

from opfuzz.network.observe.spec_reader import SpecReader
from opfuzz.network.observe.torch import TorchRun
from opfuzz.network.observe.torch_tensors import array_of, device_of, in_format_of, named_modules, tensor_of
from opfuzz.network.trace.recording import (
    Array,
    CallRecorder,
    Cotangents,
    ModuleCall,
    ModuleGradients,
    ModuleRecorder,
    TracedModel,
    TracedPart,
    accepted,
    fill,
    kept,
    replace_leaves,
    settings_of,
)

NARROWER = (torch.float32, torch.float16, torch.bfloat16)
CASTS = (torch.Tensor.float, torch.Tensor.half, torch.Tensor.bfloat16)


class _Widened(TorchFunctionMode):  # type: ignore[misc]  # torch is untyped here
    """Casts to a narrower format go to float64: many norms compute `x.float()`, which would undo the exact run."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        func = torch.Tensor.double if func in CASTS else func
        wide = {k: torch.float64 if v in NARROWER else v for k, v in (kwargs or {}).items() if _is_dtype(v)}
        return func(
            *(torch.float64 if _is_dtype(v) and v in NARROWER else v for v in args), **{**(kwargs or {}), **wide}
        )


def _is_dtype(value: Any) -> bool:
    return isinstance(value, torch.dtype)


class TorchModel(TracedModel):
    """See TracedModel. Its exact run is a float64 copy on the processor, made when first asked for."""

    framework = "torch"
    can_be_observed = True

    def __init__(self, module: Any) -> None:
        super().__init__(module, named_modules(module))
        self._device = device_of(module)

    def parts(self) -> tuple[TracedPart, ...]:
        """See TracedModel."""
        return tuple(
            TracedPart(name, type(m).__name__, _readable(_tensors(m)), settings_of(vars(m)), _accepted(m))
            for name, m in self._named.items()
        )

    def is_tensor(self, value: Any) -> bool:
        """See TracedModel."""
        return bool(torch.is_tensor(value))

    def to_numpy(self, tensor: Any) -> Array:
        """See TracedModel."""
        return _to_numpy(tensor)

    @contextlib.contextmanager
    def watched(self, recorder: CallRecorder) -> Iterator[None]:
        """See TracedModel. Hooks see what other hooks do, and the wrapped `forward` whoever calls it by itself."""
        hooks: list[Any] = []
        called: list[str] = []  # announced by the hook, so that `forward` does not announce it again
        forwards = {name: vars(module).get("forward") for name, module in self._named.items()}
        try:
            for name, module in self._named.items():
                if not isinstance(module, torch.jit.ScriptModule):  # which takes no hooks
                    hooks += _hooked(module, name, recorder, called)
                vars(module)["forward"] = _announced(module, name, recorder, called)
            with torch.no_grad():
                yield
        finally:
            for hook in hooks:
                hook.remove()
            _restore(self._named, forwards)

    def replay(self, name: str, arguments: Any, inputs: Sequence[Array], exact: bool = False) -> tuple[Array, ...]:
        """See TracedModel."""
        recorder = ModuleRecorder(torch.is_tensor, _to_numpy)
        if not exact:
            args, kwargs = fill(arguments, [self.from_numpy(array) for array in inputs])
            with torch.no_grad():
                return recorder.split(self._named[name](*args, **kwargs))[1]
        module = self._exact(name)
        args, kwargs = fill(arguments, [_copied(array) for array in map(_widened, inputs)])
        with torch.no_grad(), _default_float64(), _Widened():
            return recorder.split(module(*args, **kwargs))[1]

    def parameter_names(self) -> Iterable[tuple[str, Any]]:
        """See TracedModel."""
        return list(self._module.named_parameters(remove_duplicate=False))

    def cotangents(self, arguments: Any, calls: Sequence[ModuleCall], given: Cotangents) -> tuple[Cotangents, ...]:
        """See TracedModel. Zeros are added to what each module gives: their gradients are asked for."""
        taps: list[list[Any]] = []
        forwards = {name: vars(module).get("forward") for name, module in self._named.items()}
        args, kwargs = self.put(arguments)
        try:
            for module in self._named.values():
                vars(module)["forward"] = _tapped(module.forward, taps)
            with torch.enable_grad():
                outputs = _tensors_in(self._named[""](*args, **kwargs))
        finally:
            _restore(self._named, forwards)
        if [len(call.outputs) for call in calls] != [len(own) for own in taps]:
            raise NotImplementedError("its modules run in another order, or give other outputs, when it runs again")
        zeros = [zero for own in taps for zero in own if zero is not None]
        made = iter(_gradients(outputs, zeros, given))
        return tuple(tuple(None if zero is None else _to_numpy(next(made)) for zero in own) for own in taps)

    def differentiate(
        self, name: str, arguments: Any, inputs: Sequence[Array], cotangents: Cotangents, exact: bool = False
    ) -> ModuleGradients:
        """See TracedModel."""
        module = self._exact(name) if exact else self._named[name]
        put = _copied if exact else self.from_numpy
        tensors = [put(_widened(array) if exact else array) for array in inputs]
        given = [None if c is None else put(_widened(c) if exact else c) for c in cotangents]
        leaves = [tensor.requires_grad_() if tensor.is_floating_point() else tensor for tensor in tensors]
        held = {n: p for n, p in module.named_parameters() if p.is_floating_point() and not p.is_meta}
        frozen = [p for p in held.values() if not p.requires_grad]
        # A module may write into what it is given, which no leaf allows.
        args, kwargs = fill(arguments, [leaf.clone() if leaf.requires_grad else leaf for leaf in leaves])
        with contextlib.ExitStack() as stack:
            stack.enter_context(torch.enable_grad())
            if exact:
                stack.enter_context(_default_float64())
                stack.enter_context(_Widened())
            try:
                for parameter in frozen:
                    parameter.requires_grad_(True)
                asked = [*(leaf for leaf in leaves if leaf.requires_grad), *held.values()]
                made = iter(_gradients(_tensors_in(module(*args, **kwargs)), asked, given))
            finally:
                for parameter in frozen:
                    parameter.requires_grad_(False)
        by_inputs = tuple(_to_numpy(next(made)) if leaf.requires_grad else None for leaf in leaves)
        return ModuleGradients(by_inputs, {n: _to_numpy(gradient) for n, gradient in zip(held, made, strict=True)})

    def _exact(self, name: str) -> Any:
        """A submodule of the copy in float64."""
        if self._copies is None:
            self._copies = {}  # a module that cannot be copied is not tried again
            # Not `.to()`: it refuses a model that holds a single tensor without values.
            double = copy.deepcopy(self._module)._apply(_double)
            self._copies = {n: m for n, m in double.named_modules() if n in self._named}
        return self._copies[name]

    def observed(self, name: str, arguments: Any, reader: SpecReader) -> TorchRun:
        """See TracedModel."""
        module = self._named[name]
        return TorchRun(module, arguments, reader, lambda args, kwargs: module(*kept(args), **kept(kwargs)))

    def exchange(self, module: Any, weight: str, value: Any) -> Any:
        """See TracedModel."""
        held = module._parameters if weight in module._parameters else module._buffers
        before = held[weight]
        held[weight] = torch.zeros_like(before) if value is None else value
        return before

    def from_numpy(self, array: Array) -> Any:
        """See TracedModel."""
        return _copied(array).to(self._device)

    def put_array(self, array: Array) -> Any:
        """See TracedModel."""
        return in_format_of(self._module, self.from_numpy(array))


def _accepted(module: Any) -> tuple[str, ...]:
    try:
        return accepted(type(module).forward)
    except AttributeError:  # a module that was compiled to TorchScript
        return ()


def _hooked(module: Any, name: str, recorder: CallRecorder, called: list[str]) -> list[Any]:
    def before(module: Any, args: Any, kwargs: Any) -> None:
        recorder.begin(name, args, kwargs, _accepted(module))
        called.append(name)

    def after(module: Any, args: Any, kwargs: Any, output: Any) -> None:
        recorder.end(name, output)

    return [
        module.register_forward_pre_hook(before, with_kwargs=True),
        module.register_forward_hook(after, with_kwargs=True),
    ]


def _announced(module: Any, name: str, recorder: CallRecorder, called: list[str]) -> Any:
    """The module's `forward`, which tells the recorder of a call that its hooks have not told it of."""
    own = module.forward

    @functools.wraps(own)
    def forward(*args: Any, **kwargs: Any) -> Any:
        if called and called[-1] == name:
            called.pop()
            return own(*args, **kwargs)
        recorder.begin(name, args, kwargs, _accepted(module))
        output = own(*args, **kwargs)
        recorder.end(name, output)
        return output

    return forward


def _restore(named: Mapping[str, Any], forwards: Mapping[str, Any]) -> None:
    """Each module's own `forward`, or None where it has that of its class, put back."""
    for name, forward in forwards.items():
        if forward is None:
            vars(named[name]).pop("forward", None)
        else:
            vars(named[name])["forward"] = forward


def _tapped(own: Any, taps: list[list[Any]]) -> Any:
    """A `forward` that adds zeros to each number it gives, which it notes at the place of its call."""

    def tap(tensor: Any, noted: list[Any]) -> Any:
        zero = torch.zeros_like(tensor, requires_grad=True) if tensor.is_floating_point() else None
        noted.append(zero)
        return tensor if zero is None else tensor + zero

    @functools.wraps(own)
    def forward(*args: Any, **kwargs: Any) -> Any:
        noted: list[Any] = []
        taps.append(noted)
        return replace_leaves(own(*args, **kwargs), torch.is_tensor, lambda tensor: tap(tensor, noted))

    return forward


def _tensors_in(tree: Any) -> list[Any]:
    """The tensors in what a module gives, in the order in which they are recorded."""
    found: list[Any] = []
    replace_leaves(tree, torch.is_tensor, found.append)
    return found


def _gradients(outputs: Sequence[Any], asked: Sequence[Any], given: Sequence[Any]) -> Sequence[Any]:
    """The gradients by some tensors, zeros where none depends on one."""
    pairs = [(o, c) for o, c in zip(outputs, given, strict=True) if c is not None and o.requires_grad]
    if not pairs:
        raise NotImplementedError("none of what it gives has a gradient")
    own = [(_copied(c) if isinstance(c, np.ndarray) else c).to(v) for v, c in pairs]
    return torch.autograd.grad([v for v, _ in pairs], asked, own, materialize_grads=True) if asked else ()


def _widened(array: Array) -> Array:
    return array.astype(np.float64) if _is_float(array) else array


def _double(tensor: Any) -> Any:
    if tensor.is_meta:
        return tensor
    wide = torch.complex128 if tensor.is_complex() else torch.float64 if tensor.is_floating_point() else tensor.dtype
    return tensor.to("cpu", wide)


def _to_numpy(tensor: Any) -> Array:
    return np.array(array_of(tensor), order="C")


def _copied(array: Array) -> Any:
    """A tensor on the processor that shares nothing with the array."""
    return tensor_of(np.array(array, order="C"))


def _readable(tensors: Mapping[str, Any]) -> dict[str, Array]:
    """Those that have values: a tensor on the meta device, or one that waits for its first input, has none."""
    found = {}
    for name, tensor in tensors.items():
        if not (tensor.is_meta or torch.nn.parameter.is_lazy(tensor)):
            with contextlib.suppress(Exception):  # a tensor of any library
                found[name] = _to_numpy(tensor)
    return found


def _is_float(array: Array) -> bool:
    return np.issubdtype(array.dtype, np.floating) or array.dtype == ml_dtypes.bfloat16


def _tensors(module: Any) -> Mapping[str, Any]:
    """Own parameters and buffers; a normalised or otherwise parametrized weight as the module uses it."""
    found = {**dict(module.named_parameters(recurse=False)), **dict(module.named_buffers(recurse=False))}
    for name in getattr(module, "parametrizations", ()):
        found[name] = getattr(module, name)
    if "weight_g" in found and "weight_v" in found:
        norm = next(h for h in module._forward_pre_hooks.values() if hasattr(h, "compute_weight"))
        found["weight"] = norm.compute_weight(module)
        del found["weight_g"], found["weight_v"]
    return {name: tensor for name, tensor in found.items() if name != "num_batches_tracked"}


@contextlib.contextmanager
def _default_float64() -> Iterator[None]:
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        yield
    finally:
        torch.set_default_dtype(before)
