"""The executor that isolates nothing."""

from __future__ import annotations

import pytest

from opfuzz.engine.executors import inline, note
from opfuzz.engine.executors.base import listen


def test_results_in_order_and_lazily():
    seen = []

    def batches():
        for number in range(3):
            seen.append(number)
            yield [number, number + 1]

    results = inline.run(batches(), lambda item: item * 10)
    assert next(results) == (0, [0, 10])
    assert seen == [0]
    assert list(results) == [(1, [10, 20]), (2, [20, 30])]


def test_initialises_once():
    calls = []
    list(inline.run([[1], [2]], abs, initialise=lambda: calls.append(1)))
    assert calls == [1]


def test_exceptions_go_through():
    with pytest.raises(ZeroDivisionError):
        list(inline.run([[0]], lambda item: 1 / item))


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
