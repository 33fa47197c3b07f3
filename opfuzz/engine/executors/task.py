"""The contract of work in processes: what each sets up once, and what it then makes of one item after another."""

from __future__ import annotations

import warnings
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Generic, TypeVar

import numpy as np

State = TypeVar("State")
Item = TypeVar("Item")
Answer = TypeVar("Answer")

WORKER_BYTES = 4 * 2**30


class Task(ABC, Generic[State, Item, Answer]):
    """Work on items, any number of them in each of several processes; subclasses are frozen dataclasses.

    A task travels to the processes, items follow, and answers come back, so all three can be pickled. The state stays
    in its process.
    """

    __slots__ = ()

    @property
    @abstractmethod
    def timeout(self) -> float:
        """Seconds after which an item hangs."""

    @property
    def call_timeout(self) -> float:
        """Seconds after which one call of a subject hangs, of the many that an item may make."""
        return self.timeout

    @property
    def memory(self) -> int | None:
        """Bytes that a process may take; None: any number."""
        return WORKER_BYTES

    @property
    def modules(self) -> Sequence[str]:
        """What to import, besides the task's own module, before workers fork, who alone use it."""
        return ()

    @property
    def environment(self) -> Mapping[str, str]:
        """What workers find in their environment, where the user has set nothing else."""
        return {}

    def needs(self, item: Item) -> frozenset[str]:
        """What a machine must have for an item."""
        return frozenset()

    @abstractmethod
    def describe(self, item: Item) -> str:
        """An item in the words of an error; "" says nothing of it."""

    @abstractmethod
    def set_up(self) -> State:
        """What a process makes once, before its first item."""

    @abstractmethod
    def work(self, state: State, item: Item) -> Answer:
        """What comes of an item. An OpfuzzError is a mistake of the user's; whatever else is raised is a bug."""


# What measuring needs, which is imported only where something is measured.
LAZY = (
    "scipy.special",
    "opfuzz.core.kernels",
    "opfuzz.core.metrics.kernels",
    "opfuzz.oracle.arithmetic.kernels",
    "opfuzz.oracle.double_words.kernels",
)


def preload(task: Task[State, Item, Answer]) -> list[str]:
    """The modules to import before workers fork: that of the task, what exact values need, and those that it names."""
    return list(dict.fromkeys([type(task).__module__, *LAZY, *task.modules]))


def perform(task: Task[State, Item, Answer], state: State, item: Item) -> Answer:
    """What comes of an item, whatever frameworks and arithmetic have to say about extreme inputs."""
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return task.work(state, item)
