"""What came of a finding's call in another environment, as a frozen record."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

THERE, ABSENT, UNTOLD = ANSWERS = ("there", "absent", "cannot tell")


@dataclass(frozen=True, slots=True)
class Retrial:
    """A call made again with another Python, and whether it still shows what it was kept for."""

    answer: str  # of ANSWERS
    words: str  # of the program that made it, or why nothing can be told
    versions: Mapping[str, str]  # in that Python, of those packages that count and are there


@dataclass(frozen=True, slots=True)
class TriedVersion:
    """One version of a package, tried."""

    version: str
    retrial: Retrial
    seconds: float  # with the making of its environment


@dataclass(frozen=True, slots=True)
class Bisection:
    """Two versions of a package that answer otherwise, with none between that could be told."""

    package: str
    below: TriedVersion  # the older one
    above: TriedVersion
    between: tuple[TriedVersion, ...]  # of which none could be told
    trials: tuple[TriedVersion, ...]  # all that were asked for, oldest first
    versions: int  # among which was searched
    check: str | None = None  # the command that was asked in place of the reproducer

    @property
    def is_fix(self) -> bool:
        """Whether the newer one is right."""
        return self.above.retrial.answer == ABSENT

    @property
    def companions(self) -> Mapping[str, tuple[str, str]]:
        """Other packages that are not the same on both sides, with their versions; "" where there is none."""
        old, new = self.below.retrial.versions, self.above.retrial.versions
        both = {name: (old.get(name, ""), new.get(name, "")) for name in {**old, **new} if name != self.package}
        return {name: pair for name, pair in both.items() if pair[0] != pair[1]}
