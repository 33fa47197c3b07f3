"""Backends from plugin files, derived ones, and the messages for files that are wrong."""

from __future__ import annotations

import subprocess
import sys
from importlib import metadata

import numpy as np
import pytest

from opfuzz.backends import Backend, Subject, derive, discover, not_spoken
from opfuzz.backends.numpy import Numpy
from opfuzz.core.errors import OpfuzzError
from opfuzz.engine.plan import calls_of, dialects_of, load_specs, vocabulary

GOOD = """
from opfuzz.backends import derive

def doubled(x):
    return x + x

BACKENDS = [derive("numpy", name="bad", replace={"np.abs": doubled})]
"""

SPEC = """
op: {op}
summary: x
formats: [float32]
dims: {{n: 1..}}
inputs: {{x: {{shape: [n]}}}}
output: {{shape: [n]}}
calls: {{{calls}}}
reference: exp(x)
"""

BUILT_IN = ["torch", "mlx", "numpy", "jax", "onnxruntime", "openvino", "coreml"]


def test_built_in():
    exported = dict.fromkeys(("onnxruntime", "openvino", "coreml"), "torch")
    own = {name: name for name in ("torch", "mlx", "numpy", "jax")}
    assert {name: backend.dialect for name, backend in discover().items()} == {**own, **exported}
    assert list(discover()) == BUILT_IN


def test_importing_imports_no_framework():
    program = (
        "import sys, opfuzz.backends as b; b.discover(); b.Subject.parse('torch:cpu');"
        "import opfuzz.engine.executors.pool, opfuzz.engine.executors.inline;"
        "print([m for m in ('torch', 'mlx', 'mlx.core', 'jax') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_plugin(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text(GOOD)
    backend = discover([path])["bad"]
    assert backend.dialect == "numpy"
    assert backend.functions()["np.abs"](3) == 6
    assert backend.functions()["np.exp"] is np.exp
    assert discover()["numpy"].functions()["np.abs"] is np.abs


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x = 1\n", ": plugin has no list BACKENDS; write BACKENDS = [derive('torch', name=..., ...)]"),
        ("BACKENDS = 3\n", ": BACKENDS is a int; it must be a list of Backend objects"),
        ("BACKENDS = ['x']\n", ": BACKENDS holds a str; it must hold Backend objects"),
        (
            "from opfuzz.backends.numpy import Numpy\nBACKENDS = [Numpy]\n",
            ": BACKENDS holds the class Numpy; call it; it must hold Backend objects",
        ),
        ("x = 1\n1 / 0\n", ":2: plugin raised ZeroDivisionError: division by zero"),
        ("import sys\n\nsys.exit(4)\n", ":3: plugin raised SystemExit: 4"),
        ("x = (\n", ":1: plugin is not valid Python: '(' was never closed"),
        (GOOD.replace('"bad"', '"torch"'), ": the backend name 'torch' is taken; give the new one another name"),
    ],
)
def test_wrong_plugins(tmp_path, text, message):
    path = tmp_path / "mine.py"
    path.write_text(text)
    with pytest.raises(OpfuzzError) as caught:
        discover([path])
    assert str(caught.value) == f"{path}{message}"


def test_missing_plugin(tmp_path):
    with pytest.raises(OpfuzzError, match=r"nothing\.py: no such plugin file"):
        discover([tmp_path / "nothing.py"])


def test_derive_refuses_unknown_words():
    with pytest.raises(OpfuzzError, match=r"^bad: numpy publishes no 'np\.exq'; did you mean 'np\.exp'\?$"):
        derive("numpy", name="bad", replace={"np.exq": abs})
    with pytest.raises(OpfuzzError, match=r"^bad: derived from unknown backend 'nunpy'; did you mean 'numpy'\?$"):
        derive("nunpy", name="bad", replace={})


@pytest.mark.parametrize("name", ["", "a b", "a:b", "a/b", "a\n"])
def test_derive_refuses_names_that_no_subject_can_have(name):
    with pytest.raises(OpfuzzError, match=r"is no backend name; write letters, digits, '_', '\.' and '-' only$"):
        derive("numpy", name=name, replace={})
    assert derive("numpy", name="my-numpy_2.1", replace={}).name == "my-numpy_2.1"


