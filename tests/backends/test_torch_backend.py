"""What is particular to torch."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import numpy as np
import pytest

from opfuzz.backends import Subject, derive, discover, perform
from opfuzz.backends.torch import EVALUATED
from opfuzz.core.call import Call
from opfuzz.spec.expression.program import parse

torch = pytest.importorskip("torch")
TORCH = discover()["torch"]


@pytest.mark.parametrize(
    ("layout", "stride", "offset"),
    [
        ("contiguous", (12, 4, 1), 0),
        ("transposed", (12, 1, 3), 0),
        ("permuted", (1, 2, 6), 0),
        ("offset", (12, 4, 1), 12),
        ("narrowed", (18, 6, 1), 1),
        ("stepped", (24, 8, 2), 0),
        ("broadcast", (0, 4, 1), 0),
    ],
)
@pytest.mark.parametrize("dtype", [np.float32, np.int64])
def test_layouts_are_real(layout, stride, offset, dtype):
    array = np.broadcast_to(np.arange(12).reshape(1, 3, 4), (2, 3, 4)).astype(dtype)
    tensor = TORCH.put(array, layout, "cpu")
    assert (tensor.stride(), tensor.storage_offset()) == (stride, offset)
    assert np.array_equal(TORCH.get(tensor), array)


@pytest.mark.filterwarnings("ignore:dropout2d")  # of what an array of three axes is taken for
@pytest.mark.parametrize("name", [*EVALUATED])
def test_what_is_random_in_training_is_published_for_evaluation_alone(name):
    function, x = TORCH.functions()[f"torch.nn.functional.{name}"], torch.arange(30.0).reshape(2, 3, 5)
    assert function is not getattr(torch.nn.functional, name)
    assert torch.equal(function(x, 0.25, training=False), x)
    for settings in ({}, {"training": True}, {"training": 1}, {"training": 0}, {"training": None}):
        with pytest.raises((TypeError, ValueError), match="training"):
            function(x, 0.25, **settings)
    with pytest.raises(TypeError):  # by place it is given twice
        function(x, 0.25, 0.5, True, training=False)


def test_a_leaky_slope_that_is_drawn_in_training_is_its_mean():
    x = torch.arange(5.0)
    assert torch.equal(TORCH.functions()["torch.nn.functional.rrelu"](-x, 0.25, 0.75, training=False), -x / 2)


def test_published_names_resolve_to_torchs_own_objects():
    functions = TORCH.functions()
    assert functions["torch.nn.functional.layer_norm"] is torch.nn.functional.layer_norm
    assert functions["torch.linspace"] is torch.linspace
    assert {"torch.matmul", "torch.special.expit", "torch.nn.functional.conv1d", "torch.where"} <= set(functions)


def test_what_has_no_kernel_is_unsupported():
    program = parse("torch.special.airy_ai(x)", names=None, functions=TORCH.functions())
    arrays = {"x": np.ones((2,), np.float16)}
    outcome = perform(TORCH, Subject("torch", "cpu"), program, Call("float16", {}, {}, arrays, {}), {"": (2,)})
    assert outcome.status == "unsupported"
    assert "not implemented for 'Half'" in outcome.cause.figures["words"]


def test_too_much_memory():
    program = parse("torch.zeros((n, n), dtype=dtype)", names=None, functions=TORCH.functions())
    call, shape = Call("float32", {"n": 2**30}, {}, {}, {}), (2**30, 2**30)
    outcome = perform(TORCH, Subject("torch", "cpu"), program, call, {"": shape})
    assert outcome.status == "out-of-memory"


def test_a_compiled_call_is_one_graph(monkeypatch):
    """Compiled without generating code, which takes seconds and a C++ compiler; a break in the graph would raise."""
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend="eager", fullgraph=True))
    backend = derive("torch", name="bad", replace={"torch.relu": lambda x: x * 3})
    program = parse("y = torch.relu(x)\ny + k", names=None, functions=backend.functions())
    arrays, names = {"x": np.ones((2, 3), np.float32)}, {"k": 1}
    subject = Subject.parse("bad:cpu+compile")
    outcome = perform(backend, subject, program, Call("float32", {}, names, arrays, {}), {"": (2, 3)})
    assert outcome.status == "ok", outcome.cause
    assert (outcome.outputs[0] == 4).all()


def test_threads():
    before = torch.get_num_threads()
    try:
        TORCH.limit_threads(1)
        assert torch.get_num_threads() == 1
    finally:
        TORCH.limit_threads(before)


@pytest.mark.filterwarnings("ignore:torch.quantize_per_tensor")
def test_int8_linear_dynamic_is_the_module():
    generator = torch.Generator().manual_seed(3)
    x, bias = torch.randn(5, 24, generator=generator), torch.randn(7, generator=generator)
    codes = torch.randint(-128, 128, (7, 24), generator=generator)
    layer = torch.ao.nn.quantized.dynamic.Linear(24, 7)
    layer.set_weight_bias(torch._make_per_tensor_quantized_tensor(codes.to(torch.int8), 0.05, 0), bias)
    made = TORCH.functions()["int8_linear_dynamic"](x, codes, torch.tensor([0.05]).double(), bias)
    assert torch.equal(made, layer(x))


def test_a_compiled_call_is_compiled_once_for_all_sizes(monkeypatch):
    made = []

    def counting(graph, inputs):
        made.append(graph)
        return graph.forward

    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend=counting, fullgraph=True))
    backend = type(TORCH)("sized")
    text = "torch.nn.functional.layer_norm(x, [d], eps=eps)"
    program = replace(parse(text, names=None, functions=backend.functions()), sizes=(("d", "x", 1),))
    for shape, eps in (((2, 3), 1e-5), ((3, 3), 1e-5), ((1, 4), 1e-5), ((5, 7), 1e-5), ((5, 7), 1.0)):
        x = np.random.default_rng(0).normal(size=shape).astype(np.float32)
        call = Call("float32", {"d": shape[1]}, {"eps": eps}, {"x": x}, {})
        compiled, eager = (
            perform(backend, Subject.parse(f"sized:cpu{mode}"), program, call, {"": shape}) for mode in ("+compile", "")
        )
        assert compiled.status == "ok", compiled.cause
        assert np.array_equal(compiled.outputs[0], eager.outputs[0])
    assert len(made) == 2  # one of each parameter
    backend.rest()
    perform(backend, Subject.parse("sized:cpu+compile"), program, call, {"": shape})
    assert len(made) == 3
