"""A cause of a run in a few words, what messages have in common, and the words beside the data in JSON."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import isfinite
from typing import Any

from opfuzz.core.cause import KINDS, Cause
from opfuzz.core.cause import WORDS as TOLD
from opfuzz.core.common_cause import EMPTY, OWN, CommonCause
from opfuzz.core.findings import Finding
from opfuzz.core.relation import DISTURBED
from opfuzz.core.run import Row
from opfuzz.report.causes.figures import named
from opfuzz.report.causes.kinds import WORDS as SENTENCES
from opfuzz.report.causes.kinds import computed_in, mistake_words, what_saturates
from opfuzz.report.causes.sentences import word_looked_into, word_reason, word_row

MESSAGES = frozenset(kind for kind, known in KINDS.items() if known.figures == TOLD) - {"undiagnosed"} | {"wrong-shape"}


def title(common: CommonCause) -> str:
    """What is wrong, without the figures that it rests on: `accumulates in float16`."""
    cause = common.cause
    if cause.kind == "raises" and common.reach == EMPTY:  # in other words in other ops
        return "raises an exception where an array is empty"
    if cause.kind in MESSAGES:
        return str(cause.figures.get("words", "")) or cause.kind
    if cause.kind == "depends-on":
        return _depends(cause)
    name = OWN if common.name == OWN and len(common.formats) > 1 else cause.name
    return _TITLES[cause.kind](cause, name)


def _special(cause: Cause, name: str) -> str:
    computed, exact = (float(str(cause.figures[figure])) for figure in ("computed", "exact"))
    returned = "a number" if isfinite(computed) and not isfinite(exact) else f"{computed:g}"
    return f"returns {returned} where {_right(computed, exact)} is right"


def _right(computed: float, exact: float) -> str:
    """Of zeros the sign is what is wrong; another number would differ from call to call."""
    return "a number" if isfinite(exact) and not isfinite(computed) else f"{exact:g}"


def _accumulates(cause: Cause, name: str) -> str:
    return f"keeps a running result in {name}" if cause.figures.get("are_results") else f"accumulates in {name}"


def _setting(cause: Cause, name: str) -> str:
    return SENTENCES[cause.kind](cause).partition(": ")[0].partition(", solved")[0].removeprefix("it ")


def _computes(cause: Cause, name: str) -> str:
    if "instead_of" in cause.figures:
        return f"computes {cause.figures['instead_of']} as {name}"
    if "met" in cause.figures:
        return computed_in(cause.figures, name)
    return f"{'may round' if cause.figures.get('blind') else 'rounds'} intermediates to {name}"


def _rounds(cause: Cause, name: str) -> str:
    given: dict[str, Any] = dict(cause.figures)
    return f"{given['verb']} {named(given['inputs'])} to {given['bits']} bits"


def _quantises(cause: Cause, name: str) -> str:
    bits, grid = cause.figures["bits"], cause.figures.get("grid")
    return f"quantises {name or 'its results'} to int{bits} {grid}" if grid else f"gives results on int{bits} steps"


def _sums(cause: Cause, name: str) -> str:
    lanes = cause.figures["lanes"]
    if "repeats" in cause.figures:
        return "sums equal terms"
    return "sums strictly sequentially" if lanes == 1 else f"sums in {lanes} lanes"


def _formula(cause: Cause, name: str) -> str:
    formula = f"the formula '{name}'"
    return f"fails where {formula} does" if cause.figures.get("fails") else f"loses what {formula} loses"


def _unexplained(cause: Cause, name: str) -> str:
    figures = cause.figures
    return f"behaves like {figures['bits']:.1f} bits of {figures['of']}, unexplained" if "bits" in figures else OPEN


def _depends(cause: Cause) -> str:
    figures, relation = cause.figures, cause.relation
    match cause.name:
        case "place":
            _, _, sentence = SENTENCES[cause.kind](cause).partition(", only ")
            return f"is wrong only {sentence}" if sentence else "is wrong"
        case "tail":
            return f"is wrong only behind the last multiple of {figures['vector']}"
        case "values" if "classes" in figures:
            return SENTENCES[cause.kind](cause).partition("; ")[0].partition(" (")[0]
        case "values":
            return "is wrong for some values"
        case "history":
            return "is wrong only after a call of the same shapes"
        case "chance":
            return "is wrong after earlier calls, or by chance"
        case "repetition" if relation is not None and relation.kind == DISTURBED:
            return "gives other bits after a call with other values"
        case "repetition":
            return "gives other bits in equal calls"
        case _:
            return f"is wrong {SENTENCES[cause.kind](cause).partition(': ')[0]}"


OPEN = "errs, and nothing that was tried explains it"
_TITLES: Mapping[str, Callable[[Cause, str], str]] = {
    "": lambda cause, name: OPEN,
    "is-variant": lambda cause, name: f"{'is' if 'fit' in cause.figures else 'behaves as'} the variant '{name}'",
    "is-setting": _setting,
    "special-at": _special,
    "leaks": lambda cause, name: "NaN and infinities reach elements that depend on none",
    "inherits": lambda cause, name: f"errs as {name} inside does",
    "cuts-gradient": lambda cause, name: f"has no gradient through {name}",
    "outside-kink": lambda cause, name: "lies outside of every convention at a kink",
    "scales-gradient": lambda cause, name: f"is {name or 'a factor'} times what is right",
    "arranges-gradient": lambda cause, name: SENTENCES[cause.kind](cause).partition(": ")[0].removeprefix("it "),
    "mistakes-gradient": lambda cause, name: mistake_words(cause).removeprefix("it "),
    "computes-in": _computes,
    "accumulates-in": _accumulates,
    "rounds-counts": lambda cause, name: f"rounds counts to {name}",
    "rounds-tables": lambda cause, name: f"rounds tables to {name}",
    "keeps-in": lambda cause, name: f"keeps its result for the way back in {name}",
    "rounds-inputs": _rounds,
    "rounds-argument": lambda cause, name: "errs as if its argument were rounded on the way",
    "quantises": _quantises,
    "saturates": lambda cause, name: what_saturates(cause),
    "results-in": lambda cause, name: f"gives {name} numbers only",
    "formula": _formula,
    "sums": _sums,
    "usual-formula": lambda cause, name: f"errs as the usual formula {f'in {name} ' if name else ''}does",
    "overflows-inside": lambda cause, name: " ".join(
        each for each in (str(cause.figures.get("step", "")), "overflows", name, "inside") if each
    ),
    "underflows-inside": lambda cause, name: f"takes subnormal {name or 'intermediates'} for zero",
    "cancels": lambda cause, name: (
        f"has absolute accuracy only{name and f' in {name}'}, so small results are lost"
        if cause.figures.get("absolute")
        else "loses relative accuracy where the result is small"
    ),
    "conditioning": lambda cause, name: "errs no more than inputs that were rounded once",
    "reads-as-contiguous": lambda cause, name: f"reads {name} as if it were contiguous",
    "ignores-offset": lambda cause, name: f"ignores the offset of {name}",
    "ignores-gaps": lambda cause, name: f"ignores the gaps between the rows of {name}",
    "natural-nan": lambda cause, name: "0 * inf or inf - inf gives NaN",
    "bits": lambda cause, name: f"has {cause.figures['bits']:.1f} effective bits of {cause.figures['of']}",
    "behaves-like": lambda cause, name: f"{'behaves like' if 'own' in cause.figures else 'no worse than'} {name}",
    "unconfirmed": lambda cause, name: "errs as in a lower precision, which nothing confirms",
    "at-call": lambda cause, name: f"is wrong {SENTENCES[cause.kind](cause)}",
    "undiagnosed": lambda cause, name: "errs, and its diagnosis failed",
    "unexplained": _unexplained,
}


def describe(item: Finding | Row | CommonCause) -> dict[str, str]:
    """The words that stand beside the data in JSON, for people.

    `reason`; of a finding its `diagnosis` as well, of a cause of a run its `title` alone.
    """
    if isinstance(item, CommonCause):
        return {"title": title(item)}
    if isinstance(item, Row):
        return {"reason": word_row(item)}
    return {"reason": word_reason(item), "diagnosis": word_looked_into(item)}
