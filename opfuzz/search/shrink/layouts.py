"""The pass over layouts: all contiguous, each contiguous, each simpler."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from opfuzz.core.layout import LAYOUTS
from opfuzz.search.shrink.attempts import Pass, Question, Search


def simple_layouts(search: Search) -> Pass:
    """The simplest layouts with which the fault stays, in the order of LAYOUTS."""
    yield from _ask(search, dict.fromkeys(search.best.layouts, LAYOUTS[0]))
    for name in search.best.layouts:
        for layout in LAYOUTS:
            if layout == search.best.layouts[name] or (yield from _ask(search, {name: layout})):
                break


def _ask(search: Search, layouts: Mapping[str, str]) -> Question:
    best = search.best
    return (yield from search.attempt(replace(best, layouts={**best.layouts, **layouts}), search.place))
