"""All readings of what a module calls, the likeliest first."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from opfuzz.network.observe.records import OP, Plant, PlantedCall
from opfuzz.network.pipeline.planting import Meaning, UnfitError
from opfuzz.network.readings import (
    attention,
    axes,
    convolution,
    functions,
    guidance,
    masks,
    modules,
    operands,
    precision,
    rotation,
    scalars,
    vectors,
)
from opfuzz.network.readings.reading import ROUNDED, Array, Generator, Reading, SeenModule, gathered, one
from opfuzz.spec import OpSpec

GENERATORS: tuple[Generator, ...] = (
    functions.other_functions,
    functions.other_modules,
    rotation.turned_otherwise,
    attention.attention,
    guidance.mixed,
    guidance.grids,
    operands.lost,
    modules.inner_modules,
    convolution.padding,
    masks.masked,
    operands.orders,
    operands.written,
    operands.slices,
    operands.others,
    axes.along,
    axes.shaped,
    axes.parted,
    axes.turned,
    operands.exchanged,
    convolution.affine,
    vectors.otherwise,
    convolution.kernels,
    convolution.grouping,
    functions.left_out,
    functions.chains,
    masks.counted,
)


# Of a whole model, the likeliest first: these, and then those; each is tried wherever it may be.
LIKELY: tuple[Generator, ...] = (
    rotation.turned_otherwise,
    attention.attention,
    operands.orders,
    operands.lost,
    axes.shaped,
    axes.parted,
    axes.turned,
    convolution.padding,
    masks.masked,
    guidance.mixed,
    guidance.grids,
)
OTHERS: tuple[Generator, ...] = (
    scalars.usual_numbers,
    functions.other_functions,
    functions.left_out,
    functions.chains,
    operands.exchanged,
    operands.slices,
    operands.written,
    vectors.otherwise,
    axes.along,
    convolution.affine,
    convolution.kernels,
    convolution.grouping,
    masks.counted,
)


def readings_of_model(seen: SeenModule, specs: Mapping[str, OpSpec]) -> Iterator[tuple[int, Reading]]:
    """Each reading of each call, and how likely it is: 0 is the likeliest.

    The variants of specs are not among them; of an op that has some, they are the likeliest readings.
    """
    said = {call.index for call in seen.calls if call.kind == OP and specs[call.op].variants}
    for tier, generators in enumerate((LIKELY, OTHERS)):
        for generate in generators:
            for reading in generate(seen):
                if reading.rank != ROUNDED and reading.plants:
                    yield (1 if max(reading.plants) in said else tier), reading


def readings(seen: SeenModule, specs: Mapping[str, OpSpec], meaning: Meaning) -> Iterator[Reading]:
    """Each kind of reading of all its calls at once, and of each by itself; `meaning` computes the specs' variants."""
    for generate in GENERATORS:
        yield from gathered(reading for reading in generate(seen) if reading.rank != ROUNDED)
    yield from gathered(_variants(seen, specs, meaning))


def rounded(seen: SeenModule) -> Iterator[Reading]:
    """Results and operands in half formats, for what nothing else explains."""
    yield from gathered(reading for reading in attention.attention(seen) if reading.rank == ROUNDED)
    yield from gathered(precision.rounded(seen))


def _variants(seen: SeenModule, specs: Mapping[str, OpSpec], meaning: Meaning) -> Iterator[Reading]:
    """The variants of the specs of ops."""
    for call in seen.calls:
        if call.kind != OP:
            continue
        for name, variant in specs[call.op].variants.items():
            yield one(call, f"{call.op}: {variant.note or name}", _variant(name, meaning))


def _variant(name: str, meaning: Meaning) -> Plant:
    def plant(call: PlantedCall) -> Array:
        found = meaning(call.bound.call, name) if call.bound else None
        if call.bound is None or found is None:
            raise UnfitError
        return call.bound.finished(found)

    return plant
