"""Climbs in a table."""

from __future__ import annotations

import math

import pytest

from opfuzz.report.search.climb import HEADERS, render

CALL = {"dims": {"n": 1}, "params": {}, "layouts": {}, "inputs": {"x": [1.0]}, "inputs_hex": {"x": ["0x3f800000"]}}


def cells(**changed):
    """The row of one climb, cut where the columns are."""
    named = {"op": "sin", "subject": "torch:cpu", "format": "float32", "worst": "fault", "evaluations": 9}
    lines = render([{**named, "reason": "raised", **changed}]).split("\n")
    row, starts = lines[2], [lines[0].index(name) for name in HEADERS]
    return dict(zip(HEADERS, (row[a:b].strip() for a, b in zip(starts, [*starts[1:], None], strict=True)), strict=True))


@pytest.mark.parametrize(
    ("document", "ulp", "excess"),
    [
        ({"verdict": "crash", "ulp": 0.0, "excess": 0.0}, "", ""),
        (
            {"verdict": "special", "ulp": 0.0, "excess": 0.0, **CALL, "computed": math.nan, "exact": 1.0, "ends": None},
            "",
            "",
        ),
        (
            {
                "verdict": "special",
                "ulp": 0.0,
                "excess": math.inf,
                **CALL,
                "computed": math.inf,
                "exact": 1.0,
                "ends": None,
            },
            "",
            "inf",
        ),
        (
            {"verdict": "exact", "ulp": 0.0, "excess": 0.0, **CALL, "computed": 1.0, "exact": 1.0, "ends": None},
            "0",
            "0",
        ),
        (
            {"verdict": "wrong", "ulp": 9.5, "excess": 9.0, **CALL, "computed": 2.0, "exact": 1.0, "ends": None},
            "9.5",
            "9",
        ),
    ],
)
def test_an_error_without_a_size_is_an_empty_cell(document, ulp, excess):
    found = cells(**document)
    assert (found["max ulp"], found["excess"], found["verdict"]) == (ulp, excess, document["verdict"])
