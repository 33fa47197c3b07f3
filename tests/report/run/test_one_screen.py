"""A run fits on one screen, however much it found, and says what is wrong first."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from results import result
from test_text_reports import run_of

from opfuzz.core.cause import Cause
from opfuzz.report.run import terminal
from opfuzz.report.run.op_table import OpTable

FORMATS = ("float32", "float16", "bfloat16")


def night(causes: int, ops: int = 39, notes: int = 0):
    """39 ops on two subjects in three formats: the first have a fault, each of another cause, the next a note."""
    results = []
    for number in range(ops):
        for subject in ("torch:cpu", "mlx:cpu"):
            for fmt in FORMATS:
                place = {"op": f"attention_with_name_{number:02}", "subject": subject, "format": fmt}
                is_fault = number < causes and subject == "mlx:cpu"
                cause = Cause("is-variant", f"variant-{number}")
                verdict = "wrong" if is_fault else "normwise" if causes <= number < causes + notes else "exact"
                results.append(result(0, verdict, 1.234567e6 if is_fault else 0.5, cause=cause, **place))
    absent = {f"backend:{number}": "not here " * 30 for number in range(9)}
    return dataclasses.replace(run_of(*results), subjects=("torch:cpu", "mlx:cpu"), absent=absent)


def lines_of(run, width=100):
    return terminal.render(run, Path("reports/20260131-142530-s0"), colour=False, width=width).rstrip("\n").split("\n")


@pytest.mark.parametrize("causes", [0, 1, 12, 25])
def test_under_80_lines_of_100_columns(causes):
    lines = lines_of(night(causes))
    assert len(lines) < 80
    assert max(map(len, lines)) <= 100
    names = [line.split()[0] for line in lines if line.startswith("attention_with_name_")]
    clean = " ".join(lines).partition("clean: ")[2]
    assert all(f"attention_with_name_{n:02}" in names or f"attention_with_name_{n:02}" in clean for n in range(39))


@pytest.mark.parametrize("width", [60, 80, 100, 140])
def test_no_line_is_wider_than_the_screen(width):
    assert max(map(len, lines_of(night(12), width))) <= width


def test_every_cause_has_a_line_and_the_first_their_calls():
    lines = lines_of(night(12))
    assert lines[0].startswith("12 causes behind 36 faults in 39 ops (torch:cpu, mlx:cpu; float32, float16, bfloat16);")
    told = [number for number, line in enumerate(lines) if line.startswith("mlx attention")]
    assert len(told) == 12
    assert "behaves as the variant 'variant-" in lines[told[0]]
    assert "f32 f16 bf16" in lines[told[0]]
    assert lines[told[0] + 1].endswith("/repro.py")


@pytest.mark.parametrize(("causes", "notes"), [(15, 24), (20, 12), (25, 14)])
def test_notes_give_way_before_the_smallest_calls_of_causes_do(causes, notes):
    lines = lines_of(night(causes, notes=notes))
    assert len(lines) < 80
    rows = [line for line in lines if line.startswith("attention_with_name_") and line[20:23].strip().isdigit()]
    shown = [int(line[20:22]) for line in rows]
    assert set(range(causes)) <= set(shown)
    kept = len(shown) - causes
    said = f"{notes - kept} ops with notes alone left out; --rows all shows them"
    assert sum(line == said for line in lines) == 1
    calls = sum(line.endswith("/repro.py") for line in lines)
    assert calls == causes or not kept
    assert len(lines) >= 77  # none is left empty while something is left out


@pytest.mark.parametrize("causes", [12, 26, 36])
def test_a_hundred_and_more_ops_fit_as_well(causes):
    lines = lines_of(night(causes, ops=141, notes=30))
    assert len(lines) < 80
    assert sum(line.startswith("mlx attention") for line in lines) == causes
    rows = [line for line in lines if line.startswith("attention_with_name_")]
    told = " ".join(lines)
    assert len(rows) >= 8
    assert len(rows) >= causes or "faults in: " in told
    assert "clean: attention_with_name_" in told
    assert " more" in told.partition("clean: ")[2]
    assert sum(line.endswith("/repro.py") for line in lines) >= 4


def test_of_more_causes_than_there_is_room_for_the_last_are_counted():
    run = night(60, ops=141, notes=30)
    lines = lines_of(run)
    assert len(lines) < 80
    shown = sum(line.startswith("mlx attention") for line in lines)
    assert 20 <= shown < 60
    assert any(line.startswith(f"{60 - shown} more causes, the smallest calls of the last ") for line in lines)
    every = terminal.render(run, Path("reports"), colour=False, width=100, rows="all")
    assert sum(line.startswith("mlx attention") for line in every.splitlines()) == 60


def test_a_run_that_judged_nothing_does_not_say_that_there_is_no_fault():
    run = dataclasses.replace(run_of(), subjects=("mlx:cpu",), interrupted=True)
    assert lines_of(run)[0] == "interrupted, nothing was judged (mlx:cpu)"


def test_what_no_subject_supports_is_not_called_clean():
    unsupported = [result(0, "unsupported", op="nowhere", elements=0), result(0, "exact", op="fine")]
    table = OpTable.of(run_of(*unsupported), 100)
    assert (table.named("clean"), table.named("note")) == (["fine"], ["nowhere"])


def test_a_row_an_op():
    lines = lines_of(night(1, ops=2))
    head = next(number for number, line in enumerate(lines) if line.startswith("op "))
    assert lines[head - 1].split() == ["torch:cpu", "mlx:cpu"]
    assert lines[head].split() == ["op", "f32", "f16", "bf16", "f32", "f16", "bf16"]
    assert lines[head + 1].split() == ["attention_with_name_00", *["0.5"] * 3, *["1.23e6!"] * 3]
    assert lines[head + 2].split() == ["attention_with_name_01", *["0.5"] * 6]


def test_what_could_not_be_measured():
    run = run_of(
        result(0, "crash", elements=0),
        result(0, "unsupported", op="relu", elements=0),
        result(0, "normwise", 9, op="exp"),
    )
    rows = {line.split()[0]: line.split()[1:] for line in lines_of(run) if line[:4] in ("gelu", "relu", "exp ")}
    assert rows == {"gelu": ["crash"], "relu": ["-"], "exp": ["9~"]}
