"""The one loop over work in processes: whatever an item, the user or the system does, all that came before is kept."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence

from opfuzz.core.errors import OpfuzzError
from opfuzz.engine.executors.base import MISTAKE, RAISED, Casualty, Executor
from opfuzz.engine.executors.signals import heeding_sigterm, is_terminated
from opfuzz.engine.executors.task import Answer, Item, State, Task


def drive(
    executor: Executor,
    task: Task[State, Item, Answer],
    batches: Iterable[Sequence[Item]],
    take: Callable[[int, Sequence[tuple[Item, Answer | Casualty]]], None],
    *,
    jobs: int,
    borne: Collection[str] = (),
) -> bool:
    """Do all batches; whether Ctrl-C or SIGTERM ended that early.

    `take` is handed each batch when it ends: its number, and its items with what came of them. After SIGTERM the rest
    of a command begins nothing any more: who sent it does not wait.
    Raises RuntimeError for an error of opfuzz itself and OpfuzzError for a mistake of the user's, unless casualties of
    that kind are `borne`: then they are handed over like others.
    """
    if is_terminated():
        return True
    handed = _Handed(batches)
    with heeding_sigterm():
        running = executor.run(task, handed, jobs)
        try:
            for number, answers in running:
                pairs = list(zip(handed.take_back(number), answers, strict=True))
                for item, answer in pairs:
                    if isinstance(answer, Casualty) and answer.kind in RAISED and answer.kind not in borne:
                        raise _error(task, item, answer)
                take(number, pairs)
        except KeyboardInterrupt:
            return True
        finally:
            running.close()
    return False


def _error(task: Task[State, Item, Answer], item: Item, casualty: Casualty) -> Exception:
    words = task.describe(item)
    if casualty.kind == MISTAKE:
        return OpfuzzError(f"{casualty.message} ({words})" if words else casualty.message)
    return RuntimeError(f"{words}: {casualty.message}" if words else casualty.message)


class _Handed(Iterator[Sequence[Item]]):
    """Batches, each remembered until it is back; it may have nothing for a while."""

    def __init__(self, batches: Iterable[Sequence[Item]]) -> None:
        self._batches = iter(batches)
        self._out: dict[int, Sequence[Item]] = {}
        self._count = 0

    def __next__(self) -> Sequence[Item]:
        batch = next(self._batches)
        self._out[self._count] = batch
        self._count += 1
        return batch

    def take_back(self, number: int) -> Sequence[Item]:
        return self._out.pop(number)
