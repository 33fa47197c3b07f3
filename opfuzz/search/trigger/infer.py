"""Trigger inference: what may change around a minimal call before its fault is gone.

A generator yields calls and is sent back whether each fails; it knows neither frameworks nor references.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import suppress

from opfuzz.core.call import Call, Element
from opfuzz.core.trigger import Condition, Trigger
from opfuzz.search.trigger.asking import PROBES, Prober, Shown, Spent
from opfuzz.search.trigger.check import check, predicts, refuted
from opfuzz.search.trigger.scaled import scaled
from opfuzz.search.trigger.settings import base_of, formats, layouts, params
from opfuzz.search.trigger.sizes import Sizes
from opfuzz.search.trigger.values import values
from opfuzz.spec import OpSpec

MOST_HELD = 0.95  # one of 20 may be right by chance: an error need not be large on all values
Probes = Generator[Call, Shown, Trigger]


def infer(spec: OpSpec, call: Call, place: Element | None = None) -> Probes:
    """The condition under which the fault that `call` shows appears; `place` is where in its outputs it shows.

    Yields at most PROBES valid calls and wants to be sent what each shows. Thrown Spent into, it returns
    what is known.
    """
    prober = Prober(spec, call, place)
    sizes, others = Sizes(prober), dict[str, list[Condition]]()
    checked = held = 0
    complete = False
    with suppress(Spent):
        ordinary = yield from prober.choose_fills()
        yield from sizes.infer()
        base = yield from base_of(prober, sizes.terms)
        found = yield from layouts(prober, base)
        others["layout"] = [found] if found else []
        found = yield from formats(prober)
        others["format"] = [found] if found else []
        others["param"] = yield from params(prober, sizes.terms)
        others["param"] = yield from scaled(prober, sizes, others["param"])
        others["values"] = yield from values(prober, base, ordinary)
        was_searching = prober.is_searching
        results = yield from check(prober, sizes, _settings(others), base)
        if sizes.learn(results):  # what does not hold is learnt from once
            yield from sizes.again()
            others["param"] = yield from scaled(prober, sizes, others["param"])
            results += yield from check(prober, sizes, _settings(others), base)
        wrong_terms, wrong = refuted(results, sizes, _settings(others))
        if wrong_terms or wrong:  # what fails its check is not said, and neither that nothing matters
            sizes.terms = [term for term in sizes.terms if term not in wrong_terms]
            others = {kind: [each for each in known if each not in wrong] for kind, known in others.items()}
        predictions = [predicts(settings, sizes, _settings(others)) == failed for settings, _, failed in results]
        checked, held = len(predictions), sum(predictions)
        explained, seen = sizes.explained()
        if explained < seen:  # no simple condition fits: what is left open is said
            checked, held = checked + seen, held + explained
        # What some calls refute may be said of most, but not that all else does not matter.
        complete = was_searching and not wrong_terms and not wrong and held >= MOST_HELD * checked
    kinds = [sizes.conditions(), *(others.get(kind, []) for kind in ("param", "format", "layout", "values"))]
    return Trigger(tuple(condition for each in kinds for condition in each), checked, held, complete)


def _settings(others: dict[str, list[Condition]]) -> list[Condition]:
    return [each for kind in ("param", "format", "layout") for each in others[kind]]


def drive(probes: Probes, fails: Callable[[Call], bool], limit: int = PROBES) -> Trigger:
    """Runs `infer` with a function that judges each call; after `limit` probes it returns what is known by then."""
    try:
        call = next(probes)
        for _ in range(limit):
            call = probes.send(Shown.SAME if fails(call) else Shown.NOTHING)
        probes.throw(Spent)
    except StopIteration as stop:
        trigger: Trigger = stop.value
        return trigger
    raise RuntimeError("a generator of probes went on after its end")
