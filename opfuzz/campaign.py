"""The campaign: draws cases, runs them on every subject, judges them, and ranks what came out. Knows all the stages."""

from __future__ import annotations

import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import combinations, count
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from opfuzz import relations
from opfuzz.backends import Backend, Subject, discover, perform, resolve, same_bits
from opfuzz.case import Case
from opfuzz.errors import OpfuzzError, did_you_mean
from opfuzz.execute import Casualty, note, pool
from opfuzz.expr import Program
from opfuzz.floats import FORMATS, hex_of
from opfuzz.generate import draw, draw_near, inputs, regime_names
from opfuzz.metrics.distance import largest_distance
from opfuzz.oracle.functions import REFERENCE_FUNCTIONS
from opfuzz.oracle.reference import Reference
from opfuzz.profile import Profile
from opfuzz.rank import Ranking
from opfuzz.records import Judged, Mark, Outcome, Result, Score, Witness
from opfuzz.score import score
from opfuzz.spec import OpSpec, Vocabulary, load_all

BATCH = 16  # cases a task, after smaller ones at the start: the pool costs well below a millisecond a batch
REPEAT_EVERY = 8  # one case in so many is called twice
RELATE_EVERY = 2  # one in so many is tried in another way as well
CASE_SECONDS = 10.0  # after which an op hangs; the slowest honest case takes about 1 s
COMPILED_SECONDS = 120.0  # the same where a compiler runs first, which was seen to take 18 s
CASUALTIES = 2  # of one op, format and subject, after which the subject is spared further cases of them
WORKER_BYTES = 4 * 2**30
WITNESS_VALUES = 8  # of each input that a witness shows


@dataclass(frozen=True, slots=True)
class Plan:
    """What to run: everything that a worker needs, and the budget. One of `cases` and `seconds` is set."""

    specs: tuple[OpSpec, ...]
    subjects: tuple[str, ...]
    seed: int
    jobs: int
    formats: tuple[str, ...] = tuple(FORMATS)
    plugins: tuple[Path, ...] = ()
    cases: int | None = None  # for each op, subject and format
    seconds: float | None = None
    profile: Profile | None = None  # operating points to try

    def case(self, op: str, format: str, number: int) -> Case:
        """Case `number` of an op in a format."""
        spec = next(spec for spec in self.specs if spec.op == op)
        return self.near(spec, format, number) or draw(spec, format, self.seed, number)

    def near(self, spec: OpSpec, format: str, number: int) -> Case | None:
        """Case `number`, if it lies near an operating point of the profile."""
        return None if self.profile is None else draw_near(spec, format, self.seed, number, self.profile)

    def pairs(self) -> list[tuple[str, str]]:
        """Ops and formats to try."""
        return [(spec.op, name) for spec in self.specs for name in spec.formats if name in self.formats]


@dataclass(frozen=True, slots=True)
class Item:
    """One case to examine, named by its place in the stream of its op and format."""

    op: str
    format: str
    number: int
    spared: frozenset[str] = frozenset()  # subjects that this op kills


def vocabulary(backends: Mapping[str, Backend]) -> Vocabulary:
    """All that a spec may name, on this machine."""
    dialects = {b.dialect: None if b.absent() else b.functions() for b in reversed(list(backends.values()))}
    return Vocabulary(regimes=regime_names(), reference_functions=REFERENCE_FUNCTIONS, dialects=dialects)


def load_specs(paths: Sequence[Path], backends: Mapping[str, Backend], ops: Sequence[str] = ()) -> tuple[OpSpec, ...]:
    """The specs in these files and folders, each tried on its simplest cases; only `ops` if any are named.

    Raises SpecError for what is wrong in the files, OpfuzzError for an unknown op or a reference that fails.
    """
    specs = load_all(paths, vocabulary(backends))
    known = {spec.op: spec for spec in specs}
    for op in ops:
        if op not in known:
            raise OpfuzzError(f"unknown op '{op}'{did_you_mean(op, known) or '; known: ' + ', '.join(sorted(known))}")
    chosen = tuple(known[op] for op in dict.fromkeys(ops)) if ops else specs
    for spec in chosen:
        for number in range(3):
            case = draw(spec, spec.formats[0], 0, number)
            reference_of(spec, case, inputs(spec, case))
    return chosen


def reference_of(spec: OpSpec, case: Case, arrays: Mapping[str, NDArray[Any]]) -> Reference:
    """The exact result of a case."""
    return Reference(spec, FORMATS[case.format], case.dims, case.params, arrays)


