"""Progress on standard error: a bar on a terminal, plain lines in a pipe."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import Protocol, Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from opfuzz.core.run import Row
from opfuzz.judge.ranking import Ranking
from opfuzz.report.run.terminal import progress_line

LINE_SECONDS, LOOK_SECONDS = 10.0, 0.5  # between two plain lines, and two changes of the bar
LOOK_SHARE = 0.02  # of the time, which looks at all rows may take


class Budget(Protocol):
    """How long a campaign goes on."""

    @property
    def cases(self) -> int | None: ...
    @property
    def seconds(self) -> float | None: ...
    def pairs(self) -> list[tuple[str, str]]: ...


class Stage(Protocol):
    """What a campaign knows while it runs."""

    ranking: Ranking
    cases: int

    @property
    def seconds(self) -> float: ...


class Watcher:
    """Shows cases, findings and the worst so far; a context manager."""

    def __init__(self, budget: Budget) -> None:
        self.budget = budget
        self.bar: Progress | None = None
        if sys.stderr.isatty():
            console = Console(stderr=True)
            columns = (TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn())
            self.bar = Progress(*columns, console=console, transient=True)
            self.task = self.bar.add_task("starting", total=1.0)
        self.least = LINE_SECONDS if self.bar is None else LOOK_SECONDS
        self.next_line, self.next_look = time.monotonic() + self.least, 0.0
        self.worst: Row | None = None

    def __enter__(self) -> Self:
        if self.bar is not None:
            self.bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.bar is not None:
            self.bar.stop()

    def say(self, text: str) -> None:
        """One line."""
        if self.bar is not None:
            self.bar.console.print(text, markup=False, highlight=False)
        else:
            print(text, file=sys.stderr, flush=True)

    def watch(self, state: Stage) -> None:
        """Called after every batch. The worst is looked for seldom, which takes the longer the more cases there are."""
        now = time.monotonic()
        if self.bar is not None:
            self.bar.update(self.task, completed=share_done(self.budget, state))
        if now < self.next_line:
            return
        if now >= self.next_look:
            self.worst = next(iter(state.ranking.rows()), None)
            self.next_look = now + (time.monotonic() - now) / LOOK_SHARE
        line = progress_line(state.cases, state.ranking.faults, self.worst, state.seconds)
        if self.bar is not None:
            self.bar.update(self.task, description=line)
        else:
            self.say(line)
        self.next_line = now + self.least


def share_done(budget: Budget, state: Stage) -> float:
    """How much of a campaign is done, from 0 to 1."""
    if budget.seconds is not None:
        return min(1.0, state.seconds / budget.seconds)
    total = (budget.cases or 1) * len(state.ranking.tallies)
    return min(1.0, state.cases / max(total, 1))


class Counted:
    """Shows how many of a known number of steps are done, and how long the rest will take; a context manager."""

    def __init__(self, what: str) -> None:
        self.what = what
        self.bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TimeRemainingColumn(),
            console=Console(stderr=True),
            transient=True,
            disable=not sys.stderr.isatty(),
        )
        self.spoken = time.monotonic()
        self.begun: tuple[int, float] | None = None  # the first step that was told, and when

    def __enter__(self) -> Self:
        self.bar.start()
        self.task = self.bar.add_task(self.what, total=None)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.bar.stop()

    def watch(self, done: int, total: int) -> None:
        """Called after every step."""
        now = time.monotonic()
        line = f"{done} of {total} {self.what}"
        self.bar.update(self.task, description=line, completed=done, total=total)
        if self.begun is None:
            self.begun = done, now
        if self.bar.disable and now - self.spoken >= LINE_SECONDS:
            self.spoken = now
            print(line + self._left(done, total, now), file=sys.stderr, flush=True)

    def watch_stage(self, what: str, done: int, total: int) -> None:
        """Called after every step of work whose stages are counted each on its own."""
        if what != self.what:
            self.what, self.begun = what, None
        self.watch(done, total)

    def say(self, text: str) -> None:
        """One line, where there is no bar."""
        if self.bar.disable:
            print(text, file=sys.stderr, flush=True)
        else:
            self.bar.update(self.task, description=text)

    def _left(self, done: int, total: int, now: float) -> str:
        first, since = self.begun or (done, now)
        if done <= first:
            return ""
        seconds = (now - since) / (done - first) * (total - done)
        return f", {'less than a second' if seconds < 1 else f'about {seconds:.0f} s'} left at most"
