"""Scores: a whole output, where nothing is masked, is scored as its elements are among others that are masked."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from bundled_ops import BUNDLED_OPS
from hypothesis import given
from hypothesis import strategies as st

from opfuzz.core.call import Call
from opfuzz.core.floats import FORMATS, round_to
from opfuzz.judge.score import score
from opfuzz.judge.settle import examine
from opfuzz.oracle.reference import references_of

SPECS = {op: BUNDLED_OPS[op] for op in ("exp", "relu", "tanh")}
values = st.floats(-80, 80, width=16) | st.sampled_from([0.0, -0.0, 2.0**-14, -(2.0**-24), 6e-8])
wrongs = st.sampled_from([0, 0, 0, 1, -1, 2, 40])  # by how many steps a result is off


def judged(op, fmt, x, steps):
    """The score of results that are so many steps off what is correctly rounded, and whether all of it is judged."""
    x = np.array([x])
    call = Call(fmt, {"batch": 1, "n": x.size}, {}, {"x": round_to(x, FORMATS[fmt])}, {})
    (reference,) = references_of(SPECS[op], call)
    right = round_to(reference.truth.hi, FORMATS[fmt])
    bits = np.where(np.isfinite(right) & (right != 0), steps, 0).astype(f"i{right.dtype.itemsize}")
    output = (right.view(bits.dtype) + bits).view(right.dtype)
    return score(output, reference), examine(output, reference).judged is None


@pytest.mark.parametrize("fmt", ["float32", "float16", "bfloat16"])
@pytest.mark.parametrize("op", sorted(SPECS))
@given(found=st.lists(st.tuples(values, wrongs), min_size=1, max_size=30))
def test_an_element_counts_the_same_among_others_that_do_not(op, fmt, found):
    x, steps = map(list, zip(*found, strict=True))
    whole, is_whole = judged(op, fmt, x, steps)
    assert is_whole or whole.flushed or op == "exp"  # whose largest results are infinite
    # A right NaN for a NaN has no error, and lets the rest be masked.
    among, is_whole = judged(op, fmt, [*x, np.nan], [*steps, 0])
    assert not is_whole
    assert (whole.rms_ulp is None) == (among.rms_ulp is None)  # nothing but zeros for subnormal numbers
    assert (whole.rms_ulp or 0.0) == pytest.approx(among.rms_ulp or 0.0, rel=1e-12)
    assert whole.ulp_total == pytest.approx(among.ulp_total, rel=1e-12)
    same = {"rms_ulp": 0.0, "ulp_total": 0.0, "elements": 0}
    assert replace(whole, **same) == replace(among, **same)


def test_results_that_are_all_right_have_no_error():
    found, is_whole = judged("relu", "float32", [1.0, -2.0, 0.5, 0.0], [0, 0, 0, 0])
    assert is_whole
    assert (found.verdict, found.ulp, found.excess, found.conditioned, found.rms_ulp) == ("exact", 0.0, 0.0, 0.0, 0.0)
    assert (found.elements, found.normal, found.histogram) == (4, 2, {0: 2})
    assert sum(found.by_magnitude.values()) == 4
