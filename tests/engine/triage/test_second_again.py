"""A bundle of a second cause is made again for that cause: it is fixed when that is, whatever the first does."""

from __future__ import annotations

import pytest
from bundles import square_call, written

from opfuzz.backends import Subject, discover
from opfuzz.core.cause import Cause
from opfuzz.core.errors import OpfuzzError
from opfuzz.core.findings import Apart
from opfuzz.engine.calls import Asked, judge
from opfuzz.engine.plan import vocabulary
from opfuzz.engine.triage.replay import told_apart
from opfuzz.store.bundle import read_bundle
from opfuzz.store.write import to_json

PLUGIN = """
import numpy as np
from opfuzz.backends import derive

def both(x):
    made = np.square(x) + np.square(x) * np.float32(2.0**-12)
    made[..., 3:] = 7
    return made

def first(x):
    return np.square(x) + np.square(x) * np.float32(2.0**-12)

BACKENDS = [derive("numpy", f.__name__, {"np.square": f}) for f in (both, first)]
"""
HALF = Cause("computes-in", "float16", figures={"instead_of": "float32", "elements": 8})
APART = Apart(Cause("unexplained"), HALF)


@pytest.fixture
def bundle(tmp_path):
    (tmp_path / "faulty.py").write_text(PLUGIN)
    plugins = (tmp_path / "faulty.py",)
    call = square_call((1.5, -0.3, 2.0, 0.7))
    written(tmp_path / "bundle", call, "both:cpu", plugins, apart=to_json(APART))
    return read_bundle(tmp_path / "bundle", vocabulary(discover())), discover(plugins)


def test_what_tells_it_from_the_first_is_read(bundle):
    found, backends = bundle
    assert found.apart == APART
    asked = Asked(found.call, apart=told_apart(found))
    words = [
        judge(found.spec, Subject.parse(f"{name}:cpu"), backends[name], asked).score.verdict
        for name in ("both", "first")
    ]
    assert words == ["wrong", "stable"]


@pytest.mark.parametrize("wrong", ["x", {"cause": None, "beside": None}, {"cause": to_json(HALF)}])
def test_what_tells_nothing_is_damage(wrong, tmp_path):
    written(tmp_path / "bundle", square_call(), "numpy:cpu", verdict="wrong", apart=wrong)
    with pytest.raises(OpfuzzError, match=r"not a cause|not an object"):
        read_bundle(tmp_path / "bundle", vocabulary(discover()))
