"""The subjects of a task, as plain data that travels with it: nothing of a framework is imported to send it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from opfuzz.backends import Backend, Subject, discover
from opfuzz.engine.executors.task import Answer, Item, State, Task
from opfuzz.engine.plan import case_seconds, needs_of


@dataclass(frozen=True, slots=True)
class Roster:
    """Subjects as they are written, and what it takes to call them."""

    subjects: tuple[str, ...]
    plugins: tuple[Path, ...]
    modules: tuple[str, ...]  # to import before workers fork, who alone use them: forking after use hangs
    environment: Mapping[str, str]  # of workers
    seconds: float  # after which a call hangs
    needed: Mapping[tuple[str, str], frozenset[str]]  # of a machine, by backend and device

    @classmethod
    def of(
        cls,
        subjects: Iterable[str],
        plugins: Sequence[Path],
        backends: Mapping[str, Backend],
        has_gradients: bool = False,
    ) -> Roster:
        """Subjects of the backends that there are with these plugins, of which gradients may be asked for."""
        subjects = tuple(subjects)
        asked = [backends[Subject.parse(text).backend] for text in subjects]
        further = (backend.gradient_modules if has_gradients else () for backend in asked)
        modules = (module for names in (*(backend.modules for backend in asked), *further) for module in names)
        environment = {name: word for backend in asked for name, word in backend.environment.items()}
        needed = {_place(text): needs_of([text], backends) for text in subjects}
        seconds = case_seconds(subjects, any(backend.compiles for backend in asked))
        return cls(subjects, tuple(plugins), tuple(dict.fromkeys(modules)), environment, seconds, needed)

    def needs(self, subjects: Iterable[str]) -> frozenset[str]:
        """What a machine must have so that some of the subjects, or implementations of theirs, can be tried there."""
        return frozenset().union(*(self.needed[_place(text)] for text in subjects))

    def load(self) -> Mapping[str, Backend]:
        """All backends in a worker, those of its subjects with one thread: the workers share the cores."""
        backends = discover(self.plugins)
        for text in self.subjects:
            backends[Subject.parse(text).backend].limit_threads(1)
        return backends


@dataclass(frozen=True, slots=True)
class RosterTask(Task[State, Item, Answer]):
    """Work that calls subjects: what tasks that carry a roster have in common."""

    roster: Roster

    @property
    def modules(self) -> tuple[str, ...]:
        """See Task."""
        return self.roster.modules

    @property
    def environment(self) -> Mapping[str, str]:
        """See Task."""
        return self.roster.environment


@dataclass(frozen=True, slots=True)
class SubjectTask(RosterTask[Mapping[str, Backend], Item, Answer]):
    """Work on subjects of the roster, one an item; the state is all backends by name."""

    def set_up(self) -> Mapping[str, Backend]:
        """See Task."""
        return self.roster.load()


def _place(text: str) -> tuple[str, str]:
    subject = Subject.parse(text)
    return subject.backend, subject.device
