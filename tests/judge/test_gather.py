"""Findings with one cause are one, whatever the op, the format, the layout and the verdict."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from results import witness

from opfuzz.core import cause as causes
from opfuzz.core.call import Call, Recipe
from opfuzz.core.cause import UNEXPLAINED, Cause, Kind
from opfuzz.core.common_cause import REACHES
from opfuzz.core.findings import Finding, Minimal, finding_id
from opfuzz.core.relation import relation_id
from opfuzz.core.trigger import Condition, Trigger
from opfuzz.core.verdicts import SEVERITY
from opfuzz.judge.gather import gather

SPECIAL = Cause("special-at", figures={"computed": float("nan"), "exact": 0.0, "overflows": ""})


def finding(op: str, *found: Cause, verdict: str = "wrong", subject: str = "mlx:cpu", **fields: Any) -> Finding:
    format = fields.pop("format", "float32")
    cause = fields.pop("cause", found[0] if found else UNEXPLAINED)
    id = finding_id((op, subject, format, verdict, relation_id(cause.relation)))
    shown = replace(witness(), mark=replace(witness().mark))
    own = Finding(
        id, op, subject, format, verdict, SEVERITY[verdict], cause, 1, 1, 0, "c0", shown, Recipe(), causes=found
    )
    return replace(own, **fields)


def shrunk(values: list[float], trigger: Trigger | None = None, note: str = "", **dims: int) -> Minimal:
    array = np.array(values, np.float32)
    call = Call("float32", dims or {"n": len(values)}, {}, {"x": array}, {"x": "contiguous"})
    return Minimal(call, 2 * array.size, 99, 10, note, trigger)


def causes_of(*findings: Finding) -> list[tuple[str, str, tuple[str, ...]]]:
    return [(each.kind, each.name, each.ops) for each in gather(findings)]


def test_kind_and_name_on_a_framework_are_one_cause():
    eps = [finding(op, Cause("is-variant", "eps-1e-3")) for op in ("layer_norm", "group_norm")]
    other = finding("rms_norm", Cause("is-variant", "eps-1e-3"), subject="torch:cpu")
    half = finding("rms_norm", Cause("is-variant", "eps-1e-3"), subject="mlx:gpu/fast", format="float16")
    found = gather([*eps, other, half])
    assert {each.framework: (each.ops, each.formats) for each in found} == {
        "mlx": (("group_norm", "layer_norm", "rms_norm"), ("float32", "float16")),
        "torch": (("rms_norm",), ("float32",)),
    }


def test_whatever_is_raised_for_an_empty_array_alone_is_one_refusal():
    def raising(op: str, words: str, **dims: int) -> Finding:
        cause = Cause("raises", "ValueError", figures={"words": words})
        return finding(op, cause, verdict="crash", minimal=shrunk([1.0][: min(dims.values())], **dims))

    empty = [raising("logsumexp", "no axis to reduce", n=0), raising("group_norm", "cannot infer -1", batch=0)]
    once_not = [raising("conv1d", "stride of 0", length=0), raising("conv2d", "stride of 0", length=2)]
    found = gather([*empty, *once_not])
    assert [(each.reach, each.ops) for each in found] == [
        ("ordinary", ("conv2d", "conv1d")),
        ("empty", ("group_norm", "logsumexp")),
    ]
    assert gather(empty)[0].id == gather(empty[:1])[0].id
    unknown = [raising("std", "no rows", batch=0), raising("var", "no rows", batch=1, n=1)]
    assert [each.reach for each in gather(unknown)] == ["unknown"]  # nobody knows that it has to be empty


def test_verdicts_of_one_cause_are_one():
    rounds = Cause("computes-in", "float32", figures={"instead_of": "float64", "elements": 4})
    both = [
        finding("exp", rounds, format="float64"),
        finding("exp", SPECIAL, rounds, verdict="special", format="float64"),
    ]
    assert causes_of(*both) == [("computes-in", "float32", ("exp",))]


def test_a_special_value_is_of_what_explains_it():
    values = Cause("depends-on", "chance")
    nan = [finding(op, SPECIAL, values, Cause("natural-nan"), verdict="special") for op in ("gelu", "silu")]
    overflow = Cause("overflows-inside", "float16")
    half = [finding(op, SPECIAL, overflow, verdict="special", format="float16") for op in ("mean", "var")]
    alone = finding("exp", SPECIAL, values, verdict="special")
    assert sorted(causes_of(*nan, *half, alone)) == [
        ("natural-nan", "", ("gelu", "silu")),
        ("overflows-inside", "its format", ("mean", "var")),
        ("special-at", "", ("exp",)),
    ]


def test_a_value_that_was_solved_for_need_not_be_the_same_to_the_last_digit():
    def eps(op: str, value: float) -> Finding:
        return finding(op, Cause("is-setting", "eps", figures={"how": ("value", value), "fit": 0.1, "elements": 4}))

    found = gather([eps("layer_norm", 1e-3), eps("rms_norm", 1.0003e-3), eps("group_norm", 2e-3)])
    assert sorted(each.ops for each in found) == [("group_norm",), ("layer_norm", "rms_norm")]


def test_a_value_for_which_one_spec_has_a_name_is_the_same_where_another_has_none():
    named = Cause("is-variant", "eps-1e-3", figures={"note": "eps is 1e-3", "sets": ("eps", 1e-3), "fit": 0.1})
    solved = Cause("is-setting", "eps", figures={"how": ("value", 1e-3), "fit": 0.1, "elements": 4})
    other = Cause("is-variant", "eps-1e-5", figures={"note": "eps is 1e-5", "sets": ("eps", 1e-5), "fit": 0.1})
    found = gather([finding("layer_norm", named), finding("rms_norm", solved), finding("group_norm", other)])
    assert sorted(each.ops for each in found) == [("group_norm",), ("layer_norm", "rms_norm")]


def test_of_what_is_not_explained_that_which_says_more_stands_for_the_rest():
    argument = finding(
        "sin", Cause("rounds-argument", figures={"roundings": 1.2}), verdict="imprecise", format="float16"
    )
    (found,) = gather([finding("sin", SPECIAL, verdict="special"), argument])
    assert found.cause.kind == "rounds-argument"


def test_what_is_not_explained_is_one_cause_an_op():
    wrong = finding("exp", Cause("unexplained", figures={"bits": 3.0, "of": 24}))
    argument = finding("exp", Cause("rounds-argument", figures={"roundings": 60.0}), verdict="imprecise")
    assert len(gather([wrong, argument, finding("exp", SPECIAL, verdict="special"), finding("erf")])) == 2


def test_half_formats_that_do_the_same_are_one():
    def adds(name: str, format: str) -> Finding:
        return finding("sum", Cause("accumulates-in", name, figures={"lanes": 1}), format=format)

    sums = [adds(name, name) for name in ("float16", "bfloat16")]
    assert sorted(causes_of(*sums, adds("float16", "float32"))) == [
        ("accumulates-in", "float16", ("sum",)),
        ("accumulates-in", "its format", ("sum",)),
    ]


def test_messages_that_differ_in_sizes_are_one():
    def crash(op: str, words: str, name: str = "ValueError") -> Finding:
        return finding(op, Cause("raises", name, figures={"words": words}), verdict="crash")

    found = [
        crash("mean", "raised ValueError: no axis 3 of (1, 2)"),
        crash("var", "raised ValueError: no axis 17 of (0, 2)"),
        crash("sum", "raised ValueError: empty"),
        crash("sum", "raised TypeError: empty", "TypeError"),
    ]
    assert sorted(ops for _, _, ops in causes_of(*found)) == [("mean", "var"), ("sum",), ("sum",)]


def test_notes_and_faults_are_apart():
    fault, note = finding("gelu", Cause("cancels")), finding("gelu", Cause("cancels"), verdict="normwise")
    assert [each.severity for each in gather([note, fault])] == ["fault", "note"]


@pytest.fixture
def _inheritance(monkeypatch):
    monkeypatch.setattr(causes, "KINDS", {**causes.KINDS, "inherits": Kind("of a primitive", "its op")})


@pytest.mark.usefixtures("_inheritance")
def test_what_is_inherited_is_of_the_primitive():
    exp = finding("exp", Cause("rounds-argument", figures={"roundings": 60.0}))
    heirs = [finding("sigmoid", Cause("inherits", "exp")), finding("silu", Cause("inherits", "sigmoid"))]
    other = finding("mish", Cause("inherits", "exp"), subject="torch:cpu")
    found = gather([*heirs, exp, other])
    assert {(each.framework, each.kind, each.name, each.ops) for each in found} == {
        ("mlx", "rounds-argument", "", ("exp", "sigmoid", "silu")),
        ("torch", "inherits", "exp", ("mish",)),
    }
    ring = [finding("silu", Cause("inherits", "sigmoid")), finding("sigmoid", Cause("inherits", "silu"))]
    assert sorted(each.kind for each in gather(ring)) == ["inherits", "inherits"]


def test_ids_are_the_same_for_other_findings():
    one = gather([finding("mean", Cause("is-variant", "eps-1e-3"))])
    other = gather([finding("var", Cause("is-variant", "eps-1e-3"), format="float16")])
    assert one[0].id == other[0].id
    apart = [gather([finding(op, Cause("depends-on", "chance"))])[0].id for op in ("mean", "var")]
    assert apart[0] != apart[1]


def any_size(*conditions: Condition, complete: bool = True) -> Trigger:
    return Trigger(conditions, complete=complete)


def size(low: int, high: int | None, relation: str = "product") -> Condition:
    return Condition("size", "n", {"dims": ["n"], "relation": relation, "low": low, "high": high})


def values(relation: str, **data: Any) -> Condition:
    return Condition("values", "x", {"input": "x", "relation": relation, **data})


@pytest.mark.parametrize(
    ("minimal", "reach"),
    [
        (None, "unknown"),
        (shrunk([1.0, 2.0]), "ordinary"),
        (shrunk([1.0]), "unknown"),
        (shrunk([1.0], any_size()), "ordinary"),
        (shrunk([1.0, 1e30]), "large"),
        (shrunk([1.0, 1e30], note="stopped when its time was over"), "unknown"),
        (shrunk([1e30], any_size()), "ordinary"),
        (shrunk([1e30], any_size(values("max abs", low=1e29, high=None))), "large"),
        (shrunk([88.0], any_size(values("max", low=88.0, high=None))), "ordinary"),
        (shrunk([1e-9], any_size(values("min <", value=1e-8))), "small"),
        (shrunk([1e-9], any_size(values("like"))), "small"),
        (shrunk([float("inf")], any_size(values("-inf"))), "special"),
        (shrunk([float("nan"), 1.0]), "special"),
        (
            Minimal(Call("float32", {"steps": 2}, {}, {}, {}), 2, 2, 1, "", any_size(size(2, None), complete=False)),
            "ordinary",
        ),
        (shrunk([], any_size(size(0, 0))), "empty"),
        (shrunk([]), "empty"),
        (shrunk([], any_size()), "ordinary"),
        (shrunk([], replace(any_size(), checked=71, held=64)), "empty"),
        (shrunk([1.0], any_size(size(1, 1))), "rare size"),
        (shrunk([1.0], any_size(size(1, None, "equal"))), "rare size"),
        (shrunk([1.0], any_size(size(1025, None))), "ordinary"),
        (shrunk([1.0], any_size(size(5, None), complete=False)), "ordinary"),
        (shrunk([1.0], any_size(values("positive"), complete=False)), "ordinary"),
        (shrunk([1.0], replace(any_size(values("positive"), complete=False), checked=9, held=7)), "unknown"),
        (replace(shrunk([1.0, 2.0]), is_shown=False), "unknown"),
    ],
)
def test_reach(minimal, reach):
    (found,) = gather([finding("exp", minimal=minimal)])
    assert found.reach == reach
    assert reach in REACHES


def test_the_widest_reach_stands_for_a_cause():
    told = Cause("is-variant", "other-axis")
    rare = finding("sum", told, minimal=shrunk([1.0], any_size(size(1, 1))), excess=9.0)
    plain = finding("mean", told, minimal=shrunk([1.0, 2.0]), ulp=7.0)
    (found,) = gather([rare, plain, finding("var", told)])
    assert (found.reach, found.findings[0], found.ops[0]) == ("ordinary", plain.id, "mean")
    assert (found.worst.ulp, found.worst.excess) == (7.0, 9.0)
    assert (found.smallest.computed, found.smallest.exact) == (1.5, 1.25)
    assert found.path == f"findings/{plain.id}"


def test_the_gravest_come_first():
    def told(op: str, excess: float, minimal: Minimal | None) -> Finding:
        return finding(op, Cause("is-variant", op), minimal=minimal, excess=excess)

    given = [
        told("a", 5.0, shrunk([1.0, 2.0])),
        told("b", float("nan"), shrunk([float("nan"), 1.0])),
        told("c", 50.0, shrunk([1.0, 2.0])),
        finding("d", Cause("cancels"), verdict="normwise", minimal=shrunk([1.0, 2.0])),
    ]
    assert [each.ops[0] for each in gather(given)] == ["c", "a", "b", "d"]


def test_what_is_explained_comes_before_what_is_not():
    open_one = finding("a", UNEXPLAINED, minimal=shrunk([1.0, 2.0]), excess=50.0)
    known = finding("a", Cause("is-variant", "b"), minimal=shrunk([1.0, 2.0]), excess=5.0, verdict="special")
    assert [each.kind for each in gather([open_one, known])] == ["is-variant", "unexplained"]


def test_which_step_is_rounded_is_a_matter_of_the_op():
    step = Cause(
        "computes-in", "float16", figures={"step": "exp", "elements": 9, "met": 9, "before": 9.0, "after": 0.0}
    )
    found = causes_of(finding("softmax", step), finding("softmax", step, format="float64"), finding("attention", step))
    assert sorted(found) == [("computes-in", "float16", ("attention",)), ("computes-in", "float16", ("softmax",))]
