"""Honest implementations that add up or multiply in another order: they are noted at most."""

from __future__ import annotations

import numpy as np
import pytest
from bundled_ops import BUNDLED_OPS

from opfuzz.core.call import Call
from opfuzz.core.verdicts import FAULT, SEVERITY
from opfuzz.judge.score import score
from opfuzz.oracle.reference import references_of

CHANCE = np.random.default_rng(11)


def severity(op, made, arrays, **sizes):
    """Of a float32 result; the sizes are those of the dims, and params have their defaults."""
    spec = BUNDLED_OPS[op]
    call = Call("float32", sizes, {param.name: param.default for param in spec.params}, arrays, {})
    (reference,) = references_of(spec, call)
    return SEVERITY[score(np.asarray(made, np.float32).reshape(reference.shape), reference).verdict]


def one_by_one(terms):
    return np.add.accumulate(terms, axis=-1, dtype=np.float32)[..., -1]


def by_table(re, im):
    """The transform as a product with a table of float32, whose sines of whole turns are no zeros."""
    n = re.shape[-1]
    angles = 2 * np.pi / n * np.outer(np.arange(n), np.arange(n))
    cos, sin = np.cos(angles).astype(np.float32), -np.sin(angles).astype(np.float32)
    terms = [(re[:, None] * cos, -im[:, None] * sin), (re[:, None] * sin, im[:, None] * cos)]
    return np.stack([one_by_one(np.concatenate(pair, -1)) for pair in terms], -1)


def test_a_transform_by_table_of_equal_numbers_errs_as_their_sum_one_by_one_does():
    x = np.full((1, 535), 0.1, np.float32)
    assert severity("fft", by_table(x, -x), {"re": x, "im": -x}, batch=1, n=535) != FAULT
    short = by_table(x, -x) * np.float32(0.999)
    assert severity("fft", short, {"re": x, "im": -x}, batch=1, n=535) == FAULT


@pytest.mark.parametrize("n", [2, 7, 8, 60])
def test_imaginary_parts_that_are_zero_may_be_off_as_others_are(n):
    x = CHANCE.normal(size=(3, n)).astype(np.float32)
    made = by_table(x, 0 * x)[:, : n // 2 + 1]
    assert severity("rfft", made, {"x": x}, batch=3, n=n) != FAULT
    made[:, -1, 1] += 1e-3
    assert severity("rfft", made, {"x": x}, batch=3, n=n) == FAULT


def test_the_logarithm_of_a_root_near_one_loses_what_rounded_inputs_would():
    x = np.zeros(4096, np.float32)
    variance = (1 + CHANCE.uniform(-1, 1, x.size) * 2.0**-10).astype(np.float32)
    made = np.log(np.sqrt(variance))
    given = {"x": x, "y": x, "variance": variance}
    assert severity("gaussian_nll_loss", made, given, n=x.size) != FAULT
    assert severity("gaussian_nll_loss", made + np.float32(2e-6), given, n=x.size) == FAULT


def test_a_cell_may_start_its_sums_from_the_bias():
    """Equal terms are then rounded alike at the size of the bias, which they are small beside."""
    x, w = np.full((1, 367), 1e-3, np.float32), np.full((1, 367), 0.1, np.float32)
    h, u, c = (np.zeros(shape, np.float32) for shape in ((1, 1), (1, 1), (1,)))
    b = np.float32([-0.8349572])
    made = np.tanh(one_by_one(np.concatenate([b[None], x * w], -1)))
    given = {"x": x, "h": h, "w": w, "u": u, "b": b, "c": c}
    assert severity("rnn_cell", made, given, batch=1, d_in=367, d=1) != FAULT
    assert severity("rnn_cell", made + np.float32(1e-4), given, batch=1, d_in=367, d=1) == FAULT
