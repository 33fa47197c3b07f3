"""A run around the operating points of a pipeline: its drift column, and findings that need no profile any more."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from bundled_ops import BUNDLED_OPS
from small_campaigns import SPECS, plugin

from opfuzz import cli
from opfuzz.backends import discover
from opfuzz.cli.group import profile_path
from opfuzz.core.case import Case
from opfuzz.core.floats import FLOAT32, ulp
from opfuzz.engine.campaign import run
from opfuzz.engine.plan import Plan, load_specs
from opfuzz.generate import draw, draw_near
from opfuzz.spec.profile import PROBABILITIES, OperatingPoint, Profile, Values, write_profile
from opfuzz.spec.profile_reader import read_profile

GAIN = 1e-9
SEVEN = Values((0.7,) * len(PROBABILITIES), 0.7, 0.0)
PROFILE = Profile("two squares", (OperatingPoint("square", 4, {"n": 1}, {}, {"x": SEVEN}),), {"square": GAIN})


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a run of the faulty square and of the honest one."""
    folder = tmp_path_factory.mktemp("run")
    (folder / "squares.yaml").write_text(write_profile(PROFILE))
    words = ["run", SPECS, "--subjects", "off:cpu,numpy:cpu", "--plugin", plugin(folder), "--cases", "24"]
    words += ["--profile", "squares.yaml", "--sort", "drift", "--format", "float32", "--json"]
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.chdir(folder)
        assert call(words, monkeypatch) == 1
    (run_folder,) = (e for e in (folder / "reports").iterdir() if (e / "run.json").is_file())
    return run_folder


def call(words: list[object], monkeypatch: pytest.MonkeyPatch) -> object:
    """Exit status of `opfuzz` in this process."""
    monkeypatch.setattr(sys, "argv", ["opfuzz", *map(str, words)])
    with pytest.raises(SystemExit) as done:
        cli.main()
    return done.value.code


def test_the_drift_column(report: Path) -> None:
    ranking = json.loads((report / "run.json").read_text())["ranking"]
    rows = {(row["op"], row["subject"]): row["drift"] for row in ranking}
    # The faulty square is 0.001 too large as a share of itself, which is 0.001 * 2^23 to 0.001 * 2^24 ulps.
    assert 0.001 * 2**23 * GAIN < rows["square", "off:cpu"] < 0.001 * 2**24 * GAIN
    assert 0 <= rows["square", "numpy:cpu"] <= 0.5 * GAIN
    assert {drift for (op, _), drift in rows.items() if op == "mean"} == {None}, "the profile does not know it"


def test_run_json_names_the_profile(report: Path) -> None:
    document = json.loads((report / "run.json").read_text())
    assert document["profile"] == "two squares"
    assert all("drift" in row for row in document["ranking"])
    assert "drift" in (report / "report.md").read_text().split("## Findings")[0]


def test_a_finding_repeats_without_the_profile(report: Path) -> None:
    places = [path.parent for path in report.glob("findings/*/case.json")]
    near = 0
    for place in places:
        case = Case.from_json(json.loads((place / "case.json").read_text()))
        near += any(regime.startswith("quantiles(") for regime in case.regimes.values())
        shown = subprocess.run([sys.executable, "-I", place / "repro.py"], check=False, capture_output=True)
        assert shown.returncode == 1
    assert near >= 1


def test_every_worker_draws_the_cases_that_are_written() -> None:
    plan = Plan(load_specs([SPECS], discover()), ("numpy:cpu",), 0, 2, ("float32",), cases=20, profile=PROFILE)
    square = next(spec for spec in plan.specs if spec.op == "square")
    cases = [plan.case("square", "float32", number) for number in range(20)]
    assert cases == [draw(square, "float32", 0, number, PROFILE) for number in range(20)]
    (row,) = (row for row in run(plan).ranking.rows() if row.op == "square")
    assert row.elements == sum(case.dims["n"] for case in cases)


PIPELINE = """
import numpy as np


def pipeline(run, weights, inputs):
    squares = run("square", x=inputs["x"])
    return run("mean", x=np.stack([squares, 2 * squares]))[:, 0]


def example(seed):
    return {}, {"x": np.random.default_rng(seed).normal(size=30).astype(np.float32)}
"""


def test_a_pipeline_is_profiled_and_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    Path("net.py").write_text(PIPELINE)
    words = ["profile", "net.py", "--specs", SPECS, "--subject", "numpy:cpu", "--seed", "3", "-o", "net.yaml"]
    assert call(words, monkeypatch) == 0
    found = read_profile(Path("net.yaml"))
    assert [(point.op, point.count, point.dims) for point in found.points] == [
        ("square", 1, {"n": 30}),
        ("mean", 1, {"a": 2, "n": 30}),
    ]
    # The output is m and 2m: off by one ulp each, with std m/2.
    m = np.mean(np.random.default_rng(3).normal(size=30) ** 2)
    off = ulp(np.array([m, 2 * m]), FLOAT32)
    assert found.gains["mean"] == pytest.approx(np.sqrt(np.mean(off**2)) / (m / 2), rel=1e-3)
    assert 0 < found.gains["square"] < found.gains["mean"], "a mean of thirty averages errors out"
    assert capsys.readouterr().out == ""
    assert call([*words[:-2], "--json"], monkeypatch) == 2
    assert call(words[:-2], monkeypatch) == 0
    assert capsys.readouterr().out == Path("net.yaml").read_text()


def test_the_profile_that_comes_along_fits_the_specs_that_do() -> None:
    profile = read_profile(profile_path("decoder"), BUNDLED_OPS.values())
    assert profile.name == "decoder"
    assert {point.op for point in profile.points} == profile.gains.keys() <= BUNDLED_OPS.keys()
    for op in profile.gains:
        cases = [draw_near(BUNDLED_OPS[op], "float32", 0, number, profile) for number in range(12)]
        assert any(case is not None for case in cases)


def test_a_file_goes_before_the_profile_that_comes_along(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert profile_path("decoder").name == "decoder.yaml"
    Path("decoder").write_text("")
    assert profile_path("decoder") == Path("decoder")
    assert profile_path("missing.yaml") == Path("missing.yaml")
