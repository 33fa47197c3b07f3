"""Strict JSON has no NaN and no infinities: they become the text "nan", "inf", "-inf". What is read is not trusted."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from typing import Any

DEPTH_LIMIT = 32
DIGITS = 20  # of an integer: enough for 64 bits

_TEXT = re.compile(r'"(?:[^"\\]|\\.)*"?', re.DOTALL)
_WORDS = ("nan", "inf", "-inf")


def strict(value: Any) -> Any:
    """Mappings, sequences and numbers as strict JSON holds them, keys as text."""
    if isinstance(value, Mapping):
        return {str(key): strict(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [strict(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value


def number(value: object) -> float:
    """The number that `strict` wrote. Raises ValueError for anything else."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    if isinstance(value, str) and value in _WORDS:
        return float(value)
    raise ValueError(f"{value!r:.40} is no number")


def parse(data: bytes) -> Any:
    """The value that JSON in UTF-8 stands for.

    Raises ValueError, in one line, for what is no JSON, NaN and infinities among it, and for duplicate keys, nesting
    beyond DEPTH_LIMIT and integers of more than DIGITS digits.
    """
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        raise ValueError(f"byte 0x{data[error.start]:02x} at {error.start} is not UTF-8") from None
    depth = 0
    for bracket in re.findall(r"[\[\]{}]", _TEXT.sub("", text)):
        depth += 1 if bracket in "[{" else -1
        if depth > DEPTH_LIMIT:
            raise ValueError(f"more than {DEPTH_LIMIT} levels of lists and objects")
    try:
        return json.loads(
            text, object_pairs_hook=_object, parse_constant=_constant, parse_int=_integer, parse_float=_float
        )
    except json.JSONDecodeError as error:
        raise ValueError(f"no JSON: {error.msg} in line {error.lineno}, column {error.colno}") from None


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise ValueError(f"duplicate key {key!r:.40}")
        found[key] = value
    return found


def _constant(word: str) -> Any:
    raise ValueError(f"{word} is no JSON")


def _integer(text: str) -> int:
    if len(text.lstrip("-")) > DIGITS:
        raise ValueError(f"an integer of {len(text.lstrip('-'))} digits")
    return int(text)


def _float(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text:.40} is no finite number")
    return value
