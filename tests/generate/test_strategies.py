"""Hypothesis strategies: they draw the cases that the sampler draws, and shrink them."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, find, given, settings
from numpy.typing import NDArray
from toy_specs import CONVOLUTION, NORM, TOYS, UNARY

from opfuzz.core.case import Case
from opfuzz.core.layout import LAYOUTS
from opfuzz.generate import DEFAULT_REGIMES
from opfuzz.generate.sizes import budget_of
from opfuzz.generate.strategies import cases, inputs
from opfuzz.spec import OpSpec

QUICK = settings(max_examples=40, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])


@pytest.mark.parametrize("spec", TOYS, ids=lambda spec: spec.op)
def test_cases_are_allowed_and_within_the_budget(spec: OpSpec) -> None:
    @given(cases(spec))
    @QUICK
    def check(case: Case) -> None:
        assert case.op == spec.op
        assert case.digest == spec.digest
        assert case.format in spec.formats
        assert spec.allows(case.dims, case.params)
        assert spec.elements(case.dims, case.params) <= budget_of(case.format).elements
        assert set(case.layouts.values()) <= set(LAYOUTS)

    check()


@given(cases(UNARY, "bfloat16"))
@QUICK
def test_the_format_may_be_chosen(case: Case) -> None:
    assert case.format == "bfloat16"
    assert case.regimes["x"] in DEFAULT_REGIMES["float"]


@given(inputs(NORM, "float16"))
@QUICK
def test_inputs_come_with_their_case(drawn: tuple[Case, dict[str, NDArray[Any]]]) -> None:
    case, arrays = drawn
    assert {name: array.shape for name, array in arrays.items()} == NORM.shapes(case.dims, case.params)


def test_shrinks_to_the_simplest_case() -> None:
    case = find(cases(CONVOLUTION), lambda case: True)
    assert set(case.layouts.values()) == {"contiguous"}
    assert case.params == {"stride": 1, "padding": 0, "dilation": 1, "groups": 1}
    assert set(case.dims.values()) == {1}
    assert case.seed == 0


def test_shrinks_to_a_boundary() -> None:
    case = find(cases(UNARY, "float32"), lambda case: case.dims["n"] >= 100, settings=settings(max_examples=500))
    assert case.dims["n"] in (100, 127)
    assert case.layouts["x"] == "contiguous"
