"""`opfuzz new op`: what it writes is valid and honest at once, and nothing is overwritten."""

from __future__ import annotations

import json
import re

import pytest
from click.testing import CliRunner

from opfuzz.backends import discover
from opfuzz.cli import cli
from opfuzz.core.errors import OpfuzzError
from opfuzz.engine.campaign import run
from opfuzz.engine.plan import Plan, load_specs
from opfuzz.spec import json_schema


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
    assert path.read_text().startswith("# yaml-language-server: $schema=opfuzz.schema.json\n# The op 'mine'")
    assert json.loads((path.parent / "opfuzz.schema.json").read_text()) == json_schema()


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


DRAFTS = {
    "torch.nn.functional.elu(x, alpha)": ("elu", {"x": "batch n"}, {"alpha": 1.0}, ["batch n"], "torch"),
    "torch.nn.functional.layer_norm(x, [n], w, b, eps)": (
        "layer_norm", {"x": "batch n", "w": "n", "b": "n"}, {"eps": 1e-05}, ["batch n"], "torch",
    ),
    "torch.nn.functional.conv1d(x, w, b)": (
        "conv1d", {"x": "batch m n", "w": "m m k", "b": "m"}, {}, ["batch m n - k + 1"], "torch",
    ),
    "torch.sum(x, dim)": ("sum", {"x": "batch n"}, {"dim": -1}, ["batch"], "torch"),
    "torch.aminmax(x)": ("aminmax", {"x": "batch n"}, {}, ["", ""], "torch"),
    "torch.exp(x.float()).to(dtype)": ("exp", {"x": "batch n"}, {}, ["batch n"], "torch"),
    "mx.fast.rms_norm(x, w, eps)": ("rms_norm", {"x": "batch n", "w": "n"}, {"eps": 1e-05}, ["batch n"], "mlx"),
    "nn.elu(x, alpha)": ("elu", {"x": "batch n"}, {"alpha": 1.0}, ["batch n"], "mlx"),
    "np.clip(x, low, high)": (
        "clip", {"x": "batch n", "low": "batch n", "high": "batch n"}, {}, ["batch n"], "numpy",
    ),
}  # fmt: skip


@pytest.mark.parametrize("call", DRAFTS)
def test_a_draft_has_what_fits_the_call(tmp_path, call):
    op, inputs, params, outputs, dialect = DRAFTS[call]
    if reason := discover()[dialect].absent():
        pytest.skip(reason)
    new(tmp_path, "--from-call", call)
    (spec,) = load_specs([tmp_path / f"{op}.yaml"], discover())
    assert spec.op == op
    assert {given.name: " ".join(axis.text for axis in given.shape) for given in spec.inputs} == inputs
    assert {param.name: param.default for param in spec.params} == params
    assert [" ".join(axis.text for axis in output.shape) for output in spec.outputs] == outputs
    assert spec.calls[dialect][""].text.strip() == call
    assert set(spec.formats) >= {"float32", "float16"}
    assert spec.batch == (("batch",) if any("batch" in output for output in outputs) else ())


@pytest.mark.parametrize(
    ("call", "reference"),
    [("torch.softmax(x, dim=-1)", "softmax(x, axis=-1)"), ("torch.nn.functional.elu(x, alpha)", "zeros((batch, n))")],
)
def test_a_reference_is_proposed_where_it_gives_the_same(tmp_path, call, reference):
    new(tmp_path, "mine", "--from-call", call)
    text = (tmp_path / "mine.yaml").read_text()
    assert text.endswith(f"reference: |\n  {reference}\n")
    assert ("Fill it in" in text) == (reference.startswith("zeros"))


@pytest.mark.parametrize(
    ("call", "words"),
    [
        ("torch.nn.functional.ellu(x)", "did you mean 'torch.nn.functional.elu'?"),
        ("mx.sotfmax(x)", "did you mean 'mx.softmax'?"),
        ("np.absolut(x)", "unknown function 'np.absolut'"),
        ("trch.exp(x)", "nobody publishes 'trch'; did you mean 'torch'?"),
        ("torch.os.system(x)", "unknown function 'torch.os.system'"),
        ("torch.load(x)", "unknown function 'torch.load'"),
        ("__import__('os').system(x)", "nobody publishes '__import__'"),
        ("torch.exp(x, out=x)", "keyword 'out' is not allowed"),
        ("torch.exp(x).tofile(x)", "'.tofile' is a method of a value"),
        ("torch.exp(", "was never closed"),
        ("torch.exp(2)", "it takes no array"),
        ("x + 1", "calls nothing"),
        ("torch.argmax(x)", "returns int64, and an op returns the format under test; cast what it returns"),
        ("torch.fft.fft(x)", "returns complex64, and an op returns the format under test; give torch.view_as_real"),
        ("torch.linalg.det(x, y, z)", "fails with arrays of every shape that was tried; first: TypeError"),
    ],
)
def test_a_call_of_which_there_is_no_draft_is_told(tmp_path, call, words):
    with pytest.raises(OpfuzzError) as caught:
        new(tmp_path, "--from-call", call)
    assert words in str(caught.value)
    assert not [*tmp_path.iterdir()]


def test_a_draft_needs_no_name_and_takes_no_inputs(tmp_path):
    with pytest.raises(OpfuzzError, match="missing NAME"):
        new(tmp_path)
    with pytest.raises(OpfuzzError, match="leave --inputs out"):
        new(tmp_path, "mine", "--from-call", "torch.exp(x)", "--inputs", "x")


def test_a_draft_of_a_function_that_a_plugin_publishes(tmp_path):
    (tmp_path / "mine.py").write_text(
        "from opfuzz.backends import derive\n\n\ndef half(x, factor=0.5):\n    return x * factor\n\n\n"
        "BACKENDS = [derive('numpy', 'mine', publish={'mylib.half': half})]\n"
    )
    new(tmp_path / "specs", "--from-call", "mylib.half(x, factor)", "--plugin", str(tmp_path / "mine.py"))
    text = (tmp_path / "specs" / "half.yaml").read_text()
    assert "params: {factor: [0.5]}" in text
    assert "numpy: |\n    mylib.half(x, factor)" in text
