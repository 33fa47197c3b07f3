"""Exact values are settled where an output needs that: so that its errors count in the right unit."""

from __future__ import annotations

from fractions import Fraction
from math import frexp

import numpy as np
import pytest
from bundled_ops import BUNDLED_OPS

from opfuzz.core.call import Call
from opfuzz.core.floats import FORMATS, FloatArray, round_to
from opfuzz.core.results import Score
from opfuzz.judge.score import score
from opfuzz.oracle.reference import references_of

RETURNED = 2.0**-12  # an error far larger than all that is uncertain


def of_planted(op: str, fmt: str, dims: dict[str, int], params: dict[str, float], **arrays: FloatArray) -> Score:
    """The score of one output of one element, alone."""
    held = {name: round_to(array, FORMATS[fmt]) for name, array in arrays.items()}
    with np.errstate(all="ignore"):
        (reference,) = references_of(BUNDLED_OPS[op], Call(fmt, dims, params, held, {}))
        return score(round_to(np.full(reference.shape, RETURNED), FORMATS[fmt]), reference)


def check(found: Score, exact: Fraction, fmt: str) -> None:
    """Exact rational arithmetic says the same."""
    if not exact:
        assert found.normal == 0  # an error against zero is no number of ulps
        return
    exponent = frexp(float(exact))[1] - 1
    if Fraction(2) ** exponent > abs(exact):  # which float64 rounded up to a power of two
        exponent -= 1
    made = FORMATS[fmt]
    ulp = Fraction(2) ** (max(exponent, made.emin) - made.precision + 1)
    assert found.normal == 1
    assert found.ulp == pytest.approx(float(abs(Fraction(RETURNED) - exact) / ulp), rel=2.0**-9)


@pytest.mark.parametrize("seed", range(60))
def test_an_error_counts_in_the_ulp_of_what_cancelling_products_leave(seed):
    chance = np.random.default_rng(seed)
    a, b = chance.standard_normal((2, 1, 1, 5))
    if seed % 3 == 0:  # nothing is left
        a[..., 3:], b[..., 3:] = -a[..., 1:3], b[..., 1:3]
        a[..., 0] = 0
    else:  # less than float64's roundings of the products
        a[..., 4], b[..., 4] = -(a[..., :4] * b[..., :4]).sum(), 1.0
    b = b.reshape(1, 5, 1)
    exact = sum((Fraction(x) * Fraction(y) for x, y in zip(a.ravel(), b.ravel(), strict=True)), Fraction(0))
    check(of_planted("matmul", "float64", {"batch": 1, "m": 1, "k": 5, "n": 1}, {}, a=a, b=b), exact, "float64")


@pytest.mark.parametrize(("sign", "is_below"), [(1, True), (-1, True), (1, False), (-1, False)])
def test_an_error_counts_in_the_ulp_below_a_power_of_two_that_only_float64_rounds_to(sign, is_below):
    a, b = sign * (1 - 2.0**-30), 1 + 2.0**-30  # 1 - 2^-60
    if not is_below:
        b += 2.0**-50
    found = of_planted(
        "matmul", "float64", {"batch": 1, "m": 1, "k": 1, "n": 1}, {}, a=np.full((1, 1, 1), a), b=np.full((1, 1, 1), b)
    )
    check(found, Fraction(a) * Fraction(b), "float64")


@pytest.mark.parametrize("fmt", ["float64", "float32", "bfloat16"])
@pytest.mark.parametrize("w", [0.7, 0.5, 3.0])
@pytest.mark.parametrize("seed", range(20))
def test_an_error_counts_in_the_ulp_of_what_a_cancelling_difference_leaves(fmt, w, seed):
    # c and u are as 0.7 to 1.7, and the like, as nearly as the format has them; w is not 0.7 but float64's.
    c = round_to(np.array([[w * 10 * (seed + 1) / 2**8]]), FORMATS[fmt])
    u = round_to(c.astype(np.float64) * (1 + w) / w, FORMATS[fmt])
    exact = (1 + Fraction(w)) * Fraction(float(c[0, 0])) - Fraction(w) * Fraction(float(u[0, 0]))
    found = of_planted("cfg_mix", fmt, {"n": 1, "d": 1}, {"w": w}, c=c.astype(np.float64), u=u.astype(np.float64))
    check(found, exact, fmt)
