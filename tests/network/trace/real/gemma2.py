"""transformers' Gemma 2 and mlx-lm's: capped scores and logits, four norms a layer, a scale of its own."""

import numpy as np
from mlx_lm.models import gemma2
from shared import arrays, loaded, randomise
from transformers import Gemma2Config, Gemma2ForCausalLM

SIZES = {
    "hidden_size": 48,
    "num_hidden_layers": 2,
    "intermediate_size": 96,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 16,
    "rms_norm_eps": 1e-6,
    "vocab_size": 96,
    "query_pre_attn_scalar": 24,
    "attn_logit_softcapping": 2.0,
    "final_logit_softcapping": 3.0,
}
config = Gemma2Config(**SIZES, pad_token_id=0, sliding_window=64, attn_implementation="eager")
a = randomise(Gemma2ForCausalLM(config))
b = loaded(gemma2.Model(gemma2.ModelArgs(model_type="gemma2", **SIZES)), arrays(a))
inputs = (np.random.default_rng(0).integers(0, 96, (1, 24)),)
