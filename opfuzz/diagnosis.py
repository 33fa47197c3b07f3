"""Diagnoses at the end of a run: each finding's call is made again, and others like it, in isolated processes."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cache, partial

import numpy as np

from opfuzz.backends import Backend, Subject, discover
from opfuzz.call import Call
from opfuzz.case import Case
from opfuzz.diagnose import Evidence, diagnose, of_record
from opfuzz.diagnose.evidence import Array
from opfuzz.execute import LOCAL, Casualty, Executor
from opfuzz.generate import inputs
from opfuzz.layout import LAYOUTS
from opfuzz.plan import WORKER_BYTES, Plan, backends_of, needs_of, preload
from opfuzz.rank import Finding
from opfuzz.records import Score
from opfuzz.relations import relations
from opfuzz.rerun import exact_of, outcome_of, shown
from opfuzz.score import Judge
from opfuzz.spec import OpSpec

SECONDS = 10.0  # for one finding; what takes longer is told from the record
BATCH = 4
LOST = frozenset({"crash", "timeout", "out-of-memory"})  # verdicts of calls that are not made again


def diagnosed(plan: Plan, findings: Sequence[Finding], executor: Executor = LOCAL) -> tuple[tuple[Finding, ...], bool]:
    """The findings, in their order, each with its diagnosis; and whether it was interrupted."""
    backends = discover(plan.plugins)
    preloaded = preload("opfuzz.diagnosis", plan.subjects, backends)
    said = {finding.id: _record(finding, plan) for finding in findings}

    def needs(finding: Finding) -> frozenset[str]:
        return needs_of([finding.subject], backends)

    return told(findings, said, _work, plan.jobs, partial(_set_up, plan), preloaded, executor, needs)


def told(
    findings: Sequence[Finding],
    known: Mapping[str, str],
    work: Callable[[Finding], str],
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
            for finding, sentence in zip(batches[number], batch, strict=True):
                if not isinstance(sentence, Casualty):
                    said[finding.id] = sentence
                elif sentence.kind == "internal":  # a run is not lost for the words on one of its findings
                    said[finding.id] += f"; its diagnosis failed: {sentence.message.strip().splitlines()[-1]}"
    except KeyboardInterrupt:
        was_interrupted = True
    finally:
        results.close()
    return tuple(replace(finding, diagnosis=said[finding.id]) for finding in findings), was_interrupted


def diagnose_score(score: Score, spec: OpSpec, case: Case, subject: Subject, backend: Backend) -> str:
    """The diagnosis of one score of one case, made in this process: calls that may harm it are made."""
    arrays = inputs(spec, case)
    words = ""
    for relation in relations(spec, case, arrays, is_elementwise=spec.single_input):
        if relation.name == score.relation and score.reason.startswith(f"{relation.words}: "):
            words = relation.words
    index = score.deciding.index if score.deciding else None
    call, _ = shown(score.relation, score.reason, index, spec, case, arrays)
    return diagnose_call(score, spec, call, subject, backend, words)


def diagnose_call(score: Score, spec: OpSpec, call: Call, subject: Subject, backend: Backend, words: str = "") -> str:
    """The diagnosis of the score of a call; `words`: of the relation that shows the fault, if it is not the call's."""
    if score.verdict in LOST:
        return lost(score, call)

    def run(call: Call) -> Array | None:
        return outcome_of(spec, subject, backend, call).output

    def judged(output: Array, call: Call) -> Judge:
        return Judge(output, exact_of(spec, call))

    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        output = run(call)
        if output is None:
            return lost(score, call)
        return diagnose(Evidence(spec, score, call, output, run, judged, partial(exact_of, spec)), words)


def lost(score: Score, call: Call | Case) -> str:
    """What is known of a call that is not made again."""
    sizes = {**call.dims, **call.params}
    views = [f"{name} {layout}" for name, layout in call.layouts.items() if layout != LAYOUTS[0]]
    return of_record(score, ", ".join([*(f"{name} = {value}" for name, value in sizes.items()), *views]))


def score_of(finding: Finding) -> Score:
    """What is known of the case that a finding shows."""
    mark = finding.witness.mark if finding.witness else None
    return Score(finding.verdict, finding.reason, relation=finding.relation, deciding=mark)


def _record(finding: Finding, plan: Plan) -> str:
    call = finding.call or plan.case(finding.op, finding.format, finding.number)
    return lost(score_of(finding), call)


_plan: Plan | None = None


@cache
def _backends() -> Mapping[str, Backend]:
    assert _plan is not None
    return backends_of(_plan.plugins, _plan.subjects)


def _set_up(plan: Plan) -> None:
    global _plan
    _plan = plan


def _work(finding: Finding) -> str:
    assert _plan is not None
    spec = next(spec for spec in _plan.specs if spec.op == finding.op)
    subject = Subject.parse(finding.subject)
    backend = _backends()[subject.backend]
    if finding.call is not None:
        return diagnose_call(score_of(finding), spec, finding.call, subject, backend)
    case = _plan.case(finding.op, finding.format, finding.number)
    return diagnose_score(score_of(finding), spec, case, subject, backend)
