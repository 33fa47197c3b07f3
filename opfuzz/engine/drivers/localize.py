"""A localisation: a pipeline on two subjects, every op and every wrong reading tried alone, and what that says."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import numpy as np

from opfuzz.backends import discover, perform, resolve
from opfuzz.core.call import Call
from opfuzz.core.errors import OpfuzzError
from opfuzz.core.files import user_module as python_file
from opfuzz.engine.executors import INLINE, LOCAL, Casualty, drive
from opfuzz.engine.machines import machine, versions
from opfuzz.engine.plan import calls_of, load_specs
from opfuzz.engine.roster import Roster, RosterTask
from opfuzz.judge.score import score
from opfuzz.network.drift import UNKNOWN, Drift, drift
from opfuzz.network.localize import precision
from opfuzz.network.localize.matching import (
    best_first,
    frames_of,
    judge,
    pairs_of,
    promising_pairs,
    residual_of,
    unit_of,
)
from opfuzz.network.localize.observed import Observed, factor, with_figures
from opfuzz.network.localize.result import Attribution, CallError, Localization, Tried
from opfuzz.network.localize.verdict import sentences
from opfuzz.network.pipeline.decoder_files import load_decoder
from opfuzz.network.pipeline.dispatch import Array, Compute, OpCall
from opfuzz.network.pipeline.model import PipelineModel, user_model
from opfuzz.network.pipeline.planting import Setup, Variant, of_ops
from opfuzz.oracle.meaning import variant_values
from opfuzz.oracle.reference import references_of
from opfuzz.report.causes import word_cause

BUNDLED = "decoder"
FORMAT = "float32"
EXAMINED = 24  # calls of an op that are judged against the exact value: 12 ms each, where the op itself takes 0.2
PAIRS = 40  # run on request, after all have been ranked by their sum
REPEATED = 1e-3  # standard deviations between two runs on one subject; adding in any order stays far below
PATIENCE = 3600.0  # seconds for one pass through the network


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

    def __init__(self, plan: LocalizePlan) -> None:
        self.plan = plan
        backends = discover(plan.plugins)
        self.specs = {spec.op: spec for spec in load_specs(plan.specs, backends)}
        self.model = load_model(plan)
        self.a, self.b = (computing(text, plan.plugins) for text in (plan.a, plan.b))
        self.calls: list[OpCall] = []
        self.base, self.recorded = replace(self.setup, compute=self._noting).run(self.specs)
        self.variants = [
            *of_ops(self.calls, meaning),
            *precision.variants(self.model.weights),
            *self.model.variants,
        ]

    @property
    def setup(self) -> Setup:
        """Everything on side A, nothing planted."""
        return Setup(self.model.pipeline, self.model.weights, self.model.inputs, self.a)

    @property
    def ops(self) -> list[str]:
        """In order of their first call."""
        return list(dict.fromkeys(call.op for call in self.calls))

    def _noting(self, call: OpCall) -> Array:
        self.calls.append(call)
        return self.a(call)

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
        """Output of a pass, and what it records."""
        setup = self.setup
        if task.on_b:
            setup = replace(setup, compute=lambda call: (self.b if call.op in task.on_b else self.a)(call))
        for number in task.planted:
            setup = self.variants[number].plant(setup)
        with np.errstate(all="ignore"):  # a wrong reading may overflow
            return setup.run(self.specs)


def load_model(plan: LocalizePlan) -> PipelineModel:
    """The bundled decoder, or the pipeline in a user's file. Raises OpfuzzError for a mistake in any file."""
    if plan.model == BUNDLED:
        return load_decoder(plan.weights, plan.config, plan.inputs, plan.seed)
    path = Path(plan.model)
    if path.suffix != ".py":
        raise OpfuzzError(f"'{plan.model}' is no pipeline; write '{BUNDLED}' for the bundled one, or a Python file")
    if plan.config is not None:
        raise OpfuzzError("--config is for the bundled decoder; a pipeline of your own has its settings in its file")
    return user_model(python_file.load(path, "pipeline"), path, plan.weights, plan.inputs, plan.seed)


