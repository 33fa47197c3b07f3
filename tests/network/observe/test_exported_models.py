"""Traces and localisations with an exported model as side B: a faithful one has no guilty module, a fault has one."""

from __future__ import annotations

import copy
import importlib
import logging

import numpy as np
import pytest

from opfuzz.core.errors import OpfuzzError
from opfuzz.engine.drivers.trace import knowledge
from opfuzz.network.localize.observed import exported_side
from opfuzz.network.observe.exported import load_exported
from opfuzz.network.trace.pair import read_models
from opfuzz.network.trace.trace import trace
from opfuzz.report.network.trace import verdict

torch = pytest.importorskip("torch")

SOURCE = """
import numpy as np
import torch
from torch import nn

torch.manual_seed(0)


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.norm, self.fc1, self.act, self.fc2 = nn.LayerNorm(16), nn.Linear(16, 32), nn.GELU(), nn.Linear(32, 16)

    def forward(self, x):
        return x + self.fc2(self.act(self.fc1(self.norm(x))))


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.blocks = nn.Conv1d(8, 16, 3, padding=1), nn.ModuleList([Block(), Block()])

    def forward(self, x):
        x = torch.tanh(self.conv(x)).transpose(1, 2)
        for block in self.blocks:
            x = block(x)
        return x.softmax(-1)


a = Net().eval()
inputs = (np.random.default_rng(0).standard_normal((2, 8, 10)).astype(np.float32),)
"""


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """A folder with the model, its export in both forms, and the torch module."""
    folder = tmp_path_factory.mktemp("exported")
    (folder / "net.py").write_text(SOURCE)
    space = {}
    exec(SOURCE, space)
    model, x = space["a"], torch.from_numpy(space["inputs"][0])
    torch.export.save(torch.export.export(model, (x,)), folder / "good.pt2")
    return folder, model, x


@pytest.fixture(scope="module")
def proto(exported):
    pytest.importorskip("onnxscript")
    _, model, x = exported
    logging.disable(logging.WARNING)
    try:
        return torch.onnx.export(model, (x,), dynamo=True, verbose=False).model_proto
    finally:
        logging.disable(logging.NOTSET)


def traced(folder, file):
    pair = folder / f"pair_{file.replace('.', '_')}.py"
    pair.write_text(f"{SOURCE}\nb = {file!r}\n")
    return trace(read_models(pair), knowledge())


def save(proto, path):
    importlib.import_module("onnx").save(proto, path)


def test_a_faithful_program_has_no_guilty_module(exported):
    found = traced(exported[0], "good.pt2")
    assert found.guilty == ()
    assert {"conv", "blocks.0.act", "blocks.1.fc2"} <= {m.name_a for m in found.modules if m.verdict == "clean"}


def test_another_gelu_in_a_program_is_found(exported):
    folder, model, x = exported
    planted = copy.deepcopy(model)
    planted.blocks[1].act = torch.nn.GELU("tanh")
    torch.export.save(torch.export.export(planted, (x,)), folder / "gelu.pt2")
    found = traced(folder, "gelu.pt2")
    assert found.guilty == ("blocks.1.act",)
    assert "gelu by tanh" in next(m.cause for m in found.modules if m.name_a == "blocks.1.act")


def test_a_faithful_graph_has_no_guilty_module(exported, proto):
    save(proto, exported[0] / "good.onnx")
    found = traced(exported[0], "good.onnx")
    assert found.guilty == ()
    assert {"conv", "blocks.0.act", "blocks.1.fc2"} <= {m.name_a for m in found.modules if m.verdict == "clean"}


def test_the_guilty_node_of_a_graph_is_named(exported, proto):
    folder, planted = exported[0], copy.deepcopy(proto)
    node = next(each for each in planted.graph.node if each.op_type == "LayerNormalization")
    next(each for each in node.attribute if each.name == "epsilon").f = 1e-2
    save(planted, folder / "eps.onnx")
    found = traced(folder, "eps.onnx")
    assert found.guilty == ("blocks.0.norm",)
    first = verdict(found)[0]
    assert "eps" in first
    assert first.endswith(f"in the graph of b: LayerNormalization {node.name}")


def test_a_weight_that_is_another_in_a_graph_is_found(exported, proto):
    folder, planted = exported[0], copy.deepcopy(proto)
    bias = next(each for each in planted.graph.initializer if each.name == "blocks.1.fc2.bias")
    helper = importlib.import_module("onnx.numpy_helper")
    bias.CopyFrom(helper.from_array(helper.to_array(bias) * np.float32(2), bias.name))
    save(planted, folder / "bias.onnx")
    assert traced(folder, "bias.onnx").guilty == ("blocks.1.fc2",)


def test_a_graph_that_names_no_modules_is_one_module(exported, proto):
    folder, _, x = exported
    bare = copy.deepcopy(proto)
    for node in bare.graph.node:
        del node.metadata_props[:]
    save(bare, folder / "bare.onnx")
    module = load_exported(folder / "bare.onnx")
    assert [name for name, _ in module.named_modules()] == [""]
    assert module(x).numpy() == pytest.approx(exported[1](x).detach().numpy(), abs=1e-6)


def test_a_module_that_is_called_twice_has_nodes_for_each_call(tmp_path):
    pytest.importorskip("onnxscript")

    class Twice(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.act = torch.nn.SiLU()

        def forward(self, x):
            return self.act(torch.exp(self.act(x)))

    x = torch.linspace(-1, 1, 5)
    save(torch.onnx.export(Twice(), (x,), dynamo=True, verbose=False).model_proto, tmp_path / "twice.onnx")
    module = load_exported(tmp_path / "twice.onnx")
    assert [name for name, _ in module.named_modules()] == ["", "act"]
    assert module.act.nodes.split("\n")[1].startswith("Sigmoid ")
    assert module(x).numpy() == pytest.approx(Twice()(x).numpy(), rel=1e-6)


def test_what_an_exported_side_gives_is_what_localisation_observes(exported, proto):
    folder, model, x = exported
    save(proto, folder / "seen.onnx")
    (folder / "seen.py").write_text(f"{SOURCE}\nmodel, b = a, 'seen.onnx'\n")
    output = model(x).detach().numpy()
    found = exported_side(folder / "seen.py")(output)
    assert found.tensor == pytest.approx(output, abs=1e-6)
    with pytest.raises(OpfuzzError, match="none of the output's shape"):
        exported_side(folder / "seen.py")(output[:1, :3])


def test_a_file_without_an_exported_side_observes_nothing(exported):
    assert exported_side(exported[0] / "net.py") is None


@pytest.mark.parametrize(
    ("file", "words"), [("missing.onnx", "there is no"), ("net.py", "exported models are .onnx or .pt2 files")]
)
def test_a_mistake_is_said_with_its_remedy(exported, file, words):
    with pytest.raises(OpfuzzError, match=words):
        traced(exported[0], file)


def test_a_file_that_is_none_is_said(tmp_path):
    pytest.importorskip("onnx")
    (tmp_path / "no.onnx").write_bytes(b"this is no model")
    with pytest.raises(OpfuzzError, match="cannot be read as an exported model"):
        load_exported(tmp_path / "no.onnx")
