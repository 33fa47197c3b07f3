"""The campaign of sweeps: every input of elementwise ops, a chunk at a time in isolated processes, kept on disk."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from opfuzz.backends import discover
from opfuzz.core.errors import OpfuzzError
from opfuzz.engine.drivers.sweep_file import Chunk, SweepFile
from opfuzz.engine.drivers.sweep_sides import Called, Sweep, measure, prepare
from opfuzz.engine.executors import Casualty, note, pool
from opfuzz.engine.plan import preload
from opfuzz.search.sweep.reference import FlatReference

CHUNK_SECONDS = 600.0  # after which a subject hangs; a chunk takes about 0.5 s
WORKER_BYTES = 2 * 2**30


@dataclass(frozen=True, slots=True)
class ChunkItem:
    """One chunk of one sweep, by their places."""

    sweep: int
    chunk: int


_bench: tuple[list[tuple[FlatReference, Called]], Sequence[Sweep]] | None = None


def _set_up(sweeps: Sequence[Sweep], plugins: tuple[Path, ...]) -> None:
    global _bench
    backends = discover(plugins)
    _bench = [prepare(sweep, backends) for sweep in sweeps], sweeps


def _work(item: ChunkItem) -> Chunk | str | OpfuzzError:
    assert _bench is not None
    prepared, sweeps = _bench
    oracle, subject = prepared[item.sweep]
    note(sweeps[item.sweep].subject)
    try:
        return measure(sweeps[item.sweep], item.chunk, oracle, subject)
    except OpfuzzError as error:  # a spec that fails: the user's to mend, so it travels as a value
        return error


@dataclass
class SweepState:
    """What is known while sweeps run."""

    inputs: int  # in all
    done: int = 0
    failed: dict[int, str] = field(default_factory=dict)  # sweep -> why it cannot go on
    interrupted: bool = False


def run(
    files: Sequence[SweepFile],
    sweeps: Sequence[Sweep],
    jobs: int,
    plugins: tuple[Path, ...] = (),
    watch: Callable[[SweepState], None] = lambda state: None,
) -> SweepState:
    """Do what is left of each sweep, and keep each chunk in its file as soon as it is there. Ctrl-C ends it early.

    Raises OpfuzzError for a spec whose reference fails, RuntimeError for an error of opfuzz itself.
    """
    pieces = [sweep.chunks() for sweep in sweeps]
    items = [ChunkItem(i, c) for i, file in enumerate(files) for c in range(len(pieces[i])) if c not in file.chunks]
    state = SweepState(inputs=sum(sweep.high - sweep.low for sweep in sweeps))
    state.done = state.inputs - sum(_size(pieces, item) for item in items)
    if not items:
        return state
    results = pool.run(
        ([] if item.sweep in state.failed else [item] for item in items),
        _work,
        jobs=min(jobs, len(items)),
        timeout=CHUNK_SECONDS,
        memory=WORKER_BYTES,
        preload=preload("opfuzz.engine.drivers.sweep", (sweep.subject for sweep in sweeps), discover(plugins)),
        initialise=partial(_set_up, sweeps, plugins),
    )
    try:
        for number, batch in results:
            item = items[number]
            for result in batch:
                _take(state, item, files, result, _size(pieces, item))
            watch(state)
    except KeyboardInterrupt:
        state.interrupted = True
    finally:
        results.close()
    return state


def _take(state: SweepState, item: ChunkItem, files: Sequence[SweepFile], result: object, size: int) -> None:
    if isinstance(result, OpfuzzError):
        raise result
    if isinstance(result, Casualty) and result.kind == "internal":
        raise RuntimeError(f"chunk {item.chunk}: {result.message}")
    if isinstance(result, Chunk):
        files[item.sweep].add(result)
        state.done += size
    else:
        reason = f"{result.kind}: {result.message}" if isinstance(result, Casualty) else str(result)
        state.failed.setdefault(item.sweep, reason)


def _size(pieces: Sequence[Sequence[tuple[int, int]]], item: ChunkItem) -> int:
    start, stop = pieces[item.sweep][item.chunk]
    return stop - start
