"""Three kinds of models exported to ONNX: nobody is accused in a faithful graph, and the node of one planted fault is.

A transformer's block, a net of convolutions, and a cell that is called again and again, with a norm.
"""

from __future__ import annotations

import copy
import importlib
import logging

import numpy as np
import pytest

from opfuzz.engine.drivers.trace import knowledge
from opfuzz.network.trace.pair import read_models
from opfuzz.network.trace.trace import trace
from opfuzz.report.network.trace import verdict

torch = pytest.importorskip("torch")
onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxscript")

SOURCE = """
import numpy as np
import torch
from torch import nn


class Attention(nn.Module):
    def __init__(self):
        super().__init__()
        self.q, self.k, self.v, self.out = (nn.Linear(8, 8) for _ in range(4))
        self.soft = nn.Softmax(-1)

    def forward(self, x):
        n, t, _ = x.shape
        q, k, v = (f(x).view(n, t, 2, 4).transpose(1, 2) for f in (self.q, self.k, self.v))
        return self.out((self.soft(q @ k.transpose(-1, -2) / 2) @ v).transpose(1, 2).reshape(n, t, 8))


class Block(nn.Module):
    shape = 2, 5, 8

    def __init__(self):
        super().__init__()
        self.norm, self.attn, self.act, self.down = nn.LayerNorm(8), Attention(), nn.GELU(), nn.Linear(8, 8)

    def forward(self, x):
        x = x + self.attn(self.norm(x))
        return x + self.down(self.act(x))


class Convolutions(nn.Module):
    shape = 2, 3, 8, 6

    def __init__(self):
        super().__init__()
        self.stem, self.act = nn.Conv2d(3, 6, 3, padding=1), nn.Hardswish()
        self.depthwise, self.head = nn.Conv2d(6, 6, 3, groups=6), nn.Linear(6, 5)

    def forward(self, x):
        return self.head(torch.relu(self.depthwise(self.act(self.stem(x)))).mean((2, 3)))


class Loop(nn.Module):
    shape = 4, 6

    def __init__(self):
        super().__init__()
        self.norm, self.cell = nn.GroupNorm(2, 6), nn.GRUCell(6, 6)

    def forward(self, x):
        h = torch.zeros_like(x)
        for _ in range(3):
            h = self.cell(self.norm(x + h), h)
        return h


torch.manual_seed(1)
a = NAME().eval()
inputs = (np.random.default_rng(0).standard_normal(NAME.shape).astype(np.float32),)
"""
FAITHFUL = {}


def graph_of(name):
    """The model in ONNX, made once."""
    if name not in FAITHFUL:
        space = {}
        exec(SOURCE.replace("NAME", name), space)
        logging.disable(logging.WARNING)
        try:
            given = (torch.from_numpy(space["inputs"][0]),)
            FAITHFUL[name] = torch.onnx.export(space["a"], given, dynamo=True, verbose=False).model_proto
        finally:
            logging.disable(logging.NOTSET)
    return copy.deepcopy(FAITHFUL[name])


def traced(folder, name, graph):
    onnx.save(graph, folder / "model.onnx")
    (folder / "pair.py").write_text(SOURCE.replace("NAME", name) + "b = 'model.onnx'\n")
    return trace(read_models(folder / "pair.py"), knowledge())


def node_of(graph, kind, number):
    return [each for each in graph.graph.node if each.op_type == kind][number]


def set_attribute(node, **values):
    kept = [each for each in node.attribute if each.name not in values]
    del node.attribute[:]
    node.attribute.extend([*kept, *(onnx.helper.make_attribute(*pair) for pair in values.items())])


def change_weight(graph, name, change):
    helper = importlib.import_module("onnx.numpy_helper")
    weight = next(each for each in graph.graph.initializer if each.name == name)
    weight.CopyFrom(helper.from_array(np.ascontiguousarray(change(helper.to_array(weight))), name))


@pytest.mark.parametrize("name", ["Block", "Convolutions", "Loop"])
def test_a_faithful_graph_has_no_guilty_module(name, tmp_path):
    found = traced(tmp_path, name, graph_of(name))
    assert found.guilty == ()
    assert {each.verdict for each in found.modules} == {"clean"}


@pytest.mark.parametrize(
    ("name", "kind", "number", "values", "guilty", "words"),
    [
        ("Block", "LayerNormalization", 0, {"epsilon": 1e-3}, "norm", "eps"),
        ("Block", "Gelu", 0, {"approximate": "tanh"}, "act", "gelu by tanh"),
        # The scores are square: it is right for scores that are transposed, which it does not get.
        ("Block", "Softmax", 0, {"axis": 2}, "attn.soft", "softmax along axis -2 instead of -1"),
        ("Loop", "InstanceNormalization", 1, {"epsilon": 1e-2}, "norm", "eps"),
    ],
)
def test_a_node_with_another_setting_is_named(name, kind, number, values, guilty, words, tmp_path):
    graph = graph_of(name)
    node = node_of(graph, kind, number)
    set_attribute(node, **values)
    found = traced(tmp_path, name, graph)
    assert found.guilty == (guilty,)
    first, _, nodes = verdict(found)[0].partition("; in the graph of b: ")
    assert words in first
    assert f"{kind} {node.name}" in nodes.split(", ")


@pytest.mark.parametrize(
    ("name", "kind", "number", "other", "guilty"),
    [
        ("Block", "Gelu", 0, "Relu", "act"),
        ("Convolutions", "HardSwish", 0, "Relu", "act"),
        ("Convolutions", "Relu", 0, "Elu", ""),  # a function of the model itself
        ("Loop", "Tanh", 2, "Softsign", "cell"),  # in the last of three calls
    ],
)
def test_a_node_of_another_function_is_named(name, kind, number, other, guilty, tmp_path):
    graph = graph_of(name)
    node = node_of(graph, kind, number)
    node.op_type = other
    del node.attribute[:]
    found = traced(tmp_path, name, graph)
    assert found.guilty == (guilty,)
    nodes = verdict(found)[0].partition("; in the graph of b: ")[2].split(", ")
    assert f"{other} {node.name}" in nodes
    assert not any(each.startswith(("Conv ", "Gemm ", "LayerNorm")) for each in nodes if not guilty)


@pytest.mark.parametrize(
    ("name", "weight", "change", "guilty"),
    [
        ("Convolutions", "depthwise.weight", lambda w: w[:, :, ::-1], "depthwise"),
        ("Loop", "cell.weight_hh", lambda w: w.reshape(3, 6, 6).swapaxes(1, 2).reshape(18, 6), "cell"),
    ],
)
def test_a_weight_that_lies_otherwise_is_found(name, weight, change, guilty, tmp_path):
    graph = graph_of(name)
    change_weight(graph, weight, change)
    assert traced(tmp_path, name, graph).guilty == (guilty,)


def test_a_square_weight_that_is_transposed_is_found(tmp_path):
    graph = graph_of("Block")
    (product,) = (
        node for node in graph.graph.node if node.op_type == "MatMul" and "attn.v" in str(node.metadata_props)
    )
    change_weight(graph, product.input[1], np.transpose)
    assert traced(tmp_path, "Block", graph).guilty == ("attn.v",)
