"""The bundled mutants of gradients: results are torch's own, and the honest gradients are true to torch."""

from __future__ import annotations

import json
import warnings
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from bundled_ops import BUNDLED_OPS, EVERY_OP
from click.testing import CliRunner

from opfuzz.backends import derive, perform
from opfuzz.backends.subject import Subject
from opfuzz.cli import cli
from opfuzz.core.call import Call
from opfuzz.core.errors import OpfuzzError
from opfuzz.engine.selftest.mutant import BUNDLED_GRADIENTS, Mutant, bundled, read_mutants
from opfuzz.engine.selftest.planting import gradients_planted, harmed, plant
from opfuzz.generate import draw, inputs
from opfuzz.spec.gradient import SUFFIX, gradient_of

pytest.importorskip("torch")

MUTANTS = [mutant for path in bundled(of_gradients=True) for mutant in read_mutants(path)]
FAULTS = [mutant for mutant in MUTANTS if mutant.kind == "fault"]
HONEST = [mutant for mutant in MUTANTS if mutant.kind == "honest"]
TORCH = derive("torch", "torch", {})
GRADIENTS = {op: gradient_of(BUNDLED_OPS[op]) for op in {mutant.op.removesuffix(SUFFIX) for mutant in MUTANTS}}

# The sample of public bugs of gradients, each by the name of the mutant that emulates it.
PUBLIC = {
    "layer-norm-weight-alone-unwritten", "conv1d-more-than-16-batches", "group-norm-channels-last",
    "linear-after-another-batch", "layer-norm-of-one-element", "embedding-bag-by-own-count", "relu-2.01-of-2",
    "normalize-zero-by-zero", "log-softmax-unshifted", "expm1-result-in-float16", "softmax-small-lost",
    "softplus-zero-at-zero", "rms-norm-weight-summed-in-bfloat16",
}  # fmt: skip


def test_there_are_enough_of_every_class_and_no_name_twice():
    assert len(FAULTS) >= 40
    assert len(HONEST) >= 12
    assert max(Counter(mutant.name for mutant in MUTANTS).values()) == 1
    assert {mutant.trigger for mutant in FAULTS} == set(BUNDLED_GRADIENTS) - {"honest"}
    assert {mutant.trigger for mutant in HONEST} == {"honest"}
    assert {mutant.name for mutant in FAULTS} >= PUBLIC


def test_every_mutant_can_be_planted_in_a_gradient_and_says_a_cause():
    specs = tuple(GRADIENTS.values())
    for mutant in MUTANTS:
        assert harmed(mutant, specs, "torch")[0].op == mutant.op
        assert bool(mutant.cause) == (mutant.kind == "fault")


def answers(mutant, format, numbers):
    """For each of some mild calls the results with a mutant and without, and both their gradients."""
    op = BUNDLED_OPS[mutant.op.removesuffix(SUFFIX)]
    meant = GRADIENTS[op.op]
    mild = {each.name: "normal" if each.kind == "float" else "random_index" for each in meant.inputs}
    (_,), backend = plant(mutant, [meant], TORCH)
    for number in numbers:
        case = replace(draw(meant, format, 7, number), regimes=mild)
        call = Call.of(case, inputs(meant, case))
        made = []
        for spec in (op, meant):
            shapes, program = spec.output_shapes(case.dims, case.params), spec.calls["torch"][""]
            own = Call(call.format, call.dims, call.params, {i.name: call.arrays[i.name] for i in spec.inputs},
                       {i.name: call.layouts[i.name] for i in spec.inputs})  # fmt: skip
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                made.append([perform(b, Subject(b.name, "cpu"), program, own, shapes) for b in (backend, TORCH)])
        yield made


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_results_are_those_of_torch(mutant):
    for values, gradients in answers(mutant, "float32", range(2)):
        ours, theirs = values
        assert [each.tobytes() for each in ours.outputs] == [each.tobytes() for each in theirs.outputs]
        assert gradients[0].outputs is not None, gradients[0].cause
        assert [each.shape for each in gradients[0].outputs] == [each.shape for each in gradients[1].outputs]


@pytest.mark.parametrize("mutant", HONEST, ids=lambda mutant: mutant.name)
def test_honest_gradients_agree_with_torch_in_float64(mutant):
    compared = 0
    for _, (ours, theirs) in answers(mutant, "float64", range(4)):
        for own, other in zip(ours.outputs, theirs.outputs, strict=True):
            np.testing.assert_allclose(own, other, rtol=1e-8, atol=1e-10)
            compared += other.size
    assert compared


def test_what_has_no_gradient_cannot_be_planted(tmp_path):
    path = tmp_path / "mine.py"
    for op, words in (
        ("relu", "is no gradient; write 'relu.grad'"),
        ("rellu.grad", "unknown op 'rellu'; did you mean 'relu'?"),
        ("argmax.grad", "'argmax' has no gradient: what it gives changes by jumps alone"),
    ):
        path.write_text(
            f"from opfuzz.engine.selftest import Mutant\nMUTANTS = [Mutant('mine', '{op}', {{'torch.relu': abs}})]\n"
        )
        with pytest.raises(OpfuzzError, match=words.replace("?", "\\?")):
            gradients_planted(EVERY_OP, [path])
    with pytest.raises(OpfuzzError, match="planted with --gradients"):
        harmed(Mutant("mine", "relu.grad", {"torch.relu": abs}), EVERY_OP, "torch")


MINE = """
import torch

from opfuzz.engine.selftest import Mutant


class Twice(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return torch.exp(x)

    @staticmethod
    def backward(ctx, g):
        (x,) = ctx.saved_tensors
        return 2 * g * torch.exp(x)


MUTANTS = [
    Mutant("twice", "exp.grad", {"torch.exp": lambda x: Twice.apply(x)}, cause="2 times what is right"),
    Mutant("itself", "exp.grad", {"torch.exp": lambda x: torch.exp(x)}, kind="honest"),
]
"""


def test_the_command_plants_in_gradients(monkeypatch, tmp_path):
    file = tmp_path / "mine.py"
    file.write_text(MINE)
    monkeypatch.setattr("opfuzz.cli.selftest.load_specs", lambda paths, backends: (BUNDLED_OPS["exp"],))
    words = ["selftest", "--gradients", "--mutants", str(file), "--cases", "6", "--jobs", "1", "--json"]
    result = CliRunner().invoke(cli, words, standalone_mode=False)
    assert result.return_value == 0, result.output
    found = json.loads(result.stdout)
    (fault,) = found["faults"]
    assert (fault["op"], fault["found"], fault["cause_named"], fault["cause_wrong"]) == ("exp.grad", True, True, False)
    assert found["totals"]["false_accusations"] == 0
