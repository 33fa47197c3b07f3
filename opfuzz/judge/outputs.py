"""The score of a call: that of each output, and what they come to together."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from opfuzz.core.results import Mark, Outcome, Score
from opfuzz.core.verdicts import VERDICTS
from opfuzz.judge.score import score
from opfuzz.oracle.reference import Reference


def score_outputs(outcome: Outcome, references: Sequence[Reference]) -> Score:
    """Errors and verdict of an outcome; `references` are in the order of its outputs.

    Verdict, cause and deciding element are those of the gravest output: the worst verdict, then the largest excess.
    Errors are the largest of any output, counts those of all.
    """
    if outcome.status != "ok" or outcome.outputs is None:
        return Score(outcome.status, outcome.cause)
    stable = outcome.repeated or (True,) * len(references)
    scores = list(map(score, outcome.outputs, references, stable))
    return scores[0] if len(scores) == 1 else _together(scores)


def _together(scores: Sequence[Score]) -> Score:
    gravest = min(scores, key=lambda each: (VERDICTS.index(each.verdict), -each.excess))
    return replace(
        gravest,
        ulp=max(each.ulp for each in scores),
        conditioned=max(each.conditioned for each in scores),
        excess=max(each.excess for each in scores),
        largest=_largest(scores),
        histogram=_sum(each.histogram for each in scores),
        by_magnitude=_sum(each.by_magnitude for each in scores),
        ulp_total=sum(each.ulp_total for each in scores),
        rms_ulp=max((each.rms_ulp for each in scores if each.rms_ulp is not None), default=None),
        elements=sum(each.elements for each in scores),
        normal=sum(each.normal for each in scores),
        unjudged=sum(each.unjudged for each in scores),
        unresolved=sum(each.unresolved for each in scores),
        flushed=sum(each.flushed for each in scores),
        beyond=sum(each.beyond for each in scores),
    )


def _largest(scores: Sequence[Score]) -> Mark | None:
    """That of the output with the largest ulp error; an empty output has none."""
    marked = [each for each in scores if each.largest is not None]
    return max(marked, key=lambda each: each.ulp).largest if marked else None


def _sum(counts: Iterable[Mapping[int, int]]) -> dict[int, int]:
    total = Counter[int]()
    for each in counts:
        total.update(each)
    return dict(total)
