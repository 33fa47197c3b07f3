"""What a call costs on each subject, and how much memory 2,000 of them leave: each subject in a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import warnings
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import psutil

from opfuzz.backends import discover
from opfuzz.core.call import Call
from opfuzz.engine.evaluate import Bench, perform_call
from opfuzz.engine.plan import ALIKE, Plan, calls_of, load_specs
from opfuzz.generate import inputs

SUBJECTS = (
    "torch:cpu",
    "torch:cpu+compile",
    "mlx:cpu",
    "jax:cpu",
    "onnxruntime:cpu",
    "openvino:cpu",
)
OPS = ("exp", "gelu", "silu", "softmax", "layer_norm", "rms_norm", "matmul", "linear", "conv1d", "sum")
SPECS = Path(__file__).parents[1] / "specs"


@dataclass(frozen=True)
class Cost:
    """Of one subject: cases, those that it computed, CPU seconds of their calls, and bytes before and after them."""

    subject: str
    cases: int
    computed: int
    seconds: float  # of all threads and child processes
    before: int  # resident, with the framework imported and one call made
    after: int
    absent: str = ""  # why it cannot be used here; then nothing was measured

    @property
    def each(self) -> float:
        """CPU seconds a case."""
        return self.seconds / max(self.cases, 1)


def measure(subject: str, cases: int) -> Cost:
    """So many cases of each op, in another process; eight follow each other with the same sizes, as in a run."""
    command = [sys.executable, "-m", __name__, subject, str(cases)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return Cost(**json.loads(done.stdout.splitlines()[-1]))


def _measured(text: str, cases: int) -> Cost:
    backends = discover()
    plan = Plan(load_specs([SPECS], backends, OPS), (text,), seed=0, jobs=1, formats=("float32",), alike=ALIKE)
    bench = Bench(plan, backends)
    backend = backends[text.partition(":")[0]]
    if (reason := backend.absent()) is not None:
        return Cost(text, 0, 0, 0.0, 0, 0, reason)
    subject, backend = bench.subject(text)
    own = psutil.Process()
    computed, seconds, before = 0, 0.0, 0
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for number in range(-1, cases):  # the first is not counted
            for spec in bench.plan.specs:
                case = bench.plan.drawn(spec, "float32", max(number, 0))
                call = Call.of(case, inputs(spec, case))
                name, program = next(iter(calls_of(spec, subject, backend).items()))
                started = sum(os.times()[:4])
                outcome = perform_call(spec, call, replace(subject, implementation=name), backend, program, False)
                if number >= 0:
                    seconds += sum(os.times()[:4]) - started
                    computed += outcome.outputs is not None
            if number < 0:
                before = own.memory_info().rss
    return Cost(text, cases * len(bench.plan.specs), computed, seconds, before, own.memory_info().rss)


if __name__ == "__main__":
    print(json.dumps(asdict(_measured(sys.argv[1], int(sys.argv[2])))))
