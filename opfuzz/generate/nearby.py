"""Sizes and values near an operating point of a profile."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from opfuzz.generate.choices import Choices
from opfuzz.generate.quantiles import regime_of
from opfuzz.generate.repair import mend, nearest_allowed
from opfuzz.generate.sizes import ElementBudget, is_callable, work

if TYPE_CHECKING:
    from opfuzz.spec import Dim, OpSpec
    from opfuzz.spec.profile import OperatingPoint

_ATTEMPTS: Final = 3
_STEPS: Final = 100  # each halves a dim, unless `require` undoes what the budget asks for
_LARGEST: Final = 2**16  # elements; the ops of a decoder then take twice the time of ordinary cases
_BLOCK: Final = 16  # a product with fewer rows or columns goes to other kernels than the pipeline's


def sizes_near(choices: Choices, spec: OpSpec, point: OperatingPoint, budget: ElementBudget) -> dict[str, int] | None:
    """The dims of the point or others near them, which the spec allows with its params; None if none are found.

    What is beyond the budget is made smaller: first where slices are independent, last where sums run.
    """
    limit = ElementBudget(min(budget.elements, _LARGEST), budget.work)
    for _ in range(_ATTEMPTS if choices.chance(1, 2) else 0):
        wanted = {dim.name: _varied(choices, dim, point.dims[dim.name]) for dim in spec.dims}
        if (found := _settled(choices, spec, point, wanted, limit)) is not None:
            return found
    return _settled(choices, spec, point, point.dims, limit)


def values_near(choices: Choices, spec: OpSpec, point: OperatingPoint) -> dict[str, str]:
    """A regime for each input of floats that the point knows: its values, one in four times from half to double."""
    regimes = {}
    for given in spec.inputs:
        if given.kind == "float" and given.name in point.inputs:
            factor = choices.between(2, 8) / 4 if choices.chance(1, 4) else 1.0
            regimes[given.name] = regime_of(point.inputs[given.name].quantiles, factor)
    return regimes


def _varied(choices: Choices, dim: Dim, size: int) -> int:
    """The size, a quarter of it to twice it, or one beside it; as it is where the spec lists sizes."""
    if dim.choices is not None:
        return size
    match choices.weighted({"same": 5, "scaled": 3, "beside": 2}):
        case "scaled":
            size = size * choices.between(1, 8) // 4
        case "beside":
            size += choices.pick((-1, 1))
    return nearest_allowed(dim, max(size, 1))


def _settled(
    choices: Choices, spec: OpSpec, point: OperatingPoint, wanted: Mapping[str, int], budget: ElementBudget
) -> dict[str, int] | None:
    dims = {dim.name: wanted[dim.name] for dim in spec.dims}
    for _ in range(_STEPS):
        mended = mend(choices, spec, dims, point.params, None)
        if mended is None or mended[1] != point.params or not is_callable(spec, *mended):
            return None
        dims = mended[0]
        if work(dims) <= budget.work and spec.elements(dims, point.params) <= budget.elements:
            return dims
        smaller = _halved(spec, dims)
        if smaller is None:
            return None
        dims = smaller
    return None


def _halved(spec: OpSpec, dims: Mapping[str, int]) -> dict[str, int] | None:
    """The dims with one of them halved; None if all are as small as they may be."""
    halves = {dim.name: nearest_allowed(dim, dims[dim.name] // 2) for dim in spec.dims if dims[dim.name] > 1}
    able = [name for name in halves if halves[name] < dims[name]]
    if not able:
        return None

    def place(name: str) -> tuple[bool, int, int]:
        worth = _worth(spec, name)
        return worth > 0 and dims[name] < _BLOCK, worth, -dims[name]

    name = min(able, key=place)
    return {**dims, name: halves[name]}


def _worth(spec: OpSpec, name: str) -> int:
    """How much of the op's arithmetic is lost with a smaller dim: nothing in a batch, most where a sum runs."""
    if name in spec.batch:
        return 0
    if not any(name in axis.names for axis in spec.output_axes):
        return 3
    floats = [given for given in spec.inputs if given.kind == "float"]
    users = sum(any(name in axis.names for axis in given.shape) for given in floats)
    return 1 if users <= 1 else 2
