"""transformers' GPT-NeoX and mlx-lm's: one projection for all of a head, attention beside the feed-forward."""

import numpy as np
from mlx_lm.models import gpt_neox
from shared import arrays, loaded, randomise
from transformers import GPTNeoXConfig, GPTNeoXForCausalLM

SIZES = {
    "hidden_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "layer_norm_eps": 1e-5,
    "vocab_size": 96,
    "max_position_embeddings": 128,
}
config = GPTNeoXConfig(**SIZES, intermediate_size=192, rotary_pct=0.5, hidden_act="gelu_pytorch_tanh")
a = randomise(GPTNeoXForCausalLM(config))
args = gpt_neox.ModelArgs(model_type="gpt_neox", rotary_emb_base=10000, rotary_pct=0.5, **SIZES)
weights = {name.replace("lm_head", "embed_out"): x for name, x in arrays(a).items()}
b = loaded(gpt_neox.Model(args), weights)
inputs = (np.random.default_rng(0).integers(0, 96, (1, 24)),)
