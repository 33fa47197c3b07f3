"""A call with its values: what is judged again, made smaller, and stored."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from hashlib import blake2b
from typing import Any, Self

from numpy.typing import NDArray

from opfuzz.core.case import Case, Value
from opfuzz.core.relation import Relation

Array = NDArray[Any]


@dataclass(frozen=True, slots=True, eq=False)
class Call:
    """One call of an op, whoever makes it. `arrays` and `layouts` are by input, in storage dtypes."""

    format: str
    dims: Mapping[str, int]
    params: Mapping[str, Value]
    arrays: Mapping[str, Array]
    layouts: Mapping[str, str]

    @classmethod
    def of(cls, case: Case, arrays: Mapping[str, Array]) -> Self:
        """The call of a case, with the values of its inputs."""
        return cls(case.format, case.dims, case.params, arrays, case.layouts)

    def id(self, op: str) -> str:
        """16 hex digits that name the call of an op: equal ones have equal values, to the bit."""
        settings = [
            op,
            self.format,
            *(sorted(map(repr, each.items())) for each in (self.dims, self.params, self.layouts)),
        ]
        name = blake2b(repr(settings).encode(), digest_size=8)
        for key, array in sorted(self.arrays.items()):
            name.update(f"{key} {array.dtype} {array.shape} ".encode() + array.tobytes())
        return name.hexdigest()

    def with_arrays(self, arrays: Mapping[str, Array]) -> Call:
        """The same with some inputs replaced."""
        return replace(self, arrays={**self.arrays, **arrays})


@dataclass(frozen=True, slots=True)
class Element:
    """One element of what a call returns: the name of the output, '' for a lone one, and its place in that."""

    output: str
    index: tuple[int, ...]

    def __str__(self) -> str:
        place = f"[{', '.join(map(str, self.index))}]" if self.index or not self.output else ""
        return f"{self.output}{place}"


@dataclass(frozen=True, slots=True)
class Recipe:
    """How to make the call that shows something, as it was made: of a case, maybe in another way, or as it is.

    Where `call` is set, that is the one, whatever the case.
    """

    case: Case | None = None
    call: Call | None = None
    relation: Relation | None = None  # that was looked at; None: the call itself
    piece: int | None = None  # of the relation's calls; None: the case's own
    index: tuple[int, ...] | None = None  # of the deciding element, in the output of that call
    switch: Mapping[str, str] | None = None  # layouts of the call that it is compared with
    output: str = ""  # name of the output that the element is in
    lacking: tuple[str, ...] = ()  # inputs by which a gradient is not asked for, as the subject has none

    @property
    def element(self) -> Element | None:
        """The element that decided; None: there is none."""
        return None if self.index is None else Element(self.output, self.index)

    def about(self, element: Element | None) -> Recipe:
        """The same with another element."""
        if element is None:
            return replace(self, output="", index=None)
        return replace(self, output=element.output, index=element.index)
