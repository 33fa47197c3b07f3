"""Half formats: rounded intermediates are a note; counts, tables and sums in the format are faults with a name."""

from __future__ import annotations

from pathlib import Path

import ml_dtypes
import numpy as np
import pytest
from bundled_ops import BUNDLED_OPS

from opfuzz.backends import discover
from opfuzz.core.call import Call
from opfuzz.core.floats import FORMATS
from opfuzz.core.results import Score
from opfuzz.engine.plan import load_specs
from opfuzz.judge.explain import is_no_rival
from opfuzz.judge.measure import measure
from opfuzz.judge.score import score
from opfuzz.oracle.reference import references_of

ROPE = """
op: rope
summary: Rotary embedding, halves rotated against each other.
formats: [float32, bfloat16]
dims: {batch: 0.., half: 1..64}
batch: [batch]
inputs:
  x: {shape: [batch, 2 * half]}
  pos: {shape: [batch], kind: index(32768)}
output: {shape: [batch, 2 * half]}
calls: {numpy: x}
reference: |
  angles = expand_dims(take(arange(32768), pos), 1) * exp(arange(half) * (-log(10000) / half))
  first = narrow(x, 1, 0, half)
  second = narrow(x, 1, half, half)
  concatenate((first * cos(angles) - second * sin(angles), second * cos(angles) + first * sin(angles)), axis=1)
"""
SCAN = """
op: scan
summary: Logarithm of the running sum of exp(x).
formats: [float32]
dims: {n: 1..}
inputs:
  x: {shape: [n]}
output: {shape: [n]}
calls: {numpy: x}
reference: log(cumsum(exp(x), axis=-1))
"""
BFLOAT16 = ml_dtypes.bfloat16


@pytest.fixture(scope="module")
def known(tmp_path_factory):
    folder = tmp_path_factory.mktemp("own")
    for name, text in (("rope", ROPE), ("scan", SCAN)):
        (folder / f"{name}.yaml").write_text(text)
    shipped = Path(__file__).parents[2] / "specs"
    paths = [folder, shipped / "norm", shipped / "reduce", shipped / "flow"]
    return {spec.op: spec for spec in load_specs(paths, discover(()), dialects=())}


def judged(spec, arrays, made, format="bfloat16", **sizes) -> Score:
    params = {param.name: param.default for param in spec.params}
    call = Call(format, sizes, params, arrays, dict.fromkeys(arrays, "contiguous"))
    with np.errstate(all="ignore"):
        return score(made.astype(FORMATS[format].dtype), references_of(spec, call)[0])


def verdict_of(found: Score) -> tuple[str, str]:
    return found.verdict, found.cause.kind


def rounded(x):
    return x.astype(BFLOAT16).astype(np.float32)


@pytest.mark.parametrize(("step", "told"), [(lambda x: x, ""), (rounded, "rounds-tables")])
def test_tables_are_wide_by_convention(known, step, told):
    x = np.random.default_rng(1).standard_normal((6, 16)).astype(BFLOAT16)
    pos = np.array([3, 255, 301, 517, 1001, 4099])
    frequencies = np.exp(np.arange(8) * (-np.log(10000) / 8)).astype(np.float32)
    angles = step(pos[:, None].astype(np.float32) * frequencies)
    first, second = np.split(x.astype(np.float32), 2, axis=1)
    made = np.concatenate(
        (first * np.cos(angles) - second * np.sin(angles), second * np.cos(angles) + first * np.sin(angles)), axis=1
    )
    found = judged(known["rope"], {"x": x, "pos": pos}, made, batch=6, half=8)
    assert found.cause.kind == told
    assert (found.verdict == "imprecise") == bool(told)


def layer_norm(x, count, step=lambda x: x):
    mean = step(x.sum(-1, keepdims=True) / count)
    centred = step(x - mean)
    variance = step((centred**2).sum(-1, keepdims=True) / count)
    return step(centred / np.sqrt(variance + np.float32(1e-5)))


@pytest.mark.parametrize(
    ("count", "step", "told"),
    [
        (257, lambda x: x, ("faithful", "")),
        (256, lambda x: x, ("imprecise", "rounds-counts")),  # bfloat16(257)
        (257, rounded, ("narrow", "computes-in")),
    ],
)
def test_counts_are_wide_and_intermediates_may_be_rounded(known, count, step, told):
    x = (9 + np.random.default_rng(1).standard_normal((2, 257))).astype(BFLOAT16)
    ones, zeros = np.ones(257, BFLOAT16), np.zeros(257, BFLOAT16)
    arrays = {"x": x, "weight": ones, "bias": zeros}
    found = judged(known["layer_norm"], arrays, layer_norm(x.astype(np.float32), count, step), batch=2, d=257)
    assert verdict_of(found) == told or (told[0] == "faithful" and found.verdict in ("exact", "faithful"))


