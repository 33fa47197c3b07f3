"""All wrong readings of a model's wiring, each tried at every call."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from opfuzz.network.observe.readings import axes, joining, masks, rotary, solver
from opfuzz.network.observe.readings.reading import Kind, WiringReading
from opfuzz.network.observe.records import Observation, ObservedCall

# The likeliest first.
KINDS: tuple[Kind, ...] = (
    rotary.other_pairs,
    rotary.other_parts,
    masks.other_masks_of_attention,
    joining.exchanged_operands,
    joining.exchanged_parts,
    joining.lost_operands,
    axes.other_heads,
    axes.lost_transposes,
    axes.other_padding,
    masks.other_masks,
    masks.causal_scores,
    joining.other_small_numbers,
    axes.other_repeats,
    joining.other_sign,
    solver.other_guidance,
    solver.other_grids,
)


def wiring_readings(seen: Observation, calls: Iterable[ObservedCall] | None = None) -> Iterator[WiringReading]:
    """Every reading of these calls, or of all, in order of likelihood and then of execution."""
    listed = list(seen.calls if calls is None else calls)
    for kind in KINDS:
        for call in listed:
            yield from kind(seen, call)
