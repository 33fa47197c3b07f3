"""A function that has absolute accuracy only has one cause, whatever formula it is made of and in every format."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.special
import torch
from bundled_ops import BUNDLED_OPS

from opfuzz.backends import Subject, derive
from opfuzz.core.call import Call, Recipe
from opfuzz.core.floats import FORMATS
from opfuzz.engine.triage.diagnose import Exact, diagnose_score, outcome_of
from opfuzz.judge.score import score

VALUES = {"float32": (7e-6, 1e-3, 0.04), "bfloat16": (3.1e-7, 8.2e-7, 1.1e-6)}


def cause(function, format, values):
    """Kind and name of what is told of an error function of float64 arrays, whose results are rounded to the format."""
    spec, subject = BUNDLED_OPS["erf"], Subject("planted", "cpu")
    planted = {"torch.erf": lambda x: torch.from_numpy(np.float64(function(x.double().numpy()))).to(x.dtype)}
    backend = derive("torch", "planted", planted)
    x = np.asarray(values).astype(FORMATS[format].dtype)[None]
    call = Call(format, {"batch": 1, "n": x.size}, {}, {"x": x}, {"x": "contiguous"})
    (made,) = outcome_of(spec, subject, backend, call).outputs
    judged = score(made, Exact(spec, 0)(call))
    first, *_ = diagnose_score(judged, spec, Recipe(call=call), subject, backend)
    return first.kind, first.name


def by_complement(x):
    return np.float32(1) - scipy.special.erfc(x.astype(np.float32))


def beside_four(x):
    return (scipy.special.erf(x).astype(np.float32) + np.float32(4)) - np.float32(4)


def polynomial(x):
    """Abramowitz and Stegun 7.1.26."""
    size = np.abs(x)
    t = 1 / (1 + 0.3275911 * size)
    series = t * (0.254829592 + t * (-0.284496736 + t * (1.421413741 + t * (-1.453152027 + t * 1.061405429))))
    return np.sign(x) * (1 - series * np.exp(-(size**2)))


@pytest.mark.parametrize("format", VALUES)
def test_an_implementation_that_no_formula_of_the_spec_tells_has_one_name_in_every_format(format):
    assert cause(beside_four, format, VALUES[format]) == ("cancels", "")


def test_a_formula_that_the_output_shows_is_named():
    assert cause(polynomial, "float32", (1e-3, 0.04, 0.3)) == ("formula", "polynomial-7.1.26")
    assert cause(by_complement, "float32", VALUES["float32"]) in (("formula", "by-complement"), ("cancels", ""))


@pytest.mark.parametrize("format", VALUES)
def test_an_error_in_proportion_to_the_result_is_no_absolute_accuracy(format):
    assert cause(lambda x: scipy.special.erf(x) * 1.07, format, VALUES[format])[0] != "cancels"


def test_a_result_that_is_wrong_beside_right_ones_is_no_absolute_accuracy():
    def shifted(x):
        right = scipy.special.erf(x)
        return np.where(np.abs(x) > 1e-4, right + 2e-7, right)

    assert cause(shifted, "float32", VALUES["float32"])[0] != "cancels"


def test_what_is_off_by_a_share_of_small_results_alone_has_no_absolute_accuracy():
    def scaled(x):
        return scipy.special.erf(x) * np.where(np.abs(x) < 1e-10, 1.5, 1)

    assert cause(scaled, "float32", (1e-11, 1e-12, 3e-13, 0.5))[0] != "cancels"
