"""Gradients of references against central differences of the references themselves, with 1400 bits.

    python tests/central_differences.py 1000

tries so many elements over all ops and prints those that disagree.
"""

from __future__ import annotations

import random
import sys
from collections import Counter
from dataclasses import dataclass

import numpy as np
from bundled_ops import EVERY_OP
from flint import arb, ctx

from opfuzz.core.floats import FLOAT32, ulp
from opfuzz.generate import draw, inputs
from opfuzz.oracle import balls, exact, graph, models
from opfuzz.oracle.dependencies import spread_from
from opfuzz.oracle.gradients.reverse import gradients
from opfuzz.oracle.gradients.rules import NoDerivativeError
from opfuzz.oracle.meaning import graphs_of, operands
from opfuzz.oracle.truth import inside, tolerance

BITS, STEP = 1400, arb(2) ** -200
LARGEST = 1500  # elements of a case
USUAL = ("usual", "by powers")  # formulas, whose values are those of float32
JUMP = 2.0**60  # of a difference divided by the step: a jump or a pole, where there is no derivative


@dataclass(frozen=True)
class Checked:
    """One element of one gradient: `agrees`, `disagrees`, or `unknown` where no number is claimed."""

    word: str
    op: str
    told: str


def wrt_of(spec):
    return [item.name for item in spec.inputs if item.kind == "float" and item.dtype is None]


def reason_of(spec):
    """Why an op has no gradient; None if it has."""
    if not wrt_of(spec):
        return "no float input"
    case = draw(spec, spec.formats[0], 0, 0)
    tensors = operands(spec, inputs(spec, case))
    roots = graphs_of(spec.reference, case.dims, case.params, tensors)
    try:
        gradients(roots, [graph.leaf(np.ones(r.shape), "input") for r in roots], [tensors[n] for n in wrt_of(spec)])
    except NoDerivativeError as error:
        return error.kind
    return None


def elements_of(spec, count, seed=5):
    """So many elements of the gradients of an op, checked."""
    chance, found, number = random.Random(seed), 0, -1
    while found < count and number < 40 * count:
        number += 1
        case = draw(spec, "float32" if "float32" in spec.formats else spec.formats[0], seed, number)
        arrays = inputs(spec, case)
        names = [name for name in wrt_of(spec) if arrays[name].size]
        is_small = spec.elements(case.dims, case.params) <= LARGEST
        if not names or not is_small or not all(np.isfinite(arrays[n].astype(np.float64)).all() for n in names):
            continue
        found += 1
        yield from _checked(spec, case, arrays, chance.choice(names), chance, number)


def _checked(spec, case, arrays, name, chance, number):
    tensors = operands(spec, arrays)
    roots = graphs_of(spec.reference, case.dims, case.params, tensors)
    words = np.random.default_rng(number)
    cotangents = [graph.leaf(words.normal(size=r.shape).astype(np.float32).astype(float), "input") for r in roots]
    x = tensors[name]
    place = chance.randrange(x.size)
    told = f"d/d{name}[{place}] of {case}"
    difference = _difference(roots, cotangents, x, place)
    if difference is None or abs(float(difference)) > JUMP:
        yield Checked("unknown", spec.op, told)
        return
    (exactly,) = gradients(roots, cotangents, [x])
    usual = {word: gradients(roots, cotangents, [x], is_usual=True, by_powers=word == "by powers")[0] for word in USUAL}
    settled = exact.settle(
        exactly, np.array([place]), lambda v: tolerance(v, ulp(inside(v, FLOAT32), FLOAT32), FLOAT32)
    )
    found = {"ball": balls.evaluate(exactly, [models.TRUTH])}
    found |= {word: balls.evaluate(g, [models.working("w", FLOAT32)]) for word, g in usual.items()}
    claims = {"exact": (settled.hi[0], settled.lo[0], settled.radius[0])}
    for word, ball in found.items():
        radius = 0.0 if ball.radii[0] is None else float(np.broadcast_to(ball.radii[0], x.shape).ravel()[place])
        if word in USUAL and settled.radius[0] > 1e-9 * abs(settled.hi[0]) + 1e-40:
            continue  # a kink, of which the exact value has the range
        claims[word] = (float(ball.mid.ravel()[place]), 0.0, radius * (3 if word in USUAL else 1))
    for word, (hi, lo, radius) in claims.items():
        if not np.isfinite(radius) or (word in USUAL and not np.isfinite(hi)):
            yield Checked("unknown", spec.op, told)
            continue
        # What the difference itself is off by, and what the smallest numbers of float64 lose.
        slack = arb(radius) + abs(difference) * arb(2) ** -80 + arb(2) ** -380 + (2.0**-149 if word in USUAL else 0)
        is_met = np.isfinite(hi) and abs(difference - arb(hi) - arb(lo)) <= slack
        is_beyond = np.isinf(hi) and abs(float(difference)) > JUMP
        answer = "agrees" if is_met or is_beyond else "disagrees"
        yield Checked(answer, spec.op, f"{told}: {word} {hi} +- {radius:.3g}, difference {float(difference)}")


def _difference(roots, cotangents, x, place):
    """(f(x + h) - f(x - h)) / 2h of the sum of cotangent times result; None where a result is no number."""
    before = ctx.prec
    ctx.prec = BITS
    is_moved = np.zeros(x.size, bool)
    is_moved[place] = True
    totals = []
    try:
        for step in (STEP, -STEP):
            total = arb(0)
            for root, cotangent in zip(roots, cotangents, strict=True):
                touched = spread_from(
                    root, lambda node: is_moved.reshape(x.shape) if node is x else np.zeros(node.shape, bool)
                )
                puller = exact.Puller(root, BITS)
                puller.known[id(x)] = {place: arb(float(x.detail.ravel()[place])) + step}
                places = np.flatnonzero(touched)
                factors = cotangent.detail.ravel()[places].tolist()
                for value, factor in zip(puller.values(root, places), factors, strict=True):
                    if isinstance(value, float):
                        return None
                    total += value * arb(factor)
            totals.append(total)
        made = (totals[0] - totals[1]) / (2 * STEP)
        return made if made.is_finite() else None
    finally:
        ctx.prec = before


def main() -> None:
    asked = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
    specs = [spec for spec in EVERY_OP if reason_of(spec) is None]
    counts = Counter()
    for spec in specs:
        for checked in elements_of(spec, -(-asked // len(specs))):
            counts[checked.word] += 1
            if checked.word == "disagrees":
                print(checked.told)
    for spec in EVERY_OP:
        if (reason := reason_of(spec)) is not None:
            print(f"{spec.op} has no gradient: {reason}")
    print(f"{len(specs)} ops:", dict(counts))


if __name__ == "__main__":
    main()
