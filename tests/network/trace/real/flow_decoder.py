"""The estimator of Chatterbox's flow decoder: chatterbox-tts in torch, mlx-audio in MLX, and its own conversion."""

import importlib
import logging
import os
import sys
import types

import numpy as np
from shared import arrays, bare, mx, randomise

FRAMES = int(os.environ.get("FRAMES", "64"))
SIZES = {
    "in_channels": 320,
    "out_channels": 80,
    "causal": True,
    "channels": [64],
    "dropout": 0.0,
    "attention_head_dim": 32,
    "n_blocks": 1,
    "num_mid_blocks": 2,
    "num_heads": 2,
}
bare("chatterbox.models.s3gen")
bare("mlx_audio.tts.models.chatterbox.s3gen")
utils = types.ModuleType("mlx_audio.utils")
for name in ("resample_audio", "stft", "istft", "mel_filters", "hanning", "hamming"):
    setattr(utils, name, None)
sys.modules["mlx_audio.utils"] = utils  # while the port is imported: the true one needs what no decoder does
original = importlib.import_module("chatterbox.models.s3gen.decoder")
sys.modules["chatterbox.models.s3gen.utils.mask"].logging = logging  # that module forgets the import
port = importlib.import_module("mlx_audio.tts.models.chatterbox.s3gen.decoder")
loader = importlib.import_module("mlx_audio.tts.models.chatterbox.s3gen.s3gen")
del sys.modules["mlx_audio.utils"]

a = randomise(original.ConditionalDecoder(act_fn="gelu", meanflow=False, **SIZES))
b = port.ConditionalDecoder(act_fn="gelu", **SIZES)
PREFIX = "flow.decoder.estimator."
holder = types.SimpleNamespace(parameters=lambda: {"flow": {"decoder": {"estimator": b.parameters()}}})
weights = loader.S3Token2Wav.sanitize(holder, {PREFIX + name: x for name, x in arrays(a).items()})
b.load_weights([(name.removeprefix(PREFIX), x) for name, x in weights.items()], strict=True)
b.eval()
mx.eval(b.parameters())
draw = np.random.default_rng(7)
inputs = {
    "x": draw.standard_normal((1, 80, FRAMES)).astype(np.float32),
    "mask": np.ones((1, 1, FRAMES), np.float32),
    "mu": draw.standard_normal((1, 80, FRAMES)).astype(np.float32),
    "t": np.array([0.35], np.float32),
    "spks": (0.1 * draw.standard_normal((1, 80))).astype(np.float32),
    "cond": draw.standard_normal((1, 80, FRAMES)).astype(np.float32),
}
