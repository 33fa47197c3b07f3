"""Other calls than the one at fault, and exact results that several questions share."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from bundled_ops import BUNDLED_OPS

from opfuzz.backends import Subject, discover
from opfuzz.core.call import Call
from opfuzz.core.cause import UNEXPLAINED
from opfuzz.core.results import Score
from opfuzz.engine.triage import diagnose
from opfuzz.engine.triage.diagnose import Exact, Lab
from opfuzz.judge.diagnose.evidence import ordinary
from opfuzz.judge.diagnose.unlike import unlike


def evidence(op, dims, arrays, verdict="wrong", format="float32", **params):
    spec = BUNDLED_OPS[op]
    params = {param.name: params.get(param.name, param.default) for param in spec.params}
    call = Call(format, dims, params, arrays, dict.fromkeys(arrays, "contiguous"))
    lab = Lab(spec, Subject("torch", "cpu"), discover()["torch"], ())
    return lab.look(Score(verdict, UNEXPLAINED), call)


def convolution():
    x, weight = np.ones((1, 1, 4), np.float32), np.ones((1, 1, 4), np.float32)
    dims = {"n": 1, "c_in": 1, "c_out": 1, "length": 4, "k": 4}
    return evidence("conv1d", dims, {"x": x, "weight": weight})


def test_a_param_with_which_there_is_no_such_call_makes_none():
    seen = convolution()
    wide = seen.call.params | {"dilation": 8}
    assert not seen.spec.allows(seen.call.dims, wide)
    other = replace(seen, call=replace(seen.call, params=wide))
    assert ordinary(other, dims=seen.call.dims) is None
    assert isinstance(unlike(seen), tuple)  # among them longer kernels than there is room for


def test_places_that_a_smaller_table_does_not_have_are_drawn_anew():
    dims = {"length": 2, "vocab": 50000, "d": 2}
    arrays = {"index": np.array([44851, 48150]), "table": np.ones((50000, 2), np.float32)}
    seen = evidence("embedding", dims, arrays)
    made = ordinary(seen, dims={**dims, "vocab": 2})
    assert made.dims["vocab"] == 2
    assert made.arrays["index"].max() < 2
    same = ordinary(seen, dims={**dims, "d": 3})
    assert same is None or same.arrays["index"].tolist() == [44851, 48150]


def test_equal_calls_have_one_exact_result_and_the_latest_are_kept(monkeypatch):
    call = convolution().call
    exact = Exact(BUNDLED_OPS["conv1d"], 0)
    first = exact(call)
    view = Call(call.format, call.dims, call.params, dict(call.arrays), dict.fromkeys(call.arrays, "reversed"))
    assert exact(view) is first
    other = call.with_arrays({"x": 2 * call.arrays["x"]})
    assert exact(other).truth.hi.ravel()[0] == 2 * first.truth.hi.ravel()[0]
    assert exact(call) is first
    monkeypatch.setattr(diagnose, "KEPT", 12)  # one call has 8 elements
    assert exact(other) is not first
    assert exact(call) is not first


@pytest.mark.parametrize("verdict", ["wrong", "special"])
def test_what_is_known_of_a_call_is_known_where_more_is_granted(verdict):
    x = np.array([[1.0, np.nan, 3.0]], np.float16)
    seen = evidence("softmax", {"batch": 1, "n": 3}, {"x": x}, verdict, "float16")
    assert seen.judged is not None
    lenient = seen.lenient()
    assert lenient.judged is seen.judged
    assert lenient.reference is seen.reference
    assert lenient.is_lenient
    assert not seen.is_lenient
    assert (lenient.excess <= seen.excess).all()
    assert all(each.is_lenient for each in lenient.others)
    assert len(lenient.others) == len(seen.others)
