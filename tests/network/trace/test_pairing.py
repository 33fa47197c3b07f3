"""Faithful pairs that are built in other ways are never accused, and faults in them are found where they are."""

from __future__ import annotations

from pathlib import Path

import mlx.core as mx
import mlx.nn as mnn
import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as f

from opfuzz.network.trace.mlx import MlxModel
from opfuzz.network.trace.modules import CLEAN, CONTAINS, UNCOMPARED
from opfuzz.network.trace.names import is_inside, members
from opfuzz.network.trace.pair import Models
from opfuzz.network.trace.torch import TorchModel
from opfuzz.network.trace.trace import trace

torch.set_num_threads(1)
WIDTH = 8
DRAW = np.random.default_rng(0)


def traced(a, b, inputs_a, inputs_b=None, names=None):
    sides = [TorchModel(m) if isinstance(m, nn.Module) else MlxModel(m) for m in (a, b)]
    given = [((), x) if isinstance(x, dict) else (x, {}) for x in (inputs_a, inputs_b or inputs_a)]
    found = trace(Models(Path("pair.py"), *sides, *given, names or {}))
    return found, {m.name_a: m for m in found.modules}


def numbers(*shape):
    return DRAW.standard_normal(shape).astype(np.float32)


class Padded(nn.Conv1d):
    """A causal convolution that is itself the convolution."""

    def forward(self, x):
        return super().forward(f.pad(x, (self.kernel_size[0] - 1, 0)))


class Activated(nn.Module):
    """A projection and its activation in one."""

    def __init__(self):
        super().__init__()
        self.proj = nn.Linear(WIDTH, 2 * WIDTH)

    def forward(self, x):
        return f.gelu(self.proj(x))


class Original(nn.Module):
    """Convolution in channels first; then rows with a mask; no name or order as in the port."""

    def __init__(self):
        super().__init__()
        self.conv, self.ff = Padded(WIDTH, WIDTH, 3), nn.ModuleList([Activated(), nn.Linear(2 * WIDTH, WIDTH)])
        self.mix = Mixer()

    def forward(self, x, mask):
        y = self.conv(x * mask).transpose(1, 2)
        for part in self.ff:
            y = part(y)
        return self.mix(y, mask=mask)


class Mixer(nn.Module):
    def __init__(self):
        super().__init__()
        self.q, self.k = nn.Linear(WIDTH, WIDTH, bias=False), nn.Linear(WIDTH, WIDTH, bias=False)

    def forward(self, y, mask):
        scores = self.q(y) @ self.k(y).transpose(1, 2) + (1 - mask) * -1e4
        return torch.softmax(scores, -1) @ y


class Wrapped(mnn.Module):
    def __init__(self):
        super().__init__()
        self.conv = mnn.Conv1d(WIDTH, WIDTH, 3)
        self._pad = (2, 0)

    def __call__(self, x):
        return self.conv(mx.pad(x.swapaxes(1, 2), [(0, 0), self._pad, (0, 0)])).swapaxes(1, 2)


class PortMixer(mnn.Module):
    """Its rows of q and k are in another order, as ports permute them for RoPE; the sum over them is the same."""

    def __init__(self):
        super().__init__()
        self.key, self.query = mnn.Linear(WIDTH, WIDTH, bias=False), mnn.Linear(WIDTH, WIDTH, bias=False)
        self._ignored = -1e4

    def __call__(self, mask, h):
        return mx.softmax(self.query(h) @ self.key(h).swapaxes(1, 2) + (1 - mask) * self._ignored, axis=-1) @ h


class PortFeed(mnn.Module):
    def __init__(self):
        super().__init__()
        self.layers = [mnn.Linear(WIDTH, 2 * WIDTH), mnn.Linear(2 * WIDTH, WIDTH)]
        self._act = mnn.gelu

    def __call__(self, h):
        return self.layers[1](self._act(self.layers[0](h)))


