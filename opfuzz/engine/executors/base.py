"""The contract of every executor: batches go in, one result an item comes out, whatever an item does to its process."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

_listener: Callable[[str], None] | None = None


@dataclass(frozen=True, slots=True)
class Casualty:
    """Stands in the results for an item that gave none."""

    kind: str  # crash, timeout, out-of-memory; internal: the work itself raised, which no subject can make it do
    message: str
    label: str = ""  # the last thing that the item noted
    raised: str = ""  # class of the exception that ended the item; "": its process ended


class Executor(ABC):
    """Where batches of work are done; a context manager. `batch`: items that one holds at most."""

    batch: int

    @abstractmethod
    def run(
        self,
        batches: Iterable[Sequence[Any]],
        work: Callable[[Any], Any],
        *,
        jobs: int,
        timeout: float,
        memory: int | None,
        preload: Sequence[str],
        initialise: Callable[[], None],
        needs: Callable[[Any], frozenset[str]] = lambda item: frozenset(),
    ) -> Generator[tuple[int, list[Any]], None, None]:
        """Number and results of each batch, in the order in which they end; a Casualty for an item that gave none.

        `batches` may have nothing for a while, and more when results have come. `jobs` processes work at a time, on
        one machine; `timeout` is in seconds an item, `memory` in bytes a process; `preload` names modules to import
        first; `needs` says what a machine must have for an item. All processes are gone when the iterator is closed.
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
