"""Time is for one finding of every cause first, and what was found is kept when somebody ends it."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import pytest
from results import witness

from opfuzz.core.call import Recipe
from opfuzz.core.cause import Cause
from opfuzz.core.findings import Finding
from opfuzz.engine.executors import LOCAL
from opfuzz.engine.triage import investigation as investigations
from opfuzz.engine.triage import minimize
from opfuzz.engine.triage.causes import widest_first
from opfuzz.engine.triage.investigation import Investigation
from opfuzz.engine.triage.minimize import LEAST_SECONDS, SECONDS, Queue
from opfuzz.engine.triage.resume import Remembered


def finding(op: str, variant: str, severity: str = "fault") -> Finding:
    place = (f"{op}-{variant}", op, "s:cpu", "float32", "wrong", severity, Cause("is-variant", variant))
    return Finding(*place, 1, 1, 0, "c", witness(), Recipe())


FOUND = [
    finding("a", "x"),
    finding("b", "x"),
    finding("c", "y", "note"),
    finding("d", "z"),
    finding("e", "z"),
]


def test_one_of_every_cause_comes_first():
    ordered, urgent = widest_first(FOUND)
    assert [each.id for each in ordered] == ["a-x", "d-z", "b-x", "c-y", "e-z"]
    assert urgent == 2


def test_what_ends_its_process_comes_after_what_costs_less():
    dying = replace(FOUND[0], id="dying", op="f", cause=Cause("dies", "SIGFPE", figures={"words": "killed by SIGFPE"}))
    ordered, urgent = widest_first([dying, *FOUND])
    assert [each.id for each in ordered] == ["a-x", "d-z", "dying", "b-x", "c-y", "e-z"]
    assert urgent == 3


def test_the_urgent_share_the_time(monkeypatch):
    monkeypatch.setattr(minimize, "time", SimpleNamespace(monotonic=lambda: 100.0))

    def share(waiting: int, urgent: int, seconds: float, place: int = 0, workers: int = 2) -> float:
        queue = Queue([], 100.0 + seconds, urgent=(urgent, workers))
        queue.waiting.extend(range(place + 1, waiting))
        return queue._share(place)

    assert share(10, 5, 60.0) == 12.0  # 120 s of two workers, 5 findings, two halves each
    assert share(10, 5, 60.0, place=3) == 30.0
    assert share(10, 5, 60.0, place=5) == SECONDS
    assert share(999, 999, 60.0) == LEAST_SECONDS
    assert Queue([], urgent=(3, 1))._share(0) == SECONDS


@pytest.fixture
def look(monkeypatch):
    """What became of FOUND where a stage is interrupted in its midst, as between two calls of workers."""

    def run(ends: str):
        def diagnose(plan, findings, *others):
            name = "again" if any(each.causes for each in findings) else "first"
            if ends == name:
                raise KeyboardInterrupt
            return tuple(replace(each, causes=(Cause("is-variant", name),)) for each in findings), False

        def minimize(plan, findings, *others):
            if ends == "shrink":
                raise KeyboardInterrupt
            return tuple(findings), False

        monkeypatch.setattr(investigations, "diagnose_findings", diagnose)
        monkeypatch.setattr(investigations, "minimize_findings", minimize)
        monkeypatch.setattr(investigations, "smallest_of", lambda finding: finding)
        made = Investigation(None, Remembered(None), 9.0, lambda done, total: None, LOCAL)
        findings, was_stopped = made.look_into(FOUND)
        assert [each.id for each in findings] == [each.id for each in FOUND], "in their order"
        return was_stopped, {each.causes[0].name if each.causes else "" for each in findings}

    return run


@pytest.mark.parametrize(
    ("ends", "came"),
    [("", (False, {"again"})), ("first", (True, {""})), ("shrink", (True, {"first"})), ("again", (True, {"first"}))],
)
def test_what_was_found_is_kept(look, ends, came):
    assert look(ends) == came
