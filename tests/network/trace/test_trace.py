"""A fault planted in a faithful MLX model is traced to the module that it is in, and nothing else is accused."""

from __future__ import annotations

from pathlib import Path

import mlx.core as mx
import mlx.nn as mnn
import numpy as np
import pytest
import torch
from pairs import convnet, transformer

from opfuzz.core.errors import OpfuzzError
from opfuzz.network.trace.case import document
from opfuzz.network.trace.mlx import MlxModel
from opfuzz.network.trace.modules import CLEAN, CONTAINS, GUILTY, UNCOMPARED
from opfuzz.network.trace.pair import Models
from opfuzz.network.trace.torch import TorchModel
from opfuzz.network.trace.trace import trace

# One thread: the models are small, and the tests share the machine.
torch.set_num_threads(1)


def traced(a, b, inputs_a, inputs_b=None, names=None):
    sides = [TorchModel(m) if isinstance(m, torch.nn.Module) else MlxModel(m) for m in (a, b)]
    found = trace(Models(Path("pair.py"), *sides, (inputs_a, {}), (inputs_b or inputs_a, {}), names or {}))
    return found, {m.name_a: m for m in found.modules}


def weight_of(module, change):
    module.weight = mx.array(change(np.array(module.weight)).astype(np.float32))


def in_groups(bits, group):
    """Each group of neighbours rounded to 2^bits levels between its extremes."""

    def change(w):
        rows = w.reshape(-1, group)
        low = rows.min(1, keepdims=True)
        step = np.ptp(rows, axis=1, keepdims=True) / (2**bits - 1)
        return (low + step * np.rint((rows - low) / step)).reshape(w.shape)

    return change


def another(draw):
    return lambda w: np.random.default_rng(draw).uniform(-0.2, 0.2, w.shape)


def swap_weights(one, other):
    one.weight, other.weight = other.weight, one.weight


def bfloat16(module):
    module.weight = module.weight.astype(mx.bfloat16).astype(mx.float32)


def set_bias_to_zero(module):
    module.bias = mx.zeros_like(module.bias)


# what happens to the MLX model; the guilty module by its name in torch; words of the explanation
TRANSFORMER_FAULTS = {
    "eps 1e-3": (
        lambda b: setattr(b.layers[1].norm1, "eps", 1e-3),
        "layers.1.norm1",
        "eps is 1e-05 in a and 0.001 in b",
    ),
    "eps 1e-6": (
        lambda b: setattr(b.layers[2].norm2, "eps", 1e-6),
        "layers.2.norm2",
        "eps is 1e-05 in a and 1e-06 in b",
    ),
    "transposed": (lambda b: weight_of(b.layers[1].attn.v, np.transpose), "layers.1.attn.v", "weight transposed"),
    "no scale": (lambda b: setattr(b.layers[2].attn, "scale", 1.0), "layers.2.attn", "modules inside it are clean"),
    "start": (lambda b: weight_of(b.layers[0].ff.layers[0], another(5)), "layers.0.ff.0", "weight unrelated"),
    "norm start": (lambda b: weight_of(b.norm, np.ones_like), "norm", "weight is 1 everywhere"),
    "bfloat16": (lambda b: bfloat16(b.layers[3].attn.out), "layers.3.attn.out", "rounded to bfloat16"),
    "int4": (lambda b: weight_of(b.layers[3].ff.layers[2], in_groups(4, 32)), "layers.3.ff.2", "int4 in groups of 32"),
    "gelu": (
        lambda b: b.layers[1].ff.layers.__setitem__(1, mnn.GELU(approx="tanh")),
        "layers.1.ff.1",
        "something else",
    ),
    "activation": (
        lambda b: b.layers[2].ff.layers.__setitem__(1, mnn.SiLU()),
        "layers.2.ff.1",
        "a has GELU, b has SiLU",
    ),
    "bias lost": (lambda b: b.layers[0].attn.out.pop("bias"), "layers.0.attn.out", "bias is in a only"),
    "bias zero": (lambda b: set_bias_to_zero(b.head), "head", "bias is 0 everywhere"),
    "q and k": (
        lambda b: setattr(b.layers[1].attn, "_is_swapped", True),
        "layers.1.attn",
        "modules inside it are clean",
    ),
    "q for k": (
        lambda b: swap_weights(b.layers[1].attn.q, b.layers[1].attn.k),
        "layers.1.attn.q",
        "weight holds a's layers.1.attn.k.weight",
    ),
    "no residual": (lambda b: setattr(b.layers[2], "_has_residual", False), "layers.2", "modules inside it are clean"),
    "scaled": (lambda b: weight_of(b.embed, lambda w: w * 1.01), "embed", "weight scaled"),
}
CONV_FAULTS = {
    "padding": (lambda b: setattr(b.second.conv, "_padding", (0, 2)), "second.conv", "modules inside it are clean"),
    "padding both": (lambda b: setattr(b.first.conv, "_padding", (1, 1)), "first.conv", "modules inside it are clean"),
    "scrambled": (
        lambda b: weight_of(b.second.conv.conv, lambda w: w.transpose(0, 2, 1).reshape(w.shape)),
        "second.conv.conv",
        "weight scrambled",
    ),
    "groups": (lambda b: setattr(b.first.norm, "num_groups", 2), "first.norm", "num_groups is 4 in a and 2 in b"),
    "incompatible": (lambda b: setattr(b.second.norm, "pytorch_compatible", False), "second.norm", "weights are equal"),
    "half": (lambda b: weight_of(b.up, lambda w: w.astype(np.float16)), "up", "rounded to float16"),
    "kernel flipped": (lambda b: weight_of(b.first.conv.conv, lambda w: w[:, ::-1]), "first.conv.conv", "flipped"),
    "activation": (lambda b: setattr(b.second, "act", mnn.Mish()), "second.act", "a has SiLU, b has Mish"),
}


