"""A localisation: a pipeline on two subjects, every op and every wrong reading tried alone, and what that says."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from types import ModuleType

import numpy as np

from opfuzz.backends import discover
from opfuzz.core.errors import OpfuzzError
from opfuzz.engine.drivers.pipeline_bench import LocalizePlan, Pass, PipelineBench, Survey
from opfuzz.engine.executors import INLINE, LOCAL, Casualty, drive
from opfuzz.engine.machines import machine, versions
from opfuzz.engine.roster import Roster, RosterTask
from opfuzz.network.drift import UNKNOWN, Drift, drift
from opfuzz.network.localize.matching import (
    best_first,
    frames_of,
    is_asked,
    judge,
    pairs_of,
    promising_pairs,
    residual_of,
    unit_of,
)
from opfuzz.network.localize.observed import Observed, factor, with_figures
from opfuzz.network.localize.result import Attribution, Localization, Tried
from opfuzz.network.localize.verdict import search_sentences, sentences
from opfuzz.network.pipeline.dispatch import Array
from opfuzz.network.pipeline.planting import TIERS, UnfitError, Variant

PAIRS = 40  # run on request, after all have been ranked by their sum
REPEATED = 1e-3  # standard deviations between two runs on one subject; adding in any order stays far below
PATIENCE = 3600.0  # seconds for one pass through the network


@dataclass(frozen=True, slots=True)
class PassTask(RosterTask[PipelineBench, Pass, Array | None]):
    """Passes through a pipeline, whose output is wanted; None where it does not admit what is planted."""

    plan: LocalizePlan
    base: Array  # what this process has for side A
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

    def work(self, state: PipelineBench, item: Pass) -> Array | None:
        """See PipelineBench. Raises OpfuzzError for a file that does not make the same in every process."""
        if not _is_same(self.base, state.base):
            raise OpfuzzError(
                f"{self.plan.model}: another process has another output; the file has to make the same model and "
                "inputs whenever it is run: seed what it draws, such as by torch.manual_seed(0) in its first lines"
            )
        try:
            return state.perform(item)[0]
        except UnfitError:
            return None


class Team:
    """Makes passes, in this process or in several, and tells how far it is."""

    def __init__(self, bench: PipelineBench, watch: Callable[[int, int], None]) -> None:
        self.bench, self.watch = bench, watch
        self.interrupted = False  # by Ctrl-C or SIGTERM

    def outputs(
        self, passes: Sequence[Pass], is_wanted: Wanted = lambda number, found: True
    ) -> dict[int, Array | None]:
        """Output of each pass by its number; `is_wanted` is asked before one begins, with what there is by then.

        Interrupted, it gives what there is. Raises OpfuzzError for what a subject cannot do.
        """
        plan, found = self.bench.plan, dict[int, Array | None]()

        def take(number: int, batch: Sequence[tuple[Pass, Array | Casualty | None]]) -> None:
            for item, output in batch:
                if isinstance(output, Casualty):
                    raise RuntimeError(f"{item}: {output.kind}: {output.message}")
                found[numbers[number]] = output
            self.watch(len(found), len(passes))

        numbers: list[int] = []  # of what was begun

        def batches() -> Iterator[list[Pass]]:
            for number, item in enumerate(passes):
                if is_wanted(number, found):
                    numbers.append(number)
                    yield [item]

        is_here = plan.jobs == 1 or len(passes) == 1
        roster = Roster.of((plan.a, plan.b), plan.plugins, discover(plan.plugins))
        task = PassTask(roster, plan, self.bench.base, self.bench if is_here else None)
        self.interrupted |= drive(INLINE if is_here else LOCAL, task, batches(), take, jobs=plan.jobs)
        return found


Wanted = Callable[[int, Mapping[int, Array | None]], bool]


@dataclass
class VariantSearch:
    """The variants of a pipeline, the likeliest first, judged by what they give."""

    variants: Sequence[Variant]
    base: Array
    observed: Observed | None
    rounding: float
    frames: tuple[int, int] | None
    tried: dict[int, Tried] = field(default_factory=dict)  # by number of the variant, but for those that fit nowhere
    outputs: dict[int, Array] = field(default_factory=dict)

    @cached_property
    def order(self) -> list[int]:
        """Numbers of the variants as they are tried."""
        return sorted(range(len(self.variants)), key=lambda number: self.variants[number].tier)

    def take(self, outputs: Mapping[int, Array | None]) -> None:
        """Judge what is new; `outputs` are by place in the order."""
        for place, output in outputs.items():
            number = self.order[place]
            if output is not None and number not in self.tried:
                self.outputs[number] = frames_of(output, self.frames)
                variant = self.variants[number]
                self.tried[number] = judge(variant, self.outputs[number], self.base, self.observed, self.rounding)

    def is_wanted(self, place: int, outputs: Mapping[int, Array | None]) -> bool:
        """Whether the variant at a place of the order is worth a pass.

        All of the first tier are; once one explains what was observed, only those of the same place are, as far as
        they are as likely: they might explain it as well, and then all are named.
        """
        variant = self.variants[self.order[place]]
        if not is_asked(self.base, self.observed, self.rounding):
            return False
        if not variant.tier:
            return True
        self.take(outputs)
        matches = [self.variants[number] for number, one in self.tried.items() if one.match]
        kind = min((one.tier // TIERS for one in matches), default=variant.tier // TIERS)
        is_as_likely = variant.tier // TIERS == kind
        return not matches or (is_as_likely and any(_is_inside(variant.place, one.place) for one in matches))


def _is_inside(one: str, other: str) -> bool:
    """Whether a place is within another, or the other in it: `layers.0` and `layers.0.norm`."""
    a, b = (place.partition(",")[0].split(".") for place in (one, other))
    return all(x == y for x, y in zip(a, b, strict=False))


def localize(
    plan: LocalizePlan,
    observed: Callable[[Array], Observed | None],
    watch: Callable[[int, int], None] = lambda done, all: None,
    given: ModuleType | None = None,
) -> Localization:
    """Run the plan. `observed` is called with side A's output, and says what was seen of the other side's.

    `given` is what the file of the model would define, where there is no file: then all is done in this process.

    Ctrl-C and SIGTERM end it early, with what is known by then; KeyboardInterrupt where that is nothing.
    Raises OpfuzzError for a mistake in a file, and where a subject cannot compute a call.
    """
    started = time.monotonic()
    assert given is None or plan.jobs == 1
    bench = PipelineBench(plan, given)
    _check(bench, plan)
    survey = bench.survey()
    whole = observed(survey.output)
    cut = partial(frames_of, frames=plan.frames)
    base = cut(survey.output)
    seen = whole and with_figures(replace(whole, tensor=None if whole.tensor is None else cut(whole.tensor)), base)
    ops = bench.ops
    other, recorded = bench.perform(Pass(on_b=frozenset(ops)))
    if cut(other).shape != base.shape:
        raise OpfuzzError(f"{plan.model}: the output has another shape on {plan.b}: there is nothing to compare")
    total = drift(base, cut(other))
    rounding = total.rms / unit_of(base)
    by_op = [Pass(on_b=frozenset({op})) for op in ops] + [Pass(on_b=frozenset(ops) - {op}) for op in ops]
    search = VariantSearch(bench.variants, base, seen, rounding, plan.frames)
    team = Team(bench, watch)

    def of_variants(found: Mapping[int, Array | None]) -> dict[int, Array | None]:
        return {number - len(by_op): output for number, output in found.items() if number >= len(by_op)}

    def is_wanted(number: int, found: Mapping[int, Array | None]) -> bool:
        return number < len(by_op) or plan.all or search.is_wanted(number - len(by_op), of_variants(found))

    outputs = team.outputs([*by_op, *(Pass(planted=(number,)) for number in search.order)], is_wanted)
    search.take(of_variants(outputs))
    made = len(of_variants(outputs))
    parts = {number: cut(output) for number, output in outputs.items() if number < len(by_op) and output is not None}
    if any(part.shape != base.shape for part in parts.values()):
        raise OpfuzzError(f"{plan.model}: the output has another shape on {plan.b}: there is nothing to compare")
    attribution = _attribution(ops, survey, base, parts, seen)
    if team.interrupted and not attribution:
        raise KeyboardInterrupt
    pairs = []
    if plan.pairs and seen is not None and not team.interrupted:
        pairs = _pairs(bench, team, search.outputs, base, seen, rounding)
    variants = best_first(search.tried[number] for number in sorted(search.tried))
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
        verdict=(
            *sentences(total, plan.b, attribution, variants, pairs, seen, residual, rounding),
            *search_sentences(made, len(bench.variants), interrupted=team.interrupted),
        ),
        machine=machine(),
        seconds=round(time.monotonic() - started, 3),
        axes=bench.model.axes,
        errors=_errors(
            base, cut(other), seen, variants, {one.title: search.outputs[n] for n, one in search.tried.items()}
        ),
        coverage=bench.model.coverage,
        tried=made,
        readings=len(bench.variants),
        interrupted=team.interrupted,
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
    if not _is_same(output, again):
        raise OpfuzzError(
            f"{plan.model}: a second run gives another output; a pipeline changes no tensor in place that it was "
            "given, and draws no random numbers: that is for example(seed)"
        )


def _is_same(output: Array, again: Array) -> bool:
    """Whether two runs on one subject gave the same but for the order in which sums are added."""
    if again.shape != output.shape:
        return False
    apart = drift(output, again)
    return apart.rms <= REPEATED * apart.std_a


def _per_step(ours: Mapping[str, Array], theirs: Mapping[str, Array]) -> dict[str, Drift]:
    def both(name: str, array: Array) -> Drift:
        is_alike = name in theirs and theirs[name].shape == array.shape
        return drift(array, theirs[name]) if is_alike else UNKNOWN

    return {name: both(name, array) for name, array in ours.items() if array.size}


def _attribution(
    ops: Sequence[str], survey: Survey, base: Array, parts: Mapping[int, Array], observed: Observed | None
) -> list[Attribution]:
    """What each op does; `parts` are the outputs with each op alone on side B, and then with all others."""
    found = []
    for number, op in enumerate(ops):
        if number not in parts or len(ops) + number not in parts:  # interrupted
            continue
        own = [call.relative for call in survey.calls if call.op == op]
        only, rest = drift(base, parts[number]), drift(base, parts[len(ops) + number])
        needed = None if observed is None else factor(observed, only)
        found.append(Attribution(op, len(own), max(own), survey.excess[op], only, rest, needed))
    return sorted(found, key=lambda row: -row.only.rms)


def _pairs(
    bench: PipelineBench, team: Team, planted: Mapping[int, Array], base: Array, observed: Observed, rounding: float
) -> list[Tried]:
    numbers = list(planted)
    variants = [bench.variants[number] for number in numbers]

    def may_pair(i: int, j: int) -> bool:
        return not variants[i].excludes(variants[j])

    nothing = np.zeros_like(base)
    changes = [output - base if output.shape == base.shape else nothing for output in planted.values()]
    chosen = promising_pairs(changes, base, observed, PAIRS, may_pair)
    passes = [Pass(planted=(numbers[i], numbers[j])) for i, j in chosen]
    outputs = team.outputs(passes)
    named = list(pairs_of(variants, chosen))
    cut = {n: frames_of(out, bench.plan.frames) for n, out in outputs.items() if out is not None}
    return best_first(judge(named[n], out, base, observed, rounding) for n, out in cut.items())
