"""Diagnosis: what causes a fault, in one sentence with the figures it rests on; and that nothing explains it, if so."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from math import isfinite
from typing import Any

import numpy as np

from opfuzz.diagnose import meanings, precisions, sums, where
from opfuzz.diagnose.evidence import LIMIT, Evidence, figure, ordinary
from opfuzz.metrics.conditioned import effective_bits
from opfuzz.records import FAULT, SEVERITY, UNEXPLAINED, Score

__all__ = ["Evidence", "diagnose", "of_record"]

Stage = Callable[[Evidence], str | None]

CAUSES: tuple[Stage, ...] = (  # the first that is certain is told
    meanings.variant,
    sums.stops,
    precisions.lower_call,
    precisions.inputs,
    precisions.outputs,
    meanings.formula,
    meanings.misread,
    meanings.leak,
    meanings.setting,
    precisions.quantised,
    precisions.overflow,
)
ROUNDINGS = 4.0  # of the inputs, that do as much as the error: a rounding on the way, not another kind of arithmetic
ORDINARY, MOST_ELEMENTS = (
    8,
    2**18,
)  # size of each dim at least, and of all inputs at most, where precision is looked for
LEAST_SHARE = 2.0**-13  # of a lower precision's allowance: errors that are smaller are not its own
REPORTED = re.compile(r" \(\d+ of \d+ cases\)$")  # what a ranking adds to a reason


def diagnose(evidence: Evidence, words: str = "") -> str:
    """One sentence: the cause, the condition, the effective bits. `words`: the relation that shows the fault."""
    score = evidence.score
    if SEVERITY[score.verdict] != FAULT:
        return _sentence([_note(evidence), _bits(evidence)])
    if score.verdict == "unstable":
        return _sentence([_reason(score), where.broken(evidence) or "four more equal calls gave equal bits"])
    if not evidence.is_wrong.any():
        is_right = SEVERITY[evidence.judged.verdict()[0]] != FAULT
        again = "the same call made again is right, so it depends on earlier calls, or on chance" if is_right else None
        return _sentence([_reason(score), again, _bits(evidence)])
    cause = next((found for stage in CAUSES if (found := stage(evidence)) is not None), None) or _elsewhere(evidence)
    said: list[str | None] = [cause]
    if cause is None:
        at_values = where.values(evidence)
        elements = None if at_values else where.elements(evidence)
        said = [*_stated(evidence, at_values, words, elements), where.holders(evidence)]
        said.append(where.history(evidence))
        if not words:
            said += [where.sizes(evidence), where.single(evidence)]
        said.append(elements)
    elif score.verdict == "special":
        said[0] = f"{_reason(score).removeprefix(f'{words}: ')}: {cause}"
    if words:
        said[0] = f"{words}: {said[0]}"
    else:  # words name the views already
        said.append(meanings.layout(evidence))
    return _sentence([*said, _bits(evidence)])


def of_record(score: Score, dims: str) -> str:
    """What is known of a call that is not made again, because it died or hung."""
    return _sentence([_reason(score), f"at {dims}" if dims else None])


def _sentence(parts: list[str | None]) -> str:
    return "; ".join(part for part in parts if part)


def _reason(score: Score) -> str:
    return REPORTED.sub("", score.reason).rstrip(".")


def _note(evidence: Evidence) -> str:
    reason = _reason(evidence.score) or evidence.score.verdict
    grown = sums.growth(evidence) if reason.startswith("sums") else None
    return grown or reason


def _elsewhere(evidence: Evidence) -> str | None:
    """The cause that shows on ordinary values, where those at fault hide it."""
    call = ordinary(evidence)
    if call is None:
        return None
    output = evidence.run(call)
    if output is None or not output.size:
        return None
    plain = replace(evidence, call=call, output=output)
    if not plain.is_wrong.any():
        return None
    stages = (meanings.variant, precisions.lower_call, precisions.inputs, precisions.outputs)
    found = next((words for stage in stages if (words := stage(plain)) is not None), None)
    if found is None and plain.fmt.bits == 64 and not evidence.is_special.any():
        found = _behaves(plain, next(m for m in plain.judged.exact.lower_precisions() if m.name == "float32 inside"))
    return f"on ordinary values {found}" if found else None


def _behaves(evidence: Evidence, model: Any) -> str | None:
    """That the errors are those of a lower precision, where its allowance covers them."""
    exact = evidence.judged.exact
    own, lower = (float(evidence.judged.excess(a).max()) for a in (exact.wide, exact.allowance(model)))
    if not LEAST_SHARE <= lower <= LIMIT:
        return None
    return (
        f"it behaves like {model.name}: {figure(own)} times the allowance, {figure(lower)} times that of {model.name}"
    )


def _stated(evidence: Evidence, at_values: str | None, words: str, elements: str | None) -> list[str | None]:
    """What the verdict alone says, where no stage is certain of more, and for which values of a function it holds."""
    reason, exact = _reason(evidence.score).removeprefix(f"{words}: "), evidence.judged.exact
    if evidence.score.verdict == "special":
        wrong = evidence.is_special
        is_nan = np.isnan(exact.natural_values[wrong]) & np.isnan(evidence.judged.computed[wrong])
        natural = "IEEE arithmetic of the usual formula gives NaN there too, by 0 * inf or inf - inf"
        return [f"{reason}: {at_values}" if at_values else reason, natural if wrong.any() and is_nan.all() else None]
    bits = effective_bits(float(evidence.judged.conditioned.max(initial=0.0)), evidence.fmt)
    largest = float(evidence.judged.conditioned.max(initial=0.0))
    if exact.is_unary and largest <= ROUNDINGS:
        roundings = f"its error is {figure(largest)} times what one rounding of the argument does"
        return [f"it errs as if its argument were rounded on the way: {roundings}", at_values]
    is_part = elements is not None and ", only " in elements  # no precision stops at an index
    if is_part or reason.endswith(UNEXPLAINED) or reason.startswith("behaves as the variant"):
        unexplained = "no variant, no lower precision and no order of summation explains it"
        return [f"behaves like {bits:.1f} bits of {evidence.fmt.precision}: {unexplained}", at_values]
    if (model := next((m for m in exact.lower_precisions() if reason == f"no worse than {m.name}"), None)) is not None:
        return [f"{_behaves(evidence, model) or reason}; rounding its inputs does not confirm it", at_values]
    return [reason, at_values]


def _bits(evidence: Evidence) -> str | None:
    """Effective bits, where an error has a size."""
    largest = float(evidence.judged.conditioned.max(initial=0.0))
    if not isfinite(largest) or largest <= 1 or (evidence.excess.max(initial=0.0) <= LIMIT and _is_special(evidence)):
        return None
    return f"{effective_bits(largest, evidence.fmt):.1f} effective bits of {evidence.fmt.precision}"


def _is_special(evidence: Evidence) -> bool:
    return evidence.score.verdict == "special"