@pytest.mark.parametrize("fault", TRANSFORMER_FAULTS)
def test_a_fault_in_a_transformer_is_traced(fault):
    plant, guilty, words = TRANSFORMER_FAULTS[fault]
    a, b = transformer.models()
    plant(b)
    found, modules = traced(a, b, transformer.inputs())
    assert found.guilty[0] == guilty
    assert len(found.guilty) == (2 if fault == "q for k" else 1)
    assert words in modules[guilty].what
    around = {name for name, m in modules.items() if m.calls_a and (not name or guilty.startswith(f"{name}."))}
    accused = {m.name_a for m in found.modules if m.verdict == CONTAINS}
    assert accused <= around
    # Seen from outside, an eps of 1e-6 is no more than rounding.
    assert accused == around or fault == "eps 1e-6"


@pytest.mark.parametrize("fault", CONV_FAULTS)
def test_a_fault_in_a_conv_network_is_traced(fault):
    plant, guilty, words = CONV_FAULTS[fault]
    a, b = convnet.models()
    plant(b)
    found, modules = traced(a, b, *convnet.inputs())
    assert found.guilty == (guilty,)
    assert words in modules[guilty].what


@pytest.mark.parametrize("model", [transformer, convnet])
def test_a_faithful_pair_is_clean_both_ways(model):
    a, b = model.models()
    inputs = model.inputs()
    first, second = inputs if model is convnet else (inputs, inputs)
    for found, modules in (traced(a, b, first, second), traced(b, a, second, first)):
        assert found.guilty == found.unmatched_a == found.unmatched_b == ()
        assert all(m.verdict == CLEAN for m in found.modules if m.calls_a)
        # Half the allowance is not used: what is called guilty is no accident.
        assert max(m.excess for m in found.modules if m.calls_a) < 0.5
        assert not any(w.relation for m in found.modules for w in m.weights)
        assert modules[""].total < 1e-6


@pytest.mark.parametrize("kind", ["GELU", "SiLU", "Mish", "Tanh", "Sigmoid", "Softplus"])
def test_activations_of_two_frameworks_are_not_accused(kind):
    draw = np.random.default_rng(8).standard_normal((20, 30))
    for scale in (1e-3, 0.1, 1, 10, 100):
        a, b = getattr(torch.nn, kind)(), getattr(mnn, kind)()
        assert max(m.excess for pair in ((a, b), (b, a)) for m in traced(*pair, (draw * scale,))[0].modules) < 0.5


def test_mlx_selu_has_constants_of_six_digits():
    draw = np.random.default_rng(8).standard_normal((20, 30))
    _, modules = traced(torch.nn.SELU(), mnn.SELU(), (draw,))
    assert 1e-6 < modules[""].local < 1e-5
    assert modules[""].excess > 1


