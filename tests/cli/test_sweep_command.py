"""`opfuzz sweep` as a user types it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from opfuzz.cli import cli
from opfuzz.core.errors import OpfuzzError

SPECS = Path(__file__).parents[2] / "specs"
EXP = str(SPECS / "elementary" / "exp.yaml")


def opfuzz(*words, out):
    given = ["sweep", *words, "--subject", "numpy:cpu", "--jobs", "1", "--out", str(out)]
    return CliRunner().invoke(cli, given, standalone_mode=False, catch_exceptions=True)


def test_a_sweep_is_measured_kept_and_printed_again(tmp_path):
    done = opfuzz(EXP, "--format", "float16", "--json", out=tmp_path)
    assert done.exception is None
    found = json.loads(done.stdout)
    assert (found["op"], found["format"], found["inputs"]) == ("exp", "float16", 65536)
    assert {path.suffix for path in tmp_path.iterdir()} == {".jsonl", ".svg"}
    again = opfuzz(EXP, "--format", "float16", "--json", out=tmp_path)
    assert again.stdout == done.stdout
    assert "Finished before" in again.stderr
    table = opfuzz(EXP, "--format", "float16", out=tmp_path).stdout
    assert f"{found['max_ulp']:.6g}" in table
    assert found["at_hex"] in table


def test_a_sample_is_kept_apart_from_the_whole(tmp_path):
    given = (EXP, "--format", "float32", "--range", "0x3f000000:0x3f020000", "--json")
    whole, sample = (opfuzz(*given, *more, out=tmp_path) for more in ((), ("--sample", "70000")))
    assert [json.loads(each.stdout).get("sample") for each in (whole, sample)] == [None, 70000]
    assert json.loads(whole.stdout)["inputs"] == 2**17
    table = opfuzz(*given[:-1], "--sample", "70000", out=tmp_path)
    assert table.stderr.startswith("Finished before")
    assert "inputs were tried, 70000 of them spread evenly" in table.stdout
    for count in ("131072", "200000"):  # as many as there are: all
        assert "sample" not in json.loads(opfuzz(*given, "--sample", count, out=tmp_path).stdout)


def test_a_subject_without_the_format_is_said_to_be_left_out(tmp_path):
    done = opfuzz(EXP, "--format", "bfloat16", "--json", out=tmp_path)
    assert isinstance(done.exception, OpfuzzError)
    assert "numpy:cpu has no bfloat16" in done.stderr


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((EXP, "--format", "float64"), "--range"),
        ((EXP, "--format", "float16", "--range", "0x0:0x10001"), "16 bits"),
        ((EXP, "--range", "12"), "0x3f800000:0x40000000"),
        ((EXP, "--range", "10:20"), "0x3f800000:0x40000000"),
        ((EXP, "--range", "0x10:20"), "0x3f800000:0x40000000"),
        ((EXP, "--range", "0x10:0x10"), "0x3f800000:0x40000000"),
        ((EXP, "--param", "eps=1"), "no parameter 'eps'"),
        ((str(SPECS / "elementary"), "--param", "eps=1"), "no op to sweep has a parameter 'eps'"),
        ((str(SPECS / "activation"), "--op", "softmax"), "unknown op|several numbers"),
        ((str(SPECS / "norm" / "layer_norm.yaml"),), "opfuzz climb"),
    ],
)
def test_wrong_usage_names_the_remedy(tmp_path, words, message):
    with pytest.raises(Exception, match=message) as caught:  # click's own, or OpfuzzError: both are exit code 2
        raise opfuzz(*words, out=tmp_path).exception
    assert isinstance(caught.value, OpfuzzError) or type(caught.value).__module__.startswith("click")


def test_a_folder_is_swept_without_the_ops_that_cannot_be(tmp_path):
    done = opfuzz(str(SPECS / "norm"), out=tmp_path)
    assert "Left out" in done.stderr
    assert "layer_norm" in done.stderr


SCALED = """
op: scaled
summary: Times a number.
formats: [float16]
dims: {batch: 0.., n: 0..}
batch: [batch]
params: {scale: [2.0, 3.0]}
inputs:
  x: {shape: [batch, n]}
output: {shape: [batch, n]}
calls: {numpy: x * scale}
reference: x * scale
"""


def test_a_parameter_is_one_of_some_op(tmp_path):
    (tmp_path / "specs").mkdir()
    (tmp_path / "specs" / "scaled.yaml").write_text(SCALED)
    (tmp_path / "specs" / "exp.yaml").write_text(Path(EXP).read_text())
    given = (str(tmp_path / "specs"), "--format", "float16", "--range", "0x0:0x10", "--json")
    error = opfuzz(*given, "--param", "scal=3.0", out=tmp_path).exception
    assert str(error) == "--param scal=3.0: no op to sweep has a parameter 'scal'; did you mean 'scale'?"
    done = opfuzz(*given, "--param", "scale=3.0", out=tmp_path)
    assert done.exception is None
    found = {each["op"]: each["params"] for each in map(json.loads, done.stdout.splitlines())}
    assert found == {"exp": {}, "scaled": {"scale": 3.0}}
