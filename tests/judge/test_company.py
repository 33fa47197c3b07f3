"""A score is of one output and nothing else: not of what was judged before it, nor in which order."""

from __future__ import annotations

from dataclasses import fields
from itertools import count, islice
from math import prod

import numpy as np
import pytest
from bundled_ops import BUNDLED_OPS

from opfuzz.core.call import Call
from opfuzz.core.floats import FORMATS, round_to
from opfuzz.core.results import Outcome, Score
from opfuzz.generate import draw, inputs
from opfuzz.judge.outputs import score_outputs
from opfuzz.oracle.reference import Reference, references_of

OPS = [
    "softmax",
    "layer_norm",
    "matmul",
    "sum",
    "gelu",
    "conv1d",
    "attention",
    "logsumexp",
    "rms_norm",
    "tanh",
    "mean",
    "cumsum",
]
SPECS = [BUNDLED_OPS[op] for op in OPS]
CASES = 8
ELEMENTS = 2000  # of a case: larger ones cost most of the time, and are judged by the same code


def outcomes(reference: Reference, number: int) -> list[Outcome]:
    """What three subjects may return: an honest result, one with some bits wrong, one in a lower precision."""
    fmt = reference.fmt
    honest = round_to(reference.emulated(1).values.astype(np.float64), fmt)
    chance = np.random.default_rng(number)
    wrong = honest.astype(np.float64) * (1 + fmt.unit_roundoff * chance.integers(-3, 4, honest.shape))
    lower = reference.emulated(8, narrow=True).values.astype(np.float64)
    made = (honest, round_to(wrong, fmt), round_to(lower * (1 - 2.0**-9), fmt))
    return [Outcome(f"s{n}:cpu", "ok", (output,)) for n, output in enumerate(made)]


def same(a: Score, b: Score) -> bool:
    return all(repr(getattr(a, field.name)) == repr(getattr(b, field.name)) for field in fields(Score))


@pytest.mark.parametrize("format", ["float32", "float16", "bfloat16"])
@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.op)
def test_a_score_does_not_depend_on_company(spec, format):
    if format not in spec.formats:
        pytest.skip(f"{spec.op} has no {format}")
    with np.errstate(all="ignore"):
        drawn = (draw(spec, FORMATS[format].name, 11, number) for number in count())
        small = (each for each in drawn if sum(map(prod, spec.shapes(each.dims, each.params).values())) <= ELEMENTS)
        for number, case in enumerate(islice(small, CASES)):
            call = Call.of(case, inputs(spec, case))
            shared = references_of(spec, call)
            made = outcomes(*shared, number)
            alone = [score_outputs(each, references_of(spec, call)) for each in made]
            after = [score_outputs(each, shared) for each in made]
            back = [score_outputs(each, shared) for each in reversed(made)][::-1]
            for scores in zip(alone, after, back, strict=True):
                assert same(scores[0], scores[1]), (spec.op, number)
                assert same(scores[0], scores[2]), (spec.op, number)
