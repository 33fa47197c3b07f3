"""Results of cases that never ran, for tests of what becomes of them."""

from __future__ import annotations

from typing import Any

from opfuzz.core.call import Recipe
from opfuzz.core.cause import Cause
from opfuzz.core.relation import Relation
from opfuzz.core.results import Judged, Mark, Result, Score, Witness


def witness(case: str = "c0", ulp: float = 1.0, **fields: Any) -> Witness:
    """One element, 1.5 where 1.25 is right."""
    mark = Mark((0, 2), 1.5, "0x3fc00000", 1.25, ulp, 0.01)
    return Witness(
        **{"case": case, "mark": mark, "inputs_hex": {"x": ("0x3f800000",)}, "inputs": {"x": (1.0,)}} | fields
    )


def told(words: str, relation: Relation | None = None) -> Cause:
    """A cause that is nothing but words."""
    return Cause("told", "", relation, {"words": words})


def result(
    number: int,
    verdict: str,
    ulp: float = 0.0,
    *,
    op: str = "gelu",
    subject: str = "torch:cpu",
    format: str = "float32",
    elements: int = 100,
    sort_key: tuple[Any, ...] | None = None,
    reason: str = "",
    relation: Relation | None = None,
    **score: Any,
) -> Result:
    """Case `number` with this verdict on one subject; simpler the smaller its number, unless `sort_key` says."""
    case = f"c{number}"
    shown = witness(case, ulp)
    fields = {
        "cause": told(reason or f"reason {number}", relation),
        "ulp": ulp,
        "elements": elements,
        "normal": elements,
    } | score
    judged = Judged(subject, Score(verdict, **fields), shown, shown, Recipe())
    return Result(op, format, number, case, (number,) if sort_key is None else sort_key, (judged,), {})