class Bench:
    """A worker's tools: specs, subjects and their backends, made once."""

    def __init__(self, plan: Plan, backends: Mapping[str, Backend] | None = None) -> None:
        self.plan = plan
        if backends is None:
            backends = discover(plan.plugins)
        self.specs = {spec.op: spec for spec in plan.specs}
        self.subjects = [resolve(text, backends) for text in plan.subjects]
        for _, backend in self.subjects:
            backend.limit_threads(1)

    def examine(self, item: Item) -> Result:
        """One case on every subject that has a call for it."""
        spec = self.specs[item.op]
        near = self.plan.near(spec, item.format, item.number)
        case = near or draw(spec, item.format, self.plan.seed, item.number)
        arrays = inputs(spec, case)
        reference = reference_of(spec, case, arrays)
        repeat = item.number % REPEAT_EVERY == 0
        judged: list[Judged] = []
        outputs: dict[str, NDArray[Any]] = {}
        for subject, backend in self.subjects:
            for implementation, program in calls_of(spec, subject, backend).items():
                precise = replace(subject, implementation=implementation)
                if str(precise) in item.spared:
                    continue
                note(str(precise))
                outcome = self._perform(spec, case, arrays, precise, backend, program, repeat)
                note("")  # what kills the worker from here on is no fault of the subject
                verdict = score(outcome, reference)
                if outcome.output is not None:
                    outputs[outcome.subject] = outcome.output
                    if item.number % RELATE_EVERY == 0 and program is not None:
                        turn = item.number // RELATE_EVERY
                        verdict = self._related(verdict, outcome.output, case, reference, precise, backend, turn)
                judged.append(_judged(outcome.subject, verdict, case, arrays, reference))
        distances = {(a, b): largest_distance(outputs[a], outputs[b]) for a, b in combinations(outputs, 2)}
        return Result(
            item.op,
            item.format,
            item.number,
            case.id,
            case.sort_key(spec),
            tuple(judged),
            distances,
            near=near is not None,
        )

    def _related(
        self,
        own: Score,
        output: NDArray[Any],
        case: Case,
        reference: Reference,
        subject: Subject,
        backend: Backend,
        turn: int,
    ) -> Score:
        """The score of a case after another way to the same result was tried too."""
        spec = reference.spec
        arrays = dict(reference.arrays)
        relation = relations.chosen(spec, case, arrays, reference.is_unary, subject.mode, turn)
        if relation is None:
            return own
        program = calls_of(spec, subject, backend)[subject.implementation]
        assert program is not None

        def call(piece: relations.Piece) -> Outcome:
            names, shape = {**piece.dims, **case.params}, spec.output_shape(piece.dims, case.params)
            given = (piece.arrays, piece.layouts, names, case.format, shape)
            way = replace(subject, mode="") if relation.is_eager else subject
            return perform(backend, way, program, *given, repeat=False)

        note(str(subject))
        outcome = relations.assemble(relation, output, call)
        note("")
        is_same = outcome.output is not None and same_bits(outcome.output, output)
        other = own if is_same else score(outcome, reference)
        return relations.decide(own, other, relation, is_same)

    def _perform(
        self,
        spec: OpSpec,
        case: Case,
        arrays: Mapping[str, NDArray[Any]],
        subject: Subject,
        backend: Backend,
        program: Program | None,
        repeat: bool,
    ) -> Outcome:
        if program is None:
            missing = f"no call '{subject.implementation}'" if subject.implementation else "no call"
            return Outcome(
                str(subject), "unsupported", message=f"the spec has {missing} for the dialect {backend.dialect}"
            )
        names = {**case.dims, **case.params}
        shape = spec.output_shape(case.dims, case.params)
        return perform(backend, subject, program, arrays, case.layouts, names, case.format, shape, repeat=repeat)


def calls_of(spec: OpSpec, subject: Subject, backend: Backend) -> Mapping[str, Program | None]:
    """The implementations that a subject means, by name; the one it names, or all of its dialect."""
    calls = spec.calls.get(backend.dialect, {})
    if subject.implementation:
        return {subject.implementation: calls.get(subject.implementation)}
    return calls or {"": None}


def implementations(spec: OpSpec, subjects: Sequence[str], backends: Mapping[str, Backend]) -> list[str]:
    """Every subject, once for each implementation of the op that it means."""
    resolved = [resolve(text, backends) for text in subjects]
    return [str(replace(s, implementation=name)) for s, backend in resolved for name in calls_of(spec, s, backend)]


def _judged(
    subject: str, verdict: Score, case: Case, arrays: Mapping[str, NDArray[Any]], reference: Reference
) -> Judged:
    def witness(mark: Mark | None) -> Witness | None:
        return None if mark is None else witness_of(mark, case.id, arrays, reference)

    largest = witness(verdict.largest)
    return Judged(
        subject, verdict, largest, largest if verdict.deciding == verdict.largest else witness(verdict.deciding)
    )


def witness_of(mark: Mark, case: str, arrays: Mapping[str, NDArray[Any]], reference: Reference) -> Witness:
    """An element with the values of the inputs that it depends on."""
    hexes: dict[str, tuple[str, ...]] = {}
    values: dict[str, tuple[float, ...]] = {}
    for name, places in reference.sources(mark.index).items():
        shown = arrays[name].ravel()[places[:WITNESS_VALUES]]
        values[name] = tuple(float(v) for v in shown)
        if shown.dtype.name in FORMATS:
            hexes[name] = tuple(hex_of(v) for v in shown)
    return Witness(case, mark, hexes, values)


