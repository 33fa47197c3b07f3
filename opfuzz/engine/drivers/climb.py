"""Climbs: the worst call of an op on a subject is searched for, and judged in full."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from opfuzz.backends import Backend, Subject, discover
from opfuzz.core.call import Call
from opfuzz.core.floats import FORMATS, FloatArray
from opfuzz.core.results import Judged, Witness
from opfuzz.core.verdicts import FAULT, SEVERITY
from opfuzz.engine.calls import Asked, judge, outcome_of
from opfuzz.engine.evaluate import blame, lacking_by, unknown_truth, without
from opfuzz.engine.executors import LOCAL, Casualty, drive
from opfuzz.engine.plan import Plan, implementations
from opfuzz.engine.roster import Roster, SubjectTask
from opfuzz.judge.limits import EXCESS_LIMIT
from opfuzz.judge.measure import Measured
from opfuzz.judge.settle import examine, glance
from opfuzz.oracle.reference import Reference, references_of
from opfuzz.search.climb.strategy import Seen, alone, climb
from opfuzz.spec import OpSpec

Goal = Literal["ulp", "excess"]
LEAST = 256  # evaluations that a call counts for at least: it takes as long as some hundred elements
SECONDS = 60.0  # after which a climb ends, whatever is left of its evaluations
SUSPECTS = 8  # calls of a climb, beside the worst, that may show a fault and are judged in full


@dataclass(frozen=True, slots=True, eq=False)
class Climbed:
    """The worst of one climb in one respect. No `call` is known where it ended its process."""

    op: str
    subject: str
    format: str
    respect: str  # ulp, excess, fault
    evaluations: int  # of the whole climb
    seconds: float
    call: Call | None
    judged: Judged

    @property
    def is_fault(self) -> bool:
        """Whether the subject is to blame."""
        return SEVERITY[self.judged.score.verdict] == FAULT

    @property
    def witness(self) -> Witness | None:
        """The element that it is about."""
        largest, deciding = self.judged.largest, self.judged.deciding
        return largest or deciding if self.respect == "ulp" else deciding or largest


@dataclass(frozen=True, slots=True)
class Climbs:
    """All that a number of climbs found."""

    found: tuple[Climbed, ...]
    interrupted: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class _Peak:
    """A call with its largest error, and the place of that."""

    call: Call
    error: float
    place: int


class _Ascent:
    """The calls of one climb, made and looked at: the worst in each respect, and what may be a fault."""

    def __init__(self, spec: OpSpec, subject: Subject, backend: Backend, goal: Goal, is_elementwise: bool) -> None:
        self.spec, self.subject, self.backend, self.goal = spec, subject, backend, goal
        self.is_elementwise = is_elementwise
        self.evaluations = 0
        self.peaks: dict[Goal, _Peak] = {}
        self.suspects: dict[tuple[object, ...], _Peak] = {}
        self.is_supported = True
        self.lacking: tuple[str, ...] = ()  # inputs by which the subject gives no gradient

    def look(self, call: Call) -> Seen:
        """Make a call, and remember what is remarkable about it."""
        outcome = outcome_of(self.spec, self.subject, self.backend, call)
        if outcome.status == "unsupported" and self.spec.gradient is not None and not self.lacking:
            self.lacking = lacking_by(self.spec, call, self.subject, self.backend) or ()
            self.spec = without(self.spec, self.lacking)
            outcome = outcome_of(self.spec, self.subject, self.backend, call)
        self.evaluations += max(LEAST, self.spec.output_elements(call.dims, call.params))
        if outcome.outputs is None:
            self.is_supported = outcome.status != "unsupported"
            self._suspect((outcome.status, outcome.cause), call, np.inf, 0)
            first, *_ = self.spec.output_shapes(call.dims, call.params).values()
            return Seen(0.0, np.zeros(first))
        seen = list(map(partial(self._look_at, call), outcome.outputs, references_of(self.spec, call)))
        return max(seen, key=lambda each: each.worst)

    def _look_at(self, call: Call, output: NDArray[Any], reference: Reference) -> Seen:
        """One output of a call."""
        look = examine if call.format == "float64" else glance  # float64 cannot judge itself
        measured = look(output, reference)
        size = np.where(measured.is_normal, measured.error / measured.spacing, 0.0)
        errors: dict[Goal, FloatArray] = {
            "ulp": np.minimum(size, np.finfo(np.float64).max),
            "excess": measured.wide_excess,
        }
        for respect, found in errors.items():
            if found.size:
                self._climb(respect, call, found)
        self._suspect_specials(call, measured)
        seen = errors[self.goal]
        return Seen(float(seen.max(initial=0.0)), seen)

    def _climb(self, respect: Goal, call: Call, errors: FloatArray) -> None:
        place = int(errors.argmax())
        worst = float(errors.ravel()[place])
        if respect not in self.peaks or worst > self.peaks[respect].error:
            self.peaks[respect] = _Peak(call, worst, place)
        # Thousands of unrelated numbers may look like a variant together; an elementwise op is judged by the number.
        if respect == "excess" and worst > EXCESS_LIMIT and not self.is_elementwise:
            self._suspect(("size", *(size.bit_length() for size in call.dims.values())), call, worst, place)

    def _suspect_specials(self, call: Call, measured: Measured) -> None:
        for place in np.flatnonzero(measured.is_special_wrong):
            pair = measured.computed.ravel()[place], measured.truth.hi.ravel()[place]
            # A difference of class is worse than any error.
            self._suspect(tuple(np.isnan(v) or (np.isinf(v), v > 0) for v in pair), call, np.inf, int(place))

    def _suspect(self, kind: tuple[object, ...], call: Call, error: float, place: int) -> None:
        if kind not in self.suspects or error > self.suspects[kind].error:
            self.suspects[kind] = _Peak(call, error, place)

    def conclude(self, started: float) -> list[Climbed]:
        """The worst by ulp and by excess, judged in full, and a fault if neither is one but a suspect is."""
        found = []
        for respect, peak in self.peaks.items():
            if respect == self.goal or (peak.error > 0 and not self._is_same_place()):
                found.append(self._climbed(respect, started, *self._judged(peak, respect)))
        suspects = sorted(self.suspects.values(), key=lambda peak: -peak.error)[:SUSPECTS]
        for peak in suspects:
            if any(climbed.is_fault for climbed in found):
                break
            call, judged = self._judged(peak, "fault")
            if SEVERITY[judged.score.verdict] == FAULT:
                found.append(self._climbed("fault", started, call, judged))
        return found

    def _is_same_place(self) -> bool:
        ulp, excess = self.peaks["ulp"], self.peaks["excess"]
        return ulp.call is excess.call and (ulp.place == excess.place or not self.is_elementwise)

    def _climbed(self, respect: str, started: float, call: Call, judged: Judged) -> Climbed:
        seconds = time.monotonic() - started
        judged = replace(judged, lacking=self.lacking)
        return Climbed(self.spec.op, str(self.subject), call.format, respect, self.evaluations, seconds, call, judged)

    def _judged(self, peak: _Peak, respect: str) -> tuple[Call, Judged]:
        """The simplest call that shows the peak, with its score."""
        *simpler, itself = self._simpler(peak)
        for call in simpler:
            judged = judge(self.spec, self.subject, self.backend, Asked(call, is_detailed=True))
            if respect == "fault":
                shows = SEVERITY[judged.score.verdict] == FAULT
            else:
                shows = getattr(judged.score, respect) >= 0.999 * peak.error
            if shows:
                return call, judged
        judged = judge(self.spec, self.subject, self.backend, Asked(itself, is_detailed=True))
        mark = judged.score.deciding
        if respect == "fault" and mark is not None and self.is_elementwise:
            shape = self.spec.output_shapes(itself.dims, itself.params)[mark.output]
            place = int(np.ravel_multi_index(mark.index, shape)) if shape else 0
            if place != peak.place:  # another number than the suspect is the fault
                return self._judged(replace(peak, place=place), respect)
        return itself, judged

    def _simpler(self, peak: _Peak) -> list[Call]:
        """An elementwise op: the number alone, and all over the array, where length or layout matter; the call."""
        if not self.is_elementwise:
            return [peak.call]
        (array,) = peak.call.arrays.values()
        number = array.ravel()[peak.place]
        way = alone(self.spec, peak.call.params)
        single = [] if way is None else [way.call(self.spec, peak.call.format, np.full(1, number, array.dtype))]
        return [*single, peak.call.with_arrays(dict.fromkeys(peak.call.arrays, np.full_like(array, number))), peak.call]


def climb_here(
    spec: OpSpec,
    subject: Subject,
    backend: Backend,
    format: str,
    seed: int,
    evaluations: int,
    goal: Goal | None = None,
    seconds: float = SECONDS,
) -> list[Climbed]:
    """One climb in this process: the worst by ulp, the worst by excess, and a fault if neither is one.

    Nothing where the subject has no call. The goal is ulp for elementwise ops of one input, whose error that is, and
    excess for all others, since ulp errors have no limit where a sum cancels. An evaluation is one element of an
    output. Calls that may harm this process are made.
    """
    started = time.monotonic()
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        is_elementwise = _is_elementwise(spec, format)
        ascent = _Ascent(spec, subject, backend, goal or ("ulp" if is_elementwise else "excess"), is_elementwise)
        calls = climb(spec, format, seed, is_elementwise)
        try:
            call = next(calls)
            while True:
                seen = ascent.look(call)
                if not ascent.is_supported:
                    return []
                if ascent.evaluations >= evaluations or time.monotonic() - started >= seconds:
                    break
                call = calls.send(seen)
        except StopIteration:  # everything was tried
            pass
        return ascent.conclude(started)


def _is_elementwise(spec: OpSpec, format: str) -> bool:
    """Whether the search may go by number: each element of the only result depends on that of one input."""
    if not spec.single_input or len(spec.outputs) > 1:
        return False
    way = alone(spec, {param.name: param.default for param in spec.params})
    if way is None:
        return False
    (reference,) = references_of(spec, way.call(spec, format, np.ones(1, FORMATS[format].dtype)))
    return reference.is_unary


# Many climbs, each in a process that it may end.


@dataclass(frozen=True, slots=True)
class _Ask:
    """A climb to make."""

    op: str
    subject: str
    format: str


@dataclass(frozen=True, slots=True)
class ClimbTask(SubjectTask[_Ask, list[Climbed]]):
    """Climbs of a plan, each of so many evaluations."""

    plan: Plan
    evaluations: int
    goal: Goal | None

    @property
    def timeout(self) -> float:
        """See Task."""
        return SECONDS + self.roster.seconds

    def describe(self, item: _Ask) -> str:
        """See Task."""
        return f"the climb of {item.op} in {item.format} on {item.subject}"

    def work(self, state: Mapping[str, Backend], item: _Ask) -> list[Climbed]:
        """See `climb_here`."""
        spec = next(spec for spec in self.plan.specs if spec.op == item.op)
        subject = Subject.parse(item.subject)
        seed = self.plan.seed
        return climb_here(spec, subject, state[subject.backend], item.format, seed, self.evaluations, self.goal)


def run(
    plan: Plan, evaluations: int, goal: Goal | None, watch: Callable[[int, int], None] = lambda done, total: None
) -> Climbs:
    """A climb for each op, subject and format of a plan. Ctrl-C and SIGTERM end it early, with all that was found.

    `watch` is told how many are done, of how many. Raises RuntimeError for an error of opfuzz itself.
    """
    backends = discover(plan.plugins)
    specs = {spec.op: spec for spec in plan.specs}
    asked = [
        _Ask(op, subject, format)
        for op, format in plan.pairs()
        for subject in implementations(specs[op], plan.subjects, backends)
    ]
    found: list[Climbed] = []
    done = 0

    def take(number: int, batch: Sequence[tuple[_Ask, list[Climbed] | Casualty]]) -> None:
        nonlocal done
        for ask, climbed in batch:
            found.extend([_lost(ask, climbed)] if isinstance(climbed, Casualty) else climbed)
        done += 1
        watch(done, len(asked))

    task = ClimbTask(Roster.of(plan.subjects, plan.plugins, backends), plan, evaluations, goal)
    was_interrupted = drive(LOCAL, task, ([ask] for ask in asked), take, jobs=plan.jobs)
    return Climbs(_sorted(found), was_interrupted)


def _sorted(found: list[Climbed]) -> tuple[Climbed, ...]:
    """Climb by climb, by the gravest verdict of each and then by size; what one climb found stays together."""
    verdicts = list(SEVERITY)
    groups: dict[tuple[str, str, str], list[Climbed]] = {}
    for climbed in found:
        groups.setdefault((climbed.op, climbed.subject, climbed.format), []).append(climbed)

    def key(group: list[Climbed]) -> tuple[int, float]:
        scores = [climbed.judged.score for climbed in group]
        return min(verdicts.index(score.verdict) for score in scores), -max(score.ulp for score in scores)

    return tuple(climbed for group in sorted(groups.values(), key=key) for climbed in group)


def _lost(ask: _Ask, casualty: Casualty) -> Climbed:
    """What is known of a climb that ended its process."""
    subject, score = blame(casualty)
    if not subject:  # opfuzz itself was at work
        score = unknown_truth(f"the climb ended: {casualty.message}")
    return Climbed(ask.op, ask.subject, ask.format, "fault", 0, 0.0, None, Judged(ask.subject, score, None, None))
