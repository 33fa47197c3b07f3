"""Which backends there are: those of opfuzz, those of installed packages, and those of plugin files."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from importlib import metadata
from pathlib import Path
from types import MappingProxyType

from opfuzz.backends.base import Backend, Functions
from opfuzz.backends.coreml import CoreMl
from opfuzz.backends.jax import Jax
from opfuzz.backends.mlx import Mlx
from opfuzz.backends.numpy import Numpy
from opfuzz.backends.onnxruntime import OnnxRuntime
from opfuzz.backends.openvino import OpenVino
from opfuzz.backends.torch import Torch
from opfuzz.core.errors import OpfuzzError, did_you_mean
from opfuzz.core.files.user_module import load

BUILT_IN: tuple[type[Backend], ...] = (Torch, Mlx, Numpy, Jax, OnnxRuntime, OpenVino, CoreMl)
GROUP = "opfuzz.backends"


def discover(plugins: Sequence[Path] = ()) -> Mapping[str, Backend]:
    """Every backend by its name, present on this machine or not. Imports no framework unless a plugin does.

    Raises OpfuzzError if a plugin is missing, fails, holds no list BACKENDS, or if two backends have one name.
    """
    found, mistakes = survey(plugins)
    if mistakes:
        raise mistakes[0]
    return found


def survey(plugins: Sequence[Path] = ()) -> tuple[Mapping[str, Backend], tuple[OpfuzzError, ...]]:
    """What `discover` finds with what fails left out, and why each of those fails."""
    found: dict[str, Backend] = {}
    mistakes: list[OpfuzzError] = []
    for origin, offer in _offers(plugins):
        try:
            for backend in offer():
                _add(found, backend, origin)
        except OpfuzzError as error:
            mistakes.append(error)
    return MappingProxyType(found), tuple(mistakes)


def _offers(plugins: Sequence[Path]) -> Iterator[tuple[str, Callable[[], Iterable[Backend]]]]:
    """Where backends come from, and what each place has."""
    for kind in BUILT_IN:
        yield "opfuzz", partial(_made, kind)
    for entry in metadata.entry_points(group=GROUP):
        yield f"entry point '{entry.name}'", partial(_entry, entry)
    for path in plugins:
        yield str(path), partial(_backends_of, path)


def _made(kind: type[Backend]) -> Iterable[Backend]:
    return (kind(),)


def derive(
    parent: str | Backend,
    name: str,
    replace: Functions = MappingProxyType({}),
    publish: Functions = MappingProxyType({}),
) -> Backend:
    """Backend of the parent's dialect and devices in which some functions, by their dotted name, are replaced.

    Those of `publish` are functions of one's own that specs may call beside the framework's.
    Raises OpfuzzError if there is no such parent, or the parent publishes no function that is replaced, or one that is
    to be published beside it.
    """
    if isinstance(parent, str):
        ours = {backend.name: backend for kind in BUILT_IN for backend in _made(kind)}
        known = ours if parent in ours else discover()  # which looks through all packages that are installed
        if parent not in known:
            raise OpfuzzError(f"{name}: derived from unknown backend '{parent}'{did_you_mean(parent, known)}")
        parent = known[parent]
    return parent.derived(name, replace, publish) if publish else parent.derived(name, replace)


def _add(found: dict[str, Backend], backend: Backend, origin: str) -> None:
    # What is built in, and cannot be used here, gives way to a backend of one's own.
    is_free = type(found.get(backend.name)) in BUILT_IN and found[backend.name].absent() is not None
    if backend.name in found and not is_free:
        raise OpfuzzError(f"{origin}: the backend name '{backend.name}' is taken; give the new one another name")
    found[backend.name] = backend


def _entry(entry: metadata.EntryPoint) -> Iterable[Backend]:
    try:
        offered = entry.load()
        backend = offered() if isinstance(offered, type) else offered
    except Exception as error:  # code of another package
        raise OpfuzzError(f"entry point '{entry.name} = {entry.value}': {type(error).__name__}: {error}") from error
    if not isinstance(backend, Backend):
        raise OpfuzzError(f"entry point '{entry.name} = {entry.value}' is a {type(backend).__name__}, not a Backend")
    # Ours are listed there as well, so that other tools find them.
    return () if type(backend) in BUILT_IN else (backend,)


def _backends_of(path: Path) -> Iterable[Backend]:
    module = load(path, "plugin")
    if not hasattr(module, "BACKENDS"):
        raise OpfuzzError(f"{path}: plugin has no list BACKENDS; write BACKENDS = [derive('torch', name=..., ...)]")
    listed = module.BACKENDS
    if not isinstance(listed, list | tuple):
        raise OpfuzzError(f"{path}: BACKENDS is a {type(listed).__name__}; it must be a list of Backend objects")
    for item in listed:
        if not isinstance(item, Backend):
            words = f"the class {item.__name__}; call it" if isinstance(item, type) else f"a {type(item).__name__}"
            raise OpfuzzError(f"{path}: BACKENDS holds {words}; it must hold Backend objects")
        item.plugin = path
    return listed