def test_derive_refuses_what_is_no_function():
    with pytest.raises(OpfuzzError, match=r"^bad: 'np\.abs' is replaced by a float, not a function$"):
        derive("numpy", name="bad", replace={"np.abs": 1.5})


def test_derive_again_keeps_what_was_replaced():
    first = derive("numpy", name="first", replace={"np.abs": abs})
    second = derive(first, name="second", replace={"np.exp": max})
    assert (second.name, second.functions()["np.abs"], second.functions()["np.exp"]) == ("second", abs, max)


def test_entry_points(monkeypatch):
    entries = [
        metadata.EntryPoint("numpy", "opfuzz.backends.numpy:Numpy", "opfuzz.backends"),
        metadata.EntryPoint("wrong", "os:getcwd", "opfuzz.backends"),
    ]
    monkeypatch.setattr(metadata, "entry_points", lambda group: entries[:1])
    assert list(discover()) == BUILT_IN
    monkeypatch.setattr(metadata, "entry_points", lambda group: entries)
    with pytest.raises(OpfuzzError, match="entry point 'wrong = os:getcwd' is a builtin_function_or_method"):
        discover()


def test_absent_frameworks_say_what_to_do(monkeypatch):
    for name in ("torch", "mlx.core", "jax"):
        monkeypatch.setitem(sys.modules, name, None)
    absent = {name: backend.absent() for name, backend in discover().items()}
    assert absent["numpy"] is None
    assert absent["torch"] == "torch: not installed: pip install torch"
    assert absent["mlx"] == "mlx: not installed; needs macOS on Apple silicon or Linux: pip install 'opfuzz[mlx]'"
    assert absent["jax"] == "jax: not installed: pip install 'opfuzz[jax]'"
    assert isinstance(derive("torch", name="bad", replace={"torch.no_such": abs}), Backend)


def test_a_plugin_may_have_the_name_of_what_cannot_be_used_here(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "coremltools", None)
    path = tmp_path / "mine.py"
    path.write_text("from opfuzz.backends import derive\nBACKENDS = [derive('numpy', name='coreml')]\n")
    assert discover((path,))["coreml"].dialect == "numpy"
    path.write_text("from opfuzz.backends import derive\nBACKENDS = [derive('numpy', name='numpy')]\n")
    with pytest.raises(OpfuzzError, match="the backend name 'numpy' is taken"):
        discover((path,))


class Several(Numpy):
    """One that has a dialect of its own, and reads NumPy's calls where there is no call in it."""

    dialects = ("several", "numpy")

    def published(self):
        return {**super().published(), "own.exp": np.exp}


def test_the_first_dialect_that_a_spec_has_is_read(tmp_path):
    (tmp_path / "both.yaml").write_text(SPEC.format(op="both", calls="numpy: np.exp(x), several: own.exp(x)"))
    (tmp_path / "one.yaml").write_text(SPEC.format(op="one", calls="numpy: np.exp(x)"))
    (tmp_path / "none.yaml").write_text(SPEC.format(op="none", calls="torch: torch.exp(x)"))
    backends = {"several": Several(), "numpy": Numpy()}
    known = dialects_of(["several:cpu"], backends)
    assert known == {"several", "numpy"}
    specs = {spec.op: spec for spec in load_specs([tmp_path], {**discover(), **backends}, dialects=known)}
    texts = {op: calls_of(spec, Subject("several", "cpu"), backends["several"]) for op, spec in specs.items()}
    assert {op: program and program.text.strip() for op, (program,) in ((o, t.values()) for o, t in texts.items())} == {
        "both": "own.exp(x)",
        "one": "np.exp(x)",
        "none": None,
    }
    assert not_spoken(backends["several"]).figures["words"] == "the spec has no call for the dialect several or numpy"


def test_a_dialect_has_what_is_published_by_those_whose_own_it_is():
    words = vocabulary({"several": Several(), "numpy": Numpy()}).dialects
    assert "own.exp" in words["several"]
    assert "np.exp" in words["several"]
    assert "own.exp" not in words["numpy"]
