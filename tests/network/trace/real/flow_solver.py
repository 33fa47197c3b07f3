"""The solver of Chatterbox's flow decoder around its estimator: ten Euler steps with guidance, on either side."""

import importlib
import types

import numpy as np
from flow_decoder import FRAMES, draw
from flow_decoder import a as estimator
from flow_decoder import b as port_estimator
from shared import mx

settings = importlib.import_module("chatterbox.models.s3gen.configs").CFM_PARAMS
original = importlib.import_module("chatterbox.models.s3gen.flow_matching")
port = importlib.import_module("mlx_audio.tts.models.chatterbox.s3gen.flow_matching")

a = original.CausalConditionalCFM(cfm_params=settings, estimator=estimator).eval()
kept = ("t_scheduler", "training_cfg_rate", "inference_cfg_rate", "sigma_min")
own = types.SimpleNamespace(solver="euler", **{name: getattr(settings, name) for name in kept})
b = port.CausalConditionalCFM(cfm_params=own, estimator=port_estimator)
noise = draw.standard_normal((1, 80, FRAMES)).astype(np.float32)
b.rand_noise = mx.array(noise)
given = {
    "mu": draw.standard_normal((1, 80, FRAMES)).astype(np.float32),
    "mask": np.ones((1, 1, FRAMES), np.float32),
    "n_timesteps": 10,
    "spks": (0.1 * draw.standard_normal((1, 80))).astype(np.float32),
    "cond": draw.standard_normal((1, 80, FRAMES)).astype(np.float32),
}
inputs_a, inputs_b = {**given, "noised_mels": noise}, given
