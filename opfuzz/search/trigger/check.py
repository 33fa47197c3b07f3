"""Whether what was found predicts calls that were not asked about."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import Any

import numpy as np

from opfuzz.core.call import Call
from opfuzz.core.layout import LAYOUTS
from opfuzz.core.trigger import Condition
from opfuzz.search.trigger.asking import Prober, Settings, Shown
from opfuzz.search.trigger.settings import admits, values_of
from opfuzz.search.trigger.sizes import SIZES, Sizes, Term, hold

CALLS = 20
DRAWS = 40  # tries for each of them
REFUTED = 2  # calls that fail against a condition: it is none
AXES = 2  # changed at once, at most


def check(
    prober: Prober, sizes: Sizes, conditions: Sequence[Condition], base: Settings
) -> Generator[Call, Shown, list[tuple[Settings, bool, bool]]]:
    """Further calls with what was predicted and what they did; one or two things differ from a call that failed."""
    random = np.random.Generator(np.random.PCG64(0))
    asked = set()
    results: list[tuple[Settings, bool, bool]] = []
    for number in range(CALLS * DRAWS):
        settings = _draw(prober, base if number % 2 else prober.start, random)
        if len(results) == CALLS:
            break
        if settings is None or prober.knows(settings) or settings.key() in asked:
            continue
        asked.add(settings.key())
        predicted = predicts(settings, sizes, conditions)
        failed = yield from prober.fails(settings)
        if not prober.is_unclear(settings):
            results.append((settings, predicted, failed))
    return results


def predicts(settings: Settings, sizes: Sizes, conditions: Sequence[Condition]) -> bool:
    """Whether a call with these settings should fail."""
    return hold(sizes.terms, {**settings.dims, **settings.params}) and all(
        admits(each, settings) for each in conditions
    )


def refuted(
    results: Sequence[tuple[Settings, bool, bool]], sizes: Sizes, conditions: Sequence[Condition]
) -> tuple[list[Term], list[Condition]]:
    """Terms and conditions without which calls fail, though they say that none does."""
    failing = [(settings, {**settings.dims, **settings.params}) for settings, _, failed in results if failed]
    terms = [term for term in sizes.terms if sum(not term.holds(numbers) for _, numbers in failing) >= REFUTED]
    others = [each for each in conditions if sum(not admits(each, settings) for settings, _ in failing) >= REFUTED]
    return terms, others


def _draw(prober: Prober, base: Settings, random: np.random.Generator) -> Settings | None:
    spec = prober.spec
    axes: list[tuple[str, Any]] = [("dims", dim) for dim in spec.dims] * 2
    axes += [("params", param) for param in spec.params] + [("layouts", given) for given in spec.inputs]
    axes += [("format", None)] if len(spec.formats) > 1 else []
    changed: dict[str, Any] = {"dims": {}, "params": {}, "layouts": {}}
    for place in random.choice(len(axes), size=min(len(axes), 1 + int(random.integers(AXES))), replace=False):
        kind, what = axes[int(place)]
        if kind == "dims":
            own = base.dims[what.name]
            near = [*SIZES[:20], own - 1, own + 1, own + 2, own // 2, 2 * own, *SIZES[20:40:2], *SIZES[40::4]]
            choice = list(what.choices or near)
            changed["dims"][what.name] = max(0, choice[int(random.integers(len(choice)))])
        elif kind == "params":
            values = values_of(what, base.params[what.name])
            changed["params"][what.name] = values[int(random.integers(len(values)))]
        elif kind == "layouts":
            # Equal rows are other values: a fault may be hidden by them, whatever the strides do.
            known = [layout for layout in LAYOUTS if layout != "broadcast"]
            changed["layouts"][what.name] = known[int(random.integers(len(known)))]
        else:
            changed["format"] = spec.formats[int(random.integers(len(spec.formats)))]
    settings = prober.settings(base=base, **changed)
    return settings if prober.allows(settings) else None
