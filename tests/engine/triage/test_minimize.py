"""Findings made smaller: the smallest call, its condition, and what ends the search for it."""

from __future__ import annotations

import numpy as np
import pytest
from bundled_ops import BUNDLED_OPS
from small_campaigns import SPECS, plugin

from opfuzz.backends import Subject, derive, discover
from opfuzz.core.call import Element, Recipe
from opfuzz.core.case import Case
from opfuzz.core.cause import Cause
from opfuzz.core.findings import Finding, Minimal
from opfuzz.core.results import Judged, Score
from opfuzz.engine.calls import Asked, follow
from opfuzz.engine.campaign import run
from opfuzz.engine.executors import Casualty
from opfuzz.engine.plan import Plan, load_specs
from opfuzz.engine.triage.minimize import Smaller, Target, judge_or_leave, minimize_findings, smaller, with_minimal
from opfuzz.report.causes import word_reason


def call_of(op, dims, fmt="float64", regime="normal"):
    spec = BUNDLED_OPS[op]
    names = [item.name for item in spec.inputs]
    params = {param.name: param.values[0] for param in spec.params if param.values}
    case = Case(op, spec.digest, fmt, dims, params, dict.fromkeys(names, regime), dict.fromkeys(names, "contiguous"), 7)
    return follow(Recipe(case), spec)


def answered(target, functions, **limits):
    """What becomes of a target on NumPy with some functions replaced, and the calls that were made."""
    backend, calls = derive("numpy", "planted", functions), []
    steps = smaller(target, **limits)
    try:
        asked = next(steps)
        while True:
            calls.append(asked.call)
            asked = steps.send(judge_or_leave(target.spec, Subject("planted", "cpu"), backend, asked))
    except StopIteration as end:
        return end.value, calls


def total_without(is_hit):
    """A sum that loses its last term on rows of some lengths."""
    return lambda x, axis: np.sum(x[..., :-1] if is_hit(x.shape[-1]) else x, axis=axis)


@pytest.mark.parametrize(
    ("is_hit", "n", "words"),
    [(lambda n: n == 128, 128, "n == 128"), (lambda n: n >= 40, 40, "n >= 40"), (lambda n: n > 0, 1, "")],
)
def test_the_fewest_elements_and_the_condition(is_hit, n, words):
    target = Target(
        "planted:cpu", BUNDLED_OPS["sum"], Asked(call_of("sum", {"batch": 3, "n": 128})), Element("", (0,)), "wrong"
    )
    found, _ = answered(target, {"np.sum": total_without(is_hit)})
    assert dict(found.minimal.call.dims) == {"batch": 1, "n": n}
    assert (found.minimal.elements, found.minimal.before, found.minimal.note) == (n + 1, 3 * 129, "")
    assert found.minimal.trigger.text("size") == words
    assert found.judged.score.verdict == "wrong"
    assert found.judged.deciding.mark.index == (0,)


def test_what_the_call_alone_does_not_show_stays_as_it_is():
    target = Target(
        "planted:cpu", BUNDLED_OPS["sum"], Asked(call_of("sum", {"batch": 3, "n": 128})), Element("", (0,)), "wrong"
    )
    found, calls = answered(target, {"np.sum": lambda x, axis: np.sum(x, axis=axis)})
    assert found.minimal.call is target.asked.call
    assert "does not show it again" in found.minimal.note
    assert not found.minimal.is_shown
    assert len(calls) == 1


def test_a_limit_of_attempts_keeps_what_was_reached():
    target = Target(
        "planted:cpu", BUNDLED_OPS["sum"], Asked(call_of("sum", {"batch": 3, "n": 128})), Element("", (0,)), "wrong"
    )
    found, calls = answered(target, {"np.sum": total_without(lambda n: n >= 40)}, attempts=5)
    assert found.minimal.note == "stopped after 5 attempts"
    assert found.minimal.elements <= found.minimal.before
    assert not found.minimal.trigger.complete
    assert len(calls) <= 2 + 2 * 6


def test_other_values_with_another_fault_are_no_part_of_the_condition():
    """Infinite above 100, and off by 1 % everywhere: what is said of infinity holds above 100 only."""

    def broken(x):
        return np.where(x > 100, np.inf, np.exp(x) * 1.01)

    call = call_of("exp", {"batch": 1, "n": 1})
    call = call.with_arrays({"x": np.array([[200.0]])})
    found, _ = answered(
        Target("planted:cpu", BUNDLED_OPS["exp"], Asked(call), Element("", (0, 0)), "special"), {"np.exp": broken}
    )
    assert "x >= 10" in found.minimal.trigger.text("values"), found.minimal.trigger.words


