"""The sampler: pure, and it reaches every regime and layout."""

from __future__ import annotations

from collections import Counter

import pytest
from toy_specs import CONVOLUTION, LOOKUP, NORM, PRODUCT, TOYS, UNARY

from opfuzz.core.errors import OpfuzzError
from opfuzz.core.layout import LAYOUTS, applicable
from opfuzz.generate import DEFAULT_REGIMES, draw
from opfuzz.spec import OpSpec

toys = pytest.mark.parametrize("spec", TOYS, ids=lambda spec: spec.op)


@toys
def test_a_case_is_a_function_of_seed_op_format_and_number(spec: OpSpec) -> None:
    forward = [draw(spec, "float32", 7, number) for number in range(50)]
    backward = [draw(spec, "float32", 7, number) for number in reversed(range(50))]
    assert forward == backward[::-1]
    others = [draw(spec, "float16", 7, number) for number in range(50)]
    others += [draw(spec, "float32", 8, number) for number in range(50)]
    assert len({case.id for case in forward + others}) == 150
    assert len({case.seed for case in forward + others}) == 150


def test_every_default_regime_is_drawn_as_often_as_its_weight_says() -> None:
    cases = [draw(UNARY, "float32", 0, number) for number in range(3000)]
    seen = Counter(case.regimes["x"] for case in cases)
    for regime, weight in DEFAULT_REGIMES["float"].items():
        assert seen[regime] == pytest.approx(30 * weight, abs=5 * (30 * weight) ** 0.5)


def test_regimes_suit_the_kind_of_the_input() -> None:
    cases = [draw(LOOKUP, "float32", 0, number) for number in range(600)]
    for name, kind in {"table": "float", "index": "index", "keep": "mask", "bias": "additive_mask"}.items():
        assert {case.regimes[name] for case in cases} == set(DEFAULT_REGIMES[kind])


def test_only_the_listed_regimes_are_drawn() -> None:
    cases = [draw(NORM, "float32", 0, number) for number in range(200)]
    assert {case.regimes["x"] for case in cases} == {"normal", "offset", "tiny_variance"}
    assert {case.regimes["weight"] for case in cases} == {"ones", "normal"}


def test_special_values_come_in_one_input_mostly() -> None:
    cases = [draw(PRODUCT, "float32", 0, number) for number in range(3000)]
    counts = Counter(list(case.regimes.values()).count("specials") for case in cases)
    assert 0.08 < (counts[1] + counts[2]) / 3000 < 0.18
    assert counts[2] < 0.1 * counts[1]


def test_inputs_share_a_regime_often_enough() -> None:
    """Ones times ones is what shows a running sum that stops."""
    cases = [draw(PRODUCT, "float32", 0, number) for number in range(2000)]
    assert sum(case.regimes["a"] == case.regimes["b"] == "ones" for case in cases) > 10
    assert sum(case.regimes["a"] == case.regimes["b"] for case in cases) < 1000


def test_every_layout_is_drawn_where_it_is_applicable() -> None:
    seen: Counter[str] = Counter()
    for number in range(1000):
        case = draw(CONVOLUTION, "float32", 0, number)
        for name, shape in CONVOLUTION.shapes(case.dims, case.params).items():
            assert applicable(case.layouts[name], shape)
            seen[case.layouts[name]] += 1
    assert 0.5 < seen["contiguous"] / 2000 < 0.65
    assert all(seen[layout] > 60 for layout in LAYOUTS)


def test_a_format_that_the_spec_lacks_is_named() -> None:
    with pytest.raises(OpfuzzError, match=r"unary has no format 'float31', only float32, .*; did you mean 'float32'"):
        draw(UNARY, "float31", 0, 0)
