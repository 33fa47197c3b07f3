"""What Arb finds of a place depends on that place alone, whatever else is asked for along with it."""

from pathlib import Path

import numpy as np
import pytest
from bundled_ops import BUNDLED_OPS

from opfuzz.generate import draw, inputs
from opfuzz.oracle import exact, graph
from opfuzz.oracle.meaning import graphs_of, operands
from opfuzz.oracle.operations import REFERENCE_FUNCTIONS as F

ROOT = Path(__file__).parents[2]
OPS = (
    "attention", "conv1d", "conv_transpose1d", "cumsum", "gelu", "layer_norm", "linear", "log_softmax", "logsumexp",
    "softmax", "sum", "var",
)  # fmt: skip
CASES = 4
PLACES = 24


def fine(hi: np.ndarray) -> np.ndarray:
    return np.abs(hi) * 2.0**-90 + 2.0**-1074  # finer than the first precision, so that some places need a second


def coarse(hi: np.ndarray) -> np.ndarray:
    return np.full(hi.shape, np.inf)  # what the first precision gives


def bits(settled: exact.Settled) -> np.ndarray:
    return np.array([settled.hi, settled.lo, settled.radius]).view(np.int64)


def check_company_does_not_count(root: graph.Node, places: np.ndarray) -> None:
    for tolerance in (fine, coarse):
        together = bits(exact.settle(root, places, tolerance))
        alone = np.hstack([bits(exact.settle(root, places[i : i + 1], tolerance)) for i in range(len(places))])
        assert np.array_equal(alone, together)
        order = np.random.default_rng(3).permutation(len(places))
        assert np.array_equal(bits(exact.settle(root, places[order], tolerance)), together[:, order])
        twice = np.concatenate([places, places])
        assert np.array_equal(bits(exact.settle(root, twice, tolerance)), np.hstack([together, together]))


@pytest.mark.parametrize("op", OPS)
def test_a_place_of_a_spec_is_settled_alike_in_any_company(op):
    spec = BUNDLED_OPS[op]
    for number in range(CASES):
        case = draw(spec, spec.formats[number % len(spec.formats)], 11, number)
        (root,) = graphs_of(spec.reference, case.dims, case.params, operands(spec, inputs(spec, case)))
        if root.size:
            places = np.unique(np.linspace(0, root.size - 1, PLACES).astype(np.int64))
            check_company_does_not_count(root, places)


@pytest.mark.parametrize(
    "row",
    [
        [0.1, 0.7, -0.3, 1e308, 1e308, -1e308, 0.2, 5.0],  # the sum of the sizes leaves float64
        [0.1, 0.7, -0.3, 0.1, np.inf, 0.2, 1.0, 2.0],
        [0.1, 0.7, -0.3, 0.1, np.nan, 0.2, np.inf, -np.inf],
        [1e16, 0.1, -1e16, 0.1, 1e-300, 3.0, -0.1, 2.0**1023],
    ],
)
def test_a_running_sum_does_not_depend_on_what_comes_later(row):
    x = graph.leaf(np.array([row, row[::-1]]), "input")
    check_company_does_not_count(F["cumsum"](x), np.arange(x.size))
    check_company_does_not_count(F["cumsum"](F["exp"](x) - 1), np.arange(x.size))


def test_a_running_sum_is_the_sum_of_its_terms_to_the_bit():
    rng = np.random.default_rng(9)
    terms = rng.normal(size=40) * 2.0 ** rng.integers(-60, 60, 40)
    running = exact.settle(F["cumsum"](graph.leaf(terms, "input")), np.arange(40), coarse)
    for count in range(1, 41):
        root = F["sum"](graph.leaf(terms[:count], "input"))
        whole = exact.settle(root, np.zeros(1, np.int64), coarse)
        assert np.array_equal(bits(whole)[:, 0], bits(running)[:, count - 1])


def test_the_rows_of_a_running_sum_are_asked_for_at_once(monkeypatch):
    """One by one they took 20 s for 65,537 rows of two, whose case then counted as one that hangs."""
    asked = []
    values = exact.Puller.values
    monkeypatch.setattr(exact.Puller, "values", lambda *args: (asked.append(1), values(*args))[1])
    monkeypatch.setattr(exact.double_words, "evaluate", lambda *args: None)
    x = np.arange(1.0, 601.0).reshape(200, 3)
    places = np.arange(0, 600, 2)[::-1]
    found = exact.settle(F["cumsum"](graph.leaf(x, "input")), places, coarse)
    assert len(asked) == 2  # of the sums, and of their terms
    assert np.array_equal(found.hi, np.cumsum(x, axis=-1).ravel()[places])
