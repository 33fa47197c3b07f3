"""Relations as data: which other way to the same result was tried."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

# With every input contiguous; with one input as a view; the rows of a dim one by one, or in reverse order; without the
# first elements; after a call with other values; by the subject without its mode; the same call twice; the gradient by
# one input alone.
CONTIGUOUS, VIEW, ROWS, REVERSED, SHIFTED = "contiguous", "view", "rows", "reversed", "shifted"
DISTURBED, EAGER, REPEATED, ALONE = "disturbed", "eager", "repeated", "alone"
KINDS = (CONTIGUOUS, VIEW, ROWS, REVERSED, SHIFTED, DISTURBED, EAGER, REPEATED, ALONE)
REFERENCE = "reference"  # in place of a relation's id: the call itself


@dataclass(frozen=True, slots=True)
class Relation:
    """One other way. Raises ValueError for a kind that is none."""

    kind: str
    name: str = ""  # of the input that is a view or asked for alone, or of the dim
    layout: str = ""  # of that view
    by: int = 0  # elements that are left out

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"'{self.kind}' is no kind of relation; known: {', '.join(KINDS)}")

    @classmethod
    def from_json(cls, document: object) -> Relation:
        """The relation that JSON holds. Raises ValueError if it is none."""
        if not isinstance(document, Mapping) or not document.keys() <= {"kind", "name", "layout", "by"}:
            raise ValueError(f"not a relation: {document!r:.80}")
        given = {"name": "", "layout": "", "by": 0, **document}
        if (
            not all(isinstance(given.get(key), str) for key in ("kind", "name", "layout"))
            or type(given["by"]) is not int
        ):
            raise ValueError(f"not a relation: {document!r:.80}")
        return cls(**given)

    @property
    def id(self) -> str:
        """A short name, as findings are deduplicated by."""
        match self.kind:
            case "view":
                return f"{self.layout} {self.name}"
            case "rows":
                return f"rows of {self.name}"
            case "reversed":
                return f"{self.name} reversed"
            case "shifted":
                return f"without the first {self.by}"
            case "disturbed":
                return "after other work"
            case "repeated":
                return "repeated call"
            case "alone":
                return f"{self.name} alone"
            case _:
                return self.kind

    @property
    def is_repeat(self) -> bool:
        """Whether it is the same call, which promises the same bits."""
        return self.kind in (DISTURBED, REPEATED)


def relation_id(relation: Relation | None) -> str:
    """The id of a relation, or of the call itself."""
    return REFERENCE if relation is None else relation.id
