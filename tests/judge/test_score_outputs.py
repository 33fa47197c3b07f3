"""The score of several outputs: the gravest decides and is named, errors are the largest, counts are of all."""

from __future__ import annotations

import math

import numpy as np
import pytest
from several_outputs import SPLIT, TOTAL, call_of, of

from opfuzz.core.cause import Cause
from opfuzz.core.results import Outcome
from opfuzz.judge.outputs import score_outputs
from opfuzz.judge.score import score
from opfuzz.oracle.reference import references_of

CALL = of(SPLIT, call_of(np.random.default_rng(1).normal(size=(3, 7))))
WIDE = CALL.arrays["x"].astype(np.float64)
MEANS = np.array([math.fsum(row) / 7 for row in WIDE])


def made(y=None, mean=None, **fields) -> Outcome:
    """What an honest program returns, with one of the outputs replaced."""
    right = (WIDE - MEANS[:, None]).astype(np.float32), MEANS.astype(np.float32)
    outputs = tuple(own if other is None else other for own, other in zip(right, (y, mean), strict=True))
    return Outcome("planted:cpu", "ok", outputs, **fields)


def scored(outcome):
    return score_outputs(outcome, references_of(SPLIT, CALL))


def test_correctly_rounded_outputs_are_exact():
    found = scored(made())
    assert (found.verdict, found.elements, found.normal) == ("exact", 24, 24)
    assert sum(found.histogram.values()) == sum(found.by_magnitude.values()) == 24


@pytest.mark.parametrize(("place", "output", "index"), [(0, "y", (2, 5)), (1, "mean", (1,))])
def test_the_output_that_is_wrong_is_named(place, output, index):
    outputs = [each.copy() for each in made().outputs]
    outputs[place][index] *= np.float32(1.5)
    found = scored(made(*outputs))
    assert found.verdict == "wrong"
    assert (found.deciding.output, found.deciding.index) == (output, index)
    assert found.largest == found.deciding
    assert found.deciding.exact == pytest.approx((WIDE - MEANS[:, None], MEANS)[place][index], rel=1e-15)
    assert str(found.deciding.element) == f"{output}[{', '.join(map(str, index))}]"
    assert found.elements == 24


def test_the_gravest_decides_and_figures_are_those_of_all():
    y, mean = (each.copy() for each in made().outputs)
    y[0, 0] *= np.float32(1 + 2.0**-21)  # some ulp, which is no fault
    mean[2] = np.nan
    alone = [score(each, exact) for each, exact in zip((y, mean), references_of(SPLIT, CALL), strict=True)]
    found = scored(made(y, mean))
    assert (found.verdict, found.deciding.output) == ("special", "mean") == (alone[1].verdict, "mean")
    assert found.ulp == alone[0].ulp > alone[1].ulp
    assert (found.largest.output, found.largest.index) == ("y", (0, 0))
    for name in ("elements", "normal", "ulp_total", "unjudged", "unresolved", "flushed", "beyond"):
        assert getattr(found, name) == sum(getattr(each, name) for each in alone), name
    for name in ("conditioned", "excess", "rms_ulp"):
        assert getattr(found, name) == max(getattr(each, name) for each in alone), name
    for key in found.histogram:
        assert found.histogram[key] == sum(each.histogram.get(key, 0) for each in alone)


def test_of_equal_verdicts_the_larger_excess_decides():
    y, mean = (each.copy() for each in made().outputs)
    y[1, 1] *= np.float32(1.25)
    mean[0] *= np.float32(3)
    assert scored(made(y, mean)).deciding.output == "mean"
    y[1, 1] *= np.float32(1000)
    assert scored(made(y, mean)).deciding.output == "y"


def test_the_output_that_has_other_bits_in_a_second_call_decides():
    found = scored(made(repeated=(True, False)))
    assert (found.verdict, found.cause.kind, found.deciding.output) == ("unstable", "depends-on", "mean")
    assert scored(made(repeated=(True, True))).verdict == "exact"


def test_an_outcome_without_outputs_is_its_own_score():
    cause = Cause("raises", "Boom", figures={"words": "raised Boom"})
    found = scored(Outcome("s", "crash", cause=cause))
    assert (found.verdict, found.cause, found.elements) == ("crash", cause, 0)


@pytest.mark.parametrize("value", ["right", "wrong", "special"])
def test_a_number_without_axes_is_scored(value):
    call = of(TOTAL, call_of(WIDE))
    exact = math.fsum(WIDE.ravel()) / WIDE.size
    output = {"right": exact, "wrong": 3 * exact, "special": math.inf}[value]
    found = score_outputs(Outcome("s", "ok", (np.array(output, np.float32),)), references_of(TOTAL, call))
    assert found.verdict == {"right": "exact"}.get(value, value)
    assert (found.elements, found.deciding.index, found.deciding.output) == (1, (), "")
    assert found.deciding.exact == pytest.approx(exact, rel=1e-15)
    assert str(found.deciding.element) == "[]"


@pytest.mark.parametrize("x", [math.nan, math.inf, 1e-44, 0.0, -0.0])
def test_a_number_without_axes_of_special_inputs(x):
    call = of(TOTAL, call_of([[x, 1.5]]))
    with np.errstate(all="ignore"):
        output = np.asarray(np.mean(call.arrays["x"].astype(np.float64)).astype(np.float32))
        found = score_outputs(Outcome("s", "ok", (output,)), references_of(TOTAL, call))
    assert found.verdict == "exact"
