"""What an element depends on: the places whose NaN reaches it, and no others."""

from __future__ import annotations

import numpy as np
import pytest

from opfuzz.core.floats import FLOAT32
from opfuzz.oracle import balls, graph, movement, operations
from opfuzz.oracle.dependencies import dependencies, repeats_in
from opfuzz.oracle.models import TRUTH, conditioning

FORMULAS = {
    "broadcast": lambda x, w: x * w + x,
    "sum of rows": lambda x, w: operations.sum_(x, -1) + w,
    "sum of two axes": lambda x, w: operations.sum_(x, (0, 2)),
    "product": lambda x, w: graph.dot(x, movement.swapaxes(x, -1, -2)),
    "product of a softmax": lambda x, w: graph.dot(operations.softmax(x), movement.swapaxes(x * w, -1, -2)),
    "softmax along the middle": lambda x, w: operations.softmax(x, 1),
    "cumsum": lambda x, w: operations.cumsum(x * w, 1),
    "padded": lambda x, w: movement.pad(x, 1, 2, -1) * 2,
    "reshaped rows": lambda x, w: operations.sum_(movement.reshape(x, (2, 2, 6)), -1) * operations.mean(w),
    "unlike parts": lambda x, w: operations.cumsum(x, 0) + operations.max_(x, 2) + operations.sum_(x * w, 1),
    "nothing to sum over two axes": lambda x, w: operations.sum_(movement.narrow(x, 1, 0, 0), (0, 1)) + x,
    "nothing to sum": lambda x, w: operations.sum_(movement.narrow(x, 1, 0, 0) * w, 1) + x,
    "joined": lambda x, w: movement.concatenate([x, movement.flip(x, -1)], 1) - w,
}


@pytest.mark.parametrize("name", FORMULAS)
def test_an_element_depends_on_what_spoils_it(name):
    values = {"x": np.random.default_rng(1).standard_normal((2, 3, 4)), "w": np.arange(1.0, 5.0)}

    def built(**changed):
        tensors = {key: graph.leaf(changed.get(key, array), "input") for key, array in values.items()}
        return tensors, FORMULAS[name](*tensors.values())

    tensors, root = built()
    found = [dependencies(root, place) for place in range(root.size)]
    for key, array in values.items():
        for place in range(array.size):
            spoilt = array.copy()
            spoilt.flat[place] = np.nan
            reached = np.isnan(balls.evaluate(built(**{key: spoilt})[1], []).mid).ravel()
            assert [place in each.get(id(tensors[key]), ()) for each in found] == reached.tolist()


def test_places_are_sorted_and_distinct():
    x = graph.leaf(np.ones((3, 5)), "input")
    places = dependencies(graph.dot(operations.softmax(x), movement.swapaxes(x, 0, 1)), 4)[id(x)]
    assert places.tolist() == list(range(5, 10))


@pytest.mark.parametrize("scale", [1.0, 2.0**100, 2.0**-100])
def test_the_conditioning_of_a_product_of_inputs_is_what_its_parts_give(scale):
    rng = np.random.default_rng(2)
    a, b = (graph.leaf((rng.standard_normal(shape) * scale).astype(np.float32), "input") for shape in ((3, 7), (7, 4)))
    model = conditioning(FLOAT32)
    moved = balls.evaluate(graph.dot(a, movement.transpose(b, (0, 1))), [TRUTH, model])
    computed = balls.evaluate(graph.dot(graph.unary("neg", -a), b), [TRUTH, model])  # no input
    assert np.array_equal(moved.mid, computed.mid)
    assert np.array_equal(moved.radii[1], computed.radii[1])


def test_terms_that_are_equal_are_counted():
    arrays = {"x": np.tile([1.0, 2.0], 6), "g": np.ones(12), "w": np.arange(12.0)}
    places = np.arange(12)
    assert repeats_in({"x": places, "g": places}, arrays) == 6
    assert repeats_in({"x": places, "g": places[:3]}, arrays) == 6
    assert repeats_in({"x": places, "w": places}, arrays) == 1
    assert repeats_in({"x": places[:0]}, arrays) == 1


def test_a_place_that_an_index_names_often_is_a_term_each_time():
    arrays = {"index": np.array([[3, 3, 3, 1]]), "g": np.float32([2.0, 5.0, 7.0])}
    assert repeats_in({"g": np.array([1])}, arrays) == 3
    assert repeats_in({"g": np.array([0, 1, 2])}, arrays) == 1, "each time it is another"