def computing(text: str, plugins: Sequence[Path] = ()) -> Compute:
    """What makes a subject compute calls. Raises OpfuzzError for a subject that is not here, and where it fails."""
    subject, backend = resolve(text, discover(plugins))
    backend.limit_threads(1)

    def compute(call: OpCall) -> Array:
        named = subject if subject.implementation in call.spec.calls.get(backend.dialect, {}) else None
        programs = calls_of(call.spec, named or replace(subject, implementation=""), backend)
        program = next(iter(programs.values()))
        if program is None:
            raise OpfuzzError(f"{call.spec.path}: op '{call.op}' has no call for the dialect {backend.dialect}")
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


@dataclass(frozen=True, slots=True)
class PassTask(RosterTask[PipelineBench, Pass, Array]):
    """Passes through a pipeline, whose output is wanted."""

    plan: LocalizePlan
    bench: PipelineBench | None = None  # of this process, where the passes are made here

    @property
    def timeout(self) -> float:
        """See Task."""
        return PATIENCE

    @property
    def memory(self) -> None:
        """See Task. A network may be of any size."""
        return None

    def describe(self, item: Pass) -> str:
        """See Task."""
        return ""

    def set_up(self) -> PipelineBench:
        """See Task."""
        return self.bench or PipelineBench(self.plan)

    def work(self, state: PipelineBench, item: Pass) -> Array:
        """See PipelineBench."""
        return state.perform(item)[0]


class Team:
    """Makes passes, in this process or in several, and tells how far it is."""

    def __init__(self, bench: PipelineBench, watch: Callable[[int, int], None]) -> None:
        self.bench, self.watch = bench, watch

    def outputs(self, passes: Sequence[Pass]) -> list[Array]:
        """Output of each pass, in order.

        Raises OpfuzzError for what a subject cannot do, KeyboardInterrupt if Ctrl-C or SIGTERM ended it.
        """
        plan, found = self.bench.plan, dict[int, Array]()

        def take(number: int, batch: Sequence[tuple[Pass, Array | Casualty]]) -> None:
            for item, output in batch:
                if isinstance(output, Casualty):
                    raise RuntimeError(f"{item}: {output.kind}: {output.message}")
                found[number] = output
            self.watch(len(found), len(passes))

        is_here = plan.jobs == 1 or len(passes) == 1
        roster = Roster.of((plan.a, plan.b), plan.plugins, discover(plan.plugins))
        task = PassTask(roster, plan, self.bench if is_here else None)
        if drive(INLINE if is_here else LOCAL, task, ([item] for item in passes), take, jobs=plan.jobs):
            raise KeyboardInterrupt
        return [found[number] for number in range(len(passes))]


def localize(
    plan: LocalizePlan,
    observed: Callable[[Array], Observed | None],
    watch: Callable[[int, int], None] = lambda done, all: None,
) -> Localization:
    """Run the plan. `observed` is called with side A's output, and says what was seen of the other side's.

    Raises OpfuzzError for a mistake in a file, and where a subject cannot compute a call.
    """
    started = time.monotonic()
    bench = PipelineBench(plan)
    _check(bench, plan)
    survey = bench.survey()
    whole = observed(survey.output)
    cut = partial(frames_of, frames=plan.frames)
    base = cut(survey.output)
    seen = whole and with_figures(replace(whole, tensor=None if whole.tensor is None else cut(whole.tensor)), base)
    ops = bench.ops
    other, recorded = bench.perform(Pass(on_b=frozenset(ops)))
    tasks = [Pass(on_b=frozenset({op})) for op in ops] + [Pass(on_b=frozenset(ops) - {op}) for op in ops]
    tasks += [Pass(planted=(number,)) for number in range(len(bench.variants))]
    team = Team(bench, watch)
    outputs = [cut(output) for output in team.outputs(tasks)]
    alone, without, planted = outputs[: len(ops)], outputs[len(ops) : 2 * len(ops)], outputs[2 * len(ops) :]
    if any(output.shape != base.shape for output in (cut(other), *alone, *without)):
        raise OpfuzzError(f"{plan.model}: the output has another shape on {plan.b}: there is nothing to compare")
    total = drift(base, cut(other))
    attribution = _attribution(ops, survey, base, alone, without, seen)
    rounding = total.rms / unit_of(base)
    tried = [judge(v, out, base, seen, rounding) for v, out in zip(bench.variants, planted, strict=True)]
    pairs = _pairs(bench, team, planted, base, seen, rounding) if plan.pairs and seen is not None else []
    variants = best_first(tried)
    residual = None
    if seen is not None and seen.tensor is not None:
        residual = residual_of(base, seen.tensor)
    return Localization(
        model=bench.model.name,
        described=bench.model.described,
        a=plan.a,
        b=plan.b,
        versions=versions(discover(plan.plugins)),
        frames=plan.frames,
        drift=total,
        per_step=_per_step(survey.recorded, recorded),
        attribution=tuple(attribution),
        calls=tuple(survey.calls),
        observed=None if seen is None else dict(seen.figures),
        observed_from="" if seen is None else seen.origin,
        rounding=rounding,
        variants=tuple(variants),
        pairs=tuple(pairs),
        verdict=sentences(total, plan.b, attribution, variants, pairs, seen, residual, rounding),
        machine=machine(),
        seconds=round(time.monotonic() - started, 3),
        axes=bench.model.axes,
        errors=_errors(base, cut(other), seen, variants, {v.title: out for v, out in zip(tried, planted, strict=True)}),
    )


