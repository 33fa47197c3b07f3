"""An MLX module. MLX has no hooks, so each submodule's class is exchanged for one that records while the model runs."""

from __future__ import annotations

import contextlib
import copy
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import ml_dtypes
import mlx.core as mx
import mlx.nn as nn
import numpy as np
from mlx.utils import tree_flatten, tree_unflatten

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
    replace_leaves,
    settings_of,
)


class MlxModel(TracedModel):
    """See TracedModel. Its exact run is a float64 copy on the processor, made when first asked for.

    MLX 0.32 computes the sums of convolutions and fast norms in float32 even so: there the run is exact to 1e-6.
    """

    framework = "mlx"

    def __init__(self, module: Any) -> None:
        super().__init__(module, _named_modules(module))

    def parts(self) -> tuple[TracedPart, ...]:
        """See TracedModel."""
        return tuple(
            TracedPart(
                name,
                type(m).__name__,
                _parameters(m),
                settings_of({**dict(m), **vars(m)}),
                accepted(type(m).__call__),
            )
            for name, m in self._named.items()
        )

    def is_tensor(self, value: Any) -> bool:
        """See TracedModel."""
        return _is_array(value)

    def to_numpy(self, tensor: Any) -> Array:
        """See TracedModel."""
        return _to_numpy(tensor)

    @contextlib.contextmanager
    def watched(self, recorder: CallRecorder) -> Iterator[None]:
        """See TracedModel."""
        kinds = {name: type(module) for name, module in self._named.items()}
        with _uncompiled():
            try:
                for name, module in self._named.items():
                    module.__class__ = _recording_class(kinds[name], name, recorder)
                yield
            finally:
                for name, module in self._named.items():
                    module.__class__ = kinds[name]

    def replay(self, name: str, arguments: Any, inputs: Sequence[Array], exact: bool = False) -> tuple[Array, ...]:
        """See TracedModel."""
        recorder = ModuleRecorder(_is_array, _to_numpy)
        if not exact:
            args, kwargs = fill(arguments, [_from_numpy(array) for array in inputs])
            with _uncompiled():
                return recorder.split(self._named[name](*args, **kwargs))[1]
        with mx.stream(mx.cpu), _uncompiled():  # float64 exists on the processor only
            args, kwargs = fill(arguments, [_widened(array) for array in inputs])
            return recorder.split(self._exact(name)(*args, **kwargs))[1]

    def parameter_names(self) -> Iterable[tuple[str, Any]]:
        """See TracedModel."""
        return list(tree_flatten(self._module.parameters()))

    def cotangents(self, arguments: Any, calls: Sequence[ModuleCall], given: Cotangents) -> tuple[Cotangents, ...]:
        """See TracedModel. Zeros are added to what each module gives: their gradients are asked for."""
        shapes = [[_from_numpy(np.zeros_like(x)) for x in call.outputs] for call in calls]
        zeros = [[zero if _is_float(zero) else None for zero in own] for own in shapes]
        flat = [zero for own in zeros for zero in own if zero is not None]
        kinds = {name: type(module) for name, module in self._named.items()}
        wanted = [c is not None for c in given]
        args, kwargs = self.put(arguments)

        def values(*added: Any) -> list[Any]:
            rest = iter(added)
            begun = iter([[None if zero is None else next(rest) for zero in own] for own in zeros])
            for name, module in self._named.items():
                module.__class__ = _tapped_class(kinds[name], begun)
            outputs = _arrays_in(self._named[""](*args, **kwargs))
            return [x for x, is_wanted in zip(outputs, wanted, strict=True) if is_wanted]

        try:
            with _uncompiled():
                made = iter(_gradients(values, flat, given))
        finally:
            for name, module in self._named.items():
                module.__class__ = kinds[name]
        return tuple(tuple(None if zero is None else _to_numpy(next(made)) for zero in own) for own in zeros)

    def differentiate(
        self, name: str, arguments: Any, inputs: Sequence[Array], cotangents: Cotangents, exact: bool = False
    ) -> ModuleGradients:
        """See TracedModel."""
        with contextlib.ExitStack() as stack:
            stack.enter_context(_uncompiled())
            if exact:
                stack.enter_context(mx.stream(mx.cpu))
            module = self._exact(name) if exact else self._named[name]
            put = _widened if exact else _from_numpy
            tensors = [put(array) for array in inputs]
            places: Sequence[int] = [i for i, tensor in enumerate(tensors) if _is_float(tensor)]
            held = {n: p for n, p in tree_flatten(module.parameters()) if _is_float(p)}
            wanted = [c is not None for c in cotangents]
            back = [None if c is None else put(c) for c in cotangents]

            def gradients_by(places: Sequence[int]) -> Sequence[Any]:
                def values(*given: Any) -> list[Any]:
                    own = dict(zip(places, given, strict=False))
                    module.update(tree_unflatten(list(zip(held, given[len(places) :], strict=True))))
                    args, kwargs = fill(arguments, [own.get(i, tensor) for i, tensor in enumerate(tensors)])
                    outputs = _arrays_in(module(*args, **kwargs))
                    return [x for x, is_wanted in zip(outputs, wanted, strict=True) if is_wanted]

                return _gradients(values, [*(tensors[i] for i in places), *held.values()], back)

            try:
                places, found = _as_far_as_given(gradients_by, places)
                made = iter(found)
                by_inputs = {i: _to_numpy(next(made)) for i in places}
                parameters = {n: _to_numpy(gradient) for n, gradient in zip(held, made, strict=True)}
            finally:
                module.update(tree_unflatten(list(held.items())))
        return ModuleGradients(tuple(by_inputs.get(i) for i in range(len(tensors))), parameters)

    def _exact(self, name: str) -> Any:
        """A submodule of the copy in float64."""
        if self._copies is None:
            self._copies = {}  # a module that cannot be copied is not tried again
            double = copy.deepcopy(self._module)
            double.apply(lambda array: array.astype(mx.float64) if _is_float(array) else array)
            self._copies = _named_modules(double)
        return self._copies[name]

    def exchange(self, module: Any, weight: str, value: Any) -> Any:
        """See TracedModel."""
        before = module[weight]
        module[weight] = mx.zeros_like(before) if value is None else value
        return before

    def from_numpy(self, array: Array) -> Any:
        """See TracedModel."""
        return _from_numpy(array)

    def put_array(self, array: Array) -> Any:
        """See TracedModel."""
        formats = {a.dtype for _, a in tree_flatten(self._module.parameters()) if _is_float(a)}
        tensor = _from_numpy(array)
        return tensor.astype(formats.pop() if len(formats) == 1 else mx.float32) if _is_float(tensor) else tensor


