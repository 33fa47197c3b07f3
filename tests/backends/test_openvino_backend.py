"""OpenVINO: its values, constants where it wants them, its graph, and that it tells nobody."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from opfuzz.backends import Subject, discover, exported_graph, perform
from opfuzz.core.call import Call
from opfuzz.spec.expression.program import parse

OPENVINO = discover()["openvino"]

if (reason := OPENVINO.absent()) is not None:
    pytest.skip(reason, allow_module_level=True)

SUBJECT = Subject("openvino", "cpu")


def perform_on(text, arrays, shape):
    program = parse(text, names=[*arrays], functions=OPENVINO.functions())
    made = Call("float32", {}, {}, arrays, dict.fromkeys(arrays, "contiguous"))
    return perform(OPENVINO, SUBJECT, program, made, {"": shape})


def test_float32_stays_float32():
    """On processors with matrix units for bfloat16 its own choice is that."""
    x = np.array([[1 + 2**-12, 3.0]], np.float32)
    outcome = perform_on("torch.matmul(x, y)", {"x": x, "y": np.eye(2, dtype=np.float32)}, (1, 2))
    assert (outcome.outputs[0] == x).all()


def test_a_convolution_has_its_weight_as_a_constant():
    weight = np.array([[[1.0, 2.0]]], np.float32)
    for scale in (1, 3):
        x = np.arange(4, dtype=np.float32).reshape(1, 1, 4) * scale
        outcome = perform_on("torch.nn.functional.conv1d(x, y)", {"x": x, "y": weight}, (1, 1, 3))
        assert outcome.status == "ok", outcome.cause
        assert outcome.outputs[0].tolist() == [[[2 * scale, 5 * scale, 8 * scale]]]


def test_a_call_has_its_own_shape_after_others():
    """A program of open sizes gave (1, 0, 0) for the second of these."""
    for batch, rows, inner, columns in ((1, 1, 3, 1023), (6, 1, 1, 2), (2, 3, 4, 5), (0, 3, 4, 5)):
        x, y = np.ones((batch, rows, inner), np.float32), np.ones((batch, inner, columns), np.float32)
        outcome = perform_on("torch.matmul(x, y)", {"x": x, "y": y}, (batch, rows, columns))
        assert outcome.status == "ok", outcome.cause
        assert (outcome.outputs[0] == inner).all()


def test_float64_is_said_to_be_absent():
    assert not OPENVINO.supports("float64", "cpu")


def test_what_is_not_converted_is_not_supported():
    x = np.ones((1, 2), np.float32)
    outcome = perform_on("torch.hypot(x, y)", {"x": x, "y": x}, (1, 2))
    assert outcome.status == "unsupported"
    assert "aten.hypot" in outcome.cause.figures["words"]


def test_its_graph_is_told():
    program = parse("torch.nn.functional.gelu(x)", names=["x"], functions=OPENVINO.functions())
    made = Call("float32", {}, {}, {"x": np.ones((1, 2), np.float32)}, {"x": "contiguous"})
    assert exported_graph(OPENVINO, SUBJECT, program, made, {"": (1, 2)}) == (("Gelu",), None)


def test_its_makers_are_told_nothing():
    text = (
        "import sys\nfrom opfuzz.backends import discover\nassert discover()['openvino'].version()\n"
        "assert sys.modules['openvino_telemetry'] is None"
    )
    subprocess.run([sys.executable, "-c", text], check=True)
