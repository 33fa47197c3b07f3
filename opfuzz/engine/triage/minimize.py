"""Findings made smaller: each is shrunk in isolated processes, and the calls around it tell under which condition."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Generator, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType

from opfuzz.backends import Backend, Subject, discover
from opfuzz.core.call import Call, Element
from opfuzz.core.errors import OpfuzzError
from opfuzz.core.findings import Finding, Minimal
from opfuzz.core.layout import LAYOUTS
from opfuzz.core.results import Judged, Score
from opfuzz.core.trigger import Trigger
from opfuzz.core.verdicts import FAULT, SEVERITY
from opfuzz.engine.calls import Asked, ask_again, judge, symptom
from opfuzz.engine.evaluate import blame, unknown_truth
from opfuzz.engine.executors import LOCAL, RAISED, Casualty, Executor, drive
from opfuzz.engine.plan import Plan
from opfuzz.engine.roster import Roster, SubjectTask
from opfuzz.engine.triage.diagnose import known_primitives
from opfuzz.judge.limits import EXCESS_LIMIT
from opfuzz.oracle.primitive import Primitive
from opfuzz.search.shrink import shrink
from opfuzz.search.trigger import Shown, Spent, infer
from opfuzz.spec import OpSpec

ATTEMPTS = 400  # for one finding, of each kind: smaller calls, and calls around the smallest
# The same where an attempt costs a process, or a timeout.
COSTLY = {"crash": 40, "timeout": 6, "out-of-memory": 6}
DEATHS = 3  # of a worker, on attempts at a finding that is no death itself
SECONDS = 40.0  # for one finding, and as much for its condition
LEAST_SECONDS = 1.0  # the same, however many share the time


@dataclass(frozen=True, slots=True)
class Target:
    """A finding to make smaller. `key` tells a worker which subject it is."""

    key: Hashable
    spec: OpSpec
    asked: Asked
    place: Element | None  # that decided, in the outputs of the call
    verdict: str


@dataclass(frozen=True, slots=True)
class Question:
    """One call to make again."""

    key: Hashable
    op: str
    asked: Asked


@dataclass(frozen=True, slots=True)
class Smaller:
    """What came of a target; `judged` is the smallest call's, None where it was not made again."""

    minimal: Minimal
    judged: Judged | None


Answer = Judged | Casualty
Steps = Generator[Asked, Answer, Smaller]
Watch = Callable[[int, int], None]  # told how many of how many are done
Keep = Callable[[int, Smaller], None]  # told what came of which target


def smaller(
    target: Target, attempts: int = ATTEMPTS, seconds: float = SECONDS, deadline: float = float("inf")
) -> Steps:
    """Ask for the calls that make a finding small, and for those around the smallest; the caller answers each.

    A call is as good as the finding's own if it has the same symptom. Attempts and seconds are for each of the two,
    and what the first leaves of its seconds is the second's; `deadline` is of `time.monotonic`.
    """
    spec, asked = target.spec, target.asked
    before = spec.elements(asked.call.dims, asked.call.params)
    first = _judged((yield asked))
    verdict = first.score.verdict
    if SEVERITY[verdict] != SEVERITY[target.verdict] or (verdict in COSTLY) != (target.verdict in COSTLY):
        return Smaller(_untouched(target, "the call alone does not show it again", 1), None)
    limit = min(attempts, COSTLY[verdict]) if _is_death(first) else attempts
    started = time.monotonic()

    def budget(seconds: float) -> _Budget:
        return _Budget(limit, min(deadline, started + seconds), is_deadly=_is_death(first))

    spending = budget(seconds)
    best = yield from _shrink(target, symptom(first.score), spending)
    last = None
    if not _is_death(first):
        last = _judged((yield replace(asked, call=best, is_detailed=True)))
        if symptom(last.score) != symptom(first.score):
            return Smaller(_untouched(target, "it comes and goes", spending.spent), None)
    trigger = None
    if SEVERITY[verdict] == FAULT and verdict not in ("timeout", "out-of-memory"):
        mark = last.score.deciding if last is not None else None
        trigger = yield from _probe(
            target, best, mark.element if mark else None, symptom(first.score), budget(2 * seconds)
        )
    count = spec.elements(best.dims, best.params)
    found = Minimal(best, count, before, spending.spent, spending.note, trigger, asked.switch)
    return Smaller(found, last)


def _shrink(target: Target, wanted: tuple[str, str], budget: _Budget) -> Generator[Asked, Answer, Call]:
    """The smallest call found with the symptom that is wanted."""
    best, tried = target.asked.call, shrink(target.spec, target.asked.call, target.place)
    candidate = next(tried, None)
    while candidate is not None and budget.lasts():
        answer = yield replace(target.asked, call=candidate)
        is_smaller = symptom(_judged(answer).score) == wanted
        budget.spend(answer)
        if is_smaller:
            best = candidate
        try:
            candidate = tried.send(is_smaller)
        except StopIteration:
            candidate = None
    return best


Settings = tuple[str, tuple[tuple[str, int], ...], str, tuple[tuple[str, str], ...]]


