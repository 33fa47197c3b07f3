"""Places of a resized axis that are exactly an element: honest arithmetic may come out a rounding beside them."""

import numpy as np
import pytest
from bundled_ops import BUNDLED_OPS

from opfuzz.core.call import Call
from opfuzz.core.verdicts import FAULT, SEVERITY
from opfuzz.judge.score import score
from opfuzz.oracle.reference import references_of


@pytest.mark.parametrize(("off", "is_fault"), [(0.0, True), (1.0, False)], ids=["lost", "a rounding beside"])
def test_a_neighbour_may_have_a_part_where_a_place_is_a_rounding_beside_an_element(off, is_fault):
    """Position 23 of 8 elements resized to 24 is the last: in float32, (7 / 23) * 23 is just below 7."""
    x = np.array([[[1, 2, 3, 4, 5, 6, 1.97e6 if off else 7, 8]]], np.float32)
    call = Call("float32", {"n": 1, "c": 1, "length": 8}, {"scale": 3, "align_corners": True}, {"x": x}, {})
    (reference,) = references_of(BUNDLED_OPS["upsample_linear"], call)
    made = reference.truth.hi.astype(np.float32)
    share = np.float32(7) - np.nextafter(np.float32(7), np.float32(0))
    made[0, 0, 23] = share * x[0, 0, 6] + (1 - share) * x[0, 0, 7] if off else 0.0
    assert (SEVERITY[score(made, reference).verdict] == FAULT) == is_fault
