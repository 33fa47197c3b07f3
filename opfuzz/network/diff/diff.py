"""Two files of tensors: what is different, which tensor diverged first, and what its difference is."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from opfuzz.core.errors import OpfuzzError, did_you_mean
from opfuzz.core.files.strict_json import strict
from opfuzz.network.diff.compare import Side, TensorComparison, compare
from opfuzz.network.diff.names import Matching, match
from opfuzz.network.tensors import TensorFile

# An error grows along a network, so the first tensor beyond rounding is guilty only if its error is a jump: eight times
# the largest before it. From one layer to the next rounding grew at most 2.1 times in the decoder that `pair` measured
# (by rms over spread), and the mildest fault planted there jumped 2e4 times.
JUMP = 8

NEPER = 20 / math.log(10)  # decibels in a difference of 1 between natural logarithms of amplitudes


@dataclass(frozen=True, slots=True)
class Diff:
    """Two files, compared."""

    a: str
    b: str
    tensors: tuple[TensorComparison, ...]  # in order of execution
    matching: Matching
    first: int | None  # place of the first divergence in `tensors`

    @property
    def is_jump(self) -> bool:
        """Whether the first divergence is a jump, and not an error from before it that has grown."""
        if self.first is None:
            return False
        before = max((tensor.inherited for tensor in self.tensors[: self.first]), default=0.0)
        return self.tensors[self.first].inherited > JUMP * before

    @property
    def name(self) -> str | None:
        """The tensor that diverged first, by its name in A."""
        return None if self.first is None else self.tensors[self.first].name


def diff(a: TensorFile, b: TensorFile, renamed: Mapping[str, str], order: Sequence[str]) -> Diff:
    """Every tensor that both have, one pair in memory at a time.

    Raises OpfuzzError if they have no name in common.
    """
    if not (a.is_named or b.is_named):
        matching = Matching(((a.names()[0], b.names()[0]),), (), ())
    else:
        matching = match(a.names(), b.names(), renamed, order)
    if not matching.pairs:
        raise OpfuzzError(_nothing_in_common(a, b))
    tensors = tuple(compare(a.read(x), b.read(y), (x, y)) for x, y in matching.pairs)
    return Diff(str(a.path), str(b.path), tensors, matching, first_divergence(tensors))


def _nothing_in_common(a: TensorFile, b: TensorFile) -> str:
    name, other = a.names()[0], b.names()[0]
    near = did_you_mean(name, b.names())
    return (
        f"{a.path} and {b.path} have no name in common: '{name}' is in the first, '{other}' in the second{near}; "
        "give --map FILE, a mapping from names in the first to names in the second"
    )


def first_divergence(tensors: Sequence[TensorComparison]) -> int | None:
    """The first tensor whose error is beyond rounding and a jump from all before it.

    Where errors only creep beyond rounding, the first that is there; None if none is.
    """
    largest = 0.0
    for index, tensor in enumerate(tensors):
        if tensor.diverges and tensor.inherited > JUMP * largest:
            return index
        largest = max(largest, tensor.inherited)
    return next((index for index, tensor in enumerate(tensors) if tensor.diverges), None)


def document(diff: Diff) -> dict[str, Any]:
    """What `--json` prints and the text is made of: strict JSON, NaN and infinities as "nan", "inf", "-inf"."""
    found = {
        "first_divergence": diff.name,
        "is_jump": diff.is_jump,
        "a": diff.a,
        "b": diff.b,
        "only_a": list(diff.matching.only_a),
        "only_b": list(diff.matching.only_b),
        "prefix_a": diff.matching.prefix_a,
        "prefix_b": diff.matching.prefix_b,
        "tensors": [_row(tensor) for tensor in diff.tensors],
    }
    return dict(strict(found))


def _row(tensor: TensorComparison) -> dict[str, Any]:
    drift = asdict(tensor.drift) if tensor.drift else dict.fromkeys(_FIGURES)
    figures = {"corr": tensor.drift.corr if tensor.drift else None, **{name: drift[name] for name in _FIGURES}}
    return {
        "name": tensor.name,
        **figures,
        "mae_db": drift["mae"] and NEPER * drift["mae"],
        "max_db": drift["max"] and NEPER * drift["max"],
        "max_ulp": tensor.max_ulp,
        "relative": tensor.relative,
        "unit": tensor.unit,
        "diverges": tensor.diverges,
        "explanation": tensor.explanation,
        **_side(tensor.a, "a"),
        **_side(tensor.b, "b"),
    }


_FIGURES = ("decorrelation", "mae", "median", "max", "rms", "shift")


def _side(side: Side, suffix: str) -> dict[str, Any]:
    return {f"{name}_{suffix}": value for name, value in asdict(side).items()}
