"""Weights are known by their values, in any order and format; those that many could be are not guessed."""

from __future__ import annotations

import ml_dtypes
import numpy as np

from opfuzz.network.trace.partners import pair_weights

DRAW = np.random.default_rng(0)


def numbers(*shape):
    return DRAW.standard_normal(shape).astype(np.float32)


def test_the_order_of_the_axes_does_not_matter():
    a = {"one": numbers(4, 5, 3), "two": numbers(5, 5), "bias": numbers(5)}
    b = {"x": a["two"].T, "y": a["one"].transpose(0, 2, 1), "z": a["bias"].astype(np.float64)}
    assert pair_weights(a, b) == {"one": "y", "two": "x", "bias": "z"}


def test_what_says_nothing_has_no_partner():
    shared = numbers(4, 4)
    a = {"ones": np.ones(4), "first": shared, "second": shared.T, "empty": numbers(0, 3), "flags": np.arange(4) > 1}
    assert pair_weights(a, {"x": np.ones(4), "y": shared}) == {}
    assert pair_weights({"first": shared}, {"y": numbers(4, 4)}) == {}


def test_rounded_weights_find_their_partners():
    a = {str(i): numbers(32, 32) for i in range(40)}
    b = {f"b{i}": x.astype(ml_dtypes.bfloat16) for i, x in reversed(a.items())}
    found = pair_weights(a, b)
    assert len(found) > 35
    assert all(other == f"b{name}" for name, other in found.items())
