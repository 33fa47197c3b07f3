"""What strict JSON cannot hold becomes text."""

from __future__ import annotations

import json

from opfuzz.strict_json import strict


def test_nan_and_infinities_become_text_at_any_depth():
    held = {1: [float("nan"), (float("inf"), 2.5)], "b": {"c": float("-inf"), "d": None, "e": True}}
    kept = strict(held)
    assert kept == {"1": ["nan", ["inf", 2.5]], "b": {"c": "-inf", "d": None, "e": True}}
    assert json.loads(json.dumps(kept, allow_nan=False)) == kept
