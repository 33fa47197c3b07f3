"""Traces of the gradients of two models at hand."""

from __future__ import annotations

from pathlib import Path

import mlx.core as mx
import mlx.nn as mnn
import numpy as np
import torch
from bundled_ops import BUNDLED_OPS
from pairs.small_transformer import INPUTS

from opfuzz.engine.drivers.pipeline_bench import meaning
from opfuzz.engine.drivers.trace import gradient_readings
from opfuzz.network.trace.backward import trace_gradients
from opfuzz.network.trace.causes import Knowledge
from opfuzz.network.trace.mlx import MlxModel
from opfuzz.network.trace.pair import Models
from opfuzz.network.trace.torch import TorchModel

KNOWLEDGE = Knowledge(BUNDLED_OPS, meaning, gradients=gradient_readings)
X = (np.random.default_rng(0).standard_normal((4, 3, 7)).astype(np.float32),)


def traced(a, b, inputs=INPUTS, inputs_b=None, names=None):
    models = [MlxModel(each) if isinstance(each, mnn.Module) else TorchModel(each) for each in (a, b)]
    given = [(tuple(each), {}) for each in (inputs, inputs if inputs_b is None else inputs_b)]
    return trace_gradients(Models(Path("pair.py"), *models, *given, names or {}), KNOWLEDGE)


def what(trace, name):
    return next(m.what for m in trace.modules if m.name_a == name)


def with_vjp(function, vjp):
    made = mx.custom_function(function)

    @made.vjp
    def _(primals, cotangent, output):
        return vjp(primals, cotangent, output)

    return made


def relu_with(back):
    """A ReLU of torch with a way back of its own, `back(x, g)`."""

    class Back(torch.autograd.Function):
        @staticmethod
        def forward(context, x):
            context.save_for_backward(x)
            return x.relu()

        @staticmethod
        def backward(context, g):
            return back(*context.saved_tensors, g)

    class Relu(torch.nn.ReLU):
        def forward(self, x):
            return Back.apply(x)

    return Relu()
