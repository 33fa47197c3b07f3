"""What a guilty module computes instead: the reading of its calls that gives what its counterpart gives."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from opfuzz.network.observe.records import InputOperand, WeightOperand
from opfuzz.network.observe.spec_reader import SpecReader
from opfuzz.network.pipeline.planting import Meaning
from opfuzz.network.readings.all_readings import readings, rounded
from opfuzz.network.readings.fits import FittedNumber, fits
from opfuzz.network.readings.reading import ROUNDED, Reading, SeenModule
from opfuzz.network.readings.scalars import factors, scalars
from opfuzz.network.trace.feeds import feed
from opfuzz.network.trace.layouts import TensorSource, assign, assign_inputs
from opfuzz.network.trace.local_error import NOISES, furthest, moved
from opfuzz.network.trace.modules import ModulePair
from opfuzz.network.trace.names import is_inside
from opfuzz.network.trace.recording import Array, ModuleCall, fill
from opfuzz.network.trace.whereabouts import LEAST, WRONG
from opfuzz.spec import OpSpec, Value

# A reading is the cause if what it leaves is rounding, and so many times less than what was there before. Others that
# leave less than so many times as much are as good, and are named beside it.
LESS, AS_GOOD = 4.0, 3.0
# A rounding on the way is not repeated bit by bit by another library: this much is left of it, and of no other reading.
LESS_ROUNDED, ALONE = 8.0, 3.0
SAME = 1e-3  # a reading that leaves what was there, to this, changes nothing
FOUND = 1e-3  # a setting is the number that was solved for if it is this near, in units of what it is away from a's
MOST_NAMED = 3  # readings that are as good as each other; of more, nothing is known
MOST_CALLS = 250_000  # calls of functions that are made for one kind of reading of one module


# Of an op, its sizes, params, inputs and a cotangent: gradients by name of the input, and in words whose they are.
GradientReadings = Callable[
    [OpSpec, Mapping[str, int], Mapping[str, Value], Mapping[str, Array], Array],
    Iterator[tuple[str, Mapping[str, Array]]],
]


@dataclass(frozen=True, slots=True)
class Knowledge:
    """What readings are made of: the specs, and what their variants give; and how long they are tried."""

    specs: Mapping[str, OpSpec]
    meaning: Meaning
    most_calls: int = MOST_CALLS
    gradients: GradientReadings | None = None  # of a call of a spec, for a cotangent: of its variants, and cut


@dataclass(frozen=True, slots=True)
class FoundCause:
    """The cause in words, and the local error that is left under that reading."""

    words: str
    residual: float
    readings: tuple[str, ...]  # in words, without their place
    beside: str = ""  # the reading that leaves the least of those that are not the cause, with what it leaves


@dataclass(frozen=True, slots=True)
class CauseSearch:
    """What came of the readings of one module; without a cause, those that were not tried may hold it."""

    cause: FoundCause | None
    is_whole: bool = True


@dataclass(frozen=True, slots=True)
class Waypoint:
    """The first call of an inner module that is right, and that gets something else in b than in a."""

    number: int  # of the module's call, counted as they begin
    call: int  # index of the first call of a function in it
    target: Sequence[Array]  # what it gets in b
    sources: Sequence[TensorSource | None]


class Suspect:
    """A guilty pair of which one side can be run again with other results for some of its calls.

    That is a's side if it is in torch, else b's; what is planted there is then what the other side does.
    """

    def __init__(self, pair: ModulePair, cleared: Sequence[ModulePair], knowledge: Knowledge) -> None:
        ours, theirs = pair.ours[pair.worst], pair.theirs[pair.worst]
        found = pair.compared[pair.worst]
        given = feed(ours, theirs, pair.sides.habits)
        reader = SpecReader(knowledge.specs)
        self.most_calls, self.is_cut = knowledge.most_calls, False  # whether readings were left untried
        self.side = "a" if pair.sides.a.can_be_observed else "b"
        model, part, arguments, tensors = (
            (pair.sides.a, pair.a, ours.arguments, ours.inputs)
            if self.side == "a"
            else (pair.sides.b, pair.b, given.arguments, given.tensors)
        )
        self._target: Sequence[Array] = found.outputs_b if self.side == "a" else ours.outputs
        self._runs = [
            model.observed(part.name, fill(arguments, list(inputs)), reader)
            for inputs in (tensors, [moved(x) for x in tensors])
        ]
        self._seen = [self._runs[0].observe()]
        both = (self._seen[0].outputs, self._target) if self.side == "a" else (ours.outputs, self._seen[0].outputs)
        self._ways = assign(*both, habits=pair.sides.habits)
        self._weights = pair.values if self.side == "a" else {}
        self.before = self._apart(self._seen[0].outputs)
        self.local = self.residual(None)  # with b's weights, if they are others
        self.allowance = found.allowance
        right = [other.a.name if self.side == "a" else other.b.name for other in cleared]
        names = [n[len(part.name) :].lstrip(".") for n in right if n != part.name and is_inside(n, part.name)]
        known: dict[InputOperand | WeightOperand, Array] = {
            **{InputOperand(k): x for k, x in _inputs(fill(arguments, list(tensors))).items()},
            **{WeightOperand(name): x for name, x in self._runs[0].weights().items()},
        }
        calls = [c for c in self._seen[0].calls if not any(is_inside(c.path, n) for n in names)]
        self.seen = SeenModule(self._seen[0], tuple(calls), known, tuple(names), _places(part.accepts))

        self._waypoint = self._first_difference(pair, cleared) if self.side == "a" else None

    @property
    def has_waypoint(self) -> bool:
        """Whether readings can be tried without a whole run."""
        return self._waypoint is not None

    def _first_difference(self, pair: ModulePair, cleared: Sequence[ModulePair]) -> Waypoint | None:
        """Where what the module does by itself is wrong first; None where its inner modules do not tell."""
        ours, theirs = pair.ours[pair.worst], pair.theirs[pair.worst]
        given = feed(ours, theirs, pair.sides.habits)
        runs = sorted(self._seen[0].modules, key=lambda run: (run.first, -run.end))
        try:
            recorded = pair.sides.b.record_inside(pair.b.name, given.arguments, given.tensors)
            for start, other, number in _met(ours, cleared, pair, recorded):
                sources = assign_inputs(start, other, pair.sides.habits)
                limit = WRONG * max(self.allowance, LEAST)
                if not sources or not all(sources) or furthest(start.inputs, other.inputs, sources) <= limit:
                    continue
                path = start.name[len(pair.a.name) :].lstrip(".")
                first = [run.first for run in runs if run.path == path][number]
                found = Waypoint(start.order - ours.order, first, other.inputs, sources)
                # The same inputs as in the recording, or the module takes other ways when it is run by itself.
                same = self._runs[0].replay(self._seen[0], until=found.number)
                is_same = [x.shape for x in same] == [x.shape for x in start.inputs]
                return found if is_same and furthest(same, start.inputs, assign(same, start.inputs)) <= limit else None
        except Exception:  # the user's module
            return None
        return None

    @property
    def is_compared(self) -> bool:
        """Whether its outputs can be set beside those of its counterpart."""
        return any(self._ways)

    @property
    def length(self) -> int:
        """How many calls of functions one run makes, as far as it goes."""
        return len(self._seen[0].calls) if self._waypoint is None else self._waypoint.call

    def may_explain(self, reading: Reading) -> bool:
        """Whether it changes something before the first difference."""
        return self._waypoint is None or not reading.plants or min(reading.plants) < self._waypoint.call

    def screened(self, reading: Reading | None) -> float:
        """What a reading leaves of the first difference, or of all where there is none; infinite where it cannot be."""
        if self._waypoint is None:
            return self.residual(reading)
        try:
            given = self._at_waypoint(reading)
            found = furthest(given, self._waypoint.target, self._waypoint.sources)
        except Exception:  # the user's module
            return math.inf
        return found if math.isfinite(found) else math.inf

    def _at_waypoint(self, reading: Reading | None) -> tuple[Array, ...]:
        assert self._waypoint is not None
        return self._outputs(reading, 0, self._waypoint.number)

    def residual(self, reading: Reading | None) -> float:
        """The local error under a reading; infinite where the module cannot be run so."""
        try:
            return self._apart(self._outputs(reading, 0))
        except Exception:  # the user's module, with what it was not built for
            return math.inf

    def error(self, reading: Reading) -> Array:
        """What each element is off by under a reading, as one vector. Raises whatever the module raises."""
        if self._waypoint is not None:
            given = self._at_waypoint(reading)
            both = zip(self._waypoint.sources, self._waypoint.target, strict=True)
            return np.concatenate([np.ravel(np.asarray(y, np.float64) - s.take(given)) for s, y in both if s])
        outputs = self._outputs(reading, 0)
        pairs = zip(self._ways, self._target if self.side == "a" else outputs, strict=True)
        first = outputs if self.side == "a" else self._target
        return np.concatenate(
            [np.ravel(np.asarray(y, np.float64) - way.take(first)) for way, y in pairs if way and y.dtype.kind == "f"]
        )

    def noise(self, reading: Reading | None) -> float:
        """How far inputs that are moved by a rounding move the outputs under a reading, as a local error."""
        if len(self._seen) < 2:
            self._seen.append(self._runs[1].observe())
        try:
            straight, other = (self._outputs(reading, run) for run in (0, 1))
        except Exception:  # as above
            return 0.0
        return furthest(straight, other, assign(straight, other))

    def _outputs(self, reading: Reading | None, run: int, until: int | None = None) -> tuple[Array, ...]:
        seen = self._seen[run]
        if reading is None and not self._weights and until is None:
            return seen.outputs
        read = reading or Reading("", {})
        changed = {**self._weights, **read.weights} or None
        with np.errstate(all="ignore"):
            return self._runs[run].replay(seen, read.plants, skipped=read.skipped, weights=changed, until=until)

    def _apart(self, outputs: Sequence[Array]) -> float:
        if [x.shape for x in outputs] != [x.shape for x in self._seen[0].outputs]:
            return math.inf
        first, second = (outputs, self._target) if self.side == "a" else (self._target, outputs)
        found = furthest(first, second, self._ways)
        return found if math.isfinite(found) else math.inf


def find_cause(
    pair: ModulePair, cleared: Sequence[ModulePair], knowledge: Knowledge, known: Collection[str] = ()
) -> CauseSearch:
    """The reading that explains what a guilty module gives; none where none stands.

    `cleared` are the modules inside it that are right: their calls are not read otherwise. `known` are the words of
    what modules like this one do, which is tried before all else.
    """
    if not (pair.sides.a.can_be_observed or pair.sides.b.can_be_observed):
        return CauseSearch(None)
    try:
        suspect = Suspect(pair, cleared, knowledge)
    except Exception:  # a module that cannot be run under observation
        return CauseSearch(None)
    if not math.isfinite(suspect.local) or suspect.before == 0 or not suspect.is_compared:
        return CauseSearch(None)
    found = _searched(suspect, pair, knowledge, known)
    return CauseSearch(found, not suspect.is_cut)


def _searched(suspect: Suspect, pair: ModulePair, knowledge: Knowledge, known: Collection[str]) -> FoundCause | None:
    if pair.values and suspect.side == "a" and _is_rounding(suspect, suspect.local, None, suspect.before):
        return FoundCause("", suspect.local, ())
    found = [x for x in readings(suspect.seen, knowledge.specs, knowledge.meaning) if suspect.may_explain(x)]
    again = _standing(suspect, _tried(suspect, (x for x in found if x.words in known)))
    if not again and (halved := [x for x in rounded(suspect.seen) if x.words in known]):
        again = _rounded(suspect, _tried(suspect, halved))
    if again:
        return _told(suspect, again, again)
    tried = _tried(suspect, found)
    standing = _standing(suspect, tried)
    settings = _settings(pair, suspect.side)
    for numbers in (scalars, factors):
        if not standing:
            likely = (x for x in numbers(suspect.seen) if suspect.may_explain(x.reading(x.value)))
            fitted = fits(likely, suspect.screened, suspect.error, [value for _, value in settings])
            tried += _tried(suspect, (_worded(fit, settings) for fit in fitted))
            standing = _standing(suspect, tried)
    if not standing:
        tried += _tried(suspect, (x for x in rounded(suspect.seen) if suspect.may_explain(x)))
        standing = _rounded(suspect, tried)
    return _told(suspect, standing, tried) if standing else None


def _met(
    ours: ModuleCall, cleared: Sequence[ModulePair], outer: ModulePair, recorded: Sequence[ModuleCall]
) -> Iterator[tuple[ModuleCall, ModuleCall, int]]:
    """Calls of inner modules in a in their order, with b's of the same number, and that number."""
    later = [call.order for call in outer.ours if call.order > ours.order]
    end = min(later, default=math.inf)
    found = []
    for other in cleared:
        first = [call for call in other.ours if ours.order < call.order < end]
        second = [call for call in recorded if call.name == other.b.name]
        found += [(x, y, number) for number, (x, y) in enumerate(zip(first, second, strict=False))]
    return iter(sorted(found, key=lambda entry: entry[0].order))


