"""Sizes: boundaries are reached, budgets kept, rules met."""

from __future__ import annotations

import statistics
from collections import Counter
from dataclasses import replace
from functools import cache
from typing import Any

import pytest
from toy_specs import CONVOLUTION, IMPOSSIBLE, LOOKUP, NORM, PRODUCT, TOYS, UNARY

from opfuzz.core.case import Case
from opfuzz.core.errors import OpfuzzError
from opfuzz.generate import ELEMENT_BUDGET, WORK_BUDGET, draw
from opfuzz.generate.choices import Words
from opfuzz.generate.repair import mend, nearest_allowed
from opfuzz.generate.sizes import BOUNDARIES, budget_of, smallest, work
from opfuzz.spec import Dim, OpSpec
from opfuzz.spec.expression.program import parse
from opfuzz.spec.op import Param

toys = pytest.mark.parametrize("spec", TOYS, ids=lambda spec: spec.op)


@cache
def drawn(op: str, format: str = "float32", count: int = 2000) -> tuple[Case, ...]:
    (spec,) = [toy for toy in TOYS if toy.op == op]
    return tuple(draw(spec, format, 0, number) for number in range(count))


def sizes_of(op: str, name: str) -> Counter[int]:
    return Counter(case.dims[name] for case in drawn(op))


@toys
@pytest.mark.parametrize(("format", "drawing"), [("float32", {}), ("float64", {"count": 500})])
def test_every_case_is_allowed_and_within_the_budget(spec: OpSpec, format: str, drawing: dict[str, int]) -> None:
    budget = budget_of(format)
    for case in drawn(spec.op, format, **drawing):
        assert spec.allows(case.dims, case.params)
        if not is_tiled(spec, case):
            assert spec.elements(case.dims, case.params) <= budget.elements
            assert work(case.dims) <= budget.work
        assert all(dim.allows(case.dims[dim.name]) for dim in spec.dims)
        assert all(param.allows(case.params[param.name]) for param in spec.params)


def is_tiled(spec: OpSpec, case: Case) -> bool:
    """A huge sum among tiles, which has a budget of its own."""
    largest = max(case.dims.values())
    is_large = work(case.dims) > 64 * largest or spec.elements(case.dims, case.params) > ELEMENT_BUDGET
    return largest > 2000 and is_large and spec in (PRODUCT, CONVOLUTION)


def test_a_huge_sum_meets_tiles_now_and_then() -> None:
    """pytorch #195163: K of 32767 and more with both other dims of 16 and more."""
    cases = [case for case in drawn("product") if is_tiled(PRODUCT, case)]
    assert 2 <= len(cases) <= 20
    assert any(case.dims["k"] >= 32767 and min(case.dims["m"], case.dims["n"]) >= 16 for case in cases)
    for case in cases:
        assert PRODUCT.elements(case.dims, case.params) <= 2**22


def test_a_window_stays_narrow_among_tiles() -> None:
    """Its width multiplies what a reference gathers: 8193 channels, 16 positions and a width of 17 were too many."""
    tiled = [case for case in drawn("convolution") if is_tiled(CONVOLUTION, case)]
    assert tiled
    assert all(case.dims["k"] <= 3 for case in tiled)


def test_the_budgets() -> None:
    assert (budget_of("float16").elements, budget_of("bfloat16").work) == (ELEMENT_BUDGET, WORK_BUDGET)
    assert (budget_of("float64").elements, budget_of("float64").work) == (2**9, 2**12)


@toys
def test_every_boundary_is_reached_within_2000_cases(spec: OpSpec) -> None:
    seen = {size for case in drawn(spec.op) for size in case.dims.values()}
    assert set(BOUNDARIES) <= seen
    assert {32767, 32768, 65535, 65536, 65537} & seen


@pytest.mark.parametrize(
    ("op", "name"), [("unary", "n"), ("product", "m"), ("product", "k"), ("norm", "d"), ("convolution", "c_out")]
)
def test_one_dim_reaches_the_sizes_where_bugs_are(op: str, name: str) -> None:
    seen = sizes_of(op, name)
    assert all(seen[size] >= 2 for size in (1, 2, 3, 127, 128, 129))
    assert max(seen) >= 32768


def test_65537_is_reached_on_one_dim_while_the_others_are_tiny() -> None:
    """pytorch #129207: more than 65536 channels; layer_norm needs four tensors of that size."""
    for spec in TOYS:
        cases = [case for case in drawn(spec.op) if 65537 in case.dims.values() and not is_tiled(spec, case)]
        assert cases or spec in (LOOKUP, CONVOLUTION)
        for case in cases:
            assert work(case.dims) // 65537 <= 16
    assert NORM.elements({"batch": 1, "d": 65537}, {"eps": 1e-5}) <= ELEMENT_BUDGET


@toys
def test_empty_dims_are_tried_where_the_spec_has_them(spec: OpSpec) -> None:
    for dim in spec.dims:
        share = sum(case.dims[dim.name] == 0 for case in drawn(spec.op)) / 2000
        assert (
            (0.005 < share < 0.1) if 0 in range(dim.low, 1) and not dim.choices and dim.name != "vocab" else share == 0
        )


@toys
def test_most_cases_are_small(spec: OpSpec) -> None:
    counts = sorted(spec.elements(case.dims, case.params) for case in drawn(spec.op))
    assert 250 <= statistics.median(counts) <= 3500
    assert counts[1800] <= 2**16
    assert counts[-1] > 2**17


@toys
def test_cases_differ(spec: OpSpec) -> None:
    assert len({(*case.dims.values(), *case.params.values()) for case in drawn(spec.op)}) > 400