def _named_modules(module: Any) -> dict[str, Any]:
    """By name, parents before children, in the order of the attributes; a module under two names has the first."""
    found: dict[int, tuple[str, Any]] = {}

    def walk(name: str, module: Any) -> None:
        if id(module) in found:
            return
        found[id(module)] = (name, module)
        for key, child in tree_flatten(module.children(), is_leaf=nn.Module.is_module):
            if nn.Module.is_module(child):
                walk(f"{name}.{key}" if name else key, child)

    walk("", module)
    return dict(found.values())


def _parameters(module: Any) -> dict[str, Array]:
    """Own arrays, those in lists and dicts included; the weight of a quantised layer as its call decodes it."""
    own = {key: value for key, value in module.items() if not key.startswith("_")}
    arrays = dict(tree_flatten(own, is_leaf=lambda node: nn.Module.is_module(node) or _is_array(node)))
    if {"weight", "scales"} <= arrays.keys() and hasattr(module, "bits"):
        scales, biases = arrays.pop("scales"), arrays.pop("biases", None)
        mode = {"mode": module.mode} if hasattr(module, "mode") else {}
        arrays["weight"] = mx.dequantize(arrays["weight"], scales, biases, module.group_size, module.bits, **mode)
    found = {}
    for name, array in arrays.items():
        if _is_array(array):
            with contextlib.suppress(Exception):  # a format that NumPy has not
                found[name] = _to_numpy(array)
    return found


