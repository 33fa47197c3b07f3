"""What a checked text is turned into: closures, and what one evaluation hands to them."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass

Function = Callable[..., object]


class Frame:
    """What one evaluation hands to the closures."""

    __slots__ = ("divide", "equal", "functions", "literal", "names", "unequal")

    def __init__(
        self,
        names: Mapping[str, object],
        functions: Mapping[str, Function],
        literal: Callable[[float], object],
        divide: Callable[[object, object], object],
        equal: Callable[[object, object], object] = operator.eq,
        unequal: Callable[[object, object], object] = operator.ne,
    ) -> None:
        self.names = names
        self.functions = functions
        self.literal = literal
        self.divide = divide
        self.equal = equal
        self.unequal = unequal


Run = Callable[[Frame], object]

VARIES = object()


@dataclass(frozen=True, slots=True)
class Compiled:
    """One node: how to run it, its canonical form, and its value if that is an integer or list known beforehand."""

    run: Run
    form: str
    constant: object = VARIES
