"""Causes: why a result is what it is, as data. `report` words them; nothing else reads or makes such words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from opfuzz.core.relation import Relation

Figure = int | float | str | bool | None | tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of cause: what its name stands for, and what its figures are."""

    meaning: str
    name: str = ""


# The closed list. What a name is empty for is said in the meaning.
KINDS: Mapping[str, Kind] = {
    "": Kind("nothing is wrong, or nothing was looked for"),
    # What happened instead of a result.
    "raises": Kind("the call raised an exception; figures: words", "class of the exception"),
    "wrong-shape": Kind("the call returned something of another shape or type; figures: words"),
    "hangs": Kind("no result within the limit; figures: words"),
    "dies": Kind("the process ended; figures: words", "signal, or 'exit'"),
    "out-of-memory": Kind("more memory than the limit; figures: words"),
    "unsupported": Kind("there is no such call, or it refuses the format; figures: words"),
    "told": Kind("what an older opfuzz said of it; figures: words"),
    "fails": Kind("another program said that it failed; figures: words"),
    "unknown-truth": Kind("the exact result is not known; figures: words"),
    # What is computed.
    "is-variant": Kind("another meaning of the op; figures: note", "variant of the spec"),
    "is-setting": Kind("as if a parameter or input were another", "parameter or input"),
    "special-at": Kind("NaN, an infinity or the sign of a zero; figures: computed, exact, overflows"),
    "leaks": Kind("NaN and infinities reach elements that depend on none"),
    # With which precision.
    "computes-in": Kind("intermediates are rounded to a format; figures: only", "format"),
    "accumulates-in": Kind("sums run in a format; figures: lanes", "format"),
    "rounds-inputs": Kind("inputs have fewer bits", "format, or how many bits"),
    "rounds-argument": Kind("the argument is rounded on the way"),
    "quantises": Kind("inputs or results lie on a uniform grid", "input, or '' for results"),
    "results-in": Kind("every result is a number of a narrower format", "format"),
    # By which formula.
    "formula": Kind("another formula for the same values, which loses more; figures: note", "variant of the spec"),
    "sums": Kind("the order of summation; figures: lanes", "dim, or '' where it is not known"),
    "usual-formula": Kind("errs as the usual formula does", "format, or '' for the wide one"),
    "inherits": Kind("the error is that of a primitive inside", "primitive"),
    "overflows-inside": Kind("an intermediate overflows", "format, or '' for the wide one"),
    "underflows-inside": Kind("subnormal intermediates are taken for zero"),
    "cancels": Kind("relative accuracy is lost where the result is small"),
    "conditioning": Kind("errs no more than inputs that were rounded once"),
    # Where it lies in memory, and what came before.
    "reads-as-contiguous": Kind("strides and offset of a view are ignored", "input"),
    "ignores-offset": Kind("the offset of a view is ignored", "input"),
    "ignores-gaps": Kind("the gaps between the rows of a view are ignored", "input"),
    "depends-on": Kind(
        "shows only under a condition",
        "size, place, tail, values, layout, history, repetition, chance, holders: what it depends on",
    ),
    # What is said beside.
    "natural-nan": Kind("IEEE arithmetic of the usual formula gives NaN as well"),
    "bits": Kind("effective bits; figures: bits, of"),
    "behaves-like": Kind("the errors are those of a lower precision; figures: own, lower", "model of arithmetic"),
    "unconfirmed": Kind("rounding its inputs does not confirm a lower precision"),
    "at-call": Kind("the call that it is about, which is not made again; figures: sizes, params, views"),
    "undiagnosed": Kind("the diagnosis itself failed; figures: words"),
    "unexplained": Kind("no variant, no lower precision and no order of summation explains it; figures: bits, of"),
}


@dataclass(frozen=True, slots=True)
class Cause:
    """Why a result is what it is. `relation`: the other way to the same result that showed it; None: the call itself.

    Raises ValueError for a kind that is none.
    """

    kind: str
    name: str = ""
    relation: Relation | None = None
    figures: Mapping[str, Figure] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"'{self.kind}' is no kind of cause; known: {', '.join(filter(None, KINDS))}")

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
        """What two causes are compared by."""
        return self.kind, self.name, self.relation, tuple(sorted(self.figures.items()))

    def __hash__(self) -> int:
        return hash(self.key)


def _figure(value: object) -> Figure:
    """A figure as JSON has it. Raises ValueError for an object."""
    if value in ("nan", "inf", "-inf"):
        return float(str(value))
    if isinstance(value, list | tuple):
        return tuple(map(_figure, value))
    if value is None or isinstance(value, int | float | str):
        return value
    raise ValueError(f"not a figure: {value!r:.80}")


NOTHING = Cause("")
UNEXPLAINED = Cause("unexplained")
