"""transformers' Whisper and mlx-audio's: other names, a mask that one side makes itself, caches in the outputs."""

import numpy as np
from shared import arrays, bare, loaded, mx, randomise
from transformers import WhisperConfig, WhisperForConditionalGeneration

bare("mlx_audio.stt.models")
from mlx_audio.stt.models.whisper import whisper  # noqa: E402

config = WhisperConfig(
    vocab_size=120,
    num_mel_bins=20,
    d_model=48,
    encoder_layers=2,
    decoder_layers=2,
    encoder_attention_heads=4,
    decoder_attention_heads=4,
    encoder_ffn_dim=192,
    decoder_ffn_dim=192,
    max_source_positions=48,
    max_target_positions=32,
    pad_token_id=0,
    bos_token_id=1,
    eos_token_id=2,
    decoder_start_token_id=1,
)
a = WhisperForConditionalGeneration(config).eval()
positions = a.model.encoder.embed_positions.weight.detach().clone()
randomise(a)
a.model.encoder.embed_positions.weight.data.copy_(positions)
b = loaded(
    whisper.Model(whisper.ModelDimensions.from_dict(config.to_dict()), mx.float32),
    {name: value for name, value in arrays(a).items() if name != "proj_out.weight"},
)
draw = np.random.default_rng(0)
mel, tokens = draw.standard_normal((1, 20, 96)).astype(np.float32), draw.integers(3, 120, (1, 12))
inputs_a = {"input_features": mel, "decoder_input_ids": tokens}
inputs_b = (mel.transpose(0, 2, 1), tokens)