def _settings(call: Call) -> Settings:
    """All of a call but its values."""
    return call.format, tuple(call.dims.items()), repr(call.params), tuple(call.layouts.items())


def _is_view(layout: tuple[str, str]) -> bool:
    return layout[1] != LAYOUTS[0]


def _probe(
    target: Target, call: Call, element: Element | None, wanted: tuple[str, str], budget: _Budget
) -> Generator[Asked, Answer, Trigger | None]:
    """The condition under which calls around the smallest show a fault, as far as the budget lasts; None: not asked."""
    probes, known = infer(target.spec, call, element), {_settings(call)}
    try:
        probe = next(probes)
        while budget.lasts():
            answer = yield replace(target.asked, call=probe)
            budget.spend(answer)
            score = _judged(answer).score
            # Where only the values are others, another symptom is another fault of the op; but at another size, in
            # another format, or beside a view, the same fault may make NaN here and a wrong number there.
            place = _settings(probe)
            is_other = place in known and not any(_is_view(each) for each in place[3]) and symptom(score) != wanted
            known.add(place)
            if SEVERITY[score.verdict] == FAULT:
                shown = Shown.ANOTHER if is_other else Shown.SAME
                if symptom(score) != wanted and "crash" in (score.verdict, wanted[0]):
                    # A crash is never another face of a wrong number; whether it hides one is not known.
                    shown = Shown.UNCLEAR if score.verdict == "crash" else Shown.NOTHING
            else:
                shown = Shown.UNCLEAR if _is_unclear(score) else Shown.NOTHING
            probe = probes.send(shown)
        if not budget.spent:
            return None
        probes.throw(Spent)
    except StopIteration as end:
        trigger: Trigger = end.value
        return trigger
    raise RuntimeError("probes went on after their end")


def _is_unclear(score: Score) -> bool:
    """Whether a fault cannot be told: the call was not judged, or is no worse than the usual formula, which is bad."""
    is_excused = score.verdict == "normwise" and score.excess > EXCESS_LIMIT
    return is_excused or score.verdict in ("ill-conditioned", "unresolved")


def _judged(answer: Judged | Casualty) -> Judged:
    if isinstance(answer, Judged):
        return answer
    if answer.kind in RAISED:
        raise RuntimeError(answer.message)
    subject, score = blame(answer)
    return Judged(subject, score if subject else replace(score, verdict="unresolved"), None, None)


def _is_death(judged: Judged) -> bool:
    """Whether a call ended its worker, as opposed to raising an exception."""
    score = judged.score
    return score.verdict in COSTLY and score.cause.kind not in ("raises", "wrong-shape")


class _Budget:
    """What may be spent on one finding: attempts, time, and processes if it is not itself deadly."""

    def __init__(self, attempts: int, until: float, is_deadly: bool) -> None:
        self.left, self.until, self.is_deadly = attempts, until, is_deadly
        self.spent = self.deaths = 0
        self.note = ""

    def spend(self, answer: Answer) -> None:
        self.spent += 1
        self.deaths += isinstance(answer, Casualty) and not self.is_deadly

    def lasts(self) -> bool:
        """Whether another attempt may be made; if not, `note` says why."""
        if self.spent >= self.left:
            self.note = f"stopped after {self.spent} attempts"
        elif self.deaths >= DEATHS:
            self.note = f"stopped: {self.deaths} calls ended their process"
        elif time.monotonic() > self.until:
            self.note = "stopped when its time was over"
        return not self.note


class Queue:
    """The next question of each target in turn, as many targets at once as there are workers."""

    def __init__(
        self,
        targets: Sequence[Target],
        deadline: float = float("inf"),
        watch: Watch = lambda done, total: None,
        known: Mapping[int, Smaller] = MappingProxyType({}),
        keep: Keep = lambda place, found: None,
        urgent: tuple[int, int] = (0, 1),
    ) -> None:
        self.targets, self.deadline, self.watch, self.keep = targets, deadline, watch, keep
        self.urgent, self.workers = urgent  # so many at the front share the time until the deadline
        self.done = dict(known)
        self.waiting = deque(place for place in range(len(targets)) if place not in known)
        self.ready: deque[tuple[int, Steps, Asked]] = deque()
        self.in_flight: dict[int, tuple[int, Steps]] = {}
        self.count = 0

    def __iter__(self) -> Iterator[list[Question]]:
        return self

    def __next__(self) -> list[Question]:
        """The question of a target that has one, else of one that has not begun; later there may be more."""
        if self.ready:
            place, steps, asked = self.ready.popleft()
        elif self.waiting and time.monotonic() < self.deadline:
            place = self.waiting.popleft()
            steps = smaller(self.targets[place], seconds=self._share(place), deadline=self.deadline)
            asked = next(steps)
        else:
            raise StopIteration
        self.in_flight[self.count] = place, steps
        self.count += 1
        target = self.targets[place]
        return [Question(target.key, target.spec.op, asked)]

    def _share(self, place: int) -> float:
        """Seconds for a target, and as much for its condition: its part of what is left, if it is one of the urgent."""
        left = sum(other < self.urgent for other in self.waiting) + 1
        if place >= self.urgent or self.deadline == float("inf"):
            return SECONDS
        share = (self.deadline - time.monotonic()) * self.workers / left / 2
        return min(max(share, LEAST_SECONDS), SECONDS)

    def take(self, number: int, batch: Sequence[tuple[Question, Answer]]) -> None:
        """The answer to question `number`."""
        place, steps = self.in_flight.pop(number)
        ((_, answer),) = batch
        try:
            self.ready.append((place, steps, steps.send(answer)))
            return
        except StopIteration as end:
            self.done[place] = end.value
        except Exception as error:  # a run is not lost for one finding that stays large
            self.done[place] = Smaller(_untouched(self.targets[place], f"opfuzz failed: {error!r:.200}"), None)
        self.keep(place, self.done[place])
        self.watch(len(self.done), len(self.targets))


