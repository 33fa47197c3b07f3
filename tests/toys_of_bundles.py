"""An op with every kind of input, for bundles."""

from __future__ import annotations

import numpy as np

from opfuzz.core.call import Call

GATHER = """
op: gathered
summary: Rows of x by index, where a mask lets them, plus another mask.
formats: [float32]
dims: {k: 1..9, n: 1..9}
inputs:
  x: {shape: [k], regimes: [normal]}
  i: {shape: [n], kind: index(k)}
  m: {shape: [n], kind: mask}
  a: {shape: [n], kind: mask(additive)}
output: {shape: [n]}
calls: {numpy: "np.where(m, np.take(x, i), 0 * a) + a"}
reference: where(m, take(x, i, 0), 0) + a
"""


def gather_call() -> Call:
    """A call of it."""
    arrays = {
        "x": np.array([1, 2, 3, 4], np.float32),
        "i": np.array([3, 0], np.int64),
        "m": np.array([True, False]),
        "a": np.array([0, -np.inf], np.float32),
    }
    return Call("float32", {"k": 4, "n": 2}, {}, arrays, dict.fromkeys(arrays, "contiguous"))
