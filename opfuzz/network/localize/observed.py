"""What was observed between two sides, as figures or as the other side's tensor, and how near a drift comes to it."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from opfuzz.core.errors import OpfuzzError, did_you_mean
from opfuzz.core.files.user_module import load
from opfuzz.network.drift import Drift, drift
from opfuzz.network.dump.model_file import read_model_file
from opfuzz.network.pipeline.dispatch import Array
from opfuzz.network.tensors import open_tensors
from opfuzz.network.trace.recording import ModuleRecorder

FIGURES = ("corr", "mae", "median", "max", "rms", "shift", "std_a", "std_b")


@dataclass(frozen=True, slots=True)
class Observed:
    """Figures of side B against side A, as many as are known; with the tensor of side B all of them."""

    figures: Mapping[str, float]
    tensor: Array | None = None
    origin: str = ""

    @property
    def decorrelation(self) -> float | None:
        """1 - corr."""
        corr = self.figures.get("corr")
        return None if corr is None else 1.0 - corr

    @property
    def rms(self) -> float | None:
        """Root mean square of the difference: given, or from rms^2 = s_a^2 + s_b^2 - 2 corr s_a s_b + shift^2."""
        if "rms" in self.figures:
            return self.figures["rms"]
        try:
            corr, a, b = (self.figures[name] for name in ("corr", "std_a", "std_b"))
        except KeyError:
            return None
        return math.sqrt(max(a * a + b * b - 2 * corr * a * b + self.figures.get("shift", 0.0) ** 2, 0.0))


def read_figures(text: str) -> Observed:
    """`corr=0.98,mae=0.3`. Raises OpfuzzError for what is no figure, and where there is none that tells a size."""
    figures: dict[str, float] = {}
    for part in text.split(","):
        name, equals, number = (word.strip() for word in part.partition("="))
        if name not in FIGURES or not equals:
            hint = did_you_mean(name, FIGURES) or f"; known: {', '.join(FIGURES)}"
            raise OpfuzzError(f"--observed: '{part.strip():.40}' is no name=number{hint}")
        try:
            value = float(number)
        except ValueError:
            value = math.nan
        if not math.isfinite(value) or (name != "shift" and value < (-1 if name == "corr" else 0)):
            raise OpfuzzError(f"--observed: '{name}' is '{number:.40}', which it cannot be")
        if (name == "corr" and value > 1) or (name.startswith("std") and value == 0):
            raise OpfuzzError(f"--observed: '{name}' is '{number:.40}', which it cannot be")
        if figures.setdefault(name, value) != value:
            raise OpfuzzError(f"--observed: '{name}' is given twice")
    if not figures.keys() & {"corr", "mae", "median", "max", "rms"}:
        raise OpfuzzError("--observed: no size of a difference in it; give corr, mae, median, max or rms")
    return Observed(figures, origin="figures")


def figures_of(drift: Drift) -> dict[str, float]:
    """All figures of a drift that was measured."""
    return {name: float(getattr(drift, name)) for name in FIGURES}


# Two drifts are near if they are alike in size, in units of the output's standard deviation, and in shape. Sizes and
# quotients of sizes are compared by their logarithm; shift and change of spread, which have a sign, by their
# difference in units of the drift itself. The distance is the root mean square over what is known: exp(distance) is
# the factor by which a figure is typically off.


def distance(observed: Observed, drift: Drift) -> float:
    """How far a drift is from the observed figures: 0 is equal, 0.7 typically a factor of 2. Infinite for NaN."""
    if not math.isfinite(drift.rms) or drift.rms == 0:
        return math.inf
    known = _completed(observed)
    own = {name: value for name, value in figures_of(drift).items() if name in known}
    mine, theirs = _features(own, drift.std_a), _features(known, drift.std_a)
    apart = [mine[name] - theirs[name] for name in theirs if name in mine]
    return math.sqrt(sum(d * d for d in apart) / len(apart)) if apart else math.inf


def _completed(observed: Observed) -> dict[str, float]:
    return {**observed.figures} if observed.rms is None else {**observed.figures, "rms": observed.rms}


def _features(figures: Mapping[str, float], std: float) -> dict[str, float]:
    """Size and shape of a drift; sizes in units of its own standard deviation, or of `std` where that is not known."""
    unit = figures.get("std_a", std) or 1.0  # a constant output has no unit of its own
    found: dict[str, float] = {}
    for name in ("mae", "median", "max"):
        if name in figures:
            found[name] = _log(figures[name] / unit)
    if "corr" in figures:
        found["corr"] = _log(2 * (1 - figures["corr"])) / 2
    if "rms" in figures:
        found["rms"] = _log(figures["rms"] / unit)
    for above, below in (("mae", "rms"), ("median", "mae"), ("max", "rms")):
        if above in figures and below in figures:
            found[f"{above}/{below}"] = _log(figures[above]) - _log(figures[below])
    size = figures.get("rms", figures.get("mae"))
    if size:
        if "shift" in figures:
            found["shift"] = figures["shift"] / size
        if "std_a" in figures and "std_b" in figures:
            found["spread"] = (figures["std_b"] - figures["std_a"]) / size
    return found


def factor(observed: Observed, drift: Drift) -> float | None:
    """How many times larger a drift would have to be; None if nothing tells.

    Small errors go through a network in proportion. Sizes count in units of the output's standard deviation where that
    was observed: figures of one network may be held against another that stands in for it. A correlation alone gives
    the size that it has where the spread stays as it is: rms^2 = 2 (1 - corr) s_a^2.
    """
    if not drift.rms:
        return None
    unit = drift.std_a / observed.figures.get("std_a", drift.std_a) if drift.std_a else 1.0
    if observed.rms is not None:
        return unit * observed.rms / drift.rms
    for name in ("mae", "median", "max"):
        own = getattr(drift, name)
        if name in observed.figures and own:
            return float(unit * observed.figures[name] / own)
    decorrelation = observed.decorrelation
    return None if decorrelation is None else math.sqrt(2 * decorrelation) * drift.std_a / drift.rms


def _log(value: float) -> float:
    return math.log(max(value, 1e-30))


USUAL = ("output.mel", "mel", "output")  # names of an output in a file of several tensors


def read_tensor(path: Path, output: Array) -> Observed:
    """The other side's output, from a file of tensors: by its usual name, or the one that has the output's shape.

    Axes of size 1 may be missing; where sizes are the same in another order, axes are exchanged.
    Raises OpfuzzError if there is no such tensor, or several.
    """
    file = open_tensors(path)
    named = [name for name in USUAL if name in file.names()]
    candidates = named[:1] or [name for name in file.names() if not name.startswith("input.")]
    fitting = [name for name in candidates if _axes(file.shape(name), output.shape) is not None]
    if len(fitting) != 1:
        found = ", ".join(f"{name} {list(file.shape(name))}" for name in candidates[:5]) or "none"
        count = "no tensor" if not fitting else f"{len(fitting)} tensors"
        raise OpfuzzError(f"{path}: {count} of the output's shape {list(output.shape)}; candidates: {found}")
    return _of_tensor(path, fitting[0], file.read(fitting[0]), output)


def exported_side(path: Path) -> Callable[[Array], Observed | None] | None:
    """What the exported model gives that a user's file names as its side `b`; None where it names none.

    Raises OpfuzzError where that model, or the file, fails, or its output has another shape than side A's.
    """
    if path.suffix != ".py" or not isinstance(getattr(load(path, "model"), "b", None), str | Path):
        return None
    given = read_model_file(path, "b")
    recorder = ModuleRecorder(given.model.is_tensor, given.model.to_numpy)
    tensors = recorder.split(given.compute(given.model.put(given.inputs), recorder))[1]

    def observed(output: Array) -> Observed:
        fitting = [each for each in tensors if _axes(each.shape, output.shape) is not None]
        if not fitting:
            shapes = ", ".join(str([*each.shape]) for each in tensors) or "no tensor"
            raise OpfuzzError(f"{path}: 'b' gives {shapes}, and none of the output's shape {list(output.shape)}")
        return _of_tensor(path, "b", fitting[0], output)

    return observed


def of_array(array: Array, output: Array) -> Observed:
    """The other side's output as an array; axes as `read_tensor` takes them. Raises OpfuzzError for another shape."""
    if _axes(array.shape, output.shape) is None:
        raise OpfuzzError(f"observed has the shape {list(array.shape)}, the output {list(output.shape)}")
    return _of_tensor(Path("observed"), "array", array, output)


