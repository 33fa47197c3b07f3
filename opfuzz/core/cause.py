"""Causes: why a result is what it is, as data. `report` words them; nothing else reads or makes such words."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from opfuzz.core.relation import Relation

# A number, such as a size, a value or an address; then numbers with commas between them, such as a shape of any rank.
_NUMBER = re.compile(r"0[xX][0-9a-fA-F]+|[-+]?(?:\d+(?:\.\d*)?(?:[eE][-+]?\d+)?|\b(?:inf|nan)\b)")
_NUMBERS = re.compile(r"#(?:,\s*#)+,?|#,(?=[\])}])")
MOST_WORDS = 500  # characters that are kept of a message

Figure = int | float | str | bool | None | tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of cause: what it means, what its name stands for, and the figures that it may have."""

    meaning: str
    name: str = ""
    figures: tuple[str, ...] = ()


WORDS = ("words",)  # as a framework, the system or another program gave them
FIT = ("fit", "elements", "own")  # share of another meaning's allowance, on so many elements; excess of the spec's own
MET = ("elements", "met", "before", "after")  # elements that tell, and of these are as predicted; largest excesses
SHOWN = ("only", "ordinary", "wider")  # of any kind: in one of two ways only, on ordinary values, on a larger call

# The closed list. What a name is empty for is said in the meaning.
KINDS: Mapping[str, Kind] = {
    "": Kind("nothing is wrong, or nothing was looked for"),
    # What happened instead of a result.
    "raises": Kind("the call raised an exception", "class of the exception", WORDS),
    "wrong-shape": Kind("the call returned something of another shape or type", "what it returned", (*WORDS, "output")),
    "hangs": Kind("no result within the limit", "", WORDS),
    "dies": Kind("the process ended", "signal, or 'exit'", WORDS),
    "out-of-memory": Kind("more memory than the limit", "class of the exception, if one was raised", WORDS),
    "unsupported": Kind("there is no such call, or it refuses the format", "", WORDS),
    "told": Kind("what an older opfuzz said of it", "", WORDS),
    "fails": Kind("another program said that it failed", "", WORDS),
    "unknown-truth": Kind("the exact result is not known", "", WORDS),
    # What is computed.
    "is-variant": Kind("another meaning of the op", "variant of the spec", ("note", "sets", *FIT)),
    "is-setting": Kind("as if a parameter or input were another", "parameter or input", ("how", *FIT)),
    "cuts-gradient": Kind(
        "nothing is handed back through a step of the formula",
        "operation of the step",
        ("step", "steps", "elements", "met", "before", "after"),
    ),
    "scales-gradient": Kind(
        "the right gradient times a factor", "factor, or '' where it is another in each call", ("factors", *MET)
    ),
    "arranges-gradient": Kind("the right gradient with its elements at other places", "", ("how", *MET)),
    "mistakes-gradient": Kind("one mistake on the way back", "what is wrong with a step", ("about", *MET)),
    "outside-kink": Kind("at a kink, where a range is right, something outside of it", "", ("elements",)),
    "special-at": Kind(
        "NaN, an infinity or the sign of a zero",
        "",
        ("computed", "exact", "ends", "overflows"),  # the last in older runs, of what was seen and not yet tested
    ),
    "leaks": Kind("NaN and infinities reach elements that depend on none", "", ("elements",)),
    "inherits": Kind("errs as an op inside does", "op", ("elements", "met", "before", "after")),
    # With which precision.
    "computes-in": Kind(
        "intermediates are rounded to a format",
        "format",
        ("instead_of", "elements", "blind", "step", "through", "met", "before", "after"),
    ),
    "accumulates-in": Kind(
        "sums run in a format", "format", ("lanes", "end", "ones", "dim", "are_squares", "stops_at", "are_results")
    ),
    "rounds-counts": Kind("whole numbers, such as how many terms a mean has, are rounded to a format", "format"),
    "rounds-tables": Kind("numbers that no input has a part in, such as angles, are rounded to a format", "format"),
    "keeps-in": Kind("what is kept for the way back of a gradient is rounded to a format", "format"),
    "rounds-inputs": Kind(
        "inputs have fewer bits",
        "format, or '' for another number of bits",
        ("inputs", "bits", "verb", "after", "before"),
    ),
    "rounds-argument": Kind("the argument is rounded on the way", "", ("roundings",)),
    "quantises": Kind(
        "inputs or results lie on a uniform grid",
        "inputs, or '' for results",
        ("bits", "grid", "fit", "elements", "values", "step", "exact"),
    ),
    "saturates": Kind(
        "whole numbers in products are cut off, or wrap, at the ends of too few bits",
        "first or second: codes of a factor; sums, pairs or running: sums of products",
        ("low", "high", "wraps", "variant", "elements", "met", "before", "after"),
    ),
    "results-in": Kind("every result is a number of a narrower format", "format", ("bits", "elements", "unheld")),
    # By which formula.
    "formula": Kind(
        "another formula for the same values, which loses more",
        "variant of the spec",
        ("note", "fails", "worst", "own", "inside"),
    ),
    "sums": Kind(
        "the order of summation",
        "dim, or '' where it is not known",
        ("lanes", "term", "terms", "errors", "own", "repeats"),
    ),
    "usual-formula": Kind("errs as the usual formula does", "format, or '' for the wide one"),
    "overflows-inside": Kind(
        "an intermediate overflows", "format, or '' for the wide one", ("beyond", "finite", "infinite", "step", "from")
    ),
    "underflows-inside": Kind("subnormal numbers are taken for zero", "'inputs', or '' for intermediates"),
    "cancels": Kind(
        "relative accuracy is lost where the result is small", "half format it is lost in, or ''", ("absolute",)
    ),
    "conditioning": Kind("errs no more than inputs that were rounded once"),
    # Where it lies in memory, and what came before.
    "reads-as-contiguous": Kind("strides and offset of a view are ignored", "input", ("layout",)),
    "ignores-offset": Kind("the offset of a view is ignored", "input", ("layout",)),
    "ignores-gaps": Kind("the gaps between the rows of a view are ignored", "input", ("layout",)),
    "depends-on": Kind(
        "shows only under a condition",
        "size, place, tail, values, layout, history, repetition, chance, holders: what it depends on",
        (
            *("wrong", "elements", "parts", "vector", "conditions", "ranges", "most", "excess", "classes"),
            *("views", "instead", "beside", "inputs", "changed"),
        ),
    ),
    # What is said beside.
    "natural-nan": Kind("IEEE arithmetic of the usual formula gives NaN as well"),
    "bits": Kind("effective bits", "", ("bits", "of")),
    "behaves-like": Kind("the errors are those of a lower precision", "model of arithmetic", ("own", "lower")),
    "unconfirmed": Kind("rounding its inputs does not confirm a lower precision"),
    "at-call": Kind("the call that it is about, which is not made again", "", ("sizes", "views")),
    "undiagnosed": Kind("the diagnosis itself failed", "", WORDS),
    "unexplained": Kind("no variant, lower precision or order of summation explains it", "", ("bits", "of")),
}


