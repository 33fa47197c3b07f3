"""What judging costs, as a multiple of the calls that are judged, at three sizes of an output."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from math import isqrt
from statistics import median

import numpy as np

from opfuzz.core.call import Call
from opfuzz.engine.evaluate import Bench
from opfuzz.engine.plan import Plan
from opfuzz.generate import draw, inputs
from opfuzz.judge.score import score_each
from opfuzz.oracle.reference import references_of

SIZES = (10**3, 10**5, 10**7)
REPEATS = {10**3: 21, 10**5: 5, 10**7: 1}
ROW = 1000  # elements of a row


def _rows(size: int) -> dict[str, int]:
    return {"batch": size // ROW, "n": ROW}


# Dims with about so many elements in the output, by op; the limit is that of the ratio at 10^5.
OPS: Mapping[str, tuple[float, Callable[[int], dict[str, int]]]] = {
    "exp": (4, _rows),
    "relu": (4, _rows),
    "silu": (4, _rows),
    "gelu": (4, _rows),
    "softmax": (4, _rows),
    "layer_norm": (4, lambda size: {"batch": size // ROW, "d": ROW}),
    "sum": (4, _rows),
    "matmul": (2, lambda size: {"batch": 1, "m": isqrt(size), "k": isqrt(size), "n": isqrt(size)}),
    "conv1d": (2, lambda size: {"n": 1, "c_in": 32, "c_out": 32, "k": 3, "length": size // 32}),
}


@dataclass(frozen=True)
class Judging:
    """Milliseconds of the calls of all subjects, and of judging what they gave."""

    op: str
    elements: int  # of the output, of the input where that is larger
    calls: float
    judging: float

    @property
    def ratio(self) -> float:
        """How many times the calls judging costs."""
        return self.judging / self.calls


def measure(plan: Plan, op: str, size: int) -> Judging:
    """One op on normal values at about so many elements, float32, every subject; medians of some repetitions."""
    bench = Bench(plan)
    spec = bench.specs[op]
    params = {param.name: param.default for param in spec.params}
    case = draw(spec, "float32", plan.seed, 0)
    dims = OPS[op][1](size)
    plain = dict.fromkeys(case.layouts, "contiguous")
    case = replace(case, dims=dims, params=params, regimes=dict.fromkeys(case.regimes, "normal"), layouts=plain)
    arrays = inputs(spec, case)
    calls, judging = [], []
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for _ in range(REPEATS[size] + 1):  # the first does not count
            outputs, taken = [], 0.0
            for subject, backend in map(bench.subject, plan.subjects):
                (program,) = {k: v for k, v in spec.calls[backend.dialect].items() if k in ("", "plain")}.values()
                tensors = {name: backend.put(array, "contiguous", subject.device) for name, array in arrays.items()}
                names = {**dims, **params, **backend.constants("float32")}
                started = time.perf_counter()
                result = backend.run(program, tensors, names, subject.device, subject.mode)
                taken += time.perf_counter() - started
                outputs.append(backend.get(result))
            calls.append(taken)
            started = time.perf_counter()
            (reference,) = references_of(spec, Call.of(case, arrays))
            score_each(outputs, reference, [True] * len(outputs))
            judging.append(time.perf_counter() - started)
    elements = max([reference.root.size, *(array.size for array in arrays.values())])
    return Judging(op, elements, 1e3 * median(calls[1:]), 1e3 * median(judging[1:]))
