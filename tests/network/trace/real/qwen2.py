"""transformers' Qwen2 and mlx-lm's: equal names, biases of the projections, a rotation that one side does outside."""

import numpy as np
from mlx_lm.models import qwen2
from shared import arrays, loaded, randomise
from transformers import Qwen2Config, Qwen2ForCausalLM

SIZES = {
    "hidden_size": 64,
    "num_hidden_layers": 3,
    "intermediate_size": 160,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "rms_norm_eps": 1e-6,
    "vocab_size": 200,
    "tie_word_embeddings": False,
    "max_position_embeddings": 256,
}
a = randomise(Qwen2ForCausalLM(Qwen2Config(**SIZES)))
b = loaded(qwen2.Model(qwen2.ModelArgs(model_type="qwen2", rope_theta=10000.0, **SIZES)), arrays(a))
inputs = (np.random.default_rng(0).integers(0, 200, (1, 24)),)
