"""Environments with one version of a package, made with the user's own installer and kept in the cache."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import re
import shutil
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from packaging.version import InvalidVersion, Version

from opfuzz.core.errors import DiskError, OpfuzzError
from opfuzz.core.files.cache import cache_folder
from opfuzz.core.files.whole_file import write_text
from opfuzz.engine.drivers.elsewhere import Interpreter
from opfuzz.engine.process import Exit, finish

FOLDER = "environments"
WHOLE = "whole.json"  # in an environment, once all is in it: a kill leaves it without
# What installers say where they reach nobody; another version would fare no better.
UNREACHABLE = re.compile(
    r"establish a new connection|connection refused|connection broken|name resolution|network is unreachable"
    r"|timed out|proxyerror|failed to fetch|error sending request|dns error",
    re.IGNORECASE,
)


class NotInstalledError(OpfuzzError):
    """The installer did not make an environment; `str()` is what it said."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """An environment: a Python, the package and its version, and what else has to be there.

    Each of `beside` is a list of requirements; the first that the installer can satisfy is taken.
    """

    python: Interpreter
    package: str
    version: str
    requirement: str  # of the package, without its version: it may name extras
    beside: tuple[tuple[str, ...], ...]

    @property
    def place(self) -> Path:
        """Its folder in the cache."""
        words = json.dumps([str(self.python.path), self.requirement, self.beside])
        name = re.sub(r"[^\w.+-]", "_", f"{self.package}-{self.version}-py{''.join(map(str, self.python.version))}")
        return cache_folder(FOLDER) / f"{name}-{hashlib.blake2b(words.encode(), digest_size=4).hexdigest()}"


@dataclass(frozen=True, slots=True)
class Installer:
    """uv, where it is on the PATH, or else pip of the Python that runs opfuzz. Packages are never built, only taken."""

    uv: str | None
    pip: tuple[str, ...]  # a command; () where there is none

    def versions(self, package: str, python: Interpreter, with_previews: bool) -> list[str]:
        """The versions that there are for a Python. Raises OpfuzzError if the installer names none."""
        path = str(python.path)
        pip = [*self.pip, "--python", path] if self.pip else [str(self.uv), "tool", "run", "--python", path, "pip"]
        done = _installed([*pip, "index", "versions", package, *(["--pre"] if with_previews else [])])
        listed = re.search(r"^Available versions: (.*)$", done.out, re.MULTILINE)
        if listed is None:
            check_reached(done)
            raise OpfuzzError(
                f"the installer knows no versions of {package}: {done.last_words}; name them with --versions"
            )
        return [word for word in re.split(r"[,\s]+", listed[1]) if _is_version(word)]

    def fill(self, place: Path, python: Interpreter, requirements: Sequence[str], lock: int) -> Exit:
        """Make an environment with these packages at `place`, where nothing is; what makes it holds the lock."""
        inside = str(place / "bin" / "python")
        if self.uv is not None:
            made = _installed([self.uv, "venv", "--quiet", "--python", str(python.path), str(place)], lock)
            install = [self.uv, "pip", "install", "--quiet", "--python", inside]
        else:
            made = _installed([str(python.path), "-m", "venv", "--without-pip", str(place)], lock)
            install = [*self.pip, "--python", inside, "install", "--quiet", "--no-compile"]
        return made if made.code else _installed([*install, "--only-binary", ":all:", *requirements], lock)


def _installed(command: Sequence[str], *locks: int) -> Exit:
    """What an installer comes to. To it, what lies in PYTHONPATH would be installed already."""
    environment = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "PYTHONHOME")}
    return finish(command, environment=environment, held=locks)


def _is_version(text: str) -> bool:
    try:
        Version(text)
    except InvalidVersion:
        return False
    return True


def find_installer() -> Installer:
    """The user's own. Raises OpfuzzError if there is none."""
    has_pip = find_spec("pip") is not None
    pip = (sys.executable, "-m", "pip", "--disable-pip-version-check") if has_pip else ()
    found = Installer(shutil.which("uv"), pip)
    if found.uv is None and not pip:
        raise OpfuzzError(
            f"no installer: put uv on the PATH, or give this Python its pip: {sys.executable} -m ensurepip"
        )
    return found


def prepare(wanted: Wanted, installer: Installer) -> Path:
    """The Python of an environment, made unless it is there.

    Raises NotInstalledError if the installer cannot make it, OpfuzzError if it reaches nobody or the disk refuses.
    """
    place = wanted.place
    python = place / "bin" / "python"
    with _alone(place) as lock:
        if not ((place / WHOLE).is_file() and python.exists()):  # a link to a Python that is gone
            _make(wanted, installer, lock)
    return python


def _make(wanted: Wanted, installer: Installer, lock: int) -> None:
    place = wanted.place
    for beside in wanted.beside:
        shutil.rmtree(place, ignore_errors=True)
        requirements = [f"{wanted.requirement}=={wanted.version}", *beside]
        done = installer.fill(place, wanted.python, requirements, lock)
        if done.code == 0:
            write_text(place / WHOLE, json.dumps(requirements))
            return
        check_reached(done)
    shutil.rmtree(place, ignore_errors=True)
    raise NotInstalledError(re.sub("^error: ", "", done.last_words, flags=re.IGNORECASE))


def check_reached(done: Exit) -> None:
    """Raises OpfuzzError if an installer failed because it reached nobody."""
    for line in done.err.splitlines():
        if UNREACHABLE.search(line):
            words = " ".join(line.split())[:300]
            raise OpfuzzError(f"the installer reaches no index of packages: {words}; try again with a network")


@contextmanager
def _alone(place: Path) -> Iterator[int]:
    """Meanwhile no other opfuzz makes this environment, nor does an installer that outlived one: the lock's number."""
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        lock = place.with_name(f".{place.name}.lock").open("w")
    except OSError as error:
        raise DiskError(f"{place}: cannot be written: {error.strerror}") from error
    with lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield lock.fileno()
