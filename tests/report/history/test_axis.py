"""The axis of time: places, runs that are missing, round times, and what changed in the software."""

from __future__ import annotations

import re
from itertools import pairwise

import pytest

from opfuzz.report.history.axis import TICKS, Axis, turns
from opfuzz.report.history.strips import cut_label, ruler, stretches
from opfuzz.store.lives import Night

HOUR, DAY = 3600.0, 86400.0
JANUARY = 1767225600.0  # 1 January 2026 at 00:00 in UTC, a Thursday


def gaps(times):
    """Places of a run in a list after which one is missing."""
    axis = Axis.of(times)
    return [place for place, pair in enumerate(pairwise(times)) if axis.is_gap(*pair)]


def test_a_place_is_a_share_of_the_time():
    axis = Axis.of([0.0, 1 * DAY, 4 * DAY])
    assert [axis.x(at) for at in (0.0, 1 * DAY, 4 * DAY, 9 * DAY)] == [2.0, 26.0, 98.0, 98.0]
    assert Axis.of([5.0]).x(5.0) == 50.0
    assert Axis.of([]).usual is None


NIGHTLY = [n * DAY for n in range(10)]


@pytest.mark.parametrize(
    ("times", "expected"),
    [
        pytest.param(NIGHTLY, [], id="every night"),
        pytest.param([at for n, at in enumerate(NIGHTLY) if n != 4], [3], id="one night without"),
        pytest.param([*NIGHTLY[:5], *(at + 30 * DAY for at in NIGHTLY)], [4], id="a month without"),
        pytest.param([at + HOUR * (n % 3) for n, at in enumerate(NIGHTLY)], [], id="not quite on time"),
        pytest.param([at + more for at in NIGHTLY[:4] for more in (0, 600, 700)], [], id="thrice a night"),
        pytest.param([at + more for at in (0, DAY, 2 * DAY, 4 * DAY, 5 * DAY) for more in (0, 600)], [5], id="twice"),
        pytest.param([n * 7 * DAY for n in (0, 1, 2, 4, 5)], [2], id="weekly"),
        pytest.param([0.0, DAY, 9 * DAY], [], id="too few to know"),
        pytest.param([0.0, 60.0, 400.0, 5 * DAY, 5.1 * DAY, 40 * DAY], [], id="as it comes"),
        pytest.param([DAY] * 6, [], id="all at once"),
    ],
)
def test_a_run_is_missing_only_where_there_is_a_rhythm(times, expected):
    assert gaps(times) == expected


def test_lines_end_where_a_run_is_missing():
    times = [n * DAY for n in (0, 1, 2, 5, 6, 7)]
    assert stretches(Axis.of(times), times) == [(0.0, 2 * DAY), (5 * DAY, 7 * DAY)]


@pytest.mark.parametrize(
    ("length", "names"),
    [
        (9 * DAY, ["1 Jan", "3 Jan", "5 Jan", "7 Jan", "9 Jan"]),
        (5 * DAY, ["1 Jan", "2 Jan", "3 Jan", "4 Jan", "5 Jan", "6 Jan"]),
        (4 * 7 * DAY, ["5 Jan", "12 Jan", "19 Jan", "26 Jan"]),
        (12 * HOUR, ["1 Jan", "03:00", "06:00", "09:00", "12:00"]),
        (300, ["1 Jan", "00:01", "00:02", "00:03", "00:04", "00:05"]),
        (150 * DAY, ["2026", "Feb", "Mar", "Apr", "May"]),
    ],
)
def test_ticks_are_round_times(length, names):
    axis = Axis.of([JANUARY, JANUARY + length])
    found = [name for _, name in axis.ticks()]
    assert found == names


@pytest.mark.parametrize("length", [1.0, 59.0, 3600.0, 1e5, 1e6, 3e7, 1e8, 1e9, 250e9])
def test_ticks_are_few_and_on_the_axis(length):
    found = Axis.of([JANUARY + 12345.0, JANUARY + 12345.0 + length]).ticks()
    assert len(found) <= TICKS
    assert all(2.0 <= x <= 98.0 for x, _ in found)
    assert all(then != now for (_, then), (_, now) in pairwise(found))


def night(day, versions=(), machine=(), subjects=("torch:cpu",), **fields):
    known = {"run": f"r{day}", "at": day * DAY, "started": "", "seed": 0, "interrupted": False, "compared": None}
    return Night(**known | fields, subjects=subjects, versions=dict(versions), machine=dict(machine))


def told(*nights):
    return [(turn.night.run, turn.words) for turn in turns(nights)]


def test_a_version_that_changed_is_told_once():
    first, second = {"torch": "2.12", "numpy": "2.4"}, {"torch": "2.13", "numpy": "2.4"}
    assert told(night(1, first), night(2, second), night(3, second)) == [("r2", "torch 2.12 → 2.13")]
    assert told(night(1, first)) == []


def test_a_version_is_held_against_the_last_run_that_had_one():
    torch, mlx = {"torch": "2.12"}, {"mlx": "0.31"}
    runs = night(1, torch), night(2, mlx, subjects=("mlx:cpu",)), night(3, torch), night(4, {"mlx": "0.32"})
    assert told(*runs) == [("r4", "mlx 0.31 → 0.32")]


def test_plugins_and_the_machine_are_told():
    plugin = {"plugin mine.py": "aaaa"}
    assert told(night(1), night(2, plugin), night(3, {"plugin mine.py": "bbbb"}), night(4)) == [
        ("r2", "plugin mine.py none → aaaa"),
        ("r3", "plugin mine.py aaaa → bbbb"),
        ("r4", "plugin mine.py bbbb → none"),
    ]
    other = night(2, machine={"processor": "b", "python": "3.12", "cores": "4"})
    assert told(night(1, machine={"processor": "a", "python": "3.11", "cores": "2"}), other) == [
        ("r2", "python 3.11 → 3.12; processor a → b")
    ]


def test_words_of_changes_that_are_close_stand_in_lanes():
    runs = [night(day, {"torch": f"2.{number}"}) for number, day in enumerate((0, 50, 51, 52, 99.0, 100))]
    picture = str(ruler(Axis.of([each.at for each in runs]), runs, turns(runs)))
    found = re.findall(
        r'<svg x="([\d.]+)%" y="([\d.-]+)"><text class="told" x="-?\d" text-anchor="(\w+)">(\d)', picture
    )
    assert sorted(number for *_, number in found) == list("12345")
    taken = {}
    for x, y, anchor, number in found:
        width = 100 * 6.3 * len(f"{number} torch 2.0 → 2.1") / 520
        left = float(x) if anchor == "start" else float(x) - width
        assert left >= -2
        assert left + width <= 102
        for other in taken.setdefault(y, []):
            assert left >= other[1] or left + width <= other[0], "two labels touch"
        taken[y].append((left, left + width))
    assert len(cut_label("x" * 500)) == 44
