"""How much a module of b looks like one of a: what it makes of the same inputs, its class and its name."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from opfuzz.network.trace.feeds import feed
from opfuzz.network.trace.layouts import assign
from opfuzz.network.trace.local_error import furthest
from opfuzz.network.trace.match import SAME
from opfuzz.network.trace.names import are_alike, words
from opfuzz.network.trace.recording import ModuleCall, TracedModel, TracedPart

# Two modules that compute the same differ by rounding; two that do not, by about the size of their outputs.
ALIKE = 1e-3
OF_INPUTS, OF_KIND, OF_NAME = 0.5, 0.5, 0.25

Parts = Mapping[str, TracedPart]
Calls = Mapping[str, Sequence[ModuleCall]]


class Resemblance:
    """See `match.Likeness`; each pair is run once."""

    def __init__(self, b: TracedModel, parts: tuple[Parts, Parts], calls: tuple[Calls, Calls]) -> None:
        self._b, self._parts, self._calls = b, parts, calls
        self._known: dict[tuple[str, str], float] = {}

    def __call__(self, name_a: str, name_b: str) -> float:
        """-inf if one of them runs and the other does not."""
        if (name_a, name_b) not in self._known:
            self._known[name_a, name_b] = self._measure(name_a, name_b)
        return self._known[name_a, name_b]

    def _measure(self, name_a: str, name_b: str) -> float:
        ours, theirs = (calls.get(name) for calls, name in zip(self._calls, (name_a, name_b), strict=True))
        if bool(ours) != bool(theirs):
            return -math.inf
        a, b = self._parts[0][name_a], self._parts[1][name_b]
        score = OF_KIND * are_alike(a.kind, b.kind) + OF_NAME * (words(name_a)[-1:] == words(name_b)[-1:])
        return score + (self._agreement(ours[0], theirs[0]) if ours and theirs else 0.0)

    def _agreement(self, ours: ModuleCall, theirs: ModuleCall) -> float:
        given = feed(ours, theirs)
        score = OF_INPUTS * all(given.sources)
        try:
            outputs = self._b.replay(theirs.name, given.arguments, given.tensors)
        except Exception:  # the user's module, on inputs that it did not expect
            return score
        ways = assign(ours.outputs, outputs)
        if not any(ways):
            return score
        error = furthest(ours.outputs, outputs, ways)
        return score + (SAME if error < ALIKE else max(0.0, 1 - error / 2))
