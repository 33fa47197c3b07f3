"""Gradients with one mistake on the way back, against formulas in NumPy with the same mistake."""

from contextlib import suppress

import numpy as np
import pytest

from opfuzz.oracle import balls, graph
from opfuzz.oracle.forms import by_reciprocals
from opfuzz.oracle.gradients.mistakes import mistakes
from opfuzz.oracle.gradients.reverse import gradients
from opfuzz.oracle.meaning import FAILURES
from opfuzz.oracle.operations import REFERENCE_FUNCTIONS as F

X = np.array([[0.3, -1.2, 0.7, 2.0], [1.5, 0.1, -0.4, 0.9]])
G = np.array([[1.0, -2.0, 0.5, 3.0], [0.25, 1.5, -1.0, 2.0]])


def usual(function, x=X, g=G):
    """The usual gradient of a function of one input."""
    given = graph.leaf(x, "input")
    (made,) = gradients([function(given)], [graph.leaf(g, "input")], [given], is_usual=True)
    return made


def made_by(root, what):
    """What each mistake of a kind comes to."""
    return [balls.evaluate(each.make(), []).mid for each in mistakes(root) if each.what == what]


def softmax(x):
    raised = np.exp(x - x.max(axis=-1, keepdims=True))
    return raised / raised.sum(axis=-1, keepdims=True)


Y = softmax(X)


@pytest.mark.parametrize(
    ("what", "meant"),
    [
        ("term", Y * G),
        ("own term", Y * (G - G * Y)),
        ("mean", Y * (G - (G * Y).mean(axis=-1, keepdims=True))),
        ("last term", Y * (G - (G * Y)[:, :-1].sum(axis=-1, keepdims=True))),
        ("sign", Y * (G + (G * Y).sum(axis=-1, keepdims=True))),
        ("factor", G - (G * Y).sum(axis=-1, keepdims=True)),
    ],
)
def test_softmax_with_a_mistake(what, meant):
    found = made_by(usual(lambda x: F["softmax"](x, axis=-1)), what)
    assert any(np.allclose(each, meant, rtol=1e-12) for each in found)


def test_tanh_that_is_not_squared():
    (found,) = made_by(usual(F["tanh"]), "square")
    np.testing.assert_allclose(found, G * (1 - np.tanh(X)), rtol=1e-12)


def test_a_running_sum_the_other_way():
    (found,) = made_by(usual(lambda x: F["cumsum"](x, axis=-1)), "other way")
    np.testing.assert_allclose(found, np.cumsum(G, axis=-1), rtol=1e-12)


def test_a_sum_in_the_place_of_a_mean():
    (found,) = made_by(usual(lambda x: F["mean"](x**2, axis=-1), g=G[:, :1]), "sum")
    np.testing.assert_allclose(found, 2 * X * G[:, :1], rtol=1e-12)


def test_what_goes_to_one_place_is_overwritten_or_averaged():
    index, table = np.array([2, 0, 2, 2, 1]), np.zeros((4, 1))
    g = np.arange(1.0, 6.0)[:, None]
    root = usual(lambda x: F["take"](x, index.view(graph.Whole), axis=0), table, g)
    last, mean = np.array([[2.0], [5.0], [4.0], [0.0]]), np.array([[2.0], [5.0], [8 / 3], [0.0]])
    (overwritten,), (averaged,) = made_by(root, "overwritten"), made_by(root, "averaged")
    np.testing.assert_array_equal(overwritten, last)
    np.testing.assert_allclose(averaged, mean, rtol=1e-15)


def test_no_mistake_is_the_gradient_itself_and_all_have_its_shape():
    root = usual(lambda x: x / F["sqrt"](F["mean"](x**2, axis=-1) + 1))
    right = balls.evaluate(root, []).mid
    found = []
    for each in mistakes(root):
        with suppress(*FAILURES):  # a sum that is not taken has another shape, which not every step can have
            found.append(balls.evaluate(each.make(), []).mid)
    assert len(found) > 20
    assert all(each.shape == right.shape for each in found)
    assert sum(np.allclose(each, right, rtol=1e-9) for each in found) <= len(found) // 4


def test_one_over_a_root_is_one_step_wherever_it_is_used():
    root = usual(lambda x: x / F["sqrt"](F["mean"](x**2, axis=-1) + 1))
    kept = by_reciprocals(root)
    np.testing.assert_allclose(balls.evaluate(kept, []).mid, balls.evaluate(root, []).mid, rtol=1e-13)
    roots = [node for node in graph.topological(kept) if node.op == "sqrt"]
    over = [node for node in graph.topological(kept) if node.op == "div" and node.args[1] in roots]
    assert (len(roots), len(over)) == (1, 1)
    assert by_reciprocals(usual(F["tanh"])) is None
