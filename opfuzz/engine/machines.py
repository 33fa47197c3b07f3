"""The machines that a run is on: which subjects each has, and the versions that its figures depend on."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from opfuzz.backends import Backend, Subject, discover, resolve
from opfuzz.core.errors import OpfuzzError
from opfuzz.engine.executors import Executor

LIBRARIES = ("opfuzz", "numpy", "scipy", "ml_dtypes", "python-flint")
DEFAULT_BACKENDS = ("torch", "mlx")
# By the word that Linux has for it, the widest first.
VECTOR_UNITS = {"avx512f": "AVX-512", "avx2": "AVX2", "avx": "AVX", "sve": "SVE", "asimd": "NEON"}


@dataclass(frozen=True, slots=True)
class Machines:
    """All machines of an executor taken together."""

    versions: Mapping[str, str]
    devices: tuple[str, ...]  # such as torch:cpu, of any machine
    absent: Mapping[str, str]  # backends and devices that no machine has, and why

    def subjects(self, texts: Sequence[str], backends: Mapping[str, Backend]) -> tuple[str, ...]:
        """Subjects that were asked for, each once; if none were, all of torch, MLX and the plugins that there is.

        Raises OpfuzzError for one that no machine has.
        """
        if not texts:
            asked = {*DEFAULT_BACKENDS, *(name for name, backend in backends.items() if backend.plugin is not None)}
            found = tuple(each for each in self.devices if Subject.parse(each).backend in asked)
            if found:
                return found
            reasons = "; ".join(str(self.absent.get(name)) for name in DEFAULT_BACKENDS)
            raise OpfuzzError(f"neither torch nor MLX is here ({reasons}); choose others with --subjects")
        return tuple(dict.fromkeys(str(self._subject(text, backends)) for text in texts))

    def _subject(self, text: str, backends: Mapping[str, Backend]) -> Subject:
        subject = Subject.parse(text)
        is_there = f"{subject.backend}:{subject.device}" in self.devices
        if is_there and subject.mode in backends[subject.backend].modes:
            return subject
        return resolve(text, backends)[0]  # which says what is wrong with it


def survey(executor: Executor, plugins: Sequence[Path], subjects: Sequence[str] = ()) -> Machines:
    """What the machines of an executor have of the backends of these subjects; of all, where none are named.

    To look at a framework imports it, which takes seconds. Raises OpfuzzError if two machines have other versions of
    the same: a figure would be of both.
    """
    wanted = frozenset(Subject.parse(text).backend for text in subjects)
    # What is sent to a machine is of this opfuzz.
    told = {"opfuzz": (metadata.version("opfuzz"), "this machine")}
    devices: dict[str, None] = {}
    absent: list[dict[str, str]] = []
    for machine, (known, here, missing) in executor.everywhere(look, tuple(plugins), wanted).items():
        for name, version in known.items():
            other, at = told.setdefault(name, (version, machine))
            if other != version:
                raise OpfuzzError(f"{machine} has {name} {version}, {at} has {other}; install the same on both")
        devices |= dict.fromkeys(here)
        absent.append(missing)
    lacking = {name: why for each in absent for name, why in each.items() if all(name in other for other in absent)}
    return Machines({name: version for name, (version, _) in told.items()}, tuple(devices), lacking)


def look(plugins: tuple[Path, ...], wanted: frozenset[str]) -> tuple[dict[str, str], tuple[str, ...], dict[str, str]]:
    """Versions, devices, and what is absent, on the machine where this is called; of the wanted backends, if any."""
    found = here({name: backend for name, backend in discover(plugins).items() if not wanted or name in wanted})
    return dict(found.versions), found.devices, dict(found.absent)


def here(backends: Mapping[str, Backend]) -> Machines:
    """This machine alone."""
    present = [backend for backend in backends.values() if not backend.absent()]
    devices = [f"{b.name}:{device}" for b in present for device, why in b.devices().items() if why is None]
    return Machines(versions(backends), tuple(devices), absences(backends))


def absences(backends: Mapping[str, Backend]) -> dict[str, str]:
    """Backends and devices that are not here, and why."""
    missing = {}
    for name, backend in backends.items():
        if reason := backend.absent():
            missing[name] = reason
            continue
        missing |= {f"{name}:{device}": why for device, why in backend.devices().items() if why}
    return missing


def versions(backends: Mapping[str, Backend]) -> dict[str, str]:
    """Versions of the backends that are here, and of what judges them."""
    found = {name: backend.version() for name, backend in backends.items() if not backend.absent()}
    for library in LIBRARIES:
        try:
            found[library] = metadata.version(library)
        except metadata.PackageNotFoundError:  # run from a source tree that is not installed
            found[library] = "not installed"
    return found


def machine() -> dict[str, str]:
    """What the figures depend on besides versions."""
    return {
        "python": platform.python_version(),
        "system": platform.platform(),
        "processor": _processor(),
        "cores": str(os.cpu_count()),
    }


def vector_unit() -> str:
    """The widest registers that kernels may choose their code by: `AVX-512`, `AVX2`, `NEON`, or the architecture."""
    told = _told_of_processor("flags") or _told_of_processor("Features")
    for flag, name in VECTOR_UNITS.items():
        if flag in told.split():
            return name
    return "NEON" if platform.machine() in ("arm64", "aarch64") else platform.machine()


def _processor() -> str:
    return _told_of_processor("model name") or platform.processor() or platform.machine()


def _told_of_processor(name: str) -> str:
    """What Linux says of the first core under a name; empty where it says nothing."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return ""
    return next((line.split(":", 1)[1].strip() for line in lines if line.split(":")[0].strip() == name), "")
