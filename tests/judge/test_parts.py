"""Outputs judged part by part: the same figures as of the whole, and the whole where something is at fault."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from bundled_ops import BUNDLED_OPS

from opfuzz.core.call import Call
from opfuzz.core.results import Score
from opfuzz.judge.cut_calls import parts_of
from opfuzz.judge.score import score_each
from opfuzz.oracle.arithmetic import blocks
from opfuzz.oracle.reference import Reference, references_of
from opfuzz.spec import OpSpec

COUNT, WIDTH = 30, 8


def _reference(spec: OpSpec, x: np.ndarray) -> Reference:
    dims = dict(zip((dim.name for dim in spec.dims), x.shape, strict=True))
    params = {param.name: param.default for param in spec.params}
    arrays = {item.name: x if item.name == "x" else np.ones(x.shape[-1], np.float32) for item in spec.inputs}
    (reference,) = references_of(spec, Call("float32", dims, params, arrays, {}))
    return reference


def _outputs(reference: Reference) -> list[np.ndarray]:
    """The exact values rounded, and others a little off them."""
    rounded = reference.truth.hi.astype(np.float32)
    off = np.nextafter(rounded, np.float32(np.inf))
    return [rounded, np.where(np.arange(rounded.size).reshape(rounded.shape) % 7, rounded, off)]


def _both(spec: OpSpec, x: np.ndarray, outputs: list[np.ndarray], monkeypatch) -> tuple[list[Score], list[Score]]:
    whole = score_each(outputs, _reference(spec, x), [True] * len(outputs))
    monkeypatch.setattr(blocks, "BLOCK", 16)
    reference = _reference(spec, x)
    assert parts_of(reference.meaning) is not None
    return whole, score_each(outputs, reference, [True] * len(outputs))


def _assert_same(whole: Score, parts: Score) -> None:
    for name in ("ulp_total", "rms_ulp"):  # sums, in another order
        assert getattr(parts, name) == pytest.approx(getattr(whole, name), rel=1e-13)
    assert replace(parts, ulp_total=whole.ulp_total, rms_ulp=whole.rms_ulp) == whole


@pytest.mark.parametrize("op", ["exp", "silu", "gelu", "relu", "softmax", "layer_norm"])
def test_figures_are_those_of_the_whole(op, monkeypatch):
    spec = BUNDLED_OPS[op]
    x = np.random.default_rng(3).normal(size=(COUNT, WIDTH)).astype(np.float32)
    outputs = _outputs(_reference(spec, x))
    for whole, parts in zip(*_both(spec, x, outputs, monkeypatch), strict=True):
        _assert_same(whole, parts)


def test_special_values_are_met_in_any_part(monkeypatch):
    x = np.random.default_rng(4).normal(size=(COUNT, WIDTH)).astype(np.float32)
    x[7, 3], x[19, 0], x[28, 5] = np.inf, -np.inf, np.nan
    outputs = _outputs(_reference(BUNDLED_OPS["silu"], x))[:1]
    for whole, parts in zip(*_both(BUNDLED_OPS["silu"], x, outputs, monkeypatch), strict=True):
        _assert_same(whole, parts)


@pytest.mark.parametrize("wrong", [np.nan, 100.0])
def test_a_fault_in_the_last_part_is_judged_as_a_whole(wrong, monkeypatch):
    x = np.random.default_rng(5).normal(size=(COUNT, WIDTH)).astype(np.float32)
    (output, _) = _outputs(_reference(BUNDLED_OPS["exp"], x))
    output[-1, -1] = wrong
    ((whole,), (parts,)) = _both(BUNDLED_OPS["exp"], x, [output], monkeypatch)
    assert repr(parts) == repr(whole)  # NaN is not itself
    assert parts.verdict in ("special", "wrong")
    assert parts.deciding is not None
    assert parts.deciding.index == (COUNT - 1, WIDTH - 1)
