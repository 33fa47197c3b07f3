"""A truth that is certain enough for one output, and for that output alone: nobody's figures depend on company."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from opfuzz.judge.measure import Measured, measure, undecided
from opfuzz.oracle.reference import Reference


def examine(output: NDArray[Any], reference: Reference) -> Measured:
    """An output measured against the exact values, which are first settled where it needs that."""
    measured = measure(output, reference.truth, reference.allowances)
    places = undecided(measured)
    if measured.unresolved.size:
        places = np.union1d(places, measured.unresolved)
    truth = reference.settle(places) if places.size else reference.truth
    allowances = reference.allowances_around(truth)
    if places.size:
        measured = measure(output, truth, allowances)
    if measured.class_mistakes is None or reference.alternatives is None:
        return measured
    return measure(output, truth, replace(allowances, alternatives=reference.alternatives))
