"""Mistakes in a pipeline of a user's: each is named with its line, and leaves no folder behind."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from click.testing import CliRunner

from opfuzz.cli.network.localize import localize_command
from opfuzz.core.errors import OpfuzzError

MISTAKES = {
    "1 / 0": r"mine.py:5: pipeline raised ZeroDivisionError: division by zero",
    "weights['widht']": r"mine.py:5: weights of example\(0\): there is no tensor 'widht'; did you mean 'width'\?",
    "run('sliu', x=inputs['x'])": r"mine.py:5: op 'sliu': no spec of this name; did you mean 'silu'\?",
    "run('silu', x=inputs['x'].astype(float))": r"mine.py:5: op 'silu': 'x' is float64; .* float32",
    "run('silu', x=inputs['x']).tolist()": r"mine.py: pipeline returns a list, not a NumPy array",
    "inputs['x'] * 2": r"mine.py: the pipeline calls no op through `run`",
    "run('exp', x=inputs['x'] * np.float32(1e30))": r"mine.py: 2 of 2 values of the output are NaN or infinite on",
    "run('silu', x=np.random.rand(2).astype('f'))": r"mine.py: a second run gives another output",
    "run('silu', x=np.add(inputs['x'], 1, out=inputs['x']))": r"mine.py: a second run gives another output",
    "run.record('y', 'text')": r"mine.py:5: run.record: 'y' is a str, not an array of numbers",
    "[run.record('y', W), run.record('y', W)]": r"mine.py:5: run.record: there is a tensor 'y' already",
}
EXAMPLES = {
    "[1], [2]": r"mine.py: example must give two dicts of NumPy arrays",
    "{'width': W}": r"mine.py: example must give two dicts of NumPy arrays",
    "{'width': [1.0]}, {'x': W}": r"mine.py: example gives 'width' as a list",
    "{}['q']": r"mine.py:7: example raised KeyError: 'q'",
}
VARIANTS = {
    "3": r"mine.py: VARIANTS is a int; it must be a list",
    "['a']": r"mine.py: VARIANTS holds a str; it must hold Variant objects",
    "[Variant(1, 'b', 'c', None)]": r"mine.py: VARIANTS: name, place and note of 1 must be text",
    "[Variant('a', 'b', 'c', lambda setup: None)]": r"mine.py: variant 'a \(b\)' plants a NoneType; it must return",
    "[Variant('a', 'b', 'c', lambda setup: 1 / 0)]": r"mine.py:8: variant 'a \(b\)' raised ZeroDivisionError",
    "[Variant('a', 'b', 'c', lambda s: replace(s, pipeline=lambda *g: 1 / 0))]": r"mine.py:8: variant 'a \(b\)' raised",
}
SPECS = Path(__file__).parents[3] / "specs"
ARGUMENTS = ["mine.py", "--b", "numpy:cpu", "--jobs", "1"]
ARGUMENTS += ["--specs", str(SPECS / "activation" / "silu.yaml"), "--specs", str(SPECS / "elementary" / "exp.yaml")]
RIGHT = ("run('silu', x=inputs['x'])", "{'width': W}, {'x': W}", "[]")


@pytest.mark.parametrize(
    ("returned", "given", "variants", "message"),
    [
        *((code, *RIGHT[1:], message) for code, message in MISTAKES.items()),
        *((RIGHT[0], code, RIGHT[2], message) for code, message in EXAMPLES.items()),
        *((*RIGHT[:2], code, message) for code, message in VARIANTS.items()),
    ],
)
def test_a_mistake_in_a_pipeline_is_named_with_its_line(tmp_path, monkeypatch, returned, given, variants, message):
    monkeypatch.chdir(tmp_path)
    Path("mine.py").write_text(
        "import numpy as np; from dataclasses import replace; from opfuzz.network.pipeline.planting import Variant\n"
        "W = np.ones(2, np.float32)\n\n"
        f"def pipeline(run, weights, inputs):\n    return {returned}\n"
        f"def example(seed):\n    return {given}\n"
        f"VARIANTS = {variants}\n"
    )
    error = CliRunner().invoke(localize_command, ARGUMENTS, standalone_mode=False).exception
    assert isinstance(error, OpfuzzError)
    assert re.match(message, str(error)), str(error)
    assert not list(Path("reports").iterdir())
