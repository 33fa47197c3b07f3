"""What came with opfuzz: specs and profiles."""

from __future__ import annotations

from pathlib import Path


def shipped(folder: str) -> Path:
    """The folder `specs` or `profiles`: in the wheel, or beside the package in a source tree."""
    package = Path(__file__).parents[1]
    inside = package / folder
    return inside if inside.is_dir() else package.parent / folder