def minimize_findings(
    plan: Plan,
    findings: Sequence[Finding],
    seconds: float,
    watch: Watch = lambda done, total: None,
    known: Mapping[str, Smaller] = MappingProxyType({}),
    keep: Callable[[str, Smaller], None] = lambda finding, found: None,
    executor: Executor = LOCAL,
    urgent: int = 0,
) -> tuple[tuple[Finding, ...], bool]:
    """The findings, each with the smallest call found to show it; and whether it was interrupted.

    They are begun in their order as long as `seconds` last, which the `urgent` ones, the first so many, share evenly.
    What is `known` of findings, by id, is not looked for again; `keep` is told of all others.
    """
    specs = {spec.op: spec for spec in plan.specs}
    queue = Queue(
        [target_of(finding, specs[finding.op]) for finding in findings],
        time.monotonic() + seconds,
        watch,
        {place: known[finding.id] for place, finding in enumerate(findings) if finding.id in known},
        lambda place, found: keep(findings[place].id, found),
        (urgent, plan.jobs),
    )
    pairs = [(each.apart.cause, each.apart.beside) for each in findings if each.apart is not None]
    is_inside = any(cause.kind == "inherits" for pair in pairs for cause in pair)
    primitives = known_primitives(plan) if is_inside else ()
    task = MinimizeTask(Roster.of(plan.subjects, plan.plugins, discover(plan.plugins)), plan, primitives)
    was_interrupted = drive(executor, task, queue, queue.take, jobs=plan.jobs, borne=RAISED)
    why = "interrupted" if was_interrupted else "the time for that was over"
    smaller = tuple(
        with_minimal(finding, queue.done.get(place) or Smaller(_untouched(queue.targets[place], why), None))
        for place, finding in enumerate(findings)
    )
    return smaller, was_interrupted


def target_of(finding: Finding, spec: OpSpec) -> Target:
    """What it takes to make a finding smaller."""
    asked = replace(ask_again(finding.recipe, spec), apart=finding.apart)
    return Target(finding.subject, spec, asked, finding.recipe.element, finding.verdict)


def with_minimal(finding: Finding, found: Smaller) -> Finding:
    """The finding with its smallest call, whose element is the one that it shows and tells of."""
    if found.judged is None:
        return replace(finding, minimal=found.minimal)
    witness = found.judged.deciding and replace(found.judged.deciding, case=finding.case)
    cause, shown = finding.cause, found.judged.score.cause
    if cause.kind == shown.kind == "special-at":  # what stands for what is told of the element that is shown
        cause = replace(cause, figures=shown.figures)
    return replace(finding, minimal=found.minimal, witness=witness, cause=cause)


def _untouched(target: Target, why: str, attempts: int = 0) -> Minimal:
    call = target.asked.call
    count = target.spec.elements(call.dims, call.params)
    return Minimal(call, count, count, attempts, f"not made smaller: {why}", None, is_shown=False)


def judge_or_leave(
    spec: OpSpec, subject: Subject, backend: Backend, asked: Asked, primitives: tuple[Primitive, ...] = ()
) -> Judged:
    """The score of a call in a worker; unresolved where the reference cannot be had, such as one that is too large."""
    try:
        return judge(spec, subject, backend, asked, primitives)
    except OpfuzzError as error:
        return Judged(str(subject), unknown_truth(str(error)), None, None)


@dataclass(frozen=True, slots=True)
class MinimizeTask(SubjectTask[Question, Judged]):
    """Calls that are asked for to make findings of a plan smaller."""

    plan: Plan
    primitives: tuple[Primitive, ...] = ()  # that one of two causes may be about

    @property
    def timeout(self) -> float:
        """See Task."""
        return self.plan.timeout

    @property
    def memory(self) -> int:
        """See Task."""
        return self.plan.case_memory

    def needs(self, item: Question) -> frozenset[str]:
        """See Task."""
        return self.roster.needs([str(item.key)])

    def describe(self, item: Question) -> str:
        """See Task."""
        return f"{item.op} on {item.key}"

    def work(self, state: Mapping[str, Backend], item: Question) -> Judged:
        """See `judge_or_leave`."""
        subject = Subject.parse(str(item.key))
        spec = next(spec for spec in self.plan.specs if spec.op == item.op)
        return judge_or_leave(spec, subject, state[subject.backend], item.asked, self.primitives)
