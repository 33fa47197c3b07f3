"""One case on every subject: what a relation finds, whom a death is blamed on, and promises that a spec cannot keep."""

from __future__ import annotations

from itertools import count

import numpy as np
import pytest
from small_campaigns import SPECS

from opfuzz.backends import derive, discover
from opfuzz.backends.numpy import Numpy
from opfuzz.core.errors import OpfuzzError
from opfuzz.core.relation import CONTIGUOUS, EAGER, REPEATED, VIEW, Relation
from opfuzz.core.verdicts import FAULT, SEVERITY
from opfuzz.engine.evaluate import Bench, CaseItem, blame
from opfuzz.engine.executors import Casualty
from opfuzz.engine.executors.base import listen
from opfuzz.engine.plan import Plan, load_specs
from opfuzz.generate import inputs
from opfuzz.judge.metamorphic import list_ways
from opfuzz.report.causes import word_cause, word_relation

CENTRED = """
op: centred
summary: x without the mean of its rows, which are therefore no batch.
formats: [float64]
dims: {n: 1..6, d: 3}
batch: [n]
inputs:
  x: {shape: [n, d], regimes: [normal]}
output: {shape: [n, d]}
calls:
  numpy: x - np.mean(x, axis=0, keepdims=True)
reference: x - sum(x, axis=0, keepdims=True) / n
"""


def bench_of(path, **fields) -> Bench:
    specs = load_specs([path], discover())
    return Bench(Plan(specs=specs, subjects=("numpy:cpu",), seed=0, jobs=1, **fields))


def test_a_death_in_another_way_is_blamed_on_that_way():
    bench, labels = bench_of(SPECS), []
    listen(labels.append)
    try:
        for number in range(0, 16, 2):
            bench.examine(CaseItem("square", "float32", number))
    finally:
        listen(None)
    spec, seen = bench.specs["square"], set()
    known = {
        (way.relation, f"{word_relation(way.relation)}: killed by SIGSEGV")
        for number in range(0, 16, 2)
        for case in [bench.plan.case("square", "float32", number)]
        for way in list_ways(spec, case, inputs(spec, case), is_elementwise=True)
    }
    for label in filter(None, labels):
        subject, score = blame(Casualty("crash", "killed by SIGSEGV", label))
        assert (subject, SEVERITY[score.verdict]) == ("numpy:cpu", FAULT)
        if score.cause.relation is not None:
            assert (score.cause.relation, word_cause(score.cause)) in known
            seen.add(score.cause.relation)
        else:
            assert word_cause(score.cause) == "killed by SIGSEGV"
    assert len(seen) >= 2


def kinds(labels) -> set[str]:
    """The relations that were tried."""
    return {label.split("\n")[1] for label in labels if "\n" in label}


class Copying(Numpy):
    """One whose arrays lie in one way only."""

    layouts = frozenset({"contiguous"})

    def lay_out(self, base, views, device):
        assert views == ()
        return base


def test_what_copies_is_given_no_views_and_tried_in_other_ways():
    specs, labels = load_specs([SPECS], discover()), {}
    cases = [CaseItem("square", "float32", number) for number in range(0, 16, 2)]
    for backend in (Numpy("tried"), Copying("tried")):
        bench = Bench(Plan(specs=specs, subjects=("tried:cpu",), seed=0, jobs=1), {"tried": backend})
        labels[type(backend)] = heard = []
        listen(heard.append)
        try:
            for item in cases:
                bench.examine(item)
        finally:
            listen(None)
    assert any(
        layout != "contiguous"
        for item in cases
        for layout in bench.plan.case(item.op, item.format, item.number).layouts.values()
    )
    assert kinds(labels[Numpy]) & {CONTIGUOUS, VIEW}
    assert not kinds(labels[Copying]) & {CONTIGUOUS, VIEW}
    assert len(labels[Numpy]) == len(labels[Copying])


class Compiling(Numpy):
    """One that compiles unless its mode says otherwise."""

    compiles, modes = True, ("", "eager")


def test_what_compiles_without_a_mode_is_not_held_against_that_as_if_it_were_eager():
    specs, heard = load_specs([SPECS], discover()), {}
    for backend in (Compiling("tried"), type("Moded", (Numpy,), {"modes": ("", "eager")})("tried")):
        bench = Bench(Plan(specs=specs, subjects=("tried:cpu+eager",), seed=0, jobs=1), {"tried": backend})
        labels = heard[backend.compiles] = []
        listen(labels.append)
        try:
            for number in range(0, 24, 2):
                bench.examine(CaseItem("square", "float32", number))
        finally:
            listen(None)
    assert EAGER in kinds(heard[False])
    assert EAGER not in kinds(heard[True])


def test_a_promise_that_the_reference_breaks_is_the_specs_mistake(tmp_path):
    path = tmp_path / "centred.yaml"
    path.write_text(CENTRED)
    bench = bench_of(path)

    def examine_all() -> None:
        for number in range(40):
            bench.examine(CaseItem("centred", "float64", number))

    with pytest.raises(OpfuzzError, match=r"centred.yaml: the reference of 'centred' itself .*take the size out of"):
        examine_all()


def test_what_is_shown_by_a_second_call_is_recorded_as_a_second_call():
    """Whichever other way is tried beside it, so that it is looked at again as it was met."""
    turns = count()
    turned = derive("numpy", "turned", {"np.square": lambda x: np.square(x) + np.asarray(next(turns) % 2, x.dtype)})
    specs = load_specs([SPECS], {"turned": turned})
    bench = Bench(Plan(specs=specs, subjects=("turned:cpu",), seed=0, jobs=1), {"turned": turned})
    seen = []
    for number in range(0, 32, 2):
        result = bench.examine(CaseItem("square", "float64", number))
        seen += [judged for judged in result.judged if judged.score.verdict == "unstable"]
    assert {judged.recipe.relation for judged in seen} >= {Relation(REPEATED)}
    for judged in seen:
        assert judged.recipe.relation == judged.score.cause.relation
