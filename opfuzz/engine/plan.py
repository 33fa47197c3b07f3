"""What a run is asked to do: specs, subjects and a budget."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from opfuzz.backends import Backend, Subject, callable_names
from opfuzz.backends.base import Functions
from opfuzz.core.call import Call
from opfuzz.core.case import Case
from opfuzz.core.errors import OpfuzzError, did_you_mean
from opfuzz.core.floats import FORMATS
from opfuzz.core.probed import Barred
from opfuzz.engine.executors import WORKER_BYTES
from opfuzz.generate import draw, draw_near, inputs, regime_names, sized_as
from opfuzz.oracle.meaning import meaning_of
from opfuzz.oracle.operations import REFERENCE_FUNCTIONS
from opfuzz.spec import OpSpec, Vocabulary, load_all
from opfuzz.spec.expression.program import Program
from opfuzz.spec.gradient import SUFFIX, is_gradient
from opfuzz.spec.profile import Profile

CASE_SECONDS = 10.0  # after which an op hangs; the slowest honest case takes about 1 s
CORE, CORE_SEED = (
    8,
    0,
)  # cases of an op and format that every run makes, so that two runs can be held against each other
ALIKE = 8  # with a subject that compiles: 0.1 s for JAX in a new shape, 0.4 ms in one that it has seen
COMPILED_SECONDS = 120.0  # the same where a compiler or an exporter runs first, which was seen to take 18 s


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
    climb: float = 0.0  # share of the budget that goes into raising the errors
    case_seconds: float | None = None  # after which a case hangs; None: as long as honest ones may take
    case_memory: int = WORKER_BYTES  # bytes that a process may take
    patience: int | None = 2  # hangs and such of one op, format and subject, which is spared the rest; None: never
    core: int = 0  # cases with lower numbers are the same whatever the seed
    alike: int = 1  # so many cases after the core follow each other with the same sizes and parameters
    without_gradient: Mapping[str, str] = field(default_factory=dict)  # of gradients that were asked for: op and reason
    barred: tuple[Barred, ...] = ()  # what probes have shown to be beyond a subject, which is not tried

    def seed_of(self, number: int) -> int:
        """The seed from which a case is drawn."""
        return CORE_SEED if number < self.core else self.seed

    def case(self, op: str, format: str, number: int) -> Case:
        """Case `number` of an op in a format."""
        spec = next(spec for spec in self.specs if spec.op == op)
        return self.near(spec, format, number) or self.drawn(spec, format, number)

    def drawn(self, spec: OpSpec, format: str, number: int) -> Case:
        """Case `number` without a profile."""
        case = draw(spec, format, self.seed_of(number), number)
        first = number - (number - self.core) % self.alike
        return case if number < self.core or first == number else sized_as(case, spec, self.drawn(spec, format, first))

    def near(self, spec: OpSpec, format: str, number: int) -> Case | None:
        """Case `number`, if it lies near an operating point of the profile."""
        seed = self.seed_of(number)
        return None if self.profile is None else draw_near(spec, format, seed, number, self.profile)

    @property
    def timeout(self) -> float:
        """Seconds after which a case hangs."""
        return self.case_seconds or case_seconds(self.subjects, compiles=self.alike > 1)

    def pairs(self) -> list[tuple[str, str]]:
        """Ops and formats to try."""
        return [(spec.op, name) for spec in self.specs for name in spec.formats if name in self.formats]


def dialects_of(subjects: Iterable[str], backends: Mapping[str, Backend]) -> frozenset[str]:
    """The dialects of these subjects; the frameworks of all others need not be imported, which takes seconds."""
    named = {Subject.parse(text).backend for text in subjects}
    return frozenset(dialect for name in named & backends.keys() for dialect in backends[name].dialects)


def vocabulary(backends: Mapping[str, Backend], dialects: Collection[str] | None = None) -> Vocabulary:
    """All that a spec may name, on this machine; calls of others than `dialects` are checked for their form only.

    A dialect has all that any of the backends publishes whose own it is: what one of them lacks is not supported there.
    """
    published: dict[str, Functions | None] = {}
    for backend in reversed(list(backends.values())):
        dialect = backend.dialect
        names = callable_names(backend) if dialects is None or dialect in dialects else None
        others = published.get(dialect)
        published[dialect] = others if names is None else {**(others or {}), **names}
    return Vocabulary(regimes=regime_names(), reference_functions=REFERENCE_FUNCTIONS, dialects=published)


def load_specs(
    paths: Sequence[Path],
    backends: Mapping[str, Backend],
    ops: Sequence[str] = (),
    dialects: Collection[str] | None = None,
) -> tuple[OpSpec, ...]:
    """The specs in these files and folders, each tried on its simplest cases; only `ops` if any are named.

    With `dialects`, calls of others are checked for their form only, and their frameworks are not imported.
    Raises SpecError for what is wrong in the files that are read, OpfuzzError for an unknown op or a reference that
    fails.
    """
    specs = load_all(paths, vocabulary(backends, dialects), ops)
    known = {spec.op: spec for spec in specs}
    for op in ops:
        if is_gradient(op) and op.removesuffix(SUFFIX) in known:
            raise OpfuzzError(
                f"'{op}' is no op of a spec: gradients are tried by opfuzz run --only-gradients --op "
                f"{op.removesuffix(SUFFIX)}"
            )
        if op not in known:
            raise OpfuzzError(f"unknown op '{op}'{did_you_mean(op, known) or '; known: ' + ', '.join(sorted(known))}")
    chosen = tuple(known[op] for op in dict.fromkeys(ops)) if ops else specs
    for spec in chosen:
        for number in range(3):
            case = draw(spec, spec.formats[0], 0, number)
            meaning_of(spec, Call.of(case, inputs(spec, case)))
    return chosen


def calls_of(spec: OpSpec, subject: Subject, backend: Backend) -> Mapping[str, Program | None]:
    """The implementations that a subject means, by name; the one it names, or all of its dialect there."""
    calls = spec.calls.get(backend.dialect_in(spec.calls), {})
    if subject.implementation:
        return {subject.implementation: calls.get(subject.implementation)}
    return calls or {"": None}


def implementations(spec: OpSpec, subjects: Sequence[str], backends: Mapping[str, Backend]) -> list[str]:
    """Every subject, once for each implementation of the op that it means."""
    parsed = [Subject.parse(text) for text in subjects]
    return [str(replace(s, implementation=name)) for s in parsed for name in calls_of(spec, s, backends[s.backend])]


def needs_of(subjects: Iterable[str], backends: Mapping[str, Backend]) -> frozenset[str]:
    """What a machine must have so that these subjects can be tried there."""
    parsed = map(Subject.parse, subjects)
    return frozenset(need for s in parsed if (need := backends[s.backend].needs(s.device)) is not None)


def alike_of(subjects: Iterable[str], backends: Mapping[str, Backend]) -> int:
    """How many cases shall have the same sizes, so that what a subject compiles for one serves the others."""
    return ALIKE if any(backends[Subject.parse(text).backend].compiles for text in subjects) else 1


def case_seconds(subjects: Sequence[str], compiles: bool) -> float:
    """After how long a call of any of these subjects hangs; `compiles`: one of them does so without a mode."""
    return COMPILED_SECONDS if compiles or any("+" in text for text in subjects) else CASE_SECONDS
