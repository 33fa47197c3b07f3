"""Call sites of a network where a cause may show: the operating points of a profile that no trigger rules out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from opfuzz.core.call import Call
from opfuzz.core.common_cause import CommonCause
from opfuzz.core.findings import Finding
from opfuzz.core.trigger import Condition
from opfuzz.search.trigger.asking import Settings
from opfuzz.search.trigger.predicate import Predicate
from opfuzz.search.trigger.settings import admits
from opfuzz.search.trigger.sizes import Term
from opfuzz.spec.profile import OperatingPoint, Profile, Values

PREDICATE = ("low", "high", "divisor", "is_multiple", "without")


def sites_of(common: CommonCause, findings: Mapping[str, Finding], profile: Profile) -> tuple[int, int]:
    """Operating points of the ops of a cause that no condition rules out, and all of them.

    What a trigger does not say rules nothing out, and neither do formats and layouts: those of a network are not those
    of its profile.
    """
    members = [findings[id] for id in common.findings]
    points = [point for op in common.ops for point in profile.points_of(op)]
    return sum(any(each.op == point.op and _may_show(each, point) for each in members) for point in points), len(points)


def _may_show(finding: Finding, point: OperatingPoint) -> bool:
    minimal = finding.minimal
    if minimal is None or minimal.trigger is None:
        return True
    return all(_holds(condition, point, minimal.call) for condition in minimal.trigger.conditions)


def _holds(condition: Condition, point: OperatingPoint, smallest: Call) -> bool:
    data = condition.data
    match condition.kind:
        case "size":
            predicate = Predicate(**{name: data[name] for name in PREDICATE})
            beside: dict[str, Any] = {"param": data["param"]} if "param" in data else {}
            sizes: dict[str, Any] = {**point.dims, **point.params}
            return Term(tuple(data["dims"]), data["relation"], predicate, **beside).holds(sizes)
        case "param":
            return admits(condition, Settings(point.dims, point.params, "", {}))
        case "values" if data.get("relation") == "like":
            return _covers(point.inputs.get(data["input"]), smallest.arrays[data["input"]])
        case "values":
            names = [data["input"]] if "input" in data else list(point.inputs)
            return any(name not in point.inputs or _reaches(data, point.inputs[name]) for name in names)
        case _:
            return True


def _covers(values: Values | None, array: NDArray[Any]) -> bool:
    """Whether the values of an input at an operating point go as far as those of a call."""
    if values is None:
        return True
    found = array.astype(np.float64)
    return bool(((found >= values.quantiles[0]) & (found <= values.quantiles[-1])).all())


def _reaches(data: Mapping[str, Any], values: Values) -> bool:
    """Whether the values of an input at an operating point come where a condition wants them."""
    least, most = values.quantiles[0], values.quantiles[-1]
    largest, smallest = max(abs(least), abs(most)), 0.0 if least <= 0 <= most else min(abs(least), abs(most))
    match data["relation"]:
        case "max abs" | "max" | "max of -x" as what:
            reached = {"max abs": largest, "max": most, "max of -x": -least}[what]
            return bool(reached >= data["low"])
        case "min <":
            return bool(smallest < data["value"])
        case "mean / sd >=":
            return bool(abs(values.mean) >= data["value"] * values.sd)
        case "positive":
            return most > 0
        case "negative":
            return least < 0
        case "zeros":
            return least == most == 0
        case "equal":
            return least == most
        case _:  # NaN and infinities, which a profile has not
            return False
