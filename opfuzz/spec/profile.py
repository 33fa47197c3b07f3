"""Profiles: where a pipeline calls its ops, in shapes, params and values; as records, and as YAML to keep."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

import numpy as np
import yaml
from numpy.typing import NDArray

from opfuzz.core.errors import OpfuzzError
from opfuzz.core.files.yaml_nodes import SIZE_LIMIT
from opfuzz.core.floats import FORMATS, FloatArray
from opfuzz.spec import Value

# Where distributions are sampled, both tails more closely: a long tail is what overflows and cancels.
PROBABILITIES: Final = (0.0, 0.001, 0.01, 0.05, 0.1, 0.25, 0.4, 0.5, 0.6, 0.75, 0.9, 0.95, 0.99, 0.999, 1.0)
_SAMPLES: Final = 1001  # order statistics kept of each array: thousands of calls fit in memory, 0.001 is still seen


@dataclass(frozen=True, slots=True)
class Values:
    """How the elements of one input are distributed, over all calls of an operating point."""

    quantiles: tuple[float, ...]  # at PROBABILITIES: the first is the smallest value, the last the largest
    mean: float
    sd: float


@dataclass(frozen=True, slots=True)
class OperatingPoint:
    """Calls of one op with the same dims and params."""

    op: str
    count: int
    dims: Mapping[str, int]
    params: Mapping[str, Value]
    inputs: Mapping[str, Values]  # inputs of finite floats; indices and masks have no quantiles


@dataclass(frozen=True, slots=True)
class Profile:
    """What one pipeline asks of its ops, and how much of their errors it passes on."""

    name: str
    points: tuple[OperatingPoint, ...]
    # Relative rms change of the pipeline's output when every element of every call of the op is one float32 ulp off.
    gains: Mapping[str, float]

    def points_of(self, op: str) -> tuple[OperatingPoint, ...]:
        """The operating points of one op."""
        return tuple(point for point in self.points if point.op == op)


class ProfiledCall(Protocol):
    """One call of an op, as a recorder of pipelines hands it over."""

    @property
    def op(self) -> str: ...
    @property
    def dims(self) -> Mapping[str, int]: ...
    @property
    def params(self) -> Mapping[str, Value]: ...
    @property
    def arrays(self) -> Mapping[str, NDArray[Any]]: ...


def profile_of(name: str, points: Sequence[OperatingPoint], gains: Mapping[str, float]) -> Profile:
    """The profile of a pipeline, its gains to six significant digits."""
    return Profile(name, tuple(points), {op: _short(gain) for op, gain in gains.items()})


def values_of(array: NDArray[Any]) -> Values:
    """Distribution of the elements of a finite array that is not empty, to six significant digits."""
    return _merged([_sketch(array)])


def summarise(calls: Iterable[ProfiledCall]) -> tuple[OperatingPoint, ...]:
    """The operating points of these calls; raises as `Recorder` does."""
    recorder = ProfileRecorder()
    for call in calls:
        recorder.add(call)
    return recorder.points()


class ProfileRecorder:
    """Gathers calls of equal op, dims and params as one point; keeps a thousand values of each input at most.

    Values are pooled: the distribution of an input is that of all its elements in all these calls. Left out are
    inputs of integers and truth values, empty ones, and those with infinities, which are masks.
    """

    def __init__(self) -> None:
        self._gathered: dict[tuple[Any, ...], _Gathered] = {}

    def add(self, call: ProfiledCall) -> None:
        """Take in one call. Raises OpfuzzError if an input holds NaN."""
        dims = tuple((name, int(size)) for name, size in call.dims.items())
        plain = ((name, _plain(value)) for name, value in call.params.items())
        # 1 == True == 1.0 in Python, but they are different params.
        params = tuple((name, type(value), value) for name, value in plain)
        self._gathered.setdefault((call.op, dims, params), _Gathered()).add(call)

    def points(self) -> tuple[OperatingPoint, ...]:
        """One for each op, dims and params, in the order in which they came first."""
        return tuple(
            OperatingPoint(op, found.count, dict(dims), {name: value for name, _, value in params}, found.values())
            for (op, dims, params), found in self._gathered.items()
        )


def _plain(value: Any) -> Value:
    """A param without NumPy's types."""
    plain: Value = value.item() if isinstance(value, np.generic) else value
    return plain


