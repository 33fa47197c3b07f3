"""Passes over dims: all at once, one by one from small sizes up, two tied, one traded for another."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from itertools import combinations, islice, permutations, product

import numpy as np

from opfuzz.core.call import Array, Call
from opfuzz.core.floats import FORMATS, Format
from opfuzz.search.shrink.attempts import Pass, Question, Search, is_callable
from opfuzz.search.shrink.resize import KEEPS, Keep, resized
from opfuzz.spec import Dim, Value

SMALL = (1, 0, 2, 3, 4)
COMBINATIONS = 500  # of small sizes that are looked through for one that the spec allows
NEAR = 32  # sizes on either side of the middle that are looked through for one that the spec allows
PRIMES = (2, 3, 5, 7)
FEW = 5  # sizes up to it are tried with other values elsewhere
Shape = tuple[int, ...]


def slices(search: Search) -> Pass:
    """Batches down to the one that matters, all dims to the smallest, and all but one."""
    for names in (search.spec.batch, *((name,) for name in search.spec.batch)):
        sizes = {name: 1 for name in names if search.best.dims[name] > 1}
        for keep in KEEPS if sizes else ():
            if (yield from _ask(search, sizes, keep)):
                break
    defaults: dict[str, Value] = {param.name: param.default for param in search.spec.params}
    for params in (defaults, dict(search.best.params)):
        everything = [dim.name for dim in search.spec.dims]
        by_size = sorted(everything, key=lambda name: -search.best.dims[name])
        for kept in (None, *(by_size if len(by_size) > 1 else ())):
            least = _smallest_but(search, kept, params)
            if least and (yield from _ask(search, least, "place", params)):
                break


def each_dim(search: Search) -> Pass:
    """Every dim as small as it can be, the one that saves most first."""
    names = [dim.name for dim in search.spec.dims]

    def elements(name: str) -> int:
        best = search.best
        size = _smallest(search, name, best.params)
        return int(search.key({**best.dims, name: size}, best.params, best.layouts)[0])

    for name in sorted(names, key=elements):
        yield from _descend(search, (name,))


def tied_dims(search: Search) -> Pass:
    """Dims of one size smaller together: what fails only where m = n."""
    names = [dim.name for dim in search.spec.dims if not dim.choices]
    for count in (2, len(names)) if len(names) > 2 else (2,):
        for group in combinations(names, count):
            if len({search.best.dims[name] for name in group}) == 1:
                yield from _descend(search, group)


def traded_dims(search: Search) -> Pass:
    """One dim smaller and another larger, with fewer elements in all: what fails where batch * n is at least 33.

    What stood along the one may have to stand along the other.
    """
    for name, other in permutations([dim.name for dim in search.spec.dims], 2):
        best = search.best
        least = _smallest(search, name, best.params)
        for size in dict.fromkeys((1, least, 2)):  # what is too small alone may do where the other is larger
            if size < best.dims[name]:
                enough = _largest(search, {**best.dims, name: size}, other)
                if enough is not None and (yield from _ask_either(search, {name: size, other: enough})):
                    yield from _descend(search, (other,))
                    break


def _ask_either(search: Search, sizes: Mapping[str, int]) -> Question:
    """Other sizes, with the values around the place, or all in their order."""
    return (yield from _ask(search, sizes)) or (yield from _ask(search, sizes, "order"))


def first_values(search: Search) -> Pass:
    """Smaller sizes with the values that the search began with, which may need fewer elements than simple ones."""
    for dim in search.spec.dims:
        size = search.best.dims[dim.name]
        for smaller in dict.fromkeys((1, size // 2, size - 1)):
            dims = {**search.best.dims, dim.name: smaller}
            if 0 < smaller < size and search.is_smaller(dims, search.best.params):
                call, place = resized(search.spec, search.start, search.start_place, dims, search.best.params)
                if (yield from search.attempt(call, place)):
                    yield from _descend(search, (dim.name,))
                    break


def large_values(search: Search) -> Pass:
    """Smaller sizes with larger numbers, where the size of the numbers matters: fewer of them overflow as well."""
    best, fmt = search.best, FORMATS[search.best.format]
    names = [item.name for item in search.spec.inputs if item.kind == "float" and best.arrays[item.name].size]
    large = [name for name in names if _largest_number(best.arrays[name]) >= 2.0 ** (fmt.emax // 8)]
    for dim in search.spec.dims if large else ():
        size = search.best.dims[dim.name]
        for smaller in dict.fromkeys((1, 2, 3, size // 2, size // 2 + 1)):
            dims = {**search.best.dims, dim.name: smaller}
            if not 0 < smaller < size or not search.is_smaller(dims, search.best.params):
                continue
            call, place = resized(search.spec, search.best, search.place, dims, search.best.params)
            if call is None:
                continue
            for arrays in _overflowing(call, names, large, fmt):
                if (yield from search.attempt(call.with_arrays(arrays), place)):
                    break


def _overflowing(call: Call, names: Sequence[str], large: Sequence[str], fmt: Format) -> Iterator[dict[str, Array]]:
    """Large numbers in all large inputs; sums of one input that overflow before its last number brings them back."""
    for exponent in (fmt.emax, fmt.emax // 2 + 1, fmt.emax // 4 + 1, fmt.emax // 8 + 1):
        yield {name: np.full_like(call.arrays[name], 2.0**exponent) for name in large}
    for name in large:
        if (size := call.arrays[name].size) > 2:
            sums = np.full(
                size, np.ldexp(4.03 / (size - 1), fmt.emax - 1)
            )  # all but one: just above the largest number
            sums[-1] *= -1
            ones = {other: np.ones_like(call.arrays[other]) for other in names}
            yield {**ones, name: sums.reshape(call.arrays[name].shape).astype(call.arrays[name].dtype)}


def outweighing_values(search: Search) -> Pass:
    """Smaller sizes with one element that outweighs the others: what a sum leaves out, or loses, shows with fewer."""
    fmt = FORMATS[search.best.format]
    floats = [item.name for item in search.spec.inputs if item.kind == "float"]
    for dim in search.spec.dims:
        for name in floats:
            for fill in _outweighing(fmt):
                size = search.best.dims[dim.name]
                dims = {**search.best.dims, dim.name: size - 1}
                if size <= FEW or not search.is_smaller(dims, search.best.params):
                    continue
                call, place = resized(search.spec, search.best, search.place, dims, search.best.params)
                if call is None or not call.arrays[name].ndim:
                    continue
                filled = {each: np.ones_like(call.arrays[each]) for each in floats}
                filled[name] = fill(call.arrays[name].shape).astype(call.arrays[name].dtype)
                if (yield from search.attempt(call.with_arrays(filled), place)):
                    yield from _descend(search, (dim.name,))


def _outweighing(fmt: Format) -> Iterator[Callable[[Shape], Array]]:
    """Rows whose last element dwarfs an exponential sum of the others, or whose first swallows each of the others."""

    def row(first: float, others: float, last: float) -> Callable[[Shape], Array]:
        def fill(shape: Shape) -> Array:
            values = np.full(shape, others)
            values[..., :1], values[..., -1:] = first, last
            return values

        return fill

    yield row(0.0, 0.0, 8.0)
    for bits in sorted({8, 11, fmt.precision}):
        if bits <= fmt.precision:
            yield row(1.0, 2.0**-bits, 2.0**-bits)


def _largest_number(array: Array) -> float:
    with np.errstate(invalid="ignore"):  # a signalling NaN
        sizes = np.abs(array.astype(np.float64))
    return float(sizes[np.isfinite(sizes)].max(initial=0.0))


def _ask(
    search: Search, sizes: Mapping[str, int], keep: Keep = "place", params: Mapping[str, Value] | None = None
) -> Question:
    best = search.best
    dims, settings = {**best.dims, **sizes}, best.params if params is None else params
    if not search.is_smaller(dims, settings):
        return False
    call, place = resized(search.spec, best, search.place, dims, settings, keep)
    return (yield from search.attempt(call, place))


def _descend(search: Search, names: tuple[str, ...]) -> Pass:
    """Dims of one size as small as they can be together.

    Small sizes and powers of two come first: they cost least, and a fault need not be there at every size above its
    first. Between the last without and the first with the fault the boundary is bisected.
    """
    leapt = True
    while leapt:
        without = yield from _rise(search, names)
        while (middle := _between(search, names, without, search.best.dims[names[0]])) is not None:
            if not (yield from _ask(search, dict.fromkeys(names, middle))):
                without = middle
        leapt = yield from _leap(search, names)


def _rise(search: Search, names: tuple[str, ...]) -> Generator[Call, bool, int]:
    """Rising sizes up to the first that shows the fault; the largest below it that does not, or -1."""
    without = {-1}
    for size in _rising(search, names):
        if size >= search.best.dims[names[0]]:
            continue
        for keep in KEEPS if size <= 2 else KEEPS[:1]:
            if (yield from _ask(search, dict.fromkeys(names, size), keep)):
                break
        else:
            without.add(size)
            continue
        if size != 1:  # an empty call may show the fault too
            break
    return max(size for size in without if size < search.best.dims[names[0]])


def _leap(search: Search, names: tuple[str, ...]) -> Question:
    """One and two less with other values kept, or a part: over sizes at which the fault is not there."""
    size = search.best.dims[names[0]]
    parts = [size // prime for prime in PRIMES if size % prime == 0]
    leaps: list[tuple[int, Keep]] = [(size - 1, "first"), (size - 1, "last"), (size - 2, "place"), (size - 3, "place")]
    for smaller, keep in (*leaps, *((part, KEEPS[0]) for part in parts)):
        if 0 < smaller < size and (yield from _ask(search, dict.fromkeys(names, smaller), keep)):
            if smaller == size - 1:
                yield from _bisect(search, names, keep)
            return True
    return False


def _bisect(search: Search, names: tuple[str, ...], keep: Keep) -> Pass:
    """Fewer values at one end, as long as the fault stays: 1, then halves."""
    without = 0
    while (middle := _between(search, names, without, search.best.dims[names[0]])) is not None:
        size = 1 if without == 0 else middle
        if not (yield from _ask(search, dict.fromkeys(names, size), keep)):
            without = size


def _rising(search: Search, names: tuple[str, ...]) -> list[int]:
    """Sizes to try: choices, or small ones, the smallest that is allowed, powers of two, and what comes after them."""
    size = search.best.dims[names[0]]
    choices = _dim(search, names[0]).choices
    if choices:
        return sorted(choices)
    powers = [2**bits for bits in range(3, size.bit_length())]
    beside = [power + 1 for power in (4, *powers)]
    return list(dict.fromkeys((*SMALL, _smallest(search, names[0], search.best.params), *powers, *beside)))


def _between(search: Search, names: tuple[str, ...], low: int, high: int) -> int | None:
    """The allowed size nearest to the middle between two; None if there is none near."""
    middle = (low + high) // 2
    for step in range(NEAR):
        for size in (middle - step, middle + step):
            sizes = dict.fromkeys(names, size)
            if low < size < high and is_callable(search.spec, {**search.best.dims, **sizes}, search.best.params):
                return size
    return None


def _dim(search: Search, name: str) -> Dim:
    return next(dim for dim in search.spec.dims if dim.name == name)


def smallest_size(search: Search, name: str, params: Mapping[str, Value]) -> int | None:
    """Smallest size of a dim above 0 that is allowed with the others as they are; None if none is that is small."""
    for size in _ladder(_dim(search, name)):
        if is_callable(search.spec, {**search.best.dims, name: size}, params):
            return size
    return None


def _smallest(search: Search, name: str, params: Mapping[str, Value]) -> int:
    """`smallest_size`, or the present size."""
    size = smallest_size(search, name, params)
    return search.best.dims[name] if size is None else min(size, search.best.dims[name])


def _ladder(dim: Dim) -> list[int]:
    if dim.choices:
        return sorted(dim.choices)
    low = max(dim.low, 1)
    return list(range(low, min(low + 2 * NEAR, dim.high if dim.high is not None else low + 2 * NEAR) + 1))


def _smallest_but(search: Search, kept: str | None, params: Mapping[str, Value]) -> dict[str, int] | None:
    """The smallest sizes that are allowed together, those of one dim kept; None if no small ones are."""
    best = search.best
    ladders: list[list[int]] = []
    for dim in search.spec.dims:
        short = [size for size in _ladder(dim)[:8] if dim.choices or size - max(dim.low, 1) in (0, 1, 2, 3, 7)]
        ladders.append([best.dims[dim.name]] if dim.name == kept or best.dims[dim.name] == 0 else short)
    names = [dim.name for dim in search.spec.dims]
    for sizes in islice(_by_sum(ladders), COMBINATIONS):
        dims = dict(zip(names, sizes, strict=True))
        if is_callable(search.spec, dims, params):
            return dims
    return None


def _by_sum(ladders: list[list[int]]) -> Iterator[tuple[int, ...]]:
    yield from sorted(product(*ladders), key=lambda sizes: (sum(sizes), sizes))


def _largest(search: Search, dims: Mapping[str, int], name: str) -> int | None:
    """The largest size of one dim with which the call is still smaller than the best."""
    params = search.best.params
    choices = _dim(search, name).choices
    if choices:
        return max((size for size in choices if search.is_smaller({**dims, name: size}, params)), default=None)
    low, high = 0, 2 * int(search.key(search.best.dims, params, search.best.layouts)[0]) + 1
    while high - low > 1:  # elements grow with every dim
        middle = (low + high) // 2
        count = _elements(search, {**dims, name: middle}, params)
        low, high = (middle, high) if count is None or count <= search.elements else (low, middle)
    for size in range(low, max(low - NEAR, 0), -1):
        if search.is_smaller({**dims, name: size}, params):
            return size
    return None


def _elements(search: Search, dims: Mapping[str, int], params: Mapping[str, Value]) -> int | None:
    """Elements of a call of these sizes; None where the op is not defined."""
    if not is_callable(search.spec, dims, params):
        return None
    return int(search.key(dims, params, search.best.layouts)[0])
