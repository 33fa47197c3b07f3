"""Differential fuzzer for operator-level precision."""

from __future__ import annotations

import sys
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from opfuzz.api.finished import FinishedRun
    from opfuzz.api.judging import ArrayVerdict, judge
    from opfuzz.api.networks import LocalizedDrift, TracedPair, localize, trace
    from opfuzz.api.running import read_run, run
    from opfuzz.api.sweeping import SweptOp, sweep
    from opfuzz.core.case import Case
    from opfuzz.core.errors import OpfuzzError, SpecError
    from opfuzz.core.floats import FORMATS, Format, ulp
    from opfuzz.spec import OpSpec

# Imported when they are used: pytest imports this package for its plugin in every project of an environment.
_HOMES = {
    "ArrayVerdict": "api.judging",
    "Case": "core.case",
    "FORMATS": "core.floats",
    "FinishedRun": "api.finished",
    "Format": "core.floats",
    "LocalizedDrift": "api.networks",
    "OpSpec": "spec",
    "OpfuzzError": "core.errors",
    "SpecError": "core.errors",
    "SweptOp": "api.sweeping",
    "TracedPair": "api.networks",
    "judge": "api.judging",
    "localize": "api.networks",
    "read_run": "api.running",
    "run": "api.running",
    "sweep": "api.sweeping",
    "trace": "api.networks",
    "ulp": "core.floats",
}
__all__ = [
    "FORMATS",
    "ArrayVerdict",
    "Case",
    "FinishedRun",
    "Format",
    "LocalizedDrift",
    "OpSpec",
    "OpfuzzError",
    "SpecError",
    "SweptOp",
    "TracedPair",
    "judge",
    "localize",
    "read_run",
    "run",
    "sweep",
    "trace",
    "ulp",
]


class _Room(ModuleType):
    """The room `judge`, which has the name of a public function: called, it is that."""

    def __call__(self, *given: Any, **named: Any) -> Any:
        return import_module("opfuzz." + _HOMES["judge"]).judge(*given, **named)


class _House(ModuleType):
    """This package, in which a room does not take the place of a function: Python puts it there when it is imported."""

    def __setattr__(self, name: str, value: Any) -> None:
        if name == "judge" and isinstance(value, ModuleType):
            value.__class__ = _Room
        super().__setattr__(name, value)


sys.modules[__name__].__class__ = _House


def __getattr__(name: str) -> Any:
    """A public name, from the module that it is in."""
    if name not in _HOMES:
        raise AttributeError(f"module 'opfuzz' has no attribute '{name}'")
    return getattr(import_module(f"opfuzz.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
