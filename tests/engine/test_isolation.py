"""A subject that harms its process costs the case that it does so on, is blamed for it, and nothing else."""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import hostile
import pytest
from small_campaigns import SPECS

from opfuzz.backends import discover
from opfuzz.core.results import Result
from opfuzz.engine.campaign import run
from opfuzz.engine.plan import Plan, load_specs
from opfuzz.report.causes import word_cause
from opfuzz.store.journal import Begun, Examined, Journal

BEGUN = Begun({}, {}, {}, datetime(2026, 1, 31, tzinfo=UTC), ())


def results_of(plan: Plan, folder: Path) -> dict[int, list[Result]]:
    """Everything that a campaign keeps of each case."""
    folder.mkdir(parents=True)
    journal = Journal.create(folder, BEGUN)
    run(plan, journal=journal)
    journal.close()
    again, found = Journal.open(folder), {}
    for entry in again.entries:
        for result in entry.results if isinstance(entry, Examined) else ():
            found.setdefault(result.number, []).append(result)
    again.close()
    return found


def plan_of(folder: Path, harm: dict[int, tuple[int, str]], **settings: object) -> Plan:
    path = hostile.plugin(folder, harm.values())
    specs = load_specs([SPECS], discover([path]), ["square"])
    given = {"formats": ("float32",), "patience": None, "case_seconds": 8.0, "case_memory": 400 * 2**20} | settings
    return Plan(specs, ("hostile:cpu", "numpy:cpu"), 0, 2, plugins=(path,), **given)


def judged(results: list[Result]) -> Iterator[tuple[str, object]]:
    for result in results:
        yield from ((each.subject, repr(each)) for each in result.judged)


@pytest.mark.parametrize("cases", [120])
def test_every_harm_costs_its_case_and_is_blamed_rightly(cases, tmp_path):
    clean = plan_of(tmp_path, {}, cases=cases)
    wanted = results_of(clean, tmp_path / "clean")
    harm = hostile.chosen(clean, "square", "float32", cases, len(hostile.KINDS))
    found = results_of(plan_of(tmp_path, harm, cases=cases), tmp_path / "harmed")
    assert multiprocessing.active_children() == []
    assert found.keys() == wanted.keys() == set(range(cases))
    for number in range(cases):
        mine, theirs = dict(judged(found[number])), dict(judged(wanted[number]))
        assert mine["numpy:cpu"] == theirs["numpy:cpu"], "the other subject does the case all the same"
        if number not in harm:
            assert mine == theirs
        else:
            (score,) = [j.score for r in found[number] for j in r.judged if j.subject == "hostile:cpu"]
            verdict, reason = hostile.KINDS[harm[number][1]]
            assert score.verdict == verdict, harm[number]
            assert word_cause(score.cause).startswith(reason)


def test_a_subject_is_spared_after_as_many_as_are_borne(tmp_path):
    clean = plan_of(tmp_path, {}, cases=60)
    harm = {
        number: (checksum, "hang")
        for number, (checksum, _) in hostile.chosen(clean, "square", "float32", 60, 6).items()
    }
    second = sorted(harm)[1]
    seen = []
    for jobs in (1, 3):
        plan = replace(plan_of(tmp_path, harm, cases=60, patience=2, case_seconds=0.5), jobs=jobs)
        progress = run(plan)
        seen.append(progress.ranking.rows())
        assert progress.lost == ["cases of square on hostile:cpu in float32 after 2 that hung or took all memory"]
    assert seen[0] == seen[1]
    rows = {row.subject: row for row in seen[0]}
    assert rows["hostile:cpu"].cases == second + 1
    assert rows["hostile:cpu"].verdicts["timeout"] == 2
    assert rows["numpy:cpu"].cases == 60
