"""The causes behind the findings of a run, each with its smallest call as one line of code."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from opfuzz.backends import Backend, Subject
from opfuzz.core.common_cause import CommonCause
from opfuzz.core.findings import Finding
from opfuzz.core.verdicts import FAULT
from opfuzz.engine.calls import follow
from opfuzz.engine.plan import Plan
from opfuzz.engine.triage.diagnose import smallest_of
from opfuzz.engine.triage.sites import sites_of
from opfuzz.judge.gather import gather
from opfuzz.report.finding.one_line import one_line
from opfuzz.spec import OpSpec

DEATHS = frozenset({"dies", "hangs", "out-of-memory"})  # kinds of causes, of calls that end or hold up their process


def causes_behind(findings: Sequence[Finding], plan: Plan, backends: Mapping[str, Backend]) -> tuple[CommonCause, ...]:
    """The causes, by severity, reach and excess, see `gather`; with a profile, at how many of its sites they show."""
    known, specs = {finding.id: finding for finding in findings}, {spec.op: spec for spec in plan.specs}
    found = [_with_call(common, known[common.findings[0]], specs, backends) for common in gather(findings)]
    if plan.profile is not None:
        found = [replace(common, sites=sites_of(common, known, plan.profile)) for common in found]
    return tuple(found)


def _with_call(
    common: CommonCause, finding: Finding, specs: Mapping[str, OpSpec], backends: Mapping[str, Backend]
) -> CommonCause:
    spec, subject = specs[finding.op], Subject.parse(finding.subject)
    backend = backends[subject.backend]
    program = spec.calls[backend.dialect_in(spec.calls)][subject.implementation]
    call = smallest_of(finding) or follow(finding.recipe, spec)
    call = replace(call, layouts={name: backend.held(layout) for name, layout in call.layouts.items()})
    line = one_line(replace(program, text=backend.spelled(program.text)), backend.dialect, call)
    return replace(common, smallest=replace(common.smallest, call=line))


def widest_first(findings: Sequence[Finding]) -> tuple[list[Finding], int]:
    """Findings in the order in which time is for them, and how many come before all others.

    One of every cause of a fault comes first, then the others as they were. Of those, what ends or holds up its
    process comes last: one of them takes the time of ten others.
    """
    faults = [common for common in gather(findings) if common.severity == FAULT]
    order = [common.findings[0] for common in sorted(faults, key=lambda common: common.kind in DEATHS)]
    places = {id: place for place, id in enumerate(order)}
    return sorted(findings, key=lambda finding: places.get(finding.id, len(places))), len(places)
