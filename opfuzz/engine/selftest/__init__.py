"""Measuring the tool: known faults are planted in a backend, and counted when they are found."""

from opfuzz.engine.selftest.mutant import Mutant

__all__ = ["Mutant"]
