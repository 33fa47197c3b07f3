"""A truth that is certain enough for one output, and for that output alone: nobody's figures depend on company."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from opfuzz.judge.measure import Measured, measure, undecided, unscaled
from opfuzz.oracle.reference import Reference


def examine(output: NDArray[Any], reference: Reference) -> Measured:
    """An output measured against the exact values, which are first settled where it needs that."""
    measured = measure(output, reference.truth, reference.allowances)
    asked = [each for each in (undecided(measured), measured.unresolved, unscaled(measured)) if each.size]
    if asked:
        places = asked[0] if len(asked) == 1 else np.unique(np.concatenate(asked))
        truth = reference.settle(places)
        measured = measure(output, truth, reference.allowances)
    return _with_alternatives(measured, reference)


def glance(output: NDArray[Any], reference: Reference) -> Measured:
    """The same with float64's word for what is exact: good enough to tell where to look next, but in float64."""
    return _with_alternatives(measure(output, reference.truth, reference.allowances), reference)


def _with_alternatives(measured: Measured, reference: Reference) -> Measured:
    if measured.class_mistakes is None or reference.alternatives is None:
        return measured
    allowances = replace(measured.allowances, alternatives=reference.alternatives)
    return measure(measured.output, measured.truth, allowances)
