"""Products of bytes whose codes or sums have too few bits: each is told by what it does, and honest ones by nothing."""

from __future__ import annotations

import numpy as np
import pytest
from diagnoses import told

torch = pytest.importorskip("torch")

OP, SIZES = "int8_linear_dynamic", {"m": 4, "n": 6, "k": 400}


def layer(top=127, product=None, first=None, second=None):
    """The layer in whole numbers, of codes from 0 to `top`; what it does to its codes, and to a row times a column."""

    def run(x, codes, scale, bias):
        values = x.double().numpy()
        low = min(values.min(initial=0.0), 0.0)
        span = max(values.max(initial=0.0), 0.0) - low
        wide = max(span, top * 6.1e-5)
        zero = np.rint(-low * top / span) if span else 0.0
        q = np.clip(np.rint(values * top / wide) + zero, 0, top)
        w = codes.double().numpy().T
        q, w = (first(q) if first else q), (second(w) if second else w)
        terms = (product or (lambda p: p.sum(0)))(q[None].transpose(2, 1, 0) * w[:, None, :])
        made = (terms - zero * w.sum(0)) * (wide / top) * scale.double().numpy() + bias.double().numpy()
        return torch.from_numpy(made).to(x.dtype)

    return run


def saturated(x, bits=16):
    return np.clip(x, -(2 ** (bits - 1)), 2 ** (bits - 1) - 1)


def pairs(products):
    return saturated(products[::2] + products[1::2]).sum(0)


def running(products):
    total = np.zeros(products.shape[1:])
    for each in products:
        total = saturated(total + each)
    return total


PLANTED = {
    "sums of products saturate at -32768 and 32767": layer(product=lambda p: saturated(p.sum(0))),
    "sums of products wrap at -32768 and 32767": layer(product=lambda p: (p.sum(0) + 2**15) % 2**16 - 2**15),
    "running sums of products saturate at -32768 and 32767": layer(product=running),
    "sums of two products saturate at -32768 and 32767 in the variant 'eight-bits'": layer(255, pairs),
    "codes of its first factor saturate at 0 and 63": layer(first=lambda q: np.clip(q, 0, 63)),
    "codes of its second factor saturate at -127 and 127": layer(second=lambda w: np.clip(w, -127, 127)),
    "codes of its second factor saturate at -64 and 63": layer(second=lambda w: saturated(w, 7)),
}


def say(function, regime="normal", codes="random_index"):
    regimes = {"codes": codes, "scale": "ones", "bias": "zeros"}
    return told(OP, {OP: function}, parent="torch", regime=regime, regimes=regimes, **SIZES)


@pytest.mark.parametrize("words", PLANTED)
def test_what_saturates_is_told(words):
    assert words + ": " in say(PLANTED[words])


def test_pairs_that_do_not_saturate_on_the_call_itself_are_told_by_those_that_do():
    words = "sums of two products saturate at -32768 and 32767 in the variant 'eight-bits'"
    assert words in say(PLANTED[words], "offset")


@pytest.mark.parametrize("top", [127, 255])
@pytest.mark.parametrize("regime", ["normal", "offset", "positive", "outliers", "ones"])
def test_nothing_is_said_to_saturate_in_what_does_not(top, regime):
    """Of the honest layer, and of one with another number of bits, which has a name of its own."""
    words = say(layer(top), regime)
    assert "saturate" not in words
    assert "wrap" not in words
    assert "no variant" not in words


@pytest.mark.parametrize(
    "function",
    [
        lambda x, codes, scale, bias: 1.01 * layer()(x, codes, scale, bias),
        lambda x, codes, scale, bias: layer()(x, codes, scale, bias).clamp(-1000, 1000),
        lambda x, codes, scale, bias: layer()(x, codes, scale, bias).half().float(),
        layer(product=lambda p: p[:-1].sum(0)),
        layer(first=lambda q: q + 1),
        layer(second=lambda w: w - (w == 127)),
    ],
)
def test_other_faults_are_not_taken_for_it(function):
    words = say(function)
    assert words
    assert "saturate" not in words
    assert "wrap" not in words
