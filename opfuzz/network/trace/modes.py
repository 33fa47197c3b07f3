"""The training mode in which a model was given; it is run in its evaluation mode, and left as it was."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from opfuzz.network.trace.recording import TracedModel


@dataclass(frozen=True, slots=True)
class InTraining:
    """Modules that one side alone has in training mode, and that compute something else there."""

    side: str  # `a` or `b`
    modules: tuple[str, ...]


@contextlib.contextmanager
def evaluated(module: Any) -> Iterator[None]:
    """A module of torch or MLX in evaluation mode while the block runs; each module inside is then what it was."""
    before = [(inner, inner.training) for inner in module.modules()]
    module.eval()
    try:
        yield
    finally:
        for inner, mode in before:
            if inner.training != mode:
                # Not `train(mode)`, which goes on to all that is inside; MLX keeps the mode under another name.
                setattr(inner, "_training" if hasattr(inner, "_training") else "training", mode)


def in_training(a: TracedModel, b: TracedModel, names: Mapping[str, str]) -> tuple[InTraining, ...]:
    """For each side the modules in training mode whose counterparts are not; `names` are those of pairs.

    A module without a counterpart is set beside the whole model. The models must be as they were given.
    """
    partners = names, {other: name for name, other in names.items()}
    found = []
    for side, own, other, known in zip("ab", (a, b), (b, a), partners, strict=True):
        modules = [n for n in own.kinds() if _differs_in_training(own.copies_of(n)[0])]
        alone = tuple(n for n in modules if not other.copies_of(known.get(n, ""))[0].training)
        if alone:
            found.append(InTraining(side, alone))
    return tuple(found)


def _differs_in_training(module: Any) -> bool:
    """Whether it is in training mode, and drops out or normalises by its batch there."""
    if not module.training:
        return False
    if getattr(module, "running_mean", None) is not None:
        return True
    kind = type(module).__name__.lower()
    if kind == "rrelu":
        return True
    if "drop" in kind and (_is_rate(getattr(module, "p", 0.0)) or _is_rate(1 - getattr(module, "_p_1", 1.0))):
        return True  # torch keeps what is dropped, MLX what is left
    return any("drop" in name.lower() and _is_rate(value) for name, value in vars(module).items())


def _is_rate(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 < value <= 1
