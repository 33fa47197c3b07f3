"""transformers' GPT-2 and mlx-lm's: weights the other way round, three projections in one."""

import numpy as np
from mlx_lm.models import gpt2
from shared import arrays, loaded, randomise
from transformers import GPT2Config, GPT2LMHeadModel

config = GPT2Config(n_embd=48, n_head=4, n_layer=3, n_positions=48, vocab_size=90)
a = randomise(GPT2LMHeadModel(config))
args = gpt2.ModelArgs(
    model_type="gpt2",
    n_ctx=48,
    n_embd=48,
    n_head=4,
    n_layer=3,
    n_positions=48,
    layer_norm_epsilon=config.layer_norm_epsilon,
    vocab_size=90,
)
weights = {name.removeprefix("transformer."): x for name, x in arrays(a).items() if name != "lm_head.weight"}
b = loaded(gpt2.Model(args), weights)
inputs = (np.random.default_rng(0).integers(0, 90, (1, 48)),)
