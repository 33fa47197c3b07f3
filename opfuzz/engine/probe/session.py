"""A probe from its first trial to its record: within a minute, whatever a device does."""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path

from opfuzz.backends import Backend, Subject, resolve
from opfuzz.core.layout import LAYOUTS
from opfuzz.core.probed import ANSWER, BARRING, DIES, HANGS, MEMORY, RAISES, ROUND_TRIP, SIZE, Failed, Probed
from opfuzz.engine.executors import LOCAL, RAISED, Casualty, drive
from opfuzz.engine.machines import machine
from opfuzz.engine.plan import calls_of
from opfuzz.engine.probe.trials import Met, ProbeItem, ProbeTask
from opfuzz.engine.roster import Roster
from opfuzz.spec import OpSpec

SECONDS = 50.0  # since the first answer, after which nothing is begun: what was begun last may hang for ten more
SIZES = tuple(2**power for power in (16, 20, 24, 26))  # elements of float32; of the last, a process takes 1 GiB
ORDER = ("float32", "float16", "bfloat16", "float64")  # of formats: those that a run tries first
DEATHS = {"crash": DIES, "timeout": HANGS, "out-of-memory": MEMORY}


def probe(
    text: str,
    specs: Sequence[OpSpec],
    backends: Mapping[str, Backend],
    jobs: int,
    plugins: tuple[Path, ...] = (),
    watch: Callable[[int, int], None] = lambda done, total: None,
    seconds: float = SECONDS,
) -> Probed:
    """Try a subject. Raises OpfuzzError for one that is not here, KeyboardInterrupt if Ctrl-C or SIGTERM ended it."""
    subject, backend = resolve(text, backends)
    held = [name for name in ORDER if backend.supports(name, subject.device)]
    by_op = {spec.op: spec for spec in specs if any(calls_of(spec, subject, backend).values())}
    trials = _Trials([*_items(held, subject, backend, by_op)], seconds)
    started = time.monotonic()
    made = datetime.now(UTC)

    def take(number: int, batch: Sequence[tuple[ProbeItem, Met | Casualty]]) -> None:
        for item, met in batch:
            trials.take(item, _met(met))
        watch(trials.done, len(trials.items))

    task = ProbeTask(Roster.of([text], plugins, backends), text, by_op)
    if drive(LOCAL, task, trials, take, jobs=jobs, borne=RAISED):
        raise KeyboardInterrupt
    answers = [(met.seconds, item.op) for item, met in trials.met.items() if item.kind == ANSWER and not met.how]
    slowest, slowest_op = max(answers, default=(0.0, ""))
    fits = [item.elements for item, met in trials.met.items() if item.kind == SIZE and not met.how]
    return Probed(
        subject=text,
        made=made.isoformat(timespec="seconds"),
        versions=versions_of(backend),
        machine=machine(),
        seconds=time.monotonic() - started,
        tried=dict(Counter(item.kind for item in trials.met)),
        failed=tuple(_failed(item, met, by_op) for item, met in trials.met.items() if met.how),
        left=len(trials.items) - trials.done - trials.pointless,
        lacking=tuple(name for name in ORDER if name not in held),
        unheld=tuple(layout for layout in LAYOUTS if layout not in backend.layouts),
        first=trials.first,
        slowest=slowest,
        slowest_op=slowest_op,
        largest=max(fits, default=0),
    )


def versions_of(backend: Backend) -> dict[str, str]:
    """What a probe is of: the framework, opfuzz, and a plugin by the time of its file."""
    found = {backend.name: backend.version(), "opfuzz": metadata.version("opfuzz"), "numpy": metadata.version("numpy")}
    if backend.plugin is not None:
        found[str(backend.plugin.resolve())] = str(backend.plugin.stat().st_mtime_ns)
    return found


def _items(
    formats: Sequence[str], subject: Subject, backend: Backend, specs: Mapping[str, OpSpec]
) -> Iterator[ProbeItem]:
    """All trials, those first on which others depend, then by what most runs need."""
    for layout in (layout for layout in LAYOUTS if layout in backend.layouts):
        yield from (ProbeItem(ROUND_TRIP, name, layout=layout) for name in formats)
    for name in formats:
        for op, spec in specs.items():
            if name in spec.formats:
                calls = calls_of(spec, subject, backend)
                yield from (ProbeItem(ANSWER, name, op, each) for each, program in calls.items() if program)
        if name == "float32":
            yield from (ProbeItem(SIZE, name, elements=elements) for elements in SIZES)


def _failed(item: ProbeItem, met: Met, specs: Mapping[str, OpSpec]) -> Failed:
    digest = specs[item.op].digest if item.op else ""
    place = (item.op, item.implementation, item.layout, digest, item.elements)
    return Failed(item.kind, item.format, met.how, met.words, *place)


def _met(met: Met | Casualty) -> Met:
    if isinstance(met, Met):
        return met
    return Met(DEATHS.get(met.kind, RAISES), met.message.strip().splitlines()[-1] if met.message.strip() else "", 0.0)


class _Trials(Iterator[list[ProbeItem]]):
    """What is to be tried, one at a time, without what has become pointless, until the time is over."""

    def __init__(self, items: Sequence[ProbeItem], seconds: float) -> None:
        self.items = items
        self.met: dict[ProbeItem, Met] = {}
        self.first = 0.0
        self._seconds = seconds
        self._end = math.inf  # until the first answer: a framework may take long to be imported
        self._rest = iter(items)
        self._gone: set[str] = set()  # formats of which nothing comes back
        self._hung: set[str] = set()  # ops: another format would take as long
        self._is_full = False
        self.pointless = 0  # trials that would fail like others before them

    @property
    def done(self) -> int:
        """How many have been tried."""
        return len(self.met)

    def take(self, item: ProbeItem, met: Met) -> None:
        """What came of one."""
        if not self.met:
            self.first, self._end = met.seconds, time.monotonic() + self._seconds
        self.met[item] = met
        if item.kind == ROUND_TRIP and item.layout == LAYOUTS[0] and met.how in BARRING:
            self._gone.add(item.format)
        if item.kind == ANSWER and met.how == HANGS:
            self._hung.add(item.op)
        self._is_full |= item.kind == SIZE and bool(met.how)

    def __next__(self) -> list[ProbeItem]:
        for item in self._rest:
            if time.monotonic() >= self._end:
                break
            is_pointless = item.format in self._gone or item.op in self._hung or (item.kind == SIZE and self._is_full)
            if not is_pointless:
                return [item]
            self.pointless += 1
        raise StopIteration
