"""What errors are measured in: how far an output may be off, element by element, before a word is said of it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from opfuzz.core.floats import FloatArray

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
    """Radii around exact values, of their shape.

    `wide` is what an honest implementation errs by, `conditioning` what one rounding of the inputs does.
    """

    wide: FloatArray
    conditioning: FloatArray
    alternatives: Alternatives | None = None  # None: not asked for
