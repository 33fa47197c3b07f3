"""What the real pairs share: packages without their own start, and weights of ordinary size."""

import importlib.machinery
import importlib.util
import logging
import math
import os
import sys
import types
from pathlib import Path

os.environ.setdefault("HF_HUB_OFFLINE", "1")
logging.getLogger("transformers").setLevel(logging.ERROR)

import mlx.core as mx  # noqa: E402
import torch  # noqa: E402

torch.set_num_threads(1)
mx.set_default_device(mx.cpu)


def bare(name):
    """A package whose own __init__ is left out, as it imports what a single model does not need."""
    if name in sys.modules:
        return
    parent, _, last = name.rpartition(".")
    if parent:
        bare(parent)
        path = Path(sys.modules[parent].__path__[0]) / last
    else:
        spec = importlib.util.find_spec(name)
        if spec is None:
            raise ModuleNotFoundError(f"No module named '{name}'", name=name)
        path = Path(next(iter(spec.submodule_search_locations)))
    module = types.ModuleType(name)
    module.__path__ = [str(path)]
    module.__spec__ = importlib.machinery.ModuleSpec(name, None, is_package=True)
    sys.modules[name] = module


def randomise(module):
    """Seeded weights; biases and gains that show when they are lost."""
    draw = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, p in module.named_parameters():
            noise = torch.randn(p.shape, generator=draw)
            is_gain = "norm" in name and name.endswith("weight")
            p.copy_(noise / math.sqrt(p[0].numel()) if p.ndim > 1 else is_gain + 0.2 * noise)
    return module.eval()


def loaded(port, weights):
    """The port with a's weights, by its own conversion."""
    own = port.sanitize(dict(weights)) if hasattr(port, "sanitize") else dict(weights)
    port.load_weights(list(own.items()), strict=False)
    port.eval()
    mx.eval(port.parameters())
    return port


def arrays(module):
    return {name: mx.array(value.detach().numpy()) for name, value in module.state_dict().items()}


def with_experts_apart(weights, names):
    """Weights under the names of the checkpoints, in which each expert has its own; `names`: gate, up, down."""
    found = {}
    for name, x in weights.items():
        stem, _, last = name.rpartition(".experts.")
        if last == "gate_up_proj":
            for i, both in enumerate(x):
                for key, half in zip(names, mx.split(both, 2), strict=False):
                    found[f"{stem}.experts.{i}.{key}.weight"] = half
        elif last == "down_proj":
            found.update({f"{stem}.experts.{i}.{names[2]}.weight": one for i, one in enumerate(x)})
        else:
            found[name] = x
    return found
