"""The sizes at which a fault shows: a predicate for each dim, for products of dims, and dims that are equal."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, product
from math import isqrt, prod
from typing import Any

from opfuzz.core.call import Call
from opfuzz.core.trigger import Condition
from opfuzz.search.trigger.asking import Asking, Prober, Settings, Shown
from opfuzz.search.trigger.predicate import Predicate, around, fits, outside, question

_POWERS = [2**power for power in range(4, 17)]
# 6720 is a multiple of 2 to 8, 10, 12, 16, 24, 32, 48, 64 and 96: one probe rules out `n % q != 0` for all of these.
_OTHERS = (24, 48, 96, 100, 160, 1000, 6720, 32766)
SIZES = sorted({*range(10), *_OTHERS, *(n + k for n in _POWERS for k in (-1, 0, 1))})
STEPS = 40  # sizes of one dim
FRESH = 3  # sizes that only confirm
SPLITS = 24  # of a product that are looked at
PAIRS = 3  # products to try for two readings that both fit

Seen = dict[int, bool]


@dataclass(frozen=True, slots=True)
class Term:
    """A predicate on the product of some dims, over or times a param, or on the common size of some that are equal."""

    dims: tuple[str, ...]
    relation: str  # product, over, times, equal
    predicate: Predicate
    param: str = ""

    def holds(self, sizes: Mapping[str, Any]) -> bool:
        """Whether it does for a call of these sizes and params."""
        if self.relation == "equal" and len({sizes[name] for name in self.dims}) > 1:
            return False
        return self.predicate.holds(self.number(sizes))

    def number(self, sizes: Mapping[str, Any]) -> int:
        """What the predicate is about."""
        if self.relation == "equal":
            return int(sizes[self.dims[0]])
        whole: int = prod(sizes[name] for name in self.dims)
        if self.relation == "product":
            return whole
        return int(whole // (sizes[self.param] or 1) if self.relation == "over" else whole * sizes[self.param])

    @property
    def is_any(self) -> bool:
        """Whether it says nothing."""
        return self.relation == "product" and self.predicate.is_any

    def condition(self) -> Condition:
        """The same in words and as data."""
        predicate = self.predicate.without_fading
        if self.relation == "equal":
            rest = predicate.text(self.dims[0])
            text = " == ".join(self.dims) + (f" and {rest}" if rest else "")
        else:
            sign = {"product": "", "over": f" // {self.param}", "times": f" * {self.param}"}[self.relation]
            text = predicate.text(" * ".join(self.dims) + sign)
        data = {
            "dims": list(self.dims),
            "relation": self.relation,
            **({"param": self.param} if self.param else {}),
            "low": predicate.low,
            "high": predicate.high,
            "divisor": predicate.divisor,
            "is_multiple": predicate.is_multiple,
            "without": predicate.without,
            "seen_to": self.predicate.high if predicate.high is None else None,
        }
        return Condition("size", text, data)


def hold(terms: Iterable[Term], sizes: Mapping[str, Any]) -> bool:
    """Whether all terms do."""
    return all(term.holds(sizes) for term in terms)


class Sizes:
    """What is known of sizes. Holds state: `terms` get better with every step."""

    def __init__(self, prober: Prober) -> None:
        self.prober, self.call = prober, prober.call
        self.names = tuple(dim.name for dim in prober.spec.dims)
        self.order = {name: place for place, name in enumerate(self.names)}
        self.seen: list[tuple[Mapping[str, int], bool]] = [(dict(self.call.dims), True)]
        self.terms: list[Term] = []
        self.plain = prober.start  # with default params if that shows the fault, too

    def conditions(self) -> list[Condition]:
        """Of all terms that say something, in the order of the dims in the spec."""
        said = [term for term in self.terms if not term.is_any]
        return [term.condition() for term in sorted(said, key=lambda t: [self.order[name] for name in t.dims])]

    def allows(self, sizes: Mapping[str, int]) -> bool:
        """Whether a probe of these sizes is possible."""
        return self.prober.allows(self.settings(sizes))

    def settings(self, sizes: Mapping[str, int]) -> Settings:
        """The minimal call with these sizes; with default params where its own, such as a padding, forbid them."""
        settings = self.prober.settings(dims=sizes)
        return settings if self.prober.allows(settings) else self.prober.settings(dims=sizes, base=self.plain)

    def fails(self, sizes: Mapping[str, int]) -> Generator[Call, Shown, bool | None]:
        """Whether a call of these sizes fails, remembered for all that is fitted later; None if that cannot be told.

        Below the minimal call's sizes there is nothing left to be lost: what is unclear there is no fault.
        """
        settings = self.settings(sizes)
        failed = yield from self.prober.fails(settings)
        if self.prober.is_unclear(settings) and any(size > self.call.dims[name] for name, size in sizes.items()):
            return None
        self.add(sizes, failed)
        return failed

    def look(self, seen: Seen, size: int, sizes: Mapping[str, int]) -> Generator[Call, Shown, None]:
        """Asks about sizes that stand for one number, and remembers in `seen` what can be told."""
        failed = yield from self.fails(sizes)
        if failed is not None:
            seen[size] = failed

    def add(self, sizes: Mapping[str, int], failed: bool) -> None:
        """Remember what a call of these sizes, all else as in the minimal one, has done."""
        dims = {**self.call.dims, **sizes}
        if all(dims != known for known, _ in self.seen):
            self.seen.append((dims, failed))

    def infer(self) -> Generator[Call, Shown, None]:
        """Each dim by itself, then dims together."""
        plain = self.prober.settings(params={param.name: param.default for param in self.prober.spec.params})
        if self.prober.allows(plain) and (yield from self.prober.fails(plain)):
            self.plain = plain
        for name in self.names:
            self.terms.append(Term((name,), "product", Predicate()))
            yield from self._single(name)
        yield from self._equal()
        yield from self._products()

    def learn(self, results: Iterable[tuple[Settings, bool, bool]]) -> bool:
        """Remembers what calls have done that differ from the minimal one in sizes only; whether one was a surprise."""
        surprised = False
        for settings, predicted, failed in results:
            if settings.key()[1:] == self.prober.start.key()[1:]:
                self.add(settings.dims, failed)
                surprised |= predicted != failed
        return surprised

    def explained(self) -> tuple[int, int]:
        """Of how many calls that were asked the terms say what they did, and how many there were."""
        own = self.call.params
        return sum(hold(self.terms, {**own, **dims}) == failed for dims, failed in self.seen), len(self.seen)

    def again(self) -> Generator[Call, Shown, None]:
        """All terms anew, from all that was seen by now and what it leaves to ask."""
        self.terms = []
        yield from self.infer()

    def replace(self, old: Sequence[Term], new: Term) -> None:
        """One term in place of others."""
        self.terms = [term for term in self.terms if term not in old] + [new]

    def _single(self, name: str) -> Generator[Call, Shown, None]:
        own = self.call.dims[name]
        dim = next(dim for dim in self.prober.spec.dims if dim.name == name)

        def allows(size: int) -> bool:
            return self.allows({name: size})

        # The next odd multiple of each power of two tells divisibility by one from that by the next.
        multiples = [q * ((own // q + 1) | 1) for q in (2**power for power in range(1, 11))]
        near = [own - 1, own + 1, own + 2, own + 3, own // 2, 3 * own // 2, 2 * own]
        sizes = sorted({*SIZES, *(dim.choices or ()), *near, *multiples})
        sizes = [size for size in sizes if size >= 0 and allows(size)]
        seen: Seen = {dims[name]: failed for dims, failed in self._varied((name,))}
        first = [own - 1, own + 1, own + 2, *sizes[:1], 2 * own, *sizes[-1:]]
        for size in dict.fromkeys(size for size in first if size in sizes and size not in seen):
            yield from self.look(seen, size, {name: size})
        lowest = min([own, *sizes])
        yield from self._ask_on(seen, lowest, sizes, allows, lambda size: {name: size}, FRESH)
        while (yield from self._doubt(name, seen, lowest)):
            yield from self._ask_on(seen, lowest, sizes, allows, lambda size: {name: size}, 0)
        self.terms[-1] = Term((name,), "product", next(iter(fits(seen, lowest)), around(seen, own, lowest)))

    def _doubt(self, name: str, seen: Seen, lowest: int) -> Asking:
        """Whether a size that says where the fault ends shows it after all, with other values; `seen` then says so."""
        for size in outside(next(iter(fits(seen, lowest)), around(seen, self.call.dims[name], lowest)), seen):
            if self.prober.is_searching and (yield from self.prober.doubt(self.settings({name: size}))):
                seen[size] = True
                self.seen = [(dims, True if dims == {**self.call.dims, name: size} else failed)
                             for dims, failed in self.seen]  # fmt: skip
                return True
        return False

    def _ask_on(
        self,
        seen: Seen,
        lowest: int,
        sizes: Sequence[int],
        allows: Callable[[int], bool],
        dims: Callable[[int], Mapping[str, int] | None],
        fresh: int,
    ) -> Generator[Call, Shown, None]:
        """Asks on until one predicate is left, in terms of one number that `dims` turns into sizes."""
        unclear = set[int]()

        def is_possible(size: int) -> bool:
            return size not in unclear and allows(size)

        for _ in range(STEPS):
            if not self.prober.is_searching:
                return
            size = question(seen, lowest, [n for n in sizes if n not in unclear], is_possible, fresh)
            if size is None or (made := dims(size)) is None:
                return
            best = fits(seen, lowest)[0]
            yield from self.look(seen, size, made)
            if size not in seen:  # nor far above; half the way up it may be
                most = isqrt(size * max(n for n, failed in seen.items() if failed))
                unclear |= {size, *(n for n in sizes if n > most and n not in seen)}
                continue
            if fits(seen, lowest)[:1] == [best]:
                fresh -= 1

    def _equal(self) -> Generator[Call, Shown, None]:
        """Dims that must have one size each, and the same: perhaps any, as long as it is the same."""
        exact = [t for t in self.terms if t.predicate.low == t.predicate.high == self.call.dims[t.dims[0]]]
        for first, second in combinations(exact, 2):
            names = (first.dims[0], second.dims[0])
            own = self.call.dims[names[0]]
            if own != self.call.dims[names[1]] or not {first, second} <= set(self.terms):
                continue

            def both(size: int, names: tuple[str, str] = names) -> dict[str, int]:
                return dict.fromkeys(names, size)

            def allows(size: int, both: Callable[[int], dict[str, int]] = both) -> bool:
                return self.allows(both(size))

            sizes = [size for size in sorted({*SIZES, own - 1, own + 1, own + 2}) if size >= 0 and allows(size)]
            seen: Seen = {own: True}
            for size in [size for size in (own + 1, own + 2) if size in sizes]:
                yield from self.look(seen, size, both(size))
            if sum(seen.values()) == 1:
                continue
            lowest = min([own, *sizes])
            for size in dict.fromkeys(size for size in (lowest, own - 1) if size in sizes and size not in seen):
                yield from self.look(seen, size, both(size))
            yield from self._ask_on(seen, lowest, sizes, allows, both, FRESH)
            self.replace([first, second], Term(names, "equal", (fits(seen, lowest) or [around(seen, own, lowest)])[0]))

    def _products(self) -> Generator[Call, Shown, None]:
        """Dims whose product matters: one of them has a condition, and another makes up for it."""
        again = True
        while again and self.prober.is_searching:
            again = False
            for first, second in combinations(list(self.terms), 2):
                if "equal" in (first.relation, second.relation) or (first.is_any and second.is_any):
                    continue
                names = tuple(sorted((*first.dims, *second.dims), key=self.order.__getitem__))
                again = yield from self._product(names, [first, second])
                if again:
                    break

    def _product(self, names: tuple[str, ...], parts: Sequence[Term]) -> Generator[Call, Shown, bool]:
        """Whether one predicate on the product says better what two said; it has then taken their place."""
        for _ in range(PAIRS):
            predicate = self._fit(names)
            if predicate is None:
                return False
            whole = Term(names, "product", predicate)
            sizes = self._telling(names, [whole], parts)
            if sizes is None:
                break
            yield from self.fails(sizes)
        predicate = self._fit(names)
        if predicate is None or self._agree(names, parts):
            return False
        seen = self._seen_products(names)
        assert seen is not None
        ladder = [n for n in sorted({*SIZES, *seen, *(n + 1 for n in seen)}) if n and self._split(names, n)]
        yield from self._ask_on(
            seen, 1, ladder, lambda n: self._split(names, n) is not None, lambda n: self._split(names, n), 2
        )
        found = self._fit(names)
        if found is None:
            return False
        self.replace(parts, Term(names, "product", found))
        return True

    def _varied(self, names: Sequence[str]) -> Iterator[tuple[Mapping[str, int], bool]]:
        """What was seen where all dims but these are as in the minimal call."""
        for dims, failed in self.seen:
            if all(dims[name] == own for name, own in self.call.dims.items() if name not in names):
                yield dims, failed

    def _seen_products(self, names: Sequence[str]) -> Seen | None:
        """By product, whether it fails; None if that depends on more than the product."""
        seen: Seen = {}
        for dims, failed in self._varied(names):
            if seen.setdefault(prod(dims[name] for name in names), failed) != failed:
                return None
        return seen

    def _fit(self, names: Sequence[str]) -> Predicate | None:
        seen = self._seen_products(names)
        return next(iter(fits(seen, 1)), None) if seen else None

    def _agree(self, names: Sequence[str], terms: Sequence[Term]) -> bool:
        own = self.call.params
        return all(hold(terms, {**own, **dims}) == failed for dims, failed in self._varied(names))

    def _telling(self, names: Sequence[str], whole: Sequence[Term], parts: Sequence[Term]) -> dict[str, int] | None:
        """Sizes at which two readings differ, so that one probe can refute one of them; small ones first."""
        bounds = {n for term in (*whole, *parts) for n in (term.predicate.low, term.predicate.high) if n}
        divisors = {term.predicate.divisor for term in (*whole, *parts) if term.predicate.divisor}
        marks = {-(-n // k) for n in bounds for k in (1, 2, 3)} | {q // k for q in divisors for k in (1, 2, 4)}
        choice = sorted(
            {1, 2, 3, 4, 5, 7, 8, *(n + k for n in marks for k in (0, 1)), *(self.call.dims[n] for n in names)}
        )
        asked = [dims for dims, _ in self._varied(names)]
        for sizes in sorted(product(choice, repeat=len(names)), key=lambda sizes: (prod(sizes), sizes)):
            dims = {**self.call.dims, **dict(zip(names, sizes, strict=True))}
            if hold(whole, dims) != hold(parts, dims) and dims not in asked and self.allows(dims):
                return dims
        return None

    def _split(self, names: Sequence[str], size: int) -> dict[str, int] | None:
        """Sizes with this product, not all of it in one dim if that can be avoided."""
        found = []
        divisors = [n for n in range(1, min(size, SPLITS) + 1) if size % n == 0]
        for small in product(divisors, repeat=len(names) - 1):
            if size % prod(small) == 0:
                for place in range(len(names)):
                    sizes = [*small[:place], size // prod(small), *small[place:]]
                    found.append(dict(zip(names, sizes, strict=True)))
        found.sort(key=lambda sizes: max(sizes.values()))
        return next((sizes for sizes in found if self.allows(sizes)), None)
