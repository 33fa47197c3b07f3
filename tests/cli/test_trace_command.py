"""`opfuzz trace`: what it prints, saves and returns, and how it speaks of mistakes in the user's file."""

from __future__ import annotations

import json

import numpy as np
import pytest
from click.testing import CliRunner
from safetensors.numpy import load_file

from opfuzz.cli import cli
from opfuzz.core.errors import OpfuzzError
from opfuzz.network.observe.spec_reader import SpecReader
from opfuzz.network.observe.torch import TorchRun
from opfuzz.network.trace.pair import read_models
from opfuzz.network.trace.trace import trace

MUST = "it must be a torch.nn.Module, an mlx.nn.Module or an exported file"
PAIR = """
import mlx.core as mx
import mlx.nn as mnn
import numpy as np
import torch
from beside import EPS

torch.manual_seed(0)
torch.set_num_threads(1)
print("loading")
a = torch.nn.Sequential(torch.nn.Linear(8, 8), torch.nn.LayerNorm(8), torch.nn.ReLU())


class Port(mnn.Module):
    def __init__(self):
        super().__init__()
        self.proj, self.norm, self.act = mnn.Linear(8, 8), mnn.LayerNorm(8, eps=EPS), mnn.ReLU()

    def __call__(self, x):
        return self.act(self.norm(self.proj(x)))


def model_b():
    b = Port()
    b.proj.weight, b.proj.bias = (mx.array(p.detach().numpy()) for p in a[0].parameters())
    return b


inputs = np.random.default_rng(0).standard_normal((5, 8))
"""


def invoke(tmp_path, text, *options, eps=1e-5):
    (tmp_path / "beside.py").write_text(f"EPS = {eps}\n")
    path = tmp_path / "pair.py"
    path.write_text(text)
    __import__("sys").modules.pop("beside", None)
    return CliRunner().invoke(
        cli, ["trace", str(path), "--out", str(tmp_path / "reports"), *options], standalone_mode=False
    )


def test_a_faithful_pair(tmp_path):
    result = invoke(tmp_path, PAIR)
    assert result.return_value == 0
    assert "no module is guilty: the models differ by" in result.stdout
    assert not (tmp_path / "reports").exists()


def test_a_guilty_module_is_named_and_saved(tmp_path):
    result = invoke(tmp_path, PAIR, eps=1e-3)
    assert result.return_value == 1
    assert "first guilty: 1 = norm (LayerNorm): eps is 1e-05 in a and 0.001 in b (residual " in result.stdout
    folder = next((tmp_path / "reports").iterdir())
    assert folder.name.startswith("trace-")
    outputs = load_file(folder / "outputs.safetensors")
    assert {name: array.shape for name, array in outputs.items()} == dict.fromkeys(("a.0", "b.0", "exact.0"), (5, 8))
    assert set(load_file(folder / "weights.safetensors")) == {"a.weight", "a.bias", "b.weight", "b.bias"}
    assert json.loads((folder / "trace.json").read_text())["first_guilty"] == "1"


