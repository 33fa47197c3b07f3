"""A finding in a folder of its own: written whole, and read back as if somebody hostile had written it."""

from opfuzz.bundle.files import CALL, CASE, FINDING, INPUTS, NEXT, OUTPUT, REPRODUCER, SPEC, UPSTREAM, bundles_in
from opfuzz.bundle.reading import Bundle, read_bundle
from opfuzz.bundle.writing import keep_first, write_bundle

__all__ = [
    "CALL",
    "CASE",
    "FINDING",
    "INPUTS",
    "NEXT",
    "OUTPUT",
    "REPRODUCER",
    "SPEC",
    "UPSTREAM",
    "Bundle",
    "bundles_in",
    "keep_first",
    "read_bundle",
    "write_bundle",
]