class Port(mnn.Module):
    def __init__(self):
        super().__init__()
        self.attend, self.feed, self.front = PortMixer(), PortFeed(), Wrapped()
        self._zeroed = False

    def __call__(self, mask, x):
        rows = mx.broadcast_to(mask, (1, x.shape[2], x.shape[2]))
        h = self.feed(self.front(x * mask).swapaxes(1, 2))
        return self.attend(mask=mx.ones_like(rows) if self._zeroed else rows, h=h)


def models():
    torch.manual_seed(0)
    a, b = Original(), Port()
    order = np.random.default_rng(1).permutation(WIDTH)
    b.front.conv.weight = mx.array(a.conv.weight.detach().numpy().transpose(0, 2, 1))
    b.front.conv.bias = mx.array(a.conv.bias.detach().numpy())
    for ours, theirs in ((a.ff[0].proj, b.feed.layers[0]), (a.ff[1], b.feed.layers[1])):
        theirs.weight, theirs.bias = (mx.array(p.detach().numpy()) for p in ours.parameters())
    b.attend.query.weight = mx.array(a.mix.q.weight.detach().numpy()[order])
    b.attend.key.weight = mx.array(a.mix.k.weight.detach().numpy()[order])
    return a, b


def inputs(frames):
    given = {"x": numbers(1, WIDTH, frames), "mask": np.ones((1, 1, frames), np.float32)}
    given["mask"][..., -2:] = 0
    return given


@pytest.mark.parametrize("frames", [WIDTH, 2 * WIDTH, WIDTH * WIDTH, 11])
def test_a_faithful_pair_is_clean_whatever_its_names_and_sizes(frames):
    found, modules = traced(*models(), inputs(frames))
    assert found.guilty == ()
    assert modules[""].verdict == CLEAN
    pairs = {"conv": "front", "ff.0.proj": "feed.layers.0", "ff.1": "feed.layers.1", "mix": "attend"}
    assert pairs.items() <= found.names.items()
    assert found.names["ff.0"] is None
    assert modules["conv"].verdict == modules["mix"].verdict == modules["ff.0.proj"].verdict == CLEAN
    # What differs inside a module that does not is no fault: it says so.
    assert modules["mix.q"].verdict == modules["mix.k"].verdict == UNCOMPARED
    assert "mix around it is clean" in modules["mix.q"].what


def test_faults_are_found_where_they_are_without_a_map():
    a, b = models()
    b.front._pad = (1, 1)
    found, modules = traced(a, b, inputs(WIDTH))
    assert found.guilty == ("conv",)
    assert modules["conv"].cause == ""
    a, b = models()
    b.attend.query.weight, b.attend.key.weight = (mx.array(x.weight.detach().numpy()) for x in (a.mix.q, a.mix.k))
    b.attend._ignored = 0.0
    assert traced(a, b, inputs(WIDTH))[0].guilty == ("mix",)
    a, b = models()
    b.feed._act = mnn.silu
    found, modules = traced(a, b, inputs(WIDTH))
    assert found.guilty == ("",)  # b has one module for what are two in a list in a
    assert modules["ff.0.proj"].verdict == CLEAN


def test_a_module_without_a_cause_says_between_which_of_its_own_it_goes_wrong():
    class Block(nn.Module):
        def __init__(self, factor):
            super().__init__()
            self.one, self.two, self._factor = nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, WIDTH), factor

        def forward(self, x):
            before, between, after = self._factor
            return self.two(self.one(x * before) * between) * after

    x = numbers(3, WIDTH)
    for factor, words in (((2, 1, 1), "before one"), ((1, 2, 1), "between one and two"), ((1, 1, 2), "after two")):
        a, b = Block((1, 1, 1)), Block(factor)
        b.load_state_dict(a.state_dict())
        found, modules = traced(a, b, (x,))
        assert found.guilty == ("",)
        assert modules[""].what.endswith(f"it computes something else {words}")
        assert modules[""].cause == ""


