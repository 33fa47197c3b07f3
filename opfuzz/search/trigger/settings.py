"""Params, formats and layouts at which a fault shows."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping, Sequence
from itertools import islice, product
from typing import Any

from opfuzz.core.call import Call
from opfuzz.core.layout import LAYOUTS
from opfuzz.core.trigger import Condition
from opfuzz.search.trigger.asking import Prober, Settings, Shown, is_distinct
from opfuzz.search.trigger.sizes import Term, hold
from opfuzz.spec import Param, Value

MOST_VALUES = 6  # of a param that is a range, all of them; of a longer one, these places
ENLARGED = 2000  # combinations of sizes that are looked at


def enlarged(prober: Prober, terms: Sequence[Term], params: Mapping[str, Value] | None = None) -> Iterator[Settings]:
    """The minimal call with sizes of 3 and more where the fault should still show, so that layouts and params matter.

    Sizes differ from one dim to the next, so that a transposition shows. The minimal sizes come last.
    """
    own = prober.call.dims
    choices = []
    for place, (name, size) in enumerate(own.items()):
        # Not 2: a stepped view has that stride, and a transposed one should have another.
        wished = [3 + place % 2, 4 - place % 2, 2, 8] if size < 3 else [size]
        choices.append([(name, n) for n in dict.fromkeys([*wished, size, 2 * size, 4 * size, 8 * size])])
    found = 0
    for sizes in islice(product(*choices), ENLARGED):
        settings = prober.settings(dims=dict(sizes), params=params)
        if hold(terms, {**settings.dims, **settings.params}) and prober.allows(settings):
            yield settings
            found += 1
            if found == 2:
                break
    if prober.allows(settings := prober.settings(params=params)):
        yield settings


def base_of(prober: Prober, terms: Sequence[Term]) -> Generator[Call, Shown, Settings]:
    """The first enlarged settings that do fail; the minimal ones if none do."""
    for settings in enlarged(prober, terms):
        if (yield from prober.fails(settings)):
            return settings
    return prober.start


def formats(prober: Prober) -> Generator[Call, Shown, Condition | None]:
    """The formats at which the minimal call fails, rounded to each; None if all do."""
    spec, failing = prober.spec, list[str]()
    for name in spec.formats:
        failing += [name] if (yield from prober.fails(prober.settings(format=name))) else []
    if len(failing) == len(spec.formats):
        return None
    text = f"{failing[0]} only" if len(failing) == 1 else listed(failing)
    return Condition("format", text, {"relation": "in", "value": failing})


def params(prober: Prober, terms: Sequence[Term]) -> Generator[Call, Shown, list[Condition]]:
    """A condition for each param that matters. A value that no probed size allows is taken not to."""
    found = []
    for param in prober.spec.params:
        own = prober.call.params[param.name]
        answers: list[tuple[Value, bool]] = []
        for value in values_of(param, own):
            if _same(value, own):
                answers.append((value, True))
                continue
            failed = None
            for settings in _places(prober, terms, {param.name: value}):
                failed = yield from prober.fails(settings)
                if failed:
                    break
            if failed is not None:
                answers.append((value, failed))
        if not all(failed for _, failed in answers):
            found.append(_param_condition(param, answers))
    return found


def _places(prober: Prober, terms: Sequence[Term], changed: Mapping[str, Value]) -> list[Settings]:
    """Where a param is tried: in the minimal call, if the op allows it there, and where sizes let it matter."""
    larger, minimal = list(enlarged(prober, terms, changed))[:1], prober.settings(params=changed)
    return [minimal, *larger] if prober.allows(minimal) else larger


def values_of(param: Param, own: Value) -> list[Value]:
    """Those that are probed, the minimal call's among them."""
    if param.values is not None:
        values = list(param.values)
    else:
        low, high = param.low or 0, param.high or 0
        chosen = range(low, high + 1) if high - low < MOST_VALUES else (low, low + 1, low + 2, (low + high) // 2, high)
        values = list(chosen)
    return values if any(_same(value, own) for value in values) else [*values, own]


def _same(a: Value, b: Value) -> bool:
    return type(a) is type(b) and a == b


def _param_condition(param: Param, answers: Sequence[tuple[Value, bool]]) -> Condition:
    name = param.name
    failing = [value for value, failed in answers if failed]
    passing = [value for value, failed in answers if not failed]
    if all(type(value) is int for value, _ in answers):
        ints = [value for value in failing if type(value) is int]
        others = [value for value in passing if type(value) is int]
        if min(ints) > max(others):
            return _param(name, ">=", min(ints))
        if max(ints) < min(others) and len(ints) > 1:
            return _param(name, "<=", max(ints))
    if len(failing) == 1:
        return _param(name, "==", failing[0])
    if len(passing) == 1:
        return _param(name, "!=", passing[0])
    text = f"{name} in ({', '.join(map(repr, failing))})"
    return Condition("param", text, {"param": name, "relation": "in", "value": failing})


def _param(name: str, relation: str, value: Value) -> Condition:
    return Condition("param", f"{name} {relation} {value!r}", {"param": name, "relation": relation, "value": value})


def layouts(prober: Prober, base: Settings) -> Generator[Call, Shown, Condition | None]:
    """The layouts of each input at which the fault shows; None if all do.

    An input that may lie anyhow can still make up for another: `a broadcast or b broadcast`.
    """
    said: dict[str, list[str]] = {}
    applicable_to = {name: _applicable(prober, base, name) for name in prober.call.layouts}
    for name, known in applicable_to.items():
        failing = yield from _failing(prober, base, name, known)
        if set(known) - set(failing) - {"broadcast"}:  # which changes the values, and may hide a fault
            said[name] = failing
    texts, data = [], []
    for name, failing in said.items():
        options = {name: failing}
        right = next(layout for layout in applicable_to[name] if layout not in failing)
        for other in applicable_to:
            if other not in said:
                away = prober.settings(layouts={name: right}, base=base)
                if not set(failing) & set(applicable_to[other]):
                    continue
                also = yield from _failing(prober, away, other, applicable_to[other])
                if also and set(applicable_to[other]) - set(also) - {"broadcast"}:
                    options[other] = also
        ordered = {each: options[each] for each in prober.call.layouts if each in options}
        text = " or ".join(f"{each} {_kind(also, applicable_to[each])}" for each, also in ordered.items())
        texts.append(f"({text})" if len(ordered) > 1 and len(said) > 1 else text)
        data.append(ordered)
    return Condition("layout", " and ".join(texts), {"relation": "any of each", "value": data}) if said else None


def _applicable(prober: Prober, base: Settings, name: str) -> list[str]:
    shape = prober.spec.shapes(base.dims, base.params)[name]
    return [layout for layout in LAYOUTS if is_distinct(layout, shape)]


def _failing(prober: Prober, base: Settings, name: str, known: Sequence[str]) -> Generator[Call, Shown, list[str]]:
    failing: list[str] = []
    for layout in known:
        failed = yield from prober.fails(prober.settings(layouts={name: layout}, base=base))
        failing += [layout] if failed else []
    return failing


def _kind(failing: Sequence[str], known: Sequence[str]) -> str:
    """What an input's layout must be: `not contiguous`, `offset or narrowed`."""
    rest = set(known) - set(failing)
    # An offset alone leaves an array contiguous, and equal rows may hide that they are read wrongly.
    if "contiguous" in rest and rest <= {"contiguous", "offset", "broadcast"} and len(failing) > 1:
        return "not contiguous"
    return listed(failing)


def listed(names: Sequence[str]) -> str:
    """`a`, `a or b`, `a, b or c`."""
    *most, last = names
    return f"{', '.join(most)} or {last}" if most else last


def admits(condition: Condition, settings: Settings) -> bool:
    """Whether a condition on a param, the format or the layouts holds for the settings."""
    data: Mapping[str, Any] = condition.data
    if condition.kind == "format":
        return settings.format in data["value"]
    if condition.kind == "layout":
        return all(any(settings.layouts[name] in each for name, each in group.items()) for group in data["value"])
    own, value = settings.params[data["param"]], data["value"]
    match data["relation"]:
        case ">=":
            return bool(own >= value)
        case "<=":
            return bool(own <= value)
        case "==":
            return _same(own, value)
        case "!=":
            return not _same(own, value)
        case _:
            return any(_same(own, each) for each in value)
