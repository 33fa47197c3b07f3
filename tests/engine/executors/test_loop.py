"""The one loop over work in processes keeps what came, whatever ends it, and leaves no process."""

from __future__ import annotations

import multiprocessing
import os
import signal

import pytest
from casualties import Hardship

from opfuzz.core.errors import OpfuzzError
from opfuzz.engine.executors import INLINE, LOCAL, RAISED, Casualty, drive
from opfuzz.engine.executors.signals import heeding_sigterm, is_terminated


@pytest.fixture(autouse=True)
def nobody_is_left():
    yield
    assert multiprocessing.active_children() == []
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


def done(batches, executor=LOCAL, task=None, at=None, **options):
    """Whether it was interrupted, and what was taken by number; `at` a number something happens."""
    taken = {}

    def take(number, batch):
        taken[number] = batch
        if number == 1 and at is not None:
            at()

    return drive(executor, task or Hardship(), batches, take, jobs=1, **options), taken


@pytest.mark.parametrize("executor", [LOCAL, INLINE])
def test_each_batch_is_handed_over_with_its_items(executor):
    assert done([[1, 2], [], [3]], executor) == (False, {0: [(1, 2), (2, 4)], 1: [], 2: [(3, 6)]})


def test_there_may_be_more_when_answers_have_come():
    class Line:
        following, seen = 1, ()

        def __iter__(self):
            return self

        def __next__(self):
            if self.following is None:
                raise StopIteration
            asked, self.following = self.following, None
            return [asked]

        def take(self, number, batch):
            ((_, answer),) = batch
            self.seen += (answer,)
            self.following = answer if answer < 20 else None

    line = Line()
    assert drive(LOCAL, Hardship(), line, line.take, jobs=1) is False
    assert line.seen == (2, 4, 8, 16, 32)


def test_a_death_is_an_answer():
    [(_, casualty)] = done([["exit"]])[1][0]
    assert casualty == Casualty("crash", "the process exited with status 3", "item exit")


def test_an_error_of_opfuzz_names_the_item():
    with pytest.raises(RuntimeError, match=r"(?s)^item raise: Traceback.*ValueError: a bug of opfuzz"):
        done([["raise"]])


@pytest.mark.parametrize("executor", [LOCAL, INLINE])
def test_a_mistake_of_the_users_names_the_item(executor):
    with pytest.raises(OpfuzzError) as caught:
        done([[1], ["mistake"]], executor)
    assert str(caught.value) == "x.yaml:3: a mistake of the user's (item mistake)"


def test_what_is_borne_is_handed_over():
    interrupted, taken = done([["raise", "mistake"]], borne=RAISED)
    assert not interrupted
    assert [answer.kind for _, answer in taken[0]] == ["internal", "mistake"]


def test_what_taking_raises_goes_through():
    with pytest.raises(ZeroDivisionError):
        done([[1], [2], [3]], at=lambda: 1 / 0)


@pytest.mark.parametrize("executor", [LOCAL, INLINE])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_keeps_what_came(executor, number):
    interrupted, taken = done([[n] for n in range(9)], executor, at=lambda: signal.raise_signal(number))
    assert interrupted
    assert taken == {0: [(0, 0)], 1: [(1, 2)]}
    assert not is_terminated()
    assert done([[1]]) == (False, {0: [(1, 2)]}), "what comes after it is another command"


def test_after_sigterm_a_command_begins_nothing_any_more():
    with heeding_sigterm():
        assert done([[1], [2], [3]], at=lambda: os.kill(os.getpid(), signal.SIGTERM))[0]
        assert done([[1]]) == (True, {})
        os.kill(os.getpid(), signal.SIGTERM)  # is heeded already
        assert is_terminated()
    assert not is_terminated()


def test_a_handler_of_somebody_else_stays():
    heard = []
    before = signal.signal(signal.SIGTERM, lambda *_: heard.append(1))
    try:
        interrupted, taken = done([[1], [2]], at=lambda: signal.raise_signal(signal.SIGTERM))
    finally:
        signal.signal(signal.SIGTERM, before)
    assert (interrupted, len(taken), heard) == (False, 2, [1])
