"""Second causes in a run: found among its cases, made small, kept in a journal, and the same in every run."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from opfuzz.backends import discover
from opfuzz.core.cause import Cause
from opfuzz.core.relation import REPEATED, Relation
from opfuzz.engine.campaign import run
from opfuzz.engine.executors.inline import Inline
from opfuzz.engine.plan import Plan, load_specs
from opfuzz.engine.triage import investigation as investigations
from opfuzz.engine.triage.apart import doubts, second_findings
from opfuzz.engine.triage.diagnose import diagnose_findings
from opfuzz.engine.triage.investigation import Investigation
from opfuzz.engine.triage.resume import Remembered
from opfuzz.judge.gather import explanation
from opfuzz.store.journal import Begun, Journal
from opfuzz.store.write import to_json

SPEC = """
op: square
summary: The square of each number.
formats: [float32]
dims: {batch: 1.., n: 1..}
batch: [batch]
inputs:
  x: {shape: [batch, n], regimes: [normal, uniform]}
output: {shape: [batch, n]}
calls: {numpy: np.square(x)}
reference: x * x
variants:
  cubed: {reference: x * x * x}
"""
PLUGIN = """
import numpy as np
from opfuzz.backends import derive

def both(x):
    \"\"\"The cube; of a view that of what lies there as if it were contiguous.\"\"\"
    if not x.flags.c_contiguous and x.size > 1:
        base = x if x.base is None else x.base
        flat = np.lib.stride_tricks.as_strided(base, (base.size,), (base.itemsize,))
        x = flat[: x.size].reshape(x.shape) if flat.size >= x.size else x
    return x * x * x

def one(x):
    return x * x * x

BACKENDS = [derive("numpy", f.__name__, {"np.square": f}) for f in (both, one)]
"""


@pytest.fixture(scope="module")
def plan(tmp_path_factory):
    folder = tmp_path_factory.mktemp("two")
    (folder / "square.yaml").write_text(SPEC)
    (folder / "faulty.py").write_text(PLUGIN)
    plugins = (folder / "faulty.py",)
    specs = load_specs((folder / "square.yaml",), discover(plugins))
    return Plan(specs, ("both:cpu", "one:cpu"), 0, 1, ("float32",), plugins, cases=60)


@pytest.fixture(scope="module")
def ranking(plan):
    return run(plan, executor=Inline()).ranking


def wrong(findings, subject="both:cpu"):
    return [each for each in findings if each.subject == subject and each.verdict == "wrong"]


@pytest.fixture(scope="module")
def looked_into(plan, ranking):
    """The findings of a run, and the journal that it kept."""
    plan = replace(plan, subjects=("both:cpu",))
    made = Investigation(plan, Remembered(None), 20.0, lambda done, total: None, Inline())
    found, was_stopped = made.look_into(wrong(ranking.findings()), ranking.others)
    assert not was_stopped
    return found


def test_both_causes_are_findings_each_with_its_smallest_call(looked_into):
    first, second = looked_into
    assert [explanation(each).kind for each in looked_into] == ["is-variant", "reads-as-contiguous"]
    assert first.apart is None
    assert (second.apart.beside.kind, second.apart.beside.name) == ("is-variant", "cubed")
    assert first.signature == second.signature[:-1]
    assert second.signature[-1] == "reads-as-contiguous x"
    assert first.minimal.elements == 2
    assert set(first.minimal.call.layouts.values()) == {"contiguous"}
    assert second.minimal.elements <= 8
    assert set(second.minimal.call.layouts.values()).isdisjoint({"contiguous"})
    values = second.minimal.call.arrays["x"].astype(np.float64)
    mark = second.witness.mark
    assert mark.exact == values[mark.index] ** 2, "the right result, not that of the first cause"


def test_one_cause_is_one_finding(plan, ranking):
    known, _ = diagnose_findings(plan, wrong(ranking.findings(), "one:cpu"), Inline())
    asked = tuple(doubts(known, ranking.others))
    assert asked
    assert second_findings(plan, asked, 60.0, Inline()) == ((), False)


def test_other_cases_give_the_same_id(plan, ranking, looked_into):
    other = run(replace(plan, seed=5, subjects=("both:cpu",)), executor=Inline()).ranking
    known, _ = diagnose_findings(plan, wrong(other.findings()), Inline())
    (second,), _ = second_findings(plan, tuple(doubts(known, other.others)), 60.0, Inline())
    assert second.id == looked_into[1].id
    assert second.case != looked_into[1].case


def test_without_time_nothing_is_asked(plan, ranking):
    known, _ = diagnose_findings(plan, wrong(ranking.findings()), Inline())
    assert second_findings(plan, tuple(doubts(known, ranking.others)), 0.0, Inline()) == ((), False)


def test_notes_and_what_comes_and_goes_are_not_asked(ranking):
    (finding,) = wrong(ranking.findings())
    changed = [
        replace(finding, severity="note"),
        replace(finding, verdict="unstable"),
        replace(finding, verdict="crash"),
    ]
    changed.append(replace(finding, causes=(replace(finding.cause, relation=Relation(REPEATED)),)))
    assert not list(doubts(changed, ranking.others))


def test_a_journal_keeps_them(tmp_path: Path, looked_into):
    journal = Journal.create(tmp_path, Begun({}, {}, {}, datetime(2026, 1, 1, tzinfo=UTC), ()))
    second = replace(looked_into[1], minimal=None)
    assert Remembered(journal).second(lambda: ((second,), False)) == ((second,), False)
    journal.close()
    again = Journal.open(tmp_path)

    def never():
        raise AssertionError("it is known")

    (found,), was_stopped = Remembered(again).second(never)
    assert not was_stopped
    assert to_json(found) == to_json(second)
    again.close()


def test_one_that_its_smallest_call_has_not_is_left_out(monkeypatch, plan, ranking, looked_into):
    """Of the smallest call another cause is told: nothing is said of a second."""
    second = replace(looked_into[1], minimal=None)
    real = diagnose_findings

    def diagnose(plan, findings, *others):
        if any(each.apart for each in findings):
            return tuple(replace(each, causes=(Cause("is-variant", "cubed"),)) for each in findings), False
        return real(plan, findings, *others)

    monkeypatch.setattr(investigations, "second_findings", lambda *given: ((second,), False))
    monkeypatch.setattr(investigations, "diagnose_findings", diagnose)
    plan = replace(plan, subjects=("both:cpu",))
    made = Investigation(plan, Remembered(None), 20.0, lambda done, total: None, Inline())
    found, _ = made.look_into(wrong(ranking.findings()), ranking.others)
    assert [each.apart for each in found] == [None]
