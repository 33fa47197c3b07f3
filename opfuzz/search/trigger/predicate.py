"""Conditions on one whole number: bounds and divisibility, fitted to what was seen and told apart by what was not."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from math import inf, log

DIVISORS = (2, 3, 4, 5, 6, 7, 8, 10, 12, 16, 24, 32, 48, 64, 96, 128, 256, 512, 1024)
FAR = 64
NEAR = 64  # how far from the middle of a gap a size that the op allows is looked for


@dataclass(frozen=True, slots=True)
class Predicate:
    """low <= n <= high, n != without, and n is a multiple of `divisor`, or is none; None and 0 leave a part out."""

    low: int | None = None
    high: int | None = None
    divisor: int = 0
    is_multiple: bool = True
    without: int | None = None

    def admits(self, n: int) -> bool:
        """Whether all but the bounds does."""
        return n != self.without and (not self.divisor or (n % self.divisor == 0) == self.is_multiple)

    def holds(self, n: int) -> bool:
        """Whether all parts hold for n."""
        return self.admits(n) and (self.low is None or n >= self.low) and (self.high is None or n <= self.high)

    @property
    def is_any(self) -> bool:
        """Whether it holds for every n."""
        return self == Predicate()

    @property
    def without_fading(self) -> Predicate:
        """The same without a far end that no kernel has: there the error is lost in what honest arithmetic may lose.

        A tile, a block or a type ends at or beside a multiple of FAR, or of a part of it; an error that fades ends
        anywhere, and may be lost at some size before.
        """
        if self.high is None or self.high < FAR // 2 or self.low == self.high:
            return self
        block = FAR if self.high >= 4 * FAR else FAR // 4
        if self.high % block in (0, block - 1):
            return self
        is_far = self.divisor >= 4 * FAR
        without = self.without if self.without is None or self.without < 4 * FAR else None
        return replace(
            self,
            high=None,
            divisor=0 if is_far else self.divisor,
            without=without,
            is_multiple=is_far or self.is_multiple,
        )

    @property
    def cost(self) -> tuple[float, int]:
        """How much there is to read; of two predicates that fit, the cheaper one is meant."""
        bounds = 1 if self.low == self.high is not None else (self.low is not None) + (self.high is not None)
        return bounds + 1.5 * bool(self.divisor) + 1.75 * (self.without is not None), self.divisor

    def text(self, name: str) -> str:
        """`n >= 33 and n % 32 != 0`; '' if it holds for every n."""
        parts = []
        if self.low is not None and self.low == self.high:
            parts.append(f"{name} == {self.low}")
        elif self.low is not None and self.high is not None:
            parts.append(f"{self.low} <= {name} <= {self.high}")
        elif self.low is not None:
            parts.append(f"{name} >= {self.low}")
        elif self.high is not None:
            parts.append(f"{name} <= {self.high}")
        if self.divisor:
            parts.append(f"{name} % {self.divisor} {'==' if self.is_multiple else '!='} 0")
        if self.without is not None:
            parts.append(f"{name} != {self.without}")
        return " and ".join(parts)


CLASSES = (Predicate(), *(Predicate(divisor=q, is_multiple=sign) for q in DIVISORS for sign in (False, True)))


def fits(seen: Mapping[int, bool], lowest: int) -> list[Predicate]:
    """One predicate for each divisor that agrees with all that was seen, simplest first; bounds as narrow as can be.

    `seen` says at which numbers the fault shows; at least at one. Nothing lies below `lowest`.
    """
    found = [predicate for kind in CLASSES if (predicate := _bounded(kind, seen, lowest)) is not None]
    return sorted(found, key=lambda predicate: predicate.cost)


def _bounded(kind: Predicate, seen: Mapping[int, bool], lowest: int) -> Predicate | None:
    """The narrowest bounds, with at most one exception between them; None if there are more."""
    failing = [n for n, fails in seen.items() if fails]
    if not all(map(kind.admits, failing)):
        return None
    low, high = min(failing), max(failing)
    passing = [n for n, fails in seen.items() if not fails and kind.admits(n)]
    exceptions = [n for n in passing if low < n < high]
    if len(exceptions) > 1:
        return None
    has_low, has_high = any(n < low for n in passing), any(n > high for n in passing)
    if has_high and low == high == lowest:
        has_low = True  # n == 1, where n <= 1 would say the same
    without = exceptions[0] if exceptions else None
    return Predicate(low if has_low else None, high if has_high else None, kind.divisor, kind.is_multiple, without)


def around(seen: Mapping[int, bool], size: int, lowest: int) -> Predicate:
    """The bounds of the failing sizes around `size`, whatever is seen beyond them: where nothing simple fits."""
    below = max((n for n, fails in seen.items() if n < size and not fails), default=-1)
    above = min((n for n, fails in seen.items() if n > size and not fails), default=inf)
    run = [n for n, fails in seen.items() if fails and below < n < above]
    inside = {n: fails for n, fails in seen.items() if min(run) <= n <= max(run) or n in (below, above)}
    return _bounded(Predicate(), inside, lowest) or Predicate(size, size)


def outside(predicate: Predicate, seen: Mapping[int, bool]) -> list[int]:
    """The numbers without the fault that the parts of a predicate rest on: next to each bound, and what is left out."""
    passing = [n for n, fails in seen.items() if not fails]
    found = [n for n in passing if n == predicate.without]
    if predicate.low is not None:
        found += sorted(n for n in passing if n < predicate.low)[-1:]
    if predicate.high is not None:
        found += sorted(n for n in passing if n > predicate.high)[:1]
    if predicate.divisor:
        found += sorted(n for n in passing if not predicate.admits(n))[:1]
    return list(dict.fromkeys(found))


def question(
    seen: Mapping[int, bool], lowest: int, sizes: Collection[int], allows: Callable[[int], bool], fresh: int
) -> int | None:
    """The number to try next, of `sizes` or in a gap between them; None if enough is known.

    `sizes` ascend. First what tells the simplest predicate from most others, then the ends of `sizes`, then the middle
    of a gap in which it begins or ends; at last, until there are `fresh` more numbers than it needs, what is furthest
    from all that was seen.
    """
    candidates = fits(seen, lowest)
    if not candidates:
        return None
    best, *others = candidates
    gaps = _gaps(best, seen)
    new: list[int] = [n for n in sizes if n not in seen and not any(low < n < high for low, high in gaps)]
    votes: dict[int, int] = {n: sum(other.holds(n) != best.holds(n) for other in others) for n in new}
    if any(votes.values()):
        return max(new, key=lambda n: (votes[n], -n))
    # A predicate without a bound has to hold for the last number that there is.
    extremes = [n for n in sizes if best.admits(n)]
    for n in (*extremes[-1:], *extremes[:1]):
        if n in new:
            return n
    for low, high in gaps:
        middle = (low + high) // 2
        inside = [n for n in range(max(low + 1, middle - NEAR), min(high, middle + NEAR + 1)) if best.admits(n)]
        for n in sorted(inside, key=lambda n: abs(n - middle)):
            if n not in seen and allows(n):
                return n
    if new and fresh > 0:
        return max(new, key=lambda n: (min(abs(log((n + 1) / (other + 1))) for other in seen), -n))
    return None


def _gaps(best: Predicate, seen: Mapping[int, bool]) -> list[tuple[int, int]]:
    """Between the last number that is known to be outside and the first that is known to be inside, and back."""
    inside = [n for n, fails in seen.items() if fails]
    outside = [n for n, fails in seen.items() if not fails and best.admits(n)]
    found = []
    if below := [n for n in outside if n < min(inside)]:
        found.append((max(below), min(inside)))
    if above := [n for n in outside if n > max(inside)]:
        found.append((max(inside), min(above)))
    return found
