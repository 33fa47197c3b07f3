"""The trials of a probe, each in a process that it may end: round trips, known answers, and arrays of growing size."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from opfuzz.backends import Backend, Subject, perform, same_bits
from opfuzz.backends.base import Array
from opfuzz.core.call import Call
from opfuzz.core.floats import FORMATS, Format, from_bits, to_bits
from opfuzz.core.layout import LAYOUTS, constant_along_broadcast
from opfuzz.core.probed import (
    ANSWER,
    DIFFERS,
    FLUSHES,
    MEMORY,
    PARTLY,
    RAISES,
    REFUSES,
    ROUND_TRIP,
    SHARES,
    WRONG,
)
from opfuzz.core.results import Outcome
from opfuzz.core.verdicts import FAULT, SEVERITY
from opfuzz.engine.calls import Asked, judge, outcome_of
from opfuzz.engine.executors import note
from opfuzz.engine.plan import CORE_SEED
from opfuzz.engine.roster import SubjectTask
from opfuzz.generate import draw, inputs
from opfuzz.report.causes import word_cause
from opfuzz.spec import OpSpec
from opfuzz.spec.expression.program import parse

COMPILING_SECONDS = 30.0  # after which a call of a mode that compiles hangs; 18 s were seen
ANSWERS = 2  # cases of an op and format
SHAPE = (2, 8, 4096)  # of a round trip: all 2^16 patterns of a half format
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)  # 2^64 over the golden ratio
_STATUS = {"unsupported": REFUSES, "crash": RAISES, "out-of-memory": MEMORY}


@dataclass(frozen=True, slots=True)
class ProbeItem:
    """One thing to try on a subject, of a kind in core.probed."""

    kind: str
    format: str
    op: str = ""
    implementation: str = ""
    layout: str = ""
    elements: int = 0


@dataclass(frozen=True, slots=True)
class Met:
    """What came of it: how it failed, "" if it did not, in words, and the seconds of a clock that it took."""

    how: str
    words: str
    seconds: float


@dataclass(frozen=True, slots=True)
class ProbeTask(SubjectTask[ProbeItem, Met]):
    """Trials of one subject."""

    subject: str
    specs: Mapping[str, OpSpec]

    @property
    def timeout(self) -> float:
        """See Task."""
        return min(self.roster.seconds, COMPILING_SECONDS)  # a minute is all that there is

    def describe(self, item: ProbeItem) -> str:
        """See Task."""
        return f"the probe of {self.subject}: {item.kind} {item.op} {item.format} {item.layout}"

    def work(self, state: Mapping[str, Backend], item: ProbeItem) -> Met:
        """See the class."""
        subject = Subject.parse(self.subject)
        backend = state[subject.backend]
        note(self.subject)
        if item.kind == ANSWER:
            named = replace(subject, implementation=item.implementation)
            return _answer(backend, named, self.specs[item.op], item.format)
        started = time.perf_counter()
        if item.kind == ROUND_TRIP:
            how, words = _round_trip(backend, subject, FORMATS[item.format], item.layout)
        else:
            how, words = _square(backend, subject, item.format, item.elements)
        return Met(how, words, time.perf_counter() - started)


def _round_trip(backend: Backend, subject: Subject, fmt: Format, layout: str) -> tuple[str, str]:
    """Whether all bits come back, and are the tensor's own."""
    given = np.ascontiguousarray(constant_along_broadcast(patterns(fmt).reshape(SHAPE), layout))
    made = _computed(backend, subject, "x", Call(fmt.name, {}, {}, {"x": given}, {"x": layout}))
    if made.outputs is None:
        return _failure(made)
    if not same_bits(made.outputs[0], given):
        return _difference(given, made.outputs[0], fmt)
    mine = given.copy()
    tensor = backend.put(mine, layout, subject.device)
    mine[...] = 0
    if not same_bits(backend.get(tensor), given):
        return SHARES, "a tensor changes with the array that it was made of"
    return "", ""


def _difference(given: Array, got: Array, fmt: Format) -> tuple[str, str]:
    before, after = to_bits(given).ravel(), to_bits(got).ravel()
    both_nan = np.isnan(given.ravel()) & np.isnan(got.ravel())
    places = np.flatnonzero((before != after) & ~both_nan)
    size = np.abs(given.ravel().astype(np.float64))
    is_flushed = (size < fmt.smallest_normal) & (got.ravel() == 0)
    first, digits = places[0], fmt.bits // 4
    words = (
        f"{len(places)} of {given.size} numbers come back as others, "
        f"0x{int(before[first]):0{digits}x} as 0x{int(after[first]):0{digits}x}"
    )
    return FLUSHES if is_flushed[places].all() else DIFFERS, words


def _answer(backend: Backend, subject: Subject, spec: OpSpec, format: str) -> Met:
    """The first of a few calls on contiguous inputs that fails, judged as those of a run; the longest in seconds."""
    longest, refused, is_answered = 0.0, "", False
    for number in range(ANSWERS):
        case = draw(spec, format, CORE_SEED, number)
        call = replace(Call.of(case, inputs(spec, case)), layouts=dict.fromkeys(case.layouts, LAYOUTS[0]))
        started = time.perf_counter()
        outcome_of(spec, subject, backend, call)
        longest = max(longest, time.perf_counter() - started)
        score = judge(spec, subject, backend, Asked(call)).score
        if score.verdict == "unsupported":  # maybe for its params alone
            refused = refused or word_cause(score.cause)
            continue
        if score.verdict in _STATUS:
            return Met(_STATUS[score.verdict], word_cause(score.cause), longest)
        if SEVERITY[score.verdict] == FAULT:
            return Met(WRONG, f"{score.verdict}: {word_cause(score.cause)}", longest)
        is_answered = True
    return Met((PARTLY if is_answered else REFUSES) if refused else "", refused, longest)


def _square(backend: Backend, subject: Subject, format: str, elements: int) -> tuple[str, str]:
    """Whether an array of so many numbers can be squared; their squares are exact."""
    given = np.resize(np.array([1.5, -2.25, 0.0, 3.0], FORMATS[format].dtype), elements)
    made = _computed(backend, subject, "x * x", Call(format, {}, {}, {"x": given}, {}))
    if made.outputs is None:
        return _failure(made)
    return ("", "") if same_bits(made.outputs[0], given * given) else (WRONG, "the squares are others")


def _computed(backend: Backend, subject: Subject, text: str, call: Call) -> Outcome:
    """What a subject makes of an expression of x, of the shape of x."""
    program = parse(text, names=["x"], functions=None)
    return perform(backend, subject, program, call, {"": call.arrays["x"].shape})


def _failure(made: Outcome) -> tuple[str, str]:
    return _STATUS.get(made.status, RAISES), word_cause(made.cause)


def patterns(fmt: Format) -> Array:
    """2^16 floats of a format: all of a half format, of others every sign and exponent with several mantissas."""
    numbers = np.arange(2**16, dtype=np.uint64)
    bits = numbers << np.uint64(fmt.bits - 16)
    if fmt.bits > 16:
        more = (numbers * _GOLDEN) >> np.uint64(64 - fmt.bits + 16)
        bits |= np.where(numbers % np.uint64(4) == 0, np.uint64(0), more)  # 0, infinities and powers of two among them
    return from_bits(bits.astype(fmt.bits_dtype), fmt)
