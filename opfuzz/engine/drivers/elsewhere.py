"""A finding's call made again with another Python, by its reproducer: is the fault there with those versions?"""

from __future__ import annotations

import ast
import json
import shutil
import signal
import sys
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from importlib import metadata
from pathlib import Path
from tempfile import TemporaryDirectory

from packaging.utils import canonicalize_name

from opfuzz.core.errors import OpfuzzError
from opfuzz.core.files import plain_file
from opfuzz.core.retrial import ABSENT, THERE, UNTOLD, Retrial
from opfuzz.engine.process import Exit, finish
from opfuzz.engine.triage.replay import ATTEMPTS
from opfuzz.store.bundle import FINDING, INPUTS, NEXT, REPRODUCER
from opfuzz.store.bundle.files import LIMITS, damaged, document

SECONDS = 300.0  # that a reproducer may take: one of a hang makes a thousand calls
LOOK_SECONDS = 60.0  # that a Python may take to say what it has
PROGRAM_LIMIT = 64 * 2**20  # bytes

# What a Python says of itself: its version, and those of the packages that are named and there.
_VERSIONS = """
import json, sys
from importlib import metadata
found = {}
for name in sys.argv[1:]:
    try:
        found[name] = metadata.version(name)
    except metadata.PackageNotFoundError:
        pass
print(json.dumps([list(sys.version_info[:2]), found]))
"""


def make_again(place: Path, python: Path, seconds: float = SECONDS, also: Sequence[str] = ()) -> Retrial:
    """Run the reproducer of the finding in the folder `place` with another Python, in a copy of that folder.

    It sees the packages of that Python alone: neither PYTHONPATH nor the user's own. `also` are packages whose versions
    are told besides those that it imports. Raises OpfuzzError if the finding has no reproducer, or `python` is none.
    """
    program = reproducer_of(place)
    python = _located(python)
    _, versions = _look(python, {*packages_of(program), *also})
    finding = document(place, FINDING)
    attempts = ATTEMPTS if finding.get("verdict") == "unstable" else 1
    with TemporaryDirectory(prefix="opfuzz-") as name:
        folder = Path(name)
        (folder / REPRODUCER).write_bytes(program)
        with plain_file.opened(place / INPUTS, LIMITS[INPUTS], partial(damaged, place, INPUTS)) as (file, size):
            (folder / INPUTS).write_bytes(file.read(size))
        for _ in range(attempts):
            ended = finish([python, "-I", REPRODUCER], seconds, folder)
            answer, words = _judged(ended, finding, program, python, seconds)
            if answer != ABSENT:
                break
    return Retrial(answer, words, versions)


def reproducer_of(place: Path) -> bytes:
    """The text of a finding's reproducer. Raises OpfuzzError if it has none."""
    is_recorded = (place / NEXT).exists()
    why = f": a program recorded this output itself, and {NEXT} says how to go on" if is_recorded else ""
    complain = partial(_unusable, place / REPRODUCER)
    with plain_file.opened(place / REPRODUCER, PROGRAM_LIMIT, complain, f"missing{why}") as (file, size):
        return file.read(size)


def _unusable(path: Path, what: str) -> OpfuzzError:
    return OpfuzzError(f"{path}: {what}")


def packages_of(program: bytes) -> tuple[str, ...]:
    """The packages that a program imports, by the names under which they are installed, in their order.

    Raises OpfuzzError if it is no Python.
    """
    return tuple(sorted({_package(module) for module in _modules(program)}))


def _modules(program: bytes) -> tuple[str, ...]:
    """The modules that a program imports besides those of Python itself, with dots."""
    try:
        nodes = list(ast.walk(ast.parse(program)))
    except (SyntaxError, ValueError) as error:
        raise OpfuzzError(f"{REPRODUCER}: no Python: {error}") from None
    found = [alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names]
    found += [node.module for node in nodes if isinstance(node, ast.ImportFrom) and node.module and not node.level]
    return tuple(dict.fromkeys(name for name in found if name.partition(".")[0] not in sys.stdlib_module_names))


