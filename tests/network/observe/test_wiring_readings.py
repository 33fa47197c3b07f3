"""Wrong readings of the wiring: each gives what a model gives that is wired so."""

import math

import numpy as np
import pytest
import torch
from calling_modules import Calls
from torch import nn
from torch.nn import functional as F  # noqa: N812 - as everyone calls it

from opfuzz.network.observe.readings.kinds import wiring_readings
from opfuzz.network.observe.readings.weights import module_readings, weight_readings
from opfuzz.network.observe.torch import TorchRun


def drawn(*shape):
    return np.random.default_rng(1).standard_normal(shape).astype(np.float32)


x, q = drawn(2, 4, 8), drawn(2, 4, 6, 8)
BIAS = torch.arange(8.0)
COS, SIN = (
    torch.from_numpy(f(np.outer(np.arange(6), 0.3 ** np.arange(4))).astype(np.float32)) for f in (np.cos, np.sin)
)
MASK = torch.from_numpy(np.random.default_rng(2).random((6, 6)) < 0.7) | torch.eye(6, dtype=torch.bool)


def halves(x):
    turned = torch.cat((-x[..., 4:], x[..., :4]), -1)
    return x * torch.cat((COS, COS), -1) + turned * torch.cat((SIN, SIN), -1)


def neighbours(x):
    turned = torch.stack((-x[..., 1::2], x[..., ::2]), -1).flatten(-2)
    return x * COS.repeat_interleave(2, -1) + turned * SIN.repeat_interleave(2, -1)


def turned(first, second):
    return first * COS - second * SIN, second * COS + first * SIN


def gated(x, first, second):
    return F.silu(first) * second


def euler(grid, mix):
    def run(x):
        t = grid(torch.linspace(0, 1, 5))
        for i in range(4):
            c, u = torch.tanh(x + t[i]), torch.sin(x * (1 + t[i]))
            x = x + (t[i + 1] - t[i]) * mix(c, u)
        return x

    return run


def attention(mask=MASK, causal=False):
    return lambda q: F.scaled_dot_product_attention(q, q.flip(-1), q, attn_mask=mask, is_causal=causal)


def cosine(t):
    return 1 - torch.cos(t * math.pi / 2)


# What the model computes, its input, the reading, and the model that has it.
WIRED = {
    "rotary pairs of halves": (halves, q, "rotary pairs", neighbours),
    "rotary pairs of neighbours": (neighbours, q, "rotary pairs", halves),
    "rotary parts of halves": (lambda q: torch.cat(turned(*q.chunk(2, -1)), -1), q, "rotary pairs",
                               lambda q: torch.stack(turned(q[..., ::2], q[..., 1::2]), -1).flatten(-2)),
    "rotary slices of halves": (lambda q: torch.cat(turned(q[..., :4], q[..., 4:]), -1), q, "rotary pairs",
                                lambda q: torch.stack(turned(q[..., ::2], q[..., 1::2]), -1).flatten(-2)),
    "rotary parts of pairs": (
        lambda q: torch.stack(turned(*q.unflatten(-1, (4, 2)).unbind(-1)), -1).flatten(-2), q, "rotary pairs",
        lambda q: torch.cat(turned(q[..., :4], q[..., 4:]), -1)),
    "a transpose in memory": (lambda q: q.transpose(1, 2).cumsum(-1), q, "transpose without its strides",
                              lambda q: q.reshape(2, 6, 4, 8).cumsum(-1)),
    "cat": (lambda x: torch.cat((x, x.exp()), 1).cumsum(1), x, "cat: operands 1 and 2 exchanged",
            lambda x: torch.cat((x.exp(), x), 1).cumsum(1)),
    "halves": (lambda x: gated(x, *x.chunk(2, -1)), x, "chunk: parts 1 and 2 exchanged",
               lambda x: gated(x, *x.chunk(2, -1)[::-1])),
    "every other channel": (lambda x: gated(x, *x.split(4, -1)), x, "split: in turn",
                            lambda x: gated(x, x[..., ::2], x[..., 1::2])),
    "a residual": (lambda x: x + x.tanh(), x, "add: operand 1 lost", torch.tanh),
    "a bias": (lambda x: x + BIAS, x, "add: operand 2 lost", lambda x: x + 0),
    "a gate": (lambda x: x.sigmoid() * x, x, "mul: operand 1 lost", lambda x: x + 0),
    "a scale": (lambda x: (x * 0.3).softmax(-1), x, "mul: a number lost", lambda x: x.softmax(-1)),
    "a divisor": (lambda x: (x / 3).softmax(-1), x, "div: a number lost", lambda x: x.softmax(-1)),
    "eps": (lambda x: x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-6), x, "eps-0.001",
            lambda x: x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-3)),
    "a sign": (lambda x: x - x.cos(), x, "sub: sign", lambda x: x + x.cos()),
    "heads": (lambda x: x.view(2, 4, 2, 4).softmax(-1), x, "view: split the other way",
              lambda x: x.view(2, 4, 4, 2).transpose(2, 3).softmax(-1)),
    "heads together": (lambda q: q.transpose(1, 2).reshape(2, 6, 32).cumsum(-1), q, "reshape: merged the other way",
                       lambda q: q.permute(0, 2, 3, 1).reshape(2, 6, 32).cumsum(-1)),
    "a transpose": (lambda q: (q @ q.exp().mT).transpose(-1, -2).softmax(-1) @ q.exp(), q, "transpose left out",
                    lambda q: (q @ q.exp().mT).softmax(-1) @ q.exp()),
    "padding": (lambda x: F.pad(x, (2, 0)).cumsum(-1), x, "padded on both sides",
                lambda x: F.pad(x, (1, 1)).cumsum(-1)),
    "heads of keys": (lambda q: q.repeat_interleave(2, 1).cumsum(1), q, "repeat_interleave: the other way",
                      lambda q: q.repeat(1, 2, 1, 1).cumsum(1)),
    "a mask dropped": (attention(), q, "mask dropped", attention(None)),
    "a mask inverted": (attention(~torch.eye(6, dtype=torch.bool)), q, "mask inverted",
                        attention(torch.eye(6, dtype=torch.bool))),
    "a mask of the other axis": (attention(), q, "mask of the other axis", attention(MASK.mT)),
    "a causal mask": (attention(None), q, "causal", attention(None, True)),
    "causal scores": (lambda q: (q @ q.mT).softmax(-1), q, "causal",
                      lambda q: (q @ q.mT).masked_fill(~torch.ones(6, 6).tril().bool(), -torch.inf).softmax(-1)),
    "scores filled in": (lambda q: (q @ q.mT).masked_fill(~MASK, -1e9).softmax(-1), q, "mask dropped",
                         lambda q: (q @ q.mT).softmax(-1)),
    "a filled mask inverted": (lambda q: torch.where(MASK, q @ q.mT, -20.0).softmax(-1), q, "mask inverted",
                               lambda q: torch.where(~MASK, q @ q.mT, -20.0).softmax(-1)),
    "a grid": (euler(cosine, lambda c, u: c), x, "time grid linear", euler(lambda t: t, lambda c, u: c)),
    "guidance": (euler(cosine, lambda c, u: 1.7 * c - 0.7 * u), x, "guidance interpolated",
                 euler(cosine, lambda c, u: u + 0.7 * (c - u))),
    "guidance between": (euler(cosine, lambda c, u: u + 0.7 * (c - u)), x, "guidance beyond",
                         euler(cosine, lambda c, u: 1.7 * c - 0.7 * u)),
}  # fmt: skip