def _recording_class(kind: Any, name: str, recorder: CallRecorder) -> Any:
    # `type(m).__name__` and isinstance answer as before; `super().__call__` inside stays the module's own.
    accepts = accepted(kind.__call__)

    def call(self: Any, *args: Any, **kwargs: Any) -> Any:
        recorder.begin(name, args, kwargs, accepts)
        output = kind.__call__(self, *args, **kwargs)
        recorder.end(name, output)
        return output

    return type(kind.__name__, (kind,), {"__call__": call, "__module__": kind.__module__})


def _tapped_class(kind: Any, begun: Iterator[list[Any]]) -> Any:
    """A class whose calls add the next arrays to what they give, but for calls that run again on the way back."""

    def call(self: Any, *args: Any, **kwargs: Any) -> Any:
        known = next(begun, None)
        if known is None:
            return kind.__call__(self, *args, **kwargs)
        own = iter(known)

        def tap(array: Any) -> Any:
            zero = next(own)
            return array if zero is None else array + zero

        return replace_leaves(kind.__call__(self, *args, **kwargs), _is_array, tap)

    return type(kind.__name__, (kind,), {"__call__": call, "__module__": kind.__module__})


def _arrays_in(tree: Any) -> list[Any]:
    """The arrays in what a module gives, in the order in which they are recorded."""
    found: list[Any] = []
    replace_leaves(tree, _is_array, found.append)
    return found


def _gradients(values: Any, asked: Sequence[Any], given: Sequence[Any]) -> Sequence[Any]:
    """The gradients of a function of arrays by these, which some cotangents come to."""
    own = [c if _is_array(c) else _from_numpy(c) for c in given if c is not None]
    if not own or not asked:
        raise NotImplementedError("none of what it gives has a gradient")
    made: Sequence[Any] = mx.vjp(values, list(asked), own)[1]
    mx.eval(made)
    return made


def _as_far_as_given(
    gradients_by: Callable[[Sequence[int]], Sequence[Any]], places: Sequence[int]
) -> tuple[Sequence[int], Sequence[Any]]:
    """The inputs by which there are gradients, and these: MLX refuses all where one, as a mask made bool, has none."""
    try:
        return places, gradients_by(places)
    except ValueError:
        given = []
        for place in places:
            with contextlib.suppress(ValueError):
                gradients_by([place])
                given.append(place)
        if len(given) == len(places):
            raise
        return given, gradients_by(given)


def _widened(array: Array) -> Any:
    tensor = _from_numpy(array)
    return tensor.astype(mx.float64) if _is_float(tensor) else tensor


def _is_array(value: Any) -> bool:
    return isinstance(value, mx.array)


def _is_float(array: Any) -> bool:
    return bool(mx.issubdtype(array.dtype, mx.floating))


def _to_numpy(array: Any) -> Array:
    if array.dtype == mx.bfloat16:
        return np.array(np.array(array.view(mx.uint16)).view(ml_dtypes.bfloat16))
    return np.array(array)


def _from_numpy(array: Array) -> Any:
    if array.dtype == ml_dtypes.bfloat16:
        return mx.array(np.ascontiguousarray(array).view(np.uint16)).view(mx.bfloat16)
    # Without its dtype a float64 array would become float32.
    return mx.array(array, dtype=getattr(mx, "bool_" if array.dtype == np.bool_ else array.dtype.name))


@contextlib.contextmanager
def _uncompiled() -> Iterator[None]:
    # The activations of mlx.nn are compiled functions: on Linux each would call g++, 1 to 3 s, without changing a bit.
    mx.disable_compile()
    try:
        yield
    finally:
        if "MLX_DISABLE_COMPILE" not in os.environ:
            mx.enable_compile()
