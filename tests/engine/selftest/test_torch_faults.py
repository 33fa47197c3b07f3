"""The bundled mutants: enough of every class and family, each a change, the honest ones true to torch."""

from __future__ import annotations

import warnings
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from bundled_ops import EVERY_OP

from opfuzz.backends import derive, perform
from opfuzz.backends.subject import Subject
from opfuzz.core.call import Call
from opfuzz.engine.selftest.mutant import BUNDLED, bundled, read_mutants
from opfuzz.engine.selftest.planting import harmed, plant
from opfuzz.generate import draw, inputs

torch = pytest.importorskip("torch")
from opfuzz.engine.selftest.torch_faults import rounding  # noqa

MUTANTS = [mutant for path in bundled() for mutant in read_mutants(path)]
FAULTS = [mutant for mutant in MUTANTS if mutant.kind == "fault"]
HONEST = [mutant for mutant in MUTANTS if mutant.kind == "honest"]
TORCH = derive("torch", "torch", {})

# The sample of public bugs that opfuzz must find, each by the name of the mutant that emulates it.
PUBLIC = {
    "conv1d-non-contiguous-weight", "layer-norm-slice-offset", "matmul-stride-0-batch-float16",
    "conv1d-more-than-65536-channels", "matmul-k-32767", "attention-one-position-many-batches",
    "softmax-all-minus-infinity", "tanh-by-expm1", "gelu-nan-at-infinity", "layer-norm-tiny-variance",
    "sum-bfloat16-stops-at-256", "matmul-11-bits", "sin-float64-as-float32", "linear-bfloat16-second-call",
    "sigmoid-five-times-the-error",
}  # fmt: skip


def test_there_are_enough_and_no_name_twice():
    assert len(FAULTS) >= 60
    assert len(HONEST) >= 12
    assert max(Counter(mutant.name for mutant in MUTANTS).values()) == 1


def test_every_class_and_every_family_has_some():
    assert {mutant.trigger for mutant in FAULTS} == set(BUNDLED) - {"honest"}
    assert {mutant.trigger for mutant in HONEST} == {"honest"}
    families = {spec.op: Path(spec.path).parent.name for spec in EVERY_OP}
    assert {families[mutant.op] for mutant in FAULTS} == set(families.values())


def test_the_public_bugs_are_among_them():
    assert {mutant.name for mutant in FAULTS} >= PUBLIC


def test_every_mutant_can_be_planted_and_says_a_cause():
    for mutant in MUTANTS:
        assert harmed(mutant, EVERY_OP, "torch")[0].op == mutant.op
        plant(mutant, [spec for spec in EVERY_OP if spec.op == mutant.op], TORCH)
        assert bool(mutant.cause) == (mutant.kind == "fault")


@pytest.mark.parametrize("mutant", HONEST, ids=lambda mutant: mutant.name)
def test_an_honest_implementation_agrees_with_torch_in_float64(mutant):
    (spec,), backend = plant(mutant, [next(spec for spec in EVERY_OP if spec.op == mutant.op)], TORCH)
    original = next(each for each in EVERY_OP if each.op == mutant.op)
    mild = {each.name: "normal" if each.kind == "float" else "some_left" for each in spec.inputs}
    compared = 0
    for number in range(8):
        case = replace(draw(spec, "float64", 7, number), regimes=mild)
        given = Call.of(case, inputs(spec, case)), spec.output_shapes(case.dims, case.params)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            ours = perform(backend, Subject(mutant.name, "cpu"), spec.calls["torch"][""], *given)
            theirs = perform(TORCH, Subject("torch", "cpu"), original.calls["torch"][""], *given)
        np.testing.assert_allclose(ours.outputs[0], theirs.outputs[0], rtol=1e-9, atol=1e-11)
        compared += theirs.outputs[0].size
    assert compared


def test_rounding_to_bits_keeps_so_many():
    x = torch.tensor([1 + 2.0**-10, 1 + 2.0**-11, 1 + 3 * 2.0**-12, -3.0, torch.inf])
    assert rounding.to_bits(x, 11).tolist() == [1 + 2.0**-10, 1 + 2.0**-10, 1 + 2.0**-10, -3.0, torch.inf]
    assert rounding.to_bits(x.double(), 11).tolist() == x.tolist()


def test_running_sums_stop_where_a_half_format_does():
    ones = torch.ones(2, 3000)
    assert rounding.last_sum(ones, torch.bfloat16).tolist() == [256.0, 256.0]
    assert rounding.last_sum(ones, torch.float16).tolist() == [2048.0, 2048.0]


def test_integers_have_so_many_steps():
    values = rounding.int_steps(torch.linspace(-1, 1, 5001), 4)
    assert len(set(values.tolist())) == 15
    assert values.abs().max() == 1


def test_memory_is_read_as_if_it_were_contiguous():
    x = torch.arange(6.0).reshape(2, 3)
    assert rounding.as_if_contiguous(x.T).flatten().tolist() == [0, 1, 2, 3, 4, 5]
    assert rounding.as_if_contiguous(x[1:], 0).flatten().tolist() == [0, 1, 2]
    assert rounding.as_if_contiguous(x[:1].expand(3, 3)).flatten().tolist() == [0, 1, 2, 3, 4, 5, 0, 1, 2]
