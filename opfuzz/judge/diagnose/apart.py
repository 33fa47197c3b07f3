"""Two causes under one verdict: a call that the cause of another does not explain, and that has one of its own."""

from __future__ import annotations

from dataclasses import replace

from opfuzz.core.cause import Cause
from opfuzz.core.findings import Apart
from opfuzz.judge.diagnose import Diagnosis, diagnose
from opfuzz.judge.diagnose.evidence import Evidence
from opfuzz.judge.diagnose.granted import Right, beyond, granted, world_of
from opfuzz.judge.gather import explanation_in
from opfuzz.judge.limits import FAR
from opfuzz.judge.score import score

# What these say is no cause, or one that comes and goes: a call is told from another by none of them.
VAGUE = frozenset(
    {"", "unexplained", "special-at", "behaves-like", "fails", "told", "undiagnosed", "bits", "depends-on"}
)

SHOWN_ELSEWHERE = frozenset({"ordinary", "wider"})  # figures of a cause that was seen on other calls only
IN_A_FORMAT = frozenset(
    {"computes-in", "accumulates-in", "results-in", "rounds-inputs", "rounds-counts", "rounds-tables", "keeps-in"}
)


def rest_of(evidence: Evidence, apart: Apart) -> Evidence | None:
    """What a call shows of a second cause: it is held against what is right where the first is at work.

    None where that explains it, or may; where the first says nothing of other calls, the call as it is.
    """
    right = granted(apart.beside, world_of(evidence))
    return evidence if right is None else _beyond(evidence, right)


def _beyond(evidence: Evidence, right: Right) -> Evidence | None:
    other = replace(evidence, refer=right, is_rest=True)
    if beyond(evidence.output, evidence.reference, other.reference) is None:
        return None
    return replace(other, score=score(evidence.output, other.reference))


def explains(cause: Cause, evidence: Evidence) -> bool:
    """Whether a cause says what a call should give, and that is what it gives."""
    right = granted(cause, world_of(evidence))
    return right is not None and _beyond(evidence, right) is None


def tell_apart(leader: Evidence, cause: Cause, sample: Evidence) -> Diagnosis | None:
    """The diagnosis of a call that `cause` does not explain, as it does the leader; None where it may.

    Nor may the call's own cause explain the leader: one that explains both is no second. Where the leader's explains
    not even that, the own one must explain its call, and not the leader. What has no name counts only where it is far
    beyond what the first cause does.
    """
    if not sample.is_at_fault:
        return None
    right = granted(cause, world_of(sample)) if explains(cause, leader) else None
    rest = sample if right is None else _beyond(sample, right)
    if rest is None:
        return None
    said = diagnose(rest)
    own = explanation_in(said)
    if own.relation is not None or _is_kin(own, cause):
        return None
    if own.kind in VAGUE and own.name != "tail":
        found = None if right is None else beyond(sample.output, sample.reference, rest.reference)
        return said if own.kind == "unexplained" and found is not None and found[1] >= FAR else None
    ours, theirs = (granted(own, world_of(each)) for each in (sample, leader))
    if ours is None or theirs is None:
        return said if right is not None and SHOWN_ELSEWHERE.isdisjoint(own.figures) else None
    if right is None and _beyond(sample, ours) is not None:
        return None
    return None if _beyond(leader, theirs) is None else said


def _is_kin(own: Cause, other: Cause) -> bool:
    """Whether two causes may be two names of one: the same, or two of what computing in a format does."""
    are_formats = {own.kind, other.kind} <= IN_A_FORMAT
    return own.name == other.name and (own.kind == other.kind or are_formats)
