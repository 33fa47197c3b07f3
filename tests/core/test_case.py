"""Cases: ids, JSON, and the order from simple to complicated."""

from __future__ import annotations

import dataclasses
import json
import pickle
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from toy_specs import CONVOLUTION, LOOKUP, NORM, TOYS

from opfuzz.core.case import Case
from opfuzz.core.errors import OpfuzzError
from opfuzz.generate import draw
from opfuzz.spec.order import case_key

DRAWN = st.builds(
    lambda spec, format, number: draw(spec, format, 0, number),
    st.sampled_from(TOYS),
    st.sampled_from(["float32", "float16"]),
    st.integers(0, 10**6),
)


def norm_case(**changes: Any) -> Case:
    fields: dict[str, Any] = {
        "op": "norm",
        "digest": NORM.digest,
        "format": "float32",
        "dims": {"batch": 2, "d": 3},
        "params": {"eps": 1e-5},
        "regimes": dict.fromkeys(("x", "weight", "bias"), "normal"),
        "layouts": dict.fromkeys(("x", "weight", "bias"), "contiguous"),
        "seed": 1,
    }
    return Case(**{**fields, **changes})


@given(DRAWN)
def test_json_and_pickle_bring_the_case_back(case: Case) -> None:
    for again in (Case.from_json(json.loads(json.dumps(case.to_json()))), pickle.loads(pickle.dumps(case))):
        assert again == case
        assert again.id == case.id
        assert again.to_json() == case.to_json()


@given(DRAWN, st.randoms(use_true_random=False))
def test_the_id_does_not_depend_on_the_order_of_keys(case: Case, random: Any) -> None:
    document = case.to_json()
    for name, value in document.items():
        if isinstance(value, dict):
            items = list(value.items())
            random.shuffle(items)
            document[name] = dict(items)
    items = list(document.items())
    random.shuffle(items)
    assert Case.from_json(dict(items)).id == case.id


def test_ids_are_pinned() -> None:
    """An id is written into reports and file names: it may not change."""
    assert norm_case(digest="0123456789abcdef").id == "1203d962a5462847"


def test_every_field_changes_the_id() -> None:
    changes: list[dict[str, Any]] = [
        {},
        {"op": "other"},
        {"digest": "0"},
        {"format": "float16"},
        {"dims": {"batch": 3, "d": 2}},
        {"params": {"eps": 1e-6}},
        {"params": {"eps": 1}},
        {"params": {"eps": 1.0}},
        {"params": {"eps": True}},
        {"params": {"eps": "1"}},
        {"params": {"eps": None}},
        {"regimes": {"x": "ones", "weight": "normal", "bias": "normal"}},
        {"layouts": {"x": "stepped", "weight": "contiguous", "bias": "contiguous"}},
        {"seed": 2},
    ]
    cases = {norm_case(**change) for change in changes}
    assert len({case.id for case in cases}) == len(cases) == len(changes)


def test_a_case_does_not_change_with_what_it_was_made_from() -> None:
    dims = {"batch": 2, "d": 3}
    case = norm_case(dims=dims)
    dims["d"] = 4
    assert case.dims == {"batch": 2, "d": 3}
    assert dataclasses.replace(case, seed=5) == norm_case(seed=5)
    with pytest.raises(dataclasses.FrozenInstanceError):
        case.seed = 3  # type: ignore[misc]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"sede": 1}, "unknown key 'sede'; did you mean 'seed'"),
        ({"format": "float31"}, "unknown format 'float31'; did you mean 'float32'"),
        ({"format": 3}, "format is 3, not text"),
        ({"seed": -1}, "seed is -1, not an integer from 0 to"),
        ({"seed": 2**64}, "seed is 18446744073709551616"),
        ({"seed": True}, "seed is True"),
        ({"dims": 3}, "dims is 3, not an object"),
        ({"dims": {"d": -1}}, "dim d is -1, not an integer of 0 or more"),
        ({"dims": {"d": True}}, "dim d is True"),
        ({"dims": {"d": 2.0}}, "dim d is 2.0"),
        ({"params": {"eps": [1]}}, r"param eps is \[1\], not a number"),
        ({"params": {"eps": float("inf")}}, "param eps is inf; a param is finite"),
        ({"regimes": {"x": 1, "weight": "ones", "bias": "ones"}}, "regime of x is 1, not text"),
        ({"layouts": {"x": "offst"}}, "unknown layout 'offst' of x; did you mean 'offset'"),
        ({"layouts": {"x": ["offset"]}}, "unknown layout"),
        ({"regimes": {}}, "regimes are given for no input, layouts for x, weight, bias"),
        ({"seed": 77}, "leave the id out"),
    ],
)
def test_what_is_wrong_is_named(change: dict[str, Any], message: str) -> None:
    with pytest.raises(OpfuzzError, match=message):
        Case.from_json({**norm_case().to_json(), **change})


@pytest.mark.parametrize("document", [None, 3, [], "case"])
def test_something_else_is_no_case(document: object) -> None:
    with pytest.raises(OpfuzzError, match="a case is an object with op, digest"):
        Case.from_json(document)


def test_missing_fields_are_listed() -> None:
    document = norm_case().to_json()
    del document["seed"], document["dims"]
    with pytest.raises(OpfuzzError, match="missing dims, seed"):
        Case.from_json(document)


def test_the_id_may_be_left_out() -> None:
    document = norm_case().to_json()
    del document["id"]
    assert Case.from_json(document) == norm_case()


def test_order_from_simple_to_complicated() -> None:
    """Each line of the definition outweighs all lines after it."""
    complicated = {"x": "specials", "weight": "large", "bias": "offset"}
    views = {"x": "broadcast", "weight": "stepped", "bias": "stepped"}
    ascending = [
        norm_case(dims={"batch": 1, "d": 2}, params={"eps": 1e-12}, regimes=complicated, layouts=views),
        norm_case(regimes={"x": "zeros", "weight": "ones", "bias": "zeros"}),
        norm_case(),
        norm_case(regimes=complicated),
        norm_case(layouts={"x": "transposed", "weight": "contiguous", "bias": "contiguous"}),
        norm_case(layouts={"x": "stepped", "weight": "contiguous", "bias": "contiguous"}),
        norm_case(layouts=views),
        norm_case(params={"eps": 1e-6}),
        norm_case(params={"eps": 1e-12}),
        norm_case(params={"eps": 0.25}),  # as a variant may have
        norm_case(dims={"batch": 3, "d": 3}),
    ]
    keys = [case_key(NORM, case) for case in ascending]
    assert keys == sorted(keys)
    assert len(set(keys)) == len(keys)


def test_a_range_is_away_from_its_low_end() -> None:
    case = draw(CONVOLUTION, "float32", 0, 0)
    params = {"stride": 1, "padding": 0, "dilation": 1, "groups": 1}
    cases = [dataclasses.replace(case, params={**params, "padding": padding}) for padding in (0, 1, 4)]
    keys = [case_key(CONVOLUTION, case)[1:3] for case in cases]
    assert keys == [(0, 0), (1, 1), (1, 4)]


def test_no_two_cases_share_a_place() -> None:
    cases = {draw(LOOKUP, "float32", 0, number) for number in range(200)}
    assert len({case_key(LOOKUP, case) for case in cases}) == len(cases)


def test_a_case_reads_as_a_call() -> None:
    assert str(norm_case()).startswith("norm[float32](batch=2, d=3, eps=1e-05) ")