def test_a_timeout_is_not_the_fault_that_was_looked_for():
    target = Target(
        "planted:cpu", BUNDLED_OPS["sum"], Asked(call_of("sum", {"batch": 3, "n": 128})), Element("", (0,)), "wrong"
    )
    steps = smaller(target)
    next(steps)
    with pytest.raises(StopIteration) as end:
        steps.send(Casualty("timeout", "no result after 10 s", "planted:cpu"))
    assert not end.value.value.minimal.is_shown


def test_the_words_are_of_the_call_that_is_shown():
    special = {"computed": float("inf"), "exact": 1.0, "overflows": ""}
    score = Score("special", Cause("special-at", figures={**special, "exact": 2.0}), deciding=None)
    cause = Cause("special-at", figures=special)
    finding = Finding("i", "exp", "s:cpu", "float32", "special", "fault", cause, 3, 2, 0, "c", None, Recipe())
    made = with_minimal(
        finding,
        Smaller(Minimal(call_of("exp", {"batch": 1, "n": 1}), 2, 2, 1, "", None), Judged("s:cpu", score, None, None)),
    )
    assert word_reason(made) == "returned inf where 2 is right (2 of 3 cases)"


def test_deaths_on_the_way_end_the_search():
    """Calls of 8 elements and fewer kill the worker; the fault itself is none that does."""
    target = Target(
        "planted:cpu", BUNDLED_OPS["sum"], Asked(call_of("sum", {"batch": 3, "n": 128})), Element("", (0,)), "wrong"
    )
    backend = derive("numpy", "planted", {"np.sum": total_without(lambda n: n > 0)})
    steps, deaths = smaller(target), 0
    try:
        asked = next(steps)
        while True:
            if asked.call.arrays["x"].size <= 8:
                deaths += 1
                asked = steps.send(Casualty("crash", "killed by SIGSEGV", "planted:cpu"))
            else:
                asked = steps.send(judge_or_leave(target.spec, Subject("planted", "cpu"), backend, asked))
    except StopIteration as end:
        found = end.value
    assert found.minimal.note == "stopped: 3 calls ended their process"
    assert found.minimal.elements > 9
    assert deaths <= 6, "three while it is made smaller, three while its condition is looked for"


def test_a_death_is_made_smaller_by_dying():
    target = Target("planted:cpu", BUNDLED_OPS["sum"], Asked(call_of("sum", {"batch": 3, "n": 128})), None, "crash")
    backend = derive("numpy", "planted", {"np.sum": np.sum})
    steps = smaller(target)
    try:
        asked = next(steps)
        while True:
            if asked.call.dims["n"] >= 5 and asked.call.dims["batch"]:
                asked = steps.send(Casualty("crash", "killed by SIGSEGV", "planted:cpu"))
            else:
                asked = steps.send(judge_or_leave(target.spec, Subject("planted", "cpu"), backend, asked))
    except StopIteration as end:
        found = end.value
    assert dict(found.minimal.call.dims) == {"batch": 1, "n": 5}
    assert found.judged is None


def test_a_run_is_made_smaller_alike_on_any_number_of_workers(tmp_path):
    path = plugin(tmp_path)
    specs = load_specs([SPECS], discover([path]), ["square"])
    seen = []
    for jobs in (1, 2):
        plan = Plan(specs, ("off:cpu", "raising:cpu"), 0, jobs, formats=("float32",), plugins=(path,), cases=6)
        findings, interrupted = minimize_findings(plan, run(plan).ranking.findings(), 60.0)
        assert not interrupted
        seen.append(
            [(f.id, f.minimal.call.id(f.op), f.minimal.elements, f.minimal.trigger.words, f.witness) for f in findings]
        )
    assert seen[0] == seen[1]
    assert [elements for _, _, elements, _, _ in seen[0]] == [2, 2]


def test_without_time_findings_stay_as_they_are(tmp_path):
    path = plugin(tmp_path)
    plan = Plan(load_specs([SPECS], discover([path]), ["square"]), ("off:cpu",), 0, 1, plugins=(path,), cases=6)
    for finding in minimize_findings(plan, run(plan).ranking.findings(), -1.0)[0]:
        assert finding.minimal.note == "not made smaller: the time for that was over"
