"""Work in this process: for tests, debugging and single cases. What kills an item kills the run."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TypeVar

from opfuzz.engine.executors.base import Casualty

Item = TypeVar("Item")
Result = TypeVar("Result")


def run(
    batches: Iterable[Sequence[Item]], work: Callable[[Item], Result], *, initialise: Callable[[], None] | None = None
) -> Iterator[tuple[int, list[Result | Casualty]]]:
    """Number and results of each batch, in order. What `work` raises goes through: it is a bug."""
    if initialise is not None:
        initialise()
    for number, batch in enumerate(batches):
        yield number, [work(item) for item in batch]
