"""What is installed, what works, what is missing and how to get it: facts of this machine, each with a remedy."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from types import MappingProxyType

import numpy as np

from opfuzz.backends import Backend, Subject, perform, survey
from opfuzz.backends.base import Array
from opfuzz.core.call import Call
from opfuzz.core.errors import OpfuzzError
from opfuzz.core.floats import FORMATS
from opfuzz.core.results import Outcome
from opfuzz.core.shipped import shipped
from opfuzz.engine.executors import LOCAL, RAISED, Casualty, drive
from opfuzz.engine.machines import machine
from opfuzz.engine.plan import vocabulary
from opfuzz.engine.roster import Roster, RosterTask
from opfuzz.report.causes import word_cause
from opfuzz.spec import load_all
from opfuzz.spec.expression.program import parse

OK, ABSENT, BROKEN = "ok", "absent", "broken"  # absent: opfuzz works without it

LIBRARIES = (
    "opfuzz", "numpy", "scipy", "numba", "ml_dtypes", "python-flint", "safetensors", "hypothesis", "pydantic", "PyYAML",
    "click", "matplotlib",
)  # fmt: skip
OPTIONAL = MappingProxyType({"pytest": "pip install pytest", "distributed": "pip install 'opfuzz[dask]'"})
COMPILERS = ("g++", "clang++")
CALL_SECONDS = 60.0  # of the first call, in which a framework may set itself up
LEAST_DISK = 2**30  # bytes free; a run with many findings takes some ten MB
VALUES = (1.5, -2.25, 0.0, 3.0)  # whose squares are exact


@dataclass(frozen=True, slots=True)
class Fact:
    """One thing that was looked at. `remedy` says what to do where the state is not `ok`."""

    topic: str
    name: str
    state: str
    words: str
    remedy: str = ""


@dataclass(frozen=True, slots=True)
class Readiness:
    """A device of a backend, or a backend that is not here."""

    subject: str
    dialect: str
    version: str
    absent: str  # why it is not here; "": it is
    formats: tuple[str, ...]
    fails: bool = False  # whether asking for it raised


def standings(backends: Mapping[str, Backend]) -> list[Readiness]:
    """What is here, with versions and formats, and why the rest is not."""
    rows: list[Readiness] = []
    for name, backend in backends.items():
        try:
            rows.extend(_standings(backend))
        except Exception as error:  # code of another package, or a framework that is installed by half
            reason = f"{name}: fails when it is asked what is here: {type(error).__name__}: {error}"
            rows.append(Readiness(name, backend.dialect, "", reason, (), fails=True))
    return rows


def _standings(backend: Backend) -> list[Readiness]:
    if reason := backend.absent():
        return [Readiness(backend.name, backend.dialect, "", reason, ())]
    return [
        Readiness(
            f"{backend.name}:{device}",
            backend.dialect,
            backend.version(),
            why or "",
            tuple(f for f in FORMATS if backend.supports(f, device)),
        )
        for device, why in backend.devices().items()
    ]


def examine(plugins: Sequence[Path], specs: Sequence[Path], reports: Path) -> list[Fact]:
    """All facts. Nothing is written but an empty file, for a moment, where `reports` would lie."""
    found, mistakes = survey(plugins)
    rows = standings(found)
    failing = {row.subject for row in rows if row.fails}
    backends = {name: backend for name, backend in found.items() if name not in failing}
    return [
        *_installed(),
        *(Fact("plugins", "plugin or entry point", BROKEN, str(error), "mend or uninstall it") for error in mistakes),
        *_subjects(rows, plugins),
        _compiler(),
        *_threads(backends),
        *_specs((shipped("specs"), *specs), backends),
        *_disk(reports),
        _terminal(),
    ]


def works(facts: Sequence[Fact]) -> bool:
    """Whether at least one subject computes."""
    return any(fact.topic == "subjects" and fact.state == OK for fact in facts)


def _installed() -> list[Fact]:
    here = machine()
    facts = [Fact("machine", name, OK, here[name]) for name in ("system", "processor", "cores", "python")]
    for library in LIBRARIES:
        version = _version(library)
        remedy = "" if version else f"pip install {library}"
        facts.append(Fact("packages", library, OK if version else BROKEN, version or "not installed", remedy))
    for library, remedy in OPTIONAL.items():
        version = _version(library)
        words = version or "not installed; needed for some jobs only"
        facts.append(Fact("packages", library, OK if version else ABSENT, words, "" if version else remedy))
    return facts


def _version(library: str) -> str:
    try:
        return metadata.version(library)
    except metadata.PackageNotFoundError:
        return ""


def _subjects(rows: Sequence[Readiness], plugins: Sequence[Path]) -> list[Fact]:
    """Every device: whether it is here, and if so whether it squares four numbers, in a process of its own."""
    wrong = square([row.subject for row in rows if not row.absent], plugins)
    facts = []
    for row in rows:
        said, _, remedy = row.absent.partition(": pip install ")
        if row.absent:
            state = BROKEN if row.fails else ABSENT
            facts.append(Fact("subjects", row.subject, state, said, remedy and f"pip install {remedy}"))
        elif reason := wrong.get(row.subject, ""):
            remedy = f"install {row.dialect} again, and try a smaller program with it alone"
            facts.append(Fact("subjects", row.subject, BROKEN, f"{row.version}, but {reason}", remedy))
        else:
            words = f"{row.version}, computes; {', '.join(row.formats)}"
            facts.append(Fact("subjects", row.subject, OK, words))
    return facts


@dataclass(frozen=True, slots=True)
class SquareTask(RosterTask[Mapping[str, Backend], str, str]):
    """What is wrong with subjects that do not square four numbers exactly; "" for one that does."""

    @property
    def timeout(self) -> float:
        """See Task."""
        return CALL_SECONDS

    def describe(self, item: str) -> str:
        """See Task."""
        return item

    def set_up(self) -> Mapping[str, Backend]:
        """See Task. A plugin that fails is told of elsewhere."""
        return survey(self.roster.plugins)[0]

    def work(self, state: Mapping[str, Backend], item: str) -> str:
        """See the class."""
        subject = Subject.parse(item)
        given = np.array(VALUES, dtype=np.float32)
        program = parse("x * x", names=["x"], functions=None)
        call = Call("float32", {}, {}, {"x": given}, {})
        made = perform(state[subject.backend], subject, program, call, {"": given.shape})
        return _wrong(made, given)


def square(subjects: Sequence[str], plugins: Sequence[Path] = ()) -> dict[str, str]:
    """What is wrong with each subject that does not square four numbers exactly.

    Raises KeyboardInterrupt if Ctrl-C or SIGTERM ended it.
    """
    wrong: dict[str, str] = {}

    def take(number: int, batch: Sequence[tuple[str, str | Casualty]]) -> None:
        for text, answer in batch:
            if reason := f"{answer.kind}: {answer.message}" if isinstance(answer, Casualty) else answer:
                wrong[text] = reason.strip().splitlines()[-1]

    roster = Roster.of(subjects, plugins, survey(plugins)[0])
    if drive(LOCAL, SquareTask(roster), ([text] for text in subjects), take, jobs=1, borne=RAISED):
        raise KeyboardInterrupt
    return wrong


def _wrong(made: Outcome, given: Array) -> str:
    if made.outputs is None:
        return f"{made.status}: {word_cause(made.cause)}"
    (output,) = made.outputs
    if output.tobytes() != (given * given).tobytes():
        return f"the squares of {given.tolist()} are {output.tolist()}"
    return ""


def _compiler() -> Fact:
    found = [path for name in COMPILERS if (path := shutil.which(name))]
    if found:
        return Fact("tools", "C++ compiler", OK, f"{found[0]}, for torch:cpu+compile and mlx:cpu+compile")
    remedy = "xcode-select --install" if sys.platform == "darwin" else "apt install g++, or your system's package of it"
    return Fact("tools", "C++ compiler", ABSENT, "none; needed for torch:cpu+compile and mlx:cpu+compile only", remedy)


def _threads(backends: Mapping[str, Backend]) -> list[Fact]:
    counts = {name: None if b.absent() else b.threads() for name, b in backends.items() if not b.replaced}
    return [
        Fact("tools", f"threads of {name}", OK, f"{count} here; 1 in the workers of a run, so that sums have one order")
        for name, count in counts.items()
        if count is not None
    ]


def _specs(folders: Sequence[Path], backends: Mapping[str, Backend]) -> list[Fact]:
    facts = []
    for folder in dict.fromkeys(folders):
        try:
            found = load_all([folder], vocabulary(backends))
        except OpfuzzError as error:
            first, *others = str(error).splitlines()
            words = f"{first} (and {len(others)} more)" if others else first
            facts.append(Fact("specs", str(folder), BROKEN, words, f"opfuzz check {folder}"))
            continue
        facts.append(Fact("specs", str(folder), OK, f"{len(found)} valid {'spec' if len(found) == 1 else 'specs'}"))
    return facts


def _disk(reports: Path) -> list[Fact]:
    place = reports.absolute()
    while not place.exists():
        place = place.parent
    remedy = "choose another folder with --out"
    try:
        with tempfile.TemporaryFile(dir=place):
            pass
    except OSError as error:
        return [Fact("reports", str(reports), BROKEN, f"cannot be written to: {error.strerror}", remedy)]
    free = shutil.disk_usage(place).free
    state, remedy = (OK, "") if free >= LEAST_DISK else (BROKEN, f"make room, or {remedy}")
    return [Fact("reports", str(reports), state, f"can be written to; {free / 2**30:.1f} GiB free", remedy)]


def _terminal() -> Fact:
    if not sys.stdout.isatty():
        return Fact("terminal", "output", OK, "a pipe or a file: no colours, lines of any length")
    columns = shutil.get_terminal_size().columns
    colour = "without colours, as NO_COLOR says" if "NO_COLOR" in os.environ else "with colours"
    return Fact("terminal", "output", OK, f"{columns} columns, {sys.stdout.encoding}, {colour}")
