"""Which sizes and params to try: a boundary size on one dim while the others are tiny, and skewed shapes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from itertools import product
from math import prod
from typing import TYPE_CHECKING

from opfuzz.core.errors import OpfuzzError
from opfuzz.generate.choices import Choices
from opfuzz.generate.repair import mend, nearest_allowed, numbers_in
from opfuzz.spec.expression.program import ExpressionError, Program, evaluate

if TYPE_CHECKING:
    from opfuzz.spec import Dim, OpSpec, Param, Value

# Four tensors of 65537 elements and some small ones fit: x, weight, bias and output of layer_norm.
ELEMENT_BUDGET = 2**18 + 2**10
WORK_BUDGET = 2**20
# Every element of a float64 case goes to exact arithmetic.
ELEMENT_BUDGET_FLOAT64 = 2**9
WORK_BUDGET_FLOAT64 = 2**12
# A long sum in a kernel that wants several rows and columns: pytorch #195163 needs K >= 32767 and both others >= 16.
TILES = (16, 17)
TILED_BUDGET = 2**22, 2**26

# Half of the public bugs with a size in their trigger are at 127 to 129, 1023 to 1025, 2^15 or 2^16.
_POWERS = tuple(2**k + step for k in range(2, 11) for step in (-1, 0, 1))
_TILES = (
    96,
    127,
    128,
    129,
    160,
    192,
    255,
    256,
    257,
    320,
    1023,
    1024,
    1025,
)  # so that the powers among them count twice
BOUNDARIES = tuple(sorted((0, 1, 2, 3, *_POWERS, *_TILES)))
HUGE_BOUNDARIES = tuple(2**k + step for k in (11, 12, 13, 14, 15, 15, 16, 16) for step in (-1, 0, 1))

# Sizes of no special interest stay below 2^13 elements, but for one case in 16: a case then costs about a millisecond.
_USUAL_BITS = 13

_ROUNDS = 6
_ATTEMPTS = 3  # the first fails in 1 to 6 % of conv1d and group_norm cases


@dataclass(frozen=True, slots=True)
class ElementBudget:
    """Limits of one case: elements of inputs and output together, and the product of all dims."""

    elements: int
    work: int


def budget_of(format: str) -> ElementBudget:
    """The limits for a format."""
    if format == "float64":
        return ElementBudget(ELEMENT_BUDGET_FLOAT64, WORK_BUDGET_FLOAT64)
    return ElementBudget(ELEMENT_BUDGET, WORK_BUDGET)


def work(dims: Mapping[str, int]) -> int:
    """Product of the dims, those of size 0 left out."""
    return prod(size for size in dims.values() if size)


def draw_sizes(choices: Choices, spec: OpSpec, budget: ElementBudget) -> tuple[dict[str, int], dict[str, Value]]:
    """Dims and params that the spec allows, within the budget unless the smallest that it allows are beyond it.

    Raises OpfuzzError if nothing small meets `require`, or the smallest sizes are too large for any case.
    """
    _refuse_large(spec)
    for _ in range(_ATTEMPTS):
        params: dict[str, Value] = {param.name: _param(choices, param) for param in spec.params}
        dims, focus, is_tiled = _dims(choices, spec, budget)
        limit = ElementBudget(*TILED_BUDGET) if is_tiled else budget
        if focus is None:
            bits = _USUAL_BITS + (choices.below(6) if choices.chance(1, 16) else 0)
            limit = ElementBudget(min(budget.elements, 2**bits), budget.work)
        found = _settle(choices, spec, dims, params, focus, limit)
        if found is not None:
            return found
    return smallest(spec)


def _settle(
    choices: Choices,
    spec: OpSpec,
    dims: dict[str, int],
    params: dict[str, Value],
    focus: str | None,
    budget: ElementBudget,
) -> tuple[dict[str, int], dict[str, Value]] | None:
    """Sizes near these that meet both `require` and the budget; None where one undoes the other."""
    for _ in range(_ROUNDS):
        mended = mend(choices, spec, dims, params, focus)
        if mended is None:
            return None
        dims, params = mended
        if not is_callable(spec, dims, params):
            params = {param.name: param.default for param in spec.params}
        elif not _trim(spec, dims, params, focus, budget):
            return dims, params
    return None


@lru_cache(maxsize=256)
def _refuse_large(spec: OpSpec) -> None:
    """Raises OpfuzzError where the low limits of the dims alone are beyond every budget."""
    lows = {dim.name: dim.low for dim in spec.dims}
    if work(lows) <= ELEMENT_BUDGET:
        return
    try:
        count = spec.elements(lows, {param.name: param.default for param in spec.params})
    except (ZeroDivisionError, ExpressionError):  # the op is undefined there
        return
    if count > ELEMENT_BUDGET:
        name = max(lows, key=lambda name: lows[name])
        raise OpfuzzError(
            f"{spec.path}: dim '{name}' of '{spec.op}' is at least {lows[name]}: "
            f"the smallest case has {count} elements, more than the {ELEMENT_BUDGET} that a case may have"
        )


def is_callable(spec: OpSpec, dims: Mapping[str, int], params: Mapping[str, Value]) -> bool:
    """Whether the spec allows the sizes and every index has something to point at."""
    if not spec.allows(dims, params):
        return False
    names = {**dims, **params}
    return all(_limit(i.below, names) >= 1 for i in spec.inputs if i.below is not None)


def smallest(spec: OpSpec) -> tuple[dict[str, int], dict[str, Value]]:
    """The smallest dims that the spec allows, params at their defaults if possible; empty dims only if nothing else is.

    Raises OpfuzzError if none of the first few sizes of every dim meet `require`.
    """
    for params in _param_sets(spec):
        for reach in (1, 2, 4, 8):
            ladders = [_ladder(dim, reach, _met_by(dim, spec, params)) for dim in spec.dims]
            if prod(map(len, ladders)) > 20_000:
                break
            for sizes in sorted(product(*ladders), key=lambda sizes: (min(sizes, default=1) == 0, sum(sizes), sizes)):
                dims = {dim.name: size for dim, size in zip(spec.dims, sizes, strict=True)}
                if is_callable(spec, dims, params):
                    return dims, params
    rules = ", ".join(f"'{program.text}'" for program in spec.require)
    raise OpfuzzError(f"{spec.op}: no small sizes meet {rules or 'the shapes, some of which are negative'}")


def _param_sets(spec: OpSpec) -> Iterator[dict[str, Value]]:
    """Defaults, then each single param at another value."""
    defaults = {param.name: param.default for param in spec.params}
    yield defaults
    for param in spec.params:
        for value in param.values or ():
            yield {**defaults, param.name: value}


def _met_by(dim: Dim, spec: OpSpec, params: Mapping[str, Value]) -> set[int]:
    """Numbers and values of params that a rule has together with a dim, such as the group that it is a multiple of."""
    rules = [rule for rule in spec.require if dim.name in rule.names]
    named = {value for rule in rules for name, value in params.items() if name in rule.names and type(value) is int}
    return named.union(*map(numbers_in, rules))


def _ladder(dim: Dim, reach: int, others: Iterable[int]) -> tuple[int, ...]:
    if dim.choices:
        return tuple(sorted(dim.choices))[:reach]
    last = dim.low + reach if dim.high is None else min(dim.high, dim.low + reach)
    return tuple(sorted({*range(dim.low, last + 1), *filter(dim.allows, others)}))


def _param(choices: Choices, param: Param) -> Value:
    """The default in half of the cases."""
    others = param.values[1:] if param.values is not None else _others_in_range(param)
    return choices.pick(others) if others and choices.chance(1, 2) else param.default


def _others_in_range(param: Param) -> range:
    if param.low is None or param.high is None:  # the loader gives a param values or both ends of a range
        raise ValueError(f"param {param.name} has neither values nor a range")
    return range(param.low + 1, param.high + 1)


def _dims(choices: Choices, spec: OpSpec, budget: ElementBudget) -> tuple[dict[str, int], str | None, bool]:
    """Sizes before `require` and the budget are looked at; the dim with a boundary size, if one has; and whether the
    others are tiles."""
    open_dims = [dim for dim in spec.dims if not dim.choices]
    bits = dict.fromkeys((dim.name for dim in open_dims), 0)
    plan = choices.weighted({"tiny": 8, "spread": 52, "boundary": 40})
    focus = None
    if plan == "spread":
        # Half of all cases stay below about 1000 elements in total, whether the op has one dim or five.
        mean = min(9 + 3 * (len(open_dims) - 1) // 2, 13, budget.work.bit_length() - 3)
        left = choices.between(0, mean) + choices.between(0, mean)
        order = _shuffled(choices, list(bits))
        for place, name in enumerate(order):
            bits[name] = left if place == len(order) - 1 else choices.between(0, left)
            left -= bits[name]
    dims = {}
    for dim in spec.dims:
        if dim.choices:
            dims[dim.name] = choices.pick(dim.choices)
        else:
            size = (
                _size(choices, bits[dim.name]) if plan == "spread" else choices.between(1, 3 if plan == "tiny" else 2)
            )
            dims[dim.name] = nearest_allowed(dim, size)
        if dim.low == 0 and not dim.choices and choices.chance(1, 50):
            dims[dim.name] = 0
    is_tiled = False
    if plan == "boundary" and open_dims:
        dim = choices.pick(open_dims)
        is_huge = choices.chance(1, 10)
        fitting = _boundaries(dim, is_huge, budget.elements // 2)
        if fitting:
            focus = dim.name
            dims[focus] = choices.pick(fitting)
            is_tiled = (
                is_huge and budget.elements == ELEMENT_BUDGET and _is_contracted(spec, focus) and choices.chance(1, 4)
            )
        if is_tiled:
            # Not the width of a window: it multiplies.
            rows = {axis.text for axis in spec.output_axes} - set(spec.batch)
            for other in open_dims:
                if other.name != focus:
                    dims[other.name] = nearest_allowed(other, choices.pick(TILES) if other.name in rows else 1)
    for i in spec.inputs:
        for name in i.below.names & dims.keys() if i.below else ():
            dims[name] = max(dims[name], 1)
    return dims, focus, is_tiled


@lru_cache(maxsize=1024)
def _boundaries(dim: Dim, is_huge: bool, most: int) -> tuple[int, ...]:
    """The boundary sizes that a dim may have."""
    sizes = HUGE_BOUNDARIES if is_huge else BOUNDARIES
    return tuple(size for size in sizes if nearest_allowed(dim, size) == size and size <= most)


def _is_contracted(spec: OpSpec, name: str) -> bool:
    """Whether a dim is in two inputs and in no output, as that of a product's sums."""
    holders = [item for item in spec.inputs if any(name in axis.names for axis in item.shape)]
    return len(holders) > 1 and not any(name in axis.names for axis in spec.output_axes)


