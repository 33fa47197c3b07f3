"""A run from its order to its report, whoever asked for it; an audience hears how far it is, and what is to be said."""

from __future__ import annotations

import sys
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import replace

from opfuzz.backends import Backend
from opfuzz.core.errors import OpfuzzError
from opfuzz.core.metrics.ulp import are_compiled
from opfuzz.core.run import Run
from opfuzz.engine.executors import LOCAL, Executor
from opfuzz.engine.machines import survey
from opfuzz.engine.options import Order
from opfuzz.engine.plan import Plan, dialects_of, vocabulary
from opfuzz.engine.probe.known import KnownProbes, known_of
from opfuzz.engine.progress import Progress
from opfuzz.engine.session import Sitting, begin
from opfuzz.engine.triage.corpus import update
from opfuzz.engine.triage.minimize import Watch
from opfuzz.report.progress import Counted, Watcher
from opfuzz.report.text import plain
from opfuzz.spec.gradient import is_gradient
from opfuzz.store import history

DEFAULT_SECONDS = 60.0
LEAST_SHRINKING = 30.0  # seconds

Progressing = AbstractContextManager[Callable[[Progress], None]]
Counting = AbstractContextManager[Watch]


class Audience(ABC):
    """Who is told of a run while it goes on."""

    is_patient = False  # knows that the first run on a machine begins with some seconds of compiling

    @abstractmethod
    def say(self, line: str) -> None:
        """One line that is no result."""

    @abstractmethod
    def cases(self, plan: Plan) -> Progressing:
        """While cases are tried, what is called after every batch."""

    @abstractmethod
    def findings(self) -> Counting:
        """While findings are made smaller, what is called after every step."""


class Nobody(Audience):
    """No one is told."""

    is_patient = True

    def say(self, line: str) -> None:
        """See Audience."""

    def cases(self, plan: Plan) -> Progressing:
        """See Audience."""
        return nullcontext(lambda progress: None)

    def findings(self) -> Counting:
        """See Audience."""
        return nullcontext(lambda done, total: None)


class StandardError(Audience):
    """A bar on a terminal, lines elsewhere."""

    def __init__(self) -> None:
        self.watcher: Watcher | None = None
        self.is_patient = not sys.stderr.isatty()

    def say(self, line: str) -> None:
        """See Audience."""
        if self.watcher is None:
            print(plain(line), file=sys.stderr, flush=True)
        else:
            self.watcher.say(plain(line))

    @contextmanager
    def cases(self, plan: Plan) -> Iterator[Callable[[Progress], None]]:
        """See Audience."""
        with Watcher(plan) as self.watcher:
            yield self.watcher.watch
        self.watcher = None

    @contextmanager
    def findings(self) -> Iterator[Watch]:
        """See Audience."""
        with Counted("findings made smaller") as counted:
            yield counted.watch


def seat(
    order: Order, backends: Mapping[str, Backend], executor: Executor, audience: Audience, command: tuple[str, ...]
) -> Sitting:
    """The first sitting of a run of these subjects, or of all that is here where the order names none.

    Raises OpfuzzError for a mistake in its files, a subject that is not here, or a disk that refuses.
    """
    machines = survey(executor, order.plugins, order.subjects)
    chosen = machines.subjects(order.subjects, backends)
    known = known_of(chosen, backends) if executor is LOCAL else KnownProbes((), ())  # a probe is of this machine
    for line in known.lines:
        audience.say(line)
    if order.cases is None and order.seconds is None:
        order = replace(order, seconds=DEFAULT_SECONDS)
    return begin(replace(order, subjects=chosen, barred=known.barred), backends, machines, command)


def carry_out(sitting: Sitting, executor: Executor, audience: Audience, tells_absent: bool = False) -> Run:
    """A run, or the rest of one, up to its folder, the corpus of faults and the history beside it.

    Ctrl-C ends it early, with what was found by then; the run then says that it was interrupted. Raises OpfuzzError
    for a spec whose reference fails, a damaged file, or a disk that refuses.
    """
    order, plan, out = sitting.order, sitting.plan, sitting.order.out
    with sitting:
        with audience.cases(plan) as watch:
            for name, reason in sitting.machines.absent.items() if tells_absent else ():
                audience.say(f"absent: {name}: {reason}")
            earlier = sitting.earlier()
            for line in earlier.complaints:
                audience.say(f"passed over: {line}")
            if not audience.is_patient and not are_compiled():
                audience.say("compiling what measures errors: some ten seconds, once on this machine")
            progress = sitting.cases(earlier, watch, executor)
        limit = max(LEAST_SHRINKING, progress.seconds) if order.shrinking is None else order.shrinking
        with audience.findings() as counted:
            result = sitting.conclude(progress, limit, earlier, counted, executor)
    words = vocabulary(sitting.backends, dialects_of(plan.subjects, sitting.backends))
    with complaining(audience):
        update(sitting.corpus, result, sitting.folder, words)
    with complaining(audience):
        history.add(out / history.NAME, result)
    sitting.end(is_finished=not result.interrupted)
    return result


def check_compared(run: Run) -> None:
    """Raises OpfuzzError for a run in which nothing was compared, or no gradient where those were asked for."""
    subjects = ", ".join(run.subjects)
    if all(row.verdict == "unsupported" for row in run.ranking):
        raise OpfuzzError(f"nothing was compared: {subjects} can do none of these ops in these formats")
    backward = [row for row in run.ranking if is_gradient(row.op)]
    if backward and all(row.verdict == "unsupported" for row in backward):
        raise OpfuzzError(f"no gradient was compared: {subjects} can do none of those that were asked")


@contextmanager
def complaining(audience: Audience) -> Iterator[None]:
    """One line on what could not be kept: a run is not lost for it."""
    try:
        yield
    except OpfuzzError as error:
        audience.say(str(error))