def test_work_that_is_done_elsewhere_is_no_fault_beside_one():
    class Scaling(nn.Embedding):
        def forward(self, x):
            return super().forward(x) * 3

    class Model(nn.Module):
        def __init__(self, is_inside):
            super().__init__()
            self.embed = (Scaling if is_inside else nn.Embedding)(20, WIDTH)
            self.fc, self.act, self._factor = nn.Linear(WIDTH, WIDTH), nn.ReLU(), 1 if is_inside else 3

        def forward(self, x):
            return self.act(self.fc(self.embed(x) * self._factor))

    a, b = Model(True), Model(False)
    b.load_state_dict(a.state_dict())
    b.act = nn.Sigmoid()
    found, modules = traced(a, b, (np.arange(12).reshape(2, 6),))
    assert found.guilty == ("act",)
    assert "b does its work elsewhere" in modules["embed"].what
    b._factor = 1
    assert traced(a, b, (np.arange(12).reshape(2, 6),))[0].guilty == ("embed", "act")


def test_a_module_that_got_another_mask_is_not_to_blame():
    a, b = models()
    b._zeroed = True
    found, modules = traced(a, b, inputs(11))
    assert found.guilty == ("",)
    assert modules["mix"].verdict == CLEAN


def test_a_partial_map_makes_nothing_worse_and_may_say_none():
    for names in ({"mix": "attend"}, {"conv": "front"}, {"ff.0": None}, {"mix.q": None, "mix": "attend"}):
        found, modules = traced(*models(), inputs(WIDTH), names=names)
        assert found.guilty == ()
        assert modules["ff.0.proj"].name_b == "feed.layers.0"
    assert found.names["mix.q"] is None
    assert ("mix.q", "has no counterpart in b") in found.not_compared


class Masked(nn.Module):
    """An inner module with a mask of another kind than its counterpart's: additive or boolean."""

    def __init__(self, form):
        super().__init__()
        self.inner, self.form, self._is_lost = MaskedSum(), form, False

    def forward(self, x):
        seen = torch.ones(x.shape[1], x.shape[1]).tril().bool()
        seen = torch.ones_like(seen) if self._is_lost else seen
        return self.inner(x, attn_mask=seen if self.form == "seen" else torch.where(seen, 0.0, -1e9))


class MaskedSum(nn.Module):
    def __init__(self):
        super().__init__()
        self.value = nn.Linear(WIDTH, WIDTH)

    def forward(self, x, attn_mask):
        added = torch.where(attn_mask, 0.0, -1e9) if attn_mask.dtype == torch.bool else attn_mask
        return torch.softmax(x @ x.transpose(1, 2) + added, -1) @ self.value(x)


def test_the_caller_is_guilty_of_a_mask_in_another_form():
    a, b = Masked("seen"), Masked("added")
    b.load_state_dict(a.state_dict())
    x = numbers(1, 6, WIDTH)
    assert traced(a, b, (x,))[0].guilty == ()
    b._is_lost = True
    found, modules = traced(a, b, (x,))
    assert found.guilty == ("",)
    assert modules[""].cause == "it gives inner another attn_mask"


class Growing(nn.Module):
    """Keeps a state in an object that it is given, as caches of keys are."""

    def __init__(self):
        super().__init__()
        self.layer = Remembering()

    def forward(self, x):
        return self.layer(x, State())


class State:
    def __init__(self):
        self.seen = None


