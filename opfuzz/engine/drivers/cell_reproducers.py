"""Reproducers of the worst inputs of sweeps: a few lines of Python each, tried before they are given."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from opfuzz.backends import Backend, discover
from opfuzz.core.call import Call
from opfuzz.core.floats import FORMATS, from_bits
from opfuzz.core.layout import memory
from opfuzz.core.results import Mark
from opfuzz.engine.drivers.sweep_sides import Called, Sweep, called
from opfuzz.engine.executors import LOCAL, Casualty, drive, note
from opfuzz.engine.roster import Roster, SubjectTask
from opfuzz.engine.triage.publish import reproduced_on
from opfuzz.report.finding.reproducer import Written
from opfuzz.report.finding.snippet import snippet

SECONDS = 120.0  # for a few calls on one number, the first of which may compile


@dataclass(frozen=True, slots=True)
class Spot:
    """The worst input of a sweep, by the place of that: its pattern, what was computed there, and what is exact."""

    sweep: int
    bits: int
    computed: float
    exact: float


@dataclass(frozen=True, slots=True)
class ReproducerTask(SubjectTask[Spot, str]):
    """The text of a reproducer; "" where no call on one number alone shows what the sweep met."""

    sweeps: Sequence[Sweep]

    @property
    def timeout(self) -> float:
        """See Task."""
        return SECONDS

    def describe(self, item: Spot) -> str:
        """See Task."""
        return f"the reproducer of {self.sweeps[item.sweep].spec.op}"

    def work(self, state: Mapping[str, Backend], item: Spot) -> str:
        """See the class."""
        sweep = self.sweeps[item.sweep]
        note(sweep.subject)
        subject = called(sweep, state)
        fmt = FORMATS[sweep.format]
        number = from_bits(np.array([item.bits], fmt.bits_dtype), fmt)
        for call in subject.on_one_number(number):
            outcome = subject.perform(call)
            if outcome.outputs is not None and float(outcome.outputs[0].ravel()[0]) == item.computed:
                mark = Mark((0,) * outcome.outputs[0].ndim, item.computed, "", item.exact, float("nan"), float("nan"))
                return _text(subject, call, mark)
        return ""


def reproducers(
    sweeps: Sequence[Sweep],
    found: Sequence[Spot],
    jobs: int,
    plugins: Sequence[Path] = (),
    watch: Callable[[int, int], None] = lambda done, total: None,
) -> dict[int, str]:
    """The reproducer of each of these, by the place of its sweep; "" where there is none.

    Raises KeyboardInterrupt if Ctrl-C or SIGTERM ended it, RuntimeError for an error of opfuzz itself.
    """
    texts: dict[int, str] = {}

    def take(number: int, batch: Sequence[tuple[Spot, str | Casualty]]) -> None:
        for item, text in batch:
            texts[item.sweep] = "" if isinstance(text, Casualty) else text
        watch(len(texts), len(found))

    roster = Roster.of((sweep.subject for sweep in sweeps), plugins, discover(plugins))
    batches = ([item] for item in found)
    if found and drive(LOCAL, ReproducerTask(roster, sweeps), batches, take, jobs=min(jobs, len(found))):
        raise KeyboardInterrupt
    return texts


def _text(subject: Called, call: Call, mark: Mark) -> str:
    backend = subject.backend
    spelled, reproduced = reproduced_on(backend, subject.subject, subject.program)
    ((name, array),) = call.arrays.items()
    buffer, views = memory(array, backend.held(call.layouts[name]))
    shapes = subject.spec.output_shapes(call.dims, call.params)
    written = Written(spelled.text, call.format, shapes, {**call.dims, **call.params}, {name: views}, None)
    return snippet(reproduced, spelled, written, {name: buffer}, mark, repeated=False) or ""
