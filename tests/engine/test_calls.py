"""What makes two calls show the same fault."""

from __future__ import annotations

import pytest

from opfuzz.core.cause import Cause
from opfuzz.core.results import Mark, Score
from opfuzz.engine.calls import symptom

NAN, INF = float("nan"), float("inf")


def special(computed, exact):
    return symptom(Score("special", deciding=Mark((0,), computed, "", exact, NAN, 0.0)))


@pytest.mark.parametrize(
    "alike",
    [
        [(NAN, 0.0), (INF, 2.0), (-INF, 0.0), (NAN, -3.0)],  # what overflows on the way is either
        [(0.0, NAN), (2.0, NAN), (1.0, INF)],
        [(NAN, INF), (INF, NAN), (-INF, INF)],
        [(0.0, -0.0)],
    ],
)
def test_what_stands_for_what(alike):
    assert len({special(*pair) for pair in alike}) == 1
    every = [(NAN, 0.0), (0.0, NAN), (NAN, INF), (0.0, -0.0)]
    assert len({special(*pair) for pair in every}) == len(every)


def test_an_error_is_no_special_value():
    assert symptom(Score("wrong")) == symptom(Score("imprecise")) != special(NAN, 0.0)


def test_another_output_shows_another_fault():
    marks = [Mark((0,), 1.0, "", 2.0, 1.0, 0.0, output) for output in ("", "y", "mean")]
    for verdict in ("wrong", "special", "unstable"):
        assert len({symptom(Score(verdict, deciding=mark)) for mark in marks}) == 3
    assert symptom(Score("wrong", deciding=marks[0])) == ("error", "")
    missing = [Cause("wrong-shape", "count", figures={"words": "", "output": output}) for output in ("y", "mean")]
    assert len({symptom(Score("crash", cause)) for cause in missing}) == 2


def test_exceptions_of_one_class_are_told_by_what_they_say():
    def of(words, verdict="crash"):
        return symptom(Score(verdict, Cause("raises", "RuntimeError", figures={"words": words})))

    assert of("odd size 3") == of("odd size 5") != of("needs contiguous memory")
    assert of("odd size 3", "out-of-memory") != of("needs contiguous memory", "out-of-memory")