def test_a_sum_that_is_rounded_once_is_not_added_up_in_the_format(known):
    """The mean of two numbers is stored in float16, as torch stores that of an instance: no order of a sum is seen."""
    x = np.array([[[1.0, 1.1455078125]]], np.float16)
    arrays = {"x": x, "weight": np.ones(1, np.float16), "bias": np.zeros(1, np.float16)}
    made = np.array([[[-0.99267578125, 1.005859375]]])
    found = judged(known["instance_norm"], arrays, made, "float16", n=1, c=1, length=2)
    assert verdict_of(found) == ("narrow", "computes-in")


@pytest.mark.parametrize("factor", [1.0, 0.5], ids=["ones", "constant"])
@pytest.mark.parametrize("is_rounded", [False, True], ids=["exact scalar", "rounded scalar"])
def test_a_scalar_parameter_is_no_table(known, factor, is_rounded):
    """With v = 1 the rounded product has the bits of a rounded dt; honest frameworks do either."""
    x = (-0.1 * factor * (1 + 2.0**-6 * np.arange(-8, 9))).astype(BFLOAT16)[:, None]
    v = np.full_like(x, factor)
    dt = rounded(np.float32(0.1)) if is_rounded else np.float32(0.1)
    made = x.astype(np.float32) + rounded(dt * v.astype(np.float32))
    found = judged(known["euler_step"], {"x": x, "v": v}, made, n=17, d=1)
    assert verdict_of(found) == ("narrow", "computes-in")


@pytest.mark.parametrize("steps", [3, 8, 20, 170])
@pytest.mark.parametrize("is_scalar_rounded", [False, True], ids=["wide pi", "half pi"])
@pytest.mark.parametrize("is_step_rounded", [False, True], ids=["quotients", "multiples of a step"])
def test_a_schedule_that_is_computed_in_the_format_has_rounded_tables(known, steps, is_scalar_rounded, is_step_rounded):
    def half(x):
        return np.asarray(x).astype(np.float16).astype(np.float32)

    places = np.arange(steps + 1, dtype=np.float32)
    grid = half(places * half(1 / steps)) if is_step_rounded else half(places / np.float32(steps))
    quarter = half(np.pi / 2) if is_scalar_rounded else np.float32(np.pi / 2)
    made = half(1 - half(np.cos(half(grid * quarter))))
    found = judged(known["cosine_schedule"], {}, made, "float16", steps=steps)
    assert verdict_of(found) == ("imprecise", "rounds-tables")


def test_another_schedule_in_the_format_is_no_rounding(known):
    made = np.linspace(0, 1, 21) ** 2
    assert judged(known["cosine_schedule"], {}, made, "float16", steps=20).cause.kind != "rounds-tables"


def test_sums_in_half_are_a_fault(known):
    x = np.random.default_rng(1).random((3, 900)).astype(BFLOAT16)
    made = np.add.accumulate(x, axis=-1, dtype=BFLOAT16)[..., -1].astype(np.float32) / 900
    found = judged(known["mean"], {"x": x}, made, batch=3, n=900)
    assert verdict_of(found) == ("imprecise", "accumulates-in")


def test_nan_for_a_row_that_begins_with_minus_infinity_is_no_overflow(known):
    x = np.float32([-np.inf, -np.inf, -np.inf, 1])
    right = np.float32([-np.inf, -np.inf, -np.inf, 1])
    assert judged(known["scan"], {"x": x}, right, "float32", n=4).verdict == "exact"
    found = judged(known["scan"], {"x": x}, np.where(np.arange(4) == 0, right, np.nan), "float32", n=4)
    assert verdict_of(found) == ("special", "special-at")


def test_a_number_for_nan_says_nothing_of_counts():
    """A limit such as 448 is a whole number, and rounded to bfloat16 it leaves NaN as it was."""
    spec = BUNDLED_OPS["to_float8_e4m3fn"]
    x = np.array([[np.nan, 3.0]]).astype(BFLOAT16)
    (reference,) = references_of(spec, Call("bfloat16", {"batch": 1, "d": 2}, {}, {"x": x}, {"x": "contiguous"}))
    measured = measure(np.array([[448.0, 3.0]]).astype(BFLOAT16), reference.truth, reference.allowances)
    assert measured.is_special_wrong.tolist() == [[True, False]]
    values = reference.halved("counts")
    assert np.isnan(values[0, 0])
    assert not is_no_rival(measured, reference, values, measured.is_special_wrong, "counts").any()


def test_two_terms_that_are_rounded_once_are_no_sum_in_the_format():
    """bfloat16 has their sum, and a sum in the format is the same: what was lost is the terms' own."""
    spec, p = BUNDLED_OPS["kl_div"], np.array([[1.5, 0.4375]])
    total = (p * np.log(p)).astype(BFLOAT16).astype(float).sum(1).astype(BFLOAT16)
    assert total[0] == 0.248046875
    arrays = {"x": np.zeros((1, 2), BFLOAT16), "p": p.astype(BFLOAT16)}
    call = Call("bfloat16", {"batch": 1, "n": 2}, {}, arrays, dict.fromkeys(arrays, "contiguous"))
    assert score(total, references_of(spec, call)[0]).verdict == "narrow"
