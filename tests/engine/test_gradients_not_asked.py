"""Gradients where a framework has none by one input: the others are asked for and judged, and the run says so."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
from bundled_ops import BUNDLED_OPS
from commands import opfuzz
from faulty_gradients import gradient_plugin

from opfuzz.backends import Subject, discover, perform
from opfuzz.core.call import Call
from opfuzz.core.verdicts import FAULT, SEVERITY
from opfuzz.engine.campaign import run
from opfuzz.engine.plan import Plan
from opfuzz.judge.outputs import score_outputs
from opfuzz.oracle.reference import references_of
from opfuzz.spec.gradient import gradient_of

BATCH_NORM, GAUSSIAN, TOPK = (gradient_of(BUNDLED_OPS[op]) for op in ("batch_norm", "gaussian_nll_loss", "topk"))
WORDS = ["--format", "float32", "--op", "batch_norm", "--jobs", "1", "--cases", "6"]


def test_the_statistics_of_a_batch_norm_are_not_asked_of_torch():
    plan = Plan(specs=(BATCH_NORM,), subjects=("torch:cpu",), seed=1, jobs=1, cases=6, formats=("float32",))
    (row,) = run(plan).ranking.rows()
    assert row.lacking == ("mean_", "variance")
    assert row.verdict != "unsupported"
    assert row.elements > 0


def test_a_fault_by_an_input_that_is_asked_is_found_made_smaller_and_shown(tmp_path):
    plugin = gradient_plugin(tmp_path)
    words = ["--plugin", plugin, "--subjects", "third:cpu", *WORDS, "--shrink", "6"]
    done = opfuzz("run", "--only-gradients", *words, "--out", tmp_path / "out", cwd=tmp_path)
    assert done.status == 1, done.err
    assert "not asked, as third:cpu gives none: batch_norm.grad by mean_, variance" in done.out
    (path,) = (tmp_path / "out").glob("*/run.json")
    document = json.loads(path.read_text())
    assert [row["lacking"] for row in document["ranking"]] == [["mean_", "variance"]]
    found = [each for each in document["findings"] if each["severity"] == FAULT]
    assert {each["witness"]["output"] for each in found} == {"d/dweight"}
    assert any(each["minimal"]["is_shown"] for each in found)
    folder = path.parent / found[0]["path"]
    shown = subprocess.run([sys.executable, folder / "repro.py"], capture_output=True, text=True, check=False)
    assert (shown.returncode, "d/dweight" in shown.stdout) == (1, True), shown.stderr
    again = opfuzz("repro", folder, "--plugin", plugin, cwd=tmp_path)
    assert (again.status, "the fault is there" in again.out) == (1, True), again.err
    right = opfuzz("repro", folder, "--subject", "torch:cpu", "--plugin", plugin, cwd=tmp_path)
    assert (right.status, "torch:cpu does not have the fault" in right.out) == (0, True), right.err
    rows = opfuzz("report", path.parent, "--format", "md", "--out", tmp_path / "told", cwd=tmp_path)
    assert rows.status in (0, 1), rows.err
    (page,) = (tmp_path / "told").iterdir()
    assert "not asked, as third:cpu gives none" in page.read_text()


def test_what_a_bundle_says_was_not_asked_must_be_inputs_of_its_op(tmp_path):
    plugin = gradient_plugin(tmp_path)
    words = ["--plugin", plugin, "--subjects", "third:cpu", *WORDS, "--shrink", "0"]
    opfuzz("run", "--only-gradients", *words, "--out", tmp_path / "out", cwd=tmp_path)
    path = next((tmp_path / "out").glob("*/findings/*/call.json"))
    path.write_text(json.dumps({**json.loads(path.read_text()), "lacking": ["nothing"]}))
    refused = opfuzz("repro", path.parent, "--plugin", plugin, cwd=tmp_path)
    assert (refused.status, "lacking is ['nothing'], not a list of some inputs of x, " in refused.err) == (2, True)


def test_nothing_is_said_where_all_are_asked():
    plan = Plan(specs=(TOPK,), subjects=("torch:cpu",), seed=1, jobs=1, cases=3, formats=("float32",))
    progress = run(plan)
    assert [row.lacking for row in progress.ranking.rows()] == [()]


def scored(spec, name, dims, params, arrays):
    arrays = {key: np.asarray(value, np.float32) for key, value in arrays.items()}
    call = Call("float32", dims, params, arrays, dict.fromkeys(arrays, "contiguous"))
    backend = discover()[name]
    program = spec.calls[backend.dialect][next(iter(spec.calls[backend.dialect]))]
    outcome = perform(backend, Subject(name, "cpu"), program, call, spec.output_shapes(dims, params))
    return outcome, references_of(spec, call)


def test_a_variance_below_eps_may_have_a_gradient_or_none():
    """torch says that clamping is ignored by its autograd; MLX takes the larger of both, which has slope 0 there."""
    given = {"x": [0.0, 2.0], "y": [1.0, 2.0], "variance": [0.0, 5e-4], "cotangent": [1.0, 3.0]}
    handed_on = 0.5 * np.array([1, 3]) * (1e3 - np.array([1e6, 0]))
    for name, right in (("torch", handed_on), ("mlx", np.zeros(2))):
        if discover()[name].absent() is not None:
            continue
        outcome, references = scored(GAUSSIAN, name, {"n": 2}, {"eps": 1e-3}, given)
        np.testing.assert_allclose(outcome.outputs[2], right, rtol=1e-5)
        assert SEVERITY[score_outputs(outcome, references).verdict] != FAULT
        beyond = (*outcome.outputs[:2], np.float32([-1.0, 1600.0]))
        assert score_outputs(type(outcome)("", "ok", beyond), references).deciding.ends is not None
        assert SEVERITY[score_outputs(type(outcome)("", "ok", beyond), references).verdict] == FAULT


def test_a_long_row_of_equal_elements_has_a_gradient_to_hold_others_against():
    """Of two rows, 32767 equal elements in one: a table of all beside all would be too large."""
    n = 32767
    x = np.stack([np.zeros(n), np.arange(n)])
    dims, shapes = {"batch": 2, "n": n, "k": 2}, {"values": (2, 2), "found": (2, 2), "repeated": (2,)}
    cotangents = {f"cotangent_{name}": np.ones(shape) for name, shape in shapes.items()}
    outcome, references = scored(TOPK, "torch", dims, {}, {"x": x, **cotangents})
    assert SEVERITY[score_outputs(outcome, references).verdict] != FAULT
    wrong = outcome.outputs[0].copy()
    wrong[1, 0] = 1
    assert SEVERITY[score_outputs(type(outcome)("", "ok", (wrong,)), references).verdict] == FAULT
