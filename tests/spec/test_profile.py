"""Profiles: what is recorded is what the file says, and what is wrong in a file is told with its place."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from toy_specs import CONVOLUTION, NORM, TOYS, UNARY

from opfuzz.core.errors import OpfuzzError, SpecError
from opfuzz.spec.profile import (
    PROBABILITIES,
    OperatingPoint,
    Profile,
    Values,
    profile_of,
    summarise,
    values_of,
    write_profile,
)
from opfuzz.spec.profile_reader import read_profile


@dataclass
class Call:
    op: str = "unary"
    dims: dict[str, int] = field(default_factory=lambda: {"n": 4})
    params: dict[str, Any] = field(default_factory=dict)
    arrays: dict[str, NDArray[Any]] = field(default_factory=dict)


def short(value: float) -> float:
    return float(f"{value:.6g}")


floats = st.floats(-1e30, 1e30).map(short)
values = st.builds(
    Values,
    st.lists(floats, min_size=len(PROBABILITIES), max_size=len(PROBABILITIES)).map(lambda q: tuple(sorted(q))),
    floats,
    floats.map(abs),
)
names = st.from_regex(r"[a-z][a-z0-9_]{0,8}", fullmatch=True)
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
params = st.none() | st.booleans() | st.integers(-(2**62), 2**62) | floats | texts
points = st.builds(
    OperatingPoint,
    names,
    st.integers(1, 10**6),
    st.dictionaries(names, st.integers(0, 10**6), max_size=3),
    st.dictionaries(names, params, max_size=3),
    st.dictionaries(names, values, max_size=3),
)


@st.composite
def profiles(draw: st.DrawFn) -> Profile:
    found = draw(st.lists(points, min_size=1, max_size=4))
    gains = draw(st.dictionaries(st.sampled_from([point.op for point in found]), floats.map(abs)))
    return Profile(draw(texts.filter(str.strip)), tuple(found), gains)


@settings(max_examples=40)
@given(profiles())
def test_what_is_written_is_read_again(tmp_path_factory: pytest.TempPathFactory, profile: Profile) -> None:
    path = tmp_path_factory.getbasetemp() / "profile.yaml"
    path.write_text(write_profile(profile), encoding="utf-8")
    assert read_profile(path) == profile
    kinds = [[type(value) for value in point.params.values()] for point in read_profile(path).points]
    assert kinds == [[type(value) for value in point.params.values()] for point in profile.points]


def test_a_recorded_profile_is_what_its_file_says(tmp_path: Path) -> None:
    chance = np.random.default_rng(0)
    calls = [Call(arrays={"x": chance.normal(size=4).astype(np.float32) / 3}) for _ in range(5)]
    profile = profile_of("mine", summarise(calls), {"unary": 1 / 3})
    (tmp_path / "p.yaml").write_text(write_profile(profile))
    assert read_profile(tmp_path / "p.yaml", [UNARY]) == profile
    assert profile.gains == {"unary": 0.333333}


def test_quantiles_of_one_array_are_those_of_all_its_elements() -> None:
    array = np.random.default_rng(0).standard_cauchy((300, 1000))
    found = values_of(array)
    for probability, value in zip(PROBABILITIES, found.quantiles, strict=True):
        assert value == pytest.approx(np.quantile(array, probability, method="nearest"), rel=1e-3, abs=1e-3)
    assert (found.quantiles[0], found.quantiles[-1]) == (short(array.min()), short(array.max()))
    assert (found.mean, found.sd) == (short(array.mean()), short(array.std()))


def test_calls_are_pooled_by_op_dims_and_params() -> None:
    chance = np.random.default_rng(1)
    arrays = [chance.normal(loc, 2, size=5000) for loc in (-3, 0, 7)]
    calls = [Call(arrays={"x": array}) for array in arrays]
    one, other, third = summarise([*calls, Call(dims={"n": 5}), Call(params={"p": 1}), Call(params={"p": True})])[:3]
    assert (one.count, other.dims, third.params) == (3, {"n": 5}, {"p": 1})
    assert len(summarise([Call(params={"p": value}) for value in (1, True, 1.0, 1)])) == 3
    together = np.concatenate(arrays)
    found = one.inputs["x"]
    np.testing.assert_allclose(found.quantiles, np.quantile(together, PROBABILITIES), atol=0.05)
    assert found.mean == pytest.approx(together.mean(), rel=1e-5)
    assert found.sd == pytest.approx(together.std(), rel=1e-5)


@pytest.mark.parametrize("value", [0.1, -0.0, 1 / 3, 1e-40, 3.4e38])
def test_a_constant_stays_one(value: float) -> None:
    found = values_of(np.full(7, value, np.float32))
    assert set(found.quantiles) == {short(float(np.float32(value)))}
    assert (found.mean, found.sd) == (found.quantiles[0], 0)


def test_what_has_no_distribution_is_left_out() -> None:
    arrays = {
        "index": np.arange(4),
        "keep": np.ones(4, bool),
        "mask": np.array([0, -np.inf], np.float32),
        "none": np.zeros((0, 3)),
        "half": np.ones(4, ml_dtypes.bfloat16),
    }
    finite = {"mask": np.zeros(2, np.float32)}
    for calls in ([Call(arrays=arrays), Call(arrays=finite)], [Call(arrays=finite), Call(arrays=arrays)]):
        (point,) = summarise(calls)
        assert set(point.inputs) == {"half"}


def test_nan_is_refused() -> None:
    with pytest.raises(OpfuzzError, match="call of unary: input x holds NaN; a profile needs a pipeline that works"):
        summarise([Call(arrays={"x": np.array([1.0, np.nan])})])


def test_params_of_numpy_are_plain_numbers() -> None:
    (point,) = summarise([Call(dims={"n": np.int64(4)}, params={"p": np.float32(0.5)})])  # type: ignore[dict-item]
    assert [type(v) for v in (*point.dims.values(), *point.params.values())] == [int, float]


def test_a_profile_that_could_not_be_read_again_is_not_written() -> None:
    many = tuple(OperatingPoint("unary", 1, {"n": n}, {}, {"x": values_of(np.arange(9) / 7)}) for n in range(500))
    with pytest.raises(OpfuzzError, match=r"500 operating points make a profile of .* bytes, more than 65536"):
        write_profile(Profile("mine", many, {}))


ASCENDING = ", ".join(str(i) for i in range(len(PROBABILITIES)))
GOOD = f"""\
profile: mine
gains: {{norm: 1e-7}}
points:
- op: norm
  count: 3
  dims: {{batch: 2, d: 64}}
  params: {{eps: 1e-3}}
  inputs:
    x: {{mean: 0, sd: 1, quantiles: [{ASCENDING}]}}
