"""What came with opfuzz: specs and profiles."""

from __future__ import annotations

from pathlib import Path


def shipped(folder: str) -> Path:
    """The folder `specs` or `profiles`: in the wheel, or beside the package in a source tree."""
    inside = Path(__file__).with_name(folder)
    return inside if inside.is_dir() else Path(__file__).parent.with_name(folder)
