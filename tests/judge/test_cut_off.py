"""Products of whole numbers with too few bits, against Python's integers added up one by one."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from opfuzz.judge.diagnose.cut_off import CUTS, cut_off, products_of_codes
from opfuzz.oracle import graph
from opfuzz.oracle.operations import REFERENCE_FUNCTIONS as F

CODES = st.lists(st.integers(-128, 127), min_size=7, max_size=7)


def kept(cut, value):
    if cut.wraps:
        return (value - cut.low) % (cut.high - cut.low + 1) + cut.low
    return min(max(value, cut.low), cut.high)


def by_hand(cut, q, zero, w):
    """What a layer of codes q with a zero, and of a weight w, gives: one number, of Python's integers."""
    w = [kept(cut, each) for each in w] if cut.what == "second" else w
    q = [kept(cut, each) for each in q] if cut.what == "first" else q
    products = [a * b for a, b in zip(q, w, strict=True)]
    total = 0
    if cut.what == "pairs":
        total = sum(kept(cut, sum(products[i : i + 2])) for i in range(0, len(products), 2))
    elif cut.what == "running":
        for each in products:
            total = kept(cut, total + each)
    else:
        total = kept(cut, sum(products)) if cut.what == "sums" else sum(products)
    return total - zero * sum(w)


@given(q=CODES, zero=st.integers(0, 255), w=CODES, factor=st.sampled_from([1, 7]))
def test_each_cut_is_that_of_integers(q, zero, w, factor):
    q, w = [factor * abs(each) for each in q], [factor * each for each in w]
    x, weight = graph.leaf(np.array([q], float), "input"), graph.leaf(np.array([w], float).T)
    root = ((F["round"](x) - zero) @ weight) * 0.5
    found = {cut: (values.item(), is_other) for cut, values, is_other in cut_off(root)}
    assert list(found) == list(CUTS)
    exact = sum((a - zero) * b for a, b in zip(q, w, strict=True))
    for cut, (value, is_other) in found.items():
        right = by_hand(cut, q, zero, w)
        assert (value, is_other) == (right / 2, right != exact), cut


@pytest.mark.parametrize(
    ("root", "count"),
    [
        (lambda x, q: F["round"](x) @ q, 1),
        (lambda x, q: F["clip"](F["round"](x) + 3, 0, 127) @ (q - 8), 1),
        (lambda x, q: x @ q, 0),  # the numbers may be whole by chance
        (lambda x, q: F["round"](x) / 3 @ q, 0),
        (lambda x, q: F["round"](x) @ (q * 0.5), 0),
    ],
)
def test_only_what_is_whole_by_its_making_is_a_code(root, count):
    made = root(graph.leaf(np.ones((2, 3)), "input"), graph.leaf(np.arange(6.0).reshape(3, 2)))
    assert len(products_of_codes(made)) == count
    assert len(list(cut_off(made))) == count * len(CUTS)
