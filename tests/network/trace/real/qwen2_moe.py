"""transformers' Qwen2-MoE and mlx-lm's: experts that a router chooses, and one that all tokens share."""

import numpy as np
from mlx_lm.models import qwen2_moe
from shared import arrays, loaded, randomise, with_experts_apart
from transformers import Qwen2MoeConfig, Qwen2MoeForCausalLM

SIZES = {
    "hidden_size": 48,
    "num_hidden_layers": 2,
    "intermediate_size": 64,
    "moe_intermediate_size": 32,
    "shared_expert_intermediate_size": 40,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "num_experts": 4,
    "num_experts_per_tok": 2,
    "rms_norm_eps": 1e-6,
    "vocab_size": 96,
    "rope_theta": 1e6,
}
a = randomise(Qwen2MoeForCausalLM(Qwen2MoeConfig(**SIZES)))
weights = with_experts_apart(arrays(a), ("gate_proj", "up_proj", "down_proj"))
b = loaded(qwen2_moe.Model(qwen2_moe.ModelArgs(model_type="qwen2_moe", **SIZES)), weights)
inputs = (np.random.default_rng(0).integers(0, 96, (1, 24)),)