def _package(module: str) -> str:
    """The package that a module comes from; one that is not installed here may have the module's name."""
    top = module.partition(".")[0]
    try:
        return canonicalize_name(metadata.distribution(top).name)
    except metadata.PackageNotFoundError:
        return canonicalize_name((metadata.packages_distributions().get(top) or [top])[0])


def versions_there(python: Path, packages: Iterable[str]) -> dict[str, str]:
    """The versions that another Python has of those of these packages that it has.

    Raises OpfuzzError if `python` is no Python.
    """
    return _look(_located(python), packages)[1]


@dataclass(frozen=True, slots=True)
class Interpreter:
    """Another Python than the one that runs opfuzz."""

    path: Path  # absolute
    version: tuple[int, int]


def interpreter(python: Path) -> Interpreter:
    """The Python at a path, or of a name on the PATH. Raises OpfuzzError if it is none."""
    path = _located(python)
    return Interpreter(path, _look(path, ())[0])


def _located(python: Path) -> Path:
    """Where a program is, whatever folder one is in; a link is left as it is, as it tells an environment."""
    return Path(shutil.which(python) or python).absolute()


def _look(python: Path, packages: Iterable[str]) -> tuple[tuple[int, int], dict[str, str]]:
    """The version of a Python, and those of packages that it has."""
    if python.is_dir():
        within = python / "bin" / "python"
        remedy = f"; did you mean {within}?" if within.exists() else "; give the path of a Python"
        raise OpfuzzError(f"{python}: a folder{remedy}")
    try:
        ended = finish([python, "-I", "-c", _VERSIONS, *packages], LOOK_SECONDS)
    except OSError as error:
        raise OpfuzzError(f"{python}: {error.strerror}; give the path of a Python, such as .venv/bin/python") from None
    with suppress(ValueError, TypeError):
        (major, minor), versions = json.loads(ended.out)
        return (major, minor), dict(versions)
    said = ended.last_words or "it says nothing"
    raise OpfuzzError(f"{python}: no Python of version 3.8 or later: {said}")


def _judged(
    ended: Exit, finding: Mapping[str, object], program: bytes, python: Path, seconds: float
) -> tuple[str, str]:
    """Whether the fault is there, as a reproducer ended, and its words."""
    words = "; ".join(" ".join(line.split()) for line in ended.out.splitlines() if line.strip())[:400]
    if ended.code is None:
        return UNTOLD, f"no end after {seconds:g} s"
    if ended.code < 0:
        return _dead(ended, finding, program, python)
    if ended.code == 0:
        return ABSENT, words
    # Python itself exits with 1 where it cannot read the file, and then the file has said nothing.
    if ended.code == 1 and (words or (finding.get("verdict") == "timeout" and "Timeout (" in ended.err)):
        return THERE, words or "a call did not return"
    return UNTOLD, (words.removeprefix("cannot tell: ") or ended.last_words or f"exit status {ended.code}")


def _dead(ended: Exit, finding: Mapping[str, object], program: bytes, python: Path) -> tuple[str, str]:
    """A process that died shows a fault of that kind, unless the import of the framework dies as well."""
    assert ended.code is not None
    name = signal.Signals(-ended.code).name if -ended.code in set(signal.Signals) else f"signal {-ended.code}"
    cause = finding.get("cause")
    if not (isinstance(cause, dict) and cause.get("kind") == "dies") or name == "SIGKILL":
        return UNTOLD, f"it died of {name}"
    imports = "; ".join(f"import {module}" for module in _modules(program))
    if finish([python, "-I", "-c", imports], LOOK_SECONDS).code != 0:
        return UNTOLD, f"it died of {name}, and what it imports cannot be imported alone"
    return THERE, f"it died of {name}"
