"""Calls as shrinking leaves them: zeros but for one element, at the sizes given."""

from __future__ import annotations

import numpy as np

from opfuzz.core.call import Call
from opfuzz.core.floats import FORMATS
from opfuzz.search.trigger import PROBES, Shown, Spent, drive, infer


def minimal(spec, dims, *, fill=1.0, params=None, layouts=None, format="float32", **arrays):
    """A call of `spec`; the last element of each float input is `fill`, and `arrays` replace whole inputs."""
    params = {**{param.name: param.default for param in spec.params}, **(params or {})}
    made = {}
    for given in spec.inputs:
        dtype = {"index": np.int64, "mask": np.bool_}.get(given.kind, FORMATS[format].dtype)
        array = np.zeros(spec.shapes(dims, params)[given.name], dtype)
        if given.kind == "float" and array.size:
            array.flat[-1] = fill
        made[given.name] = array
    made |= {name: np.asarray(values, FORMATS[format].dtype) for name, values in arrays.items()}
    lying = {given.name: (layouts or {}).get(given.name, "contiguous") for given in spec.inputs}
    return Call(format, dims, params, made, lying)


def found(spec, call, fails, limit=PROBES):
    """The trigger of a fault that `fails` describes, and the number of probes that it took."""
    probes = []

    def asked(probe):
        probes.append(probe)
        return bool(fails(probe))

    assert asked(call)
    trigger = drive(infer(spec, call), asked, limit)
    return trigger, len(probes) - 1


def told(spec, call, shows, limit=PROBES):
    """The trigger of a fault where `shows` says of each call what it shows, a Shown."""
    probes = infer(spec, call)
    probe = next(probes)
    try:
        for _ in range(limit):
            answer = shows(probe)
            assert isinstance(answer, Shown)
            probe = probes.send(answer)
        probes.throw(Spent)
    except StopIteration as end:
        return end.value
    raise AssertionError("the probes went on")
