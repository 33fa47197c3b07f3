"""What strict JSON cannot hold becomes text."""

from __future__ import annotations

import json
import math

import pytest

from opfuzz.core.files.strict_json import DEPTH_LIMIT, number, parse, strict


def test_nan_and_infinities_become_text_at_any_depth():
    held = {1: [float("nan"), (float("inf"), 2.5)], "b": {"c": float("-inf"), "d": None, "e": True}}
    kept = strict(held)
    assert kept == {"1": ["nan", ["inf", 2.5]], "b": {"c": "-inf", "d": None, "e": True}}
    assert json.loads(json.dumps(kept, allow_nan=False)) == kept


def test_what_is_written_is_read():
    held = {"a": [1, -0.5, None, True, '€ [[[ \\" {'], "b": {"c": {}}, "d": 2**64 - 1}
    assert parse(json.dumps(held, ensure_ascii=False).encode()) == held


@pytest.mark.parametrize("value", [0.1, -0.0, 5e-324, math.inf, -math.inf, math.nan, 3])
def test_numbers_come_back(value):
    assert float(number(parse(json.dumps(strict(value)).encode()))).hex() == float(value).hex()


@pytest.mark.parametrize("value", [None, True, "1", "NaN", [1], {}])
def test_what_is_no_number(value):
    with pytest.raises(ValueError, match="is no number"):
        number(value)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "no JSON"),
        (b"{'a': 1}", "no JSON: .* in line 1, column 2"),
        (b'{"a": 1} x', "no JSON"),
        (b"NaN", "NaN is no JSON"),
        (b"[-Infinity]", "-Infinity is no JSON"),
        (b"1e400", "no finite number"),
        (b"1" * 21, "integer of 21 digits"),
        (b"-" + b"1" * 9999, "integer of 9999 digits"),
        (b'{"a": {"b": 1, "b": 2}}', "duplicate key 'b'"),
        (b'"\xff"', "byte 0xff at 1 is not UTF-8"),
        (b"[" * (DEPTH_LIMIT + 1) + b"]" * (DEPTH_LIMIT + 1), "levels"),
        (b'{"a":' * 200_000, "levels"),
        (b'["' + b"[" * 100 + b'", ' + b"[" * DEPTH_LIMIT, "levels"),
    ],
)
def test_what_is_refused(data, words):
    with pytest.raises(ValueError, match=words) as caught:
        parse(data)
    assert "\n" not in str(caught.value)


def test_the_deepest_that_is_read():
    assert parse(b"[" * DEPTH_LIMIT + b"]" * DEPTH_LIMIT) is not None
