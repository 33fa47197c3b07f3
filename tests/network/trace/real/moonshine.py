"""The encoder of transformers' Moonshine and of mlx-audio's: convolutions, a rotation of neighbours, of a part only."""

import numpy as np
from shared import arrays, bare, loaded, randomise
from transformers import MoonshineConfig, MoonshineForConditionalGeneration

bare("mlx_audio.stt.models")
from mlx_audio.stt.models.moonshine import moonshine  # noqa: E402
from mlx_audio.stt.models.moonshine.config import ModelConfig  # noqa: E402

SIZES = {
    "vocab_size": 64,
    "hidden_size": 48,
    "intermediate_size": 96,
    "encoder_num_hidden_layers": 2,
    "decoder_num_hidden_layers": 1,
    "encoder_num_attention_heads": 4,
    "decoder_num_attention_heads": 4,
    "partial_rotary_factor": 0.7,
    "attention_bias": False,
}
whole = randomise(MoonshineForConditionalGeneration(MoonshineConfig(**SIZES)))
a = whole.model.encoder
b = loaded(moonshine.Model(ModelConfig.from_dict({**SIZES, "encoder_hidden_act": "gelu"})), arrays(whole)).encoder
inputs = (np.random.default_rng(0).standard_normal((1, 6000)).astype(np.float32),)