class Remembering(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(WIDTH, WIDTH)

    def forward(self, x, state):
        y = self.fc(x)
        state.seen = y if state.seen is None else torch.cat((state.seen, y), 1)
        return state.seen.sum(1), state.seen, [y, y]


def test_a_state_does_not_grow_from_run_to_run():
    a, b = Growing(), Growing()
    b.load_state_dict(a.state_dict())
    found, modules = traced(a, b, (numbers(2, 5, WIDTH),))
    assert {m.verdict for m in found.modules} == {CLEAN}
    b.layer.fc.bias.data[0] += 1
    found, modules = traced(a, b, (numbers(2, 5, WIDTH),))
    assert found.guilty == ("layer.fc",)
    assert modules["layer"].verdict == CONTAINS


class Returning(nn.Module):
    def __init__(self, more):
        super().__init__()
        self.fc, self.more = nn.Linear(WIDTH, WIDTH), more

    def forward(self, x):
        return (self.fc(x), x * 2, x + 1) if self.more else self.fc(x)


def test_outputs_that_one_side_alone_returns():
    a, b = Returning(False), Returning(True)
    b.load_state_dict(a.state_dict())
    found, modules = traced(a, b, (numbers(3, WIDTH),))
    assert found.guilty == ()
    assert modules[""].lone == ("output 1 of b", "output 2 of b")


class Holding(nn.Module):
    """Tensors that NumPy cannot hold as they are, or that have no values."""

    def __init__(self, scale=1.0):
        super().__init__()
        self.fc, self.lazy, self.again = nn.Linear(WIDTH, WIDTH), nn.LazyLinear(WIDTH), None
        self.again = self.fc
        dense = torch.eye(4) * scale
        self.register_buffer("sparse", dense.to_sparse())
        self.register_buffer("whole", torch.quantize_per_tensor(dense, 0.1, 0, torch.qint8))
        self.register_buffer("turn", torch.view_as_complex(torch.randn(3, 2)).conj())
        self.register_buffer("none", torch.empty(0, 3))
        self.register_buffer("absent", torch.empty(3, device="meta"))
        self.register_buffer("flags", torch.arange(4) > scale)
        self.register_buffer("small", torch.ones(3).to(torch.float8_e4m3fn))
        self.waiting = nn.LazyLinear(3)

    def forward(self, x):
        return self.lazy(self.fc(x)) * self.sparse.to_dense().sum() * self.turn.abs().sum()


@pytest.mark.filterwarnings("ignore:.*quant:UserWarning")
def test_no_tensor_that_a_module_holds_ends_in_a_traceback():
    x = numbers(2, WIDTH)
    a = Holding()
    a(torch.tensor(x))
    assert traced(a, a, (x,))[0].guilty == ()
    b = Holding(scale=2.0)
    b(torch.tensor(x))
    found, modules = traced(a, b, (x,))
    assert "" in modules
    assert found.guilty[0] in ("fc", "lazy")


def test_weights_of_two_modules_exchanged_are_no_other_names():
    class Pair(nn.Module):
        def __init__(self):
            super().__init__()
            self.gate, self.up = nn.Linear(WIDTH, WIDTH, bias=False), nn.Linear(WIDTH, WIDTH, bias=False)

        def forward(self, x):
            return torch.sigmoid(self.gate(x)) * self.up(x)

    a, b = Pair(), Pair()
    b.gate.weight, b.up.weight = (nn.Parameter(w.detach().clone()) for w in (a.up.weight, a.gate.weight))
    found, modules = traced(a, b, (numbers(3, WIDTH),))
    assert found.guilty == ("gate", "up")
    assert modules["gate"].cause == "weight holds a's up.weight"


def test_a_setting_has_its_own_name_on_each_side():
    class Norm(nn.Module):
        def __init__(self):
            super().__init__()
            self.variance_epsilon, self.weight = 1e-5, nn.Parameter(torch.linspace(0.5, 2, WIDTH))

        def forward(self, x):
            return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + self.variance_epsilon) * self.weight

    b = mnn.RMSNorm(WIDTH, eps=1e-2)
    b.weight = mx.array(np.linspace(0.5, 2, WIDTH, dtype=np.float32))
    _, modules = traced(Norm(), b, (numbers(4, WIDTH),))
    assert modules[""].cause == "eps is 0.01 in b, and a's variance_epsilon is 1e-05"
    assert modules[""].residual < 1e-6
    assert b.eps == 1e-2


def test_a_setting_that_mends_nothing_is_no_cause():
    class Scaled(nn.Module):
        def __init__(self, factor, note):
            super().__init__()
            self._factor, self.note = factor, note

        def forward(self, x):
            return x * self._factor

    _, modules = traced(Scaled(1.0, 3), Scaled(2.0, 4), (numbers(4, WIDTH),))
    assert modules[""].cause == ""
    assert "note" not in modules[""].what


def test_what_is_inside_a_module_is_found_by_whole_words_of_names():
    names = ["", "a", "a.b", "ab", "a.b.c", "d.e"]
    assert members(names) == {name: [other for other in names if is_inside(other, name)] for name in names}
    assert members(["a", "a.b"]) == {"a": ["a", "a.b"], "a.b": ["a.b"]}
