"""A localisation from end to end: a guilty op, a planted reading, what the command prints, and wrong use."""

from __future__ import annotations

import json

import numpy as np
import pytest
from click.testing import CliRunner
from safetensors.numpy import save_file

from opfuzz.cli import cli
from opfuzz.cli.group import bundled_specs
from opfuzz.core.errors import OpfuzzError
from opfuzz.engine.drivers.localize import LocalizePlan, Pass, PipelineBench, localize
from opfuzz.network.drift import drift
from opfuzz.network.localize.observed import Observed, read_figures

pytestmark = pytest.mark.usefixtures("specs_read_once")

PIPELINE = """
import numpy as np
from dataclasses import replace
from opfuzz.network.pipeline.planting import Variant

def pipeline(run, weights, inputs):
    x = run("linear", role="in", at="fc1", x=inputs["x"], weight=weights["w"], bias=weights["b"])
    x = run("gelu", role="act", at="act", x=x)
    run.record("hidden", x)
    return run("layer_norm", role="norm", at="norm", x=x, weight=weights["g"], bias=weights["b"])

def example(seed):
    random = np.random.default_rng(seed)
    weights = {"w": random.normal(size=(32, 8)), "b": random.normal(size=32), "g": random.normal(size=32)}
    weights = {name: array.astype(np.float32) for name, array in weights.items()}
    return weights, {"x": random.normal(size=(6, 8)).astype(np.float32)}

VARIANTS = [Variant("doubled", "input", "x is doubled",
                    lambda setup: replace(setup, inputs={"x": setup.inputs["x"] * 2}))]
"""

COARSE = """
import numpy as np
import scipy.special
from opfuzz.backends import derive

def erf(x):
    return scipy.special.erf(x) * np.float32(1.001)

BACKENDS = [derive("numpy", name="coarse", replace={"scipy.special.erf": erf})]
"""


@pytest.fixture
def plan(tmp_path):
    (tmp_path / "net.py").write_text(PIPELINE)
    return LocalizePlan(model=str(tmp_path / "net.py"), a="numpy:cpu", b="numpy:cpu", specs=(bundled_specs(),))


def planted(plan, title):
    """What side A gives with a variant planted."""
    bench = PipelineBench(plan)
    number = next(n for n, v in enumerate(bench.variants) if v.title == title)
    return bench.perform(Pass(planted=(number,)))[0]


def test_the_guilty_op_carries_the_drift(plan, tmp_path):
    (tmp_path / "coarse.py").write_text(COARSE)
    guilty = LocalizePlan(
        model=plan.model, a="numpy:cpu", b="coarse:cpu", specs=plan.specs, plugins=(tmp_path / "coarse.py",)
    )
    found = localize(guilty, lambda output: read_figures("corr=0.98,mae=0.1"))
    first, *others = found.attribution
    assert first.op == "gelu"
    assert first.only.rms == pytest.approx(found.drift.rms)
    assert first.all_but.rms == 0
    assert first.local_excess > 1000
    assert all(row.only.rms == 0 and row.all_but.rms == found.drift.rms for row in others)
    assert found.per_step["hidden"].rms > 0
    assert max(found.calls, key=lambda call: call.relative).op == "gelu"
    assert first.factor_needed == pytest.approx(0.1 / first.only.mae)


@pytest.mark.parametrize(
    "title", ["gelu: tanh (act)", "layer_norm: no-bias (norm)", "doubled (input)", "float16 (everywhere)"]
)
def test_what_was_planted_is_found(plan, title):
    there = planted(plan, title)
    found = localize(plan, lambda output: Observed({}, there))
    assert found.variants[0].title == title
    assert found.variants[0].match
    assert title in found.verdict[-1]
    assert found.observed["mae"] == pytest.approx(np.abs(there - PipelineBench(plan).base).mean(), rel=1e-6)


def test_two_faults_are_found_as_a_pair(plan):
    bench = PipelineBench(plan)
    titles = ["gelu: sigmoid (act)", "linear: no-bias (in)"]
    numbers = tuple(n for n, v in enumerate(bench.variants) if v.title in titles)
    there = bench.perform(Pass(planted=numbers))[0]
    both = LocalizePlan(model=plan.model, a=plan.a, b=plan.b, specs=plan.specs, pairs=True)
    found = localize(both, lambda output: Observed({}, there))
    assert not found.variants[0].match
    assert found.pairs[0].match
    assert set(found.pairs[0].name.split(" and ")) == {"gelu: sigmoid", "linear: no-bias"}
    assert found.verdict[-1].startswith("Two together explain it")


