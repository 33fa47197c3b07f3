"""A small conv network, channels first in torch and last in MLX, with the same weights."""

import mlx.core as mx
import mlx.nn as mnn
import numpy as np
import torch
from torch import nn

CHANNELS, WIDTH, FRAMES = 6, 16, 40


class TorchCausalConv(nn.Module):
    def __init__(self, c_in, c_out):
        super().__init__()
        self.conv = nn.Conv1d(c_in, c_out, 3)

    def forward(self, x):
        return self.conv(torch.nn.functional.pad(x, (2, 0)))


class TorchBlock(nn.Module):
    def __init__(self, c_in, c_out):
        super().__init__()
        self.conv = TorchCausalConv(c_in, c_out)
        self.norm = nn.GroupNorm(4, c_out)
        self.act = nn.SiLU()

    def forward(self, x):
        return self.act(self.norm(self.conv(x)))


class TorchConvNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = TorchBlock(CHANNELS, WIDTH)
        self.second = TorchBlock(WIDTH, WIDTH)
        self.up = nn.ConvTranspose1d(WIDTH, WIDTH, 4, stride=2)
        self.last = nn.Conv1d(WIDTH, CHANNELS, 1)

    def forward(self, x):
        x = self.first(x)
        return torch.tanh(self.last(self.up(x + self.second(x))))


class MlxCausalConv(mnn.Module):
    def __init__(self, c_in, c_out):
        super().__init__()
        self.conv = mnn.Conv1d(c_in, c_out, 3)
        self._padding = (2, 0)

    def __call__(self, x):
        return self.conv(mx.pad(x, [(0, 0), self._padding, (0, 0)]))


class MlxBlock(mnn.Module):
    def __init__(self, c_in, c_out):
        super().__init__()
        self.conv = MlxCausalConv(c_in, c_out)
        self.norm = mnn.GroupNorm(4, c_out, pytorch_compatible=True)
        self.act = mnn.SiLU()

    def __call__(self, x):
        return self.act(self.norm(self.conv(x)))


class MlxConvNet(mnn.Module):
    def __init__(self):
        super().__init__()
        self.first = MlxBlock(CHANNELS, WIDTH)
        self.second = MlxBlock(WIDTH, WIDTH)
        self.up = mnn.ConvTranspose1d(WIDTH, WIDTH, 4, stride=2)
        self.last = mnn.Conv1d(WIDTH, CHANNELS, 1)

    def __call__(self, x):
        x = self.first(x)
        return mx.tanh(self.last(self.up(x + self.second(x))))


def models():
    """Both models, faithful to each other."""
    torch.manual_seed(1)
    a = TorchConvNet()
    with torch.no_grad():
        for p in a.parameters():
            if p.ndim == 1:
                p.add_(0.2 * torch.randn_like(p))
    b = MlxConvNet()
    orders = {"up.weight": (1, 2, 0)}
    b.load_weights(
        [
            (
                name,
                mx.array(
                    p.detach().numpy().transpose(orders.get(name, (0, 2, 1))) if p.ndim == 3 else p.detach().numpy()
                ),
            )
            for name, p in a.named_parameters()
        ]
    )
    return a, b


def inputs():
    """For torch and for MLX."""
    x = np.random.default_rng(0).standard_normal((2, CHANNELS, FRAMES), np.float32)
    return (x,), (x.transpose(0, 2, 1),)
