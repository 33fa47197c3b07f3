"""Runs of gradients: faults of the way back are found where the values are right, and nothing honest is accused."""

from __future__ import annotations

import json

import numpy as np
import pytest
from bundled_ops import BUNDLED_OPS
from commands import opfuzz
from faulty_gradients import gradient_plugin

from opfuzz.backends import Subject, discover
from opfuzz.cli.group import bundled_specs
from opfuzz.core.call import Call
from opfuzz.core.verdicts import FAULT, SEVERITY
from opfuzz.engine.campaign import run
from opfuzz.engine.evaluate import Bench, CaseItem
from opfuzz.engine.gradients import gradients_of, reason_against
from opfuzz.engine.plan import Plan
from opfuzz.engine.triage.diagnose import diagnose_score
from opfuzz.judge.score import score
from opfuzz.oracle.reference import references_of
from opfuzz.report.causes import word_cause
from opfuzz.spec.gradient import gradient_of

NAME = "constant_variance"
LAYER_NORM, RELU = (gradient_of(BUNDLED_OPS[op]) for op in ("layer_norm", "relu"))


def plan_of(spec, subject, folder, **fields) -> Plan:
    own = {"seed": 0, "jobs": 1, "cases": 12, "formats": ("float32",)} | fields
    return Plan(specs=(spec,), subjects=(f"{subject}:cpu",), plugins=(gradient_plugin(folder),), **own)


def found(spec, subject, folder, numbers=range(24)):
    """Scores of cases that are faults."""
    bench = Bench(plan_of(spec, subject, folder))
    judged = [bench.examine(CaseItem(spec.op, "float32", number)).judged[0] for number in numbers]
    return [each for each in judged if SEVERITY[each.score.verdict] == FAULT]


def test_a_fault_of_the_way_back_is_found_in_its_gradient(tmp_path):
    faults = found(LAYER_NORM, "mean_over_batch", tmp_path)
    assert {each.score.deciding.output for each in faults} == {"d/dweight"}
    assert len(faults) >= 3
    assert str(faults[0].score.deciding.element).startswith("d/dweight[")


def test_a_gradient_that_is_wrong_only_when_it_is_asked_for_alone_is_found(tmp_path):
    faults = found(LAYER_NORM, "alone", tmp_path, range(0, 200, 2))
    assert {each.score.cause.relation.id for each in faults} == {"weight alone"}


def test_a_step_that_is_taken_for_a_constant_is_named(tmp_path):
    plan = plan_of(LAYER_NORM, NAME, tmp_path)
    backends = discover(plan.plugins)
    faults = found(LAYER_NORM, NAME, tmp_path)
    assert {each.score.deciding.output for each in faults} == {"d/dx"}
    causes = [
        diagnose_score(each.score, LAYER_NORM, each.recipe, Subject(NAME, "cpu"), backends[NAME])[0]
        for each in faults[:3]
    ]
    assert {cause.kind for cause in causes} == {"cuts-gradient"}, causes
    assert {cause.name for cause in causes} <= {"square", "sum", "div", "sqrt", "add"}
    assert "no gradient through" in word_cause(causes[0])


def test_the_framework_behind_the_same_wrapping_is_not_accused(tmp_path):
    assert found(LAYER_NORM, "unchanged", tmp_path, range(12)) == []


def test_a_process_that_the_way_back_ends_costs_one_case(tmp_path):
    progress = run(plan_of(LAYER_NORM, "dies", tmp_path, cases=40))
    (row,) = progress.ranking.rows()
    assert row.cases == 40
    assert 1 <= row.verdicts["crash"] <= 8
    assert row.verdicts["crash"] + sum(n for word, n in row.verdicts.items() if SEVERITY[word] != FAULT) == 40


@pytest.mark.parametrize(
    ("computed", "is_fault"), [(0, 0), (0.5, 0), (1, 0), (2, 0), (2.01, 1), (-0.01, 1), (np.nan, 1)]
)
def test_at_a_kink_every_convention_passes_and_what_lies_outside_does_not(computed, is_fault):
    dims = {dim.name: 1 for dim in RELU.dims}
    shape = RELU.output_shapes(dims, {})["d/dx"]
    arrays = {"x": np.zeros(shape, np.float32), "cotangent": np.full(shape, 2, np.float32)}
    (reference,) = references_of(RELU, Call("float32", dims, {}, arrays, dict.fromkeys(arrays, "contiguous")))
    verdict = score(np.full(shape, computed, np.float32), reference).verdict
    assert (SEVERITY[verdict] == FAULT) == is_fault, verdict


