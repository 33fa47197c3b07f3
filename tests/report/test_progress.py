"""Progress is told seldom enough that looking at many rows does not hold up a run."""

from __future__ import annotations

from types import SimpleNamespace

from opfuzz.report import progress
from opfuzz.report.progress import LINE_SECONDS, LOOK_SHARE, Watcher


def looks(monkeypatch, cost: float, seconds: float) -> int:
    """How many looks at the ranking there are in some time, each of which takes so long."""
    clock, seen = [0.0], []

    def rows():
        seen.append(clock[0])
        clock[0] += cost
        return []

    monkeypatch.setattr(progress, "time", SimpleNamespace(monotonic=lambda: clock[0]))
    ranking = SimpleNamespace(rows=rows, faults=0)
    watcher = Watcher(SimpleNamespace(seconds=seconds, cases=None))
    while clock[0] < seconds:
        watcher.watch(SimpleNamespace(ranking=ranking, cases=1, seconds=clock[0]))
        clock[0] += 0.01
    return len(seen)


def test_lines_are_seconds_apart(monkeypatch, capsys):
    assert looks(monkeypatch, 0.001, 10 * LINE_SECONDS) in (9, 10)
    assert len(capsys.readouterr().err.splitlines()) in (9, 10)


def test_looks_that_take_long_are_few(monkeypatch):
    assert looks(monkeypatch, cost=2.0, seconds=1000.0) <= 1000 / (2.0 / LOOK_SHARE) + 1
