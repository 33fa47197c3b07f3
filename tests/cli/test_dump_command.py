"""`opfuzz dump`, and `opfuzz diff` of what two of them wrote: what they print and return, and mistakes in one line."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner
from safetensors.numpy import load_file, save_file

from opfuzz.cli import cli
from opfuzz.core.errors import OpfuzzError

MODEL = """
import mlx.core as mx
import mlx.nn as mnn
import numpy as np
import torch
from beside import EPS

torch.manual_seed(0)
torch.set_num_threads(1)
print("loading")


class Original(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = torch.nn.Conv1d(8, 16, 3, padding=1)
        self.stack = torch.nn.Sequential(torch.nn.Linear(16, 16), torch.nn.LayerNorm(16), torch.nn.GELU())
        self.head = torch.nn.Linear(16, 5)

    def forward(self, x):
        return self.head.forward(self.stack(self.conv(x).transpose(1, 2)))


class Port(mnn.Module):
    def __init__(self):
        super().__init__()
        self.lead, self.inner = mnn.Conv1d(8, 16, 3, padding=1), mnn.Linear(16, 16)
        self.scale, self.final = mnn.LayerNorm(16, eps=EPS), mnn.Linear(16, 5)

    def __call__(self, x):
        return self.final(mnn.gelu(self.scale(self.inner(self.lead(x.swapaxes(1, 2))))))


a, b = Original(), Port()
values = [mx.array(p.detach().numpy()) for p in a.parameters()]
b.lead.weight, b.lead.bias = values[0].swapaxes(1, 2), values[1]
b.inner.weight, b.inner.bias, b.scale.weight, b.scale.bias, b.final.weight, b.final.bias = values[2:]
inputs = {"x": np.random.default_rng(0).standard_normal((1, 8, FRAMES)).astype(np.float32)}
"""


def opfuzz(*arguments: object):
    return CliRunner().invoke(cli, [*map(str, arguments)], standalone_mode=False)


def dumped(tmp_path, side, eps=1e-5, frames=12):
    (tmp_path / "beside.py").write_text(f"EPS = {eps}\n")
    (tmp_path / "model.py").write_text(MODEL.replace("FRAMES", str(frames)))
    sys.modules.pop("beside", None)
    path = tmp_path / f"{side}.safetensors"
    return opfuzz("dump", tmp_path / "model.py", "--side", side, "-o", path), path


def test_two_dumps_of_a_faithful_pair_do_not_diverge(tmp_path):
    (result, a), (_, b) = dumped(tmp_path, "a"), dumped(tmp_path, "b")
    assert result.return_value == 0
    assert (
        result.stdout == f"{a}: 8 tensors of 7 modules, {sum(x.nbytes for x in load_file(a).values()) / 1e6:.4g} MB\n"
    )
    found = json.loads(opfuzz("diff", a, b, "--json").stdout)
    assert found["divergence"] is None
    assert {row["name_a"]: row["name_b"] for row in found["tensors"]} == {
        "input.x": "input.x",
        "conv": "lead",
        "stack.0": "inner",
        "stack.1": "scale",
        "head": "final",
        "output": "output",
    }


def test_axes_of_one_length_are_a_layout_and_no_divergence(tmp_path):
    (_, a), (_, b) = dumped(tmp_path, "a", frames=16), dumped(tmp_path, "b", frames=16)
    found = json.loads(opfuzz("diff", a, b, "--json").stdout)
    assert found["divergence"] is None
    conv = next(row for row in found["tensors"] if row["name"] == "conv")
    assert conv["explanation"].startswith("transposed: B is A with its axes in the order [2, 1]; rounding")


def test_the_first_divergence_of_two_dumps(tmp_path):
    (_, a), (_, b) = dumped(tmp_path, "a"), dumped(tmp_path, "b", eps=1e-2)
    result = opfuzz("diff", a, b)
    assert result.return_value == 1
    assert "First divergence: stack.1, " in result.output
    assert "Before it: 3 tensors, " in result.output
    assert "The last of them is stack.0, both are in stack, where the difference comes in." in result.output
    assert json.loads(opfuzz("diff", a, b, "--json").stdout)["order"] == "a"


def test_one_order_does_for_both_where_names_agree(tmp_path):
    _, a = dumped(tmp_path, "a")
    tensors = load_file(a)
    save_file(
        {f"net.{name}": 2 * x if name == "conv" else x for name, x in tensors.items()}, tmp_path / "b.safetensors"
    )
    found = json.loads(opfuzz("diff", tmp_path / "b.safetensors", a, "--json").stdout)
    assert (found["first_divergence"], found["order"]) == ("net.conv", "b")


def test_an_order_that_is_none_is_a_mistake(tmp_path):
    save_file({"x": load_file(dumped(tmp_path, "a")[1])["conv"]}, tmp_path / "b.safetensors", {"opfuzz.order": "[1]"})
    error = opfuzz("diff", tmp_path / "b.safetensors", tmp_path / "a.safetensors").exception
    expected = "its metadata 'opfuzz.order' must be a JSON list of names of tensors"
    assert str(error) == f"{tmp_path / 'b.safetensors'}: {expected}"


def test_an_output_that_exists_is_kept_unless_forced(tmp_path):
    _, path = dumped(tmp_path, "a")
    before = path.read_bytes()
    result, _ = dumped(tmp_path, "a")
    assert str(result.exception) == f"{path}: exists; give another name, or --force to replace it"
    assert opfuzz("dump", tmp_path / "model.py", "--side", "b", "-o", path, "--force").return_value == 0
    assert path.read_bytes() != before


@pytest.mark.parametrize(
    ("output", "words"),
    [
        ("a.npz", "a.npz: what is written is safetensors; give a name that ends in .safetensors"),
        ("none/a.safetensors", "there is no folder "),
        (".", "is a folder; give a file, such as "),
    ],
)
def test_an_output_that_cannot_be_is_refused_before_the_model_runs(tmp_path, output, words):
    error = opfuzz("dump", tmp_path / "absent.py", "-o", tmp_path / output).exception
    assert isinstance(error, OpfuzzError)
    assert words in str(error)


@pytest.mark.parametrize("below", ["a.safetensors", "deeper/a.safetensors"])
def test_an_output_below_a_file_is_not_sent_to_mkdir(tmp_path, below):
    (tmp_path / "taken").write_text("mine")
    error = opfuzz("dump", tmp_path / "absent.py", "-o", tmp_path / "taken" / below).exception
    taken = tmp_path / "taken"
    assert str(error) == f"{taken / below}: {taken} is a file and no folder; give a name that is not below it"


def test_a_model_that_is_not_there_has_a_remedy(tmp_path):
    (tmp_path / "model.py").write_text("")

    def said(name):
        return str(opfuzz("dump", tmp_path / name, "-o", tmp_path / "a.safetensors").exception)

    assert said("modle.py").endswith(f"no such model file; did you mean '{tmp_path / 'model.py'}'?")
    assert said("x.py").endswith(f"; name a Python file that is there: its path is read from {Path.cwd()}")
    assert said("none/model.py").endswith(f"; there is no folder {tmp_path / 'none'}: name a Python file that is there")
    assert said("").endswith(f"but a folder; name a Python file in it, such as {tmp_path / 'a.py'}")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("inputs = ()", "model.py: there is no 'model'; write model = ... or def model()"),
        ("a = b = 1", "model.py: there are two models, 'a' and 'b'; choose one with --side a or --side b"),
        ("import torch\nmodel = torch.nn.ReLU()", "there is no 'inputs'; write inputs = (array, ...)"),
        ("\n1 / 0", "model.py:2: model raised ZeroDivisionError: division by zero"),
        ("def model():\n    raise ValueError('no\\nweights')", "model.py:2: model() raised ValueError: no weights"),
        (
            "import torch\nmodel = torch.nn.ReLU()\ninputs = 1.0\nrun = 3",
            "model.py: 'run' is of type int; it must be a function, def run(model, inputs)",
        ),
        (
            "import torch\nmodel = torch.nn.ReLU()\ninputs = 1.0\ndef run(model, inputs):\n    return model(nothing)",
            "model.py:5: model raised NameError: name 'nothing' is not defined",
        ),
        (
            "import torch\nmodel = torch.nn.ReLU()\ninputs = {}\ndef run(model, inputs):\n    return 3",
            "model.py: model computed no tensor, so there is nothing to write",
        ),
    ],
)
def test_a_mistake_in_the_file_is_one_line(tmp_path, text, message):
    path = tmp_path / "model.py"
    path.write_text(text)
    error = opfuzz("dump", path, "-o", tmp_path / "a.safetensors").exception
    assert isinstance(error, OpfuzzError), error
    assert message.replace("model.py", str(path)) in str(error)
    assert "\n" not in str(error)
    assert list(tmp_path.glob("*")) == [path]


@pytest.mark.parametrize(
    ("inputs", "first"),
    [("x", "inputs"), ("(x,)", "inputs[0]"), ("[x]", "inputs[0]"), ("{'y': x}", "inputs['y']")],
)
def test_run_gets_the_inputs_as_they_are_written(tmp_path, inputs, first):
    (tmp_path / "model.py").write_text(
        f"import numpy as np\nimport torch\nx = np.ones((2, 3), np.float32)\nmodel = torch.nn.Linear(3, 3)\n"
        f"inputs = {inputs}\ndef run(model, inputs):\n    assert {first}.shape == (2, 3)\n    return model({first})\n"
    )
    result = opfuzz("dump", tmp_path / "model.py", "-o", tmp_path / "a.safetensors")
    assert result.exception is None
    assert load_file(tmp_path / "a.safetensors").keys() >= {"model.input.input", "model.output", "output"}
