"""The dispatcher: what it binds, what it gives back, and what it says of a call that does not fit."""

from __future__ import annotations

import re

import numpy as np
import pytest
import several_outputs
from bundled_ops import BUNDLED_OPS

from opfuzz.core.errors import OpfuzzError
from opfuzz.network.pipeline.dispatch import Dispatcher

OPS = ("linear", "layer_norm", "cosine_schedule", "time_embedding", "cfg_mix", "group_norm", "gelu")


def zeros(*shape):
    return np.zeros(shape, np.float32)


@pytest.fixture
def calls():
    return []


@pytest.fixture
def run(calls):
    def compute(call):
        calls.append(call)
        return np.full(call.shape, call.number, np.float32)

    return Dispatcher(BUNDLED_OPS, compute)


def test_sizes_come_from_shapes_and_params_from_the_spec(run, calls):
    run("linear", x=zeros(2, 3, 4), weight=zeros(5, 4), bias=zeros(5), role="query", at="block.to_q")
    run("layer_norm", x=zeros(6, 4), weight=zeros(4), bias=zeros(4))
    linear, norm = calls
    assert linear.dims == {"batch": 2, "length": 3, "d_in": 4, "d_out": 5}
    assert (linear.op, linear.role, linear.at, linear.number, linear.shape) == (
        "linear",
        "query",
        "block.to_q",
        0,
        (2, 3, 5),
    )
    assert (norm.role, norm.at, norm.params) == ("layer_norm", "call 1", {"eps": 1e-5})


@pytest.mark.parametrize(
    ("given", "inner", "out"),
    [
        ((4,), (1, 4), (4,)),
        ((3, 4), (3, 4), (3, 4)),
        ((2, 3, 4), (6, 4), (2, 3, 4)),
        ((2, 1, 3, 4), (6, 4), (2, 1, 3, 4)),
    ],
)
def test_axes_before_the_others_are_a_batch_and_come_back(run, calls, given, inner, out):
    result = run("layer_norm", x=zeros(*given), weight=zeros(4), bias=zeros(4), eps=1e-3)
    assert (calls[0].arrays["x"].shape, result.shape, calls[0].params) == (inner, out, {"eps": 1e-3})


def test_a_size_that_no_input_tells_is_given_by_name(run, calls):
    assert run("cosine_schedule", steps=10).shape == (11,)
    assert run("time_embedding", t=zeros(2), half=8).shape == (2, 16)
    assert calls[0].dims == {"steps": 10}


@pytest.mark.parametrize(
    ("op", "given", "message"),
    [
        ("linaer", {}, "op 'linaer' at here: no spec of this name; did you mean 'linear'?"),
        ("gelu", {"y": 1}, "op 'gelu' at here: it has no input, dim or param 'y'"),
        ("layer_norm", {"x": zeros(1, 4)}, "op 'layer_norm' at here: the input 'weight' is missing"),
        ("cosine_schedule", {}, "op 'cosine_schedule' at here: no input tells the size steps; give it by name"),
        (
            "layer_norm",
            {"x": zeros(1, 4), "weight": zeros(5), "bias": zeros(4)},
            "op 'layer_norm' at here: d is 4, but 5 in 'weight'",
        ),
        (
            "layer_norm",
            {"x": zeros(1, 4), "weight": zeros(1, 4), "bias": zeros(4)},
            "op 'layer_norm' at here: 'weight' has the shape [1, 4], the spec says 1 axes",
        ),
        (
            "cfg_mix",
            {"c": zeros(2, 3, 4), "u": zeros(3, 2, 4)},
            "op 'cfg_mix' at here: its inputs have batches [2, 3] and [3, 2]",
        ),
        ("gelu", {"x": np.zeros((1, 2))}, "op 'gelu' at here: 'x' is float64; a pipeline computes in float32"),
    ],
)
def test_a_call_that_does_not_fit_is_refused(run, op, given, message):
    with pytest.raises(OpfuzzError, match=re.escape(message)):
        run(op, at="here", **given)


def test_what_the_spec_requires_holds(run):
    given = {"x": zeros(1, 6, 4), "weight": zeros(6), "bias": zeros(6)}
    with pytest.raises(
        OpfuzzError, match=r"inputs x \[1, 6, 4\], .* do not fit the spec .*group_norm.yaml with .*groups = 4"
    ):
        run("group_norm", groups=4, **given)


def test_what_is_recorded_is_a_copy_under_a_name_of_its_own(run):
    array = zeros(2)
    run.record("state", array)
    array += 1
    assert not run.recorded["state"].any()
    with pytest.raises(OpfuzzError, match="there is a tensor 'state' already"):
        run.record("state", array)


def test_an_op_that_returns_a_tuple_is_refused_by_name(calls):
    run = Dispatcher(several_outputs.SPECS, calls.append)
    with pytest.raises(OpfuzzError, match=r"'split' at head: it returns a tuple \(y, mean\); a pipeline takes"):
        run("split", x=zeros(2, 3), at="head")
    assert calls == []
