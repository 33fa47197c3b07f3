"""What is wrong with the gradients of a guilty module, in words: the reading that gives them, or how each is off."""

from __future__ import annotations

import re
from collections.abc import Mapping

import numpy as np

from opfuzz.network.diff.explanations import NOTHING, explain
from opfuzz.network.diff.pair import make_pair
from opfuzz.network.observe.records import MOVE, OP
from opfuzz.network.observe.spec_reader import SpecReader
from opfuzz.network.trace.causes import Knowledge
from opfuzz.network.trace.gradient_error import BackwardCall, BackwardComparison, GradientDifference, off
from opfuzz.network.trace.recording import Array, TracedPart, fill

LEAST = 1e-5  # relative error that is rounding of a gradient which differs in nothing
LESS = 4.0  # times less than before must be left under a reading
FEW = 3  # gradients that are described


def name_difference(
    call: BackwardCall, found: BackwardComparison, parts: tuple[TracedPart, TracedPart], knowledge: Knowledge | None
) -> tuple[str, float | None]:
    """The cause in words, and the error that it leaves; without a reading how each gradient is off, and None."""
    reading = _reading(call, found, parts, knowledge) if knowledge is not None else None
    beyond = sorted((d for d in found.differences if d.excess > 1), key=lambda d: -d.excess)
    names = ", ".join(d.pair.name for d in beyond[:FEW]) + (
        f" and {len(beyond) - FEW} more" if len(beyond) > FEW else ""
    )
    if reading is not None:
        return f"{names}: {reading[0]}", reading[1]
    right = [d.pair.name for d in found.differences if d.excess <= 1]
    words = "; ".join(f"{d.pair.name} {_how(d)}" for d in beyond[:FEW])
    words += f"; and {len(beyond) - FEW} more" if len(beyond) > FEW else ""
    return f"{words}; right: {', '.join(right[:FEW])}{', …' if len(right) > FEW else ''}" if right else words, None


def _how(d: GradientDifference) -> str:
    """How one gradient is off, in a sentence that holds for all its elements; else by how much."""
    if not np.isfinite(np.asarray(d.b, np.float64)).all():
        return "is not finite in b"
    for side, own, other in (("b", d.b, d.a), ("a", d.a, d.b)):
        if not own.any() and other.any():
            return f"is zero in {side}"
    pair = make_pair(d.a, d.b)
    if pair is not None and not pair.mismatch:
        sentence = explain(pair)
        if sentence != NOTHING and not sentence.startswith("unrelated"):
            return re.sub(r"\b[AB]\b", lambda side: side[0].lower(), sentence)
    return f"is off by {d.local:.2g} of its spread"


# A module that is one function of a spec is read otherwise: with the gradient of a variant, or with none through one
# step of its formula. The side that can be observed tells which function it is.


def _reading(
    call: BackwardCall, found: BackwardComparison, parts: tuple[TracedPart, TracedPart], knowledge: Knowledge
) -> tuple[str, float] | None:
    sides = call.sides
    is_a = sides.a.can_be_observed
    if not (is_a or sides.b.can_be_observed) or knowledge.gradients is None:
        return None
    model, part = (sides.a, parts[0]) if is_a else (sides.b, parts[1])
    arguments, tensors = (
        (call.ours.arguments, call.ours.inputs) if is_a else (found.given.arguments, found.given.tensors)
    )
    back = [c for c in (call.back_a if is_a else found.back) if c is not None]
    try:
        run = model.observed(part.name, fill(arguments, list(tensors)), SpecReader(knowledge.specs))
        seen = run.observe()
        held = run.weights()
    except Exception:  # the user's module
        return None
    ops = [each for each in seen.calls if each.kind == OP]
    if len(ops) != 1 or len(back) != 1 or any(each.kind not in (OP, MOVE) for each in seen.calls):
        return None
    (op,) = ops
    known: dict[int | str, Array] = dict(enumerate(tensors))
    known.update(held)
    of_op = {d.pair.of_a if is_a else d.pair.of_b: d for d in found.differences}
    named = {name: key for name, array in op.arrays.items() if (key := _key(array, known, name)) in of_op}
    spec = knowledge.specs[op.op]
    best: tuple[float, str] | None = None
    for words, made in knowledge.gradients(spec, op.dims, op.params, op.arrays, back[0]):
        residual = _residual(made, {name: of_op[key] for name, key in named.items()}, is_a)
        if residual is not None and words and (best is None or residual < best[0]):
            best = residual, words
    if best is None:
        return None
    return (best[1] if is_a else f"of a, where b does the usual: {best[1]}"), best[0]


def _key(array: Array, known: Mapping[int | str, Array], name: str) -> int | str | None:
    """Which tensor of a module an input of an op is: by its name, else by its values."""
    fits = [
        key for key, other in known.items() if other.size == array.size and np.array_equal(other.ravel(), array.ravel())
    ]
    return name if name in fits else next(iter(fits), None)


def _residual(made: Mapping[str, Array], named: Mapping[str, GradientDifference], is_a: bool) -> float | None:
    """The largest error that a reading leaves; None where any gradient is left with more than rounding."""
    largest = 0.0
    if not any(d.excess > 1 for d in named.values()):
        return None
    for name, d in named.items():
        way = d.pair.way
        target = d.b if is_a else d.a
        try:
            given = way.apply(made[name].reshape(d.shape)) if is_a else made[name].reshape(d.b.shape)
        except (ValueError, KeyError):
            return None
        left = off(target, given)
        if left > max(d.allowance, LEAST) or (d.excess > 1 and LESS * left > d.local):
            return None
        largest = max(largest, left)
    return largest
