"""The pipelines that come as examples: right against PyTorch's layers, and each of their wrong readings is found."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from torch.nn import functional as F  # noqa: N812

from opfuzz.cli.network.localize import localize_command
from opfuzz.engine.drivers.localize import localize
from opfuzz.engine.drivers.pipeline_bench import LocalizePlan, Pass, PipelineBench, computing
from opfuzz.network.localize.observed import Observed

pytestmark = pytest.mark.usefixtures("specs_read_once")
ROOT = Path(__file__).parents[3]
PLAN = LocalizePlan(str(ROOT / "examples" / "language_model_block.py"), "torch:cpu", "numpy:cpu", (ROOT / "specs",))


@pytest.fixture(scope="module")
def bench():
    return PipelineBench(PLAN)


def by_torch(weights, tokens):
    """The network in float64, written with PyTorch's own attention over grouped heads and complex rotations."""
    w = {name: torch.from_numpy(weight).double() for name, weight in weights.items()}
    x = w["embed_tokens.weight"][torch.from_numpy(tokens)]
    batch, length, width = x.shape
    frequencies = 10000.0 ** (-torch.arange(0, 8, 2, dtype=torch.float64) / 8)
    turn = torch.polar(torch.ones(length, 4, dtype=torch.float64), torch.arange(length)[:, None] * frequencies)

    def heads(y):
        return y.view(batch, length, -1, 8).transpose(1, 2)

    def turned(y):
        z = torch.complex(y[..., :4].contiguous(), y[..., 4:].contiguous()) * turn
        return torch.cat((z.real, z.imag), dim=-1)

    for block in range(2):
        layer = {name.removeprefix(f"layers.{block}."): weight for name, weight in w.items()}
        h = F.rms_norm(x, [width], layer["input_layernorm.weight"], 1e-6)
        q, k, v = (heads(h @ layer[f"self_attn.{name}_proj.weight"].T) for name in "qkv")
        h = F.scaled_dot_product_attention(turned(q), turned(k), v, is_causal=True, enable_gqa=True)
        x = x + h.transpose(1, 2).reshape(batch, length, -1) @ layer["self_attn.o_proj.weight"].T
        h = F.rms_norm(x, [width], layer["post_attention_layernorm.weight"], 1e-6)
        gate, up = (h @ layer[f"mlp.{name}_proj.weight"].T for name in ("gate", "up"))
        x = x + (F.silu(gate) * up) @ layer["mlp.down_proj.weight"].T
    x = F.rms_norm(x, [width], w["norm.weight"], 1e-6)
    return F.log_softmax(x @ w["embed_tokens.weight"].T, dim=-1).numpy()


def test_the_language_model_is_what_pytorch_computes(bench):
    output = bench.base
    assert output.shape == (2, 12, 64)
    np.testing.assert_allclose(output, by_torch(bench.model.weights, bench.model.inputs["tokens"]), atol=2e-5)


@pytest.mark.parametrize("number", range(4))
def test_each_wrong_reading_is_found_first(bench, number):
    assert len(bench.model.variants) == 4
    planted = bench.model.variants[number]
    setup = planted.plant(bench.setup)
    other, _ = type(setup)(setup.pipeline, setup.weights, setup.inputs, computing("numpy:cpu")).run(bench.specs)

    found = localize(PLAN, lambda output: Observed({}, other, "planted"))

    assert found.variants[0].title == planted.title
    assert [tried.match for tried in found.variants[:2]] == [True, False]
    assert f"The explanation is {planted.title}" in found.verdict[-1]


def test_nothing_planted_is_nothing_to_explain(bench):
    other, _ = bench.perform(Pass(on_b=frozenset(bench.ops)))
    found = localize(PLAN, lambda output: Observed({}, other, "side B itself"))
    assert found.verdict[0].startswith("There is nothing to explain")


def invoked(*arguments):
    return CliRunner().invoke(localize_command, [*map(str, arguments)], standalone_mode=False)


def test_the_command_writes_a_folder(tmp_path):
    said = invoked(PLAN.model, "--b", "numpy:cpu", "--jobs", 1, "--observed", "corr=0.99,mae=0.1", "--out", tmp_path)

    (folder,) = tmp_path.iterdir()
    assert said.output.endswith(f"{folder / 'report.md'}\n")
    assert re.fullmatch(r"\d{8}-\d{6}-language_model_block", folder.name)
    pictures = {"error.svg", "steps.svg", "attribution.svg", "variants.svg"}
    assert {path.name for path in folder.iterdir()} == {"localization.json", "report.md", *pictures}
    document = json.loads((folder / "localization.json").read_text())
    assert [step["name"] for step in document["drift"]["per_step"]] == ["layers.0.x", "layers.1.x"]
    assert document["verdict"] in (folder / "report.md").read_text().replace("\\", "")