def _tried(suspect: Suspect, found: Iterable[Reading]) -> list[tuple[float, Reading]]:
    """Readings with what they leave, as many as may be tried; of those that are screened first, the best only."""
    left = suspect.most_calls
    tried = []
    for reading in found:
        left -= suspect.length - min(reading.plants, default=0) + 10
        if left < 0:
            suspect.is_cut = True
            break
        tried.append((suspect.screened(reading), reading))
    if not suspect.has_waypoint:
        return tried
    tried.sort(key=lambda entry: entry[0])
    limit = suspect.screened(None) / LESS
    best = [reading for n, (r, reading) in enumerate(tried) if n < MOST_NAMED or r < limit]
    return [(suspect.residual(reading), reading) for reading in best]


def _standing(suspect: Suspect, tried: Sequence[tuple[float, Reading]]) -> list[tuple[float, Reading]]:
    return [entry for entry in tried if _stands(suspect, *entry)]


def _stands(suspect: Suspect, residual: float, reading: Reading) -> bool:
    """Whether what is left is rounding. Under a reading that makes more of it, more is allowed."""
    return reading.rank != ROUNDED and _is_rounding(suspect, residual, reading, suspect.local)


def _is_rounding(suspect: Suspect, residual: float, reading: Reading | None, before: float) -> bool:
    if LESS * residual > before:
        return False
    return residual <= suspect.allowance or residual <= suspect.allowance + NOISES * suspect.noise(reading)


