"""Sizes that count together with a parameter: the elements of a group, of which `groups` make up a product of dims."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from itertools import product
from math import prod

from opfuzz.core.call import Call
from opfuzz.core.trigger import Condition
from opfuzz.search.trigger.asking import Prober, Settings, Shown
from opfuzz.search.trigger.predicate import fits
from opfuzz.search.trigger.settings import admits, values_of
from opfuzz.search.trigger.sizes import Sizes, Term
from opfuzz.spec import Param

TELLING = 3  # calls that only one of two readings predicts, at least
MOST = 8  # of them, at most
SPLITS = 12  # sizes of all dims of a product but one


def scaled(prober: Prober, sizes: Sizes, conditions: Sequence[Condition]) -> Generator[Call, Shown, list[Condition]]:
    """The conditions on params that are left when a size is read as over or times one, where that says it better."""
    left = list(conditions)
    for param in prober.spec.params:
        if type(prober.call.params[param.name]) is not int:
            continue
        for term in [term for term in sizes.terms if term.relation == "product" and not term.is_any]:
            own = [each for each in left if each.data["param"] == param.name]
            found = yield from _reading(prober, sizes, term, param, own)
            if found is not None:
                sizes.replace([term], found)
                left = [each for each in left if each not in own]
                break
    return left


def _reading(
    prober: Prober, sizes: Sizes, term: Term, param: Param, own: Sequence[Condition]
) -> Generator[Call, Shown, Term | None]:
    """The term with the param in it, if calls that it and the two apart predict otherwise do as it says."""
    for relation in ("over", "times"):
        whole = _candidate(prober, sizes, term, param, relation)
        told = 0
        for settings in () if whole is None else _tries(prober, whole, param):
            numbers = {**settings.dims, **settings.params}
            is_whole = whole is not None and whole.holds(numbers)
            if is_whole == (term.holds(numbers) and all(admits(each, settings) for each in own)):
                continue
            failed = yield from prober.fails(settings)
            if prober.is_unclear(settings):
                continue
            if failed != is_whole:
                told = 0
                break
            told += 1
            if told == MOST:
                break
        if told >= TELLING:
            return whole
    return None


def _candidate(prober: Prober, sizes: Sizes, term: Term, param: Param, relation: str) -> Term | None:
    """What was seen with the param as it is, said of the number that it makes with the product of dims."""
    seen: dict[int, bool] = {}
    own = prober.call.params[param.name]
    empty = Term(term.dims, relation, term.predicate, param.name)
    for dims, failed in sizes.seen:
        if all(dims[name] == size for name, size in prober.call.dims.items() if name not in term.dims):
            number = empty.number({**dims, param.name: own})
            if seen.setdefault(number, failed) != failed:
                return None
    predicate = next(iter(fits(seen, min(seen))), None) if True in seen.values() else None
    return None if predicate is None or predicate.is_any else Term(term.dims, relation, predicate, param.name)


def _tries(prober: Prober, whole: Term, param: Param) -> Iterator[Settings]:
    """Calls with other values of the param, at sizes around those where the reading begins, ends or changes."""
    predicate = whole.predicate
    bounds = {n for n in (predicate.low, predicate.high, predicate.divisor) if n}
    numbers = sorted({n + k for n in bounds for k in (-1, 0, 1)} | {k * n // 2 for n in bounds for k in (1, 3, 4, 5)})
    for number in numbers:
        for value in values_of(param, prober.call.params[param.name]):
            if type(value) is not int or value < 1 or value == prober.call.params[param.name] or number < 1:
                continue
            if whole.relation == "times" and number % value:
                continue
            size = number * value if whole.relation == "over" else number // value
            settings = next(_splits(prober, whole.dims, size, {param.name: value}), None)
            if settings is not None:
                yield settings


def _splits(prober: Prober, names: Sequence[str], size: int, params: dict[str, int]) -> Iterator[Settings]:
    """Calls whose dims of these names have a product, the smallest dims first that the op allows."""
    value = next(iter(params.values()))
    small = sorted({n for n in (*range(1, SPLITS + 1), value, 2 * value) if size % n == 0}) if size else []
    for others in product(small, repeat=len(names) - 1):
        if size % prod(others):
            continue
        for place in range(len(names)):
            dims = dict(zip(names, [*others[:place], size // prod(others), *others[place:]], strict=True))
            settings = prober.settings(dims=dims, params=params)
            if prober.allows(settings):
                yield settings
