"""Cases near the operating points of a profile: sizes, params and values as there, in cases that need no profile."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections import Counter

import numpy as np
import pytest
from toy_specs import CONVOLUTION, LOOKUP, NORM, PRODUCT, UNARY

from opfuzz.core.case import Case
from opfuzz.core.errors import OpfuzzError
from opfuzz.core.floats import FLOAT16, FORMATS
from opfuzz.generate import DEFAULT_REGIMES, draw, draw_near, inputs
from opfuzz.generate.sizes import budget_of, work
from opfuzz.spec import OpSpec
from opfuzz.spec.profile import PROBABILITIES, OperatingPoint, Profile, Values, values_of

NORMAL = values_of(np.random.default_rng(0).normal(0.5, 2, 100_000))
SKEWED = values_of(np.random.default_rng(1).exponential(3, 100_000))
ONES = values_of(np.ones(3))


def point(op: str, dims: dict[str, int], count: int = 1, params=None, **given: Values) -> OperatingPoint:
    return OperatingPoint(op, count, dims, params or {}, given)


PROFILE = Profile(
    "toys",
    (
        point("norm", {"batch": 2, "d": 256}, params={"eps": 1e-3}, x=NORMAL, weight=ONES, bias=SKEWED),
        point("product", {"m": 96, "k": 1024, "n": 512}, 30, a=NORMAL, b=SKEWED),
        point("product", {"m": 2, "k": 64, "n": 32}, 10, a=NORMAL, b=SKEWED),
        point(
            "convolution",
            {"n": 2, "c_in": 12, "c_out": 8, "length": 40, "k": 3},
            params={"stride": 1, "padding": 2, "dilation": 1, "groups": 4},
            x=NORMAL,
        ),
        point("lookup", {"rows": 3, "columns": 5, "vocab": 7, "d": 32}, table=NORMAL, bias=NORMAL),
    ),
    {},
)
SPECS = (CONVOLUTION, LOOKUP, NORM, PRODUCT)
specs = pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.op)


def near(spec: OpSpec, count: int, format: str = "float32") -> list[Case]:
    cases = (draw_near(spec, format, 5, number, PROFILE) for number in range(count))
    return [case for case in cases if case is not None]


@specs
def test_three_of_four_cases_are_near_and_the_others_as_without_a_profile(spec: OpSpec) -> None:
    cases = [draw(spec, "float32", 5, number, PROFILE) for number in range(400)]
    assert cases == [draw(spec, "float32", 5, number, PROFILE) for number in range(400)]
    away = [number for number in range(400) if draw_near(spec, "float32", 5, number, PROFILE) is None]
    assert 70 < len(away) < 130
    assert all(cases[number] == draw(spec, "float32", 5, number) for number in away)
    assert len({case.id for case in cases}) == 400


def test_an_op_that_the_profile_does_not_know_is_drawn_as_always() -> None:
    for number in range(50):
        assert draw(UNARY, "float32", 5, number, PROFILE) == draw(UNARY, "float32", 5, number)


@specs
@pytest.mark.parametrize("format", FORMATS)
def test_a_case_is_allowed_within_budget_and_repeats_without_the_profile(spec: OpSpec, format: str) -> None:
    budget = budget_of(format)
    for case in near(spec, 60, format):
        assert spec.allows(case.dims, case.params)
        assert work(case.dims) <= budget.work
        assert spec.elements(case.dims, case.params) <= budget.elements
    for number in range(8):
        case = draw(spec, format, 5, number, PROFILE)
        again = Case.from_json(json.loads(json.dumps(case.to_json())))
        first, second = inputs(spec, case), inputs(spec, again)
        assert {name: array.tobytes() for name, array in first.items()} == {
            name: array.tobytes() for name, array in second.items()
        }


def test_params_are_kept_though_the_spec_does_not_list_them() -> None:
    assert {case.params["eps"] for case in near(NORM, 100)} == {1e-3}
    assert len({tuple(case.params.items()) for case in near(CONVOLUTION, 100)}) == 1


def test_sizes_are_those_of_the_point_or_near() -> None:
    sizes = Counter((case.dims["batch"], case.dims["d"]) for case in near(NORM, 600))
    assert sizes[2, 256] > 0.5 * sizes.total()
    assert {64, 255, 256, 257, 384, 512} <= {d for _, d in sizes}
    assert all(1 <= batch <= 4 and 64 <= d <= 512 for batch, d in sizes)
    for case in near(CONVOLUTION, 100):
        assert case.dims["c_in"] % 4 == case.dims["c_out"] % 4 == 0


def test_what_is_too_large_gets_smaller_where_no_sum_runs() -> None:
    large = [case.dims for case in near(PRODUCT, 300) if case.dims["k"] > 200]
    assert Counter(dims["k"] for dims in large).most_common(1)[0][0] == 1024
    assert min(dims["m"] for dims in large) >= 8, "a product with few rows goes to other kernels"
    assert min(dims["n"] for dims in large) >= 8


def test_points_are_as_likely_as_their_calls_are_many() -> None:
    cases = near(PRODUCT, 800)
    assert sum(case.dims["k"] > 200 for case in cases) / len(cases) == pytest.approx(0.75, abs=0.05)


def test_what_has_no_quantiles_keeps_the_regimes_of_the_spec() -> None:
    cases = near(LOOKUP, 300)
    assert all(case.regimes["table"].startswith("quantiles(") for case in cases)
    for name, kind in {"index": "index", "keep": "mask", "bias": "additive_mask"}.items():
        assert {case.regimes[name] for case in cases} == set(DEFAULT_REGIMES[kind])
    weights = {case.regimes["weight"] for case in near(CONVOLUTION, 300)}
    assert weights == set(DEFAULT_REGIMES["float"]) - {"specials"}


def test_layouts_vary_as_in_other_cases() -> None:
    layouts = Counter(case.layouts["a"] for case in near(PRODUCT, 400))
    assert 0.4 < layouts["contiguous"] / layouts.total() < 0.7
    assert len(layouts) == 6, "all that a matrix can have"


def filled(regime: str, format: str = "float32", n: int = 40_000) -> np.ndarray:
    case = Case("unary", UNARY.digest, format, {"n": n}, {}, {"x": regime}, {"x": "contiguous"}, 9)
    return inputs(UNARY, case)["x"].astype(np.float64)


def regimes_of_x() -> dict[str, int]:
    return dict(Counter(case.regimes["x"] for case in near(NORM, 300)))


def test_values_have_the_quantiles_of_the_point() -> None:
    regime = max(regimes_of_x(), key=regimes_of_x().__getitem__)
    values = filled(regime)
    for probability, quantile in zip(PROBABILITIES, NORMAL.quantiles, strict=True):
        share = np.mean(values <= quantile)
        slack = 5 * np.sqrt(probability * (1 - probability) / values.size) + 1 / values.size
        assert abs(share - probability) <= slack
    assert NORMAL.quantiles[0] <= values.min() < NORMAL.quantiles[1]
    assert NORMAL.quantiles[-2] < values.max() <= np.float32(NORMAL.quantiles[-1])
    assert values.mean() == pytest.approx(NORMAL.mean, abs=0.05)
    assert values.std() == pytest.approx(NORMAL.sd, rel=0.05)


def test_one_case_in_four_is_scaled_from_half_to_double() -> None:
    seen = regimes_of_x()
    scales = {regime: filled(regime).std() / NORMAL.sd for regime in seen}
    unscaled = max(seen, key=seen.__getitem__)
    assert 0.7 < seen[unscaled] / sum(seen.values()) < 0.9, "one scale in seven is 1"
    assert {round(scale * 4) for scale in scales.values()} == set(range(2, 9))


def test_a_constant_is_one_in_every_format() -> None:
    regimes = {case.regimes["weight"] for case in near(NORM, 40)}
    for regime in regimes:
        for format in FORMATS:
            assert np.ptp(filled(regime, format, 50)) == 0


def test_zeros_keep_their_share() -> None:
    rectified = values_of(np.maximum(np.random.default_rng(2).normal(-1, 1, 50_000), 0))
    regime = draw_near_regime(rectified)
    assert np.mean(filled(regime) == 0) == pytest.approx(0.75, abs=0.01), "to the nearest of the probabilities"


def draw_near_regime(values: Values) -> str:
    profile = Profile("p", (point("unary", {"n": 9}, x=values),), {})
    cases = (draw_near(UNARY, "float32", 0, number, profile) for number in range(100))
    seen = Counter(case.regimes["x"] for case in cases if case is not None)
    return seen.most_common(1)[0][0]


def test_what_is_beyond_a_format_is_its_largest_number() -> None:
    values = filled(draw_near_regime(values_of(np.array([-1e10, 0, 1e10]))), "float16")
    assert (values.min(), values.max()) == (-FLOAT16.largest, FLOAT16.largest)


def test_a_smaller_array_has_the_first_values() -> None:
    regime = draw_near_regime(NORMAL)
    np.testing.assert_array_equal(filled(regime, n=10), filled(regime, n=100)[:10])


def test_values_are_pinned() -> None:
    """As those of the other regimes are: a change here changes the inputs of all stored cases."""
    regime = "quantiles(-4,-3.5,-2,-1.5,-1,-0.5,-0.25,0,0,0.333333,1,1.5,2.5,5,100)"
    assert (
        hashlib.blake2b(filled(regime, n=301).astype("<f4").tobytes(), digest_size=8).hexdigest() == "8b084f252f770d5a"
    )


ASCENDING = ",".join(map(str, range(15)))


@pytest.mark.parametrize(
    "regime",
    [
        "quantiles()",
        "quantiles(1,2)",
        f"quantiles({ASCENDING},15)",
        f"quantiles({ASCENDING}",
        f"quantiles({ASCENDING.replace('3', 'three')})",
        f"quantiles({ASCENDING.replace('14', '-14')})",
        f"quantiles({ASCENDING.replace('14', 'inf')})",
        f"quantiles({ASCENDING.replace('14', 'nan')})",
        f"quantiles({ASCENDING.replace('0,', '-1.7e308,', 1).replace('14', '1.7e308')})",
    ],
)
def test_wrong_quantiles_are_told(regime: str) -> None:
    with pytest.raises(OpfuzzError, match=r"input x: regime 'quantiles\(.*' is not quantiles\(...\) of 15 ascending"):
        filled(regime)


def test_quantiles_make_no_indices() -> None:
    case = draw(LOOKUP, "float32", 0, 0)
    wrong = dataclasses.replace(case, regimes={**case.regimes, "index": f"quantiles({ASCENDING})"})
    with pytest.raises(OpfuzzError, match=r"input index: regime 'quantiles\(.*' makes no index values"):
        inputs(LOOKUP, wrong)


def test_a_format_that_the_spec_lacks_is_named() -> None:
    with pytest.raises(OpfuzzError, match="norm has no format 'float31'"):
        draw_near(NORM, "float31", 0, 0, PROFILE)
