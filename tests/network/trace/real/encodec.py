"""transformers' EnCodec and mlx-audio's, one half: weights by norm and direction, padding by reflection, an LSTM.

The published conversion is not in the package: weights are brought over here by their names.
"""

import os

import numpy as np
from shared import arrays, bare, mx, randomise
from torch.nn.utils import parametrize
from transformers import EncodecConfig, EncodecModel

bare("mlx_audio.codec.models")
from mlx_audio.codec.models.encodec import encodec  # noqa: E402

SIZES = {
    "num_filters": 4,
    "hidden_size": 16,
    "codebook_size": 16,
    "codebook_dim": 16,
    "upsampling_ratios": [4, 2],
    "num_lstm_layers": 2,
    "target_bandwidths": [1.5],
}
PART = os.environ.get("PART", "encoder")
a = getattr(randomise(EncodecModel(EncodecConfig(**SIZES))), PART)
b = getattr(encodec.Encodec(encodec.EncodecConfig(**SIZES)), PART)
weights = {name: value for name, value in arrays(a).items() if ".lstm." not in name and "original" not in name}
for name, module in a.named_modules():
    if parametrize.is_parametrized(module):
        value = mx.array(module.weight.detach().numpy())
        is_transposed = "Transpose" in type(module).__bases__[0].__name__
        weights[f"{name}.weight"] = value.transpose(*((1, 2, 0) if is_transposed else (0, 2, 1)))
    if name.endswith(".lstm"):
        for i in range(2):
            x, h, one, other = (
                mx.array(getattr(module, f"{part}_l{i}").detach().numpy())
                for part in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
            )
            weights |= {f"{name}.{i}.Wx": x, f"{name}.{i}.Wh": h, f"{name}.{i}.bias": one + other}
b.load_weights([(f"{name}", value) for name, value in weights.items()], strict=True)
b.eval()
mx.eval(b.parameters())
draw = np.random.default_rng(0)
x = draw.standard_normal((1, 1, 200) if PART == "encoder" else (1, 16, 25)).astype(np.float32)
inputs_a, inputs_b = (x,), (x.transpose(0, 2, 1),)
