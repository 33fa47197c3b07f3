"""transformers' wav2vec 2.0 and mlx-audio's: convolutions in two layouts, a weight given by its norm and direction."""

import numpy as np
from shared import arrays, bare, loaded, randomise
from transformers import Wav2Vec2Config, Wav2Vec2Model

bare("mlx_audio.stt.models")
from mlx_audio.stt.models.wav2vec import wav2vec  # noqa: E402

SIZES = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 64,
    "conv_dim": [32, 32, 32],
    "conv_stride": [5, 2, 2],
    "conv_kernel": [10, 3, 3],
    "num_feat_extract_layers": 3,
    "num_conv_pos_embeddings": 16,
    "num_conv_pos_embedding_groups": 4,
    "apply_spec_augment": False,
}
a = randomise(Wav2Vec2Model(Wav2Vec2Config(**SIZES)))
b = loaded(
    wav2vec.Wav2Vec2Model(wav2vec.ModelConfig.from_dict({**a.config.to_dict(), "model_type": "wav2vec2"})), arrays(a)
)
inputs = (np.random.default_rng(0).standard_normal((1, 660)).astype(np.float32),)
