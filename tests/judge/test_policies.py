"""What honest implementations do with subnormal numbers is a note, and so is an element now and then."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from opfuzz.backends import discover
from opfuzz.core.call import Call
from opfuzz.core.cause import Cause
from opfuzz.core.results import Score
from opfuzz.engine.plan import load_specs
from opfuzz.judge.metamorphic import is_switch
from opfuzz.judge.score import score
from opfuzz.oracle.reference import references_of

SPECS = Path(__file__).parents[2] / "specs"


@pytest.fixture(scope="module")
def known():
    named = (
        *(
            "elementary/rsqrt",
            "activation/sigmoid",
            "activation/silu",
            "activation/swiglu",
            "reduce/sum",
            "reduce/cumsum",
        ),
        "elementary/expm1",
        *("norm/layer_norm", "norm/group_norm", "attention/attention_mask", "elementary/hypot"),
    )
    paths = [SPECS / f"{name}.yaml" for name in named]
    return {spec.op: spec for spec in load_specs(paths, discover(()), dialects=())}


def judged(spec, arrays, made, **sizes) -> Score:
    params = {param.name: sizes.pop(param.name, param.default) for param in spec.params}
    call = Call(made.dtype.name, sizes, params, arrays, dict.fromkeys(arrays, "contiguous"))
    with np.errstate(all="ignore"):
        return score(made, references_of(spec, call)[0])


def test_subnormal_inputs_that_count_as_zero_are_one_policy(known):
    x = np.float32([[5e-41, 4.0, -0.0]])
    found = judged(known["rsqrt"], {"x": x}, np.float32([[np.inf, 0.5, -np.inf]]), batch=1, n=3)
    assert (found.verdict, found.cause.kind, found.cause.name) == ("normwise", "underflows-inside", "inputs")
    wrong = judged(known["rsqrt"], {"x": x}, np.float32([[np.inf, np.inf, -np.inf]]), batch=1, n=3)
    assert wrong.verdict == "special"


def test_a_subnormal_input_explains_no_other_element(known):
    """silu's usual formula has NaN at -inf whatever stands beside it."""
    x = np.float16([[-np.inf, 0.0, -6e-8]])
    found = judged(known["silu"], {"x": x}, np.float16([[np.nan, 0.0, -0.0]]), batch=1, n=3)
    assert (found.verdict, found.cause.kind) == ("special", "special-at")
    x = np.float32([[5e-41, 4.0, -0.0]])
    for wrong in ([np.inf, 0.5, np.inf], [-np.inf, 0.5, -np.inf]):  # infinities of the other sign
        assert judged(known["rsqrt"], {"x": x}, np.float32([wrong]), batch=1, n=3).verdict == "special"


def test_a_number_where_infinity_is_right_is_no_overflow(known):
    """exp(128) overflows float32 on the way to expm1, and makes infinity or NaN."""
    x = np.float32([[128.0, 1.0]])
    for first, verdict in ((3e4, "special"), (np.finfo("f4").max, "special"), (np.nan, "normwise"), (np.inf, "exact")):
        made = np.float32([[first, np.expm1(1.0)]])
        assert judged(known["expm1"], {"x": x}, made, batch=1, n=2).verdict == verdict


def test_factors_in_another_order_may_be_subnormal_on_the_way(known):
    x = np.random.default_rng(2).standard_normal((3, 8)) * 1e4
    weight, bias = np.full(8, 1e-306), np.zeros(8)
    centred = x - x.mean(-1, keepdims=True)
    scale = weight / np.sqrt((centred**2).mean(-1, keepdims=True) + 1e-5)
    arrays = {"x": x, "weight": weight, "bias": bias}
    assert judged(known["layer_norm"], arrays, centred * scale, batch=3, d=8).verdict == "normwise"
    off = centred * scale * 1.001
    assert judged(known["layer_norm"], arrays, off, batch=3, d=8).verdict != "normwise"


