"""Mistakes of the user: one place makes the message, one place (the command line) prints it."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass


class OpfuzzError(Exception):
    """A mistake of the user's. `str()` is the whole message: what was written, where, and the remedy."""


class DiskError(OpfuzzError):
    """The disk refuses: it is full, say. What was written before is kept."""


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """One thing wrong in a file. Lines and columns count from 1."""

    path: str
    line: int
    column: int
    message: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}:{self.column}: {self.message}"


class SpecError(OpfuzzError):
    """All that is wrong in one or more spec files, one line a problem."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(sorted(problems))
        super().__init__("\n".join(str(problem) for problem in self.problems))

    def __reduce__(self) -> tuple[type[SpecError], tuple[tuple[Problem, ...]]]:
        return SpecError, (self.problems,)


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """`; did you mean 'eps'?` for the known word nearest to `word`, or nothing."""
    near = difflib.get_close_matches(word, sorted(known), n=1)
    return f"; did you mean '{near[0]}'?" if near else ""
