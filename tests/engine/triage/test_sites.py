"""At how many operating points of a network a cause may show."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from results import witness

from opfuzz.core.call import Call, Recipe
from opfuzz.core.cause import Cause
from opfuzz.core.findings import Finding, Minimal
from opfuzz.core.trigger import Condition, Trigger
from opfuzz.engine.triage.sites import sites_of
from opfuzz.judge.gather import gather
from opfuzz.spec.profile import OperatingPoint, profile_of, values_of


def point(op: str, n: int, low: float, high: float, **params: float) -> OperatingPoint:
    return OperatingPoint(op, 1, {"n": n}, params, {"x": values_of(np.linspace(low, high, 9))})


PROFILE = profile_of(
    "net", [point("exp", 64, -2.0, 90.0), point("exp", 1025, -3.0, 3.0), point("sum", 7, 1.0, 2.0, k=2)], {}
)


def size(**bounds: int | None) -> Condition:
    whole = {"low": None, "high": None, "divisor": 0, "is_multiple": True, "without": None, **bounds}
    return Condition("size", "n", {"dims": ["n"], "relation": "product", **whole})


def values(relation: str, **data: object) -> Condition:
    return Condition("values", "x", {"input": "x", "relation": relation, **data})


def found(op: str, trigger: Trigger | None) -> Finding:
    call = Call("float32", {"n": 1}, {}, {"x": np.ones(1, np.float32)}, {"x": "contiguous"})
    place = (op, op, "s:cpu", "float32", "wrong", "fault", Cause("is-variant", "a"), 1, 1, 0, "c")
    return Finding(*place, witness(), Recipe(), minimal=Minimal(call, 2, 2, 1, "", trigger))


@pytest.mark.parametrize(
    ("conditions", "sites"),
    [
        ((), (2, 2)),
        ((size(low=1025),), (1, 2)),
        ((size(divisor=8),), (1, 2)),
        ((values("max", low=88.0, high=None),), (1, 2)),
        ((values("max abs", low=88.0, high=None), size(low=1025)), (0, 2)),
        ((values("min <", value=1e-8),), (2, 2)),
        ((values("-inf"),), (0, 2)),
        ((Condition("values", "only positive values", {"relation": "positive"}),), (2, 2)),
        ((Condition("format", "float32 only", {"relation": "in", "value": ["float32"]}),), (2, 2)),
        ((values("like"),), (2, 2)),
    ],
)
def test_conditions(conditions, sites):
    finding = found("exp", Trigger(conditions))
    (common,) = gather([finding])
    assert sites_of(common, {finding.id: finding}, PROFILE) == sites


def test_ops_of_one_cause_add_up():
    known = [
        found("exp", Trigger((size(low=1025),))),
        found("sum", Trigger((Condition("param", "k", {"param": "k", "relation": ">=", "value": 2}),))),
    ]
    (common,) = gather(known)
    assert sites_of(common, {each.id: each for each in known}, PROFILE) == (2, 3)
    unasked = [known[0], replace(known[1], minimal=None)]
    assert sites_of(common, {each.id: each for each in unasked}, PROFILE) == (2, 3), (
        "what is not known rules nothing out"
    )
    call = replace(known[0].minimal.call, arrays={"x": np.array([88.5], np.float32)})
    like = replace(known[0], minimal=replace(known[0].minimal, call=call, trigger=Trigger((values("like"),))))
    assert sites_of(gather([like])[0], {like.id: like}, PROFILE) == (1, 2), "values as far as 88.5"
    other = found("tanh", Trigger(()))
    assert sites_of(gather([other])[0], {other.id: other}, PROFILE) == (0, 0)
