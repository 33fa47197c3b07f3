"""The two sides of a sweep: the tail is what torch does with single elements, the oracle is the reference."""

from __future__ import annotations

import numpy as np
import pytest
from bundled_ops import BUNDLED_OPS

from opfuzz.backends import discover, same_bits
from opfuzz.core.call import Call
from opfuzz.core.floats import FLOAT16, FLOAT32, from_bits
from opfuzz.engine.drivers.sweep_sides import Sweep, prepare
from opfuzz.oracle.reference import references_of
from opfuzz.search.sweep.reference import FlatReference

BACKENDS = discover()
LOW = 0xBF800000


def sweep_of(op, format="float32", subject="torch:cpu"):
    return Sweep(BUNDLED_OPS[op], subject, format, {}, LOW, LOW + 2**22)


@pytest.mark.skipif(BACKENDS["torch"].absent() is not None, reason="torch is not installed")
@pytest.mark.parametrize("op", ["silu", "mish", "softplus", "sigmoid", "gelu_tanh"])
def test_the_tail_has_the_bits_of_single_elements(op):
    _, subject = prepare(sweep_of(op), BACKENDS)
    inputs = from_bits(np.arange(LOW, LOW + 4 * 10**6, 40013, dtype=np.uint32), FLOAT32)
    tail = subject.tail(inputs)
    assert tail.shape == inputs.shape
    single = np.concatenate([subject._call(inputs[i : i + 1], 1, 1, "contiguous") for i in range(inputs.size)])
    assert same_bits(tail, single)


@pytest.mark.parametrize("op", ["exp", "silu", "rsqrt", "gelu"])
def test_enclosures_are_those_of_the_reference(op):
    sweep = sweep_of(op, "float16", "numpy:cpu")
    inputs = from_bits(np.arange(0, 2**16, 7), FLOAT16)
    with np.errstate(all="ignore"):
        enclosed = FlatReference(sweep.spec, sweep.format, sweep.params).enclose(inputs)
        dims = {"batch": 1, "n": inputs.size}
        (reference,) = references_of(sweep.spec, Call("float16", dims, {}, {"x": inputs.reshape(1, -1)}, {}))
    np.testing.assert_array_equal(enclosed.truth.hi, reference.truth.hi.ravel())
    np.testing.assert_array_equal(enclosed.truth.radius, reference.truth.radius.ravel())
    np.testing.assert_array_equal(enclosed.wide, reference.wide.ravel())
