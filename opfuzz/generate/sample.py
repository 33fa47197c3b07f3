"""The sampler: the n-th case of an op in a format, for a seed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from opfuzz.core.case import SEED_LIMIT, Case
from opfuzz.core.errors import OpfuzzError, did_you_mean
from opfuzz.core.layout import LAYOUTS, applicable
from opfuzz.generate.choices import Choices, Words
from opfuzz.generate.nearby import sizes_near, values_near
from opfuzz.generate.numbers import Shape
from opfuzz.generate.regimes import DEFAULT_REGIMES, check_regime
from opfuzz.generate.sizes import budget_of, draw_sizes

if TYPE_CHECKING:
    from opfuzz.spec import Input, OpSpec, Value
    from opfuzz.spec.profile import OperatingPoint, Profile


def draw(spec: OpSpec, format: str, seed: int, number: int, profile: Profile | None = None) -> Case:
    """Case `number` of the endless sequence that `seed` gives for this op and format; a pure function of the arguments.

    With a profile that knows the op, three of four cases lie near its operating points; the others are as without.
    Raises OpfuzzError for a format that the spec does not list, or if nothing small meets `require`.
    """
    near = None if profile is None else draw_near(spec, format, seed, number, profile)
    return near or assemble(Words("case", seed, spec.op, format, number), spec, format)


def draw_near(spec: OpSpec, format: str, seed: int, number: int, profile: Profile) -> Case | None:
    """The same case if it lies near an operating point of the profile, else None; raises as `draw` does."""
    _check_format(spec, format)
    points = profile.points_of(spec.op)
    choices = Words("near", seed, spec.op, format, number)
    return _near(choices, spec, format, points) if points and choices.chance(3, 4) else None


def sized_as(case: Case, spec: OpSpec, other: Case) -> Case:
    """The case with the sizes and parameters of another one of the same op and format; a view that says nothing in
    these shapes is contiguous."""
    shapes = spec.shapes(other.dims, other.params)
    layouts = {name: each if applicable(each, shapes[name]) else LAYOUTS[0] for name, each in case.layouts.items()}
    return replace(case, dims=other.dims, params=other.params, layouts=layouts)


def assemble(choices: Choices, spec: OpSpec, format: str) -> Case:
    """The case that a sequence of choices makes; raises as `draw` does."""
    _check_format(spec, format)
    dims, params = draw_sizes(choices, spec, budget_of(format))
    return _case(choices, spec, format, dims, params, _regimes(choices, spec))


def _near(choices: Choices, spec: OpSpec, format: str, points: Sequence[OperatingPoint]) -> Case | None:
    """A case near one of the points, each as likely as its calls are many; None if no sizes there are within budget."""
    point = points[choices.weighted({place: point.count for place, point in enumerate(points)})]
    dims = sizes_near(choices, spec, point, budget_of(format))
    if dims is None:
        return None
    regimes = values_near(choices, spec, point)
    for given in spec.inputs:
        if given.name not in regimes:
            regimes[given.name] = _regime(choices, given, leave_out="specials")
    return _case(choices, spec, format, dims, point.params, regimes)


def _check_format(spec: OpSpec, format: str) -> None:
    if format not in spec.formats:
        known = ", ".join(spec.formats)
        raise OpfuzzError(f"{spec.op} has no format '{format}', only {known}{did_you_mean(format, spec.formats)}")


def _case(
    choices: Choices,
    spec: OpSpec,
    format: str,
    dims: Mapping[str, int],
    params: Mapping[str, Value],
    regimes: Mapping[str, str],
) -> Case:
    """What is left to choose: layouts and the seed."""
    shapes = spec.shapes(dims, params)
    return Case(
        op=spec.op,
        digest=spec.digest,
        format=format,
        dims=dims,
        params=params,
        regimes=regimes,
        layouts={given.name: _layout(choices, shapes[given.name]) for given in spec.inputs},
        seed=choices.below(SEED_LIMIT),
    )


def _regimes(choices: Choices, spec: OpSpec) -> dict[str, str]:
    """A regime by input. One in four cases has the same on all float inputs: ones times ones, large times large."""
    shared = None
    if len(spec.inputs) > 1 and choices.chance(1, 4):
        shared = _weighted_regime(choices, "float", leave_out="specials")
    regimes: dict[str, str] = {}
    for given in spec.inputs:
        # Special values in one input meet ordinary ones in the others; in two they mostly meet each other.
        has_specials = "specials" in regimes.values() and not choices.chance(1, 8)
        if shared and given.kind == "float" and given.regimes is None:
            regimes[given.name] = shared
        else:
            regimes[given.name] = _regime(choices, given, leave_out="specials" if has_specials else "")
    return _with_zeros(choices, spec, regimes)


def _with_zeros(choices: Choices, spec: OpSpec, regimes: dict[str, str]) -> dict[str, str]:
    """Zeros against special values in one case of six: a kernel that skips zeros forgets that 0 * inf is NaN."""
    others = [i.name for i in spec.inputs if i.kind == "float" and i.regimes is None and regimes[i.name] != "specials"]
    if others and "specials" in regimes.values() and choices.chance(1, 6):
        return {**regimes, choices.pick(others): "zeros"}
    return regimes


def _regime(choices: Choices, given: Input, leave_out: str) -> str:
    if given.regimes is None:
        return _weighted_regime(choices, given.kind, leave_out)
    listed = [regime for regime in given.regimes if regime != leave_out] or given.regimes
    regime = choices.pick(listed)
    check_regime(regime, given.kind, given.name)
    return regime


def _weighted_regime(choices: Choices, kind: str, leave_out: str) -> str:
    weights = DEFAULT_REGIMES[kind]
    return choices.weighted({name: weight for name, weight in weights.items() if name != leave_out})


def _layout(choices: Choices, shape: Shape) -> str:
    """Contiguous in 55 of 100 cases, else any that is applicable."""
    if not choices.chance(45, 100):
        return LAYOUTS[0]
    return choices.pick([layout for layout in LAYOUTS[1:] if applicable(layout, shape)] or LAYOUTS[:1])
