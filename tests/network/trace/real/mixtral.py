"""transformers' Mixtral and mlx-lm's: experts in one tensor, of which a router takes two for each token."""

import numpy as np
from mlx_lm.models import mixtral
from shared import arrays, loaded, randomise, with_experts_apart
from transformers import MixtralConfig, MixtralForCausalLM

SIZES = {
    "hidden_size": 48,
    "num_hidden_layers": 2,
    "intermediate_size": 64,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "num_local_experts": 4,
    "num_experts_per_tok": 2,
    "rms_norm_eps": 1e-5,
    "vocab_size": 96,
    "rope_theta": 1e6,
}
a = randomise(MixtralForCausalLM(MixtralConfig(**SIZES)))
weights = with_experts_apart(arrays(a), ("w1", "w3", "w2"))
weights = {name.replace(".mlp.", ".block_sparse_moe."): x for name, x in weights.items()}
b = loaded(mixtral.Model(mixtral.ModelArgs(model_type="mixtral", **SIZES)), weights)
inputs = (np.random.default_rng(0).integers(0, 96, (1, 24)),)