def _errors(
    base: Array, other: Array, observed: Observed | None, variants: Sequence[Tried], planted: Mapping[str, Array]
) -> dict[str, Array]:
    """Differences of outputs worth a picture: what rounding does, what was observed, what the best variant leaves."""
    found = {"b against a": other - base}
    if observed is not None and observed.tensor is not None:
        found["observed against a"] = observed.tensor - base
        if variants and variants[0].residual is not None:
            title = variants[0].title
            found[f"observed against a with {title}"] = observed.tensor - planted[title]
    return found


def _check(bench: PipelineBench, plan: LocalizePlan) -> None:
    output = bench.base
    if not bench.calls:
        raise OpfuzzError(f"{plan.model}: the pipeline calls no op through `run`, so there is nothing to compare")
    if not output.size:
        raise OpfuzzError(f"{plan.model}: the output has the shape {list(output.shape)}: nothing is in it")
    places = output.shape[-1] if output.ndim else 0
    if plan.frames is not None and plan.frames[1] > places:
        named = f"--frames {plan.frames[0]}:{plan.frames[1]}"
        raise OpfuzzError(f"{named}: the last axis of the output, of shape {list(output.shape)}, has {places} places")
    if not np.isfinite(output).all():
        bad = np.count_nonzero(~np.isfinite(output))
        raise OpfuzzError(f"{plan.model}: {bad} of {output.size} values of the output are NaN or infinite on {plan.a}")
    again, _ = bench.perform(Pass())
    if again.shape != output.shape or (apart := drift(output, again)).rms > REPEATED * apart.std_a:
        raise OpfuzzError(
            f"{plan.model}: a second run gives another output; a pipeline changes no tensor in place that it was "
            "given, and draws no random numbers: that is for example(seed)"
        )


def _per_step(ours: Mapping[str, Array], theirs: Mapping[str, Array]) -> dict[str, Drift]:
    def both(name: str, array: Array) -> Drift:
        is_alike = name in theirs and theirs[name].shape == array.shape
        return drift(array, theirs[name]) if is_alike else UNKNOWN

    return {name: both(name, array) for name, array in ours.items() if array.size}


def _attribution(
    ops: Sequence[str],
    survey: Survey,
    base: Array,
    alone: Sequence[Array],
    without: Sequence[Array],
    observed: Observed | None,
) -> list[Attribution]:
    found = []
    for op, output, rest in zip(ops, alone, without, strict=True):
        own = [call.relative for call in survey.calls if call.op == op]
        only = drift(base, output)
        needed = None if observed is None else factor(observed, only)
        found.append(Attribution(op, len(own), max(own), survey.excess[op], only, drift(base, rest), needed))
    return sorted(found, key=lambda row: -row.only.rms)


def _pairs(
    bench: PipelineBench, team: Team, planted: Sequence[Array], base: Array, observed: Observed, rounding: float
) -> list[Tried]:
    def may_pair(i: int, j: int) -> bool:
        return not bench.variants[i].excludes(bench.variants[j])

    nothing = np.zeros_like(base)
    changes = [output - base if output.shape == base.shape else nothing for output in planted]
    chosen = promising_pairs(changes, base, observed, PAIRS, may_pair)
    outputs = team.outputs([Pass(planted=pair) for pair in chosen])
    cut = [frames_of(output, bench.plan.frames) for output in outputs]
    named: list[Variant] = list(pairs_of(bench.variants, chosen))
    return best_first(judge(v, out, base, observed, rounding) for v, out in zip(named, cut, strict=True))