@pytest.mark.parametrize(("op", "slope"), [("sigmoid", 1.0), ("silu", -60.0)])
def test_a_tail_that_is_cut_off_is_not_flushed(known, op, slope):
    """exp(60) is added up in what divides: it makes nothing large that underflowed, as a factor would."""
    x, zero = np.float32([[-60.0, -60.0]]), np.float32([[0.0, 0.0]])
    assert judged(known[op], {"x": x}, zero, batch=1, n=2).verdict == "wrong"
    right = np.float32(slope * np.exp(-60.0)) * np.float32([[1, 1]])
    assert judged(known[op], {"x": x}, right, batch=1, n=2).verdict in ("exact", "faithful", "stable")
    subnormal = judged(known[op], {"x": x - 28}, zero, batch=1, n=2)  # what sigmoid is there
    assert subnormal.verdict == ("exact" if op == "sigmoid" else "normwise")


@pytest.mark.parametrize(
    ("x", "verdict"), [(-87.3, "normwise"), (-87.0, "normwise"), (-86.0, "wrong"), (-80.0, "wrong")]
)
def test_the_power_of_two_inside_exp_may_be_subnormal_where_its_result_is_not(known, x, verdict):
    """2^(k - 1) * 2 p with p from 0.7 to 1.4, as OpenVINO has it: from 125.5 ln 2 = 86.99 on 2^(k - 1) is 0."""
    made = np.float32([[0.0, 0.5]])
    assert judged(known["sigmoid"], {"x": np.float32([[x, 0.0]])}, made, batch=1, n=2).verdict == verdict


def added_up(x, blocks):
    """Running sums in float32, in so many blocks that are joined at the end; subnormal numbers are taken for zero."""

    def flushed(numbers):
        return np.where(np.abs(numbers) < np.finfo(np.float32).tiny, np.float32(0), numbers)

    made, carried = [], np.zeros(x.shape[:-1], np.float32)
    for block in np.split(flushed(x), blocks, -1):
        running = np.zeros_like(carried)
        for term in np.moveaxis(block, -1, 0):
            running = flushed(running + term)
            made.append(flushed(carried + running))
        carried = made[-1]
    return np.stack(made, -1)


@pytest.mark.parametrize("blocks", [1, 4])
def test_running_sums_may_be_subnormal_on_the_way_in_any_order(known, blocks):
    x = (np.random.default_rng(3).standard_normal((64, 32)) * 1.5e-38).astype(np.float32)
    found = added_up(x, blocks)
    assert judged(known["cumsum"], {"x": x}, found, batch=64, n=32).verdict == "normwise"
    assert judged(known["sum"], {"x": x}, found[:, -1], batch=64, n=32).verdict in ("normwise", "stable")
    x *= np.float32(2.0**30)  # no partial sum of these is subnormal
    off = added_up(x, blocks) * np.float32(1.001)
    assert judged(known["cumsum"], {"x": x}, off, batch=64, n=32).verdict == "wrong"


def test_a_number_that_is_only_compared_with_makes_nothing_subnormal(known):
    """hypot compares with the largest number of float64."""
    x, y = np.array([[3.0, 300.0]]), np.array([[4.0, 1.0]])
    assert judged(known["hypot"], {"x": x, "y": y}, np.zeros((1, 2), np.float32), batch=1, n=2).verdict == "wrong"


@pytest.mark.parametrize(("elements", "beyond", "told"), [(64, 1, False), (64, 4, True), (1000, 4, False)])
def test_a_switch_shows_on_a_number_of_elements_and_a_share_of_them(elements, beyond, told):
    found = Score("narrow", Cause("computes-in", "float16"), excess=50.0, elements=elements, beyond=beyond)
    assert is_switch(found, 1.0) == told


SINC = """
op: sinc
summary: sin(pi x) / (pi x), 1 at 0.
formats: [float32, float16]
dims: {n: 0..}
inputs:
  x: {shape: [n]}
output: {shape: [n]}
calls: {numpy: np.sinc(x)}
reference: where(x < 0, sin(pi * x) / (pi * x), where(x > 0, sin(pi * x) / (pi * x), 1))
"""