"""


def read_text(tmp_path: Path, text: str) -> Profile:
    path = tmp_path / "p.yaml"
    path.write_text(text)
    return read_profile(path, TOYS)


def test_params_need_not_be_in_the_list_of_the_spec(tmp_path: Path) -> None:
    profile = read_text(tmp_path, GOOD)
    assert profile.points[0].params == {"eps": 1e-3}
    assert profile.points_of("norm") == profile.points
    assert profile.points_of("unary") == ()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("profile: mine", "profil: mine"), "1:1: unknown key 'profil' in the profile; did you mean 'profile'?"),
        (("profile: mine", "profile: 3"), "1:10: the name of the profile must be text, not '3'"),
        (("points:", "points: []\nx:"), "3:9: points must not be empty"),
        (("{norm: 1e-7}", "{nrom: 1e-7}"), "2:9: unknown op 'nrom'; did you mean 'norm'?"),
        (("1e-7", "-1e-7"), "2:15: 'norm' in gains must be 0 or more, not '-1e-7'"),
        (("1e-7", "small"), "2:15: 'norm' in gains must be a number, not 'small'"),
        (("1e-7", ".inf"), "2:15: 'norm' in gains must be finite"),
        (("count: 3", "count: 0"), "5:10: count must be a whole number of 1 or more, not '0'"),
        (("count: 3", "cuont: 3"), "5:3: unknown key 'cuont' in a point; did you mean 'count'?"),
        (("d: 64", "dd: 64"), "6:20: unknown dim of norm 'dd'; did you mean 'd'?"),
        ((", d: 64", ""), "6:9: missing dim of norm: d"),
        (("d: 64", "d: 0"), "4:3: the spec of norm does not allow these dims and params"),
        (("d: 64", "d: 6.5"), "6:23: 'd' in dims must be a whole number of 0 or more, not '6.5'"),
        (("eps: 1e-3", "esp: 1e-3"), "7:12: unknown param of norm 'esp'; did you mean 'eps'?"),
        (("eps: 1e-3", "eps: small"), "7:11: param 'eps' of norm has no value of this kind"),
        (("  params: {eps: 1e-3}\n", ""), "4:3: missing param of norm: eps"),
        (("    x:", "    y:"), "9:5: unknown input of norm 'y'; known: bias, weight, x"),
        (("sd: 1", "sd: -1"), "9:22: the sd must be 0 or more, not '-1'"),
        (("[0, 1", "[1, 0"), "9:40: quantiles of 'x' in inputs ascend; 0 stands behind 1"),
        (("[0, 1", "[0, .nan"), "9:40: a quantile must be finite"),
        (("[0, 1, ", "["), "9:36: 13 quantiles of 'x' in inputs, not 15, one for each of 0, 0.001, 0.01"),
        (("norm", "other"), "4:1: none of these ops is to be run: other"),
    ],
    ids=lambda v: v if isinstance(v, str) else "",
)
def test_a_mistake_in_a_profile_is_told_with_its_place(tmp_path: Path, change: tuple[str, str], message: str) -> None:
    text = GOOD.replace(*change)
    assert text != GOOD
    with pytest.raises(SpecError) as raised:
        read_text(tmp_path, text)
    assert f"p.yaml:{message}" in str(raised.value)
    assert all(re.match(r".*p\.yaml:\d+:\d+: ", line) for line in str(raised.value).splitlines())


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "1:1: the file is empty; a profile is a mapping with the keys profile, gains, points"),
        ("[]", "1:1: the profile must be a mapping, not a list"),
        (GOOD + "---\n" + GOOD, "10:1: a second document; a profile is one document"),
        (" " * 70_000, "1:1: more than 65536 bytes, which no profile needs"),
    ],
)
def test_what_is_no_profile_is_told(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(SpecError) as raised:
        read_text(tmp_path, text)
    assert f"p.yaml:{message}" in str(raised.value)


def test_every_problem_is_told_at_once(tmp_path: Path) -> None:
    text = GOOD.replace("count: 3", "count: no").replace("sd: 1", "sd: one").replace("mine", "[]")
    with pytest.raises(SpecError) as raised:
        read_text(tmp_path, text)
    assert len(raised.value.problems) == 3


def test_sizes_that_break_a_rule_are_refused(tmp_path: Path) -> None:
    dims = "{n: 1, c_in: 3, c_out: 2, length: 5, k: 1}"
    params = "{stride: 1, padding: 0, dilation: 1, groups: 2}"
    (tmp_path / "p.yaml").write_text(
        f"profile: p\npoints:\n- op: convolution\n  count: 1\n  dims: {dims}\n  params: {params}\n"
    )
    with pytest.raises(SpecError, match="3:3: the spec of convolution does not allow"):
        read_profile(tmp_path / "p.yaml", [CONVOLUTION, NORM])
