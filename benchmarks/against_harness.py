"""Cases a second of opfuzz, of the plain harness, and of the two calls alone: the same ops on the same sizes.

Three times: on the sizes that the harness draws for itself, its arrays drawn by Hypothesis or made from a seed; and on
those that opfuzz draws, which are given to the harness as a list, so that it does not pay for how opfuzz chooses them,
with a seed, since Hypothesis has no room for the larger ones. opfuzz keeps its own values and layouts: special values,
cancelling sums and views, which need more work than the normal values of the harness, and its further calls.
"""

from __future__ import annotations

import gc
import time
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import mlx.core as mx
import numpy as np
import torch

from benchmarks import harness
from opfuzz.core.case import Case
from opfuzz.engine.evaluate import Bench
from opfuzz.engine.plan import Plan
from opfuzz.generate import draw

FORMAT = "float32"
ROUNDS = 3  # all three in turn; the fastest round of each counts, since others use the machine too
SIZES = (
    "the harness's sizes, arrays by Hypothesis",
    "the harness's sizes, arrays from a seed",
    "opfuzz's sizes, arrays from a seed",
)

Dims = Mapping[str, int]


@dataclass(frozen=True)
class Rates:
    """Cases a second on one op, one case being one input on both frameworks."""

    op: str
    sizes: str  # whose, and how the harness makes its arrays
    examples: int
    harness: float
    opfuzz: float
    calls: float


def measure(plan: Plan, op: str, examples: int) -> list[Rates]:
    """The three rates on the harness's sizes and on opfuzz's, in one process with one thread."""
    torch.set_num_threads(1)
    gc.freeze()  # as in a worker
    mx.disable_compile()  # as opfuzz does: else each new shape of an activation calls a C++ compiler, for seconds
    # Where the dialect has several implementations of an op, the one that the harness calls.
    names = list(plan.specs[0].calls["mlx"])
    subjects = ("torch:cpu", "mlx:cpu/plain" if "plain" in names else "mlx:cpu")
    bench = Bench(replace(plan, subjects=subjects))
    _, theirs = harness.run(op, examples)
    own = _own(bench, op, examples)
    return [
        _rates(bench, op, SIZES[0], theirs),
        _rates(bench, op, SIZES[1], theirs, by_seed=True),
        _rates(bench, op, SIZES[2], own, given=own, by_seed=True),
    ]


def _rates(
    bench: Bench, op: str, sizes: str, dims: Sequence[Dims], given: Sequence[Dims] = (), by_seed: bool = False
) -> Rates:
    best = {"harness": 0.0, "opfuzz": 0.0, "calls": 0.0}
    for _ in range(ROUNDS):
        seconds, drawn = harness.run(op, len(dims), given, by_seed=by_seed)
        best["harness"] = max(best["harness"], len(drawn) / seconds)
        best["opfuzz"] = max(best["opfuzz"], len(dims) / _examined(bench, op, dims))
        best["calls"] = max(best["calls"], len(dims) / harness.calls_alone(op, dims))
    return Rates(op, sizes, len(dims), **best)


def _own(bench: Bench, op: str, examples: int) -> list[Dims]:
    """Sizes that opfuzz draws and that the harness can be called with: none is 0, on which MLX may hang."""
    spec = bench.specs[op]
    params = {param.name: param.default for param in spec.params}
    drawn = (draw(spec, FORMAT, bench.plan.seed, number).dims for number in range(2 * examples))
    return [dims for dims in drawn if all(dims.values()) and spec.allows(dims, params)][:examples]


def _examined(bench: Bench, op: str, sizes: Sequence[Dims]) -> float:
    """Seconds for a case of each of the sizes: drawn, made, run on both, judged."""
    spec = bench.specs[op]
    params = {param.name: param.default for param in spec.params}
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        started = time.perf_counter()
        for number, dims in enumerate(sizes):
            case: Case = replace(draw(spec, FORMAT, bench.plan.seed, number), dims=dims, params=params)
            bench.judge(case, number)
        return time.perf_counter() - started
