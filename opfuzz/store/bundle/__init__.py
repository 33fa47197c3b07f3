"""A finding in a folder of its own: written whole, and read back as if somebody hostile had written it."""

from opfuzz.store.bundle.files import (
    CALL,
    CASE,
    FINDING,
    INPUTS,
    NEXT,
    OUTPUT,
    REPRODUCER,
    SPEC,
    UPSTREAM,
    bundles_in,
)
from opfuzz.store.bundle.reading import Bundle, read_bundle
from opfuzz.store.bundle.writing import keep_first, write_bundle

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
