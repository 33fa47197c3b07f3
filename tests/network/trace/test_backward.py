"""Traces of gradients: of a faithful pair nobody is accused, of one with a fault the module that has it."""

from __future__ import annotations

import mlx.core as mx
import mlx.nn as mnn
import numpy as np
import pytest
import torch
from gradient_traces import X, relu_with, traced, what, with_vjp
from pairs import convnet, transformer
from pairs.small_transformer import mlx_net, torch_net
from torch import nn

from opfuzz.core.errors import OpfuzzError

# Faults of MLX, in its own words: `custom_function` with another vjp.


class LayerNorm(mnn.LayerNorm):
    """Nothing is handed back through its variance, or d/dweight is a mean over the batch, or d/dbias is lost."""

    fault = ""

    def __call__(self, x):
        def usual(x, weight, bias):
            return mx.fast.layer_norm(x, weight, bias, self.eps)

        def written_out(x, weight, bias):
            centred = x - mx.mean(x, -1, keepdims=True)
            variance = mx.mean(centred * centred, -1, keepdims=True)
            variance = mx.stop_gradient(variance) if self.fault == "variance" else variance
            return centred * mx.rsqrt(variance + self.eps) * weight + bias

        def back(primals, g, _):
            dx, dweight, dbias = mx.vjp(written_out, list(primals), [g])[1]
            if self.fault == "weight":
                dweight = dweight / x.shape[0]
            return dx, dweight, mx.zeros_like(dbias) if self.fault == "bias" else dbias

        return with_vjp(usual, back)(x, self.weight, self.bias)


class Linear(mnn.Linear):
    """Whose d/dweight is that of another row of the batch."""

    def __call__(self, x):
        def back(primals, g, _):
            x, weight, _ = primals
            turned = mx.flatten(x[::-1], 0, -2)
            return g @ weight, mx.flatten(g, 0, -2).T @ turned, mx.sum(g, axis=(0, 1))

        return with_vjp(lambda x, weight, bias: x @ weight.T + bias, back)(x, self.weight, self.bias)


class GELU(mnn.GELU):
    """Whose gradient is that of the tanh approximation."""

    def __call__(self, x):
        def back(primals, g, _):
            return mx.vjp(mnn.gelu_approx, [primals], [g])[1][0]

        return with_vjp(lambda x: mnn.gelu(x), back)(x)


def softmax(x, axis):
    """Whose gradient lacks the sum over the row."""
    return with_vjp(lambda x: mx.softmax(x, axis=axis), lambda x, g, y: y * g)(x)


def fault_of(kind, **fields):
    def plant(module):
        module.__class__ = kind
        for name, value in fields.items():
            object.__setattr__(module, name, value)

    return plant


def attention_without_sum(module):
    object.__setattr__(module, "softmax", softmax)
    module["softmax"] = softmax


PLANTED = [
    ("blocks.1.norm2", fault_of(LayerNorm, fault="variance"), "d/dx: no gradient through "),
    ("blocks.0.norm1", fault_of(LayerNorm, fault="weight"), "d/dweight "),
    ("blocks.2.norm1", fault_of(LayerNorm, fault="bias"), "d/dbias: the gradient of no-bias"),
    ("blocks.0.fc1", fault_of(Linear), "d/dweight is off by"),
    ("head", fault_of(Linear), "d/dweight is off by"),
    ("blocks.2.act", fault_of(GELU), "the gradient of tanh"),
    ("blocks.1.attn", attention_without_sum, "d/d"),
]


def module_at(net, name):
    for word in name.split("."):
        net = net[int(word)] if word.isdecimal() else net[word]
    return net


@pytest.mark.parametrize(("name", "plant", "words"), PLANTED, ids=[f"{n}-{i}" for i, (n, _, _) in enumerate(PLANTED)])
def test_the_module_with_a_wrong_way_back_is_named_and_no_other(name, plant, words):
    a = torch_net()
    b = mlx_net(a)
    plant(module_at(b, name))
    found = traced(a, b)
    assert found.guilty == (name,)
    assert words in what(found, name)
    assert found.values_differ == ()
    assert found.captured is not None


def test_of_a_faithful_pair_nobody_is_accused():
    a = torch_net()
    for first, second in ((a, mlx_net(a)), (mlx_net(a), a), (a, torch_net())):
        found = traced(first, second)
        assert found.guilty == ()
        assert {m.verdict for m in found.modules} <= {"clean", "not called"}
    assert [m.name_a for m in found.modules if m.calls_a][:3] == ["", "head", "blocks.2"]


def test_the_first_in_backward_order_comes_first():
    a = torch_net()
    b = mlx_net(a)
    for name in ("blocks.0.norm1", "blocks.2.norm2"):
        fault_of(LayerNorm, fault="bias")(module_at(b, name))
    assert traced(a, b).guilty == ("blocks.2.norm2", "blocks.0.norm1")


# Faults of torch.