# Of these there is no result, and the words of a framework or of the system tell them apart.
WORDED = frozenset({"raises", "wrong-shape", "hangs", "dies", "out-of-memory", "fails"})


@dataclass(frozen=True, slots=True)
class Cause:
    """Why a result is what it is. `relation`: the other way to the same result that showed it; None: the call itself.

    Raises ValueError for a kind that is none, or for a figure that the kind does not have.
    """

    kind: str
    name: str = ""
    relation: Relation | None = None
    figures: Mapping[str, Figure] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"'{self.kind}' is no kind of cause; known: {', '.join(filter(None, KINDS))}")
        if strange := self.figures.keys() - {*KINDS[self.kind].figures, *SHOWN}:
            raise ValueError(f"no figures of a cause '{self.kind}': {', '.join(sorted(strange))}")

    @classmethod
    def from_json(cls, document: object) -> Cause:
        """The cause that JSON holds, with NaN and infinities as texts. Raises ValueError if it is none."""
        if not isinstance(document, Mapping) or not isinstance(figures := document.get("figures", {}), Mapping):
            raise ValueError(f"not a cause: {document!r:.80}")
        kind, name, relation = document.get("kind"), document.get("name", ""), document.get("relation")
        if not isinstance(kind, str) or not isinstance(name, str):
            raise ValueError(f"not a cause: {document!r:.80}")
        known = None if relation is None else Relation.from_json(relation)
        return cls(kind, name, known, {str(key): _figure(value) for key, value in figures.items()})

    @property
    def key(self) -> tuple[Any, ...]:
        """What two causes are compared by; a figure that is NaN equals itself, so that a cause equals what is read."""
        figures = sorted((name, _comparable(figure)) for name, figure in self.figures.items())
        return self.kind, self.name, self.relation, tuple(figures)

    @property
    def wording(self) -> str:
        """The words that it came with, in which all numbers, and all shapes, are alike."""
        return _NUMBERS.sub("#", _NUMBER.sub("#", str(self.figures.get("words", ""))))

    @property
    def identity(self) -> str:
        """What tells it from others: its kind and name; of an end without a result, what was said of it."""
        return (self.wording if self.kind in WORDED else "") or f"{self.kind} {self.name}".strip()

    def __eq__(self, other: object) -> bool:
        return self.key == other.key if isinstance(other, Cause) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.key)


def _comparable(value: Figure) -> Figure:
    if isinstance(value, tuple):
        return tuple(map(_comparable, value))
    return "nan" if value != value else value


def _figure(value: object) -> Figure:
    """A figure as JSON has it. Raises ValueError for an object."""
    if value in ("nan", "inf", "-inf"):
        return float(str(value))
    if isinstance(value, list | tuple):
        return tuple(map(_figure, value))
    if value is None or isinstance(value, int | float | str):
        return value
    raise ValueError(f"not a figure: {value!r:.80}")


def words_of(text: str) -> str:
    """A message as it is kept: not more of it than anybody reads, and of characters that files can hold."""
    cut = text if len(text) <= MOST_WORDS else text[:MOST_WORDS] + "..."
    return cut.encode("utf-8", "replace").decode()


NOTHING = Cause("")
UNEXPLAINED = Cause("unexplained")
