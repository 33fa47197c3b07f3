"""Words of causes are made in one place, for every kind, and nothing but a reader depends on them."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
from small_campaigns import SPECS, plugin

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


NAN, INF = float("nan"), float("inf")
FIT = {"fit": 0.5, "elements": 8, "own": 1e9}
TOLD = {"words": "what was told"}
MET = {"elements": 9, "met": 8, "before": 74.9, "after": 0.2}
EXAMPLES = (  # of every kind, with every figure that it may have
    Cause(""),
    *(Cause(kind, "ValueError", figures=TOLD) for kind in ("raises", "hangs", "dies", "out-of-memory")),
    *(Cause(kind, figures=TOLD) for kind in ("unsupported", "told", "fails", "unknown-truth", "undiagnosed")),
    Cause("wrong-shape", "shape", figures={**TOLD, "output": "mean"}),
    Cause("is-variant", "tanh", figures={"note": "by tanh", **FIT}),
    Cause("is-variant", "eps-1e-5", figures={"note": "eps is 1e-5", "sets": ("eps", 1e-5), **FIT}),
    Cause("is-setting", "eps", figures={"how": ("value", 1e-6), **FIT}),
    Cause("is-setting", "x", figures={"how": ("shifted", 1, 0), **FIT, "own": None}),
    Cause("special-at", "", Relation("rows", "n"), {"computed": NAN, "exact": -INF, "overflows": "float16"}),
    Cause("special-at", figures={"computed": NAN, "exact": 0.0, "ends": (0.0, 1.0), "overflows": ""}),
    Cause("leaks", figures={"elements": 2}),
    Cause(
        "cuts-gradient",
        "square",
        figures={"step": 3, "steps": 10, "elements": 9, "met": 8, "before": 74.9, "after": 0.2},
    ),
    Cause("outside-kink", figures={"elements": 2}),
    Cause("scales-gradient", "1/batch", figures=MET),
    Cause("scales-gradient", figures={"factors": (0.5, 0.25), **MET}),
    Cause("arranges-gradient", figures={"how": ("transposed", 0, 1), **MET}),
    Cause("mistakes-gradient", "term", figures={"about": "sum", **MET}),
    Cause("accumulates-in", "bfloat16", figures={"lanes": 1, "are_results": True}),
    Cause("rounds-counts", "bfloat16"),
    Cause("rounds-tables", "bfloat16"),
    Cause("keeps-in", "bfloat16"),
    Cause("inherits", "exp", figures={"elements": 9, "met": 8, "before": 74.9, "after": 0.2}),
    Cause("computes-in", "float16", figures={"instead_of": "float32", "elements": 8}),
    Cause("computes-in", "float16", figures={"step": "exp", "elements": 9, "met": 8, "before": 74.9, "after": 0.2}),
    Cause("computes-in", "float16", figures={"through": ("inputs",), "elements": 9, "met": 8, "before": 0, "after": 0}),
    Cause("computes-in", "bfloat16", Relation("view", "x", "stepped"), {"blind": True, "only": True}),
    Cause(
        "accumulates-in",
        "float16",
        figures={"lanes": 8, "end": 16384, "ones": 18002, "dim": "k", "are_squares": False, "stops_at": 2048},
    ),
    Cause(
        "rounds-inputs",
        "TF32",
        figures={"inputs": ("a", "b"), "bits": 11, "verb": "rounds", "after": 1.0, "before": INF},
    ),
    Cause("rounds-argument", figures={"roundings": 2.0}),
    Cause("quantises", "x", figures={"bits": 8, "grid": "per row", "fit": 0.5, "elements": 8}),
    Cause("quantises", figures={"bits": 4, "values": 16, "step": 0.1, "exact": 90}),
    *(
        Cause("saturates", what, figures={"low": -128, "high": 127, "wraps": wraps, "variant": variant, **MET})
        for what in ("first", "second", "sums", "pairs", "running")
        for wraps in (False, True)
        for variant in ("", "eight-bits")
    ),
    Cause("results-in", "float16", figures={"bits": 11, "elements": 64, "unheld": 60}),
    Cause("formula", "naive", figures={"note": "two passes", "worst": 9.0, "own": 8.0, "inside": "float32"}),
    Cause("formula", "naive", figures={"note": "", "fails": True, "wider": True}),
    Cause("sums", figures={"lanes": 1, "repeats": 255.0}),
    Cause("sums", "k", figures={"lanes": 1, "term": 0.1, "terms": (257, 1025), "errors": (3.0, 12.0), "own": 12.0}),
    Cause("usual-formula", "float16"),
    Cause("overflows-inside", "float16", figures={"beyond": 65504.0, "finite": 2.0**10, "infinite": 2.0**17}),
    *map(Cause, ("underflows-inside", "cancels", "conditioning", "natural-nan", "unconfirmed")),
    Cause("cancels", figures={"absolute": 2.6e-7}),
    Cause("overflows-inside", "float32", figures={"step": "2 x", "from": 1.7e38}),
    *(
        Cause(kind, "x", figures={"layout": "stepped"})
        for kind in ("reads-as-contiguous", "ignores-offset", "ignores-gaps")
    ),
    Cause("depends-on", "place", figures={"wrong": 2, "elements": 8, "parts": (("from", 8, "n", 6),)}),
    Cause("depends-on", "tail", figures={"wrong": 2, "elements": 66, "vector": 64}),
    Cause("depends-on", "size", figures={"conditions": (("n", ">=", 257),)}),
    Cause("depends-on", "values", figures={"ranges": ((-INF, -INF, 1.0), (1.0, 2.0, 0.5)), "most": 1.5, "excess": 9.0}),
    Cause("depends-on", "values", figures={"classes": ((((-INF, -INF, 1.0),), NAN, -0.0, True, ("x^2", 1.8e19)),)}),
    Cause("depends-on", "values", figures={"classes": ((((1.0, 2.0, 1.0),), None, INF, False, None),)}),
    Cause("depends-on", "layout", figures={"views": (("x", "stepped"),), "instead": "wrong", "beside": True}),
    Cause("depends-on", "holders", figures={"inputs": (("x", "holds", NAN), ("y", "reaches", 1e30))}),
    Cause("depends-on", "repetition", Relation("repeated"), {"changed": 1, "elements": 8}),
    *(Cause("depends-on", name) for name in ("history", "chance")),
    Cause("bits", figures={"bits": 7.5, "of": 24}),
    Cause("behaves-like", "float16 inside", figures={"own": 900.0, "lower": 0.9, "ordinary": True}),
    Cause("at-call", figures={"sizes": (("n", 4),), "views": (("x", "stepped"),)}),
    Cause("unexplained", figures={"bits": 7.5, "of": 24}),
)


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
