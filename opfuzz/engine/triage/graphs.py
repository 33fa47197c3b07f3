"""What other programs made of the calls of findings, and whether that is to blame: a graph that is wrong by itself."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from opfuzz.backends import Backend, Subject, discover, exported_graph
from opfuzz.core.call import Call
from opfuzz.core.findings import ExportedGraph, Finding
from opfuzz.core.results import Mark, Outcome
from opfuzz.core.verdicts import FAULT, SEVERITY
from opfuzz.engine.calls import follow
from opfuzz.engine.evaluate import looked_at
from opfuzz.engine.executors import LOCAL, RAISED, Casualty, Executor, drive, note
from opfuzz.engine.plan import Plan
from opfuzz.engine.roster import Roster, SubjectTask
from opfuzz.engine.triage.diagnose import smallest_of
from opfuzz.judge.outputs import score_outputs
from opfuzz.oracle.reference import references_of
from opfuzz.spec import OpSpec

SECONDS = 60.0  # for one finding; the first export of a process takes some
NEARER = 0.25  # of the error: the same wrong result is so much nearer to what was computed than to what is exact


@dataclass(frozen=True, slots=True)
class GraphTask(SubjectTask[Finding, ExportedGraph | None]):
    """The graph of the call of each finding; None where the call cannot be exported."""

    specs: Mapping[str, OpSpec]

    @property
    def timeout(self) -> float:
        """See Task."""
        return SECONDS

    def needs(self, item: Finding) -> frozenset[str]:
        """See Task."""
        return self.roster.needs([item.subject])

    def describe(self, item: Finding) -> str:
        """See Task."""
        return f"the exported graph of {item.id}"

    def work(self, state: Mapping[str, Backend], item: Finding) -> ExportedGraph | None:
        """See `graph_of`."""
        subject = Subject.parse(item.subject)
        note(item.subject)
        return graph_of(item, self.specs[item.op], subject, state[subject.backend])


def with_graphs(
    plan: Plan, findings: Sequence[Finding], executor: Executor = LOCAL
) -> tuple[tuple[Finding, ...], bool]:
    """The findings, those of subjects that are handed exported calls with their graphs; and whether it was interrupted.

    What is not to be had of a graph takes nothing from its finding.
    """
    backends = discover(plan.plugins)
    asked = [each for each in findings if backends[Subject.parse(each.subject).backend].exports]
    if not asked:
        return tuple(findings), False
    found: dict[str, ExportedGraph] = {}

    def take(number: int, batch: Sequence[tuple[Finding, ExportedGraph | Casualty | None]]) -> None:
        for finding, graph in batch:
            if isinstance(graph, ExportedGraph):
                found[finding.id] = graph

    specs = {spec.op: spec for spec in plan.specs}
    task = GraphTask(Roster.of({each.subject for each in asked}, plan.plugins, backends), specs)
    was_interrupted = drive(executor, task, ([each] for each in asked), take, jobs=plan.jobs, borne=RAISED)
    return tuple(replace(each, graph=found.get(each.id)) for each in findings), was_interrupted


def graph_of(finding: Finding, spec: OpSpec, subject: Subject, backend: Backend) -> ExportedGraph | None:
    """The graph that is made of the call that shows a finding; None where there is none.

    It is wrong by itself where another evaluator computes the same of it, much nearer than what is exact.
    """
    smallest = smallest_of(finding)
    call = follow(finding.recipe, spec) if smallest is None else smallest
    spec = looked_at(spec, finding.recipe.relation)
    program = spec.calls.get(backend.dialect_in(spec.calls), {}).get(subject.implementation)
    if program is None:
        return None
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            shapes = spec.output_shapes(call.dims, call.params)
            nodes, referred = exported_graph(backend, subject, program, call, shapes)
        except Exception:  # of the subject, which is told of where the call is made
            return None
        is_shown = smallest is not None or finding.recipe.relation is None  # in the call at hand
        mark = finding.witness.mark if finding.witness and is_shown else None
        return ExportedGraph(nodes, None if referred is None else _is_wrong(referred, spec, call, mark))


def _is_wrong(referred: Outcome, spec: OpSpec, call: Call, mark: Mark | None) -> bool | None:
    """Whether what another evaluator gives is what is wrong; None where it errs in a way of its own."""
    if SEVERITY[score_outputs(referred, references_of(spec, call)).verdict] != FAULT:
        return False
    if mark is None or referred.outputs is None:
        return None
    value = float(referred.outputs[spec.place_of(mark.output)][mark.index])
    if not all(map(np.isfinite, (value, mark.computed, mark.exact))):
        is_same = value == mark.computed or (np.isnan(value) and np.isnan(mark.computed))
        return True if is_same else None
    return True if abs(value - mark.computed) <= NEARER * abs(mark.computed - mark.exact) else None
