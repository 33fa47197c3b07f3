"""Who is to blame for a dead worker: the mutant, unless the unmodified backend dies of the same case."""

from __future__ import annotations

import pytest
from bundled_ops import BUNDLED_OPS

from opfuzz.core.results import Judged, Result, Score
from opfuzz.engine.executors import Casualty, Executor, drive
from opfuzz.engine.plan import Plan
from opfuzz.engine.selftest import Mutant
from opfuzz.engine.selftest.run import MutantSearch, TrialQueue
from opfuzz.engine.selftest.trials import Reply, TrialTask

PLAN = Plan(
    specs=(BUNDLED_OPS["relu"],),
    subjects=("torch:cpu",),
    seed=0,
    jobs=1,
    formats=("float32",),
    cases=2,
)


def reply(name: str, verdict: str = "exact") -> Reply:
    judged = Judged(f"{name}:cpu", Score(verdict, ""), None, None)
    return Reply(Result("relu", "float32", 0, "", (), (judged,), {}), "", False, 0.0)


def deadly() -> tuple[TrialQueue, MutantSearch]:
    """A search whose second case has killed its worker."""
    mutant = Mutant("deadly", "relu", {"torch.nn.functional.relu": abs})
    search = MutantSearch(mutant, (0, 0), [("relu", "float32")], limit=2)
    queue = TrialQueue([search])
    first, second = next(queue)
    assert [first.mutant, second.mutant] == [(0, 0), (0, 0)]
    died = Casualty("crash", "killed by SIGSEGV", "deadly:cpu")
    queue.take(0, [(first, reply("deadly")), (second, died)], PLAN)
    return queue, search


def test_the_mutant_is_to_blame_where_torch_survives():
    queue, search = deadly()
    assert search.found is None
    (doubt,) = next(queue)
    assert (doubt.mutant, doubt.item.number) == (None, 1)
    queue.take(1, [(doubt, reply("torch"))], PLAN)
    assert (search.found, search.replies[1].fault, search.replies[1].is_known) == (1, "crash", False)


def test_torch_is_to_blame_where_it_dies_as_well():
    queue, search = deadly()
    (doubt,) = next(queue)
    queue.take(1, [(doubt, Casualty("crash", "killed by SIGSEGV", "torch:cpu"))], PLAN)
    assert (search.found, search.replies[1].fault, search.replies[1].is_known) == (None, "", True)
    with pytest.raises(StopIteration):
        next(queue)


def test_nobody_is_to_blame_for_what_the_oracle_does():
    mutant = Mutant("m", "relu", {"torch.nn.functional.relu": abs})
    search = MutantSearch(mutant, (0, 0), [("relu", "float32")], limit=1)
    queue = TrialQueue([search])
    (trial,) = next(queue)
    queue.take(0, [(trial, Casualty("out-of-memory", "5 GiB in use", ""))], PLAN)
    assert (search.found, search.replies[0].result.judged[0].score.verdict) == (None, "unresolved")


def test_an_error_of_opfuzz_itself_ends_the_self_test():
    search = MutantSearch(
        Mutant("m", "relu", {"torch.nn.functional.relu": abs}), (0, 0), [("relu", "float32")], limit=1
    )

    class Failing(Executor):
        batch = 1

        def run(self, task, batches, jobs):
            for number, batch in enumerate(batches):
                yield number, [Casualty("internal", "Traceback ...", "m:cpu") for _ in batch]

    with pytest.raises(RuntimeError, match="case 0 of relu in float32: Traceback"):
        drive(Failing(), TrialTask(PLAN, ()), TrialQueue([search]), lambda number, batch: None, jobs=1)