def test_an_op_says_why_it_has_no_gradient():
    assert reason_against(BUNDLED_OPS["one_hot"]) == "it has no input of floats"
    assert reason_against(BUNDLED_OPS["argmax"]) == "what it gives changes by jumps alone"
    assert "trigamma" in reason_against(BUNDLED_OPS["digamma"])
    made, without = gradients_of([BUNDLED_OPS["digamma"], BUNDLED_OPS["softmax"]])
    assert [spec.op for spec in made] == ["softmax.grad"]
    assert list(without) == ["digamma"]


SPECS = ["--subjects", "torch:cpu", "--format", "float32", "--cases", "4", "--shrink", "0", "--jobs", "1"]


def test_a_run_has_the_gradients_beside_the_ops_or_alone(tmp_path):
    for option, ops in (("--gradients", {"relu", "relu.grad", "one_hot"}), ("--only-gradients", {"relu.grad"})):
        done = opfuzz("run", option, "--op", "relu,one_hot", *SPECS, "--out", tmp_path / option, cwd=tmp_path)
        assert done.status == 0, done.err
        (path,) = (tmp_path / option).glob("*/run.json")
        document = json.loads(path.read_text())
        assert {row["op"] for row in document["ranking"]} == ops
        assert document["without_gradient"] == {"one_hot": "it has no input of floats"}
        assert "no gradient of one_hot: it has no input of floats" in done.out


def test_what_does_not_go_with_gradients_is_refused(tmp_path):
    both = opfuzz("run", "--gradients", "--only-gradients", cwd=tmp_path)
    assert (both.status, "give one" in both.err) == (2, True)
    named = opfuzz("run", "--op", "relu.grad", cwd=tmp_path)
    assert named.status == 2
    assert "opfuzz run --only-gradients --op relu" in named.err
    none = opfuzz("run", "--only-gradients", "--op", "one_hot", *SPECS, cwd=tmp_path)
    assert (none.status, "none of these ops has a gradient" in none.err) == (2, True)


def test_a_finding_is_made_again_and_its_reproducer_shows_it(tmp_path):
    plugin = gradient_plugin(tmp_path)
    words = ["--plugin", plugin, "--subjects", "mean_over_batch:cpu", *SPECS[2:], "--op", "layer_norm"]
    done = opfuzz("run", "--only-gradients", *words, "--cases", "12", "--out", tmp_path / "out", cwd=tmp_path)
    assert done.status == 1, done.err
    documents = (tmp_path / "out").glob("*/findings/*/finding.json")
    folders = [path.parent for path in documents if json.loads(path.read_text())["severity"] == FAULT]
    assert folders
    text = (folders[0] / "repro.py").read_text()
    assert "torch.autograd.grad" in text
    again = opfuzz("repro", folders[0], "--plugin", plugin, cwd=tmp_path)
    assert again.status == 1, again.err
    assert "d/dweight" in again.out


def test_the_specs_that_come_along_are_those_of_the_ops(tmp_path):
    assert LAYER_NORM.path == BUNDLED_OPS["layer_norm"].path
    assert bundled_specs().is_dir()
    assert LAYER_NORM.digest != BUNDLED_OPS["layer_norm"].digest
    assert discover()["torch"].has_gradients
    assert not discover()["numpy"].has_gradients


def test_an_op_without_a_gradient_is_tried_itself_and_its_lack_is_said(tmp_path):
    done = opfuzz("run", "--gradients", "--op", "argmax", *SPECS, "--out", tmp_path / "out", cwd=tmp_path)
    assert done.status == 0, done.err
    assert "no gradient of argmax: what it gives changes by jumps alone" in done.out
    (path,) = (tmp_path / "out").glob("*/run.json")
    assert {row["op"] for row in json.loads(path.read_text())["ranking"]} == {"argmax"}


def test_gradients_that_nobody_here_can_give_are_no_clean_run(tmp_path):
    words = ["--op", "relu", "--subjects", "numpy:cpu", *SPECS[2:], "--out", tmp_path / "out"]
    beside = opfuzz("run", "--gradients", *words, cwd=tmp_path)
    assert (beside.status, "no gradient was compared: numpy:cpu can do none" in beside.err) == (2, True)
    alone = opfuzz("run", "--only-gradients", *words, cwd=tmp_path)
    assert (alone.status, "nothing was compared: numpy:cpu can do none" in alone.err) == (2, True)
