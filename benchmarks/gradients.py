"""What judging the gradients of an op costs, as a multiple of judging the op itself."""

from __future__ import annotations

import gc
import time
import warnings
from dataclasses import dataclass
from statistics import median

import numpy as np

from opfuzz.core.call import Call
from opfuzz.engine.evaluate import Bench, perform_call
from opfuzz.engine.gradients import reason_against
from opfuzz.engine.plan import Plan
from opfuzz.generate import draw, inputs
from opfuzz.judge.outputs import score_outputs
from opfuzz.oracle.reference import references_of
from opfuzz.spec import OpSpec
from opfuzz.spec.gradient import gradient_of

OPS = (
    "exp", "tanh", "gelu", "silu", "relu", "softmax", "log_softmax", "logsumexp", "layer_norm", "rms_norm", "matmul",
    "linear", "conv1d", "attention", "sum", "var", "cumsum", "l2_normalise", "group_norm", "embedding",
)  # fmt: skip
CASES = 24
MOST = 20_000  # elements of a case: larger ones take long, and say the same


@dataclass(frozen=True)
class WayBack:
    """Median milliseconds of judging a case of an op and of its gradients."""

    op: str
    cases: int
    forward: float
    backward: float

    @property
    def ratio(self) -> float:
        """How many times as much gradients cost."""
        return self.backward / self.forward


def measure(plan: Plan, cases: int) -> list[WayBack]:
    """The ops of a plan that have gradients, on so many drawn cases each that the first subject answers."""
    bench = Bench(plan)
    gc.freeze()  # as workers do: what stays is not looked through again with every case
    found = []
    for spec in plan.specs:
        if reason_against(spec) is None:
            times = [_milliseconds(bench, each, plan.seed, cases) for each in (spec, gradient_of(spec))]
            if all(times):
                found.append(WayBack(spec.op, min(map(len, times)), *map(median, times)))
    return found


def _milliseconds(bench: Bench, spec: OpSpec, seed: int, cases: int) -> list[float]:
    subject, backend = bench.subject(bench.plan.subjects[0])
    program = next(iter(spec.calls[backend.dialect].values()))
    taken = []
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for number in range(cases):
            case = draw(spec, "float32", seed, number)
            if spec.elements(case.dims, case.params) > MOST:
                continue
            call = Call.of(case, inputs(spec, case))
            outcome = perform_call(spec, call, subject, backend, program, False)
            if outcome.outputs is None:
                continue
            started = time.thread_time()  # autograd wakes threads, which may take the core for some milliseconds
            score_outputs(outcome, references_of(spec, call))
            taken.append(1e3 * (time.thread_time() - started))
    return taken
