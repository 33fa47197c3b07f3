"""Every bundled spec: what the balls prove holds what Arb says at 300 bits, and next to nothing stays unresolved."""

from pathlib import Path

import flint
import numpy as np
import pytest
from bundled_ops import BUNDLED_OPS
from hypothesis import settings

from opfuzz.core.call import Call
from opfuzz.generate import draw, inputs
from opfuzz.oracle import balls, exact, models
from opfuzz.oracle.reference import references_of

ROOT = Path(__file__).parents[2]
CASES = 24 if settings().max_examples > 100 else 6  # see `--hypothesis-profile thorough`
ELEMENTS = 12  # of each case, chosen evenly
PRECISION = 300


def arb_values(root, places):
    before, flint.ctx.prec = flint.ctx.prec, PRECISION
    try:
        return exact.Puller(root, PRECISION).values(root, places)
    finally:
        flint.ctx.prec = before


def spread_out(size: int) -> np.ndarray:
    return np.unique(np.linspace(0, size - 1, ELEMENTS).astype(np.int64)) if size else np.zeros(0, np.int64)


def check_ball(ball, place, value) -> None:
    mid, radius = float(ball.mid.ravel()[place]), ball.radii[0]
    radius = 0.0 if radius is None else float(np.broadcast_to(radius, ball.mid.shape).ravel()[place])
    if isinstance(value, float):  # NaN or infinity: the ball says the same, or that it does not know
        assert radius == np.inf or (np.isnan(mid) and np.isnan(value)) or mid == value
    elif np.isfinite(radius) and np.isfinite(mid):
        assert not abs(value - mid) > radius  # where Arb cannot tell, it is no proof of a failure


@pytest.mark.parametrize("op", sorted(BUNDLED_OPS))
def test_no_value_lies_outside_its_ball_and_all_are_resolved(op):
    spec = BUNDLED_OPS[op]
    elements = unresolved = most = 0
    for number in range(CASES):
        name = spec.formats[number % len(spec.formats)]
        case = draw(spec, name, 7, number)
        # Arb has one zero.
        arrays = {name: array + array.dtype.type(0) for name, array in inputs(spec, case).items()}
        for reference in references_of(spec, Call.of(case, arrays)):
            places = spread_out(reference.root.size)
            if not len(places):
                continue
            with np.errstate(all="ignore"):
                ball = balls.evaluate(reference.root, [models.TRUTH])
            for place, value in zip(places.tolist(), arb_values(reference.root, places), strict=True):
                check_ball(ball, place, value)
            truth = reference.settle(places)
            hi, radius = truth.hi.ravel()[places], truth.radius.ravel()[places]
            finite = np.isfinite(hi)
            wide = finite & (radius > reference.tolerance(hi))
            unresolved += np.count_nonzero(wide | (~finite & (radius != 0)))
            elements += len(places)
            most = max(most, len(places))
    assert elements >= (3 * CASES if most > 1 else CASES)
    assert unresolved <= 0.001 * elements
