"""`opfuzz localize` and `opfuzz profile` on a torch model and its inputs, with no line written beside the file."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from safetensors.numpy import save_file
from torch import nn

from opfuzz.cli import cli
from opfuzz.cli.group import bundled_specs
from opfuzz.core.errors import OpfuzzError
from opfuzz.core.files import user_module
from opfuzz.engine.drivers.localize import localize
from opfuzz.engine.drivers.pipeline_bench import LocalizePlan, Pass, PipelineBench
from opfuzz.network.localize.observed import Observed
from opfuzz.spec.profile_reader import read_profile

pytestmark = pytest.mark.usefixtures("specs_read_once")

PARTS = """
import numpy as np
import torch
from torch import nn

class Block(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.norm, self.fc1, self.fc2 = nn.LayerNorm(width), nn.Linear(width, 2 * width), nn.Linear(2 * width, width)
        self.act = nn.GELU()

    def forward(self, x):
        return x + self.fc2(self.act(self.fc1(self.norm(x))))

class Net(nn.Module):
    def __init__(self, width=16):
        super().__init__()
        torch.manual_seed(0)
        self.layers = nn.ModuleList([Block(width), Block(width)])
        self.out = nn.Linear(width, width)

    def forward(self, x):
        for layer in self.layers:
            x = layer(x)
        return self.out(torch.cat((x, x.flip(-1))[:1], -1))
"""
MODEL = """
from parts import Net, np
model = Net()
inputs = (np.random.default_rng(0).standard_normal((2, 5, 16)).astype(np.float32),)
"""
SOLVER = """
import math
from parts import Net, np, torch
a = Net()
inputs = {"x": np.random.default_rng(0).standard_normal((1, 5, 16)).astype(np.float32)}

def run(model, inputs):
    x, t = inputs["x"], 1 - torch.cos(torch.linspace(0, 1, 4) * (math.pi / 2))
    for i in range(3):
        c, u = model.forward(x + t[i]), model.forward(t[i] * x)
        x = x + (t[i + 1] - t[i]) * (1.7 * c - 0.7 * u)
    return x
"""


@pytest.fixture
def folder(tmp_path):
    for name, text in (("parts", PARTS), ("net", MODEL), ("solver", SOLVER)):
        (tmp_path / f"{name}.py").write_text(text)
    return tmp_path


def plan(folder, name="net", **changed):
    given = {"a": "torch:cpu", "b": "numpy:cpu", "specs": (bundled_specs(),), **changed}
    return LocalizePlan(model=str(folder / f"{name}.py"), **given)


def net(folder, name="net"):
    module = user_module.load(folder / f"{name}.py", "model")
    return (module.model if name == "net" else module.a).eval(), module


def found_for(folder, change, name="net", **changed):
    """What is found where side B is the model with a change made by hand."""
    model, module = net(folder, name)
    change(model, module)
    with torch.no_grad():
        if name == "net":
            there = model(torch.from_numpy(module.inputs[0]))
        else:
            there = module.run(model, {"x": torch.from_numpy(module.inputs["x"])})
    return localize(plan(folder, name, **changed), lambda output: Observed({}, there.numpy()))


def tanh_everywhere(model, module):
    for layer in model.layers:
        layer.act = nn.GELU("tanh")


def silu_in_one(model, module):
    model.layers[1].act = nn.SiLU()


def coarse_eps(model, module):
    model.layers[0].norm.eps = 1e-3


def bounded(model, module):
    for layer in model.layers:
        layer.act = nn.SELU()


def gain_less_one(model, module):
    model.layers[1].norm.weight.data += 1


def transposed(model, module):
    model.out.weight.data = model.out.weight.data.T.contiguous()


def rounded(model, module):
    weight = model.layers[0].fc2.weight
    weight.data = weight.data.bfloat16().float()


def residual_lost(model, module):
    model.layers[1].forward = lambda x, m=model.layers[1]: m.fc2(m.act(m.fc1(m.norm(x))))


def skipped(model, module):
    model.layers[0].forward = lambda x: x


def test_readings_that_say_the_same_are_all_named(folder):
    found = found_for(folder, skipped)
    matches = {variant.title for variant in found.variants if variant.match}
    assert matches == {"operand 2 is not added (layers.0)", "left out (layers.0)"}
    assert all(title in found.verdict[1] for title in matches)


@pytest.mark.parametrize(
    ("change", "title"),
    [
        (tanh_everywhere, "gelu: tanh (layers.*.act)"),
        (silu_in_one, "gelu: silu (layers.1.act)"),
        (coarse_eps, "layer_norm: eps-1e-3 (layers.0.norm)"),
        (bounded, "selu instead of gelu (layers.*.act)"),
        (gain_less_one, "layer_norm: one is added to the weight (layers.1.norm)"),
        (transposed, "linear: transposed-weight (out)"),
        (rounded, "weight in bfloat16 (layers.0.fc2.weight)"),
        (residual_lost, "operand 1 is not added (layers.1)"),
    ],
)
def test_what_was_changed_by_hand_is_named(folder, change, title):
    found = found_for(folder, change)
    assert found.variants[0].title == title
    assert found.variants[0].match
    assert found.variants[0].residual < 1e-5
    assert found.tried <= found.readings
    assert (found.coverage.calls, found.coverage.with_spec) == (9, 9)


def test_a_grid_and_a_mix_of_guidance_in_a_run_of_ones_own(folder):
    text = (folder / "solver.py").read_text()
    for wrong, title in (
        (text.replace("1 - torch.cos(torch.linspace(0, 1, 4) * (math.pi / 2))", "torch.linspace(0, 1, 4)"),
         "the grid of times is t, not 1 - cos(t pi / 2) ((model))"),
        (text.replace("1.7 * c - 0.7 * u", "u + 0.7 * (c - u)"),
         "guidance: u + w (c - u) for (1 + w) c - w u, w = 0.7 ((model))"),
    ):  # fmt: skip
        (folder / "wrong.py").write_text(wrong)
        module = user_module.load(folder / "wrong.py", "model")
        with torch.no_grad():
            there = module.run(module.a.eval(), {"x": torch.from_numpy(module.inputs["x"])}).numpy()
        found = localize(plan(folder, "solver"), lambda output, there=there: Observed({}, there))
        assert found.variants[0].title == title
        assert found.variants[0].match


def test_nothing_is_marked_where_nothing_is_wrong(folder):
    found = found_for(folder, lambda model, module: None, all=True)
    assert not any(variant.match for variant in found.variants)
    assert found.verdict[0].startswith("There is nothing to explain")
    assert found.tried == found.readings


def test_an_interruption_keeps_what_is_known(folder):
    def watch(done, total):
        if done == 30:
            raise KeyboardInterrupt

    model, module = net(folder)
    tanh_everywhere(model, module)
    there = model(torch.from_numpy(module.inputs[0])).detach().numpy()
    found = localize(plan(folder), lambda output: Observed({}, there), watch)
    assert found.interrupted
    assert 0 < len(found.variants) < 30
    assert len(found.attribution) == 3
    assert found.verdict[-1].startswith("Interrupted: ")


def test_calls_before_the_first_changed_one_come_from_the_recording(folder):
    bench = PipelineBench(plan(folder))
    made = []
    compute = bench.a
    bench.a = lambda call: made.append(call.number) or compute(call)
    number = next(n for n, v in enumerate(bench.variants) if v.title == "linear: no-bias (out)")
    bench.perform(Pass(planted=(number,)))
    assert made == []  # it is the last call, and its variant is computed in its place
    plain, _ = bench.perform(Pass())
    np.testing.assert_array_equal(plain, bench.base)


def test_the_command_says_what_is_covered(folder):
    model, module = net(folder)
    tanh_everywhere(model, module)
    with torch.no_grad():
        save_file({"out": model(torch.from_numpy(module.inputs[0])).numpy()}, folder / "seen.safetensors")
    words = ["localize", str(folder / "net.py"), "--b", "numpy:cpu", "--observed", str(folder / "seen.safetensors")]
    words += ["--jobs", "1", "--out", str(folder / "reports")]
    done = CliRunner().invoke(cli, words, standalone_mode=False)
    assert done.exception is None
    assert "9 of 9 calls that compute are ops with a spec" in done.stdout
    assert "readings were tried; --all tries" in done.stdout
    (report,) = (folder / "reports").iterdir()
    written = json.loads((report / "localization.json").read_text())
    assert written["coverage"] == {"calls": 9, "with_spec": 9, "without": {}, "exact": 2}
    assert written["variants"][0]["name"] == "gelu: tanh"


def test_a_profile_of_a_model(folder):
    words = ["profile", str(folder / "net.py"), "-o", str(folder / "net.yaml")]
    done = CliRunner().invoke(cli, words, standalone_mode=False)
    assert done.exception is None
    profile = read_profile(folder / "net.yaml")
    assert {point.op: point.count for point in profile.points} == {"layer_norm": 2, "linear": 1, "gelu": 2}
    assert all(gain > 0 for gain in profile.gains.values())


def test_a_model_that_is_another_in_each_process_is_refused(folder):
    text = "import os\nimport numpy as np\nimport torch\ntorch.manual_seed(int.from_bytes(os.urandom(4)))\n"
    text += "model = torch.nn.Linear(4, 4)\ninputs = np.ones((2, 4), np.float32)"
    (folder / "net.py").write_text(text)
    with pytest.raises(OpfuzzError, match="seed what it draws"):
        localize(plan(folder, jobs=2), lambda output: None)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("model = 3", "'model' is of type int; it must be a torch.nn.Module"),
        ("from torch import nn\nmodel = nn.Linear", "'model' is the class Linear; call it"),
        ("from torch import nn\nmodel = nn.Linear(2, 2)", "there is no 'inputs'"),
        ("from torch import nn\nmodel = nn.Linear(2, 2)\ninput = 1", "did you mean 'input'?"),
        (
            "from torch import nn\nimport numpy as np\nmodel = nn.Linear(2, 2)\ninputs = np.ones((3, 4))",
            "the model raised",
        ),
        (
            "from torch import nn\nmodel = nn.Linear(2, 2)\ninputs = ()\nrun = 3",
            "'run' is a int; it must be a function",
        ),
        ("def model():\n    raise ValueError('no file')\ninputs = ()", ":2: model() raised ValueError: no file"),
        (
            "import torch\nmodel = torch.nn.Linear(2, 2).bfloat16()\ninputs = torch.ones(3, 2)",
            "none of the calls of the model is an op with a spec in float32; make it float32: model.float()",
        ),
        ("pass", "it has no model, and no function pipeline(run, weights, inputs)"),
    ],
)
def test_a_mistake_in_the_file_is_one_line(tmp_path, text, message):
    (tmp_path / "net.py").write_text(text)
    with pytest.raises(OpfuzzError) as error:
        localize(plan(tmp_path), lambda output: None)
    assert message in str(error.value)
    assert "net.py" in str(error.value)