def _rounded(suspect: Suspect, tried: Sequence[tuple[float, Reading]]) -> list[tuple[float, Reading]]:
    """The rounding on the way that leaves by far the least."""
    ranked = sorted(tried, key=lambda entry: entry[0])
    if not ranked or ranked[0][1].rank != ROUNDED or LESS_ROUNDED * ranked[0][0] > suspect.local:
        return []
    others = [residual for residual, reading in ranked[1:] if reading.place != ranked[0][1].place]
    return ranked[:1] if ALONE * ranked[0][0] < min(others, default=math.inf) else []


def _told(
    suspect: Suspect, standing: Sequence[tuple[float, Reading]], tried: Sequence[tuple[float, Reading]]
) -> FoundCause | None:
    best = min(residual for residual, _ in standing)
    alike = [(r, reading) for r, reading in standing if r <= max(AS_GOOD * best, 1e-12)]
    least = min(reading.rank for _, reading in alike)
    alike = [entry for entry in alike if entry[1].rank == least]
    named: list[tuple[float, Reading]] = []
    for entry in alike:  # of several that plant the same at the same calls, the first says it
        if not any(entry[1].place == other.place for _, other in named):
            named.append(entry)
    if len(named) > MOST_NAMED:
        return None
    words = ", or ".join(f"{reading.path}: {reading.words}" if reading.path else reading.words for _, reading in named)
    other = "" if suspect.side == "a" else "of a, where b does the usual: "
    told = tuple(reading.words for _, reading in named)
    beside = _beside(suspect, {reading.words for _, reading in alike}, tried, best)
    return FoundCause(f"{other}{words}", best, told, beside)


