"""Limits at infinity of the activations, as mathematics has them."""

import math

import numpy as np
import pytest
from bundled_ops import BUNDLED_OPS

from opfuzz.core.call import Call
from opfuzz.oracle import graph
from opfuzz.oracle.limits import limit
from opfuzz.oracle.operations import REFERENCE_FUNCTIONS as F
from opfuzz.oracle.reference import references_of

CASES = {
    "gelu": (lambda x: x / 2 * F["erfc"](-x / F["sqrt"](2)), -0.0, math.inf),
    "silu": (lambda x: x * F["sigmoid"](x), -0.0, math.inf),
    "mish": (lambda x: x * F["tanh"](F["softplus"](x)), -0.0, math.inf),
    "softplus": (lambda x: F["softplus"](x), 0.0, math.inf),
    "tanh": (lambda x: F["tanh"](x), -1.0, 1.0),
    "exp": (lambda x: F["exp"](x), 0.0, math.inf),
    "sigmoid": (lambda x: F["sigmoid"](x), 0.0, 1.0),
    "erf": (lambda x: F["erf"](x), -1.0, 1.0),
    "sin": (lambda x: F["sin"](x), math.nan, math.nan),
    "relu": (lambda x: F["maximum"](x, 0), 0.0, math.inf),
    "reciprocal": (lambda x: 1 / x, -0.0, 0.0),
    "square": (lambda x: x * x, math.inf, math.inf),
    "log10": (lambda x: F["log10"](x), math.nan, math.inf),  # 18 at 2^60
    "asinh": (lambda x: F["asinh"](x), -math.inf, math.inf),
    "softsign": (lambda x: x / (1 + F["abs"](x)), -1.0, 1.0),
    "hardswish": (lambda x: x * F["minimum"](F["maximum"](x + 3, 0), 6) / 6, -0.0, math.inf),
    "sinc": (lambda x: F["sinpi"](x) / x, 0.0, 0.0),
    "lgamma": (lambda x: F["lgamma"](x), math.inf, math.inf),
    "erfcx": (lambda x: F["erfcx"](x), math.inf, 0.0),
}


@pytest.mark.parametrize("name", CASES)
def test_limit(name):
    function, below, above = CASES[name]
    for sign, right in ((-1.0, below), (1.0, above)):
        found = limit(lambda values: function(graph.leaf(values, "input")), sign)
        assert repr(found) == repr(right), (name, sign)


def test_what_asks_for_infinity_has_no_limit_there():
    spec = BUNDLED_OPS["nan_to_num"]
    arrays = {"x": np.array([np.inf, -np.inf, np.nan, 1e30], np.float32)}
    call = Call("float32", {"n": 4}, {"value": 2.0, "most": 1000.0, "least": -1000.0}, arrays, {})
    (reference,) = references_of(spec, call)
    assert reference.truth.hi.tolist() == [1000.0, -1000.0, 2.0, np.float32(1e30)]


def test_what_a_mask_of_one_place_leaves_is_no_function_of_one_number():
    """Of larger sizes it is none, so that there is no limit to ask for."""
    spec = BUNDLED_OPS["tril"]
    dims, params = {dim.name: 1 for dim in spec.dims}, {param.name: param.default for param in spec.params}
    call = Call("float64", dims, params, {"x": np.full((1, 1, 1), np.inf)}, {"x": "contiguous"})
    (reference,) = references_of(spec, call)
    assert not reference.is_unary
    assert reference.truth.hi.item() == np.inf
