"""Self-tests of known outcome: a fault, an honest function, torch's own faults, a dead worker, what is remembered."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from bundled_ops import BUNDLED_OPS
from click.testing import CliRunner

from opfuzz.cli import cli
from opfuzz.engine.plan import Plan
from opfuzz.engine.selftest.report import document, render
from opfuzz.engine.selftest.run import selftest

pytest.importorskip("torch")
SPECS = tuple(BUNDLED_OPS[op] for op in ("silu", "relu", "tanh", "euler_step"))

MUTANTS = """
import os
from itertools import count

import torch

from opfuzz.engine.selftest import Mutant

NN = "torch.nn.functional."
calls = count()


def approximately(x):
    return x * torch.sigmoid(1.702 * x)


def aborts(x):
    if x.numel() > 1000:
        os.abort()
    return torch.tanh(x)


def first_call_wrong(x):
    return torch.tanh(x) + (1 if next(calls) == 0 else 0)


MUTANTS = [
    Mutant("approximately", "silu", {NN + "silu": approximately}, cause="1.702"),
    Mutant("wrong-cause", "silu", {NN + "silu": approximately}, cause="tanh GELU"),
    Mutant("itself", "silu", {NN + "silu": torch.nn.functional.silu}, kind="honest"),
    Mutant("aborts", "tanh", {"torch.tanh": aborts}, cause="SIGABRT"),
    Mutant("first-call", "tanh", {"torch.tanh": first_call_wrong}, cause="twice"),
    Mutant("beyond-the-cases", "tanh", {"torch.tanh": lambda x: torch.tanh(x) + (x.numel() == 10**9)}),
    Mutant("backwards", "euler_step", {"call": "x - dt * v"}, cause="backwards"),
]
"""


@pytest.fixture(scope="module")
def file(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("mutants") / "some.py"
    path.write_text(MUTANTS)
    return path


@pytest.fixture(scope="module")
def watched():
    """What a watcher is told: for each stage, how many are done of how many."""
    return {}


@pytest.fixture(scope="module")
def reports(file, watched):
    plan = Plan(specs=SPECS, subjects=("torch:cpu",), seed=1, jobs=1, formats=("float32",), cases=32)

    def watch(stage, done, total):
        watched.setdefault(stage, []).append((done, total))

    return [selftest(plan, [file], watch), selftest(replace(plan, jobs=3), [file])]


def test_every_stage_is_told_to_its_end(reports, watched):
    assert list(watched) == ["mutants tried", "faults diagnosed", "faults made smaller"]
    for steps in watched.values():
        done, total = steps[-1]
        assert done == total > 0


@pytest.fixture(scope="module")
def by_name(reports):
    return {each.mutant.name: each for each in reports[0].results}


def test_a_fault_is_found_ranked_first_and_named(by_name):
    for name, op in (("approximately", "silu"), ("backwards", "euler_step")):
        fault = by_name[name]
        assert (fault.finding.op, fault.rank, fault.verdict, fault.is_named) == (op, 1, "wrong", True), fault.diagnosis
    assert by_name["approximately"].cases < 8
    assert not by_name["wrong-cause"].is_named


def test_what_torch_itself_does_wrong_does_not_count(by_name):
    # torch's silu is NaN at minus infinity, which is a fault of torch's own.
    assert not by_name["itself"].is_found
    assert by_name["itself"].cases == 32


def test_a_fault_that_no_case_shows_is_missed(by_name):
    assert (by_name["beyond-the-cases"].is_found, by_name["beyond-the-cases"].cases) == (False, 32)


def test_a_dead_worker_is_a_fault_of_the_mutant(by_name):
    assert (by_name["aborts"].verdict, by_name["aborts"].is_named) == ("crash", True)


def test_nothing_is_remembered_from_one_batch_to_the_next(by_name):
    # The first call of every batch is wrong, so the very first case shows it, whatever ran before.
    assert by_name["first-call"].cases == 1


def test_the_number_of_jobs_changes_nothing(reports):
    one, three = (document(report) for report in reports)
    notes = [(fault["smallest"] or {}).get("note", "") for each in (one, three) for fault in each["faults"]]
    if any("time was over" in note for note in notes):
        pytest.skip("this machine is too busy: making a call smaller was stopped by its time, not by its attempts")
    for each in (one, three):
        each.pop("seconds")
        for fault in each["faults"]:
            fault.pop("seconds_to_find")
            if fault["verdict"] == "crash":
                fault.pop("smallest")  # each attempt costs a process, and the time may end before the attempts
    assert one == three


def test_the_totals_count(reports, by_name):
    totals = reports[0].totals
    assert (totals["planted"], totals["found"], totals["rank_1"], totals["cause_named"]) == (6, 5, 5, 3 + 1)
    assert (totals["cause_wrong"], by_name["wrong-cause"].is_misnamed) == (1, True)
    assert (totals["honest"], totals["false_accusations"]) == (1, 0)
    assert totals["detection_rate"] == 5 / 6


def test_the_text_says_what_was_missed(reports):
    text = render(reports[0])
    assert "missed" in text
    assert "5 of 6 planted faults found (83%), within 32 cases each" in text
    assert "0 of 1 honest implementations accused" in text


# What the command has to print: a fault of each kind, one out of reach, and an honest function.
FEW = "\nMUTANTS = [each for each in MUTANTS if each.name not in ('wrong-cause', 'aborts', 'first-call')]\n"


def test_the_command(monkeypatch, tmp_path):
    file = tmp_path / "few.py"
    file.write_text(MUTANTS + FEW)
    monkeypatch.setattr("opfuzz.cli.selftest.load_specs", lambda paths, backends: SPECS)
    words = ["selftest", "--mutants", str(file), "--cases", "8", "--jobs", "1", "--json", "--out", str(tmp_path)]
    result = CliRunner().invoke(cli, words, standalone_mode=False)
    assert result.return_value == 1, "one fault is out of reach"
    found = json.loads(result.stdout)
    assert found["totals"]["planted"] == 3
    keys = {"name", "op", "class", "found", "cases_to_find", "rank", "verdict", "diagnosis", "cause_named"}
    assert keys <= found["faults"][0].keys()
    for name in ("backwards", "approximately"):
        shown = subprocess.run([sys.executable, "-I", tmp_path / name / "repro.py"], capture_output=True, check=False)
        assert shown.returncode == 1, shown.stderr
    smallest = next(fault["smallest"] for fault in found["faults"] if fault["name"] == "approximately")
    assert smallest["elements"] == 2
    assert found["honest"] == [
        {"name": "itself", "op": "silu", "accused": False, "verdict": None, "diagnosis": None, "finding": None}
    ]