def test_rules_leave_the_variety() -> None:
    cases = drawn("convolution")
    assert len({(*case.dims.values(), *case.params.values()) for case in cases}) > 0.9 * len(cases)
    simplest = smallest(CONVOLUTION)
    assert sum((case.dims, case.params) == simplest for case in cases) < 0.01 * len(cases)
    shapes = [CONVOLUTION.output_shapes(case.dims, case.params)[""] for case in cases]
    assert sum(shape[-1] == 1 for shape in shapes) > 100
    for name, default in {"stride": 1, "padding": 0, "dilation": 1, "groups": 1}.items():
        values = Counter(case.params[name] for case in cases)
        assert 0.4 < values[default] / len(cases) < 0.65
        (param,) = [param for param in CONVOLUTION.params if param.name == name]
        assert set(values) == set(param.values or range(5))


def test_an_index_always_has_something_to_point_at() -> None:
    assert all(case.dims["vocab"] >= 1 for case in drawn("lookup"))


def test_the_smallest_sizes() -> None:
    assert smallest(UNARY) == ({"n": 1}, {})
    assert smallest(CONVOLUTION)[0] == {"n": 1, "c_in": 1, "c_out": 1, "length": 1, "k": 1}
    assert smallest(LOOKUP)[0] == {"rows": 1, "columns": 1, "vocab": 1, "d": 4}


def test_sizes_that_are_multiples_of_a_param_are_as_small_as_it_is() -> None:
    rule = parse("k % group == 0", names=["k", "group"], functions={})
    sizes = {"dims": (Dim("k", 1, None, None),), "params": (Param("group", (64, 32)),), "require": (rule,)}
    spec = replace(UNARY, **sizes, inputs=(), outputs=())
    assert smallest(spec) == ({"k": 64}, {"group": 64})
    written = replace(spec, require=(parse("k % 96 == 0", names=["k"], functions={}),))
    assert smallest(written)[0] == {"k": 96}
    assert mend(Words("mend"), written, {"k": 1000}, {"group": 64}, "k") == ({"k": 1056}, {"group": 64})


def test_a_rule_that_nothing_meets_is_named() -> None:
    with pytest.raises(OpfuzzError, match=r"impossible: no small sizes meet 'n \* n == 2'"):
        draw(IMPOSSIBLE, "float32", 0, 0)


def convolution(**changes: int) -> tuple[dict[str, int], dict[str, Any]]:
    values = {"n": 1, "c_in": 1, "c_out": 1, "length": 9, "k": 1, "stride": 1, "padding": 0, "dilation": 1, "groups": 1}
    values |= changes
    return {d.name: values[d.name] for d in CONVOLUTION.dims}, {p.name: values[p.name] for p in CONVOLUTION.params}


def test_mending_leaves_what_is_allowed_alone() -> None:
    sizes = convolution(c_in=4, groups=4, c_out=8)
    assert mend(Words("m"), CONVOLUTION, *sizes, focus=None) == sizes


@pytest.mark.parametrize("number", range(20))
def test_mending_changes_the_focus_last(number: int) -> None:
    """65537 has no divisor among the groups: the groups give way, not the boundary."""
    mended = mend(Words("m", number), CONVOLUTION, *convolution(c_out=65537, groups=4, c_in=4), focus="c_out")
    assert mended is not None
    assert mended[0]["c_out"] == 65537
    assert mended[1]["groups"] == 1


@pytest.mark.parametrize("number", range(20))
def test_mending_meets_several_rules(number: int) -> None:
    mended = mend(Words("m", number), CONVOLUTION, *convolution(c_in=3, c_out=5, groups=4, length=3, k=129), focus="k")
    assert mended is not None
    assert CONVOLUTION.allows(*mended)
    assert mended[0]["k"] == 129


@pytest.mark.parametrize("low", [ELEMENT_BUDGET + 1, 10**14])
def test_low_limits_beyond_every_budget_are_refused(low: int) -> None:
    (dim,) = UNARY.dims
    spec = replace(UNARY, dims=(replace(dim, low=low, high=None, choices=None),))
    with pytest.raises(OpfuzzError) as caught:
        draw(spec, "float32", 0, 0)
    assert str(caught.value) == (
        f"{UNARY.path}: dim 'n' of 'unary' is at least {low}: the smallest case has {2 * low} elements, "
        f"more than the {ELEMENT_BUDGET} that a case may have"
    )


def test_mending_gives_up() -> None:
    assert mend(Words("m"), IMPOSSIBLE, {"n": 3}, {}, focus=None) is None


@pytest.mark.parametrize(
    ("dim", "size", "nearest"),
    [
        (Dim("d", 1, None, None), 0, 1),
        (Dim("d", 1, 8, None), 9, 8),
        (Dim("d", 1, 8, None), 5, 5),
        (Dim("d", 4, 32, (4, 8, 32)), 31, 8),
        (Dim("d", 4, 32, (4, 8, 32)), 2, 4),
    ],
)
def test_nearest_allowed(dim: Dim, size: int, nearest: int) -> None:
    assert nearest_allowed(dim, size) == nearest


def test_products_reach_shapes_that_dispatch_differently() -> None:
    """Vectors, single rows and columns, and multiples of 32 beside their neighbours."""
    cases = [case.dims for case in drawn("product")]
    assert sum(dims["m"] == 1 for dims in cases) > 100
    assert sum(dims["m"] >= 2 and dims["n"] >= 2 and dims["k"] >= 32 for dims in cases) > 100
    assert sum(dims["k"] % 32 == 0 for dims in cases) > 50
    assert PRODUCT.op == "product"
