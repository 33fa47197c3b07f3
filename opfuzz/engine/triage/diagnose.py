"""Diagnoses at the end of a run: each finding's call is made again, and others like it, in isolated processes."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cache, partial

import numpy as np

from opfuzz.backends import Backend, Subject, discover
from opfuzz.core.call import Call, Recipe
from opfuzz.core.case import Case
from opfuzz.core.cause import Cause
from opfuzz.core.findings import Finding
from opfuzz.core.layout import LAYOUTS
from opfuzz.core.results import Score
from opfuzz.engine.calls import follow, outcome_of, refer
from opfuzz.engine.executors import LOCAL, Casualty, Executor
from opfuzz.engine.plan import WORKER_BYTES, Plan, backends_of, needs_of, preload
from opfuzz.judge.diagnose import Evidence, diagnose, of_record
from opfuzz.judge.diagnose.evidence import Array
from opfuzz.spec import OpSpec

SECONDS = 10.0  # for one finding; what takes longer is told from the record
BATCH = 4
Diagnosis = tuple[Cause, ...]
LOST = frozenset({"crash", "timeout", "out-of-memory"})  # verdicts of calls that are not made again


def diagnosed(plan: Plan, findings: Sequence[Finding], executor: Executor = LOCAL) -> tuple[tuple[Finding, ...], bool]:
    """The findings, in their order, each with its diagnosis; and whether it was interrupted."""
    backends = discover(plan.plugins)
    specs = {spec.op: spec for spec in plan.specs}
    preloaded = preload("opfuzz.engine.triage.diagnose", plan.subjects, backends)
    said = {finding.id: _record(finding, specs[finding.op]) for finding in findings}

    def needs(finding: Finding) -> frozenset[str]:
        return needs_of([finding.subject], backends)

    return told(findings, said, _work, plan.jobs, partial(_set_up, plan), preloaded, executor, needs)


def told(
    findings: Sequence[Finding],
    known: Mapping[str, Diagnosis],
    work: Callable[[Finding], Diagnosis],
    jobs: int,
    initialise: Callable[[], None],
    preloaded: Sequence[str],
    executor: Executor = LOCAL,
    needs: Callable[[Finding], frozenset[str]] = lambda finding: frozenset(),
) -> tuple[tuple[Finding, ...], bool]:
    """The findings, in their order, each with what `work` says of it in a worker; else with what is `known`, by id.

    Also whether Ctrl-C ended it; then the rest has what is known.
    """
    said = dict(known)
    open_ones = [finding for finding in findings if finding.verdict not in LOST]
    open_ones.sort(key=lambda finding: sorted(needs(finding)))  # a batch goes to one machine
    batches = [open_ones[first : first + BATCH] for first in range(0, len(open_ones), BATCH)]
    results = executor.run(
        iter(batches),
        work,
        jobs=jobs,
        timeout=SECONDS,
        memory=WORKER_BYTES,
        preload=preloaded,
        initialise=initialise,
        needs=needs,
    )
    was_interrupted = False
    try:
        for number, batch in results:
            for finding, causes in zip(batches[number], batch, strict=True):
                if not isinstance(causes, Casualty):
                    said[finding.id] = causes
                elif causes.kind == "internal":  # a run is not lost for what is said of one of its findings
                    words = causes.message.strip().splitlines()[-1]
                    said[finding.id] += (Cause("undiagnosed", figures={"words": words}),)
    except KeyboardInterrupt:
        was_interrupted = True
    finally:
        results.close()
    return tuple(replace(finding, causes=said[finding.id]) for finding in findings), was_interrupted


def diagnose_score(
    score: Score, spec: OpSpec, recipe: Recipe, subject: Subject, backend: Backend, smallest: Call | None = None
) -> Diagnosis:
    """The diagnosis of a score on the call that shows it, made in this process: calls that may harm it are made.

    Where a smaller call shows it, that is what is looked at; the larger one is asked where few elements hide the cause.
    """
    call = follow(recipe, spec)
    if score.verdict in LOST:
        return lost(score, smallest or call)

    def run(call: Call) -> Array | None:
        return outcome_of(spec, subject, backend, call).output

    def look(call: Call, wider: Evidence | None = None) -> Evidence | None:
        output = run(call)
        return None if output is None else Evidence(spec, score, call, output, run, partial(refer, spec), wider)

    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        evidence = look(call)
        if smallest is not None:
            evidence = look(smallest, evidence) or evidence
        return lost(score, smallest or call) if evidence is None else diagnose(evidence)


def lost(score: Score, call: Call | Case) -> Diagnosis:
    """What is known of a call that is not made again."""
    views = tuple((name, layout) for name, layout in call.layouts.items() if layout != LAYOUTS[0])
    return of_record(score, (*call.dims.items(), *call.params.items()), views)


def score_of(finding: Finding) -> Score:
    """What is known of the case that a finding shows."""
    mark = finding.witness.mark if finding.witness else None
    return Score(finding.verdict, finding.cause, deciding=mark)


def smallest_of(finding: Finding) -> Call | None:
    """The smallest call that shows a finding; None if nothing smaller than its own does."""
    minimal = finding.minimal
    return minimal.call if minimal is not None and minimal.is_shown else None


def _record(finding: Finding, spec: OpSpec) -> Diagnosis:
    call = smallest_of(finding) or finding.recipe.case or follow(finding.recipe, spec)
    return lost(score_of(finding), call)


_plan: Plan | None = None


@cache
def _backends() -> Mapping[str, Backend]:
    assert _plan is not None
    return backends_of(_plan.plugins, _plan.subjects)


def _set_up(plan: Plan) -> None:
    global _plan
    _plan = plan


def _work(finding: Finding) -> Diagnosis:
    assert _plan is not None
    spec = next(spec for spec in _plan.specs if spec.op == finding.op)
    subject = Subject.parse(finding.subject)
    backend = _backends()[subject.backend]
    return diagnose_score(score_of(finding), spec, finding.recipe, subject, backend, smallest_of(finding))