def test_a_model_in_half_precision_says_so():
    a, b = transformer.models()
    b.set_dtype(mx.bfloat16)
    found, modules = traced(a, b, transformer.inputs())
    assert found.guilty[0] == "embed"
    assert modules["layers.1.norm1"].what.endswith("b gives bfloat16, a float32")
    # Faithful in a half format: what rounding does there is measured, and not taken for a fault.
    a.to(torch.bfloat16)
    assert traced(a, b, transformer.inputs())[0].guilty == ()


def test_the_captured_call_shows_the_fault():
    a, b = transformer.models()
    b.layers[1].norm1.eps = 1e-3
    captured = traced(a, b, transformer.inputs())[0].captured
    x, weight, bias = captured.inputs["0"], captured.weights["a.weight"], captured.weights["a.bias"]
    wide = x.astype(np.float64)
    normal = (wide - wide.mean(-1, keepdims=True)) / np.sqrt(wide.var(-1, keepdims=True) + 1e-5) * weight + bias
    np.testing.assert_allclose(captured.outputs["exact.0"], normal, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(captured.outputs["a.0"], normal, atol=1e-5)
    assert np.abs(captured.outputs["b.0"] - normal).max() > 1e-4


class Twice(torch.nn.Module):
    """One module called twice, one without parameters, an output that is a tuple with None in it."""

    def __init__(self, factor=1.0):
        super().__init__()
        self.shared, self.act = torch.nn.Linear(8, 8), torch.nn.Tanh()
        self.split = Halves(factor)

    def forward(self, x, scale=1.0):
        y, (z, _) = self.split(self.shared(self.act(self.shared(x))) * scale)
        return {"sum": y + z, "parts": [y, z, None]}


class Halves(torch.nn.Module):
    def __init__(self, factor):
        super().__init__()
        self.factor = factor

    def forward(self, x):
        y, z = x.chunk(2, -1)
        return y, (z * self.factor, None)


class MlxTwice(mnn.Module):
    def __init__(self):
        super().__init__()
        self.shared, self.act, self.split = mnn.Linear(8, 8), mnn.Tanh(), MlxHalves()

    def __call__(self, x, scale=1.0):
        y, z = self.split(self.shared(self.act(self.shared(x))) * scale)
        return y + z, y, z


class MlxHalves(mnn.Module):
    def __call__(self, x):
        return mx.split(x, 2, axis=-1)


def twice():
    torch.manual_seed(2)
    a, b = Twice(), MlxTwice()
    b.shared.weight, b.shared.bias = (mx.array(p.detach().numpy()) for p in a.shared.parameters())
    return a, b


def test_a_module_called_twice_and_outputs_in_tuples():
    x = np.random.default_rng(3).standard_normal((5, 8))
    a, b = twice()
    found, modules = traced(a, b, (x,))
    assert found.guilty == ()
    assert modules["shared"].calls_a == modules["shared"].calls_b == 2
    b.shared.weight = b.shared.weight.T
    assert traced(a, b, (x,))[0].guilty == ("shared",)


def test_torch_against_torch_and_mlx_against_mlx():
    x = np.random.default_rng(3).standard_normal((5, 8))
    torch.manual_seed(2)
    other = Twice(factor=1.00001)
    found, modules = traced(twice()[0], other, (x,))
    assert found.guilty == ("split",)
    assert modules["split"].what == "factor is 1.0 in a and 1.00001 in b"
    one, two = twice()[1], twice()[1]
    assert traced(one, two, (x,))[0].guilty == ()
    two.act = mnn.Sigmoid()
    found, modules = traced(one, two, (x,))
    assert found.guilty == ("act",)
    assert modules[""].verdict == CONTAINS


def test_a_layer_that_draws_random_numbers_is_not_accused():
    class Noisy(torch.nn.Module):
        def forward(self, x):
            return x + torch.randn_like(x)

    x = np.random.default_rng(3).standard_normal((5, 8))
    found, modules = traced(Noisy(), Noisy(), (x,))
    assert found.guilty == ()
    assert "random numbers" in modules[""].what


def test_a_norm_that_computes_in_float32_by_itself_is_run_exactly_too():
    class Norm(torch.nn.Module):
        def __init__(self, eps):
            super().__init__()
            self.eps, self.weight = eps, torch.nn.Parameter(torch.linspace(0.5, 2, 64))

        def forward(self, x):
            y = x.float()
            return (y * torch.rsqrt(y.pow(2).mean(-1, keepdim=True) + self.eps)).type_as(x) * self.weight

    x = np.random.default_rng(4).standard_normal((40, 64))
    b = mnn.RMSNorm(64, eps=1e-5)
    b.weight = mx.array(np.linspace(0.5, 2, 64, dtype=np.float32))
    assert traced(Norm(1e-5), b, (x,))[0].guilty == ()
    assert traced(Norm(1e-6), b, (x,))[0].guilty == ("",)


def test_a_quantised_layer_says_how_many_bits():
    a, b = transformer.models()
    mnn.quantize(b, group_size=32, bits=4, class_predicate=lambda name, m: name == "layers.1.ff.layers.2")
    found, modules = traced(a, b, transformer.inputs())
    assert found.guilty == ("layers.1.ff.2",)
    assert "int4 in groups of 32" in modules["layers.1.ff.2"].what


def test_a_call_that_raises_inside_a_model_is_passed_over():
    class Picky(torch.nn.Module):
        def forward(self, x):
            raise ValueError

    class Tolerant(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.picky, self.act = Picky(), torch.nn.ReLU()

        def forward(self, x):
            try:
                return self.picky(x)
            except ValueError:
                return self.act(x)

    x = np.random.default_rng(7).standard_normal((5, 8))
    found, modules = traced(Tolerant(), Tolerant(), (x,))
    assert (found.guilty, modules["act"].calls_a, modules["picky"].calls_a) == ((), 1, 0)


def test_the_models_are_left_as_they_were():
    a, b = transformer.models()
    kinds = [type(m) for _, m in b.named_modules()]
    traced(a, b, transformer.inputs())
    assert [type(m) for _, m in b.named_modules()] == kinds
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in a.modules())
    with pytest.raises(OpfuzzError, match="b raised"):
        traced(a, b, transformer.inputs(), (np.zeros((2, 3, 4, 5)),))
    assert [type(m) for _, m in b.named_modules()] == kinds
    assert not any(m.verdict == GUILTY for m in traced(a, b, transformer.inputs())[0].modules)


def test_layouts_are_told_apart_where_all_axes_have_one_length():
    a, b = convnet.models()
    x = np.random.default_rng(5).standard_normal((2, convnet.CHANNELS, convnet.WIDTH), np.float32)
    found, _ = traced(a, b, (x,), (x.transpose(0, 2, 1),))
    assert found.guilty == ()
    b.second.norm.eps = 1e-3
    assert traced(a, b, (x,), (x.transpose(0, 2, 1),))[0].guilty == ("second.norm",)


def test_names_that_differ_are_mapped():
    class Renamed(torch.nn.Module):
        def __init__(self, original):
            super().__init__()
            self.erste, self.zweite = original[1], original[0]

        def forward(self, x):
            return self.erste(self.zweite(x))

    torch.manual_seed(6)
    a = torch.nn.Sequential(torch.nn.Linear(8, 8), torch.nn.Linear(8, 8))
    x = np.random.default_rng(6).standard_normal((5, 8))
    for names in ({}, {"0": "zweite", "1": "erste"}):
        found, modules = traced(a, Renamed(a), (x,), names=names)
        assert found.guilty == ()
        assert modules["0"].name_b == "zweite"
    found, modules = traced(a, Renamed(a), (x,), names={"0": "erste", "1": "zweite"})
    assert found.guilty == ()
    assert "around it is clean" in modules["0"].what


def test_inputs_that_differ_are_no_fault_of_a_module():
    a, b = transformer.models()
    tokens = transformer.inputs()[0]
    found, modules = traced(a, b, (tokens,), ((tokens + 1) % transformer.TOKENS,))
    assert found.guilty == ()
    assert modules["layers.0"].inherited > 0.5
    assert modules[""].total > 0.5


def test_a_weight_that_holds_nan_is_said_to():
    a, b = torch.nn.Linear(3, 2), torch.nn.Linear(3, 2)
    b.load_state_dict(a.state_dict())
    with torch.no_grad():
        b.weight[1] = float("nan")
    found, modules = traced(a, b, (np.ones((4, 3), np.float32),))
    value = f"{a.weight[1, 0].item():g}"
    assert found.guilty == ("",)
    assert modules[""].what == f"weight is nan where a is {value}, at [1, 0] and 2 other places"


def test_nothing_but_nan_is_no_agreement():
    a = torch.nn.Sequential(torch.nn.Linear(3, 2))
    found, modules = traced(a, a, (np.full((4, 3), np.nan, np.float32),))
    assert {m.verdict for m in modules.values()} == {UNCOMPARED}
    assert document(found)["verdict"] == UNCOMPARED
