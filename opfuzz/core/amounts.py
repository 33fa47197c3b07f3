"""Times and seeds as people write them: `60s`, `nightly`."""

from __future__ import annotations

from datetime import UTC, datetime

from opfuzz.core.case import SEED_LIMIT


def seconds_of(text: str | float) -> float:
    """`90`, `60s`, `5m`, `2h`, in seconds. Raises ValueError, with the remedy, for what is no time above zero."""
    text = str(text)
    unit = {"s": 1, "m": 60, "h": 3600}.get(text[-1:])
    try:
        seconds = float(text[:-1]) * unit if unit else float(text)
    except ValueError:
        seconds = -1.0
    if not 0 < seconds < float("inf"):
        raise ValueError(f"'{text}' is no time; write 90, 60s, 5m or 2h")
    return seconds


def seconds_or_none(text: str | float) -> float:
    """The same, or `0` for not at all."""
    return 0.0 if str(text) in ("0", "0s", "0.0") else seconds_of(text)


def seed_of(text: str | int) -> int:
    """A whole number, or `nightly` for today's date in UTC as a number. Raises ValueError, with the remedy."""
    text = str(text)
    if text == "nightly":
        return int(f"{datetime.now(UTC):%Y%m%d}")
    # Digits are counted first: Python refuses to read thousands of them.
    if not (text.isascii() and text.isdecimal() and len(text) <= 20 and int(text) < SEED_LIMIT):
        raise ValueError(f"'{text:.40}' is no seed; write a whole number below 2^64, or nightly")
    return int(text)
