"""Wrong readings of the wiring: each gives what a model gives that is wired so."""

import contextlib
import itertools
import math

import numpy as np
import pytest
import torch
from calling_modules import Calls
from torch import nn
from torch.nn import functional as F  # noqa: N812 - as everyone calls it

from opfuzz.network.observe.torch import TorchRun
from opfuzz.network.pipeline.planting import UnfitError
from opfuzz.network.readings.all_readings import readings_of_model
from opfuzz.network.readings.reading import SeenModule
from opfuzz.network.readings.weights import module_readings, weight_readings


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


def few(x):
    """The rotation of halves of four channels, at the rates of so many."""
    cos, sin = (torch.cat((y[:, ::2], y[:, ::2]), -1) for y in (COS, SIN))
    return x * cos + torch.cat((-x[..., 2:], x[..., :2]), -1) * sin


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


ADDED = torch.where(MASK, 0.0, -1e9)
NEIGHBOURS, HALVES = "RoPE turns neighbouring channels, not halves", "RoPE turns halves, not neighbouring channels"
IN_MEMORY = "transpose: axes are not exchanged"

# What the model computes, its input, the reading, and the model that has it.
WIRED = {
    "rotary pairs of halves": (halves, q, NEIGHBOURS, neighbours),
    "rotary pairs of neighbours": (neighbours, q, HALVES, halves),
    "rotary parts of halves": (lambda q: torch.cat(turned(*q.chunk(2, -1)), -1), q, NEIGHBOURS,
                               lambda q: torch.stack(turned(q[..., ::2], q[..., 1::2]), -1).flatten(-2)),
    "rotary slices of halves": (lambda q: torch.cat(turned(q[..., :4], q[..., 4:]), -1), q, NEIGHBOURS,
                                lambda q: torch.stack(turned(q[..., ::2], q[..., 1::2]), -1).flatten(-2)),
    "rotary parts of pairs": (
        lambda q: torch.stack(turned(*q.unflatten(-1, (4, 2)).unbind(-1)), -1).flatten(-2), q, HALVES,
        lambda q: torch.cat(turned(q[..., :4], q[..., 4:]), -1)),
    "a transpose in memory": (lambda q: q.transpose(1, 2).cumsum(-1), q, IN_MEMORY,
                              lambda q: q.reshape(2, 6, 4, 8).cumsum(-1)),
    "cat": (lambda x: torch.cat((x, x.exp()), 1).cumsum(1), x, "the parts of cat are in the order 2, 1",
            lambda x: torch.cat((x.exp(), x), 1).cumsum(1)),
    "halves": (lambda x: gated(x, *x.chunk(2, -1)), x, "the parts of chunk are taken in the order 2, 1",
               lambda x: gated(x, *x.chunk(2, -1)[::-1])),
    "every other channel": (lambda x: gated(x, *x.split(4, -1)), x, "the parts of split are every",
                            lambda x: gated(x, x[..., ::2], x[..., 1::2])),
    "a residual": (lambda x: x + x.tanh(), x, "the input '0' is not added", torch.tanh),
    "a bias": (lambda x: x + BIAS, x, "a constant is not added", lambda x: x + 0),
    "a gate": (lambda x: x.sigmoid() * x, x, "the factor what sigmoid gives is missing", lambda x: x + 0),
    "a scale": (lambda x: (x * 0.3).softmax(-1), x, "the factor 0.3 is missing", lambda x: x.softmax(-1)),
    "a divisor": (lambda x: (x / 3).softmax(-1), x, "not divided by 3", lambda x: x.softmax(-1)),
    "eps": (lambda x: x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-6), x, "the number of add is 0.001,",
            lambda x: x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-3)),
    "a sign": (lambda x: x - x.cos(), x, "what cos gives is added, not subtracted", lambda x: x + x.cos()),
    "heads": (lambda x: x.view(2, 4, 2, 4).softmax(-1), x, "an axis is split as [4, 2] instead of [2, 4]",
              lambda x: x.view(2, 4, 4, 2).transpose(2, 3).softmax(-1)),
    "heads together": (lambda q: q.transpose(1, 2).reshape(2, 6, 32).cumsum(-1), q, "axes [4, 8] are joined",
                       lambda q: q.permute(0, 2, 3, 1).reshape(2, 6, 32).cumsum(-1)),
    "a transpose": (lambda q: (q @ q.exp().mT).transpose(-1, -2).softmax(-1) @ q.exp(), q, IN_MEMORY,
                    lambda q: (q @ q.exp().mT).softmax(-1) @ q.exp()),
    "padding": (lambda x: F.pad(x, (2, 0)).cumsum(-1), x, "padded on both sides, [1, 1] instead of [2, 0]",
                lambda x: F.pad(x, (1, 1)).cumsum(-1)),
    "heads of keys": (lambda q: q.repeat_interleave(2, 1).cumsum(1), q, "repeated as a whole, not one by one",
                      lambda q: q.repeat(1, 2, 1, 1).cumsum(1)),
    "a mask dropped": (attention(), q, "attention: the mask is not applied", attention(None)),
    "a mask inverted": (attention(~torch.eye(6, dtype=torch.bool)), q, "attention: the mask is inverted",
                        attention(torch.eye(6, dtype=torch.bool))),
    "a mask of the other axis": (attention(), q, "attention: the mask of the keys", attention(MASK.mT)),
    "a causal mask": (attention(None), q, "attention: a causal mask", attention(None, True)),
    "causal scores": (lambda q: (q @ q.mT).softmax(-1), q, "a causal mask before the softmax",
                      lambda q: (q @ q.mT).masked_fill(~torch.ones(6, 6).tril().bool(), -torch.inf).softmax(-1)),
    "scores filled in": (lambda q: (q @ q.mT).masked_fill(~MASK, -1e9).softmax(-1), q, "masked_fill: the mask is not",
                         lambda q: (q @ q.mT).softmax(-1)),
    "a filled mask inverted": (lambda q: torch.where(MASK, q @ q.mT, -20.0).softmax(-1), q, "where: the mask is inv",
                               lambda q: torch.where(~MASK, q @ q.mT, -20.0).softmax(-1)),
    "a fused projection": (lambda x: gated(x, *x.view(2, 4, 2, 4).chunk(2, -1)), x, "an axis is split as [2, 2",
                           lambda x: gated(x, *x.view(2, 4, 2, 2, 2).unbind(2))),
    "parts by head": (lambda x: gated(x, *(y.view(2, 4, 2, 2) for y in x.chunk(2, -1))), x, "an axis is parted as [2",
                      lambda x: gated(x, *x.view(2, 4, 2, 2, 2).unbind(3))),
    "a mask before a cap": (lambda q: ((q @ q.mT / 2).tanh() * 2 + ADDED).softmax(-1), q, "the mask is added before d",
                            lambda q: (((q @ q.mT + ADDED) / 2).tanh() * 2).softmax(-1)),
    "all channels": (lambda q: torch.cat((few(q[..., :4]), q[..., 4:]), -1), q, "RoPE turns all 8 channels", halves),
    "a grid": (euler(cosine, lambda c, u: c), x, "the grid of times is t,", euler(lambda t: t, lambda c, u: c)),
    "guidance": (euler(cosine, lambda c, u: 1.7 * c - 0.7 * u), x, "guidance: u + w (c - u) for",
                 euler(cosine, lambda c, u: u + 0.7 * (c - u))),
    "guidance between": (euler(cosine, lambda c, u: u + 0.7 * (c - u)), x, "guidance: (1 + w) c - w u for",
                         euler(cosine, lambda c, u: 1.7 * c - 0.7 * u)),
}  # fmt: skip


