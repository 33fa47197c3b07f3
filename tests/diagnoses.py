"""What is said of one case of an op on a framework some of whose functions are replaced."""

from __future__ import annotations

import numpy as np
from bundled_ops import BUNDLED_OPS

from opfuzz.backends import Subject, derive, perform
from opfuzz.core.call import Call, Recipe
from opfuzz.core.case import Case
from opfuzz.engine.triage.diagnose import diagnose_score
from opfuzz.generate import inputs
from opfuzz.judge.score import score
from opfuzz.oracle.reference import references_of
from opfuzz.report.causes import word_diagnosis

DIMS = {"batch": 3, "n": 24, "d": 24, "length": 24, "c": 2}


def told(op, replaced, format="float32", regime="normal", parent="numpy", regimes=None, **given) -> str:
    """The diagnosis of a case with these dims and params; `regimes` are those of single inputs."""
    spec, backend = BUNDLED_OPS[op], derive(parent, "planted", replaced)
    dims = {dim.name: given.get(dim.name, DIMS.get(dim.name, 1)) for dim in spec.dims}
    params = {param.name: given.get(param.name, param.default) for param in spec.params}
    names = [item.name for item in spec.inputs]
    places = dict.fromkeys(names, "contiguous")
    chosen = dict.fromkeys(names, regime) | (regimes or {})
    case = Case(op, spec.digest, format, dims, params, chosen, places, 7)
    call, subject = Call.of(case, inputs(spec, case)), Subject("planted", "cpu")
    with np.errstate(all="ignore"):
        made = perform(backend, subject, spec.calls[parent][""], call, spec.output_shapes(dims, params))
        (output,), (reference,) = made.outputs, references_of(spec, call)
        found = score(output, reference)
    return word_diagnosis(diagnose_score(found, spec, Recipe(case), subject, backend))
