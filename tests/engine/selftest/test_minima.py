"""What the bundled faults say of the smallest call that shows them: it exists, and at the bounds it is true."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import product
from math import prod
from typing import Any

import numpy as np
import pytest
from bundled_ops import BUNDLED_OPS

from opfuzz.backends import Backend, derive, perform
from opfuzz.backends.subject import Subject
from opfuzz.core.call import Call
from opfuzz.core.floats import FORMATS
from opfuzz.core.layout import LAYOUTS
from opfuzz.core.verdicts import FAULT, SEVERITY
from opfuzz.engine.selftest import Mutant
from opfuzz.engine.selftest.mutant import bundled, read_mutants
from opfuzz.engine.selftest.planting import plant
from opfuzz.judge.settle import examine
from opfuzz.judge.verdict import decide_verdict
from opfuzz.oracle.reference import references_of
from opfuzz.spec import OpSpec

pytest.importorskip("torch")
FAULTS = [mutant for path in bundled() for mutant in read_mutants(path) if mutant.kind == "fault"]
BY_NAME = {mutant.name: mutant for mutant in FAULTS}
TORCH = derive("torch", "torch", {})

# Faults whose smallest call nobody knows, each with the reason.
UNKNOWN = {
    "linear-bfloat16-accumulator": "the judge cannot tell it from a bfloat16 that rounds everything on the way",
    "gelu-buffer-kept": "which call is wrong depends on the values, the shape and the format of the one before it",
}

COMPARED = re.compile(r"(?P<left>\w+(?: \* \w+)*(?: // \w+)?(?: % \d+)?) (?:>=|<=|==|!=) (?P<right>\w+)")
LAID_OUT = re.compile(r"(?P<input>\w+) (?:not contiguous|(?P<layouts>\w+(?: or \w+)*))")


def parts(condition: str) -> tuple[list[str], list[tuple[str, list[str]]]]:
    """One alternative as comparisons of sizes, and as inputs with the layouts that show the fault."""
    sizes, views = [], []
    for part in filter(None, condition.split(" and ")):
        if COMPARED.fullmatch(part):
            assert not views, f"{condition}: sizes come first"
            sizes.append(part)
            continue
        for view in re.split(r" or (?=\w+ (?!or\b)\w)", part):  # `a broadcast or b broadcast` is of two inputs
            match = LAID_OUT.fullmatch(view)
            assert match, f"{condition}: neither a size nor a layout: {view}"
            views.append((match["input"], match["layouts"].split(" or ") if match["layouts"] else list(LAYOUTS[1:])))
    return sizes, views


def holds(sizes: list[str], numbers: Mapping[str, Any]) -> bool:
    return all(eval(size, {"__builtins__": {}}, dict(numbers)) for size in sizes)


def elements(spec: OpSpec, dims: Mapping[str, int], params: Mapping[str, Any]) -> int:
    return sum(map(prod, spec.shapes(dims, params).values())) + spec.output_elements(dims, params)


def settings(spec: OpSpec) -> Iterator[dict[str, Any]]:
    """All params, the defaults first; those without a list from their low end."""
    choices = [p.values if p.values is not None else range(p.low or 0, (p.high or 0) + 1) for p in spec.params]
    names = [param.name for param in spec.params]
    return (dict(zip(names, values, strict=True)) for values in product(*choices))


def test_every_fault_states_its_fewest_elements():
    assert {mutant.name for mutant in FAULTS if mutant.fewest is None} == UNKNOWN.keys()


def test_conditions_name_dims_and_inputs_in_the_order_of_the_spec():
    for mutant in FAULTS:
        check_order_of_conditions(mutant)


def check_order_of_conditions(mutant: Mutant) -> None:
    spec = BUNDLED_OPS[mutant.op]
    dims, inputs = [each.name for each in (*spec.dims, *spec.params)], [given.name for given in spec.inputs]
    for condition in mutant.condition.split("|") if mutant.condition else ():
        sizes, views = parts(condition)
        named = [word for size in sizes for word in re.findall(r"[a-z_]\w*", size)]
        assert sizes or views
        assert set(named) <= set(dims)
        firsts = list(dict.fromkeys(named))
        assert firsts == sorted(firsts, key=dims.index)
        for name, layouts in views:
            assert name in inputs
            assert layouts == [layout for layout in LAYOUTS[1:] if layout in layouts]


@pytest.mark.parametrize("mutant", [m for m in FAULTS if m.fewest is not None], ids=lambda mutant: mutant.name)
def test_some_call_where_the_condition_holds_has_exactly_the_fewest_elements(mutant):
    spec = BUNDLED_OPS[mutant.op]
    stated = [int(number) for number in re.findall(r"\b\d+\b", mutant.condition)]
    candidates = sorted({1, 2, 3, 4, mutant.fewest - 1, *stated}) if mutant.fewest else [0, 1]
    alternatives = [parts(condition)[0] for condition in mutant.condition.split("|")]
    if mutant.name == "rms-norm-abort":  # before it looks at a single row
        candidates.insert(0, 0)
    for sizes in product(*([size for size in candidates if dim.allows(size)] for dim in spec.dims)):
        dims = {dim.name: size for dim, size in zip(spec.dims, sizes, strict=True)}
        for params in settings(spec):
            if not any(holds(alternative, {**dims, **params}) for alternative in alternatives):
                continue
            if spec.allows(dims, params) and elements(spec, dims, params) == mutant.fewest:
                return
    pytest.fail(f"no call has {mutant.fewest} elements")


@dataclass(frozen=True)
class Sample:
    """A call with the fewest elements, and changes of its dims or layouts after which the fault does not show."""

    name: str
    dims: Mapping[str, int]
    beyond: tuple[Mapping[str, int | str], ...]
    layouts: Mapping[str, str] = field(default_factory=dict)
    params: Mapping[str, Any] = field(default_factory=dict)
    values: Mapping[str, tuple[float, ...]] = field(default_factory=dict)  # as many as are needed, the last repeated
    format: str = "float32"


SAMPLES = (
    Sample("sum-at-exactly-128", {"batch": 1, "n": 128}, ({"n": 127}, {"n": 129})),
    Sample("softmax-beyond-1024", {"batch": 1, "n": 1025}, ({"n": 1024},)),
    Sample("mean-no-multiple-of-32", {"batch": 1, "n": 33}, ({"n": 31}, {"n": 32}, {"n": 64})),
    Sample("relu-scalar-tail", {"batch": 3, "n": 3}, ({"n": 8}, {"n": 2}), values={"x": (-1.0,)}),
    Sample("softmax-all-minus-infinity", {"batch": 1, "n": 1}, ({"n": 128},), values={"x": (-np.inf,)}),
    Sample(
        "attention-one-position-many-batches",
        {"batch": 2, "heads": 1, "queries": 1, "keys": 1, "d": 1},
        ({"batch": 1}, {"queries": 2}),
    ),
    Sample("matmul-11-bits", {"batch": 1, "m": 2, "k": 1, "n": 2}, ({"m": 1}, {"n": 1})),
    Sample(
        "matmul-float16-accumulator",
        {"batch": 1, "m": 1, "k": 17, "n": 1},
        ({"k": 16},),
        values={"a": (300.0, *(0.0,) * 15, -300.0), "b": (300.0, *(0.0,) * 15, 200.0)},
        format="float16",
    ),
    Sample("cumsum-half", {"batch": 1, "n": 3}, ({"n": 2},), values={"x": (4e4, 4e4, -4e4)}, format="float16"),
    Sample(
        "sum-bfloat16-stops-at-256",
        {"batch": 1, "n": 3},
        ({"n": 2},),
        values={"x": (1.0, 2.0**-8, -1.0)},
        format="bfloat16",
    ),
    Sample("time-embedding-positions-bfloat16", {"batch": 1, "half": 258}, ({"half": 257},)),
    Sample(
        "conv1d-flipped",
        {"n": 1, "c_in": 1, "c_out": 1, "length": 1, "k": 2},
        ({"k": 1},),
        params={"stride": 2, "padding": 1},
    ),
    Sample(
        "conv1d-non-contiguous-weight",
        {"n": 1, "c_in": 1, "c_out": 1, "length": 1, "k": 2},
        ({"k": 1}, {"weight": "contiguous"}, {"weight": "offset"}),
        layouts={"weight": "stepped"},
        params={"stride": 2, "padding": 1},
    ),
    Sample(
        "layer-norm-slice-offset",
        {"batch": 1, "d": 1},
        ({"x": "contiguous"}, {"x": "stepped"}, {"batch": 2, "x": "narrowed"}),
        layouts={"x": "offset"},
    ),
    Sample(
        "linear-transposed-weight",
        {"batch": 1, "length": 1, "d_in": 2, "d_out": 2},
        ({"d_in": 1}, {"d_out": 1}, {"weight": "contiguous"}, {"weight": "narrowed"}),
        layouts={"weight": "transposed"},
    ),
    Sample(
        "rms-norm-row-pitch",
        {"batch": 2, "d": 1},
        ({"batch": 1}, {"x": "stepped"}, {"x": "offset"}),
        layouts={"x": "narrowed"},
    ),
)


def faults(spec: OpSpec, backend: Backend, sample: Sample, change: Mapping[str, int | str]) -> bool:
    """Whether the sample's call, changed, gets a verdict that is a fault."""
    dims = {name: change.get(name, size) for name, size in sample.dims.items()}
    params = {param.name: sample.params.get(param.name, param.default) for param in spec.params}
    assert spec.allows(dims, params)
    layouts = {
        given.name: change.get(given.name, sample.layouts.get(given.name, "contiguous")) for given in spec.inputs
    }
    arrays = {}
    for place, (name, shape) in enumerate(spec.shapes(dims, params).items()):
        size, own = prod(shape), sample.values.get(name)
        values = np.linspace(0.3 + place, 1.7, size) if own is None else np.array((own + own[-1:] * size)[:size])
        arrays[name] = values.reshape(shape).astype(FORMATS[sample.format].dtype)
    call, shapes = Call(sample.format, dims, params, arrays, layouts), spec.output_shapes(dims, params)
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        made = perform(backend, Subject(backend.name, "cpu"), spec.calls["torch"][""], call, shapes)
        assert made.outputs is not None
        (reference,) = references_of(spec, call)
        verdict = decide_verdict(examine(made.outputs[0], reference), reference).word
    return SEVERITY[verdict] == FAULT


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample.name)
def test_a_fault_shows_at_its_minimum_and_not_beyond_its_bounds(sample):
    mutant: Mutant = BY_NAME[sample.name]
    (spec,), backend = plant(mutant, [BUNDLED_OPS[mutant.op]], TORCH)
    defaults = {param.name: param.default for param in spec.params}
    assert elements(spec, sample.dims, {**defaults, **sample.params}) == mutant.fewest
    assert faults(spec, backend, sample, {})
    assert not faults(BUNDLED_OPS[mutant.op], TORCH, sample, {})
    assert [change for change in sample.beyond if faults(spec, backend, sample, change)] == []
