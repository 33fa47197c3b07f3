"""A plugin whose backends are torch with faults in the way back alone, and the names of those."""

from __future__ import annotations

from pathlib import Path

PLUGIN = '''
import os

import torch

from opfuzz.backends import derive

NORM = torch.nn.functional.layer_norm


def with_backward(forward, backward, differentiated=None):
    """A function of tensors whose values are as they are, and whose gradients are those of `backward`.

    That is given those of `differentiated`, where there is such a function.
    """

    def function(*args, **settings):
        tensors = [each for each in (*args, *settings.values()) if isinstance(each, torch.Tensor)]

        class Own(torch.autograd.Function):
            @staticmethod
            def forward(context, *given):
                context.save_for_backward(*given)
                return forward(*args, **settings)

            @staticmethod
            def backward(context, g):
                with torch.enable_grad():
                    again = [each.detach().requires_grad_() for each in context.saved_tensors]
                    own = dict(zip(map(id, tensors), again))
                    kept = [own.get(id(each), each) for each in args]
                    named = {name: own.get(id(each), each) for name, each in settings.items()}
                    value = (differentiated or forward)(*kept, **named)
                    made = torch.autograd.grad(value, again, g, materialize_grads=True)
                return tuple(backward(list(made), context.needs_input_grad, g))

        return Own.apply(*tensors)

    return function


def mean_over_batch(made, needed, g):
    """The gradient of the weight divided by the number of rows."""
    made[1] = made[1] / max(g.shape[0], 1)
    return made


def alone(made, needed, g):
    """The gradient of the weight is what lay in memory where x needs none."""
    if not needed[0]:
        made[1] = made[1] * 0 + 3
    return made


def dies(made, needed, g):
    if g.shape[0] == 0:
        os.abort()
    return made


def unchanged(made, needed, g):
    return made


def constant_variance(x, shape, weight, bias, eps):
    """The variance is taken for a constant on the way back."""
    centred = x - x.mean(-1, keepdim=True)
    return centred / torch.sqrt((centred * centred).mean(-1, keepdim=True).detach() + eps) * weight + bias


FAULTS = (mean_over_batch, alone, dies, unchanged)
BACKENDS = [
    derive("torch", fault.__name__, {"torch.nn.functional.layer_norm": with_backward(NORM, fault)}) for fault in FAULTS
]
CONSTANT = with_backward(NORM, unchanged, constant_variance)
BACKENDS.append(derive("torch", "constant_variance", {"torch.nn.functional.layer_norm": CONSTANT}))


def steep_at_zero(x):
    """Of slope 2 at 0, which lies between no two slopes of it."""
    return torch.where(x == 0, 2 * x, torch.relu(x))


STEEP = with_backward(torch.nn.functional.relu, unchanged, steep_at_zero)
BACKENDS.append(derive("torch", "twice", {"torch.nn.functional.relu": STEEP}))
BATCH_NORM = torch.nn.functional.batch_norm


def batch_norm_by_a_third_too_much(x, mean, variance, weight, bias, training, eps):
    """Its gradient by the weight is a third too large; it has none by the statistics, as ever."""
    lying = weight.detach() + 4 / 3 * (weight - weight.detach())
    return BATCH_NORM(x, mean, variance, weight=lying, bias=bias, training=training, eps=eps)


BACKENDS.append(derive("torch", "third", {"torch.nn.functional.batch_norm": batch_norm_by_a_third_too_much}))
'''


def gradient_plugin(folder: Path) -> Path:
    """The plugin as a file in `folder`."""
    path = folder / "faulty_gradients.py"
    path.write_text(PLUGIN)
    return path
