"""The sampler: the n-th case of an op in a format, for a seed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from opfuzz.case import SEED_LIMIT, Case
from opfuzz.errors import OpfuzzError, did_you_mean
from opfuzz.generate.choices import Choices, Words
from opfuzz.generate.numbers import Shape
from opfuzz.generate.regimes import DEFAULT_REGIMES, check_regime
from opfuzz.generate.sizes import budget_of, draw_sizes
from opfuzz.layout import LAYOUTS, applicable

if TYPE_CHECKING:
    from opfuzz.spec import Input, OpSpec


def draw(spec: OpSpec, format: str, seed: int, number: int) -> Case:
    """Case `number` of the endless sequence that `seed` gives for this op and format; a pure function of the arguments.

    Raises OpfuzzError for a format that the spec does not list, or if nothing small meets `require`.
    """
    return assemble(Words("case", seed, spec.op, format, number), spec, format)


def assemble(choices: Choices, spec: OpSpec, format: str) -> Case:
    """The case that a sequence of choices makes; raises as `draw` does."""
    if format not in spec.formats:
        known = ", ".join(spec.formats)
        raise OpfuzzError(f"{spec.op} has no format '{format}', only {known}{did_you_mean(format, spec.formats)}")
    dims, params = draw_sizes(choices, spec, budget_of(format))
    shapes = spec.shapes(dims, params)
    return Case(
        op=spec.op,
        digest=spec.digest,
        format=format,
        dims=dims,
        params=params,
        regimes=_regimes(choices, spec),
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
