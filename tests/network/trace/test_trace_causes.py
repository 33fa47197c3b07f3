"""What a guilty module computes instead is named where a reading of its calls gives it, and else nothing is said."""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path

import mlx.core as mx
import mlx.nn as mnn
import numpy as np
import pytest
import torch
from bundled_ops import BUNDLED_OPS
from torch import nn
from torch.nn import functional as f

from opfuzz.engine.drivers.pipeline_bench import meaning
from opfuzz.network.trace.causes import Knowledge
from opfuzz.network.trace.layouts import Habits, TensorSource, layouts_of
from opfuzz.network.trace.mlx import MlxModel
from opfuzz.network.trace.pair import Models
from opfuzz.network.trace.recording import ModuleCall
from opfuzz.network.trace.torch import TorchModel
from opfuzz.network.trace.trace import trace

torch.set_num_threads(1)
WIDTH, HEADS = 16, 4
KNOWN = Knowledge(BUNDLED_OPS, meaning)


def traced(a, b, *inputs, known=KNOWN):
    sides = [TorchModel(m) if isinstance(m, nn.Module) else MlxModel(m) for m in (a, b)]
    found = trace(Models(Path("pair.py"), *sides, (inputs, {}), (inputs, {}), {}), known)
    return found, {m.name_a: m for m in found.modules}


def numbers(*shape):
    return np.random.default_rng(3).standard_normal(shape).astype(np.float32)


class Rotary(nn.Module):
    """Causal attention with grouped keys and a rotation of halves."""

    def __init__(self):
        super().__init__()
        self.q, self.k, self.v = nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, WIDTH // 2), nn.Linear(WIDTH, WIDTH // 2)
        self.out = nn.Linear(WIDTH, WIDTH)
        self.register_buffer("rates", 1 / 100 ** (torch.arange(0, 4, 2) / 4), persistent=False)

    def turn(self, x):
        angles = torch.arange(x.shape[-2])[:, None].float() * self.rates
        angles = torch.cat((angles, angles), -1)
        first, second = x.chunk(2, -1)
        return x * angles.cos() + torch.cat((-second, first), -1) * angles.sin()

    def forward(self, x):
        q, k, v = (g(x).unflatten(-1, (-1, 4)).transpose(1, 2) for g in (self.q, self.k, self.v))
        k, v = (y.repeat_interleave(2, 1) for y in (k, v))
        y = f.scaled_dot_product_attention(self.turn(q), self.turn(k), v, is_causal=True)
        return self.out(y.transpose(1, 2).flatten(-2))


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.norm, self.attend, self.last = nn.LayerNorm(WIDTH), Rotary(), nn.LayerNorm(WIDTH)
        self.up, self.down = nn.Linear(WIDTH, 2 * WIDTH), nn.Linear(WIDTH, WIDTH)

    def forward(self, x):
        x = x + self.attend(self.norm(x))
        gate, value = self.up(self.last(x)).chunk(2, -1)
        return x + self.down(f.silu(gate) * value)


