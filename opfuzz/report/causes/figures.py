"""Figures of causes in words."""

from __future__ import annotations

from collections.abc import Iterable, Sequence


def figure(value: float) -> str:
    """Three digits."""
    return f"{value:.3g}".replace("e+0", "e").replace("e+", "e").replace("e-0", "e-")


def right(exact: float, ends: Sequence[float] | None, digits: int | None = 9) -> str:
    """What is exact: a number, or `0 to 1` where all of a range is right; `digits` None: all that float64 has."""
    told = [exact] if ends is None else ends
    return " to ".join(repr(float(value)) if digits is None else f"{value:.{digits}g}" for value in told)


def counted(count: int, noun: str) -> str:
    """`1 element`, `2 elements`."""
    return f"{count} {noun if count == 1 else noun + 's'}"


def on_all(count: int) -> str:
    """`on its only element`, `on all 512 elements`."""
    return "on its only element" if count == 1 else f"on all {count} elements"


def named(names: Iterable[str]) -> str:
    """`x and weight`."""
    return " and ".join(names)
