"""Wrong readings of what joins and parts arrays: sums, products, concatenation, halves."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from itertools import combinations
from typing import Any

import numpy as np

from opfuzz.network.observe.readings.reading import WiringReading, arguments_of, at, given_to
from opfuzz.network.observe.records import OPERANDS, Array, Observation, ObservedCall, PlantedCall

ORDINALS = ("first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth")
PARTING = ("chunk", "split", "tensor_split", "unbind", "split_with_sizes")


def exchanged_operands(seen: Observation, call: ObservedCall) -> Iterator[WiringReading]:
    """Operands of `cat` and `stack` in another order."""
    if call.family not in ("cat", "stack"):
        return
    count = len(call.args[0]) if call.args else 0

    def in_order(order: list[int]) -> Any:
        return lambda planted: planted.again([planted.function.args[0][i] for i in order], *planted.function.args[1:])

    for i, j in list(combinations(range(min(count, len(ORDINALS))), 2)):
        order = list(range(count))
        order[i], order[j] = j, i
        if call.family == "cat" or seen.value(call.args[0][i]) is not None:
            which = f"the {ORDINALS[i]} and the {ORDINALS[j]} operand"
            yield at(call, f"{call.family}: operands {i + 1} and {j + 1} exchanged",
                     f"{which} of {call.family} are exchanged", in_order(order))  # fmt: skip


def exchanged_parts(seen: Observation, call: ObservedCall) -> Iterator[WiringReading]:
    """Parts of `chunk`, `split` or `unbind` in another order; every other channel where halves are meant."""
    count = len(call.outputs)
    if call.family not in PARTING or count < 2:
        return

    def exchanged(i: int, j: int) -> Any:
        def plant(planted: PlantedCall) -> tuple[Array, ...]:
            parts = list(planted.unchanged())
            parts[i], parts[j] = parts[j], parts[i]
            return tuple(parts)

        return plant

    for i, j in combinations(range(min(count, 4)), 2):
        if call.outputs[i].shape == call.outputs[j].shape:
            which = "the halves" if count == 2 else f"the {ORDINALS[i]} and the {ORDINALS[j]} part"
            yield at(call, f"{call.family}: parts {i + 1} and {j + 1} exchanged",
                     f"{which} of {call.family} are exchanged", exchanged(i, j))  # fmt: skip
    axis = arguments_of(call).get("dim", 0)
    if call.family != "unbind" and len({part.shape for part in call.outputs}) == 1 and isinstance(axis, int):

        def in_turn(planted: PlantedCall) -> tuple[Array, ...]:
            whole = np.moveaxis(np.concatenate(planted.unchanged(), axis), axis, 0)
            return tuple(np.moveaxis(whole[i::count], 0, axis) for i in range(count))

        note = f"the parts of {call.family} are every {'other' if count == 2 else f'{count}th'} place, not {count} runs"
        yield at(call, f"{call.family}: in turn", note, in_turn)


def lost_operands(seen: Observation, call: ObservedCall) -> Iterator[WiringReading]:
    """An operand of + - or * left out: a residual, a bias, a gate, a mask, a scale."""
    if call.family not in ("add", "sub", "mul", "div") or not _is_real(call):
        return
    given = arguments_of(call)
    operands = [given.get("input"), given.get("other")]
    if not all(isinstance(operand, (*OPERANDS, int, float)) for operand in operands):
        return
    for lost in (0, 1):
        kept = 1 - lost
        if lost == 0 and call.family in ("sub", "div"):
            continue
        if isinstance(operands[kept], (int, float)) or isinstance(operands[lost], bool):
            continue
        number = operands[lost] if isinstance(operands[lost], int | float) else None
        if number is not None and abs(number) < SMALL and call.family == "add":
            continue  # an eps, which has readings of its own

        def plant(planted: PlantedCall, kept: int = kept) -> Array:
            own = given_to(planted)
            left = np.asarray(own["input" if kept == 0 else "other"])
            return np.array(np.broadcast_to(left, planted.observed.output.shape))

        what = f"{number:.6g}" if number is not None else f"the {ORDINALS[lost]} operand"
        words = {"add": f"{what} is not added", "sub": f"{what} is not subtracted",
                 "mul": f"it is not multiplied by {what}", "div": f"it is not divided by {what}"}  # fmt: skip
        name = "a number" if number is not None else f"operand {lost + 1}"
        yield at(call, f"{call.family}: {name} lost", words[call.family], plant)


def other_small_numbers(seen: Observation, call: ObservedCall) -> Iterator[WiringReading]:
    """Another eps: a small number that is added, as norms do that are written out."""
    other = arguments_of(call).get("other") if call.family == "add" else None
    if not isinstance(other, float) or not 0 < other < SMALL or not _is_real(call):
        return
    for eps in EPSILONS:
        if eps != other:
            yield at(
                call,
                f"eps-{eps:g}",
                f"{eps:g} is added where {other:g} is",
                partial(_with_added, number=eps),
            )


def _with_added(planted: PlantedCall, number: float) -> Array:
    return np.asarray(given_to(planted)["input"] + np.float32(number))


SMALL = 1e-2
EPSILONS = (1e-2, 1e-3, 1e-4, 1e-5, 1e-6, 1e-8, 1e-12, 0.0)


def other_sign(seen: Observation, call: ObservedCall) -> Iterator[WiringReading]:
    """A difference for a sum, or the other way round."""
    if call.family in ("add", "sub") and len(call.operands) == 2 and _is_real(call):
        sign = -1 if call.family == "add" else 1

        def plant(planted: PlantedCall) -> Array:
            own = given_to(planted)
            return np.asarray(own["input"] + sign * own["other"])

        note = "the second operand is subtracted" if sign < 0 else "the second operand is added"
        yield at(call, f"{call.family}: sign", note, plant)
    elif call.family == "neg" and _is_real(call):
        yield at(call, "neg: sign", "the sign is not changed", lambda planted: planted.function.args[0])


def _is_real(call: ObservedCall) -> bool:
    return call.output.dtype.kind in "fV"
