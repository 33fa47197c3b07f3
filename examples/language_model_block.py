"""A language model as a pipeline: what `opfuzz localize` runs on two subjects, op by op.

    opfuzz localize examples/language_model_block.py --observed corr=0.99,mae=0.1

A pipeline is NumPy, but each operation that rounds is a call of a spec: `run(op, role=..., at=..., ...)`. opfuzz
decides who computes it. `role` says what a call is for; wrong readings are planted in all calls of one role. `at` is
the name of the module. Weights of your own come with `--weights model.safetensors`, inputs with `--inputs`.

The network: embedding, blocks of RMSNorm, rotary positions, causal attention whose query heads share key heads, and
SwiGLU feed-forward; then RMSNorm, logits by the embedding's own table, log_softmax.
"""

from dataclasses import replace
from functools import partial

import numpy as np

from opfuzz.network.pipeline.planting import Variant

VOCABULARY, WIDTH, HIDDEN, BLOCKS = 64, 32, 64, 2
HEADS, KEY_HEADS, HEAD_WIDTH = 4, 2, 8
TOKENS, BATCH = 12, 2


# The decisions that a port gets wrong are arguments, so that a wrong reading is one argument.


def halves(x):
    """Rotary positions turn channel i with channel i + half."""
    a, b = np.split(x, 2, axis=-1)
    return np.concatenate((-b, a), axis=-1)


def shared(x):
    """Neighbouring query heads share a key head: 0 0 1 1."""
    return np.repeat(x, HEADS // KEY_HEADS, axis=1)


def add(x, change):
    """Around each half of a block."""
    return x + change


def activated(run, at, gate, up):
    """SwiGLU."""
    return run("silu", role="feed-forward", at=at, x=gate) * up


def pipeline(run, weights, inputs, turned=halves, spread=shared, residual=add, activation=activated):
    """Logarithms of probabilities (batch, tokens, vocabulary) of the token after each of `tokens` (batch, tokens)."""
    linear, norm = partial(_linear, run, weights), partial(_norm, run, weights)
    tokens, table = inputs["tokens"], weights["embed_tokens.weight"]
    length = tokens.shape[1]
    mask = np.where(np.tri(length, dtype=bool), 0, -np.inf).astype(np.float32)
    mask = np.broadcast_to(mask, (len(tokens), 1, length, length))
    cos, sin = _rotary(run, length)

    x = run("embedding", at="embed_tokens", index=tokens, table=table)
    for block in range(BLOCKS):
        at = f"layers.{block}"
        h = norm("before attention", f"{at}.input_layernorm", x)
        q, k, v = (_split(linear(role, f"{at}.self_attn.{role[0]}_proj", h)) for role in ("query", "key", "value"))
        q, k = (y * cos + turned(y) * sin for y in (q, k))
        k, v = spread(k), spread(v)
        h = run("attention_additive_mask", role="attention", at=f"{at}.self_attn", q=q, k=k, v=v, mask=mask)
        h = np.swapaxes(h, 1, 2).reshape(*tokens.shape, HEADS * HEAD_WIDTH)
        x = residual(x, linear("attention output", f"{at}.self_attn.o_proj", h))

        h = norm("before feed-forward", f"{at}.post_attention_layernorm", x)
        gate, up = (linear(role, f"{at}.mlp.{role}_proj", h) for role in ("gate", "up"))
        h = activation(run, f"{at}.mlp.act", gate, up)
        x = residual(x, linear("down", f"{at}.mlp.down_proj", h))
        run.record(f"{at}.x", x)

    x = norm("last", "norm", x)
    logits = run("linear", role="logits", at="lm_head", x=x, weight=table, bias=np.zeros(len(table), np.float32))
    return run("log_softmax", at="log_softmax", x=logits)


def _linear(run, weights, role, name, x):
    weight = weights[f"{name}.weight"]
    return run("linear", role=role, at=name, x=x, weight=weight, bias=np.zeros(len(weight), np.float32))


def _norm(run, weights, role, name, x):
    return run("rms_norm", role=role, at=name, x=x, weight=weights[f"{name}.weight"], eps=1e-6)


def _split(x):
    """(batch, tokens, heads * width) to (batch, heads, tokens, width)."""
    return np.swapaxes(x.reshape(*x.shape[:2], -1, HEAD_WIDTH), 1, 2)


def _rotary(run, length):
    """Cosine and sine (tokens, width) of the angle position / 10000^(2 i / width) of channels i and i + half."""
    frequencies = 10000.0 ** (-np.arange(0, HEAD_WIDTH, 2) / HEAD_WIDTH)
    angles = np.tile(np.outer(np.arange(length), frequencies), 2).astype(np.float32)
    return (run(op, role="rotary positions", at="rotary_emb", x=angles) for op in ("cos", "sin"))


def example(seed):
    """Weights and inputs, where no file gives them."""
    random = np.random.default_rng(seed)
    query, key = HEADS * HEAD_WIDTH, KEY_HEADS * HEAD_WIDTH
    shapes = {"embed_tokens": (VOCABULARY, WIDTH), "norm": (WIDTH,)}
    for block in range(BLOCKS):
        layers = {
            "input_layernorm": (WIDTH,),
            "self_attn.q_proj": (query, WIDTH),
            "self_attn.k_proj": (key, WIDTH),
            "self_attn.v_proj": (key, WIDTH),
            "self_attn.o_proj": (WIDTH, query),
            "post_attention_layernorm": (WIDTH,),
            "mlp.gate_proj": (HIDDEN, WIDTH),
            "mlp.up_proj": (HIDDEN, WIDTH),
            "mlp.down_proj": (WIDTH, HIDDEN),
        }
        shapes |= {f"layers.{block}.{name}": shape for name, shape in layers.items()}
    weights = {
        f"{name}.weight": (
            random.normal(size=shape) / np.sqrt(shape[1]) if len(shape) == 2 else random.uniform(0.8, 1.2, shape)
        ).astype(np.float32)
        for name, shape in shapes.items()
    }
    return weights, {"tokens": random.integers(VOCABULARY, size=(BATCH, TOKENS))}


# Wrong readings of the network. Those of its ops (a mask that is not applied, another eps, ...) opfuzz knows.


def neighbours(x):
    """Channel 2 i turns with channel 2 i + 1."""
    return np.stack((-x[..., 1::2], x[..., ::2]), axis=-1).reshape(x.shape)


def tiled(x):
    """Query heads take the key heads in turn: 0 1 0 1."""
    return np.tile(x, (1, HEADS // KEY_HEADS, 1, 1))


def lost(x, change):
    """Nothing goes around."""
    return change


def exchanged(run, at, gate, up):
    """The gate multiplies, and `up` is activated."""
    return activated(run, at, up, gate)


def instead(**changed):
    """Plants other arguments of the pipeline."""
    return lambda setup: replace(setup, pipeline=partial(setup.pipeline, **changed))


VARIANTS = [
    Variant("channels-of-neighbours", "rotary positions", "neighbours turn together", instead(turned=neighbours)),
    Variant("key-heads-in-turn", "attention", "query heads take key heads in turn", instead(spread=tiled)),
    Variant("residual-lost", "residual", "nothing goes around attention and feed-forward", instead(residual=lost)),
    Variant("gate-and-up-exchanged", "feed-forward", "up is activated, not the gate", instead(activation=exchanged)),
]
