"""Predicates on one number: their words, and that asking finds every one of the family."""

from __future__ import annotations

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from minimal_calls import found, minimal
from toy_specs import PRODUCT, UNARY

from opfuzz.search.trigger.predicate import DIVISORS, Predicate, around, fits, outside


@pytest.mark.parametrize(
    ("predicate", "text"),
    [
        (Predicate(), ""),
        (Predicate(low=1025), "n >= 1025"),
        (Predicate(high=3), "n <= 3"),
        (Predicate(128, 128), "n == 128"),
        (Predicate(3, 9), "3 <= n <= 9"),
        (Predicate(33, None, 32, False), "n >= 33 and n % 32 != 0"),
        (Predicate(divisor=32), "n % 32 == 0"),
        (Predicate(5, without=64), "n >= 5 and n != 64"),
    ],
)
def test_words(predicate, text):
    assert predicate.text("n") == text
    for n in range(2000):
        assert predicate.holds(n) == eval(text or "True", {"n": n})


def test_the_simplest_reading_comes_first():
    assert fits({1: True}, 1)[0] == Predicate()
    assert fits({1: False, 2: True, 5: True}, 1)[0] == Predicate(low=2)
    assert fits({127: False, 128: True, 129: False}, 1)[0] == Predicate(128, 128)
    assert fits({1: True, 2: False, 3: True, 4: False, 9: True}, 1)[0] == Predicate(divisor=2, is_multiple=False)
    assert fits({1: True, 2: False, 3: True, 4: False, 5: False, 6: True, 8: False, 9: True}, 1) == []


def test_around_is_the_run_that_the_minimal_call_is_in():
    assert around({1: True, 2: False, 3: True, 4: True, 5: False, 6: True}, 4, 1) == Predicate(3, 4)


bounds = st.integers(1, 3000)


@st.composite
def predicates(draw):
    low = draw(st.none() | bounds)
    high = draw(st.none() | bounds)
    divisor = draw(st.sampled_from((0, 0, 2, 4, 8, 16, 32)))
    assume(low is None or high is None or (divisor == 0 and low <= high))
    assert divisor in (0, *DIVISORS)
    return Predicate(low, high, divisor, draw(st.booleans()))


def first(predicate):
    """The smallest size at which it holds, as a shrunk call has it."""
    return next((n for n in range(1, 6000) if predicate.holds(n)), None)


@settings(max_examples=30)
@given(predicates())
def test_any_of_the_family_is_found(predicate):
    own = first(predicate)
    assume(own is not None)
    trigger, _ = found(UNARY, minimal(UNARY, {"n": own}), lambda call: predicate.holds(call.dims["n"]))
    assert (trigger.held, trigger.complete) == (trigger.checked, True)
    text = trigger.text("size") or "True"
    seen_to = next((each.data["seen_to"] for each in trigger.conditions if each.kind == "size"), None)
    if seen_to is not None:  # an end that no kernel has
        assert seen_to == max(n for n in range(1, 6000) if predicate.holds(n))
        assert f"not seen beyond n = {seen_to}" in trigger.words
    assert [n for n in range(1, (seen_to or 5999) + 1) if eval(text, {"n": n}) != predicate.holds(n)] == []


def test_a_far_end_is_told_only_where_a_kernel_may_have_one():
    for high in (127, 255, 320, 1023, 1024, 4096, 65535):
        assert Predicate(2, high).without_fading == Predicate(2, high)
    for high in (300, 1262, 10063, 45346):
        assert Predicate(2, high).without_fading == Predicate(2)
    assert Predicate(300, 300).without_fading == Predicate(300, 300)
    assert Predicate(2, 1691, 1024, is_multiple=False).without_fading == Predicate(2)
    assert Predicate(2, 1691, without=700).without_fading == Predicate(2)
    assert Predicate(2, 1691, 8, is_multiple=False, without=9).without_fading == Predicate(2, None, 8, False, 9)


def test_what_a_predicate_rests_on():
    seen = {1: False, 2: True, 3: True, 4: False, 5: True, 9: True, 10: False, 20: False}
    assert outside(Predicate(2, 9, without=4), seen) == [4, 1, 10]
    assert outside(Predicate(divisor=2, is_multiple=False), {1: True, 2: False, 3: True, 4: False}) == [2]
    assert outside(Predicate(), {1: True}) == []


@settings(max_examples=20)
@given(predicates(), predicates())
def test_any_two_of_the_family_are_found_together(first_one, second):
    own = {"m": first(first_one), "k": 1, "n": first(second)}
    assume(None not in own.values() and own["m"] * own["n"] < 2**16)

    def fails(call):
        return first_one.holds(call.dims["m"]) and second.holds(call.dims["n"])

    trigger, _ = found(PRODUCT, minimal(PRODUCT, own), fails)
    assert trigger.held == trigger.checked
    assert "k" not in trigger.text("size")