@dataclass(frozen=True, slots=True)
class _Sketch:
    sample: FloatArray  # evenly spaced order statistics, the smallest and the largest among them
    mean: float
    variance: float


@dataclass(slots=True)
class _Gathered:
    """The calls of one operating point."""

    count: int = 0
    sketches: dict[str, list[_Sketch]] = field(default_factory=dict)
    left_out: set[str] = field(default_factory=set)

    def add(self, call: ProfiledCall) -> None:
        self.count += 1
        for name, array in call.arrays.items():
            if array.dtype.name not in FORMATS or not array.size or np.isinf(array).any():
                self.left_out.add(name)
            elif np.isnan(array).any():
                raise OpfuzzError(f"call of {call.op}: input {name} holds NaN; a profile needs a pipeline that works")
            else:
                self.sketches.setdefault(name, []).append(_sketch(array))

    def values(self) -> dict[str, Values]:
        return {name: _merged(found) for name, found in self.sketches.items() if name not in self.left_out}


def _sketch(array: NDArray[Any]) -> _Sketch:
    ordered = np.sort(array.astype(np.float64), axis=None)
    places = np.rint(np.linspace(0, ordered.size - 1, min(ordered.size, _SAMPLES))).astype(np.int64)
    return _Sketch(ordered[places], float(ordered.mean()), float(ordered.var()))


def _merged(sketches: Sequence[_Sketch]) -> Values:
    """All of them together; each counts alike, since the arrays of one point have one size."""
    sample = np.concatenate([sketch.sample for sketch in sketches])
    quantiles = np.maximum.accumulate(np.quantile(sample, PROBABILITIES))
    means = np.array([sketch.mean for sketch in sketches])
    variance = np.mean([sketch.variance for sketch in sketches]) + means.var()
    return Values(tuple(map(_short, quantiles)), _short(means.mean()), _short(np.sqrt(variance)))


def _short(value: float) -> float:
    """Six significant digits, so that a record is what its file says."""
    return float(f"{value:.6g}") + 0.0  # no negative zero


# The file: one line an input, so that a reader compares distributions by looking down.


def write_profile(profile: Profile) -> str:
    """The profile as YAML, which `read_profile` reads. Raises OpfuzzError if it is too long for that."""
    lines = [
        "# Where a pipeline calls its ops, recorded by `opfuzz profile`; `opfuzz run --profile` draws cases around it.",
        f"# quantiles: values at the probabilities {', '.join(f'{p:g}' for p in PROBABILITIES)}",
        "# gains: relative rms change of the output when each element of each call of an op is one float32 ulp off",
        f"profile: {_scalar(profile.name)}",
        f"gains: {_flow(profile.gains)}",
        "points:",
    ]
    for point in profile.points:
        lines += [f"- op: {point.op}", f"  count: {point.count}", f"  dims: {_flow(point.dims)}"]
        lines += [f"  params: {_flow(point.params)}"] if point.params else []
        lines += ["  inputs:"] if point.inputs else []
        for name, values in point.inputs.items():
            shown = ", ".join(map(_scalar, values.quantiles))
            lines.append(
                f"    {name}: {{mean: {_scalar(values.mean)}, sd: {_scalar(values.sd)}, quantiles: [{shown}]}}"
            )
    text = "\n".join(lines) + "\n"
    if len(text.encode()) > SIZE_LIMIT:
        raise OpfuzzError(
            f"{len(profile.points)} operating points make a profile of {len(text.encode())} bytes, more than "
            f"{SIZE_LIMIT}; record a pipeline of fewer different sizes"
        )
    return text


def _flow(entries: Mapping[str, Value]) -> str:
    return "{" + ", ".join(f"{name}: {_scalar(value)}" for name, value in entries.items()) + "}"


def _scalar(value: Value) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return str(yaml.safe_dump(value, default_style='"', width=float("inf"))).strip()
    return repr(value)
