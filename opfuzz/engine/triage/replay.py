"""Findings of earlier runs made again, each in an isolated process: is the fault still there?"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from opfuzz.backends import Backend, Subject, resolve
from opfuzz.backends.subject import FORM
from opfuzz.core.cause import Cause
from opfuzz.core.errors import OpfuzzError
from opfuzz.core.findings import Apart
from opfuzz.core.relation import EAGER
from opfuzz.core.results import Judged
from opfuzz.core.verdicts import FAULT, SEVERITY
from opfuzz.engine.calls import Asked, judge
from opfuzz.engine.evaluate import blame, unknown_truth
from opfuzz.engine.executors import LOCAL, MISTAKE, Casualty, Executor, drive
from opfuzz.engine.roster import Roster, SubjectTask
from opfuzz.engine.triage.minimize import Smaller, Steps
from opfuzz.report.causes import word_cause
from opfuzz.spec import OpSpec
from opfuzz.store.bundle import CALL, SPEC, Bundle

ATTEMPTS = 5  # at what comes and goes: it is there if any of them shows it
FLICKERING = frozenset({"unstable", "timeout"})


@dataclass(frozen=True, slots=True)
class Again:
    """One call to make again on one subject."""

    spec: OpSpec
    subject: str
    asked: Asked


@dataclass(frozen=True, slots=True)
class Replayed:
    """What came of a bundle."""

    bundle: Bundle
    subject: str
    judged: Judged

    @property
    def is_there(self) -> bool:
        """Whether it still shows: any fault for a fault, the same verdict for a note."""
        return shows(self.bundle, self.judged.score.verdict)


def shows(bundle: Bundle, verdict: str) -> bool:
    """Whether a verdict on its call means that what a bundle tells of is there."""
    was = bundle.finding["verdict"]
    # A half format inside in one way only: where the other way is no layout, the call alone shows just that one.
    is_half_way = was == "imprecise" and bundle.cause.relation is not None and bundle.switch is None
    if bundle.finding["severity"] == FAULT:
        return SEVERITY[verdict] == FAULT or (is_half_way and verdict == "narrow")
    return bool(verdict == was)


def subject_of(bundle: Bundle, subject: str | None, backends: Mapping[str, Backend]) -> str:
    """The subject on which a bundle is tried: its own, or another. Raises OpfuzzError if it is not here."""
    if subject is None and not FORM.fullmatch(bundle.subject):
        told = f"opfuzz has no way to call '{bundle.subject:.80}', which recorded its output itself"
        raise OpfuzzError(f"{bundle.place / CALL}: {told}; try another subject with opfuzz repro --subject")
    try:
        found = resolve(subject or bundle.subject, backends)[0]
        if subject is None and _is_eager(bundle.cause):
            found = replace(found, mode="")  # the mode is the way that is right
    except OpfuzzError as error:
        if subject is not None:
            raise
        raise OpfuzzError(f"{bundle.place / CALL}: {error}; name another with --subject, or its --plugin") from None
    backend = backends[found.backend]
    calls = bundle.spec.calls.get(backend.dialect_in(bundle.spec.calls), {})
    if found.implementation not in calls:
        known = ", ".join(f"{found.backend}:{found.device}{'/' + name if name else ''}" for name in calls)
        remedy = f"it has {known}" if known else f"it has none for the dialect {' or '.join(backend.dialects)}"
        raise OpfuzzError(f"{bundle.place / SPEC}: no call for the subject '{found}'; {remedy}")
    return str(found)


def _is_eager(cause: Cause) -> bool:
    """Whether it shows in eager mode only."""
    return cause.relation is not None and cause.relation.kind == EAGER and cause.figures.get("only") is True


def told_apart(bundle: Bundle) -> Apart | None:
    """What a call must show of a second cause; None where any fault will do.

    That is so of a primitive inside: its spec is not in the bundle.
    """
    apart = bundle.apart
    return None if apart is None or "inherits" in (apart.cause.kind, apart.beside.kind) else apart


@dataclass(frozen=True, slots=True)
class ReplayTask(SubjectTask[Again, Judged]):
    """Calls made again; the specs come with them."""

    @property
    def timeout(self) -> float:
        """See Task."""
        return self.roster.seconds

    def needs(self, item: Again) -> frozenset[str]:
        """See Task."""
        return self.roster.needs([item.subject])

    def describe(self, item: Again) -> str:
        """See Task."""
        return f"{item.spec.op} on {item.subject}"

    def work(self, state: Mapping[str, Backend], item: Again) -> Judged:
        """See `judge`."""
        subject = Subject.parse(item.subject)
        return judge(item.spec, subject, state[subject.backend], item.asked)


def replay(
    bundles: Sequence[tuple[Bundle, str]],
    tell: Callable[[Replayed | OpfuzzError], None],
    plugins: Sequence[Path],
    backends: Mapping[str, Backend],
    jobs: int,
    executor: Executor = LOCAL,
) -> None:
    """Make bundles again, each on a subject; `tell` is told in their order what came of them, as soon as that is known.

    That is an OpfuzzError for one that cannot be judged. Raises KeyboardInterrupt if Ctrl-C or SIGTERM ended it.
    """
    task = ReplayTask(Roster.of(dict.fromkeys(subject for _, subject in bundles), plugins, backends))
    done: dict[int, Sequence[Judged | Casualty]] = {}
    told = 0

    def take(number: int, batch: Sequence[tuple[Again, Judged | Casualty]]) -> None:
        nonlocal told
        done[number] = [answer for _, answer in batch]
        while told in done:
            tell(_conclude(*bundles[told], done.pop(told)))
            told += 1

    batches = (_batch(bundle, subject) for bundle, subject in bundles)
    if drive(executor, task, batches, take, jobs=min(jobs, len(bundles)), borne=(MISTAKE,)):
        raise KeyboardInterrupt


def _batch(bundle: Bundle, subject: str) -> list[Again]:
    asked = Asked(bundle.call, bundle.cause.relation, bundle.switch, True, told_apart(bundle), bundle.lacking)
    item = Again(bundle.spec, subject, asked)
    return [item] * (ATTEMPTS if bundle.finding["verdict"] in FLICKERING else 1)


def _conclude(bundle: Bundle, subject: str, answers: Sequence[Judged | Casualty]) -> Replayed | OpfuzzError:
    """The first answer that shows the fault, else the last."""
    found: Replayed | None = None
    for answer in answers:
        if isinstance(answer, Casualty):
            if answer.kind == MISTAKE:
                return OpfuzzError(f"{bundle.place / SPEC}: {answer.message.replace(chr(10), '; ')}")
            guilty, score = blame(answer)
            if not guilty:
                return OpfuzzError(f"{bundle.place / SPEC}: the exact result cannot be had: {answer.message}")
            answer = Judged(guilty, score, None, None)
        if answer.score.verdict == "unsupported":
            return OpfuzzError(f"{bundle.place}: {subject} cannot make this call: {word_cause(answer.score.cause)}")
        found = Replayed(bundle, subject, answer)
        if found.is_there:
            break
    assert found is not None
    return found


def answer_steps(
    bundle: Bundle,
    subject: str,
    steps: Steps,
    plugins: Sequence[Path],
    backends: Mapping[str, Backend],
    watch: Callable[[int], None],
) -> Smaller:
    """What `steps` comes to when each call it asks for is made on the subject; `watch` is told how many were.

    Raises KeyboardInterrupt if Ctrl-C or SIGTERM ended it.
    """
    line = _Line(bundle.spec, subject, steps)

    def take(number: int, batch: Sequence[tuple[Again, Judged | Casualty]]) -> None:
        for _, answer in batch:
            line.take(answer)
        watch(number + 1)

    if drive(LOCAL, ReplayTask(Roster.of([subject], plugins, backends)), line, take, jobs=1, borne=(MISTAKE,)):
        raise KeyboardInterrupt
    assert line.came_to is not None
    return line.came_to


class _Line:
    """Batches of one call each, in which every next one depends on the answer to the last."""

    def __init__(self, spec: OpSpec, subject: str, steps: Steps) -> None:
        self.spec, self.subject, self.steps = spec, subject, steps
        self.asked: Asked | None = next(steps)
        self.came_to: Smaller | None = None

    def __iter__(self) -> Iterator[list[Again]]:
        return self

    def __next__(self) -> list[Again]:
        """The call that is asked for, once; nothing while its answer is awaited."""
        if self.asked is None:
            raise StopIteration
        asked, self.asked = self.asked, None
        return [Again(self.spec, self.subject, asked)]

    def take(self, answer: Judged | Casualty) -> None:
        """The answer to the last call. A reference that fails on it leaves it unresolved."""
        if isinstance(answer, Casualty) and answer.kind == MISTAKE:
            answer = Judged(self.subject, unknown_truth(answer.message), None, None)
        try:
            self.asked = self.steps.send(answer)
        except StopIteration as end:
            self.came_to = end.value
