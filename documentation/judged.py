"""One output judged as a run judges it: what the examples and pictures of the pages rest on."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from opfuzz.backends import discover
from opfuzz.cli.group import bundled_specs
from opfuzz.core.call import Call
from opfuzz.engine.plan import load_specs
from opfuzz.oracle.reference import Reference, references_of
from opfuzz.spec import OpSpec

Array = NDArray[Any]


@cache
def _specs() -> Mapping[str, OpSpec]:
    return {spec.op: spec for spec in load_specs((bundled_specs(),), discover())}


def reference(op: str, arrays: Mapping[str, Array], dims: Mapping[str, int], format: str = "float32") -> Reference:
    """The exact result of a bundled op on contiguous arrays, its params at their defaults."""
    spec = _specs()[op]
    params = {param.name: param.default for param in spec.params}
    (found,) = references_of(spec, Call(format, dims, params, arrays, dict.fromkeys(arrays, "contiguous")))
    return found


def sequential(terms: Array) -> Array:
    """The sums of the last axis, added up one by one in the format of the terms."""
    return np.add.accumulate(terms, axis=-1, dtype=terms.dtype)[..., -1:]