def _beside(suspect: Suspect, told: Collection[str], tried: Sequence[tuple[float, Reading]], best: float) -> str:
    """The next best reading, of those that change something."""
    rest = [
        (residual, place)
        for place, (residual, reading) in enumerate(tried)
        if reading.words not in told
        and AS_GOOD * best < residual < math.inf
        and abs(residual - suspect.local) > SAME * suspect.local
    ]
    if not rest:
        return ""
    residual, place = min(rest)
    return f"next best: {tried[place][1].words}, {residual:.2g}"


def _settings(pair: ModulePair, side: str) -> list[tuple[str, float]]:
    """Numbers that the other side was built with, in the module and inside it, by name."""
    model, part = (pair.sides.b, pair.b) if side == "a" else (pair.sides.a, pair.a)
    found: dict[tuple[str, float], None] = {}
    for inner in model.parts():
        if is_inside(inner.name, part.name):
            rest = inner.name[len(part.name) :].lstrip(".")
            for name, value in inner.settings.items():
                if isinstance(value, float):
                    found[f"{rest}.{name}".lstrip("."), value] = None
    return list(found)


def _worded(fit: FittedNumber, settings: Sequence[tuple[str, float]]) -> Reading:
    near = 0.0 if fit.is_given else FOUND * min(abs(fit.value - fit.scalar.value), abs(fit.value))
    same = [name for name, value in settings if abs(value - fit.value) <= near]
    return fit.reading(f" (its {same[0]})" if same else "")


def _places(accepts: Sequence[str]) -> dict[str, str]:
    return {str(i): name for i, name in enumerate(accepts)}


def _inputs(arguments: Any) -> dict[str, Array]:
    """The arrays among the arguments, by the place that an observation gives them."""
    args, kwargs = arguments
    found = {**{str(i): x for i, x in enumerate(args)}, **kwargs}
    return {name: x for name, x in found.items() if isinstance(x, np.ndarray)}