@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_nan_is_a_fault_where_only_a_branch_that_is_not_taken_has_none(dtype, tmp_path):
    (tmp_path / "sinc.yaml").write_text(SINC)
    (spec,) = load_specs((tmp_path / "sinc.yaml",), discover())
    x = np.array([0.0, 0.5, -0.25], dtype)
    right = np.array([1.0, 2 / np.pi, 4 * np.sin(np.pi / 4) / np.pi]).astype(dtype)
    wrong = np.where(x == 0, np.nan, right).astype(dtype)
    assert judged(spec, {"x": x}, right, n=3).verdict in ("exact", "faithful")
    found = judged(spec, {"x": x}, wrong, n=3)
    assert (found.verdict, found.deciding.index) == ("special", (0,))


def test_the_limit_at_an_infinity_is_as_right_as_what_ieee_arithmetic_has_there(known):
    gate, x = np.float32([[-np.inf, np.inf, 1.0, -np.inf]]), np.float32([[2.0, 3.0, -np.inf, np.inf]])
    for made in ([-0.0, np.inf, -np.inf, np.nan], [np.nan, np.inf, -np.inf, np.nan]):
        found = judged(known["swiglu"], {"gate": gate, "x": x}, np.float32([made]), batch=1, n=4)
        assert found.verdict in ("exact", "faithful")
    for made in ([2.0, np.inf, -np.inf, np.nan], [-0.0, np.nan, -np.inf, np.nan], [-0.0, np.inf, -np.inf, 0.0]):
        assert judged(known["swiglu"], {"gate": gate, "x": x}, np.float32([made]), batch=1, n=4).verdict == "special"


def test_a_sum_that_overflows_is_excused_where_float64_does_not_know_the_exact_result(known):
    x = np.float64([[[8e307, 7e307, -8e307, -7.5e307, 6e307, -7e307]]])
    arrays = {"x": x, "weight": np.ones(1), "bias": np.zeros(1)}
    found = judged(known["group_norm"], arrays, np.full(x.shape, np.nan), n=1, c=1, length=6, groups=1)
    assert (found.verdict, found.cause.kind) == ("normwise", "overflows-inside")


def test_finite_terms_beside_an_infinity_may_overflow_to_the_other_one(known):
    x = np.float32([[np.inf, -3e38, -3e38, 1.0]])
    found = judged(known["sum"], {"x": x}, np.float32([np.nan]), batch=1, n=4)
    assert (found.verdict, found.cause.kind) == ("normwise", "overflows-inside")
    mild = np.float32([[np.inf, -3e37, -3e37, 1.0]])
    assert judged(known["sum"], {"x": mild}, np.float32([np.nan]), batch=1, n=4).verdict == "special"


def test_a_score_that_overflows_may_be_nan_where_minus_infinity_is_added_to_mask_it(known):
    q, k, v = np.full((1, 1, 2, 1), 2.0), np.array([[[[1.0], [3e38]]]]), np.array([[[[5.0], [7.0]]]])
    arrays = {"q": q, "k": k, "v": v, "mask": np.array([[[[True, False], [True, False]]]])}
    sizes = {"batch": 1, "heads": 1, "queries": 2, "keys": 2, "d": 1}
    found = judged(known["attention_mask"], arrays, np.float32([[[[np.nan], [5.0]]]]), **sizes)
    assert (found.verdict, found.cause.kind) == ("normwise", "overflows-inside")
    mild = arrays | {"k": np.array([[[[1.0], [3e37]]]])}
    assert judged(known["attention_mask"], mild, np.float32([[[[np.nan], [5.0]]]]), **sizes).verdict == "special"


def test_zero_is_no_flushing_where_rounding_leads_to_it(known):
    """Of x + y - x, whose sum is subnormal, rounding leaves zero."""
    x = np.float32([[1.0, 1e-40, -1.0]])
    zero = judged(known["sum"], {"x": x}, np.float32([0.0]), batch=1, n=3)
    assert zero.flushed == 0
    alone = judged(known["sum"], {"x": np.float32([[1e-40]])}, np.float32([0.0]), batch=1, n=1)
    assert alone.flushed == 1
