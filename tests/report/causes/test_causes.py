"""Words of causes are made in one place, for every kind, and nothing but a reader depends on them."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
from small_campaigns import SPECS, plugin

from documentation.cause_examples import EXAMPLES
from opfuzz.backends import discover
from opfuzz.core.call import Recipe
from opfuzz.core.cause import KINDS, NOTHING, SHOWN, Cause
from opfuzz.core.findings import Finding
from opfuzz.core.relation import KINDS as RELATIONS
from opfuzz.core.relation import Relation
from opfuzz.engine.campaign import run
from opfuzz.engine.plan import Plan, load_specs
from opfuzz.engine.triage.diagnose import diagnose_findings
from opfuzz.engine.triage.minimize import minimize_findings
from opfuzz.report.causes import kinds, word_cause, word_diagnosis, word_finding, word_reason, word_relation
from opfuzz.store.write import to_json

PACKAGE = Path(__file__).parents[3] / "opfuzz"


def test_every_kind_has_words():
    assert kinds.WORDS.keys() == KINDS.keys()


def test_every_kind_that_is_made_is_known():
    made = {kind for path in PACKAGE.rglob("*.py") for kind in re.findall(r'\bCause\(\s*"([^"]*)"', path.read_text())}
    assert made <= KINDS.keys()


@pytest.mark.parametrize("kind", RELATIONS)
def test_every_relation_has_words(kind):
    assert word_relation(Relation(kind, "x", "stepped", 2))


def _label(cause: Cause) -> str:
    return f"{cause.kind} {cause.name}".strip()


def test_there_is_an_example_of_every_kind_with_every_figure():
    shown = {kind: {name for each in EXAMPLES if each.kind == kind for name in each.figures} for kind in KINDS}
    assert {kind: names - set(SHOWN) for kind, names in shown.items()} == {
        kind: set(known.figures) for kind, known in KINDS.items()
    }


@pytest.mark.parametrize("cause", EXAMPLES, ids=_label)
def test_a_cause_survives_being_written_and_read(cause):
    read = Cause.from_json(json.loads(json.dumps(to_json(cause), allow_nan=False)))
    assert read == cause
    assert hash(read) == hash(cause)
    assert word_cause(read) == word_cause(cause)
    assert bool(word_cause(read)) == bool(cause.kind)


@pytest.mark.parametrize("cause", EXAMPLES, ids=_label)
def test_a_cause_with_another_figure_is_another(cause):
    for name in cause.figures:
        assert replace(cause, figures={**cause.figures, name: "other"}) != cause


def test_a_figure_that_the_kind_does_not_have_is_refused():
    with pytest.raises(ValueError, match="lanes"):
        Cause("bits", figures={"lanes": 3})


def test_what_has_no_cause_has_no_words_whatever_is_counted():
    finding = Finding("i", "exp", "s:cpu", "float32", "stable", "fine", NOTHING, 61, 0, 0, "c", None, Recipe())
    assert word_reason(finding) == ""
    assert word_reason(replace(finding, cause=Cause("cancels"))).endswith(" (0 of 61 cases)")


@pytest.mark.parametrize(
    "document", [None, [], {}, {"kind": "no such"}, {"kind": "bits", "figures": {"x": {}}}, {"kind": 3}]
)
def test_what_is_no_cause_is_refused(document):
    with pytest.raises(ValueError, match=r"cause|figure"):
        Cause.from_json(document)


def test_other_words_change_no_ranking_no_smallest_call_and_no_diagnosis(tmp_path, monkeypatch):
    path = plugin(tmp_path)
    subjects = ("off:cpu", "raising:cpu", "numpy:cpu")
    plan = Plan(load_specs([SPECS], discover([path])), subjects, 0, 2, ("float32",), (path,), cases=24)

    def found():
        progress = run(plan)
        smaller, _ = minimize_findings(plan, progress.ranking.findings(), 60.0)
        findings, _ = diagnose_findings(plan, smaller)
        return progress.ranking.rows(), findings, [word_finding(finding) for finding in findings]

    rows, findings, words = found()
    for kind, word in kinds.WORDS.items():
        monkeypatch.setitem(kinds.WORDS, kind, lambda cause, word=word: f"REWORDED {word(cause)}")
    again, others, reworded = found()
    assert again == rows
    assert [to_json(each) for each in others] == [to_json(each) for each in findings]
    assert all(text.startswith("REWORDED ") for text in reworded)
    assert all("REWORDED" not in text for text in words)
    assert word_diagnosis(findings[0].causes).startswith("REWORDED ")
    assert replace(findings[0], causes=()) != findings[0]
