"""transformers' DAC and mlx-audio's, one half: dilated convolutions by norm and direction, an activation that snakes.

The published conversion is not in the package: weights are brought over here in the order of the layers.
"""

import os
import re

import numpy as np
from shared import bare, mx, randomise
from transformers import DacConfig, DacModel

bare("mlx_audio.codec.models")
bare("mlx_audio.codec.models.descript")
from mlx_audio.codec.models.descript import dac  # noqa: E402

PART = os.environ.get("PART", "encoder")
sizes = {"encoder_hidden_size": 4, "decoder_hidden_size": 16, "downsampling_ratios": [2, 4], "codebook_size": 16}
a = getattr(randomise(DacModel(DacConfig(**sizes, n_codebooks=2, codebook_dim=4))), PART)
for name, p in a.named_parameters():
    if name.endswith("alpha"):
        p.data = 0.5 + p.data.abs()
b = dac.Encoder(4, [2, 4], 16) if PART == "encoder" else dac.Decoder(16, 16, [4, 2])


def layers(module, kinds):
    found = [(name, m) for name, m in module.named_modules() if type(m).__name__ in kinds]
    return [m for _, m in sorted(found, key=lambda entry: [int(n) for n in re.findall(r"\d+", entry[0])])]


def value(tensor, *axes):
    return mx.array(tensor.detach().numpy().transpose(*axes))


ours = [m for _, m in a.named_modules() if type(m).__name__ in ("Conv1d", "ConvTranspose1d", "Snake1d")]
theirs = layers(b, ("WNConv1d", "WNConvTranspose1d", "Snake1d"))
for one, other in zip(ours, theirs, strict=True):
    if hasattr(one, "alpha"):
        other.alpha = value(one.alpha, 0, 2, 1)
        continue
    is_transposed = "Transpose" in type(one).__name__
    other.weight_v = value(one.weight, *((1, 2, 0) if is_transposed else (0, 2, 1)))
    other.weight_g = mx.sqrt(mx.sum(other.weight_v**2, axis=(0, 1) if is_transposed else (1, 2), keepdims=True))
    other.bias = value(one.bias, 0)
b.eval()
mx.eval(b.parameters())
draw = np.random.default_rng(0)
x = draw.standard_normal((1, 1, 160) if PART == "encoder" else (1, 16, 12)).astype(np.float32)
inputs_a, inputs_b = (x,), (x.transpose(0, 2, 1),)
