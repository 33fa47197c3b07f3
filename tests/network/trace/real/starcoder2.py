"""transformers' StarCoder 2 and mlx-lm's: LayerNorm and biases everywhere, GELU by tanh, grouped heads."""

import os

import numpy as np
from mlx_lm.models import starcoder2
from shared import arrays, loaded, randomise
from transformers import Starcoder2Config, Starcoder2ForCausalLM

# The port has erf where transformers' own default is the approximation by tanh, `gelu_pytorch_tanh`.
ACTIVATION = os.environ.get("ACTIVATION", "gelu")
SIZES = {
    "hidden_size": 48,
    "num_hidden_layers": 2,
    "intermediate_size": 96,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "norm_epsilon": 1e-5,
    "vocab_size": 96,
    "rope_theta": 100000.0,
}
a = randomise(Starcoder2ForCausalLM(Starcoder2Config(**SIZES, sliding_window=None, hidden_act=ACTIVATION)))
b = loaded(starcoder2.Model(starcoder2.ModelArgs(model_type="starcoder2", **SIZES)), arrays(a))
inputs = (np.random.default_rng(0).integers(0, 96, (1, 24)),)
