"""Gradients beyond runs: swept over every input, climbed, asked for by a test, and kept in the corpus."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
from bundled_ops import BUNDLED_OPS
from commands import opfuzz
from faulty_gradients import gradient_plugin
from test_pytest_plugin import run_pytest

from opfuzz.backends import discover
from opfuzz.core.floats import FLOAT16, ulp
from opfuzz.engine.drivers import spec_test
from opfuzz.engine.drivers.sweep_sides import Sweep, measure, prepare
from opfuzz.spec.gradient import gradient_of, slope_of

RELU = Path(BUNDLED_OPS["relu"].path)
HALVES = np.arange(2**16, dtype=np.uint16).view(np.float16)


def test_the_slope_of_an_op_has_its_inputs_and_no_cotangent():
    spec = slope_of(BUNDLED_OPS["tanh"])
    assert [item.name for item in spec.inputs] == ["x"]
    assert [output.name for output in spec.outputs] == ["d/dx"]
    assert spec.single_input
    assert len({spec.digest, BUNDLED_OPS["tanh"].digest, gradient_of(BUNDLED_OPS["tanh"]).digest}) == 3


def swept(op, subject, folder, low=0, high=2**16):
    backends = discover((gradient_plugin(folder),))
    sweep = Sweep(slope_of(BUNDLED_OPS[op]), subject, "float16", {}, low, high)
    return measure(sweep, 0, *prepare(sweep, backends))


def test_every_input_of_a_gradient_is_measured(tmp_path):
    """What torch gives of tanh against 1 - tanh(x)^2 in longer arithmetic: 4 / (exp(x) + exp(-x))^2."""
    torch = pytest.importorskip("torch")
    chunk = swept("tanh", "torch:cpu", tmp_path, high=0x7C00)
    x = torch.from_numpy(HALVES[:0x7C00].copy()).requires_grad_()
    (made,) = torch.autograd.grad(torch.tanh(x), x, torch.ones_like(x))
    wide = HALVES[:0x7C00].astype(np.float64)
    with np.errstate(over="ignore"):
        exact = 4 / (np.exp(wide) + np.exp(-wide)) ** 2
    normal = exact >= FLOAT16.smallest_normal
    errors = (np.abs(made.numpy().astype(np.float64) - exact) / ulp(exact, FLOAT16))[normal]
    assert chunk.body.normal == np.count_nonzero(normal)
    assert chunk.body.largest.value == pytest.approx(errors.max(), rel=1e-6)
    assert chunk.body.above[:2] == (np.count_nonzero(errors > 0.5), np.count_nonzero(errors > 1))


@pytest.mark.parametrize(("subject", "largest"), [("torch:cpu", 0.0), ("twice:cpu", 2047.0)])
def test_at_a_kink_a_sweep_counts_the_distance_to_what_is_right(subject, largest, tmp_path):
    """Of slope 2 at both zeros, where 0 to 1 is right, rounded, in units of 2^-11, as at the middle."""
    pytest.importorskip("torch")
    body = swept("relu", subject, tmp_path).body
    assert body.unresolved == 0
    worst = body.largest
    assert (worst.value if worst else 0.0) == pytest.approx(largest, abs=1e-3)
    if largest:
        assert (worst.bits & 0x7FFF, worst.computed, worst.exact) == (0, 2.0, 1.0)
    assert body.mismatches["zero"] == 0


def test_the_commands_sweep_and_climb_gradients(tmp_path):
    pytest.importorskip("torch")
    plugin = gradient_plugin(tmp_path)
    words = ["--plugin", plugin, "--subject", "twice:cpu", "--jobs", "1"]
    done = opfuzz("sweep", "--gradients", "--op", "relu", *words, "--json", "--out", tmp_path / "s", cwd=tmp_path)
    assert done.status == 0, done.err
    found = [json.loads(line) for line in done.out.splitlines()]
    assert [each["op"] for each in found] == ["relu.grad", "relu.grad"]
    assert {(each["at"], each["computed"], each["exact"]) for each in found} == {(0.0, 2.0, 1.0)}
    several = opfuzz("sweep", "--gradients", "--op", "softmax", *words, cwd=tmp_path)
    assert (several.status, "cannot be swept" in several.err) == (2, True)
    climbed = opfuzz(
        "climb", "--gradients", "--op", "relu,layer_norm", *words, "--evaluations", "3000", "--json", cwd=tmp_path
    )
    assert climbed.status == 1, climbed.err
    entries = json.loads(climbed.out)["climbs"]
    assert {each["op"] for each in entries} == {"relu.grad", "layer_norm.grad"}
    (fault,) = (each for each in entries if each["verdict"] == "wrong")
    assert (fault["op"], fault["inputs"]["x"], fault["ends"]) == ("relu.grad", [0.0], [0.0, 1.0])
    none = opfuzz("climb", "--gradients", "--op", "one_hot", *words, cwd=tmp_path)
    assert (none.status, "none of these ops has a gradient" in none.err) == (2, True)


def test_a_test_may_ask_for_gradients(tmp_path):
    pytest.importorskip("torch")
    (tmp_path / "test_ops.py").write_text(
        "import pytest\n"
        "@pytest.mark.opfuzz('specs/activation/relu.yaml', subjects=['torch:cpu', 'numpy:cpu'], formats=['float32'], "
        "cases=6, gradients=True)\ndef test_relu(): ...\n"
        "@pytest.mark.opfuzz('specs/select/argmax.yaml', subjects=['torch:cpu'], formats=['float32'], cases=2, "
        "gradients=True)\ndef test_argmax(): ...\n"
    )
    (tmp_path / "test_wrong.py").write_text(
        "import pytest\n@pytest.mark.opfuzz('specs/select/argmax.yaml', gradients='x')\ndef test_wrong(): ...\n"
    )
    out = run_pytest(tmp_path, "-rA", "--continue-on-collection-errors").stdout
    assert "gradients: 'x' is neither True nor False" in out
    assert "PASSED test_ops.py::test_relu[relu-torch:cpu-float32]" in out
    assert "PASSED test_ops.py::test_relu[relu.grad-torch:cpu-float32]" in out
    assert "numpy has no gradients" in out
    assert "what it gives changes by jumps alone" in out


def test_a_test_of_a_wrong_gradient_is_told_the_range_and_shown(tmp_path, monkeypatch):
    pytest.importorskip("torch")
    monkeypatch.setattr(spec_test, "SHRINK_SECONDS", 1.0)
    plugins = (gradient_plugin(tmp_path),)
    asked = spec_test.SpecTest(RELU, ("twice:cpu",), ("float32",), 40, 0, plugins, has_gradients=True)
    assert [op for op, _, _ in spec_test.places(asked)] == ["relu", "relu.grad"]
    found = spec_test.examine(asked, tmp_path / "shown", jobs=1)
    assert found["relu", "twice:cpu", "float32"].faults == ()
    (fault,) = found["relu.grad", "twice:cpu", "float32"].faults
    assert re.search(r"cotangent = (\S+) .*, exact (0 to \1|\1 to 0)$", fault.witness), fault.witness
    assert "torch.autograd.grad" in Path(fault.folder, "repro.py").read_text()


def test_a_fault_of_a_gradient_is_kept_in_the_corpus_and_tried_again(tmp_path):
    pytest.importorskip("torch")
    plugin = gradient_plugin(tmp_path)
    words = ["--only-gradients", "--plugin", plugin, "--subjects", "twice:cpu", "--format", "float32", "--op", "relu"]
    given = ["--jobs", "1", "--shrink", "1", "--corpus", tmp_path / "corpus", "--out", tmp_path / "out"]
    first = opfuzz("run", *words, *given, "--cases", "20", cwd=tmp_path)
    assert first.status == 1, first.err
    assert list((tmp_path / "corpus").glob("**/call.json"))
    again = opfuzz("run", *words, *given, "--cases", "1", "--seed", "77", cwd=tmp_path)
    assert again.status == 1, again.err
    assert "of 1 fault of earlier runs 1 are still there" in again.out
