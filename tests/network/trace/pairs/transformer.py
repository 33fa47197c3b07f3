"""A transformer of four layers in torch and in MLX, with the same weights."""

import mlx.core as mx
import mlx.nn as mnn
import numpy as np
import torch
from torch import nn

DIM, HEADS, TOKENS, LAYERS = 32, 4, 50, 4


class TorchAttention(nn.Module):
    def __init__(self):
        super().__init__()
        self.q, self.k, self.v = (nn.Linear(DIM, DIM, bias=False) for _ in range(3))
        self.out = nn.Linear(DIM, DIM)

    def forward(self, x):
        q, k, v = (f(x).unflatten(-1, (HEADS, -1)).transpose(1, 2) for f in (self.q, self.k, self.v))
        y = torch.nn.functional.scaled_dot_product_attention(q, k, v)
        return self.out(y.transpose(1, 2).flatten(-2))


class TorchLayer(nn.Module):
    def __init__(self):
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(DIM), nn.LayerNorm(DIM)
        self.attn = TorchAttention()
        self.ff = nn.Sequential(nn.Linear(DIM, 4 * DIM), nn.GELU(), nn.Linear(4 * DIM, DIM))

    def forward(self, x):
        x = x + self.attn(self.norm1(x))
        return x + self.ff(self.norm2(x))


class TorchTransformer(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed = nn.Embedding(TOKENS, DIM)
        self.layers = nn.ModuleList(TorchLayer() for _ in range(LAYERS))
        self.norm = nn.LayerNorm(DIM)
        self.head = nn.Linear(DIM, TOKENS)

    def forward(self, tokens):
        x = self.embed(tokens)
        for layer in self.layers:
            x = layer(x)
        return self.head(self.norm(x))


class MlxAttention(mnn.Module):
    def __init__(self):
        super().__init__()
        self.q, self.k, self.v = (mnn.Linear(DIM, DIM, bias=False) for _ in range(3))
        self.out = mnn.Linear(DIM, DIM)
        self.scale = (DIM // HEADS) ** -0.5
        self._is_swapped = False

    def __call__(self, x):
        q, k, v = (f(x).reshape(*x.shape[:2], HEADS, -1).transpose(0, 2, 1, 3) for f in (self.q, self.k, self.v))
        if self._is_swapped:
            q, k = k, q
        y = mx.softmax(q @ k.transpose(0, 1, 3, 2) * self.scale, axis=-1) @ v
        return self.out(y.transpose(0, 2, 1, 3).reshape(*x.shape))


class MlxLayer(mnn.Module):
    def __init__(self):
        super().__init__()
        self.norm1, self.norm2 = mnn.LayerNorm(DIM), mnn.LayerNorm(DIM)
        self.attn = MlxAttention()
        self.ff = mnn.Sequential(mnn.Linear(DIM, 4 * DIM), mnn.GELU(), mnn.Linear(4 * DIM, DIM))
        self._has_residual = True

    def __call__(self, x):
        y = self.attn(self.norm1(x))
        x = x + y if self._has_residual else y
        return x + self.ff(self.norm2(x))


class MlxTransformer(mnn.Module):
    def __init__(self):
        super().__init__()
        self.embed = mnn.Embedding(TOKENS, DIM)
        self.layers = [MlxLayer() for _ in range(LAYERS)]
        self.norm = mnn.LayerNorm(DIM)
        self.head = mnn.Linear(DIM, TOKENS)

    def __call__(self, tokens):
        x = self.embed(tokens)
        for layer in self.layers:
            x = layer(x)
        return self.head(self.norm(x))


def models():
    """Both models, faithful to each other. Norms and biases are random too: a start of ones hides faults."""
    torch.manual_seed(0)
    a = TorchTransformer()
    with torch.no_grad():
        for p in a.parameters():
            if p.ndim == 1:
                p.add_(0.2 * torch.randn_like(p))
    b = MlxTransformer()
    weights = {name.replace("ff.", "ff.layers."): mx.array(p.detach().numpy()) for name, p in a.named_parameters()}
    b.load_weights(list(weights.items()))
    return a, b


def inputs():
    return (np.random.default_rng(0).integers(0, TOKENS, (2, 24)),)
