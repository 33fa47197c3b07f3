"""Figures of causes in words."""

from __future__ import annotations

from collections.abc import Iterable


def figure(value: float) -> str:
    """Three digits."""
    return f"{value:.3g}".replace("e+0", "e").replace("e+", "e").replace("e-0", "e-")


def counted(count: int, noun: str) -> str:
    """`1 element`, `2 elements`."""
    return f"{count} {noun if count == 1 else noun + 's'}"


def on_all(count: int) -> str:
    """`on its only element`, `on all 512 elements`."""
    return "on its only element" if count == 1 else f"on all {count} elements"


def named(names: Iterable[str]) -> str:
    """`x and weight`."""
    return " and ".join(names)
