"""What errors are measured in: how far an output may be off, element by element, before a word is said of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from opfuzz.core.floats import FloatArray
from opfuzz.core.metrics.conditioned import room
from opfuzz.oracle.truth import Truth

Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Alternatives:
    """What else is right than mathematics says, where NaN, infinities and the end of the format are concerned."""

    overflow: FloatArray | None  # half formats: what rounding intermediates may do, which decides if a result is finite
    values: tuple[FloatArray, ...]  # what IEEE arithmetic makes of the usual formula
    reach: Mask | None  # elements for which these count: what a NaN or infinity among the inputs can reach
    nan: Mask | None = None  # what a NaN among the inputs can reach, for which NaN is right whatever a comparison chose
    undefined: Mask | None = None  # where anything is right


@dataclass(frozen=True, slots=True)
class Allowances:
    """Radii around exact values, of their shape, and the units of error that follow from them.

    `wide` is what an honest implementation errs by, `conditioning` what one rounding of the inputs does.
    """

    wide: FloatArray
    conditioning: FloatArray
    wide_room: FloatArray  # ulp/2 + wide
    conditioning_room: FloatArray  # ulp/2 + conditioning
    is_blind: Mask | None  # where `wide` exceeds the value, so that anything would do; None: nowhere
    alternatives: Alternatives | None = None  # None: not asked for

    @classmethod
    def of_wide(cls, truth: Truth, wide: FloatArray) -> Self:
        """Those of an honest implementation alone, which then stand for the others too."""
        unit = room(truth.spacing, wide)
        return cls(wide, wide, unit, unit, None)

    @classmethod
    def around(cls, truth: Truth, wide: FloatArray, conditioning: FloatArray) -> Self:
        """The allowances of these exact values."""
        blind = wide > np.maximum(truth.size, truth.spacing / 2)
        return cls(
            wide,
            conditioning,
            room(truth.spacing, wide),
            room(truth.spacing, conditioning),
            np.asarray(blind) if blind.any() else None,
        )
