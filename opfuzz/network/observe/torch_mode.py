"""Sees every function of torch that a model calls on tensors, and which module calls."""

from __future__ import annotations

import contextlib
import functools
import types
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch.overrides import TorchFunctionMode, resolve_name

from opfuzz.network.observe.families import family_of
from opfuzz.network.observe.forms import FORMS
from opfuzz.network.observe.records import Operand
from opfuzz.network.observe.spec_reader import SpecReader

# Functions that torch writes in Python are looked into, unless they are ops or move elements themselves.
OPENED = ("torch.nn.functional", "torch.functional")
WHOLE = frozenset({"pad", "dropout"})


class SeeingMode(TorchFunctionMode):  # type: ignore[misc]  # torch is untyped here
    """Sees every function of torch that is called on tensors, and knows which module calls."""

    def __init__(self, reader: SpecReader, module: Any) -> None:
        super().__init__()
        self.reader = reader
        self.stack: list[tuple[str, Any]] = [("", module)]

    def name(self, tensor: Any, operand: Operand) -> None:
        """The tensor is this operand."""

    def enter(self, path: str, module: Any, args: Any, kwargs: Any) -> None:
        """A module is about to run."""
        self.stack.append((path, module))

    def leave(self, output: Any, args: Any, kwargs: Any) -> Any:
        """The module has run; what it gives then."""
        self.stack.pop()
        return output

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        dotted, family, opened = known(func)
        if opened is not None and family not in WHOLE and not may_bind(self.reader, family):
            with self:
                return opened(*args, **kwargs)
        return self.take(func, dotted, family, args, kwargs)

    def take(self, func: Any, dotted: str, family: str, args: Any, kwargs: Any) -> Any:
        """What the call gives."""
        raise NotImplementedError


def may_bind(reader: SpecReader, family: str) -> bool:
    """Whether a call of this family may be an op."""
    return family in reader.families or family in FORMS


@functools.lru_cache(maxsize=4096)
def known(func: Any) -> tuple[str, str, Any]:
    """Dotted name and family of a function, and its body where it can be looked into."""
    dotted = resolve_name(func) or f"{getattr(func, '__module__', '')}.{getattr(func, '__name__', func)}"
    # max_pool2d and the like only say that they are of nn.functional; they hand on to one that asks that question, too.
    is_open = isinstance(func, types.FunctionType) and func.__globals__.get("__name__") in OPENED
    return dotted, family_of(dotted), _body_of(func) if is_open else None


def _body_of(func: types.FunctionType) -> Any:
    """The function without the question at its beginning whether somebody else wants to answer in its place."""
    inside = {name: _no for name in func.__globals__ if name.startswith("has_torch_function")}
    body = types.FunctionType(
        func.__code__, {**func.__globals__, **inside}, func.__name__, func.__defaults__, func.__closure__
    )
    body.__kwdefaults__ = func.__kwdefaults__
    return body


def _no(*args: Any) -> bool:
    return False


@contextlib.contextmanager
def watched(named: Mapping[str, Any], mode: SeeingMode) -> Iterator[None]:
    """Each `forward` tells the mode when it begins and ends, whether it is called through the module or by itself."""
    changed: list[tuple[Any, Any]] = []

    def wrapped(path: str, module: Any, forward: Any) -> Any:
        @functools.wraps(forward)
        def call(*args: Any, **kwargs: Any) -> Any:
            depth = len(mode.stack)
            mode.enter(path, module, args, kwargs)
            try:
                output = forward(*args, **kwargs)
            except BaseException:
                del mode.stack[depth:]
                raise
            return mode.leave(output, args, kwargs)

        return call

    try:
        for path, module in named.items():
            if isinstance(module, torch.jit.ScriptModule):
                continue
            changed.append((module, module.__dict__.get("forward")))
            module.__dict__["forward"] = wrapped(path, module, module.forward)
        yield
    finally:
        for module, before in reversed(changed):
            if before is None:
                del module.__dict__["forward"]
            else:
                module.__dict__["forward"] = before
