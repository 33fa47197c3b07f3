"""What a localisation found, as frozen records, and as the JSON that `--json` prints."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from opfuzz.core.files.strict_json import strict
from opfuzz.network.drift import Drift
from opfuzz.network.observe.records import Coverage
from opfuzz.network.pipeline.dispatch import Array


@dataclass(frozen=True, slots=True)
class CallError:
    """One call: what side B makes of side A's own inputs."""

    number: int
    op: str
    role: str
    at: str
    relative: float  # rms of the difference / rms of side A's result


@dataclass(frozen=True, slots=True)
class Attribution:
    """What one op contributes."""

    op: str
    calls: int
    local_error: float  # largest `relative` of its calls
    local_excess: float  # of side B against the exact value, largest over the calls examined
    only: Drift  # of the output when this op alone runs on side B
    all_but: Drift  # when all others do
    factor_needed: float | None  # how many times larger its error would have to be for what was observed


@dataclass(frozen=True, slots=True)
class Tried:
    """One variant planted on side A. The last four are None where nothing tells them."""

    name: str
    place: str
    note: str
    drift: Drift  # against side A without it
    corr_to_observed: float | None  # of its change of the output with the change that was observed
    residual: float | None  # rms of what it leaves unexplained, in standard deviations of the observed tensor
    distance: float | None  # from observed figures, see `observed.distance`
    match: bool  # the residual is at rounding level: this is the explanation

    @property
    def title(self) -> str:
        """Name and place."""
        return f"{self.name} ({self.place})"


@dataclass(frozen=True, slots=True)
class Localization:
    """Everything that a report of one localisation needs."""

    model: str
    described: str
    a: str
    b: str
    versions: Mapping[str, str]
    frames: tuple[int, int] | None
    drift: Drift  # of side B against side A, nothing planted
    per_step: Mapping[str, Drift]  # of what the pipeline records on the way, in order
    attribution: tuple[Attribution, ...]
    calls: tuple[CallError, ...]
    observed: Mapping[str, float] | None  # figures
    observed_from: str
    rounding: float | None  # rms of side B against side A, in standard deviations
    variants: tuple[Tried, ...]  # best first
    pairs: tuple[Tried, ...]
    verdict: tuple[str, ...]  # sentences
    machine: Mapping[str, str]
    seconds: float
    axes: tuple[str, str]  # what the last two axes of the output are, in words
    errors: Mapping[str, Array] = field(repr=False)  # differences of outputs, for pictures; not in the JSON
    coverage: Coverage | None = None  # of a model whose calls were observed
    tried: int = 0  # of all readings
    readings: int = 0
    interrupted: bool = False


def drift_json(drift: Drift) -> dict[str, Any]:
    """The figures of a drift, the correlation twice: as people quote it, and as 1 - corr, which keeps its digits."""
    return {"corr": drift.corr, **asdict(drift)}


def to_json(found: Localization) -> dict[str, Any]:
    """Strict JSON: NaN and infinities become text."""
    document = {
        "model": found.model,
        "described": found.described,
        "a": found.a,
        "b": found.b,
        "versions": dict(found.versions),
        "machine": dict(found.machine),
        "frames": found.frames,
        "drift": {
            **drift_json(found.drift),
            "per_step": [{"name": name, **drift_json(drift)} for name, drift in found.per_step.items()],
        },
        "attribution": [_attribution(row) for row in found.attribution],
        "calls": [asdict(call) for call in found.calls],
        "observed": None if found.observed is None else {**found.observed, "from": found.observed_from},
        "rounding": found.rounding,
        "variants": [_tried(tried) for tried in found.variants],
        "pairs": [_tried(tried) for tried in found.pairs],
        "verdict": " ".join(found.verdict),
        "coverage": None if found.coverage is None else asdict(found.coverage),
        "tried": found.tried,
        "readings": found.readings,
        "interrupted": found.interrupted,
        "seconds": found.seconds,
    }
    return {name: strict(value) for name, value in document.items()}


def _attribution(row: Attribution) -> dict[str, Any]:
    return {
        "op": row.op,
        "calls": row.calls,
        "local_error": row.local_error,
        "local_excess": row.local_excess,
        "drift_only": row.only.rms,
        "drift_all_but": row.all_but.rms,
        "factor_needed": row.factor_needed,
        "only": drift_json(row.only),
        "all_but": drift_json(row.all_but),
    }


def _tried(tried: Tried) -> dict[str, Any]:
    return {**{name: getattr(tried, name) for name in Tried.__slots__}, "drift": drift_json(tried.drift)}