_bench: Bench | None = None


def _set_up(plan: Plan) -> None:
    global _bench
    _bench = Bench(plan)


def _work(item: Item) -> Result | OpfuzzError:
    assert _bench is not None
    try:
        with np.errstate(all="ignore"), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what a framework has to say about extreme inputs
            return _bench.examine(item)
    except OpfuzzError as error:  # a spec that fails on this case: the user's to mend, so it travels as a value
        return OpfuzzError(f"{error} (case {item.number} of {item.op} in {item.format})")


@dataclass
class Progress:
    """What is known while a campaign runs."""

    ranking: Ranking
    started: float
    cases: int = 0  # counted once per subject
    interrupted: bool = False
    casualties: Counter[tuple[str, str, str]] = field(default_factory=Counter)  # op, format, subject

    @property
    def seconds(self) -> float:
        """Since the start."""
        return time.monotonic() - self.started


def run(plan: Plan, watch: Callable[[Progress], None] = lambda progress: None) -> Progress:
    """Run the plan; `watch` is called after every batch. Ctrl-C ends it early, with all that was found.

    Raises OpfuzzError for a spec whose reference fails, RuntimeError for an error of opfuzz itself.
    """
    progress = Progress(Ranking(plan.profile.gains if plan.profile else {}), time.monotonic())
    # Modules are imported before workers fork, and used by none but them: forking after use hangs.
    backends = discover(plan.plugins)
    preload = ["opfuzz.campaign", *(m for s in plan.subjects for m in backends[Subject.parse(s).backend].modules)]
    results = pool.run(
        _batches(plan, progress),
        _work,
        jobs=plan.jobs,
        timeout=COMPILED_SECONDS if any("+" in subject for subject in plan.subjects) else CASE_SECONDS,
        memory=WORKER_BYTES,
        preload=list(dict.fromkeys(preload)),
        initialise=partial(_set_up, plan),
    )
    numbered = _Numbering(plan)
    try:
        for number, batch in results:
            for item, result in zip(numbered.items(number), batch, strict=True):
                if isinstance(result, Casualty):
                    if result.kind != "crash":  # which costs no time, so the later cases are tried all the same
                        progress.casualties[item.op, item.format, result.label] += 1
                    result = _lost(item, result, plan, backends)
                _take(progress, result)
            watch(progress)
    except KeyboardInterrupt:
        progress.interrupted = True
    finally:
        results.close()
    return progress


class _Numbering:
    """The stream of batches: rounds over all ops and formats, so that a run cut short has tried them all alike.

    Rounds grow, 1, 2, 4, 8 and then BATCH cases of each, so that a short run gets round at all.
    """

    def __init__(self, plan: Plan) -> None:
        self.pairs = plan.pairs()
        self.cases = plan.cases

    def items(self, number: int) -> list[Item]:
        """The items of a batch; empty beyond the last case."""
        turn, place = divmod(number, len(self.pairs))
        first, last = _cases_before(turn), _cases_before(turn + 1)
        return [
            Item(*self.pairs[place], n) for n in range(first, last if self.cases is None else min(last, self.cases))
        ]


def _cases_before(turn: int) -> int:
    growing = BATCH.bit_length() - 1
    return (1 << min(turn, growing)) - 1 + BATCH * max(0, turn - growing)


def _batches(plan: Plan, progress: Progress) -> Iterator[list[Item]]:
    numbering = _Numbering(plan)
    if not numbering.pairs:
        return
    for number in count():
        items = numbering.items(number)
        if not items or (
            plan.seconds is not None and progress.seconds >= plan.seconds and number >= len(numbering.pairs)
        ):
            return
        place = items[0].op, items[0].format
        spared = frozenset(s for (*at, s), n in progress.casualties.items() if tuple(at) == place and n >= CASUALTIES)
        yield [replace(item, spared=spared) for item in items] if spared else items


def _lost(item: Item, casualty: Casualty, plan: Plan, backends: Mapping[str, Backend]) -> Result:
    """The result of a case that ended its worker: a fault of the subject that was at work, else of nobody."""
    if casualty.kind == "internal":
        raise RuntimeError(f"case {item.number} of {item.op} in {item.format}: {casualty.message}")
    spec = next(spec for spec in plan.specs if spec.op == item.op)
    case = plan.case(item.op, item.format, item.number)
    if casualty.label:
        judged = [Judged(casualty.label, Score(casualty.kind, casualty.message), None, None)]
    else:
        unknown = Score("unresolved", f"the exact result is not known: {casualty.message}")
        judged = [Judged(subject, unknown, None, None) for subject in implementations(spec, plan.subjects, backends)]
    return Result(item.op, item.format, item.number, case.id, case.sort_key(spec), tuple(judged), {})


def _take(progress: Progress, result: Result | OpfuzzError) -> None:
    if isinstance(result, OpfuzzError):
        raise result
    progress.ranking.add(result)
    progress.cases += len(result.judged)
