"""One sitting of a run: begun, or taken up where an earlier one was killed or interrupted, up to its report."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Self

from opfuzz.backends import Backend, discover
from opfuzz.core.common_cause import CommonCause
from opfuzz.core.comparison import Remark
from opfuzz.core.errors import DiskError, OpfuzzError
from opfuzz.core.findings import Standing
from opfuzz.core.results import Result
from opfuzz.core.retrial import ABSENT, THERE, UNTOLD
from opfuzz.core.run import Run
from opfuzz.engine.campaign import run
from opfuzz.engine.drivers.elsewhere import make_again, versions_there
from opfuzz.engine.executors import Executor
from opfuzz.engine.finish import Occasion, conclude
from opfuzz.engine.machines import Machines, machine, survey
from opfuzz.engine.options import Order, check_same, digests, files
from opfuzz.engine.plan import Plan
from opfuzz.engine.progress import Progress
from opfuzz.engine.triage.corpus import read_corpus, read_faults, revisit
from opfuzz.engine.triage.minimize import Watch
from opfuzz.report.run.cause_lines import with_causes
from opfuzz.store import history
from opfuzz.store import journal as journals
from opfuzz.store.accepted import FILE as ACCEPTED
from opfuzz.store.accepted import read_accepted
from opfuzz.store.baseline import Earlier, earlier_run, with_accepted, with_comparison, with_history
from opfuzz.store.cause_changes import is_not_asked
from opfuzz.store.journal import Begun, Examined, Journal, Revisited, Searched, plain, typed
from opfuzz.store.write import new_folder

ANSWERED = {THERE: "wrong-then", ABSENT: "right-then", UNTOLD: "not-told"}


@dataclass
class Sitting:
    """What it takes to carry a run out; a context manager that leaves nothing of a run that could not begin."""

    order: Order
    plan: Plan
    backends: Mapping[str, Backend]
    machines: Machines
    folder: Path
    journal: Journal
    started: datetime
    command: tuple[str, ...]
    standings: Sequence[Standing] = field(default=())

    @property
    def corpus(self) -> Path:
        """Where known faults lie."""
        return self.order.corpus or self.order.out / "corpus"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            return
        if self.journal.is_bare:
            self.journal.remove()
            with suppress(OSError):  # somebody put something there
                self.folder.rmdir()
        elif isinstance(error, DiskError):
            raise OpfuzzError(
                f"{error}; what came before is kept: make room, then opfuzz run --resume {self.folder}"
            ) from error

    def earlier(self) -> Earlier:
        """The run that this one is held against; see `baseline.earlier_run`."""
        plan = self.plan
        profile = plan.profile.name if plan.profile else None
        out = self.order.out
        found = earlier_run(self.order.baseline, plan.subjects, plan.pairs(), profile, out, self.folder.name)
        return found if self.order.baseline is None else with_history(found, out / history.NAME, self.folder.name)

    def cases(self, earlier: Earlier, watch: Callable[[Progress], None], executor: Executor) -> Progress:
        """Make known faults again, then run the campaign."""
        self.standings, known = self._revisited(earlier, executor)
        return run(self.plan, watch, known, self.journal, executor)

    def _revisited(self, earlier: Earlier, executor: Executor) -> tuple[Sequence[Standing], Sequence[Result]]:
        for entry in self.journal.entries:
            if isinstance(entry, Revisited):
                return entry.standings, entry.results
        if not self.journal.is_bare:
            return (), ()  # there were none when the run began; those that are there now may be its own
        faults = read_corpus(self.corpus, self.plan, self.backends)
        if earlier.folder is not None:
            faults += read_faults(earlier.folder, faults, self.plan, self.backends)
        standings, known = revisit(faults, self.plan, self.backends, executor)
        if faults:
            self.journal.append(Revisited(tuple(standings), tuple(known)))
        return standings, known

    def conclude(
        self, progress: Progress, shrink_seconds: float, earlier: Earlier, watch: Watch, executor: Executor
    ) -> Run:
        """Look into what was found, and write the run."""
        path = self.order.accepted or self.order.out / ACCEPTED
        entries = read_accepted(path) if self.order.accepted or path.exists() else []

        def held_against(result: Run) -> Run:
            result = with_accepted(result, entries, datetime.now().astimezone().date())
            if self.order.baseline is None:
                return result
            before = earlier.run and with_causes(earlier.run)
            return with_comparison(result, before, earlier.known, self._elder)

        shutil.rmtree(self.folder / "findings", ignore_errors=True)  # of a sitting that ended while it wrote them
        occasion = Occasion(
            self.folder,
            self.started,
            self.command,
            self.order.sort,
            self.standings,
            held_against,
            self.machines,
        )
        return conclude(self.plan, progress, self.backends, occasion, shrink_seconds, watch, self.journal, executor)

    def _elder(self, common: CommonCause) -> Remark:
        """What the software of the baseline makes of the smallest call of a cause."""
        python = self.order.baseline_python
        if python is None:
            return is_not_asked(common)
        try:
            found = make_again(self.folder / common.path, python)
        except OpfuzzError as error:
            return Remark("not-told", str(error))
        versions = ", ".join(f"{name} {version}" for name, version in sorted(found.versions.items()))
        return Remark(ANSWERED[found.answer], f"{versions}: {found.words}" if found.answer == UNTOLD else versions)

    def end(self, is_finished: bool) -> None:
        """The run is on disk; one that was interrupted can go on."""
        if is_finished:
            self.journal.remove()
        else:
            self.journal.close()


def begin(order: Order, backends: Mapping[str, Backend], machines: Machines, command: tuple[str, ...]) -> Sitting:
    """The first sitting of a run. Raises OpfuzzError for a mistake in its files, or a disk that refuses."""
    plan = order.plan(backends)
    if order.accepted is not None:
        read_accepted(order.accepted)  # a mistake in it is told before the run, not after
    if order.baseline_python is not None:
        versions_there(order.baseline_python, ())  # so is one in this
    started = datetime.now().astimezone()
    folder = new_folder(order.out, started, f"s{plan.seed}")
    known = {**files(order), **digests(plan)}
    entry = Begun(plain(order), known, _versions(machines), started, command)
    return Sitting(
        order,
        plan,
        backends,
        machines,
        folder,
        Journal.create(folder, entry),
        started,
        command,
    )


def resume(text: str, reports: Path, jobs: int | None, executor: Executor) -> Sitting:
    """The next sitting of a run that was killed or interrupted, with as many jobs as before if None are given.

    Raises OpfuzzError if there is no such run, it is damaged, or its results would depend on other things now.
    """
    folder = journals.find(text, reports)
    journal = Journal.open(folder)
    try:
        first = journal.entries[0]
        assert isinstance(first, Begun)
        try:
            order = typed(Order, first.options)
        except ValueError as error:
            raise OpfuzzError(f"{journal.path}: entry 1 is damaged: {error}; start the run anew") from None
        order = replace(order, out=folder.parent, jobs=jobs or order.jobs)
        # Before a plugin is run: it may be another one now.
        told = files(order)
        check_same({name: first.files.get(name, "") for name in told}, told, folder, are_digests=True)
        backends = discover(order.plugins)
        plan = order.plan(backends)
        machines = survey(executor, order.plugins, order.subjects)
        check_same(first.files, {**told, **digests(plan)}, folder, are_digests=True)
        check_same(first.versions, _versions(machines), folder, are_digests=False)
        _check_ops(journal, plan)
    except BaseException:
        journal.close()
        raise
    return Sitting(order, plan, backends, machines, folder, journal, first.started, first.command)


def _versions(machines: Machines) -> dict[str, str]:
    """All versions on which results depend, that of the processor included."""
    return {**machines.versions, **{name: machine()[name] for name in ("python", "processor")}}


def _check_ops(journal: Journal, plan: Plan) -> None:
    """Raises OpfuzzError for a result of an op that the run does not try."""
    pairs = {*plan.pairs()}
    for number, entry in enumerate(journal.entries, 1):
        for result in entry.results if isinstance(entry, Revisited | Examined | Searched) else ():
            if (result.op, result.format) not in pairs:
                words = f"a result of {result.op!r:.40} in {result.format!r:.40}"
                raise OpfuzzError(f"{journal.path}: entry {number} is damaged: {words}; start the run anew")
