"""Differential fuzzer for operator-level precision."""

from opfuzz.case import Case
from opfuzz.errors import OpfuzzError, SpecError
from opfuzz.floats import FORMATS, Format, ulp
from opfuzz.spec import OpSpec

__all__ = ["FORMATS", "Case", "Format", "OpSpec", "OpfuzzError", "SpecError", "ulp"]
