"""Sizes that break `require`, changed one at a time until they meet it."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, TypeVar

from opfuzz.generate.choices import Choices
from opfuzz.spec.expression.program import Program, evaluate

if TYPE_CHECKING:
    from opfuzz.spec import Dim, OpSpec, Value

Item = TypeVar("Item")

_DOUBLINGS = 17
_SCANNED = 64  # smallest sizes, tried one by one when nothing nearer helps


def mend(
    choices: Choices,
    spec: OpSpec,
    dims: Mapping[str, int],
    params: Mapping[str, Value],
    focus: str | None,
) -> tuple[dict[str, int], dict[str, Value]] | None:
    """Dims and params near the given ones that meet every `require`; None if none are found.

    Each broken rule is met by changing one of its own names: the other dims first, then params, then the dim in
    `focus`, whose size is what the case is about.
    """
    values: dict[str, Value] = {**dims, **params}
    broken = _broken(spec, values)
    for _ in range(2 * len(spec.require)):
        if not broken:
            break
        changes = _changes(choices, spec, broken[0], values, focus)
        better = next((change for change in changes if _mends(spec, change, broken)), None)
        if better is None:
            return None
        values, broken = better, _broken(spec, better)
    if broken:
        return None
    sizes = {name: size for name, size in values.items() if name in dims and isinstance(size, int)}
    return sizes, {name: values[name] for name in params}


def nearest_allowed(dim: Dim, size: int) -> int:
    """The size in the dim's range that is nearest to `size`; of its choices, the largest that is not larger."""
    if dim.choices:
        return max((choice for choice in dim.choices if choice <= size), default=min(dim.choices))
    return max(dim.low, size if dim.high is None else min(dim.high, size))


@lru_cache(maxsize=1024)
def numbers_in(rule: Program) -> tuple[int, ...]:
    """The whole numbers above 1 that are written in a rule, such as the 32 of which a size is a multiple."""
    written = (node.value for node in ast.walk(ast.parse(rule.text)) if isinstance(node, ast.Constant))
    return tuple(sorted({value for value in written if type(value) is int and value > 1}))


def _holds(rule: Program, values: Mapping[str, Value]) -> bool:
    try:
        return bool(evaluate(rule, values, {}))
    except ZeroDivisionError:
        return False


def _broken(spec: OpSpec, values: Mapping[str, Value]) -> list[Program]:
    return [rule for rule in spec.require if not _holds(rule, values)]


def _mends(spec: OpSpec, values: Mapping[str, Value], broken: list[Program]) -> bool:
    """Whether the first broken rule holds now, and no rule is broken that was not before."""
    return _holds(broken[0], values) and all(rule in broken for rule in _broken(spec, values))


def _changes(
    choices: Choices, spec: OpSpec, rule: Program, values: dict[str, Value], focus: str | None
) -> Iterator[dict[str, Value]]:
    """`values` with one name of the rule changed, the likeliest remedies first."""
    dims = [dim for dim in spec.dims if dim.name in rule.names and dim.name != focus]
    params = [param for param in spec.params if param.name in rule.names]
    others = [value for name, value in values.items() if name in rule.names and type(value) is int and value > 0]
    others += numbers_in(rule)
    for dim in _from_anywhere(choices, dims):
        for size in _sizes_near(dim, values[dim.name], others):
            yield {**values, dim.name: size}
    for param in _from_anywhere(choices, params):
        low, high = param.low, param.high
        known = param.values if param.values is not None else range(low or 0, (high or 0) + 1)[:_SCANNED]
        for value in _from_anywhere(choices, list(known)):
            yield {**values, param.name: value}
    for dim in spec.dims:
        if dim.name == focus and dim.name in rule.names:
            for size in _sizes_near(dim, values[dim.name], others):
                yield {**values, dim.name: size}
    for dim in dims:
        for size in range(dim.low, dim.low + _SCANNED):
            if dim.allows(size):
                yield {**values, dim.name: size}


def _sizes_near(dim: Dim, size: Value, others: list[int]) -> Iterator[int]:
    """Multiples of the other values in the rule, neighbours, the other values, and every doubling and halving."""
    assert isinstance(size, int)
    if dim.choices:
        yield from dim.choices
        return
    tried = {size}
    remedies = [multiple for other in others for multiple in (size + -size % other, size - size % other)]
    remedies += [size + 1, size - 1, *others]
    remedies += [size << k for k in range(1, _DOUBLINGS)] + [size >> k for k in range(1, size.bit_length())]
    for remedy in remedies:
        if remedy not in tried and dim.allows(remedy):
            tried.add(remedy)
            yield remedy


def _from_anywhere(choices: Choices, items: list[Item]) -> list[Item]:
    """The items in their order, but beginning anywhere."""
    start = choices.below(len(items)) if len(items) > 1 else 0
    return items[start:] + items[:start]
