"""`opfuzz new op`: what it writes is valid and honest at once, and nothing is overwritten."""

from __future__ import annotations

import re

import pytest
from click.testing import CliRunner

from opfuzz.backends import discover
from opfuzz.cli import cli
from opfuzz.core.errors import OpfuzzError
from opfuzz.engine.campaign import run
from opfuzz.engine.plan import Plan, load_specs


def new(folder, *words: str) -> str:
    """What `opfuzz new op` prints. Raises what the command raises."""
    done = CliRunner().invoke(cli, ["new", "op", *words, "--out", str(folder)], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.output


@pytest.mark.parametrize("names", ["x", "x,weight", "a,b,some_longer_name", "torch,mx", "abs,sum", "y,no"])
def test_the_file_is_valid_with_these_inputs(tmp_path, names):
    output = new(tmp_path / "deep" / "specs", "my_op", "--inputs", names)
    path = tmp_path / "deep" / "specs" / "my_op.yaml"
    (spec,) = load_specs([path], discover())
    assert spec.op == "my_op"
    assert [given.name for given in spec.inputs] == names.split(",")
    assert set(spec.calls) == {"torch", "mlx", "numpy"}
    assert f"opfuzz check {path}" in output
    assert path.read_text().count("#") >= 5  # comments that tell what to change


@pytest.mark.parametrize("names", ["x", "a,b"])
def test_what_it_describes_is_computed_without_fault(tmp_path, names):
    new(tmp_path, "fresh", "--inputs", names)
    plan = Plan(load_specs([tmp_path / "fresh.yaml"], discover()), ("numpy:cpu",), seed=0, jobs=1, cases=12)
    ranking = run(plan).ranking
    judged = [row for row in ranking.rows() if row.verdict != "unsupported"]
    assert {row.format for row in judged} == {"float32", "float16"}
    assert {row.severity for row in judged} == {"clean"}


def test_a_file_that_is_there_is_kept_unless_forced(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text("precious")
    with pytest.raises(OpfuzzError, match=r"mine\.yaml: is already there; .* --force"):
        new(tmp_path, "mine")
    assert path.read_text() == "precious"
    new(tmp_path, "mine", "--force")
    assert path.read_text().startswith("# The op 'mine'")


@pytest.mark.parametrize("name", ["Upper", "1st", "a-b", "../up", "a b", "\x1b[31m", ""])
def test_what_is_no_name_of_an_op_is_refused(tmp_path, name):
    with pytest.raises(OpfuzzError, match="no name of an op") as caught:
        new(tmp_path, name)
    assert "\x1b" not in str(caught.value)
    assert list(tmp_path.rglob("*")) == []


@pytest.mark.parametrize("names", ["lambda", "pi", "n", "x-y", "x,x"])
def test_what_can_be_no_input_is_refused(tmp_path, names):
    with pytest.raises(OpfuzzError, match="input"):
        new(tmp_path, "op", "--inputs", names)
    assert list(tmp_path.rglob("*")) == []


def test_what_its_comments_say_of_several_outputs_is_valid(tmp_path):
    new(tmp_path, "fresh")
    text = (tmp_path / "fresh.yaml").read_text()
    (told,) = re.findall(r"`(outputs: .*?)`", text)
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    changed = "\n".join(lines).replace("output: {shape: [batch, n]}", told)
    for prefix in ("torch", "mx", "np"):
        changed = changed.replace(f"{prefix}.abs(x)", f'"({prefix}.abs(x), {prefix}.sum(x))"')
    changed = changed.replace("  abs(x)", "  (abs(x), sum(sum(x, axis=-1, keepdims=False), axis=-1, keepdims=False))")
    changed = changed.replace(
        "reference: x}", 'reference: "(x, sum(sum(x, axis=-1, keepdims=False), axis=-1, keepdims=False))"}'
    )
    (tmp_path / "fresh.yaml").write_text(changed)
    (spec,) = load_specs([tmp_path / "fresh.yaml"], discover())
    assert spec.output_shapes({"batch": 2, "n": 3}, {}) == {"y": (2, 3), "total": ()}
