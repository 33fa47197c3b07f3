"""Values that a spec never gives an input are not tried to find out when a fault shows."""

from __future__ import annotations

from dataclasses import replace

from minimal_calls import found, minimal
from toy_specs import UNARY


def x_of(call):
    return call.arrays["x"]


def test_an_input_that_is_never_negative_is_not_asked_with_other_values():
    spread = replace(UNARY, inputs=(replace(UNARY.inputs[0], regimes=("positive", "zeros")),))
    asked = []

    def fails(call):
        asked.append(call)
        return bool((abs(x_of(call)) > 88).any())

    trigger, _ = found(spread, minimal(spread, {"n": 1}, fill=89.0), fails)
    assert all((x_of(call) >= 0).all() for call in asked)
    assert trigger.text("values") == "max |x| >= 88"
