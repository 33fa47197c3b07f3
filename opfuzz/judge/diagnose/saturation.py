"""Products of whole numbers that have too few bits: told by what cutting them off makes of exact arithmetic."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from opfuzz.core.cause import Cause, Figure
from opfuzz.core.floats import FloatArray
from opfuzz.judge.diagnose.cut_off import Cut, cut_off
from opfuzz.judge.diagnose.evidence import Evidence
from opfuzz.judge.diagnose.predictions import Prediction, compare, confirm
from opfuzz.judge.limits import MOST_ELEMENTS
from opfuzz.oracle.meaning import FAILURES


def saturates(evidence: Evidence) -> Cause | None:
    """What is cut off in the products of the usual formula, or of another meaning with it.

    With another meaning it need not show on this call, as pairs of bytes do not where these are small; but on another.
    """
    sizes = sum(array.size for array in evidence.call.arrays.values()) + evidence.output.size
    if sizes > MOST_ELEMENTS or not evidence.is_wrong.any():
        return None
    for name in ("", *evidence.spec.variants):
        for cut, values, is_other in _made(evidence, name):
            if not (is_other or name) or not compare(evidence, values).is_met:
                continue
            total = confirm(evidence, compare(evidence, values), partial(_predict, name=name, cut=cut))
            if total is not None and (is_other or any(_changes(other, name, cut) for other in evidence.others)):
                figures: dict[str, Figure] = {"low": cut.low, "high": cut.high, "wraps": cut.wraps, "variant": name}
                return Cause("saturates", cut.what, figures={**figures, **total.figures})
    return None


def _made(evidence: Evidence, name: str) -> Iterator[tuple[Cut, FloatArray, bool]]:
    """What comes of each cut in the usual formula, or in that of a variant; nothing where that has no meaning."""
    try:
        root = evidence.reference.variant_graph(name) if name else evidence.reference.natural
    except FAILURES:
        return iter(())
    return cut_off(root) if root.shape == evidence.output.shape else iter(())


def _predict(evidence: Evidence, name: str, cut: Cut) -> Prediction | None:
    values = next((values for own, values, _ in _made(evidence, name) if own == cut), None)
    return None if values is None else compare(evidence, values)


def _changes(evidence: Evidence, name: str, cut: Cut) -> bool:
    """Whether a cut is seen on a call that is at fault."""
    return evidence.is_at_fault and any(is_other for own, _, is_other in _made(evidence, name) if own == cut)
