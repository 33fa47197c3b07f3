"""The executor that isolates nothing."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from casualties import Hardship

from opfuzz.engine.executors import INLINE, Casualty, note
from opfuzz.engine.executors.base import listen


def test_answers_in_order_and_lazily():
    seen = []

    def batches():
        for number in range(3):
            seen.append(number)
            yield [number, number + 1]

    answers = INLINE.run(Hardship(lambda state, item: item * 10), batches(), 1)
    assert next(answers) == (0, [0, 10])
    assert seen == [0]
    assert list(answers) == [(1, [10, 20]), (2, [20, 30])]


def test_sets_up_once():
    calls = []
    list(INLINE.run(Hardship(lambda state, item: item, prepare=lambda: calls.append(1)), [[1], [2]], 1))
    assert calls == [1]


def test_exceptions_go_through():
    with pytest.raises(ZeroDivisionError):
        list(INLINE.run(Hardship(lambda state, item: 1 / item), [[0]], 1))


def test_a_mistake_of_the_users_is_told_as_it_is():
    mistake = Casualty("mistake", "x.yaml:3: a mistake of the user's", raised="OpfuzzError")
    assert list(INLINE.run(Hardship(), [[1, "mistake", 2]], 1)) == [(0, [2, mistake, 4])]


def test_what_arithmetic_and_frameworks_have_to_say_is_not_heard(recwarn):
    def work(state, item):
        warnings.warn("an odd input", stacklevel=1)
        return np.float64(1) / item

    [(_, (answer,))] = INLINE.run(Hardship(work), [[np.float64(0)]], 1)
    assert np.isinf(answer)
    assert not recwarn.list


def test_notes_reach_the_listener():
    labels = []
    note("nobody listens")
    listen(labels.append)
    try:
        note("torch:cpu")
    finally:
        listen(None)
    note("nobody listens again")
    assert labels == ["torch:cpu"]
