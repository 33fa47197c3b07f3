"""A pipeline on two subjects: passes through it with ops on the other side, or with wrong readings planted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from types import ModuleType

import numpy as np

from opfuzz.backends import discover, perform, resolve
from opfuzz.core.call import Call
from opfuzz.core.errors import OpfuzzError
from opfuzz.core.files import user_module as python_file
from opfuzz.engine.plan import calls_of, load_specs
from opfuzz.judge.score import score
from opfuzz.network.localize import precision
from opfuzz.network.localize.result import CallError
from opfuzz.network.observe.model import has_model, observed_model
from opfuzz.network.pipeline.decoder_files import load_decoder
from opfuzz.network.pipeline.dispatch import Array, Compute, OpCall, Reuse
from opfuzz.network.pipeline.model import PipelineModel, user_model
from opfuzz.network.pipeline.planting import Setup, of_ops
from opfuzz.oracle.meaning import variant_values
from opfuzz.oracle.reference import references_of
from opfuzz.report.causes import word_cause
from opfuzz.spec import OpSpec
from opfuzz.spec.expression.program import Program

BUNDLED = "decoder"
FORMAT = "float32"
OWN = "torch:cpu"  # the side that a model of torch is
EXAMINED = 24  # calls of an op that are judged against the exact value: 12 ms each, where the op itself takes 0.2


@dataclass(frozen=True, slots=True)
class LocalizePlan:
    """What to localise, and on whom."""

    model: str  # the bundled decoder, or a Python file
    a: str
    b: str
    specs: tuple[Path, ...]
    plugins: tuple[Path, ...] = ()
    weights: Path | None = None
    config: Path | None = None
    inputs: Path | None = None
    frames: tuple[int, int] | None = None
    seed: int = 0
    jobs: int = 1
    pairs: bool = False
    all: bool = False  # go on where a residual at rounding level explains what was observed


@dataclass(frozen=True, slots=True)
class Pass:
    """One pass through the pipeline: with some ops on side B, or with variants planted on side A."""

    on_b: frozenset[str] = frozenset()
    planted: tuple[int, ...] = ()


@dataclass
class Survey:
    """One pass on side A, each call made on side B as well."""

    output: Array
    recorded: Mapping[str, Array]
    calls: list[CallError] = field(default_factory=list)
    excess: dict[str, float] = field(default_factory=dict)  # of side B by op


class PipelineBench:
    """The pipeline with both sides, made once in every process."""

    def __init__(self, plan: LocalizePlan, given: ModuleType | None = None) -> None:
        self.plan = plan
        backends = discover(plan.plugins)
        self.specs = {spec.op: spec for spec in load_specs(plan.specs, backends)}
        self.model = load_model(plan, self.specs, given)
        self.a, self.b = (computing(text, plan.plugins) for text in (plan.a, plan.b))
        self.calls: list[OpCall] = []
        self.outputs: list[Array] = []  # of each call on side A, nothing planted
        noting = replace(self.setup, compute=self._noting, reuse=Reuse(keeps=not self.is_own))
        self.base, self.recorded = noting.run(self.specs)
        if self.is_own:
            kept = replace(self.setup, reuse=replace(self.setup.reuse, keeps=True))
            self.base, self.recorded = kept.run(self.specs)
        self.variants = [
            *of_ops(self.calls, meaning, self.model.owners),
            *precision.variants(self.model.weights),
            *self.model.variants,
        ]

    @property
    def setup(self) -> Setup:
        """Everything on side A, nothing planted."""
        reuse = Reuse(asks=asks_never) if self.is_own else Reuse()
        return Setup(self.model.pipeline, self.model.weights, self.model.inputs, self.a, reuse)

    @property
    def is_own(self) -> bool:
        """Whether side A is what the model itself computes."""
        return self.model.owners is not None and self.plan.a == OWN

    @property
    def ops(self) -> list[str]:
        """In order of their first call."""
        return list(dict.fromkeys(call.op for call in self.calls))

    def _noting(self, call: OpCall) -> Array:
        self.calls.append(call)
        output = self.a(call)
        self.outputs.append(output.copy())  # a pipeline may go on in what it was given
        return output

    def _again(self, call: OpCall) -> Array:
        """What side A gives, which is known where nothing that was planted has reached a call."""
        if call.number < len(self.calls) and _is_same(call, self.calls[call.number]):
            return self.outputs[call.number].copy()
        return self.a(call)

    def _from(self, first: int, compute: Compute) -> Compute:
        """`compute` from the first call on that may give something else."""
        return lambda call: self.outputs[call.number].copy() if call.number < first else compute(call)

    def survey(self) -> Survey:
        """Local errors: side B on side A's own inputs, call by call."""
        count = {op: sum(call.op == op for call in self.calls) for op in self.ops}
        seen = dict.fromkeys(self.ops, 0)
        found = Survey(self.base, self.recorded)

        for call in self.calls:
            ours, theirs = self.a(call), self.b(call)
            found.calls.append(CallError(call.number, call.op, call.role, call.at, _relative(ours, theirs)))
            if seen[call.op] % max(1, count[call.op] // EXAMINED) == 0:
                excess = examine(call, theirs)
                found.excess[call.op] = max(found.excess.get(call.op, 0.0), excess)
            seen[call.op] += 1
        return found

    def perform(self, task: Pass) -> tuple[Array, dict[str, Array]]:
        """Output of a pass, and what it records. Raises UnfitError where the pipeline does not admit what is planted.

        Calls before the first that may give something else are not made again, nor those that it does not reach. With
        nothing planted all are: that tells whether the pipeline changes what it was given.
        """
        setup = replace(self.setup, compute=self._again if task.on_b or task.planted else self.a)
        if task.on_b:
            on_b = task.on_b
            setup = setup.computing(
                lambda call: (self.b if call.op in on_b else self._again)(call), lambda op, role, at: op in on_b
            )
        for number in task.planted:
            setup = self.variants[number].plant(setup)
        firsts = [call.number for call in self.calls if call.op in task.on_b][:1]
        firsts += [self.variants[number].first for number in task.planted]
        begin = min(firsts, default=0)
        setup = replace(setup, compute=self._from(begin, setup.compute), reuse=replace(setup.reuse, begin=begin))
        with np.errstate(all="ignore"):  # a wrong reading may overflow
            return setup.run(self.specs)


def _is_same(call: OpCall, other: OpCall) -> bool:
    """Whether two calls are of one op, with the same numbers."""
    if call.spec is not other.spec or call.dims != other.dims or call.params != other.params:
        return False
    pairs = [(array, other.arrays[name]) for name, array in call.arrays.items()]
    pairs = [(ours, theirs) for ours, theirs in pairs if ours is not theirs]  # weights mostly are one
    # What was reached differs nearly everywhere: one number tells, or the first ones do.
    middles = [(ours.item(ours.size // 2), theirs.item(theirs.size // 2)) for ours, theirs in pairs if ours.size]
    if any(one != other for one, other in middles):  # with NaN a call is made again
        return False
    return all(np.array_equal(ours[..., :1], theirs[..., :1]) for ours, theirs in pairs) and all(
        np.array_equal(ours, theirs) for ours, theirs in pairs
    )


def asks_never(op: str, role: str, at: str) -> bool:
    """All is left to the pipeline."""
    return False


def load_model(plan: LocalizePlan, specs: Mapping[str, OpSpec], given: ModuleType | None = None) -> PipelineModel:
    """The bundled decoder, the pipeline or the model in a user's file, or the model that is `given` without one.

    Raises OpfuzzError for a mistake in any file.
    """
    if given is not None:
        return observed_model(given, Path(plan.model), specs, plan.seed)
    if plan.model == BUNDLED:
        return load_decoder(plan.weights, plan.config, plan.inputs, plan.seed)
    path = Path(plan.model)
    if path.suffix != ".py":
        raise OpfuzzError(f"'{plan.model}' is no pipeline; write '{BUNDLED}' for the bundled one, or a Python file")
    if plan.config is not None:
        raise OpfuzzError("--config is for the bundled decoder; a pipeline of your own has its settings in its file")
    module = python_file.load(path, "model")
    if hasattr(module, "pipeline") or not has_model(module):
        return user_model(module, path, plan.weights, plan.inputs, plan.seed)
    for option, named in (("--weights", plan.weights), ("--inputs", plan.inputs)):
        if named is not None:
            raise OpfuzzError(f"{option} is for pipelines; the file of a model, {path}, has its own")
    return observed_model(module, path, specs, plan.seed)


def computing(text: str, plugins: Sequence[Path] = ()) -> Compute:
    """What makes a subject compute calls. Raises OpfuzzError for a subject that is not here, and where it fails."""
    subject, backend = resolve(text, discover(plugins))
    backend.limit_threads(1)

    @cache
    def program_of(spec: OpSpec) -> Program | None:
        known = calls_of(spec, replace(subject, implementation=""), backend)
        programs = calls_of(spec, subject, backend) if subject.implementation in known else known
        return next(iter(programs.values()))

    def compute(call: OpCall) -> Array:
        program = program_of(call.spec)
        if program is None:
            raise OpfuzzError(
                f"{call.spec.path}: op '{call.op}' has no call for the dialect {' or '.join(backend.dialects)}"
            )
        outcome = perform(backend, subject, program, _made(call), {"": call.shape})
        if outcome.outputs is None:
            raise OpfuzzError(f"op '{call.op}' at {call.at}: {subject}: {outcome.status}: {word_cause(outcome.cause)}")
        (output,) = outcome.outputs
        return output

    return compute


def _made(call: OpCall) -> Call:
    return Call(FORMAT, call.dims, call.params, call.arrays, {})


def meaning(call: OpCall, name: str) -> Array | None:
    """What a call gives under a variant of its spec, to the precision of the format."""
    values = variant_values(call.spec, name, call.dims, call.params, call.arrays)
    return None if values is None else values[0].astype(np.float32)


def examine(call: OpCall, output: Array) -> float:
    """Excess of a result over what honest arithmetic does."""
    (reference,) = references_of(call.spec, _made(call))
    return score(output, reference).excess


def _relative(a: Array, b: Array) -> float:
    size = float(np.sqrt(np.mean(a.astype(np.float64) ** 2)))
    apart = float(np.sqrt(np.mean((b.astype(np.float64) - a) ** 2)))
    return apart / size if size else float(apart > 0)
