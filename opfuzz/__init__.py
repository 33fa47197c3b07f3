"""Differential fuzzer for operator-level precision."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from opfuzz.core.case import Case
    from opfuzz.core.errors import OpfuzzError, SpecError
    from opfuzz.core.floats import FORMATS, Format, ulp
    from opfuzz.spec import OpSpec

__all__ = ["FORMATS", "Case", "Format", "OpSpec", "OpfuzzError", "SpecError", "ulp"]

# Imported when they are used: pytest imports this package for its plugin in every project of an environment.
_HOMES = {
    "FORMATS": "core.floats",
    "Case": "core.case",
    "Format": "core.floats",
    "OpSpec": "spec",
    "OpfuzzError": "core.errors",
    "SpecError": "core.errors",
    "ulp": "core.floats",
}


def __getattr__(name: str) -> Any:
    """A public name, from the module that it is in."""
    if name not in _HOMES:
        raise AttributeError(f"module 'opfuzz' has no attribute '{name}'")
    return getattr(import_module(f"opfuzz.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
