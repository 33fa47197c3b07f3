"""Exported cases made here: each subject's outputs, recorded for another machine to judge."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

from opfuzz.backends import Backend, Subject, resolve
from opfuzz.core.call import Call
from opfuzz.core.results import Outcome
from opfuzz.engine.evaluate import REPEAT_EVERY, blame, perform_call
from opfuzz.engine.executors import LOCAL, Casualty, drive, note
from opfuzz.engine.plan import calls_of
from opfuzz.engine.roster import Roster, SubjectTask
from opfuzz.store.exchange import Export, ExportedCase, OutputRecorder, arrays_of

BATCH = 16
LOST = "lost"  # in place of a status: no subject was at work


@dataclass(frozen=True, slots=True)
class RecordedCall:
    """One case on one subject, with its implementation."""

    entry: ExportedCase
    subject: Subject


@dataclass(frozen=True, slots=True)
class RecordTask(SubjectTask[RecordedCall, Outcome]):
    """Calls of an export, whose entries come one by one."""

    export: Export

    @property
    def timeout(self) -> float:
        """See Task."""
        return self.roster.seconds

    def describe(self, item: RecordedCall) -> str:
        """See Task."""
        return str(item.entry)

    def work(self, state: Mapping[str, Backend], item: RecordedCall) -> Outcome:
        """What the subject does."""
        entry, subject = item.entry, item.subject
        backend, spec = state[subject.backend], self.export.specs[entry.case.op]
        given = Call.of(entry.case, arrays_of(self.export, entry))
        program = calls_of(spec, subject, backend)[subject.implementation]
        is_repeated = entry.number % REPEAT_EVERY == 0
        note(str(subject))
        made = perform_call(spec, given, subject, backend, program, repeat=is_repeated)
        note("")
        return made


@dataclass
class Recording:
    """What came of it: how many calls by status, and whether it was interrupted."""

    statuses: dict[str, int]
    interrupted: bool = False


def record(
    export: Export,
    recorders: Mapping[str, OutputRecorder],
    plugins: Sequence[Path],
    backends: Mapping[str, Backend],
    jobs: int,
    watch: Callable[[int, int], None] = lambda done, total: None,
) -> Recording:
    """Make every case on every subject in isolated processes, and give what came of it to the subject's recorder.

    `recorders` by subject as it is written, without an implementation: all of them are made. `watch` is told how many
    calls are made. What is made is written even if Ctrl-C or SIGTERM ends it.
    Raises OpfuzzError if the inputs are not those of the cases, or the disk refuses.
    """
    calls = [call for text in recorders for call in _calls(export, resolve(text, backends))]
    batches = [calls[first : first + BATCH] for first in range(0, len(calls), BATCH)]
    recording, done = Recording({}), 0

    def take(number: int, batch: Sequence[tuple[RecordedCall, Outcome | Casualty]]) -> None:
        nonlocal done
        for call, found in batch:
            outcome = _outcome(found)
            status = LOST if outcome is None else outcome.status
            recording.statuses[status] = recording.statuses.get(status, 0) + 1
            if outcome is not None:
                subject = str(replace(call.subject, implementation=""))
                outputs = [output.name for output in export.specs[call.entry.case.op].outputs]
                recorders[subject].add(call.entry.case.id, call.subject.implementation, outcome, outputs)
        done += len(batch)
        watch(done, len(calls))

    task = RecordTask(Roster.of(recorders, plugins, backends), replace(export, entries=()))
    with ExitStack() as closing:  # each is, whatever becomes of another
        for recorder in recorders.values():
            closing.callback(recorder.close)
        recording.interrupted = drive(LOCAL, task, iter(batches), take, jobs=jobs)
    return recording


def _calls(export: Export, resolved: tuple[Subject, Backend]) -> list[RecordedCall]:
    subject, backend = resolved
    return [
        RecordedCall(entry, replace(subject, implementation=name))
        for entry in export.entries
        for name in calls_of(export.specs[entry.case.op], subject, backend)
    ]


def _outcome(found: Outcome | Casualty) -> Outcome | None:
    """What a subject did; None where the process ended before any subject was at work, so that the case is missing."""
    if isinstance(found, Casualty):
        return Outcome(found.label, found.kind, cause=blame(found)[1].cause) if found.label else None
    return found
