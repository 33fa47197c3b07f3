"""What a reference refuses to compute."""

from __future__ import annotations

import numpy as np

from opfuzz.backends import discover
from opfuzz.cli.group import bundled_specs
from opfuzz.core.floats import FORMATS
from opfuzz.engine.plan import load_specs
from opfuzz.oracle.reference import Reference

ATTENTION = next(spec for spec in load_specs((bundled_specs(),), discover()) if spec.op == "attention")


def meanings(heads):
    """The variants of attention that have values where it has so many heads, and little else."""
    dims = {"batch": 2, "heads": heads, "queries": 1, "keys": 1, "d": 1}
    arrays = {item.name: np.ones((2, heads, 1, 1), np.float32) for item in ATTENTION.inputs}
    reference = Reference(ATTENTION, FORMATS["float32"], dims, {}, arrays)
    return {name for name in reference.variants if reference.variant(name) is not None}


def test_a_meaning_that_takes_heads_times_heads_is_left_out_where_these_are_many():
    few, many = meanings(8), meanings(16384)
    assert many < few
    assert "no-scale" in many
