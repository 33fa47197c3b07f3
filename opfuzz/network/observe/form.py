"""A call of a function in the form that specs have, and what is left to do with what comes out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from opfuzz.network.observe.records import Array

Arguments = dict[str, Any]


def unchanged(output: Array) -> Array:
    """The output as it is."""
    return output


@dataclass(frozen=True, slots=True)
class Form:
    """A call as specs would say it."""

    family: str
    arguments: Arguments
    finish: Callable[[Array], Array] = unchanged


def is_list(value: object) -> bool:
    """Whether a value is a list or tuple."""
    return isinstance(value, Sequence) and not isinstance(value, str)