@pytest.mark.parametrize("name", WIRED)
def test_a_reading_gives_what_a_model_gives_that_is_wired_so(reader, specs, name):
    right, array, reading, wrong = WIRED[name]
    run = TorchRun(Calls(right), ((array,), {}), reader)
    seen = run.observe()
    plants = {}
    readings = [found for _, found in readings_of_model(SeenModule(seen, seen.calls, seen.given), specs)]
    for found in readings:
        if found.words.startswith(reading):
            plants |= found.plants
    assert plants, sorted({found.words for found in readings})
    (planted,) = run.replay(seen, plants)
    with torch.no_grad():
        wanted = wrong(torch.from_numpy(array)).numpy()
    np.testing.assert_allclose(planted, wanted, rtol=1e-4, atol=2e-5)
    assert np.abs(seen.outputs[0] - wanted).max() > 1e-3  # the reading is not the model itself


def test_every_reading_can_be_planted_again(reader, specs):
    run = TorchRun(Calls(euler(cosine, lambda c, u: 1.7 * c - 0.7 * u)), ((x,), {}), reader)
    seen = run.observe()
    planted = 0
    all_of_them = readings_of_model(SeenModule(seen, seen.calls, seen.given), specs)
    for _, reading in itertools.islice(all_of_them, 0, None, 7):
        with contextlib.suppress(UnfitError):
            first, again = run.replay(seen, reading.plants), run.replay(seen, reading.plants)
            np.testing.assert_array_equal(first[0], again[0])
            planted += 1
    assert planted > 10


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
