"""transformers' Phi and mlx-lm's: attention beside the feed-forward, a rotation of a part of the channels."""

import numpy as np
from mlx_lm.models import phi
from shared import arrays, loaded, randomise
from transformers import PhiConfig, PhiForCausalLM

SIZES = {
    "hidden_size": 64,
    "num_hidden_layers": 2,
    "intermediate_size": 96,
    "num_attention_heads": 4,
    "num_key_value_heads": 4,
    "partial_rotary_factor": 0.5,
    "layer_norm_eps": 1e-5,
    "vocab_size": 96,
}
a = randomise(PhiForCausalLM(PhiConfig(**SIZES)))
b = loaded(phi.Model(phi.ModelArgs(model_type="phi", **SIZES)), arrays(a))
inputs = (np.random.default_rng(0).integers(0, 96, (1, 24)),)