def _size(choices: Choices, bits: int) -> int:
    """2^bits or one beside it, or anything from there to the next power of two; at least 1."""
    base = 1 << bits
    if choices.chance(1, 2):
        return max(1, base - 1 + choices.below(3))
    return base + choices.below(base)


def _trim(
    spec: OpSpec, dims: dict[str, int], params: Mapping[str, Value], focus: str | None, budget: ElementBudget
) -> bool:
    """Halves the largest dims until the case is within the budget, the focus last. True if anything had to change."""
    changed = False
    by_name = {dim.name: dim for dim in spec.dims}
    while work(dims) > budget.work or spec.elements(dims, params) > budget.elements:
        halves = {name: nearest_allowed(by_name[name], size // 2) for name, size in dims.items()}
        smaller = [name for name, size in dims.items() if halves[name] < size]
        if not smaller:
            break
        name = max(smaller, key=lambda name: (name != focus, dims[name]))
        dims[name] = halves[name]
        changed = True
    return changed


def _limit(below: Program, names: Mapping[str, Value]) -> int:
    limit = evaluate(below, names, {})
    return limit if isinstance(limit, int) else 0


def _shuffled(choices: Choices, names: list[str]) -> list[str]:
    for place in range(len(names) - 1):
        other = choices.between(place, len(names) - 1)
        names[place], names[other] = names[other], names[place]
    return names
