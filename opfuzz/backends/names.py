"""What a framework publishes, remembered from when it was last imported: to check a spec takes no framework."""

from __future__ import annotations

import inspect
import json
import sys
from contextlib import suppress
from importlib import metadata
from pathlib import Path
from typing import Any

from opfuzz.backends.base import Backend, Functions
from opfuzz.core.errors import DiskError
from opfuzz.core.files.cache import cache_folder
from opfuzz.core.files.whole_file import write_text

FOLDER = "published"  # of the cache


class NamedFunction:
    """Stands for a function of a framework that is not imported: of a method it is known what it takes."""

    def __init__(self, parameters: list[str] | None) -> None:
        if parameters is not None:
            by_name = [inspect.Parameter(name, inspect.Parameter.POSITIONAL_OR_KEYWORD) for name in parameters]
            self.__signature__ = inspect.Signature(by_name)

    def __call__(self, *args: Any, **named: Any) -> Any:
        """Raises AssertionError: specs are checked with it, and nothing is computed."""
        raise AssertionError("the framework of this function is not imported")


def callable_names(backend: Backend) -> Functions | None:
    """All that a spec may call, by name; None if the framework cannot be used here.

    Where a backend names its distributions, the framework is imported once for each of their versions.
    """
    versions = _versions(backend)
    remembered = _read(backend, versions) if versions else None
    if remembered is not None:
        return remembered
    if backend.absent() is not None:
        return None
    functions = backend.functions()
    if versions:
        _write(backend, versions, functions)
    return functions


def _versions(backend: Backend) -> list[str]:
    """What the names depend on; nothing at all where that is not known."""
    source = sys.modules[type(backend).__module__].__file__
    if not backend.distributions or backend.replaced or backend.plugin or source is None:
        return []
    try:
        found = [metadata.version(name) for name in backend.distributions]
        state = Path(source).stat()
    except (metadata.PackageNotFoundError, OSError):
        return []
    return [*found, sys.version, f"{source} {state.st_size} {state.st_mtime_ns}"]


def _place(backend: Backend) -> Path:
    return cache_folder(FOLDER) / f"{backend.name}.json"


def _read(backend: Backend, versions: list[str]) -> Functions | None:
    with suppress(OSError, RuntimeError, ValueError, KeyError, TypeError, AttributeError):  # no home, no file of ours
        found = json.loads(_place(backend).read_bytes())
        if found["versions"] == versions:
            return {str(name): NamedFunction(parameters) for name, parameters in found["functions"].items()}
    return None


def _write(backend: Backend, versions: list[str], functions: Functions) -> None:
    methods = {name: [*inspect.signature(functions[name]).parameters] for name in functions if name.startswith(".")}
    with suppress(OSError, RuntimeError, DiskError):  # a folder that cannot be written costs time
        place = _place(backend)
        place.parent.mkdir(parents=True, exist_ok=True)
        write_text(place, json.dumps({"versions": versions, "functions": {**dict.fromkeys(functions), **methods}}))
