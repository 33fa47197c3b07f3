"""Planting: which ops a mutant changes, and what cannot be planted."""

from __future__ import annotations

from dataclasses import replace

import pytest
from bundled_ops import EVERY_OP

from opfuzz.backends import derive
from opfuzz.core.errors import OpfuzzError
from opfuzz.engine.selftest import Mutant
from opfuzz.engine.selftest.planting import harmed, plant

pytest.importorskip("torch")


def ops(mutant: Mutant) -> list[str]:
    return [spec.op for spec in harmed(mutant, EVERY_OP, "torch")]


def test_what_passes_other_arguments_does_not_change():
    plain = Mutant("m", "layer_norm", {"torch.nn.functional.scaled_dot_product_attention": lambda q, k, v: q})
    assert ops(replace(plain, op="attention")) == ["attention"]
    masked = {"torch.nn.functional.scaled_dot_product_attention": lambda q, k, v, attn_mask=None: q}
    assert "grouped_query_attention" not in ops(replace(plain, op="attention", replace=masked))
    assert "causal_attention" in ops(replace(plain, op="attention", replace=masked))


def test_every_op_that_calls_a_replaced_function_changes():
    assert ops(Mutant("m", "matmul", {"torch.matmul": lambda a, b: a})) == [
        "matmul",
        "attention_written_out",
        "quantized_matmul_untransposed",
        "quantized_matmul_untransposed_mxfp4",
        "log_mel",
    ]
    assert ops(Mutant("m", "sin", {"torch.sin": abs})) == ["sin", "snake", "time_embedding", "rope", "rope_neighbours"]
    assert ops(Mutant("m", "cfg_mix", {"call": "c"})) == ["cfg_mix"]


@pytest.mark.parametrize(
    ("op", "word", "message"),
    [
        ("matmull", "torch.matmul", "unknown op 'matmull'; did you mean 'matmul'"),
        ("linear", "torch.matmul", "the torch call of 'linear' uses none of torch.matmul; it uses torch.nn.functional"),
        ("cfg_mix", "torch.matmul", "it uses no function"),
    ],
)
def test_a_mutant_must_change_its_own_op(op, word, message):
    with pytest.raises(OpfuzzError, match=message):
        harmed(Mutant("m", op, {word: abs}), EVERY_OP, "torch")


def test_a_planted_call_stands_in_its_own_op_only():
    specs, backend = plant(Mutant("m", "cfg_mix", {"call": "u + w * (c - u)"}), EVERY_OP, derive("torch", "torch", {}))
    changed = [new.op for new, old in zip(specs, EVERY_OP, strict=True) if new.calls != old.calls]
    assert changed == ["cfg_mix"]
    assert next(spec for spec in specs if spec.op == "cfg_mix").calls["torch"][""].text == "u + w * (c - u)"
    assert backend.replaced == frozenset()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        ("c + weight", "mutant 'm': its call 'c \\+ weight': .*unknown name 'weight'"),
        ("torch.matmull(c, u)", "did you mean 'torch.matmul'"),
        ("c +", "mutant 'm': its call 'c \\+'"),
    ],
)
def test_a_call_that_is_none(call, message):
    with pytest.raises(OpfuzzError, match=message):
        plant(Mutant("m", "cfg_mix", {"call": call}), EVERY_OP, derive("torch", "torch", {}))


def test_a_function_that_torch_does_not_publish():
    mutant = Mutant("m", "relu", {"torch.nn.functional.rellu": abs})
    with pytest.raises(OpfuzzError, match=r"m: torch publishes no 'torch\.nn\.functional\.rellu'; did you mean"):
        plant(mutant, EVERY_OP, derive("torch", "torch", {}))