class PortRotary(mnn.Module):
    def __init__(self):
        super().__init__()
        self.q, self.k, self.v = mnn.Linear(WIDTH, WIDTH), mnn.Linear(WIDTH, WIDTH // 2), mnn.Linear(WIDTH, WIDTH // 2)
        self.out = mnn.Linear(WIDTH, WIDTH)
        self._rope, self._fault = mnn.RoPE(4, base=100), ""

    def __call__(self, x):
        n = x.shape[1]
        q, k, v = (g(x).reshape(1, n, -1, 4).transpose(0, 2, 1, 3) for g in (self.q, self.k, self.v))
        if self._fault == "split":
            q = self.q(x).reshape(1, n, 4, -1).transpose(0, 3, 1, 2)
        repeated = (lambda y: mx.tile(y, (1, 2, 1, 1))) if self._fault == "tiled" else (lambda y: mx.repeat(y, 2, 1))
        q, k = self._rope(q), self._rope(k)
        scale = {"scale": 1.0, "odd": 0.37}.get(self._fault, 0.5)
        scores = (q @ repeated(k).swapaxes(-1, -2)) * scale
        i = mx.arange(n)
        seen = i[None] <= i[:, None]
        if self._fault == "window":
            seen = seen & (i[None] > i[:, None] - 3)
        scores = mx.where(mx.ones_like(seen) if self._fault == "unmasked" else seen, scores, -mx.inf)
        axis = -2 if self._fault == "queries" else -1
        y = mx.softmax(scores, axis=axis) @ repeated(v)
        return self.out(y.transpose(0, 2, 1, 3).reshape(1, n, -1))


class PortBlock(mnn.Module):
    def __init__(self):
        super().__init__()
        self.norm, self.attend, self.last = mnn.LayerNorm(WIDTH), PortRotary(), mnn.LayerNorm(WIDTH)
        self.up, self.down = mnn.Linear(WIDTH, 2 * WIDTH), mnn.Linear(WIDTH, WIDTH)
        self._fault = ""

    def __call__(self, x):
        y = self.attend(x if self._fault == "unnormed" else self.norm(x))
        x = y if self._fault == "residual" else x + y
        gate, value = mx.split(self.up(self.last(x)), 2, axis=-1)
        if self._fault == "halves":
            gate, value = value, gate
        act = mnn.gelu if self._fault == "gelu" else mnn.silu
        y = self.down(act(gate) * value)
        return x + y * 0.7 if self._fault == "factor" else x + y


def models():
    torch.manual_seed(0)
    a, b = Block(), PortBlock()
    with torch.no_grad():
        for p in a.parameters():
            p.add_(0.3 * torch.randn_like(p))
    b.load_weights([(name, mx.array(p.detach().numpy())) for name, p in a.named_parameters()])
    return a.eval(), b


def in_attention(fault):
    return lambda b: setattr(b.attend, "_fault", fault)


def around(fault):
    return lambda b: setattr(b, "_fault", fault)


FAULTS = {
    "split": (in_attention("split"), "attend", "an axis is split as [4, 4]"),
    "tiled": (in_attention("tiled"), "attend", "repeated as a whole, not one by one"),
    "scale": (in_attention("scale"), "attend", "attention: the scale is missing"),
    "odd": (in_attention("odd"), "attend", "the scale of attention is 0.37, not 0.5"),
    "window": (in_attention("window"), "attend", "a query sees the last 3 keys only"),
    "unmasked": (in_attention("unmasked"), "attend", "attention: the mask is not applied"),
    "queries": (in_attention("queries"), "attend", "attention: softmax runs over the queries"),
    "neighbours": (
        lambda b: setattr(b.attend, "_rope", mnn.RoPE(4, traditional=True, base=100)),
        "attend",
        "RoPE turns neighbouring channels, not halves",
    ),
    "base": (lambda b: setattr(b.attend, "_rope", mnn.RoPE(4, base=5000)), "attend", "RoPE's base is 5000, not 100"),
    "unnormed": (around("unnormed"), "", "norm is left out"),
    "residual": (around("residual"), "", "the input 'x' is not added"),
    "halves": (around("halves"), "", "the parts of chunk are taken in the order 2, 1"),
    "gelu": (around("gelu"), "", "gelu instead of silu"),
    "factor": (around("factor"), "", "what down gives is multiplied by 0.7"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_of_computation_is_named(fault):
    plant, guilty, words = FAULTS[fault]
    a, b = models()
    plant(b)
    found, modules = traced(a, b, numbers(1, 9, WIDTH))
    assert found.guilty == (guilty,)
    m = modules[guilty]
    assert words in m.cause
    assert m.residual < 1e-5 < m.local / 100


def test_the_faithful_pair_is_clean():
    assert traced(*models(), numbers(1, 9, WIDTH))[0].guilty == ()


def test_what_no_reading_gives_is_not_named():
    class Bump(mnn.Module):
        def __call__(self, x):
            return mx.sin(3 * x) * mx.exp(-x * x) + 0.1 * x**3

    class OddBump(nn.Module):
        def forward(self, x):
            return f.gelu(x)

    found, modules = traced(OddBump(), Bump(), numbers(4, 40))
    assert found.guilty == ("",)
    assert modules[""].cause == ""
    assert modules[""].what == "it computes something else"


def test_where_a_is_no_torch_model_b_is_read():
    class Port(mnn.Module):
        def __call__(self, x):
            return mnn.gelu_approx(x)

    class Usual(nn.Module):
        def forward(self, x):
            return f.gelu(x)

    _, modules = traced(Port(), Usual(), numbers(4, 40))
    assert modules[""].cause == "of a, where b does the usual: gelu by tanh instead of gelu"


def test_a_weight_that_one_side_alone_has_is_no_cause_by_that():
    class Usual(nn.Module):
        def forward(self, x):
            return torch.tanh(x)

    class Port(mnn.Module):
        def __init__(self):
            super().__init__()
            self.table = mx.array(numbers(3))

        def __call__(self, x):
            return mx.sigmoid(x)

    _, modules = traced(Usual(), Port(), numbers(4, 40))
    assert modules[""].cause == "sigmoid instead of tanh"


def test_a_solver_that_calls_forward_is_followed_step_by_step():
    class Field(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc = nn.Linear(WIDTH, WIDTH)

        def forward(self, x, t):
            return torch.tanh(self.fc(x)) * t

    class Solver(nn.Module):
        def __init__(self, field, mix, is_linear):
            super().__init__()
            self.field, self._mix, self._is_linear = field, mix, is_linear

        def forward(self, x, other):
            grid = torch.linspace(0, 1, 6)
            grid = grid if self._is_linear else 1 - torch.cos(grid * 0.5 * torch.pi)
            for now, then in itertools.pairwise(grid):
                c, u = self.field.forward(x, 1 + now), self.field.forward(other, 1 + now)
                x = x + (then - now) * self._mix(c, u)
            return x

    def usual(c, u):
        return (1 + 0.7) * c - 0.7 * u

    torch.manual_seed(0)
    a = Solver(Field(), usual, False)
    x = numbers(3, WIDTH), numbers(3, WIDTH) * 0.5
    found, modules = traced(a, Solver(a.field, usual, False), *x)
    assert found.guilty == ()
    assert modules["field"].calls_a == modules["field"].calls_b == 10
    mixed = Solver(a.field, lambda c, u: u + 0.7 * (c - u), False)
    assert "guidance: u + w (c - u) for (1 + w) c - w u" in traced(a, mixed, *x)[1][""].cause
    assert "1 - cos(x * 0.5 * 3.14159) is left out" in traced(a, Solver(a.field, usual, True), *x)[1][""].cause


class Residual(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.norm = nn.Conv2d(8, 8, 3, padding=1), nn.BatchNorm2d(8)
        self.second, self.last = nn.Conv2d(8, 8, 3, padding=1), nn.GroupNorm(2, 8)

    def forward(self, x):
        return f.relu(x + self.last(self.second(f.leaky_relu(self.norm(self.first(x)), 0.1))))


class PortResidual(mnn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.norm = mnn.Conv2d(8, 8, 3, padding=1), mnn.BatchNorm(8)
        self.second, self.last = mnn.Conv2d(8, 8, 3, padding=1), mnn.GroupNorm(2, 8, pytorch_compatible=True)

    def __call__(self, x):
        return mnn.relu(self.last(self.second(mnn.leaky_relu(self.norm(self.first(x)), 0.1))))


class Stack(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem, self.one, self.two = nn.Conv2d(3, 8, 3, padding=1), Residual(), Residual()

    def forward(self, x):
        return self.two(self.one(f.relu(self.stem(x))))


class PortStack(mnn.Module):
    def __init__(self):
        super().__init__()
        self.stem, self.one, self.two = mnn.Conv2d(3, 8, 3, padding=1), PortResidual(), PortResidual()

    def __call__(self, x):
        return self.two(self.one(mnn.relu(self.stem(x.transpose(0, 2, 3, 1)))))


def stacks():
    torch.manual_seed(2)
    a, b = Stack().eval(), PortStack()
    with torch.no_grad():
        for name, p in a.state_dict().items():
            if name.endswith("running_var"):
                p.uniform_(0.3, 1)
    values = {n: v.numpy() for n, v in a.state_dict().items() if not n.endswith("num_batches_tracked")}
    b.load_weights([(n, mx.array(v.transpose(0, 2, 3, 1) if v.ndim == 4 else v)) for n, v in values.items()])
    return a, b


def test_channels_as_many_as_rows_hide_no_residual_that_is_lost():
    # From (2, 8, 8, 6) to (2, 8, 6, 8) there are two ways, and after a fault values do not tell which.
    _, modules = traced(*stacks(), numbers(2, 3, 8, 6))
    for name in ("one", "two"):
        assert modules[name].cause == "the input 'x' is not added", modules[name].what
        assert modules[name].residual < 1e-6


def test_no_place_is_said_where_nothing_tells_the_order_of_axes():
    a, b = stacks()
    found = trace(Models(Path("pair.py"), TorchModel(a), MlxModel(b), *[((numbers(2, 3, 8, 6),), {})] * 2, {}), None)
    assert {m.name_a: m.what.partition("else ")[2] for m in found.modules if m.verdict == "guilty"} == {
        "one": "after last",
        "two": "after last",
    }
    rng = np.random.default_rng(0)
    x, y = (rng.standard_normal((2, 8, *lengths)) for lengths in ((8, 6), (6, 8)))
    ways = layouts_of(x, y)
    assert len(ways) == 2
    assert not any(Habits().is_sure(TensorSource(0, way), [x], y) for way in ways)
    call = ModuleCall("", 0, ((), {}), (x,), (x.transpose(0, 2, 3, 1),))
    learnt = Habits([(call, ModuleCall("", 0, ((), {}), (x.transpose(0, 2, 3, 1),), (x.transpose(0, 2, 3, 1),)))])
    assert [learnt.is_sure(TensorSource(0, way), [x], y) for way in ways] == [w.order == (0, 2, 3, 1) for w in ways]


@pytest.mark.parametrize(("most", "is_told"), [(40, True), (250_000, False)])
def test_a_search_that_ended_early_with_nothing_named_says_so(most, is_told):
    a, b = models()
    around("gelu")(b)
    b.__class__ = type("PortBlock", (PortBlock,), {"__call__": lambda s, x: mx.sin(3 * PortBlock.__call__(s, x))})
    _, modules = traced(a, b, numbers(1, 9, WIDTH), known=replace(KNOWN, most_calls=most))
    assert modules[""].cause == ""
    assert ("not all readings were tried" in modules[""].what) == is_told
    assert modules[""].is_searched != is_told


def test_a_search_that_ended_early_with_a_cause_names_it_alone():
    a, b = models()
    around("residual")(b)
    _, modules = traced(a, b, numbers(1, 9, WIDTH), known=replace(KNOWN, most_calls=4000))
    assert modules[""].what == "the input 'x' is not added"
    assert modules[""].is_searched


@pytest.mark.parametrize("count", [12, 60])
def test_a_running_variance_that_is_biased_is_called_so(count):
    torch.manual_seed(0)
    a, b = torch.nn.Sequential(torch.nn.BatchNorm1d(16)).eval(), mnn.Sequential(mnn.BatchNorm(16)).eval()
    variance, kept = numbers(16).astype(np.float64) ** 2, 0.12  # of the 1 that it begins with
    a[0].running_var = torch.from_numpy((kept + (1 - kept) * variance).astype(np.float32))
    b.layers[0].running_var = mx.array((kept + (1 - kept) * variance * (count - 1) / count).astype(np.float32))
    _, modules = traced(a, b, numbers(4, 16))
    assert f"b's is biased, {count - 1}/{count} of the variance of {count} values" in modules["0"].cause
