"""Functions of one's own, which specs may call beside the framework's; their reproducers run by themselves."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from bundles import written

from opfuzz.backends import Subject, derive, discover, perform
from opfuzz.core.call import Call
from opfuzz.core.errors import OpfuzzError, SpecError
from opfuzz.engine.plan import vocabulary
from opfuzz.spec import load

PLUGIN = """
import math
import numpy as np
from opfuzz.backends import derive

FACTOR = 3.0


def factor(x: np.ndarray) -> float:
    return FACTOR


def triple(x, power: int = 1):
    return x * np.float32(factor(x) ** power)


def off(x, power: int = 1):
    return triple(x, power) + np.float32(math.sqrt(4.0))


exec("def sourceless(x):\\n    return x * 3 + 5")

BACKENDS = [
    derive("numpy", name="good", publish={"mylib.triple": triple}),
    derive("numpy", name="off", publish={"mylib.triple": off}),
    derive("numpy", name="hidden", publish={"mylib.triple": sourceless}),
]
"""
SPEC = """
op: triple
summary: Three times x.
formats: [float32]
dims: {n: 1..}
inputs: {x: {shape: [n], regimes: [normal]}}
output: {shape: [n]}
calls: {numpy: mylib.triple(x)}
reference: 3 * x
"""


@pytest.fixture
def files(tmp_path: Path):
    (tmp_path / "mine.py").write_text(PLUGIN)
    (tmp_path / "triple.yaml").write_text(SPEC)
    return tmp_path / "mine.py", tmp_path / "triple.yaml"


def call_of(*values: float) -> Call:
    return Call("float32", {"n": len(values)}, {}, {"x": np.array(values, np.float32)}, {"x": "contiguous"})


def test_a_spec_calls_them_where_they_are_published(files):
    plugin, path = files
    backends = discover([plugin])
    spec = load(path, vocabulary(backends))
    made = {}
    for name in ("good", "off", "numpy"):
        program = spec.calls["numpy"][""]
        made[name] = perform(backends[name], Subject(name, "cpu"), program, call_of(1, 2), {"": (2,)})
    assert made["good"].outputs[0].tolist() == [3, 6]
    assert made["off"].outputs[0].tolist() == [5, 8]
    assert made["numpy"].status == "unsupported"
    assert made["numpy"].cause.figures["words"] == "numpy publishes no mylib.triple"
    with pytest.raises(SpecError, match=r"unknown function 'mylib.triple'"):
        load(path, vocabulary(discover()))


def test_of_a_derived_one_they_can_be_replaced_again():
    first = derive("numpy", "first", publish={"mylib.f": abs, "mylib.g": abs})
    second = derive(first, "second", replace={"mylib.f": max, "np.abs": min}, publish={"mylib.h": len})
    functions = second.functions()
    assert [functions[name] for name in ("mylib.f", "mylib.g", "mylib.h", "np.abs")] == [max, abs, len, min]
    assert second.replaced == {"mylib.f", "mylib.g", "mylib.h", "np.abs"}
    assert first.functions()["mylib.f"] is abs


@pytest.mark.parametrize(
    ("name", "function", "words"),
    [
        ("np.abs", abs, "numpy publishes 'np.abs' itself; name it in 'replace'"),
        ("mylib._f", abs, "of words that do not begin with '_'"),
        ("__import__", __import__, "of words that do not begin with '_'"),
        ("mylib.f(x)", abs, "specs cannot call 'mylib.f\\(x\\)'"),
        (".to", abs, "specs cannot call '.to'"),
        ("mylib.lambda", abs, "specs cannot call"),
        ("mylib.ö", abs, "specs cannot call"),
        ("", abs, "specs cannot call ''"),
        ("float32", abs, "publish it as 'mylib.float32'"),
        ("mylib.f", 3, "'mylib.f' is published as a int, not a function"),
        ("mylib.os", __import__("os"), "is published as a module, not a function"),
    ],
)
def test_what_no_spec_could_call_is_refused(name, function, words):
    with pytest.raises(OpfuzzError, match=words):
        derive("numpy", "mine", publish={name: function})


ALONE = "import runpy, sys; sys.modules['opfuzz'] = None; runpy.run_path(sys.argv[1])"


def run(path: Path, *, has_opfuzz: bool):
    command = [sys.executable, "-c", "import runpy, sys; runpy.run_path(sys.argv[1])"] if has_opfuzz else None
    command = command or [sys.executable, "-c", ALONE]
    return subprocess.run([*command, str(path)], capture_output=True, text=True, cwd=path.parent, check=False)


def test_a_reproducer_carries_their_source(files, tmp_path):
    plugin, path = files
    written(tmp_path / "bundle", call_of(1, 2), "off:cpu", (plugin,), path)
    done = run(tmp_path / "bundle" / "repro.py", has_opfuzz=False)
    assert done.returncode == 1, done.stderr
    assert "exact    3.0" in done.stdout
    assert "computed 5.0" in done.stdout


def test_a_reproducer_without_their_source_loads_the_plugin_and_says_so(files, tmp_path):
    plugin, path = files
    written(tmp_path / "bundle", call_of(1, 2), "hidden:cpu", (plugin,), path)
    text = (tmp_path / "bundle" / "repro.py").read_text()
    assert "The source of mylib.triple is not at hand: the plugin itself is loaded, which needs opfuzz." in text
    assert repr(str(plugin)) in text
    done = run(tmp_path / "bundle" / "repro.py", has_opfuzz=True)
    assert done.returncode == 1, done.stderr
    assert "computed 8.0" in done.stdout
    assert run(tmp_path / "bundle" / "repro.py", has_opfuzz=False).returncode == 2
