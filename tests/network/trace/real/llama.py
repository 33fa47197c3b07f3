"""transformers' Llama with its cache on and mlx-lm's: tied embeddings, grouped heads."""

import numpy as np
from mlx_lm.models import llama
from shared import arrays, loaded, randomise
from transformers import LlamaConfig, LlamaForCausalLM

SIZES = {
    "hidden_size": 48,
    "num_hidden_layers": 3,
    "intermediate_size": 96,
    "num_attention_heads": 6,
    "num_key_value_heads": 2,
    "rms_norm_eps": 1e-6,
    "vocab_size": 96,
    "tie_word_embeddings": True,
    "max_position_embeddings": 128,
}
a = randomise(LlamaForCausalLM(LlamaConfig(**SIZES)))
b = loaded(llama.Model(llama.ModelArgs(model_type="llama", rope_theta=10000.0, **SIZES)), arrays(a))
inputs = (np.random.default_rng(0).integers(0, 96, (1, 24)),)
