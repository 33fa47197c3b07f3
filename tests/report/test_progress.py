"""Progress in a pipe: plain lines, not many, on standard error."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from results import result

from opfuzz.judge.ranking import Ranking
from opfuzz.report import progress
from opfuzz.report.progress import Watcher


@dataclass
class Budget:
    cases: int | None = 10
    seconds: float | None = None

    def pairs(self):
        return [("gelu", "float32")]


@dataclass
class State:
    ranking: Ranking
    cases: int
    seconds: float


@pytest.fixture
def clock(monkeypatch):
    """A list whose last number is the time."""
    now = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[-1])
    return now


def state(**fields):
    ranking = Ranking()
    ranking.add(result(0, "wrong", 2.0**24))
    return State(ranking, **{"cases": 12, "seconds": 30.4} | fields)


def test_a_line_now_and_then(clock, capsys):
    with Watcher(Budget()) as watcher:
        for second in range(31):
            clock.append(float(second))
            watcher.watch(state(cases=second))
    captured = capsys.readouterr()
    assert captured.out == ""
    lines = captured.err.splitlines()
    assert len(lines) == 3
    assert lines[0] == "10 cases, 1 fault, worst gelu on torch:cpu (float32) 1.68e7 ulp, 30 s"
    assert all(line.isprintable() for line in lines)


def test_a_run_without_results_yet(clock, capsys):
    with Watcher(Budget(cases=None, seconds=5.0)) as watcher:
        clock.append(60.0)
        watcher.watch(State(Ranking(), 0, 60.0))
    assert capsys.readouterr().err == "0 cases, 0 faults, 60 s\n"


def test_say(capsys):
    with Watcher(Budget()) as watcher:
        watcher.say("[bold]as it is[/bold]")
    assert capsys.readouterr().err == "[bold]as it is[/bold]\n"


def test_stages_are_counted_each_on_its_own(monkeypatch, capsys):
    monkeypatch.setattr(progress, "LINE_SECONDS", 0.0)
    with progress.Counted("tried") as counted:
        counted.watch_stage("tried", 9, 9)
        counted.watch_stage("diagnosed", 1, 4)
    assert capsys.readouterr().err.splitlines() == ["9 of 9 tried", "1 of 4 diagnosed"]