def test_processes_change_nothing(plan):
    several = LocalizePlan(model=plan.model, a=plan.a, b=plan.b, specs=plan.specs, jobs=2)
    one, two = (localize(p, lambda output: read_figures("mae=0.1")) for p in (plan, several))
    assert [(v.title, v.drift) for v in one.variants] == [(v.title, v.drift) for v in two.variants]
    assert one.attribution == two.attribution


def test_frames_restrict_the_figures(plan):
    cut = LocalizePlan(model=plan.model, a=plan.a, b=plan.b, specs=plan.specs, frames=(4, 9))
    found = localize(cut, lambda output: None)
    assert found.drift.elements == 6 * 5
    with pytest.raises(OpfuzzError, match=r"--frames 40:50: .* has 32 places"):
        localize(
            LocalizePlan(model=plan.model, a=plan.a, b=plan.b, specs=plan.specs, frames=(40, 50)), lambda output: None
        )


def call(*words, folder):
    arguments = ["localize", *map(str, words), "--out", str(folder / "reports")]
    return CliRunner().invoke(cli, arguments, standalone_mode=False)


def test_the_command_prints_one_json_object(plan, tmp_path):
    there = planted(plan, "gelu: tanh (act)")
    save_file({"output": there}, tmp_path / "seen.safetensors")
    words = (plan.model, "--a", "numpy:cpu", "--b", "numpy:cpu", "--observed", tmp_path / "seen.safetensors", "--json")
    done = call(*words, "--jobs", 1, folder=tmp_path)
    assert done.exception is None
    found = json.loads(done.stdout)
    written = json.loads((tmp_path / found["path"] / "localization.json").read_text())
    assert found["variants"] == written["variants"]
    assert {"corr", "mae", "median", "max", "shift", "per_step"} <= found["drift"].keys()
    assert (found["variants"][0]["name"], found["variants"][0]["match"]) == ("gelu: tanh", True)
    effective = [v for v in found["variants"] if v["drift"]["rms"] != 0]
    residuals = [v["residual"] for v in effective if isinstance(v["residual"], float)]
    assert residuals == sorted(residuals)
    assert found["variants"][0]["drift"]["mae"] == pytest.approx(drift(PipelineBench(plan).base, there).mae)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("network",), "'network' is no pipeline; write 'decoder' for the bundled one, or a Python file"),
        (("none.py",), "none.py: no such model file"),
        (("decoder", "--weights", "none.safetensors"), "none.safetensors: "),
        (("decoder", "--pairs"), "--pairs needs --observed"),
        (("decoder", "--observed", "none.npz"), "--observed: 'none.npz' is no file, and no figures"),
        (("decoder", "--observed", "coor=1"), "did you mean 'corr'?"),
        (("decoder", "--frames", "9:3"), "'9:3' is no range"),
        (("decoder", "--b", "cupy:cpu"), "unknown backend 'cupy'"),
    ],
)
def test_wrong_use_is_one_line(tmp_path, words, message):
    done = call(*words, folder=tmp_path)
    assert message in str(done.exception)
    assert not list(tmp_path.glob("reports/*"))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "is no JSON"),
        ("[1]", "a config is an object of settings, not a list"),
        ('{"ode_step": 3}', "'ode_step' is no setting; did you mean 'ode_steps'?"),
        ('{"ode_steps": 0}', "'ode_steps' is 0; it is a number from 1 to"),
        ('{"ode_steps": 2.5}', "'ode_steps' is 2.5; it is a whole number"),
        ('{"t_scheduler": "sine"}', "'t_scheduler' is 'sine'; it is 'cosine' or 'linear'"),
        ('{"attention_head_dim": 7}', "no multiple of the head width 7"),
    ],
)
def test_a_wrong_config_is_one_line(tmp_path, content, message):
    (tmp_path / "config.json").write_text(content)
    done = call("decoder", "--config", tmp_path / "config.json", folder=tmp_path)
    assert message in str(done.exception)


def test_a_checkpoints_prefix_is_found_and_two_are_refused(tmp_path):
    from opfuzz.network.pipeline.decoder_files import drawn_weights, read_weights

    weights = drawn_weights(0)
    save_file(
        {f"flow.decoder.estimator.{n}": w for n, w in weights.items()} | {"other": np.zeros(1)},
        tmp_path / "c.safetensors",
    )
    assert read_weights(tmp_path / "c.safetensors").keys() == weights.keys()
    save_file({f"{p}.{n}": w for p in "ab" for n, w in weights.items()}, tmp_path / "d.safetensors")
    with pytest.raises(OpfuzzError, match="2 decoders in it"):
        read_weights(tmp_path / "d.safetensors")
    save_file({"x": np.zeros(1)}, tmp_path / "e.safetensors")
    with pytest.raises(OpfuzzError, match="no decoder in it"):
        read_weights(tmp_path / "e.safetensors")
