"""What is said of a function of arrays that stands for a framework's."""

from __future__ import annotations

import numpy as np
from bundled_ops import BUNDLED_OPS

from opfuzz.core.call import Call
from opfuzz.core.floats import FORMATS
from opfuzz.core.results import Score
from opfuzz.engine.triage.diagnose import Exact
from opfuzz.judge.diagnose import Evidence, diagnose
from opfuzz.judge.settle import examine
from opfuzz.judge.verdict import decide_verdict


class Said(list):
    """Kind and name of each cause, and the causes."""

    def __init__(self, causes):
        super().__init__((cause.kind, cause.name) for cause in causes)
        self.causes = causes


def diagnosis(op, function, arrays, format="float32", layouts=None, params=None, **sizes):
    """What is said of a function on some arrays, which are rounded to the format; the sizes are those of the dims."""
    return Said(diagnose(evidence_of(op, function, arrays, format, layouts, params, **sizes)))


def evidence_of(op, function, arrays, format="float32", layouts=None, params=None, wider=None, **sizes):
    spec, dtype = BUNDLED_OPS[op], FORMATS[format].dtype
    arrays = {name: a if a.dtype.kind in "biu" else a.astype(dtype) for name, a in arrays.items()}
    settings = {param.name: param.default for param in spec.params} | (params or {})
    call = Call(format, sizes, settings, arrays, dict.fromkeys(arrays, "contiguous") | (layouts or {}))

    def run(call):
        wide = {n: a if a.dtype.kind in "biu" else a.astype(np.result_type(a, np.float32)) for n, a in
                call.arrays.items()}  # fmt: skip
        with np.errstate(all="ignore"):
            return np.asarray(function(*wide.values(), layouts=call.layouts, **call.params)).astype(
                FORMATS[call.format].dtype
            )

    with np.errstate(all="ignore"):
        exact, output = Exact(spec, 0), run(call)
        found = decide_verdict(examine(output, exact(call)), exact(call))
        return Evidence(spec, Score(found.word, found.cause), call, output, run, exact, wider)
