"""The sizes and settings of a call that somebody wrote down, held against the spec. ValueError says what is wrong."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from opfuzz.core.errors import did_you_mean
from opfuzz.core.floats import FORMATS
from opfuzz.spec import Input, OpSpec, Value

ELEMENTS = 2**28  # of all inputs and the output
DIM_LIMIT = 2**40


def checked_dims(spec: OpSpec, given: Mapping[str, Any]) -> dict[str, int]:
    """The dims, in the order of the spec. Raises ValueError for other names, and for what is no size."""
    found = named("dims", given, [dim.name for dim in spec.dims])
    for name, size in found.items():
        if type(size) is not int or not 0 <= size <= DIM_LIMIT:
            raise ValueError(f"dim {name} is {size!r:.40}, not an integer from 0 to 2^40")
    return found


def checked_params(spec: OpSpec, given: Mapping[str, Any]) -> dict[str, Value]:
    """The params, in the order of the spec. Raises ValueError for other names, and for values of another kind."""
    found = named("params", given, [param.name for param in spec.params])
    for param in spec.params:
        value = found[param.name]
        if value is not None and type(value) not in (int, float, bool, str):
            raise ValueError(f"param {param.name} is {value!r:.40}, not a number, true, false, text or null")
        if not param.is_like(value):
            raise ValueError(f"param {param.name} is {value!r:.40}, unlike the values that the spec gives it")
    return found


def check_sizes(spec: OpSpec, dims: Mapping[str, int], params: Mapping[str, Value]) -> None:
    """Raises ValueError for sizes that the spec does not allow, and for arrays that no memory holds."""
    if not spec.allows(dims, params):
        settings = ", ".join(f"{name} = {value!r:.40}" for name, value in {**dims, **params}.items())
        raise ValueError(f"the spec does not allow {settings}")
    if (elements := spec.elements(dims, params)) > ELEMENTS:
        raise ValueError(f"inputs and output of {elements} elements, the limit is {ELEMENTS}")


def dtype_of(item: Input, format: str) -> np.dtype[Any]:
    """How an input is stored."""
    kinds = {"index": np.dtype(np.int64), "mask": np.dtype(np.bool_)}
    return kinds.get(item.kind, FORMATS[item.format_in(format)].dtype)


def named(what: str, given: Mapping[str, Any], known: list[str]) -> dict[str, Any]:
    """`given` in the order of the spec. Raises ValueError unless it has exactly the names that are known."""
    for name in given:
        if name not in known:
            raise ValueError(f"{what}: unknown {name!r:.40}{did_you_mean(name[:40], known)}")
    for name in known:
        if name not in given:
            raise ValueError(f"{what}: missing '{name}'")
    return {name: given[name] for name in known}
