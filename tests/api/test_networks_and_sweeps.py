"""Models and sweeps from Python: what was planted is found, and nothing is asked for in a file."""

from __future__ import annotations

import numpy as np
import pytest

import opfuzz
from opfuzz import OpfuzzError

torch = pytest.importorskip("torch")
INPUTS = (np.random.default_rng(0).standard_normal((3, 8)).astype(np.float32),)


class Block(torch.nn.Module):
    """A layer, a norm and a layer."""

    def __init__(self, eps: float) -> None:
        super().__init__()
        self.first, self.norm, self.last = torch.nn.Linear(8, 8), torch.nn.LayerNorm(8, eps), torch.nn.Linear(8, 4)

    def forward(self, x):
        return self.last(self.norm(torch.nn.functional.gelu(self.first(x))))


@pytest.fixture(scope="module")
def pair():
    torch.manual_seed(0)
    a, b = Block(1e-5), Block(1e-2)
    b.load_state_dict(a.state_dict())
    return a, b


def test_the_guilty_module_is_named(pair):
    a, b = pair
    found = opfuzz.trace(a, b, INPUTS)
    assert found.guilty == ("norm",)
    assert "eps is 1e-05 in a and 0.01 in b" in str(found)
    assert ">first guilty: norm" in found._repr_html_()
    assert opfuzz.trace(a, a, INPUTS).guilty == ()
    nothing = str(opfuzz.trace(a, a, np.full_like(INPUTS[0], np.nan))).splitlines()[0]
    assert nothing == "no module is guilty: the outputs could not be compared; 0 modules clean"


def test_what_explains_a_drift_is_named(pair):
    a, b = pair
    with torch.no_grad():
        observed = b(torch.tensor(INPUTS[0])).numpy()
    found = opfuzz.localize(a, INPUTS, observed, b="torch:cpu")
    best = found.record.variants[0]
    assert (best.place, best.match) == ("norm", True)
    assert "eps is 0.01" in " ".join(found.verdict)
    assert "layer_norm: eps-0.01" in str(found)


def test_mistakes_about_models(pair):
    a, b = pair
    with pytest.raises(OpfuzzError, match=r"^opfuzz\.trace: 'a' is of type int; it must be a torch\.nn\.Module"):
        opfuzz.trace(3, b, INPUTS)
    with pytest.raises(OpfuzzError, match=r"^opfuzz\.localize: there is no 'inputs'"):
        opfuzz.localize(a, b="torch:cpu")
    with pytest.raises(OpfuzzError, match=r"^observed has the shape \[3, 8\], the output \[3, 4\]$"):
        opfuzz.localize(a, INPUTS, INPUTS[0], b="torch:cpu")
    with pytest.raises(OpfuzzError, match="did you mean 'corr'"):
        opfuzz.localize(a, INPUTS, {"core": 0.9}, b="torch:cpu")
    with pytest.raises(OpfuzzError, match=r"^--observed: 'corr' is '1\.5', which it cannot be$"):
        opfuzz.localize(a, INPUTS, {"corr": np.float64(1.5)}, b="torch:cpu")
    with pytest.raises(OpfuzzError, match=r"^--observed: 'max' is 'of type int', which it cannot be$"):
        opfuzz.localize(a, INPUTS, {"max": 10**5000}, b="torch:cpu")
    for frames in ((5, 2), (0,), "ab", (-1, 3)):
        with pytest.raises(OpfuzzError, match=r"^frames is .*; give two whole numbers"):
            opfuzz.localize(a, INPUTS, INPUTS[0], b="torch:cpu", frames=frames)


def test_a_sweep_has_every_input_of_a_half_format(tmp_path):
    found = opfuzz.sweep("square", "numpy:cpu", "float16", out=tmp_path, jobs=1)
    assert found.document["inputs"] == 2**16
    assert found.max_ulp <= 0.5
    assert found.path.parent == tmp_path
    assert opfuzz.sweep("square", "numpy:cpu", "float16", out=tmp_path, jobs=1).document == found.document


def test_mistakes_about_sweeps(tmp_path):
    mistakes = {
        "format 'bfloat' is unknown; did you mean 'bfloat16'?": ("square", "numpy:cpu", "bfloat", {}),
        "unknown op 'sqare'; did you mean 'square'?": ("sqare", "numpy:cpu", "float16", {}),
    }
    for message, (op, subject, fmt, params) in mistakes.items():
        with pytest.raises(OpfuzzError) as found:
            opfuzz.sweep(op, subject, fmt, params=params, out=tmp_path)
        assert str(found.value) == message
    with pytest.raises(OpfuzzError, match=r"'square' has no parameter 'eps'$"):
        opfuzz.sweep("square", "numpy:cpu", "float16", params={"eps": 1.0}, out=tmp_path)
    with pytest.raises(OpfuzzError, match=r"^sample is -5; give a whole number from 0$"):
        opfuzz.sweep("square", "numpy:cpu", "float16", sample=-5, out=tmp_path)
    with pytest.raises(OpfuzzError, match=r"^jobs is 0; give a whole number from 1$"):
        opfuzz.sweep("square", "numpy:cpu", "float16", jobs=0, out=tmp_path)
    with pytest.raises(OpfuzzError, match=r"^float64 has 2\^64 inputs"):
        opfuzz.sweep("square", "numpy:cpu", "float64", sample=1000, out=tmp_path)
