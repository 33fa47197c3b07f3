"""Results that come in any order make one ranking, and what a spared subject did too much does not count."""

from __future__ import annotations

from collections.abc import Iterable

from hypothesis import given
from hypothesis import strategies as st

from opfuzz.core.cause import Cause
from opfuzz.core.results import Judged, Result, Score
from opfuzz.engine.progress import Progress, is_costly
from opfuzz.store.journal import Searched

SUBJECTS = ("a:cpu", "b:cpu")
VERDICTS = ("exact", "timeout", "crash", "out-of-memory")


def part(number: int, verdicts: dict[str, str], distances: dict[tuple[str, str], float] | None = None) -> Result:
    judged = tuple(
        Judged(subject, Score(verdict, elements=number), None, None) for subject, verdict in verdicts.items()
    )
    return Result("op", "float32", number, f"{number}", (number,), judged, distances or {})


def progress_of(parts: Iterable[Result], patience: int | None = 2) -> Progress:
    progress = Progress({"op": SUBJECTS}, patience)
    for each in parts:
        progress.take(each)
    progress.close()
    return progress


def counted(progress: Progress) -> object:
    rows = [(row.subject, row.cases, row.elements, row.verdicts) for row in progress.ranking.rows()]
    return rows, progress.ranking.findings(), progress.ranking.distances, progress.cases, progress.lost


@given(st.lists(st.tuples(*[st.sampled_from(VERDICTS)] * 2), max_size=12), st.data())
def test_order_and_division_do_not_matter(verdicts, data):
    """Whole cases in order, against cases in parts and in any order, where a spared subject need not do them."""
    wanted = progress_of(
        part(number, dict(zip(SUBJECTS, pair, strict=True)), {SUBJECTS: float(number)})
        for number, pair in enumerate(verdicts)
    )
    ends = {}
    for subject, column in zip(SUBJECTS, zip(*verdicts, strict=True), strict=False):
        costly = [number for number, verdict in enumerate(column) if verdict in ("timeout", "out-of-memory")]
        ends[subject] = costly[1] if len(costly) > 1 else len(verdicts)
    parts = []
    for number, pair in enumerate(verdicts):
        named = dict(zip(SUBJECTS, pair, strict=True))
        for subject in SUBJECTS:
            if number > ends[subject] and data.draw(st.booleans()):
                del named[subject]  # it was known to be spared when the case was handed out
        if len(named) == 2 and data.draw(st.booleans()):
            parts.append(part(number, named, {SUBJECTS: float(number)}))
        else:
            parts.extend(part(number, {subject: verdict}) for subject, verdict in named.items())
    found = progress_of(data.draw(st.permutations(parts)))
    rows, findings, distances, cases, lost = counted(found)
    assert (rows, findings, cases, lost) == tuple(counted(wanted)[k] for k in (0, 1, 3, 4))
    assert all(distances[place] <= counted(wanted)[2][place] for place in distances)


def test_a_case_waits_for_those_before_it_and_for_its_other_subjects():
    progress = Progress({"op": SUBJECTS}, 2)
    progress.take(part(1, dict.fromkeys(SUBJECTS, "exact")))
    assert progress.cases == 0
    progress.take(part(0, {"b:cpu": "crash"}))
    assert progress.cases == 0
    assert progress.done("op", "float32", 0) == {"b:cpu"}
    progress.take(part(0, {"a:cpu": "exact"}))
    assert progress.cases == 4
    assert progress.done("op", "float32", 1) == {*SUBJECTS}
    assert progress.done("op", "float32", 2) == set()


def test_what_an_interrupted_run_did_is_counted():
    progress = progress_of([part(1, dict.fromkeys(SUBJECTS, "exact")), part(3, {"a:cpu": "exact"})])
    assert progress.cases == 3


def test_a_case_that_came_twice_counts_once():
    progress = progress_of([part(0, dict.fromkeys(SUBJECTS, "exact"))] * 2)
    assert progress.cases == 2


def test_a_subject_is_spared_by_what_is_known_so_far():
    progress = Progress({"op": SUBJECTS}, 2)
    progress.take(part(5, {"a:cpu": "timeout"}))
    progress.take(part(9, {"a:cpu": "timeout"}))
    assert progress.done("op", "float32", 8) == set()
    assert progress.done("op", "float32", 10) == {"a:cpu"}
    assert progress.is_spared("op", "float32", "a:cpu")
    progress.take(part(3, {"a:cpu": "timeout"}))
    assert progress.done("op", "float32", 6) == {"a:cpu"}


def test_nobody_is_spared_without_a_limit():
    progress = progress_of((part(number, {"a:cpu": "timeout", "b:cpu": "exact"}) for number in range(5)), None)
    assert (progress.cases, progress.lost) == (10, [])


def test_searches_count_in_their_order_and_not_those_of_the_spared():
    progress = Progress({"op": SUBJECTS}, 1)
    for number in range(2):
        progress.take(part(number, {"a:cpu": "timeout", "b:cpu": "exact"}))
    for subject in SUBJECTS:
        found = part(7, {subject: "exact"})
        progress.searches["op", "float32", subject] = Searched("op", "float32", subject, (found,), "lost", 0.0)
    progress.close([("op", "float32", subject) for subject in SUBJECTS])
    assert {row.subject: row.cases for row in progress.ranking.rows()} == {"a:cpu": 1, "b:cpu": 3}
    assert progress.lost == ["cases of op on a:cpu in float32 after 1 that hung or took all memory", "lost"]


def test_an_exception_that_says_so_at_once_costs_nothing():
    assert is_costly(Score("out-of-memory", Cause("out-of-memory", figures={"words": "4.21 GiB in use"})))
    assert is_costly(Score("timeout", Cause("hangs", figures={"words": "no result after 10 s"})))
    assert not is_costly(Score("out-of-memory", Cause("raises", "MemoryError")))
    assert not is_costly(Score("crash", Cause("dies")))
