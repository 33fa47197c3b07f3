"""The contract of every executor: batches go in, one answer an item comes out, whatever an item does to its process."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

from opfuzz.engine.executors.task import Answer, Item, State, Task

INTERNAL, MISTAKE = "internal", "mistake"  # kinds of casualties that no subject can cause
RAISED = frozenset({INTERNAL, MISTAKE})

_listener: Callable[[str], None] | None = None


@dataclass(frozen=True, slots=True)
class Casualty:
    """Stands in place of an answer for an item that has none.

    `kind` is crash, timeout or out-of-memory; internal where the work raised what it should not; mistake where that was
    an OpfuzzError, whose text is the message.
    """

    kind: str
    message: str
    label: str = ""  # the last thing that the item noted
    raised: str = ""  # class of the exception that ended the item; "": its process ended


class Executor(ABC):
    """Where batches of work are done; a context manager. `batch`: items that one holds at most."""

    batch: int

    @property
    def width(self) -> int:
        """Processes that work at a time, as far as they are more than this machine's."""
        return 0

    @abstractmethod
    def run(
        self, task: Task[State, Item, Answer], batches: Iterable[Sequence[Item]], jobs: int
    ) -> Generator[tuple[int, list[Answer | Casualty]], None, None]:
        """Number and answers of each batch, in the order in which they end; a Casualty for an item that gave none.

        `batches` may have nothing for a while, and more when answers have come. `jobs` processes work at a time, on
        one machine. All processes are gone when the iterator is closed.
        """

    def crews(self, needs: Mapping[str, frozenset[str]]) -> tuple[tuple[str, ...], ...]:
        """Subjects, with what each needs, as they are tried together; an empty one is all of them."""
        return ((),)

    def everywhere(self, function: Callable[..., Any], *args: Any) -> dict[str, Any]:
        """What a function returns on each machine, by its name; '' is this one."""
        return {"": function(*args)}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:  # noqa: B027 - most hold nothing
        """Let go of what it holds."""


def note(label: str) -> None:
    """Tell the executor what the current item is about to do; a Casualty carries the last label."""
    if _listener is not None:
        _listener(label)


def listen(listener: Callable[[str], None] | None) -> None:
    """Hand every label noted in this process to `listener`; None stops."""
    global _listener
    _listener = listener
