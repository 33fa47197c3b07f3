"""A small transformer in torch and in MLX, with equal weights, of which the gradients are compared."""

from __future__ import annotations

import mlx.core as mx
import mlx.nn as mnn
import numpy as np
import torch
from torch import nn

WIDTH, HEADS, WORDS = 16, 4, 11


class Attention(nn.Module):
    def __init__(self):
        super().__init__()
        self.q, self.k, self.v, self.out = (nn.Linear(WIDTH, WIDTH) for _ in range(4))

    def forward(self, x):
        batch, length, _ = x.shape
        q, k, v = (y.view(batch, length, HEADS, -1).transpose(1, 2) for y in (self.q(x), self.k(x), self.v(x)))
        weights = torch.softmax(q @ k.transpose(-1, -2) / 2, -1)
        return self.out((weights @ v).transpose(1, 2).reshape(x.shape))


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.norm1, self.attn, self.norm2 = nn.LayerNorm(WIDTH), Attention(), nn.LayerNorm(WIDTH)
        self.fc1, self.act, self.fc2 = nn.Linear(WIDTH, 32), nn.GELU(), nn.Linear(32, WIDTH)

    def forward(self, x):
        x = x + self.attn(self.norm1(x))
        return x + self.fc2(self.act(self.fc1(self.norm2(x))))


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed, self.head = nn.Embedding(WORDS, WIDTH), nn.Linear(WIDTH, WORDS)
        self.blocks = nn.ModuleList([Block() for _ in range(3)])

    def forward(self, ids):
        x = self.embed(ids)
        for block in self.blocks:
            x = block(x)
        return self.head(x)


class MlxAttention(mnn.Module):
    def __init__(self):
        super().__init__()
        self.q, self.k, self.v, self.out = (mnn.Linear(WIDTH, WIDTH) for _ in range(4))
        self.softmax = None

    def __call__(self, x):
        batch, length, _ = x.shape
        q, k, v = (y.reshape(batch, length, HEADS, -1).swapaxes(1, 2) for y in (self.q(x), self.k(x), self.v(x)))
        weights = (self.softmax or mx.softmax)(q @ k.swapaxes(-1, -2) / 2, axis=-1)
        return self.out((weights @ v).swapaxes(1, 2).reshape(x.shape))


class MlxBlock(mnn.Module):
    def __init__(self):
        super().__init__()
        self.norm1, self.attn, self.norm2 = mnn.LayerNorm(WIDTH), MlxAttention(), mnn.LayerNorm(WIDTH)
        self.fc1, self.act, self.fc2 = mnn.Linear(WIDTH, 32), mnn.GELU(), mnn.Linear(32, WIDTH)

    def __call__(self, x):
        x = x + self.attn(self.norm1(x))
        return x + self.fc2(self.act(self.fc1(self.norm2(x))))


class MlxNet(mnn.Module):
    def __init__(self):
        super().__init__()
        self.embed, self.head = mnn.Embedding(WORDS, WIDTH), mnn.Linear(WIDTH, WORDS)
        self.blocks = [MlxBlock() for _ in range(3)]

    def __call__(self, ids):
        x = self.embed(ids)
        for block in self.blocks:
            x = block(x)
        return self.head(x)


def torch_net():
    torch.manual_seed(0)
    torch.set_num_threads(1)
    return Net()


def mlx_net(like):
    """The port, with the weights of the original."""
    net = MlxNet()
    net.load_weights([(name, mx.array(value.detach().numpy())) for name, value in like.named_parameters()])
    return net


INPUTS = (np.array([[1, 4, 2, 7, 7, 0], [3, 3, 10, 5, 1, 9]]),)
