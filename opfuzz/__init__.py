"""Differential fuzzer for operator-level precision."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from opfuzz.case import Case
    from opfuzz.errors import OpfuzzError, SpecError
    from opfuzz.floats import FORMATS, Format, ulp
    from opfuzz.spec import OpSpec

__all__ = ["FORMATS", "Case", "Format", "OpSpec", "OpfuzzError", "SpecError", "ulp"]

# Imported when they are used: pytest imports this package for its plugin in every project of an environment.
_HOMES = {
    "FORMATS": "floats",
    "Case": "case",
    "Format": "floats",
    "OpSpec": "spec",
    "OpfuzzError": "errors",
    "SpecError": "errors",
    "ulp": "floats",
}


def __getattr__(name: str) -> Any:
    """A public name, from the module that it is in."""
    if name not in _HOMES:
        raise AttributeError(f"module 'opfuzz' has no attribute '{name}'")
    return getattr(import_module(f"opfuzz.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
