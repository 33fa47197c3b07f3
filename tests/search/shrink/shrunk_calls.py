"""Calls to shrink, and what every candidate must be."""

from __future__ import annotations

import numpy as np

from opfuzz.core.call import Call, Element
from opfuzz.core.floats import FORMATS
from opfuzz.core.layout import applicable, memory
from opfuzz.search.shrink import drive, shrink
from opfuzz.spec.expression.program import evaluate
from opfuzz.spec.order import call_key


def call_of(spec, dims, params=None, layouts=None, format="float32", **arrays):
    """A call with normal values, all indices and both truth values, but for the arrays given."""
    numbers = np.random.default_rng(0)
    params = {param.name: param.default for param in spec.params} | (params or {})
    names, dtype = {**dims, **params}, FORMATS[format].dtype
    filled = {}
    for item in spec.inputs:
        shape = spec.shapes(dims, params)[item.name]
        if item.kind == "float":
            filled[item.name] = numbers.normal(size=shape).astype(dtype)
        elif item.kind == "index":
            filled[item.name] = numbers.integers(0, evaluate(item.below, names, {}), shape)
        else:
            mask = numbers.random(shape) < 0.5
            filled[item.name] = mask if item.kind == "mask" else np.where(mask, 0, -np.inf).astype(dtype)
    plain = dict.fromkeys(filled, "contiguous")
    return Call(format, dims, params, {**filled, **arrays}, {**plain, **(layouts or {})})


def is_valid(spec, call):
    """Whether a call is one that the spec allows, with values and layouts that belong together."""
    names = {**call.dims, **call.params}
    shapes = spec.shapes(call.dims, call.params)
    assert set(call.arrays) == set(call.layouts) == set(shapes)
    for item in spec.inputs:
        array, layout = call.arrays[item.name], call.layouts[item.name]
        assert array.shape == shapes[item.name]
        assert applicable(layout, array.shape)
        memory(array, layout)  # raises where a broadcast array is not constant
        if item.kind == "index":
            assert array.dtype == np.int64
            assert ((array >= 0) & (array < evaluate(item.below, names, {}))).all()
        elif item.kind == "mask":
            assert array.dtype == bool
        else:
            assert array.dtype == FORMATS[call.format].dtype
            assert item.kind != "additive_mask" or ((array == 0) | np.isneginf(array)).all()
    return spec.allows(call.dims, call.params)


def shrunk(spec, call, is_interesting, place=None, limit=2000):
    """The smallest call and how many were tried; every candidate is valid, new and smaller than the best before it."""
    best, seen = call, set()

    def judge(candidate):
        nonlocal best
        assert is_valid(spec, candidate)
        assert call_key(spec, candidate) < call_key(spec, best)
        bits = tuple(array.tobytes() for array in candidate.arrays.values())
        key = (*candidate.dims.values(), *map(repr, candidate.params.values()), *candidate.layouts.values(), bits)
        assert key not in seen
        seen.add(key)
        if is_interesting(candidate):
            best = candidate
            return True
        return False

    assert is_interesting(call)
    found, count = drive(shrink(spec, call, None if place is None else Element("", place)), judge, limit)
    assert found is best
    return found, count
