"""All the regimes by name, the kinds of input they suit, and how often each is drawn when a spec names none."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from types import MappingProxyType
from typing import Any

from numpy.typing import NDArray

from opfuzz.core.errors import OpfuzzError, did_you_mean
from opfuzz.core.floats import Format
from opfuzz.generate import harsh, indices, masks, mild, quantiles
from opfuzz.generate.choices import Words
from opfuzz.generate.numbers import Shape

FloatRegime = Callable[[Words, Shape, Format], NDArray[Any]]  # float64, to be rounded, or already in the format
IndexRegime = Callable[[Words, Shape, int], NDArray[Any]]
MaskRegime = Callable[[Words, Shape], NDArray[Any]]

# Name, function and weight, the simplest first. `specials` has 8 %; a weight is a percentage as long as the sum is 100.
_FLOATS: tuple[tuple[FloatRegime, int], ...] = (
    (mild.zeros, 2),
    (mild.ones, 5),
    (mild.constant, 5),
    (mild.integers, 5),
    (mild.unit, 3),
    (mild.uniform, 4),
    (mild.normal, 16),
    (mild.positive, 3),
    (mild.log_magnitude, 6),
    (mild.full_range, 4),
    (harsh.offset, 7),
    (harsh.tiny_variance, 6),
    (harsh.spread, 6),
    (harsh.large, 4),
    (harsh.small, 4),
    (harsh.near_zero, 4),
    (harsh.angles, 3),
    (harsh.cancelling, 5),
    (harsh.specials, 8),
)
_INDICES: tuple[tuple[IndexRegime, int], ...] = (
    (indices.equal_index, 15),
    (indices.boundary_index, 15),
    (indices.random_index, 50),
    (indices.sorted_index, 20),
)
_MASKS: tuple[tuple[MaskRegime, int], ...] = (
    (masks.full_mask, 15),
    (masks.causal_mask, 25),
    (masks.random_mask, 30),
    (masks.empty_row, 10),
    (masks.one_left, 10),
    (masks.some_left, 10),
)

# Of scales, codes and cotangents, which only a spec that has them names.
_NAMED_FLOATS: tuple[FloatRegime, ...] = (mild.powers_of_two, harsh.outliers, mild.one_hot)
_NAMED_INDICES: tuple[IndexRegime, ...] = (indices.alternating_index, indices.middle_index)

FLOAT_REGIMES: Mapping[str, FloatRegime] = MappingProxyType(
    {f.__name__: f for f in (*(f for f, _ in _FLOATS), *_NAMED_FLOATS)}
)
INDEX_REGIMES: Mapping[str, IndexRegime] = MappingProxyType(
    {f.__name__: f for f in (*(f for f, _ in _INDICES), *_NAMED_INDICES)}
)
MASK_REGIMES: Mapping[str, MaskRegime] = MappingProxyType({f.__name__: f for f, _ in _MASKS})
REGIMES: Mapping[str, Callable[..., NDArray[Any]]] = MappingProxyType(
    {**FLOAT_REGIMES, **INDEX_REGIMES, **MASK_REGIMES}
)

BY_KIND: Mapping[str, Mapping[str, Callable[..., NDArray[Any]]]] = MappingProxyType(
    {"float": FLOAT_REGIMES, "index": INDEX_REGIMES, "mask": MASK_REGIMES, "additive_mask": MASK_REGIMES}
)
_MASK_WEIGHTS = MappingProxyType({f.__name__: weight for f, weight in _MASKS})
DEFAULT_REGIMES: Mapping[str, Mapping[str, int]] = MappingProxyType(
    {
        "float": MappingProxyType({f.__name__: weight for f, weight in _FLOATS}),
        "index": MappingProxyType({f.__name__: weight for f, weight in _INDICES}),
        "mask": _MASK_WEIGHTS,
        "additive_mask": _MASK_WEIGHTS,
    }
)


def float_regime(regime: str, name: str) -> FloatRegime:
    """The function of a regime of floats, which `check_regime` has let pass."""
    if quantiles.is_quantiles(regime):
        return partial(quantiles.values, quantiles=quantiles.quantiles_of(regime, name))
    return FLOAT_REGIMES[regime]


def check_regime(regime: str, kind: str, name: str) -> None:
    """Raises OpfuzzError if `regime` is unknown, or makes no values of this kind; `name` is the input's."""
    suited = BY_KIND[kind]
    if regime in suited or (quantiles.is_quantiles(regime) and kind == "float"):
        return
    if regime in REGIMES or quantiles.is_quantiles(regime):
        raise OpfuzzError(f"input {name}: regime '{regime}' makes no {kind} values; known: {', '.join(suited)}")
    raise OpfuzzError(f"input {name}: unknown regime '{regime}'{did_you_mean(regime, suited)}")
