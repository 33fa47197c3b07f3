"""The campaign of sweeps: every input of elementwise ops, a chunk at a time in isolated processes, kept on disk."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from opfuzz.backends import discover
from opfuzz.engine.drivers.sweep_file import Chunk, SweepFile
from opfuzz.engine.drivers.sweep_sides import Called, Sweep, measure, prepare
from opfuzz.engine.executors import LOCAL, Casualty, drive, note
from opfuzz.engine.roster import Roster, RosterTask
from opfuzz.search.sweep.reference import FlatReference

CHUNK_SECONDS = 600.0  # after which a subject hangs; a chunk takes about 0.5 s
CHUNK_BYTES = 2 * 2**30  # that a process may take: a sweep holds one chunk and its references

Sides = Sequence[tuple[FlatReference, Called]]  # by the place of their sweep


@dataclass(frozen=True, slots=True)
class ChunkItem:
    """One chunk of one sweep, by their places."""

    sweep: int
    chunk: int


@dataclass(frozen=True, slots=True)
class SweepTask(RosterTask[Sides, ChunkItem, Chunk | str]):
    """Chunks of sweeps; in place of one that cannot be had the reason in words."""

    sweeps: Sequence[Sweep]

    @property
    def timeout(self) -> float:
        """See Task."""
        return CHUNK_SECONDS

    @property
    def memory(self) -> int:
        """See Task."""
        return CHUNK_BYTES

    def describe(self, item: ChunkItem) -> str:
        """See Task."""
        return f"chunk {item.chunk} of {self.sweeps[item.sweep].spec.op}"

    def set_up(self) -> Sides:
        """See Task."""
        backends = discover(self.roster.plugins)
        return [prepare(sweep, backends) for sweep in self.sweeps]

    def work(self, state: Sides, item: ChunkItem) -> Chunk | str:
        """See `measure`."""
        sweep = self.sweeps[item.sweep]
        note(sweep.subject)
        return measure(sweep, item.chunk, *state[item.sweep])


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
    """Do what is left of each sweep, and keep each chunk in its file as soon as it is there. Ctrl-C and SIGTERM
    end it early.

    Raises OpfuzzError for a spec whose reference fails, RuntimeError for an error of opfuzz itself.
    """
    counts = [len(sweep.chunks()) for sweep in sweeps]
    items = [ChunkItem(i, c) for i, file in enumerate(files) for c in range(counts[i]) if c not in file.chunks]
    state = SweepState(inputs=sum(sweep.sample or sweep.high - sweep.low for sweep in sweeps))
    state.done = state.inputs - sum(sweeps[item.sweep].size(item.chunk) for item in items)
    if not items:
        return state

    def take(number: int, batch: Sequence[tuple[ChunkItem, Chunk | str | Casualty]]) -> None:
        for item, found in batch:
            if isinstance(found, Chunk):
                files[item.sweep].add(found)
                state.done += sweeps[item.sweep].size(item.chunk)
            else:
                reason = f"{found.kind}: {found.message}" if isinstance(found, Casualty) else found
                state.failed.setdefault(item.sweep, reason)
        watch(state)

    task = SweepTask(Roster.of((sweep.subject for sweep in sweeps), plugins, discover(plugins)), sweeps)
    batches = ([] if item.sweep in state.failed else [item] for item in items)
    state.interrupted = drive(LOCAL, task, batches, take, jobs=min(jobs, len(items)))
    return state