def test_a_relative_path_has_its_line(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pair.py").write_text("import os\nraise OSError('no disk')\n")
    result = CliRunner().invoke(cli, ["trace", "./pair.py"], standalone_mode=False)
    assert str(result.exception) == "pair.py:2: pair raised OSError: no disk"


def test_json_is_one_object_whatever_the_file_prints(tmp_path):
    result = invoke(tmp_path, PAIR, "--json", eps=1e-3)
    document = json.loads(result.stdout)
    assert document["verdict"] == "guilty"
    assert document["first_guilty"] == "1"
    assert [(g["a"], g["b"], g["kind"], g["cause"]) for g in document["guilty"]] == [
        ("1", "norm", "LayerNorm", "eps is 1e-05 in a and 0.001 in b")
    ]
    assert document["guilty"][0]["residual"] < 1e-6 < document["guilty"][0]["local_error"]
    assert (document["clean"], document["not_compared"]) == (2, [])
    assert document["map"] == {"0": "proj", "1": "norm", "2": "act"}
    assert [m["name_b"] for m in document["modules"]] == ["", "proj", "norm", "act"]
    assert document["modules"][2]["excess"] > 1 > document["modules"][1]["excess"]


def test_models_that_cannot_be_compared_are_no_success(tmp_path):
    text = PAIR + "\na.register_forward_hook(lambda module, args, output: output + torch.randn(5, 8))\n"
    error = invoke(tmp_path, text).exception
    assert isinstance(error, OpfuzzError)
    assert "the models could not be compared: a gives other values when it runs again" in str(error)


def test_the_map_that_was_found_can_be_pasted(tmp_path):
    text = PAIR.replace("torch.nn.ReLU())", "torch.nn.ReLU(), torch.nn.Identity())")
    result = invoke(tmp_path, text, "--names")
    pasted = result.stdout[result.stdout.index("names = {") :]
    assert pasted == 'names = {\n    "0": "proj",\n    "1": "norm",\n    "2": "act",\n    "3": None,\n}\n'
    again = invoke(tmp_path, f"{text}\n{pasted}", "--names")
    assert again.stdout == result.stdout
    assert "not compared, has no counterpart in b: 3" in again.stdout


def test_names_from_a_file(tmp_path):
    (tmp_path / "names.yaml").write_text("'1': norm\n")
    assert invoke(tmp_path, PAIR, "--map", str(tmp_path / "names.yaml")).return_value == 0
    (tmp_path / "names.json").write_text('{"1": "nrom"}')
    result = invoke(tmp_path, PAIR, "--map", str(tmp_path / "names.json"))
    assert str(result.exception) == "names: b has no module for '1' at 'nrom'; did you mean 'norm'?"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("inputs = ()", "pair.py: there is no 'a'; write a = ... or def model_a()"),
        (
            "A = a = b = 3\ninputs = ()",
            "pair.py: 'a' is of type int; it must be a torch.nn.Module, an mlx.nn.Module or an exported file",
        ),
        ("import torch\na = torch.nn.ReLU", "pair.py: 'a' is the class ReLU; call it"),
        ("import torch\na = b = torch.nn.ReLU()\ninput = 1", "there is no 'inputs'; write inputs = (array, ...)"),
        ("def model_a():\n    raise ValueError('no\\nweights')", "pair.py:2: model_a() raised ValueError: no weights"),
        ("import torch\na = b = torch.nn.Linear(3, 4)\ninputs = [object()]", "inputs[0] is of type object; inputs are"),
        ("a = (", "pair.py:1: pair is not valid Python: '(' was never closed"),
        ("\n1 / 0", "pair.py:2: pair raised ZeroDivisionError: division by zero"),
        (
            "import numpy\nimport torch\na = b = torch.nn.Linear(3, 4)\ninputs = numpy.ones((2, 5))",
            "pair.py: a raised RuntimeError: mat1 and mat2 shapes cannot be multiplied (2x5 and 3x4)",
        ),
        ("import torch\na = b = torch.nn.ReLU()\ninputs = 1.0\nnames = ['x']", "names must be a mapping"),
    ],
)
def test_a_mistake_in_the_file_is_one_line(tmp_path, text, message):
    error = invoke(tmp_path, text).exception
    assert isinstance(error, OpfuzzError)
    assert message.replace("pair.py", str(tmp_path / "pair.py")) in str(error)
    assert "\n" not in str(error)


@pytest.mark.parametrize("given", ["3", "'hello'", "2.5", "True"])
@pytest.mark.parametrize("command", ["trace", "dump", "localize"])
def test_inputs_that_are_no_array_are_told_of_as_such(tmp_path, command, given):
    path = tmp_path / "pair.py"
    path.write_text(f"import torch\na = b = model = torch.nn.Linear(4, 4)\ninputs = {given}\n")
    options = {"trace": (), "dump": ("-o", str(tmp_path / "x.safetensors")), "localize": ()}[command]
    error = CliRunner().invoke(cli, [command, str(path), *options], standalone_mode=False).exception
    assert isinstance(error, OpfuzzError), error
    assert f"{path}: 'inputs' is {given}, of type " in str(error)
    assert "it must be a NumPy array, a tuple of arrays or a dict" in str(error)


