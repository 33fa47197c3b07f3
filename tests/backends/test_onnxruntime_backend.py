"""ONNX Runtime: its values, its modes, what it says of the graph that it is handed, and its reproducers."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from opfuzz.backends import Subject, discover, exported_graph, perform
from opfuzz.core.call import Call, Recipe
from opfuzz.core.cause import Cause
from opfuzz.core.findings import ExportedGraph, Finding
from opfuzz.core.results import Mark, Witness
from opfuzz.engine.finish import write_finding
from opfuzz.engine.plan import vocabulary
from opfuzz.engine.triage.graphs import graph_of
from opfuzz.report.causes import word_finding
from opfuzz.spec import load_all

BACKENDS = discover()
ORT = BACKENDS["onnxruntime"]
SPECS = Path(__file__).parents[2] / "specs"

if (reason := ORT.absent()) is not None:
    pytest.skip(reason, allow_module_level=True)


def spec_of(path):
    (spec,) = load_all([SPECS / path], vocabulary(BACKENDS, {"torch"}))
    return spec


def call_of(spec, format, arrays, dims, params=()):
    return Call(format, dims, dict(params), arrays, dict.fromkeys(arrays, "contiguous"))


def finding(spec, subject, made, mark, verdict="wrong"):
    witness = Witness("c0", mark, {}, {})
    recipe = Recipe(call=made).about(mark.element)
    cause = Cause("unexplained")
    return Finding(
        "0" * 12,
        spec.op,
        subject,
        made.format,
        verdict,
        "fault",
        cause,
        1,
        1,
        0,
        "c0",
        witness,
        recipe,
        causes=(cause,),
    )


@pytest.mark.parametrize("mode", ["", "noopt", "reference"])
def test_every_mode_normalises(mode):
    spec, x = spec_of("norm/layer_norm.yaml"), np.array([[1, 2, 6], [0, 4, 8]], np.float32)
    arrays = {"x": x, "weight": np.ones(3, np.float32), "bias": np.zeros(3, np.float32)}
    made = call_of(spec, "float32", arrays, {"batch": 2, "d": 3}, {"eps": 1e-12})
    outcome = perform(ORT, Subject("onnxruntime", "cpu", mode), spec.calls["torch"][""], made, {"": (2, 3)})
    exact = (x - x.mean(axis=1, keepdims=True)) / x.std(axis=1, keepdims=True)
    assert outcome.outputs[0] == pytest.approx(exact, rel=1e-5)


def test_what_is_not_exported_is_not_supported():
    spec = spec_of("elementary/hypot.yaml")
    arrays = {"x": np.ones((1, 2), np.float32), "y": np.ones((1, 2), np.float32)}
    made = call_of(spec, "float32", {name: arrays["xy"[at]] for at, name in enumerate(i.name for i in spec.inputs)}, {})
    outcome = perform(ORT, Subject("onnxruntime", "cpu"), spec.calls["torch"][""], made, {"": (1, 2)})
    assert outcome.status == "unsupported"
    assert "No ONNX function found" in outcome.cause.figures["words"]


def test_a_branch_on_values_is_traced_for_each_call():
    """The call looks whether a variance is negative."""
    spec = spec_of("loss/gaussian_nll_loss.yaml")
    for values in ([1.0, 2.0], [0.25, 3.0]):
        arrays = {each.name: np.array(values, np.float32) for each in spec.inputs}
        made = call_of(spec, "float32", arrays, {"n": 2}, {"eps": 1e-6})
        outcome = perform(ORT, Subject("onnxruntime", "cpu"), spec.calls["torch"][""], made, {"": (2,)})
        assert outcome.status == "ok", outcome.cause
        assert outcome.outputs[0] == pytest.approx(np.log(values) / 2, rel=1e-6)  # its inputs are the same


def test_what_is_not_traced_either_is_refused_without_a_sound(capfd):
    spec = spec_of("elementary/i1e.yaml")
    made = call_of(spec, "float32", {"x": np.ones((1, 2), np.float32)}, {"batch": 1, "n": 2})
    outcome = perform(ORT, Subject("onnxruntime", "cpu"), spec.calls["torch"][""], made, {"": (1, 2)})
    assert outcome.status == "unsupported"
    assert "bessel_i1e" in outcome.cause.figures["words"]
    assert capfd.readouterr() == ("", "")


def test_float8_is_cast_to():
    spec, x = spec_of("quantised/to_float8_e4m3fn.yaml"), np.array([[0.1, 500, -3.3, 0.0015]], np.float32)
    made = call_of(spec, "float32", {"x": x}, {"batch": 1, "d": 4})
    outcome = perform(ORT, Subject("onnxruntime", "cpu"), spec.calls["torch"][""], made, {"": (1, 4)})
    assert outcome.outputs[0].tolist() == [[0.1015625, 448, -3.25, 2**-9]]


def test_the_graph_is_onnx():
    spec, x = spec_of("activation/silu.yaml"), np.ones((1, 2), np.float32)
    made = call_of(spec, "float32", {"x": x}, {"batch": 1, "n": 2})
    nodes, referred = exported_graph(ORT, Subject("onnxruntime", "cpu"), spec.calls["torch"][""], made, {"": (1, 2)})
    assert nodes == ("Sigmoid", "Mul")
    assert referred.outputs[0] == pytest.approx(np.full((1, 2), 1 / (1 + np.exp(-1))), rel=1e-6)


def test_a_parameter_that_the_graph_rounds_is_no_fault_of_a_kernel():
    """ONNX holds an epsilon as float32, whatever the format of a call is."""
    spec, x = spec_of("norm/layer_norm.yaml"), np.array([[0.0, 0.002]])
    arrays = {"x": x, "weight": np.ones(2), "bias": np.zeros(2)}
    made = call_of(spec, "float64", arrays, {"batch": 1, "d": 2}, {"eps": 1e-5})
    exact = 0.001 / np.sqrt(1e-6 + 1e-5)
    rounded = 0.001 / np.sqrt(1e-6 + float(np.float32(1e-5)))
    mark = Mark((0, 1), rounded, "", exact, 1e8, 1e-15)
    graph = graph_of(finding(spec, "onnxruntime:cpu", made, mark), spec, Subject("onnxruntime", "cpu"), ORT)
    assert graph == ExportedGraph(("LayerNormalization",), is_wrong=True)


def test_what_another_evaluator_has_right_is_no_fault_of_the_graph():
    spec, x = spec_of("activation/sigmoid.yaml"), np.array([[-17.5]], np.float32)
    made = call_of(spec, "float32", {"x": x}, {"batch": 1, "n": 1})
    mark = Mark((0, 0), 1.5e-7, "", float(np.exp(-17.5)), 1e7, 1e-15)
    shown = finding(spec, "onnxruntime:cpu", made, mark)
    graph = graph_of(shown, spec, Subject("onnxruntime", "cpu"), ORT)
    assert graph == ExportedGraph(("Sigmoid",), is_wrong=False)


def test_a_reproducer_exports_the_call_and_runs_it_without_opfuzz(tmp_path):
    """Shown on what is wrong in every version: the epsilon of the graph."""
    spec, x = spec_of("norm/layer_norm.yaml"), np.array([[0.0, 0.002]])
    arrays = {"x": x, "weight": np.ones(2), "bias": np.zeros(2)}
    made = call_of(spec, "float64", arrays, {"batch": 1, "d": 2}, {"eps": 1e-5})
    mark = Mark((0, 1), 0.0, "", float(0.001 / np.sqrt(1e-6 + 1e-5)), 1e8, 1e-15)
    write_finding(finding(spec, "onnxruntime:cpu", made, mark), spec, BACKENDS, tmp_path)
    done = subprocess.run([sys.executable, tmp_path / "repro.py"], capture_output=True, text=True, check=False)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "exported graph: LayerNormalization" in done.stdout
    assert "opfuzz" not in (tmp_path / "repro.py").read_text()


def test_a_reproducer_traces_what_cannot_be_exported(tmp_path):
    spec = spec_of("loss/gaussian_nll_loss.yaml")
    arrays = {each.name: np.array([1, 4], np.float32) for each in spec.inputs}
    made = call_of(spec, "float32", arrays, {"n": 2}, {"eps": 1e-6})
    shown = finding(spec, "onnxruntime:cpu", made, Mark((0,), 0.0, "", 1.0, 1e7, 1e-15))
    write_finding(shown, spec, BACKENDS, tmp_path)
    done = subprocess.run([sys.executable, tmp_path / "repro.py"], capture_output=True, text=True, check=False)
    assert "exported graph: Clip Log Sub" in done.stdout, done.stdout + done.stderr


def test_a_reproducer_raises_what_the_exporter_did_where_it_failed_of_itself(tmp_path):
    """Only what it has no words for is traced; a transform back of an odd length is an error of its own."""
    spec = spec_of("signal/istft.yaml")
    arrays = {name: np.ones((1, 10, 1), np.float32) for name in ("re", "im")}
    sizes = {"batch": 1, "frames": 1, "n_fft": 19, "hop": 1}
    made = call_of(spec, "float32", arrays, sizes, {"normalized": False})
    outcome = perform(ORT, Subject("onnxruntime", "cpu", ""), spec.calls["torch"][""], made, {"": (1, 1)})
    write_finding(
        finding(spec, "onnxruntime:cpu", made, Mark((0, 0), 0.0, "", 1.0, 1e7, 1e-15)), spec, BACKENDS, tmp_path
    )
    done = subprocess.run([sys.executable, tmp_path / "repro.py"], capture_output=True, text=True, check=False)
    assert outcome.cause.figures["words"].removeprefix("raised ") in done.stdout, done.stdout + done.stderr


def test_the_graph_stands_in_the_words_of_a_finding():
    spec = spec_of("activation/silu.yaml")
    made = call_of(spec, "float32", {"x": np.ones((1, 1), np.float32)}, {"batch": 1, "n": 1})
    shown = finding(spec, "onnxruntime:cpu", made, Mark((0, 0), 0.0, "", 1.0, 1.0, 0.0))
    words = word_finding(replace(shown, graph=ExportedGraph(("Sigmoid", "Mul"), is_wrong=False)))
    assert words.endswith("exported graph: Sigmoid, Mul, of which a reference evaluator makes the right result")
