"""The balls of all outputs of a call, each of which is computed once with all that they share."""

from __future__ import annotations

from collections.abc import Sequence

from opfuzz.oracle import balls
from opfuzz.oracle.balls import Ball
from opfuzz.oracle.graph import Node
from opfuzz.oracle.models import Arithmetic


class Together:
    """Graphs that share most of their nodes, as those of the gradients by several inputs do."""

    def __init__(self, roots: Sequence[Node]) -> None:
        self.roots = tuple(roots)
        self._known: dict[tuple[Arithmetic, ...], tuple[Ball, ...]] = {}

    def ball(self, place: int, models: Sequence[Arithmetic]) -> Ball:
        """The ball of the root at a place."""
        if len(self.roots) == 1:
            return balls.evaluate(self.roots[0], models)
        key = tuple(models)
        if key not in self._known:
            self._known[key] = balls.evaluate_together(self.roots, models)
        return self._known[key][place]
