"""What all passes share: the best call so far, what was tried, and which calls may be tried at all."""

from __future__ import annotations

import hashlib
from collections.abc import Generator, Mapping
from dataclasses import replace
from math import prod
from typing import Any

import numpy as np

from opfuzz.core.call import Array, Call, Element
from opfuzz.core.layout import LAYOUTS, applicable, constant_along_broadcast
from opfuzz.spec import OpSpec, Value
from opfuzz.spec.expression.program import evaluate
from opfuzz.spec.order import complexity, size_key

Attempts = Generator[Call, bool, Call]
Pass = Generator[Call, bool, None]
Question = Generator[Call, bool, bool]
Key = tuple[Any, ...]


PART = 2**13  # elements


class Enough(Exception):  # noqa: N818  # no error: thrown into the attempts, it ends them with the best call so far
    """The caller makes no further attempt."""


class Search:
    """The smallest call known to show the fault, and all that was tried.

    `place` is the element of its outputs that decides, or None. The search began with `start` and `start_place`.
    """

    def __init__(self, spec: OpSpec, call: Call, place: Element | None) -> None:
        self.spec = spec
        self.start, self.start_place = call, place
        self.best, self.place = call, place
        self._sizes = self.key(call.dims, call.params, call.layouts)
        self._costs: dict[str, float] | None = None  # by input; not counted before sizes are equal
        self._tried = {_fingerprint(call)}
        self._never_negative = [given.name for given in spec.inputs if given.is_never_negative]

    @property
    def elements(self) -> int:
        """Of inputs and outputs of the best together."""
        return int(self._sizes[0])

    def key(self, dims: Mapping[str, int], params: Mapping[str, Value], layouts: Mapping[str, str]) -> Key:
        """Place in the order from simple to complicated, by all but the values."""
        return size_key(self.spec, dims, params, layouts)

    def is_smaller(self, dims: Mapping[str, int], params: Mapping[str, Value]) -> bool:
        """Whether a call of these sizes would come before the best, with layouts as they are."""
        return is_callable(self.spec, dims, params) and self.key(dims, params, self.best.layouts) < self._sizes

    def attempt(self, candidate: Call | None, place: Element | None = None) -> Question:
        """Asks about a candidate, in whose outputs `place` decides; it becomes the best if it shows the fault.

        False without a question for None, what was asked before, what is not smaller than the best, and numbers of a
        sign that the spec gives an input never.
        """
        if candidate is None:
            return False
        candidate = _settled(candidate)
        sizes = self.key(candidate.dims, candidate.params, candidate.layouts)
        if sizes > self._sizes or any(_has_negative(candidate.arrays[name]) for name in self._never_negative):
            return False
        costs = None
        if sizes == self._sizes:
            own, costs = self._cost(self.best), self._cost(candidate)
            if sum(costs.values()) >= sum(own.values()):
                return False
        fingerprint = _fingerprint(candidate)
        if fingerprint in self._tried:
            return False
        self._tried.add(fingerprint)
        if not (yield candidate):
            return False
        self.best, self.place, self._sizes, self._costs = candidate, place, sizes, costs
        return True

    def _cost(self, call: Call) -> dict[str, float]:
        """Complexity of each input; those of the best are counted once."""
        if self._costs is None:
            self._costs = {name: _complexity(array) for name, array in self.best.arrays.items()}
        same = self._costs
        return {
            name: same[name] if array is self.best.arrays[name] else _complexity(array)
            for name, array in call.arrays.items()
        }


def is_callable(spec: OpSpec, dims: Mapping[str, int], params: Mapping[str, Value]) -> bool:
    """Whether the op is defined for these sizes, and every index has something to point at."""
    if not spec.allows(dims, params):
        return False
    shapes = spec.shapes(dims, params)
    return all(item.below is None or below(spec, item.name, dims, params) > 0 or prod(shapes[item.name]) == 0
               for item in spec.inputs)  # fmt: skip


def below(spec: OpSpec, name: str, dims: Mapping[str, int], params: Mapping[str, Value]) -> int:
    """What the elements of an index must be below; 0 for no index."""
    program = next(item.below for item in spec.inputs if item.name == name)
    limit = 0 if program is None else evaluate(program, {**dims, **params}, {})
    return limit if isinstance(limit, int) else 0


def _settled(call: Call) -> Call:
    """The call with the layouts that its shapes allow, and the values that its layouts allow."""
    layouts = {
        name: layout if applicable(layout, call.arrays[name].shape) else LAYOUTS[0]
        for name, layout in call.layouts.items()
    }
    arrays = {
        name: np.asarray(constant_along_broadcast(array, layouts[name]), order="C")
        for name, array in call.arrays.items()
    }
    return replace(call, layouts=layouts, arrays=arrays)


def _has_negative(array: Array) -> bool:
    return bool((array < 0).any())


def _complexity(array: Array) -> float:
    """All of it; in parts that stay in the cache, which takes a tenth of the time for a million elements."""
    flat = array.reshape(-1)
    return float(sum(complexity(flat[start : start + PART]).sum() for start in range(0, flat.size, PART)))


def _fingerprint(call: Call) -> bytes:
    hashed = hashlib.blake2b(repr((call.dims, call.params, call.layouts)).encode(), digest_size=16)
    for array in call.arrays.values():
        hashed.update(_bytes(array))
    return hashed.digest()


def _bytes(array: Array) -> Any:
    return np.ascontiguousarray(array).view(np.uint8).data if array.ndim and array.size else array.tobytes()
