"""Gradients at kinks: every convention passes, what lies outside is accused, and the range is what is told."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest
from bundled_ops import BUNDLED_OPS
from commands import opfuzz
from faulty_gradients import gradient_plugin

from opfuzz.backends import Subject, discover, perform
from opfuzz.core.call import Call
from opfuzz.core.verdicts import FAULT, SEVERITY
from opfuzz.engine.plan import load_specs
from opfuzz.judge.score import score
from opfuzz.oracle.reference import references_of
from opfuzz.report.causes import word_cause
from opfuzz.spec.gradient import gradient_of

# What ties, and between which multiples of the cotangent the gradient by x is then.
KINKS = {
    "relu": ("maximum(x, 0)", [0.0], (0, 1)),
    "absolute": ("abs(x)", [0.0], (-1, 1)),
    "larger": ("maximum(x, 0.5)", [0.5], (0, 1)),
    "row_max": ("max(x, axis=0)", [3.0, 3.0], (0, 1)),
    "clamp": ("clip(x, -1.0, 2.0)", [2.0], (0, 1)),
    "pinned": ("clip(x, 2.0, 2.0)", [2.0], (0, 1)),
    "thrice": ("maximum(x, 0) - 2 * maximum(-x, 0)", [0.0], (0, 3)),
}
CALLS = {
    "row_max": ("torch.amax(x, dim=0, keepdim=True)", "mx.max(x, axis=0, keepdims=True)"),
    "relu": ("torch.relu(x)", "nn.relu(x)"),
    "absolute": ("torch.abs(x)", "mx.abs(x)"),
    "larger": ("torch.maximum(x, torch.full_like(x, 0.5))", "mx.maximum(x, 0.5)"),
    "clamp": ("torch.clamp(x, min=-1.0, max=2.0)", "mx.clip(x, -1.0, 2.0)"),
    "pinned": ("torch.clamp(x, min=2.0, max=2.0)", "mx.clip(x, 2.0, 2.0)"),
}
BACKENDS = {name: backend for name, backend in discover().items() if name in ("torch", "mlx") and not backend.absent()}


def spec_of(folder, op):
    formula, _, _ = KINKS[op]
    shape = "[1]" if op == "row_max" else "[n]"
    formula = f"{formula.removesuffix(')')}, keepdims=True)" if op == "row_max" else formula
    torch, mlx = CALLS.get(op, ("torch.relu(x)", "nn.relu(x)"))
    path = folder / f"{op}.yaml"
    path.write_text(
        f"op: {op}\nsummary: It has a kink.\nformats: [float32]\ndims: {{n: 1..}}\ninputs: {{x: {{shape: [n]}}}}\n"
        f"output: {{shape: {shape}}}\ncalls: {{torch: '{torch}', mlx: '{mlx}'}}\nreference: {formula}\n"
    )
    (spec,) = load_specs([path], discover())
    return gradient_of(spec)


def call_of(spec, op, g):
    x = np.array(KINKS[op][1], np.float32)
    arrays = {"x": x, "cotangent": np.full(1 if op == "row_max" else x.size, g, np.float32)}
    return Call("float32", {"n": x.size}, {}, arrays, dict.fromkeys(arrays, "contiguous"))


def judged(folder, op, g, computed):
    spec = spec_of(folder, op)
    (reference,) = references_of(spec, call_of(spec, op, g))
    return score(np.full(reference.shape, computed, np.float32), reference)


@pytest.mark.parametrize("g", [2.0, -0.7, 1e-3])
@pytest.mark.parametrize("op", KINKS)
def test_all_between_the_ends_is_right_and_they_are_told_to_the_last_digit(tmp_path, op, g):
    own = float(np.float32(g))
    low, high = sorted(own * side for side in KINKS[op][2])
    for share in (0.0, 0.25, 0.5, 1.0):
        found = judged(tmp_path, op, g, low + share * (high - low))
        assert SEVERITY[found.verdict] != FAULT
        assert found.ulp == 0
        assert found.largest.ends == (low, high)
        assert found.largest.exact == found.largest.computed


@pytest.mark.parametrize("op", ["relu", "larger", "row_max", "clamp", "pinned"])
def test_what_lies_outside_is_accused_by_its_distance_to_the_end(tmp_path, op):
    spacing = 2.0**-23  # ulp of the middle, 1
    for computed, end in ((2.01, 2.0), (-0.01, 0.0)):
        found = judged(tmp_path, op, 2.0, computed)
        assert SEVERITY[found.verdict] == FAULT
        assert (found.deciding.exact, found.deciding.ends) == (end, (0.0, 2.0))
        assert found.deciding.ulp == pytest.approx(0.01 / spacing, rel=1e-3)
        assert found.deciding.bound < 0.01
    lost = judged(tmp_path, op, 2.0, np.nan)
    assert lost.verdict == "special"
    assert word_cause(lost.cause) == "returned nan where 0 to 2 is right"


@pytest.mark.parametrize("g", [2.0, -0.7])
@pytest.mark.parametrize("op", CALLS)
@pytest.mark.parametrize("name", BACKENDS)
def test_no_framework_is_accused_for_its_convention(tmp_path, name, op, g):
    spec = spec_of(tmp_path, op)
    call = call_of(spec, op, g)
    program = spec.calls[name][next(iter(spec.calls[name]))]
    outcome = perform(BACKENDS[name], Subject(name, "cpu"), program, call, spec.output_shapes(call.dims, {}))
    (found,) = outcome.outputs
    (reference,) = references_of(spec, call)
    assert SEVERITY[score(found, reference).verdict] != FAULT


def test_the_ends_of_a_sum_of_ties_have_the_digits_that_are_known(tmp_path):
    """Of 0.1 g_0 relu'(0) - 0.3 g_1 relu'(0), the ends are those of no one side of both kinks."""
    path = tmp_path / "both.yaml"
    path.write_text(
        "op: both\nsummary: Two kinks.\nformats: [float32]\ndims: {n: 2..}\n"
        "inputs: {x: {shape: [1]}, weight: {shape: [n]}}\noutput: {shape: [n]}\n"
        "calls: {torch: torch.relu(x) * weight}\nreference: maximum(x * weight, 0)\n"
    )
    (spec,) = map(gradient_of, load_specs([path], discover()))
    arrays = {name: np.array(values, np.float32) for name, values in (("x", [0]), ("weight", [0.1, 0.3]))}
    arrays["cotangent"] = np.array([1, -1], np.float32)
    reference, _ = references_of(spec, Call("float32", {"n": 2}, {}, arrays, dict.fromkeys(arrays, "contiguous")))
    assert score(np.array([0.1], np.float32), reference).largest.ends == (-0.3, 0.1)
    assert SEVERITY[score(np.array([5.0], np.float32), reference).verdict] == FAULT


def test_terminal_json_and_reproducer_tell_the_range(tmp_path):
    plugin = gradient_plugin(tmp_path)
    words = ["--plugin", plugin, "--subjects", "twice:cpu", "--format", "float32", "--op", "relu", "--jobs", "1"]
    done = opfuzz("run", "--only-gradients", *words, "--cases", "40", "--out", tmp_path / "out", cwd=tmp_path)
    assert done.status == 1, done.err
    assert "exact 0 to 1\n" in done.out.replace("  findings", "\n  findings").replace(" \n", "\n")
    (run,) = (tmp_path / "out").glob("*/run.json")
    finding = next(each for each in json.loads(run.read_text())["findings"] if each["severity"] == FAULT)
    assert finding["witness"]["ends"] == [0.0, 1.0]
    folder = run.parent / finding["path"]
    again = subprocess.run([sys.executable, folder / "repro.py"], capture_output=True, text=True, check=False)
    assert again.returncode == 1, again.stderr
    assert "exact    0.0 to 1.0\n" in again.stdout
    assert "exact 0.0 to 1.0, " in opfuzz("repro", folder, "--plugin", plugin, cwd=tmp_path).out
    reported = opfuzz("report", run.parent, "--format", "html,md,junit", "--out", tmp_path / "told", cwd=tmp_path)
    assert reported.status in (0, 1), reported.err
    for path in (tmp_path / "told").iterdir():
        assert "0 to 1" in path.read_text(), path


@pytest.mark.parametrize("length", [0.0, 0.25, 0.75])
def test_a_lower_limit_may_hand_the_gradient_on_and_may_not(length):
    """d/dy of cosine_similarity is x / abs(x) / eps where the length of y is below eps; handed on it has a second term.

    By the norm, whose slope is y / abs(y), it loses the share abs(y) / eps of that, none where y is 0.
    """
    spec = gradient_of(BUNDLED_OPS["cosine_similarity"])
    eps = 1e-6
    arrays = {"x": np.float32([[0.75]]), "y": np.float32([[length * eps]]), "cotangent": np.ones(1, np.float32)}
    call = Call("float32", {"batch": 1, "d": 1}, {"eps": eps}, arrays, dict.fromkeys(arrays, "contiguous"))
    reference = references_of(spec, call)[1]
    for share in (0.0, length / 2, length):
        assert SEVERITY[score(np.float32([[(1 - share) / eps]]), reference).verdict] != FAULT
    # A root has no slope at 0, so that there nothing but NaN is known to be wrong.
    for wrong in (1.05, 0.95 - length, np.nan) if length else (np.nan,):
        assert SEVERITY[score(np.float32([[wrong / eps]]), reference).verdict] == FAULT
