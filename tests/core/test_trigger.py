"""A trigger in words and as JSON."""

from __future__ import annotations

import json

import pytest

from opfuzz.core.errors import OpfuzzError
from opfuzz.core.trigger import Condition, Trigger

M = Condition("size", "m >= 2", {"dims": ["m"], "relation": "product", "low": 2})
N = Condition("size", "n >= 2", {"dims": ["n"], "relation": "product", "low": 2})
FORMAT = Condition("format", "float32 only", {"relation": "in", "value": ["float32"]})
WHOLE = Trigger((M, N, FORMAT), checked=20, held=20)


def test_words():
    assert WHOLE.words == "fails when m >= 2 and n >= 2; float32 only; any layout; any values"
    assert Trigger(()).words == "fails at any size; any format; any layout; any values"
    assert Trigger((M,), checked=20, held=17).words.endswith("; any values; holds for 17 of 20 further calls")
    assert Trigger((M,), complete=False).words.endswith("; not everything was probed")
    refuted = Trigger((M,), checked=71, held=64, complete=False)
    assert refuted.words.endswith("; which does not tell all that was tried; holds for 64 of 71 further calls")


def test_text_is_by_kind():
    assert WHOLE.text("size") == "m >= 2 and n >= 2"
    assert WHOLE.text("layout") == ""


def test_json_and_back():
    written = json.loads(json.dumps(WHOLE.to_json()))
    assert written["words"] == WHOLE.words
    assert Trigger.from_json(written) == WHOLE


@pytest.mark.parametrize(
    "change",
    [
        {"conditions": 3},
        {"conditions": [{"kind": "colour", "text": "", "data": {}}]},
        {"conditions": [{"kind": "size", "text": "", "data": 4}]},
        {"conditions": [{"kind": "size"}]},
        {"held": 21},
        {"checked": "20"},
        {"complete": None},
    ],
)
def test_what_is_no_trigger_is_refused(change):
    with pytest.raises(OpfuzzError, match="not a trigger"):
        Trigger.from_json({**WHOLE.to_json(), **change})


def test_text_is_no_trigger():
    with pytest.raises(OpfuzzError, match="not a trigger"):
        Trigger.from_json("fails at any size")
