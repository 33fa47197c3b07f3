"""The history in a terminal: what changed is told of the cases that both runs made."""

from __future__ import annotations

from opfuzz.core.run import Core
from opfuzz.report.history.overview import detail, overview
from opfuzz.store.history import Point, Trend


def point(run, verdict, excess, core=Core(), spec="s1"):  # noqa: B008  # a frozen record
    return Point(run, run, 0, False, {"torch": "2.13"}, 9, 3.0, excess, verdict, "clean", core, (spec, "", "0.1"))


def changed(*points):
    words = overview([Trend("erf", "torch:cpu", "float16", points)]).splitlines()[-1]
    assert (words.split()[-1] in detail(Trend("erf", "torch:cpu", "float16", points))) == ("→" in words)
    return words.partition(points[-1].run + ": ")[2]


def core(verdict, excess, *numbers):
    return Core(numbers, ("exact",) * (len(numbers) - 1) + (verdict,), (1.0,) * len(numbers), (excess,) * len(numbers))


def test_other_draws_are_no_change():
    same = core("stable", 1.0, 0, 1)
    assert changed(point("a", "imprecise", 2.0, same), point("b", "wrong", 90.0, same)) == ""


def test_what_became_of_common_cases_is():
    then, now = core("stable", 1.0, 0, 1), core("wrong", 30.0, 0, 1, 2)
    assert changed(point("a", "wrong", 90.0, core("wrong", 30.0, 2)), point("b", "wrong", 90.0, now)) == ""
    words = changed(point("a", "wrong", 90.0, then), point("b", "wrong", 90.0, core("wrong", 30.0, 0, 1)))
    assert words == "stable → wrong; excess 1 → 30"


def test_without_common_cases_all_of_both_are_held_against_one_another():
    then, now = core("stable", 1.0, 0), core("wrong", 30.0, 0)
    other = point("b", "wrong", 3.0, now, spec="s2")  # equal numbers are other cases there
    assert changed(point("a", "stable", 2.0, then), other) == "stable → wrong"
    assert changed(point("a", "stable", 2.0), point("b", "wrong", 3.0)) == "stable → wrong"