def _of_tensor(path: Path, name: str, tensor: Array, output: Array) -> Observed:
    axes = _axes(tensor.shape, output.shape)
    assert axes is not None
    tensor = np.transpose(np.squeeze(tensor), axes).reshape(output.shape).astype(output.dtype)
    if not np.isfinite(tensor).all():
        bad = np.count_nonzero(~np.isfinite(tensor))
        raise OpfuzzError(f"{path}: '{name}' has {bad} values that are NaN or infinite")
    return Observed({}, tensor, f"{path} ({name})")


def _axes(shape: tuple[int, ...], wanted: tuple[int, ...]) -> tuple[int, ...] | None:
    """The order of the axes longer than 1 that makes one shape of the other; None if there is none."""
    own, goal = ([size for size in sizes if size != 1] for sizes in (shape, wanted))
    if own == goal:
        return tuple(range(len(own)))
    if sorted(own) != sorted(goal) or len(set(own)) < len(own):
        return None
    return tuple(own.index(size) for size in goal)


def with_figures(observed: Observed, base: Array) -> Observed:
    """Observed with all figures, where there is a tensor; `base` is side A's output, both cut to the same frames."""
    if observed.tensor is None:
        return observed
    return replace(observed, figures=figures_of(drift(base, observed.tensor)))
