"""A variant is another formula for the same values where it is so on other values as well: of zeros all make zeros."""

from __future__ import annotations

import numpy as np
from bundled_ops import BUNDLED_OPS

from opfuzz.core.call import Call
from opfuzz.core.cause import UNEXPLAINED
from opfuzz.core.results import Score
from opfuzz.judge.diagnose.evidence import Evidence
from opfuzz.judge.diagnose.predictions import same_formulas
from opfuzz.oracle.reference import references_of


def evidence_of(op, **arrays):
    """That of a subject which is right wherever it is called, beside a call whose output is NaN."""
    spec = BUNDLED_OPS[op]
    dims = {"batch": 1, "heads": 1, "queries": 2, "keys": 2, "length": 2, "d": 1, "offset": 0}
    dims = {dim.name: dims[dim.name] for dim in spec.dims}
    given = {item.name: np.asarray(arrays[item.name], np.float32).reshape(1, 1, 2, 1) for item in spec.inputs}
    call = Call("float32", dims, {}, given, dict.fromkeys(given, "contiguous"))

    def refer(call):
        return references_of(spec, call)[0]

    return Evidence(
        spec,
        Score("special", UNEXPLAINED),
        call,
        np.array([np.nan, 0], np.float32).reshape(1, 1, 2, 1),
        lambda call: refer(call).truth.hi.astype(np.float32),
        refer,
    )


def test_values_of_zeros_alone_make_no_formula_the_same():
    """Scores of 2^127 times 2 behind the diagonal, which torch's kernel adds to -inf; the values are all zeros."""
    evidence = evidence_of("causal_attention", q=[2.0**127, 0], k=[0, 2], v=[0, 0])
    assert "not-causal" not in same_formulas(evidence)