MODES = """
import mlx.core as mx
import mlx.nn as mnn
import numpy as np
import torch

torch.manual_seed(0)
a = torch.nn.Sequential(torch.nn.Linear(8, 8), torch.nn.BatchNorm1d(8), torch.nn.Dropout(0.5), torch.nn.Dropout(0.0))


class Port(mnn.Module):
    def __init__(self):
        super().__init__()
        self.fc, self.bn, self.drop, self.none = mnn.Linear(8, 8), mnn.BatchNorm(8), mnn.Dropout(0.5), mnn.Dropout(0.0)

    def __call__(self, x):
        return self.none(self.drop(self.bn(self.fc(x))))


b = Port()
b.fc.weight, b.fc.bias = (mx.array(p.detach().numpy()) for p in a[0].parameters())
inputs = np.random.default_rng(0).standard_normal((5, 8))
"""


@pytest.mark.parametrize(("a", "b"), [("eval", "train"), ("train", "eval"), ("eval", "eval"), ("train", "train")])
def test_a_model_that_was_left_in_training_mode_is_told_of(tmp_path, a, b):
    text = f"{MODES}\na.{a}()\nb.{b}()\n"
    result = invoke(tmp_path, text)
    document = json.loads(invoke(tmp_path, text, "--json").stdout)
    side, names = ("a", ["1", "2"]) if a == "train" else ("b", ["bn", "drop"])
    sentence = (
        f"{side} was in training mode, as the file gives it (2 modules in which that matters: {', '.join(names)}); "
        "both were run in evaluation mode"
    )
    assert result.return_value == 0
    assert (sentence in result.stdout.splitlines()) == (a != b), result.stdout
    assert "training" not in result.stdout.replace(sentence, "")
    assert document["in_training"] == ({side: names} if a != b else {})


def test_models_are_left_in_the_mode_in_which_they_were_given(tmp_path):
    path = tmp_path / "pair.py"
    path.write_text(f"{MODES}\na.eval()\na[2].train()\nb.train()\nb.bn.eval()\n")
    models = read_models(path)
    trace(models)
    assert [m.training for m in models.a.module] == [False, False, True, False]
    b = models.b.module
    assert [m.training for m in (b, b.fc, b.bn, b.drop)] == [True, True, False, True]
    run = TorchRun(models.a.module.train(), ((np.ones((5, 8), np.float32),), {}), SpecReader({}))
    (first,), (second,) = run.observe().outputs, run.observe().outputs
    np.testing.assert_array_equal(first, second)
    assert all(m.training for m in models.a.module)


def test_gradients_are_compared_where_they_are_asked_for(tmp_path):
    text = (
        PAIR
        + """
class Lost(torch.autograd.Function):
    @staticmethod
    def forward(context, x):
        return x.relu()

    @staticmethod
    def backward(context, g):
        return g


class Careless(torch.nn.ReLU):
    def forward(self, x):
        return Lost.apply(x)


a[2] = Careless()
"""
    )
    assert invoke(tmp_path, text).return_value == 0
    result = invoke(tmp_path, text, "--gradients")
    assert result.return_value == 1
    assert result.stdout.startswith("first guilty: 2 = act (")
    assert "the gradients of the models differ by" in result.stdout
    folder = next((tmp_path / "reports").iterdir())
    assert {"a.d/dx", "b.d/dx"} <= set(load_file(folder / "outputs.safetensors"))
    assert "cotangent.0" in load_file(folder / "inputs.safetensors")
    document = json.loads(invoke(tmp_path, text, "--gradients", "--json").stdout)
    assert (document["of_gradients"], document["first_guilty"], document["values_differ"]) == (True, "2", [])
    assert [m["name_a"] for m in document["modules"]] == ["", "2", "1", "0"]


def test_a_side_without_gradients_is_a_mistake_in_one_line(tmp_path):
    text = "import numpy as np, torch\na = torch.nn.Linear(2, 2)\nb = np.ones(2)\ninputs = (np.ones((1, 2)),)\n"
    assert MUST in str(invoke(tmp_path, text, "--gradients").exception)
    text = (
        PAIR
        + """
class Stuck(torch.autograd.Function):
    @staticmethod
    def forward(context, x):
        return x.relu()


class Dull(torch.nn.ReLU):
    def forward(self, x):
        return Stuck.apply(x)


a[2] = Dull()
"""
    )
    error = str(invoke(tmp_path, text, "--gradients").exception)
    assert "a cannot be differentiated: NotImplementedError" in error
    assert "opfuzz trace without --gradients needs none" in error