@pytest.mark.parametrize("name", WIRED)
def test_a_reading_gives_what_a_model_gives_that_is_wired_so(reader, name):
    right, array, reading, wrong = WIRED[name]
    run = TorchRun(Calls(right), ((array,), {}), reader)
    seen = run.observe()
    plants = {}
    for found in wiring_readings(seen):
        if found.name == reading:
            plants |= found.plants
    assert plants, sorted({found.name for found in wiring_readings(seen)})
    (planted,) = run.replay(seen, plants)
    with torch.no_grad():
        wanted = wrong(torch.from_numpy(array)).numpy()
    np.testing.assert_allclose(planted, wanted, rtol=1e-4, atol=2e-5)
    assert np.abs(seen.outputs[0] - wanted).max() > 1e-3  # the reading is not the model itself


def test_every_reading_says_where_it_is_and_can_be_planted_again(reader):
    run = TorchRun(Calls(euler(cosine, lambda c, u: 1.7 * c - 0.7 * u)), ((x,), {}), reader)
    seen = run.observe()
    for reading in wiring_readings(seen):
        first, again = run.replay(seen, reading.plants), run.replay(seen, reading.plants)
        np.testing.assert_array_equal(first[0], again[0])


class Layers(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.layers = nn.ModuleList([nn.Sequential(nn.Linear(8, 8), nn.Conv1d(4, 4, 3, padding=1)) for _ in range(2)])

    def forward(self, x):
        for layer in self.layers:
            x = x + layer(x)
        return x


def test_readings_of_weights_and_modules(reader, specs):
    run = TorchRun(Layers(), ((x,), {}), reader)
    seen, weights = run.observe(), run.weights()
    named = {(r.name, r.place): r for r in [*weight_readings(seen, weights, specs), *module_readings(seen, weights)]}
    assert ("weight transposed", "layers.0.0.weight") not in named  # a variant of the spec of linear says it
    planted = named["weight in bfloat16", "layers.1.0.weight"].weights["layers.1.0.weight"]
    wanted = torch.from_numpy(weights["layers.1.0.weight"]).bfloat16().float()
    np.testing.assert_array_equal(planted, wanted.numpy())
    assert ("weight lost", "layers.0.1.bias") in named  # that of conv1d has no bias
    exchanged = named["exchanged", "layers.0, layers.1"].weights
    np.testing.assert_array_equal(exchanged["layers.0.0.weight"], weights["layers.1.0.weight"])
    assert named["left out", "layers.1"].skipped == {"layers.1"}
    assert ("left at random start", "layers.0") in named
