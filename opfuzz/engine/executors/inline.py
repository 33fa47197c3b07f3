"""Work in this process: for tests, debugging and single cases. What kills an item kills the run."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Sequence

from opfuzz.core.errors import OpfuzzError
from opfuzz.engine.executors.base import MISTAKE, Casualty, Executor
from opfuzz.engine.executors.task import Answer, Item, State, Task, perform


class Inline(Executor):
    """One item after the other, in order. What the work raises goes through, if it is no OpfuzzError: it is a bug."""

    batch = 16

    def run(
        self, task: Task[State, Item, Answer], batches: Iterable[Sequence[Item]], jobs: int = 1
    ) -> Generator[tuple[int, list[Answer | Casualty]], None, None]:
        """See Executor. There is one process, whatever `jobs` says."""
        state = task.set_up()

        def answer(item: Item) -> Answer | Casualty:
            try:
                return perform(task, state, item)
            except OpfuzzError as error:
                return Casualty(MISTAKE, str(error), raised=type(error).__name__)

        for number, batch in enumerate(batches):
            yield number, [answer(item) for item in batch]
