"""Exported cases made here: each subject's outputs, recorded for another machine to judge."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np

from opfuzz.backends import Backend, Subject, resolve
from opfuzz.core.errors import OpfuzzError
from opfuzz.core.results import Outcome
from opfuzz.engine.evaluate import REPEAT_EVERY, blame, perform_case
from opfuzz.engine.executors import Casualty, note, pool
from opfuzz.engine.plan import WORKER_BYTES, backends_of, calls_of, case_seconds, preload
from opfuzz.store.exchange import Export, ExportedCase, OutputRecorder, arrays_of

BATCH = 16
LOST = "lost"  # in place of a status: no subject was at work


@dataclass(frozen=True, slots=True)
class RecordedCall:
    """One case on one subject, with its implementation."""

    entry: ExportedCase
    subject: Subject


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
    calls are made. What is made is written even if Ctrl-C ends it.
    Raises OpfuzzError if the inputs are not those of the cases, or the disk refuses.
    """
    calls = [call for text in recorders for call in _calls(export, resolve(text, backends))]
    batches = [calls[first : first + BATCH] for first in range(0, len(calls), BATCH)]
    recording, done = Recording({}), 0
    results = pool.run(
        iter(batches),
        _work,
        jobs=jobs,
        timeout=case_seconds(tuple(recorders)),
        memory=WORKER_BYTES,
        preload=preload("opfuzz.engine.drivers.record_outputs", recorders, backends),
        initialise=partial(_set_up, replace(export, entries=()), tuple(plugins), tuple(recorders)),
    )
    try:
        for number, batch in results:
            for call, found in zip(batches[number], batch, strict=True):
                outcome = _outcome(call, found)
                status = LOST if outcome is None else outcome.status
                recording.statuses[status] = recording.statuses.get(status, 0) + 1
                if outcome is not None:
                    subject = str(replace(call.subject, implementation=""))
                    recorders[subject].add(call.entry.case.id, call.subject.implementation, outcome)
            done += len(batch)
            watch(done, len(calls))
    except KeyboardInterrupt:
        recording.interrupted = True
    finally:
        results.close()
        with ExitStack() as closing:  # each is, whatever becomes of another
            for recorder in recorders.values():
                closing.callback(recorder.close)
    return recording


def _calls(export: Export, resolved: tuple[Subject, Backend]) -> list[RecordedCall]:
    subject, backend = resolved
    return [
        RecordedCall(entry, replace(subject, implementation=name))
        for entry in export.entries
        for name in calls_of(export.specs[entry.case.op], subject, backend)
    ]


def _outcome(call: RecordedCall, found: Outcome | OpfuzzError | Casualty) -> Outcome | None:
    """What a subject did; None where the process ended before any subject was at work, so that the case is missing."""
    if isinstance(found, OpfuzzError):
        raise found
    if isinstance(found, Casualty):
        if found.kind == "internal":
            raise RuntimeError(f"{call.entry}: {found.message}")
        return Outcome(found.label, found.kind, cause=blame(found)[1].cause) if found.label else None
    return found


_export: Export | None = None
_backends: Mapping[str, Backend] = {}


def _set_up(export: Export, plugins: Sequence[Path], subjects: Sequence[str]) -> None:
    global _export, _backends
    _export, _backends = export, backends_of(plugins, subjects)


def _work(call: RecordedCall) -> Outcome | OpfuzzError:
    assert _export is not None
    entry, backend = call.entry, _backends[call.subject.backend]
    spec = _export.specs[entry.case.op]
    try:
        arrays = arrays_of(_export, entry)
    except OpfuzzError as error:  # it travels as a value
        return OpfuzzError(str(error))
    program = calls_of(spec, call.subject, backend)[call.subject.implementation]
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what a framework has to say about extreme inputs
        note(str(call.subject))
        made = perform_case(
            spec, entry.case, arrays, call.subject, backend, program, repeat=entry.number % REPEAT_EVERY == 0
        )
        note("")
    return made