def convolutions(act):
    torch.manual_seed(1)
    return nn.Sequential(
        nn.Conv1d(3, 8, 3), act, nn.Conv1d(8, 8, 3, groups=2), nn.ReLU(), nn.Flatten(), nn.Linear(24, 2)
    )


def test_a_fault_of_torch_is_found_beside_torch():
    assert traced(convolutions(nn.ReLU()), convolutions(nn.ReLU()), X).guilty == ()
    found = traced(convolutions(nn.ReLU()), convolutions(relu_with(lambda x, g: g * (x > 0) / 2)), X)
    assert found.guilty == ("1",)
    assert "b is 0.5 a" in what(found, "1") or "scaled" in what(found, "1")


def test_what_differs_already_in_its_values_is_said_to():
    a, b = torch_net(), torch_net()
    b.blocks[1].norm1.eps = 1e-2
    found = traced(a, b)
    assert found.guilty == ("blocks.1.norm1",)
    assert what(found, "blocks.1.norm1").startswith("its values differ already: eps is 1e-05 in a and 0.01 in b")
    assert found.values_differ == ("blocks.1.norm1",)


def test_a_model_without_gradients_is_told_so():
    class Constant(nn.Module):
        def forward(self, x):
            return torch.argmax(x, -1)

    with pytest.raises(OpfuzzError, match="nothing can be differentiated"):
        traced(Constant(), Constant(), X)

    class Frozen(torch.autograd.Function):
        @staticmethod
        def forward(context, x):
            return x * 2

    class Stubborn(nn.Module):
        def forward(self, x):
            return Frozen.apply(x.requires_grad_())

    with pytest.raises(OpfuzzError, match="a cannot be differentiated: NotImplementedError"):
        traced(nn.Sequential(nn.Linear(7, 7), Stubborn()), nn.Sequential(nn.Linear(7, 7), Stubborn()), X)


@pytest.mark.parametrize("kind", ["GELU", "SiLU", "Mish", "Tanh", "Sigmoid", "Softplus", "ReLU", "LeakyReLU", "PReLU"])
def test_activations_of_two_frameworks_are_not_accused_even_at_zero(kind):
    x = np.random.default_rng(8).standard_normal((20, 30)).astype(np.float32)
    x[0] = 0
    for scale in (1e-3, 1, 30):
        assert traced(getattr(nn, kind)(), getattr(mnn, kind)(), (x * np.float32(scale),)).guilty == ()


@pytest.mark.parametrize("model", [transformer, convnet])
def test_faithful_pairs_in_any_layout_are_clean(model):
    a, b = model.models()
    given = model.inputs()
    first, second = given if model is convnet else (given, given)
    for found in (traced(a, b, first, second), traced(b, a, second, first)):
        assert found.guilty == ()
        # Half the allowance is not used: what is called guilty is no accident.
        assert max(m.excess for m in found.modules if m.calls_a) < 0.5
        assert next(m for m in found.modules if not m.name_a).total < 1e-5


class Tied(nn.Module):
    """One table for words in and out, tied or not."""

    def __init__(self, is_tied):
        super().__init__()
        torch.manual_seed(2)
        self.embed, self.norm, self.head = nn.Embedding(11, 16), nn.LayerNorm(16), nn.Linear(16, 11, bias=False)
        if is_tied:
            self.head.weight = self.embed.weight
        else:
            self.head.weight.data = self.embed.weight.data.clone()

    def forward(self, ids):
        return self.head(self.norm(self.embed(ids)))


@pytest.mark.parametrize("tied", [(True, False), (False, True), (True, True)])
def test_a_weight_that_is_tied_on_one_side_is_no_fault(tied):
    found = traced(*map(Tied, tied))
    assert found.guilty == ()
    assert {m.name_a: m.verdict for m in found.modules if m.name_a}["embed"] == "clean"


def test_an_input_by_which_one_side_has_no_gradient_is_left_out():
    """MLX refuses all gradients where one input is made bool on the way."""

    class Masked(nn.Module):
        def __init__(self):
            super().__init__()
            self.linear = nn.Linear(3, 4)

        def forward(self, x, mask):
            return torch.where(mask > 0, self.linear(x), 0.0)

    class MaskedToo(mnn.Module):
        def __init__(self):
            super().__init__()
            self.linear = mnn.Linear(3, 4)

        def __call__(self, x, mask):
            return mx.where(mask.astype(mx.bool_), self.linear(x), 0.0)

    torch.manual_seed(0)
    a, b = Masked(), MaskedToo()
    b.load_weights([(name, mx.array(p.detach().numpy())) for name, p in a.named_parameters()])
    numbers = np.random.default_rng(0)
    mask = (np.arange(5) % 2).astype(np.float32)[:, None]
    found = traced(a, b, (numbers.standard_normal((5, 3)).astype(np.float32), mask))
    assert [module.verdict for module in found.modules] == ["clean", "clean"]
