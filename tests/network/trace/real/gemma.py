"""transformers' Gemma and mlx-lm's: gains stored as their difference from one, embeddings scaled by their width."""

import os

import numpy as np
from mlx_lm.models import gemma
from shared import arrays, loaded, randomise
from transformers import GemmaConfig, GemmaForCausalLM

# The port has erf where transformers has the approximation by tanh, `gelu_pytorch_tanh`, whatever is asked for.
ACTIVATION = os.environ.get("ACTIVATION", "gelu_python")
SIZES = {
    "hidden_size": 48,
    "num_hidden_layers": 2,
    "intermediate_size": 96,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 16,
    "rms_norm_eps": 1e-6,
    "vocab_size": 96,
}
a = randomise(GemmaForCausalLM(GemmaConfig(**SIZES, pad_token_id=0, hidden_act=ACTIVATION)))
b = loaded(gemma.Model(gemma.ModelArgs(model_type="gemma", **SIZES)), arrays(a))
inputs = (np.random.default_rng(0).integers(0, 96, (1, 24)),)
