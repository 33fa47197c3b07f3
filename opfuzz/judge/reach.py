"""Whom a fault touches: what its smallest call, and the condition under which it shows, need of values and sizes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from opfuzz.core.call import Call
from opfuzz.core.common_cause import EMPTY, LARGE, ORDINARY, RARE, SMALL, SPECIAL, UNKNOWN
from opfuzz.core.findings import Finding, Minimal
from opfuzz.core.trigger import Condition, Trigger

LEAST, MOST = 2.0**-10, 2.0**10  # between these a magnitude is ordinary
NARROWEST = (EMPTY, SPECIAL, RARE, UNKNOWN, LARGE, SMALL, ORDINARY)  # what a call needs most decides


def reach_of(finding: Finding) -> str:
    """One of REACHES: `unknown` where no smaller call was found, or nothing says whether more sizes fail."""
    minimal = finding.minimal
    if minimal is None or not minimal.is_shown:
        return UNKNOWN
    drawn = finding.recipe.case.dims if finding.recipe.case is not None else minimal.call.dims
    found = {_of_sizes(minimal.call.dims, drawn, minimal.trigger), _of_values(minimal)}
    return next(reach for reach in NARROWEST if reach in found)


def _of_sizes(dims: Mapping[str, int], drawn: Mapping[str, int], trigger: Trigger | None) -> str:
    """`drawn` are the sizes of the call that the smallest was made from."""
    is_empty = 0 in dims.values()
    if trigger is not None:
        needs = [_of_size(each.data) for each in trigger.conditions if each.kind == "size"]
        # Sizes are probed first: where any condition was found, and none was refuted, they are known.
        is_refuted = trigger.held < trigger.checked
        is_known = trigger.complete or (bool(trigger.conditions) and not is_refuted)
        # Either of two dims of 0 does: no condition on one of them says so, and calls with neither refute `any size`.
        if needs or (is_known and not (is_empty and is_refuted)):
            return next((reach for reach in NARROWEST if reach in needs), ORDINARY)
    if is_empty and 0 in drawn.values():  # else larger calls fail as well
        return EMPTY
    return ORDINARY if any(min(sizes.values(), default=2) >= 2 for sizes in (dims, drawn)) else UNKNOWN


def _of_size(data: Mapping[str, Any]) -> str:
    low, high = data.get("low"), data.get("high")
    if high == 0:
        return EMPTY
    is_one = high is not None and (high < 2 or high == low)
    return RARE if is_one or data.get("relation") == "equal" else ORDINARY


def _of_values(minimal: Minimal) -> str:
    call, trigger = minimal.call, minimal.trigger
    conditions = [each for each in trigger.conditions if each.kind == "values"] if trigger is not None else []
    if conditions:
        needs = {_of_value(each, call) for each in conditions}
        return next(reach for reach in NARROWEST if reach in needs)
    if trigger is not None and trigger.complete:
        return ORDINARY
    reach = _of_arrays(call, tuple(call.arrays))
    return reach if reach == ORDINARY or not minimal.note else UNKNOWN  # other values might do, where time was over


def _of_value(condition: Condition, call: Call) -> str:
    data = condition.data
    match str(data.get("relation", "")).partition(" ")[0]:
        case "NaN" | "infinities" | "+inf" | "-inf":
            return SPECIAL
        case "max":
            return LARGE if data["low"] > MOST else ORDINARY
        case "mean":
            return LARGE if data["value"] > MOST else ORDINARY
        case "min":
            return SMALL if data["value"] < LEAST else ORDINARY
        case "like":
            return _of_arrays(call, (data["input"],))
        case "zeros" if data["relation"] != "zeros":  # against infinities
            return SPECIAL
    return ORDINARY


def _of_arrays(call: Call, names: Sequence[str]) -> str:
    """What the values of a call are; its largest decide where it has large and small ones."""
    if not call.arrays:  # an op without inputs has no values; else they are in a file of their own
        return UNKNOWN if call.layouts else ORDINARY
    # A format that NumPy does not know is none of `float16` to `float64`, as the name of its kind says.
    floats = [call.arrays[name] for name in names if call.arrays[name].dtype.kind not in "iub"]
    values = np.abs(np.concatenate([np.ravel(each).astype(np.float64) for each in floats] or [np.zeros(0)]))
    if not np.isfinite(values).all():
        return SPECIAL
    if values.max(initial=0.0) > MOST:
        return LARGE
    return SMALL if values[values > 0].min(initial=1.0) < LEAST else ORDINARY
